"""Intervals where points do not scatter alike, or in blocks, and controls that count as wells of dose zero."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import ttest_ind

from response_support import DOSES, logistic
from vitascope.stats.response import logistic as loglogistic
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.scatter import _shown_to_assumed, uneven_p
from vitascope.stats.response.solver import make_problem

EIGHT = np.repeat(10.0 ** np.linspace(-2, 2, 8), 2)


def plates(count, shift, curves=1, seed=0, noise=5.0):
    """Curves whose IC50 differs between plates by ``shift`` log10 units (standard deviation)."""
    rng = np.random.default_rng(seed)
    parts = []
    for curve in range(curves):
        true = 10 ** rng.uniform(-0.7, 0.7)
        for plate in range(count):
            values = logistic(EIGHT, ic50=true * 10 ** rng.normal(0, shift)) + rng.normal(0, noise, len(EIGHT))
            parts.append(
                pd.DataFrame({"treatment": f"T{curve}", "plate": plate, "dose": EIGHT, "value": values, "true": true})
            )
    return pd.concat(parts, ignore_index=True).assign(dose_unit="µM")


def fit(table, **settings):
    return fit_dose_response(table, response="value", **settings).curves


def test_variance_over_equal_blocks_is_that_of_their_means():
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(5), 4)
    values = rng.normal(0, 1, 20) + rng.normal(0, 2, 5)[block]
    residual = values - values.mean()
    ratio, freedom = _shown_to_assumed(np.ones((20, 1)), residual, block, 0, 19.0)
    means = values.reshape(5, 4).mean(axis=1)
    assert ratio * values.var(ddof=1) / 20 == pytest.approx(means.var(ddof=1) / 5)
    assert freedom == pytest.approx(4)


def test_variance_of_single_points_is_welchs():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 6), rng.normal(3, 5, 9)
    design = np.stack([np.ones(15), np.repeat([0.0, 1.0], [6, 9])], axis=1)
    residual = np.concatenate([a - a.mean(), b - b.mean()])
    ratio, _ = _shown_to_assumed(design, residual, np.arange(15), 1, 13.0)
    assumed = residual @ residual / 13 * (1 / 6 + 1 / 9)
    welch = (b.mean() - a.mean()) / ttest_ind(b, a, equal_var=False).statistic
    assert np.sqrt(ratio * assumed) == pytest.approx(welch)


def test_what_the_data_do_not_determine_is_not_widened():
    block = np.arange(6)
    assert np.isnan(_shown_to_assumed(np.zeros((6, 1)), np.ones(6), block, 0, 5.0)).all()
    assert np.isnan(_shown_to_assumed(np.ones((6, 2)), np.ones(6), block, 0, 4.0)).all()
    assert np.isnan(_shown_to_assumed(np.ones((6, 1)), np.zeros(6), block, 0, 5.0)).all()


def problem_of(noise, seed=0, curves=200):
    """Curves of eight doses in triplicate, and how far each point is drawn off its curve."""
    rng = np.random.default_rng(seed)
    x = np.log(np.repeat(10.0 ** np.linspace(-2, 2, 8), 3))[None].repeat(curves, 0)
    parameters = np.array([[100.0, 0.0, np.log(1.5), 0.2]]).repeat(curves, 0)
    fitted = loglogistic.curve(x, parameters)
    y = fitted + noise(fitted / 100) * rng.normal(0, 1, x.shape)
    return make_problem(x, y, np.ones_like(x), np.full((curves, 4), np.nan)), parameters


def test_whites_test_is_that_of_a_regression_on_the_fit_and_its_square():
    problem, parameters = problem_of(lambda share: 5.0 + 0 * share, curves=3)
    squares = (problem.y - loglogistic.curve(problem.x, parameters)) ** 2
    for row, p in enumerate(uneven_p(problem, parameters)):
        fitted = loglogistic.curve(problem.x, parameters)[row]
        design = np.stack([np.ones_like(fitted), fitted, fitted**2], axis=1)
        told = design @ np.linalg.lstsq(design, squares[row], rcond=None)[0]
        rest, total = ((squares[row] - told) ** 2).sum(), ((squares[row] - squares[row].mean()) ** 2).sum()
        assert p == pytest.approx(f_distribution.sf((total - rest) / 2 / (rest / 21), 2, 21), rel=1e-6)


def test_uneven_scatter_is_told_and_even_scatter_seldom_mistaken():
    alike = uneven_p(*problem_of(lambda share: 5.0 + 0 * share))
    assert 0.1 < (alike < 0.2).mean() < 0.3
    assert (uneven_p(*problem_of(lambda share: 0.3 + 8 * np.sqrt(share * (1 - share)))) < 0.2).mean() > 0.8
    assert (uneven_p(*problem_of(lambda share: 15 * share)) < 0.2).mean() > 0.8


def test_points_that_all_lie_on_the_curve_scatter_alike():
    assert uneven_p(*problem_of(lambda share: 0 * share, curves=1)).tolist() == [1.0]


@pytest.mark.slow
def test_intervals_of_shares_hold_though_plateaus_hardly_scatter():
    rng = np.random.default_rng(3)
    doses = np.repeat(10.0 ** np.linspace(-2, 2, 8), 3)
    true = 10 ** rng.uniform(-1, 1, 300)
    part = 1 / (1 + (doses / true[:, None]) ** 1.5)
    values = 100 * part + rng.normal(0, 1, part.shape) * (0.3 + 8 * np.sqrt(part * (1 - part)))
    table = pd.DataFrame({"treatment": np.repeat(np.arange(300), 24), "dose": np.tile(doses, 300), "dose_unit": "µM",
                          "value": values.ravel()})  # fmt: skip
    held = {}
    for scatter in ("equal", "auto"):
        found = fit(table, scatter=scatter)
        held[scatter] = float(((found["ic50_low"] <= true) & (true <= found["ic50_high"])).mean())
    assert held["equal"] < 0.85
    assert 0.90 <= held["auto"] <= 0.98


@pytest.mark.slow
def test_intervals_over_plates_hold_what_plates_differ_by():
    table = plates(4, 0.12, curves=200)
    true = table.groupby("treatment", sort=False)["true"].first().to_numpy()
    share = {}
    for scatter in ("equal", "blocks"):
        found = fit(table, by=["treatment"], scatter=scatter)
        assert (found["relation"] == "=").all()
        share[scatter] = float(((found["ic50_low"] <= true) & (true <= found["ic50_high"])).mean())
    assert share["equal"] < 0.85
    assert 0.90 <= share["blocks"] <= 0.995


def test_several_plates_are_said_and_single_ones_are_as_before():
    table = plates(3, 0.2)
    pooled, equal = fit(table, by=["treatment"]), fit(table, by=["treatment"], scatter="equal")
    assert pooled["interval_kind"].tolist() == ["profile, 3 blocks"]
    assert pooled["ic50"].tolist() == equal["ic50"].tolist()
    assert pooled["ic50_low"][0] < equal["ic50_low"][0] < equal["ic50_high"][0] < pooled["ic50_high"][0]
    each, plain = fit(table, scatter="blocks"), fit(table, scatter="equal")
    assert each["interval_kind"].tolist() == ["profile"] * 3
    pd.testing.assert_frame_equal(each, plain)
    named = fit(table.rename(columns={"plate": "batch"}), by=["treatment"], blocks=["batch"])
    assert named["ic50_low"].tolist() == pooled["ic50_low"].tolist()


def test_every_kind_of_interval_knows_blocks():
    table = plates(6, 0.2, seed=3)
    for kind in ("profile", "delta", "bootstrap"):
        settings = {"by": ["treatment"], "interval": kind, "resamples": 199}
        wide, narrow = fit(table, **settings).iloc[0], fit(table, scatter="equal", **settings).iloc[0]
        assert wide["ic50_high"] / wide["ic50_low"] > 1.3 * narrow["ic50_high"] / narrow["ic50_low"], kind
        assert wide["interval_kind"] == f"{kind}, 6 blocks"


def test_scatter_in_proportion_never_narrows():
    rng = np.random.default_rng(5)
    values = logistic(DOSES, ic50=0.1) * np.exp(rng.normal(0, 0.36, len(DOSES)))
    table = pd.DataFrame({"treatment": "A", "dose": DOSES, "dose_unit": "µM", "value": values})
    equal, unequal = fit(table, scatter="equal").iloc[0], fit(table, scatter="unequal").iloc[0]
    assert unequal["interval_kind"] == "profile, unequal scatter"
    assert unequal["ic50_low"] <= equal["ic50_low"]
    assert unequal["ic50_high"] >= equal["ic50_high"]
    assert (unequal["ic50_low"], unequal["ic50_high"]) != (equal["ic50_low"], equal["ic50_high"])


def test_the_delta_method_leaves_steps_to_the_profile():
    step = np.where(DOSES < 1.5, 100.0, 5.0) + np.random.default_rng(0).normal(0, 2, len(DOSES))
    table = pd.DataFrame({"treatment": "A", "dose": DOSES, "dose_unit": "µM", "value": step})
    delta, profile = fit(table, interval="delta").iloc[0], fit(table).iloc[0]
    assert "steep" in delta["flags"].split(";")
    assert delta["interval_kind"] == "profile"
    assert (delta["ic50_low"], delta["ic50_high"]) == (profile["ic50_low"], profile["ic50_high"])
    assert 1 <= delta["ic50_low"] < delta["ic50_high"] <= 3.2


def test_controls_show_the_plateau_that_doses_do_not():
    rng = np.random.default_rng(2)
    doses = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 3)
    values = np.concatenate([logistic(doses, ic50=1.5, hill=1) * 50 + rng.normal(0, 100, 18), rng.normal(5000, 100, 8)])
    table = pd.DataFrame(
        {
            "plate": "P", "treatment": ["A"] * 18 + ["DMSO"] * 8, "role": ["treated"] * 18 + ["negative"] * 8,
            "dose": [*doses, *[np.nan] * 8], "dose_unit": "µM", "value": values,
        }
    )  # fmt: skip
    without, result = fit(table).iloc[0], fit_dose_response(table, response="value", fit_controls=True)
    row = result.curves.iloc[0]
    assert (without["n"], row["n"]) == (18, 26)
    assert row["quality"] == "good"
    assert row["top"] == pytest.approx(100, abs=3)
    assert row["ic50_low"] < 1.5 < row["ic50_high"]
    assert row["ic50_high"] / row["ic50_low"] < without["ic50_high"] / max(without["ic50_low"], 1e-9)
    assert result.points["reason"].tolist() == [""] * 18 + ["negative control"] * 8
    assert result.points["excluded"].tolist() == [False] * 18 + [True] * 8


def test_controls_in_the_fit_are_those_of_the_plate():
    rng = np.random.default_rng(4)
    table = plates(2, 0.0).assign(role="treated")
    controls = pd.DataFrame({"treatment": "DMSO", "role": "negative", "plate": [0] * 4 + [1] * 6, "dose": 0.0,
                             "value": rng.normal(100, 3, 10)})  # fmt: skip
    both = pd.concat([table, controls], ignore_index=True)
    found = fit(both, fit_controls=True, outliers="rout")
    assert found["n"].tolist() == [20, 22]
    assert fit(both, fit_controls=True, by=["treatment"])["n"].tolist() == [42]
    only = fit(both.assign(value=lambda t: t["value"].where(t["role"] == "negative")), fit_controls=True)
    assert (only["quality"] == "no fit").all()
    assert only["n"].tolist() == [0, 0]
