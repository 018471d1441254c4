"""Tables of wells to tables of curves: normalisation, censoring, quality words, and bad input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from response_support import DOSES, logistic
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.flags import FLAGS
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.result import CURVE_COLUMNS, POINT_COLUMNS


def fit(table, response="viability", **settings):
    return fit_dose_response(table, dose="dose", response=response, **settings)


def row_of(table, **settings):
    return fit(table, **settings).curves.iloc[0]


def test_columns_are_those_of_the_files(wells):
    result = fit(wells().assign(plate="P1", well="A01"))
    assert list(result.curves) == ["plate", "treatment", *CURVE_COLUMNS]
    assert list(result.points) == ["plate", "treatment", *POINT_COLUMNS]
    assert set(";".join(result.curves["flags"]).split(";")) <= set(FLAGS)


def test_a_falling_and_a_rising_curve_have_the_same_ic50(wells):
    falls, rises = row_of(wells()), row_of(wells(100 - logistic(DOSES), seed=0))
    assert falls["ic50"] == pytest.approx(1.0, rel=0.15)
    assert rises["ic50"] == pytest.approx(1.0, rel=0.15)
    assert falls["hill"] > 0 > rises["hill"]
    assert falls["top"] > falls["bottom"]
    assert rises["top"] > rises["bottom"]
    assert rises["emax"] > 90
    assert (falls["quality"], falls["relation"]) == ("good", "=")


def test_relative_and_absolute_differ_when_the_bottom_is_high(wells):
    table = wells(logistic(DOSES, bottom=40.0), noise=0.5)
    control = pd.DataFrame({"treatment": "DMSO", "viability": [99.0, 100, 101], "role": "negative"})
    row = row_of(pd.concat([table.assign(role="treated"), control]).assign(plate="P"))
    # 40 + 60 / (1 + d^1.5) = 50 where d^1.5 = 5
    assert row["ic50"] == pytest.approx(1.0, rel=0.05)
    assert row["ic50_absolute"] == pytest.approx(5 ** (1 / 1.5), rel=0.1)
    assert row["unit"] == "% of control"
    assert row["auc"] + row["aac"] == pytest.approx(1)
    assert np.isnan(row_of(table)["ic50_absolute"])


@pytest.mark.parametrize(("normalise", "expected"), [("negative", 50.0), ("controls", 400 / 9), ("plate", 100.0)])
def test_normalisation(normalise, expected):
    table = pd.DataFrame(
        {
            "plate": "P",
            "treatment": ["A"] * 5 + ["DMSO"] * 3 + ["kill"] * 3,
            "role": ["treated"] * 5 + ["negative"] * 3 + ["positive"] * 3,
            "dose": [1, 2, 3, 4, 5] + [None] * 6,
            "signal": [70, 60, 50, 40, 30, 100, 90, 900, 10, 10, 11],
        }
    )
    points = fit(table, "signal", normalise=normalise).points
    assert points["normalised"].iloc[2] == pytest.approx(expected)
    assert points["excluded"].tolist() == [False] * 5 + [True] * 6
    assert points["reason"].iloc[5] == "negative control"
    mean = fit(table, "signal", normalise="negative", robust=False).points["normalised"].iloc[2]
    assert mean == pytest.approx(100 * 50 / np.mean([100, 90, 900]))


def test_plates_and_days_have_their_own_controls(wells):
    parts = []
    for plate, day, gain in (("P1", 1, 1.0), ("P1", 2, 5.0), ("P2", 1, 0.1)):
        controls = pd.DataFrame({"treatment": "DMSO", "viability": [100.0] * 4, "role": "negative"})
        part = pd.concat([wells(noise=1.0).assign(role="treated"), controls])
        parts.append(part.assign(plate=plate, day=day, viability=part["viability"] * gain))
    curves = fit(pd.concat(parts, ignore_index=True)).curves
    assert curves[["plate", "day"]].values.tolist() == [["P1", "1"], ["P1", "2"], ["P2", "1"]]
    assert curves["top"].tolist() == pytest.approx([curves["top"][0]] * 3, rel=1e-6)
    assert curves["ic50"].tolist() == pytest.approx([curves["ic50"][0]] * 3, rel=1e-6)


def test_beyond_the_doses_is_a_bound(wells):
    high = row_of(wells(logistic(DOSES, ic50=1000.0), noise=1.0))
    assert (high["ic50"], high["relation"], high["ic50_high"], high["quality"]) == (100.0, ">", np.inf, "partial")
    assert "above the doses tested" in high["reason"]
    assert np.isnan(high["bottom"])
    low = row_of(wells(logistic(DOSES, ic50=0.001), noise=0.2))
    assert (low["ic50"], low["relation"], low["ic50_low"]) == (pytest.approx(0.01), "<", 0.0)
    near = wells(logistic(DOSES, ic50=200.0, hill=1.5), noise=0.1)
    assert row_of(near)["relation"] == ">"
    told = row_of(near, beyond="tenfold")
    assert told["ic50"] == pytest.approx(200.0, rel=0.1)
    assert "extrapolated" in told["flags"]


@pytest.mark.parametrize("seed", range(5))
def test_no_ic50_is_extrapolated(seed):
    """The kind behind alubbock/thunor issue 14: EC50s that are extremely large."""
    rng = np.random.default_rng(seed)
    doses = np.tile(DOSES, 40)
    ic50 = np.repeat(10 ** rng.uniform(-6, 6, 40), len(DOSES))
    table = pd.DataFrame(
        {
            "treatment": np.repeat(np.arange(40), len(DOSES)),
            "dose": doses,
            "viability": logistic(doses, ic50=ic50, hill=0.8) + rng.normal(0, 8, len(doses)),
        }
    )
    curves = fit(table).curves
    known = curves["ic50"].dropna()
    assert known.between(DOSES.min() * 0.999999, DOSES.max() * 1.000001).all()
    finite = curves[["ic50_low", "ic50_high"]].replace([0, np.inf], np.nan).stack().dropna()
    assert finite.between(DOSES.min() * 0.999999, DOSES.max() * 1.000001).all()
    assert (curves["ic50_low"].dropna() <= curves["ic50"][curves["ic50_low"].notna()] * 1.000001).all()


def test_flat(wells):
    row = row_of(wells(np.full(len(DOSES), 100.0), noise=5.0, seed=4))
    assert row["quality"] == "flat"
    assert np.isnan(row["ic50"])
    assert row["p_flat"] > 0.05
    assert "cannot be told from the scatter" in row["reason"]
    constant = row_of(wells(np.full(len(DOSES), 100.0), noise=0.0))
    assert constant["quality"] == "flat"


@pytest.mark.parametrize(
    ("doses", "values", "words"),
    [
        ([1, 2, 3], [90, 50, 10], "only 3 doses for a curve of 4"),
        ([1, 1, 1, 1, 1], [90, 91, 92, 93, 94], "only one dose"),
        ([0, 0, 10, 10, 10], [90, 91, 10, 12, 11], "only one dose"),
        ([1, 2, 3, 4, 5], [None] * 5, "there is no value"),
        ([-1, -2, -3, -4, -5], [90, 80, 50, 20, 10], "below zero"),
    ],
)
def test_no_fit_says_why(doses, values, words):
    row = row_of(pd.DataFrame({"dose": doses, "viability": values}))
    assert (row["quality"], row["relation"]) == ("no fit", "")
    assert np.isnan(row["ic50"])
    assert words in row["reason"]


def test_two_phases_and_turning_back(wells):
    two = 0.5 * (logistic(DOSES, ic50=0.1, hill=3) + logistic(DOSES, ic50=10.0, hill=3))
    row = row_of(wells(two, noise=1.5))
    assert row["quality"] == "no fit"
    assert "two steps" in row["reason"]
    back = logistic(DOSES, ic50=0.5, hill=3) + 80 - 0.8 * logistic(DOSES, ic50=20.0, hill=3)
    assert "turns back" in row_of(wells(back, noise=1.5))["reason"]


def test_direction(wells):
    rising = wells(100 - logistic(DOSES))
    row = row_of(rising, direction="falls")
    assert (row["quality"], np.isnan(row["ic50"])) == ("no fit", True)
    assert "rise with the dose" in row["reason"]
    assert row_of(rising, direction="rises")["quality"] == "good"


def test_py50_issue_1():
    """tlint101/py50 issue 1: a step with one reading of a hundred among zeros made the fit fail."""
    doses = [1, 1.25, 2.5, 5, 10, 25, 50, 100]
    values = np.array([[100] * 3 + [0] * 5, [100] * 3 + [0] * 5, [100] * 4 + [0] * 4])
    table = pd.DataFrame({"dose": doses * 3, "inhibition": values.ravel()})
    row = row_of(table, response="inhibition")
    assert row["relation"] == "="
    assert 2.5 <= row["ic50"] <= 10
    assert row["ic50_low"] < row["ic50"] < row["ic50_high"]
    assert "steep" in row["flags"]
    assert np.isnan(row["hill"])
    averaged = row_of(pd.DataFrame({"dose": doses, "inhibition": np.mean(values, axis=0)}), response="inhibition")
    assert 2.5 <= averaged["ic50"] <= 5.0
    assert "no_spread" in averaged["flags"]


def test_pharmacogx_issue_139():
    """bhklab/PharmacoGx issue 139: y = 100 (1 - x) / (1 + x) passes 50 at x = 1 / 3, not at a tested dose."""
    doses = 1 / 2.0 ** np.arange(9)
    table = pd.DataFrame({"dose": doses, "viability": 100 * (1 - doses) / (1 + doses)})
    row = row_of(table, control=100)
    assert row["ic50_absolute"] == pytest.approx(1 / 3, rel=1e-3)
    assert row["quality"] == "partial"


def test_bands_of_bio_curve_fit_23(wells):
    """Ganymede-Bio/bio-curve-fit pull request 23: confidence and prediction bands were wrong; here by simulation."""
    clean = logistic(DOSES, ic50=1.3)
    rng = np.random.default_rng(5)
    many = pd.DataFrame(
        {
            "treatment": np.repeat(np.arange(300), len(DOSES)),
            "dose": np.tile(DOSES, 300),
            "viability": np.tile(clean, 300) + rng.normal(0, 4, 300 * len(DOSES)),
        }
    )
    at = [0.1, 1.0, 5.0]
    true = logistic(at, ic50=1.3)
    holds, new = [], []
    for fitted in fit(many, interval="delta").fits:
        band = fitted.band(at)
        holds.append((band["low"] <= true) & (true <= band["high"]))
        drawn = true + rng.normal(0, 4, 3)
        new.append((band["new_low"] <= drawn) & (drawn <= band["new_high"]))
    assert np.mean(holds) == pytest.approx(0.95, abs=0.025)
    assert np.mean(new) == pytest.approx(0.95, abs=0.025)


def test_text_units_commas_and_bounds():
    table = pd.DataFrame(
        {
            "treatment": "A",
            "dose": ["0,01 uM", "30 nM", "0,1 µM", "0.3", "1", "3", "10", "30", "100 µM", "a lot", "5 mg/mL", "-1"],
            "dose_unit": ["", "", "", *["µM"] * 9],
            "viability": ["99", "98", "97", "80", "45", "20", "5", "2", "<1", "50", "50", "50"],
        }
    )
    result = fit(table.assign(dose=table["dose"].str.replace(",", ".")))
    row, points = result.curves.iloc[0], result.points
    assert row["ic50"] == pytest.approx(0.87, rel=0.1)
    assert row["ic50_unit"] == "µM"
    assert points["dose"].iloc[1] == pytest.approx(0.03)
    assert len(points) == len(table)
    assert points["excluded"].tolist() == [False] * 9 + [True] * 3
    assert (points["reason"] != "").tolist() == [False] * 9 + [True] * 3
    for word in ("dose_units_converted", "points_left_out", "censored_values"):
        assert word in row["flags"]
    commas = pd.DataFrame({"dose": ["0,1", "0,3", "1", "3", "10", "30"], "v": ["9,9", "9,5", "7", "2,5", "0,5", "0,1"]})
    assert row_of(commas, response="v")["n"] == 6
    doubtful = fit(pd.DataFrame({"dose": ["1,000", "2,000", "3,000", "4,000"], "v": [4, 3, 2, 1]}), "v")
    assert "may be 1 or 1000" in doubtful.points["reason"].iloc[0]
    assert doubtful.curves["quality"].iloc[0] == "no fit"


def test_hostile_names_and_missing_ones_are_kept(wells):
    names = ["=cmd|'/C calc'!A0", "<script>alert(1)</script>", "µ-opioid 板", ""]
    result = fit(pd.concat([wells().assign(treatment=name) for name in names], ignore_index=True))
    assert result.curves["treatment"].tolist() == names[:3]
    assert (result.points["reason"].iloc[-len(DOSES) :] == "the treatment has no name").all()


def test_missing_controls(wells):
    table = wells().assign(plate="P1", role="treated")
    row = row_of(table, normalise="negative")
    assert row["quality"] == "no fit"
    assert "no negative controls" in row["reason"]
    assert "no_controls" in row_of(table)["flags"]
    zero = pd.concat([table, pd.DataFrame({"treatment": "A", "dose": [0.0] * 3, "viability": 100.0, "plate": "P1"})])
    assert "zero_dose_as_control" in row_of(zero.assign(role="treated"), normalise="negative")["flags"]


def test_outliers_by_rule_and_by_hand(wells):
    table = wells(noise=2.0)
    table.loc[[4, 13], "viability"] = [10.0, 160.0]
    result = fit(table, outliers="rout")
    assert set(result.points.index[result.points["excluded"]]) == {4, 13}
    assert result.points["reason"][4].startswith("outlier: ")
    assert abs(np.log10(result.curves["ic50"][0])) < 0.05
    assert "outliers_left_out" in result.curves["flags"][0]
    hand = fit(table.assign(excluded=table.index.isin([4, 13]), reason="bubble"))
    assert hand.points["reason"][13] == "left out by hand: bubble"
    assert hand.curves["ic50"][0] == pytest.approx(result.curves["ic50"][0], rel=1e-6)
    clean = fit(wells(noise=2.0, seed=9), outliers="rout")
    assert clean.points["excluded"].sum() <= 1


def test_one_outlier_of_three_moves_a_robust_ic50_little(wells):
    table = wells(noise=2.0)
    table.loc[13, "viability"] = 250.0
    assert abs(np.log10(row_of(table, weights="tukey")["ic50"])) < 0.05
    assert abs(np.log10(row_of(table)["ic50"])) > 0.2


def test_weights_by_replicates_are_moderated_inverse_variances(wells):
    table = wells(noise=2.0)
    table.loc[12:14, "viability"] += [-40, 0, 40]
    result = fit(table, weights="replicates")
    variance = table.groupby("dose")["viability"].var()
    expected = 1 / ((4 * variance.mean() + 2 * variance) / 6)
    at = result.points.groupby("dose")["weight"].first()
    assert (at / at.iloc[0]).tolist() == pytest.approx((expected / expected.iloc[0]).tolist())


def test_weights_by_the_wells_own_intervals(wells):
    table = wells(noise=2.0)
    table.loc[13, "viability"] = 250.0
    wide = table.assign(viability_low=table["viability"] - 4, viability_high=table["viability"] + 4)
    wide.loc[13, ["viability_low", "viability_high"]] = [-400.0, 900.0]
    result = fit(wide, weights="interval")
    assert abs(np.log10(result.curves["ic50"][0])) < 0.05
    assert result.points["weight"][13] < 0.01 < result.points["weight"][12]


def test_wells_outside_the_model(wells):
    table = wells(flags=["outside_model", "few_cells;live_dye_leak"] + ["saturated;interval_simulated"] + [""] * 24)
    row = row_of(table)
    assert row["outside_wells"] == 2
    assert {"rests_on_outside_model", "interval_simulated"} <= set(row["flags"].split(";"))
    left = fit(table, outside_wells="leave_out")
    assert left.points["excluded"].sum() == 2
    assert left.curves["outside_wells"][0] == 0


def test_held_parameters_and_models(wells):
    table = wells(noise=2.0)
    assert row_of(table, parameters=3)["bottom"] == 0
    two = row_of(table, parameters=2, control=100)
    assert (two["top"], two["bottom"], two["model"]) == (100, 0, "LL.2")
    assert "level of untreated wells" in row_of(table, parameters=2)["reason"]
    held = row_of(table, hill=1.5, top=100)
    assert (held["hill"], held["top"]) == (pytest.approx(1.5), 100)


def test_intervals_say_which_they_are(wells):
    table = wells(noise=4.0)
    found = {kind: row_of(table, interval=kind, resamples=199) for kind in ("profile", "delta", "bootstrap")}
    for kind, row in found.items():
        assert row["interval_kind"] == kind
        assert row["ic50_low"] < row["ic50"] < row["ic50_high"]
        assert row["ic50_low"] == pytest.approx(found["profile"]["ic50_low"], rel=0.2)
    narrow = row_of(table, level=0.5)
    assert narrow["ic50_high"] < found["profile"]["ic50_high"]


def test_several_quantities_and_order_of_rows(wells):
    table = wells().assign(atp=lambda t: 10 * t["viability"])
    result = fit(table, ["viability", "atp"])
    assert result.curves["quantity"].tolist() == ["viability", "atp"]
    assert len(result.points) == 2 * len(table)
    assert result.curves["ic50"][0] == pytest.approx(result.curves["ic50"][1])
    shuffled = fit(table.sample(frac=1, random_state=1), "viability").curves
    assert shuffled["ic50"][0] == pytest.approx(result.curves["ic50"][0], rel=1e-7)


def test_no_more_points_than_parameters_has_no_interval():
    row = row_of(pd.DataFrame({"dose": [0.1, 1, 10, 100], "viability": [100, 80, 20, 1]}))
    assert row["quality"] in ("wide", "partial")
    assert np.isnan(row["p_flat"])


def test_wrong_columns_and_settings(wells):
    with pytest.raises(InputError, match="no column 'atp'"):
        fit(wells(), "atp")
    with pytest.raises(InputError, match="no column 'site'"):
        fit(wells(), by=["site"])
    with pytest.raises(ParameterError):
        fit(wells(), level=2)
    assert fit(wells().iloc[:0]).curves.empty


def test_torch_is_not_loaded():
    code = "import sys, vitascope.stats.response.analysis as a; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("seed", range(12))
def test_any_cells_give_a_row_or_a_reason(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 14))
    doses = [0, -1, np.nan, "x", "1 nM", "3 uM", "0.5", "1,5", 1e-6, 1e6, 1, 2, 3, 5, 10, 30, 100.0, np.inf]
    values = ["a", "<1", ">5", "1e300", "-3", "", None, 1, 2, 3, 50, 100, 1e-300, 0, np.inf]
    roles = ["treated", "treated", "negative", "positive", "blank", None]
    table = pd.DataFrame(
        {
            "plate": "P",
            "treatment": [["A", "B", "", None][i] for i in rng.integers(0, 4, n)],
            "dose": [doses[i] for i in rng.integers(0, len(doses), n)],
            "viability": [values[i] for i in rng.integers(0, len(values), n)],
            "role": [roles[i] for i in rng.integers(0, len(roles), n)],
        }
    )
    for settings in (
        {},
        {"parameters": 2, "normalise": "controls"},
        {"parameters": 3, "outliers": "rout", "weights": "tukey"},
        {"normalise": "negative", "weights": "replicates", "interval": "bootstrap", "resamples": 99},
        {"normalise": "plate", "beyond": "tenfold", "interval": "delta"},
    ):
        result = fit(table, **settings)
        assert len(result.points) == n
        assert (result.points["reason"][result.points["excluded"]] != "").all()
        assert (result.curves["reason"][result.curves["quality"] != "good"] != "").all()


def test_plate_and_treatment_are_columns_also_where_there_are_none(wells):
    result = fit(wells().drop(columns="treatment").assign(day="", time=np.nan))
    assert list(result.curves) == ["plate", "treatment", *CURVE_COLUMNS]
    assert list(result.points) == ["plate", "treatment", *POINT_COLUMNS]
    assert result.curves[["plate", "treatment"]].to_numpy().tolist() == [["", ""]]
    assert list(fit(wells().assign(day=3)).curves)[:3] == ["plate", "day", "treatment"]


def test_a_start_that_no_dose_shows_is_no_bound():
    """The fit runs off to a plateau far above; controls say that the lowest dose does no harm."""
    doses = np.repeat([0.03, 0.1, 0.3, 1, 3, 10, 30, 100], 2)
    values = [181, 193, 176, 97, 105, 92, 65, 89, 90, 99, 23, 29, 24, 21, 23, 23]
    table = pd.DataFrame({"treatment": "A", "dose": doses, "dose_unit": "µM", "viability": values, "role": "treated"})
    controls = pd.DataFrame({"treatment": "DMSO", "dose": 0.0, "viability": [92.0, 100, 110, 98], "role": "negative"})
    both = pd.concat([table, controls], ignore_index=True)
    row = row_of(both)
    assert (row["quality"], row["relation"]) == ("no fit", "")
    assert "no dose shows where the curve starts" in row["reason"]
    assert np.isnan(row["ic50"])
    helped = row_of(both, fit_controls=True)
    assert (helped["relation"], 1 < helped["ic50"] < 12) == ("=", True)
    # a potent compound is still bounded, and so is one whose controls are not known
    potent = both.assign(
        viability=np.where(both["role"] == "treated", logistic(both["dose"] + 1e-9, ic50=0.004), both["viability"])
    )
    assert row_of(potent)["relation"] == "<"
    assert row_of(table)["relation"] == "<"


def test_survivors_of_a_dose_whose_live_dye_leaks_are_left_out(wells):
    """Dead wells leak and have no value: the one at 90 whose leak was not noticed would hold the lower plateau up."""
    table = pd.DataFrame({"treatment": "A", "dose": DOSES, "dose_unit": "µM", "value": logistic(DOSES), "flags": ""})
    top = table.index[table["dose"] == table["dose"].max()]
    table.loc[top[:-1], ["value", "flags"]] = [np.nan, "live_dye_leak"]
    table.loc[top[-1], "value"] = 90.0
    found = fit_dose_response(table, response="value")
    row, plain = found.curves.iloc[0], fit_dose_response(table.drop(top), response="value").curves.iloc[0]
    assert (row["ic50"], row["n"]) == (plain["ic50"], plain["n"])
    assert "points_left_out" in row["flags"].split(";")
    assert "least dead" in found.points.loc[top[-1], "reason"]
    # without a leak that took a value, nothing is left out
    assert fit_dose_response(table.assign(flags=""), response="value").curves["n"][0] == row["n"] + 1
