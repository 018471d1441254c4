"""Place on the plate: told by the distance of wells from their own curve, and taken out on demand."""

import numpy as np
import pandas as pd
import pytest

from response_support import logistic
from vitascope.stats.response.analysis import fit_dose_response

DOSES = 10.0 ** np.linspace(-2, 2, 10)
IC50S = (0.3, 1.0, 3.0)


def plate(edge=1.0, column=None, shuffled=True, noise=0.03, seed=0):
    """A plate of 96: three compounds in ten doses and two wells each, the rest DMSO and a dead control."""
    rng = np.random.default_rng(seed)
    wells = [(f"{'ABCDEFGH'[r]}{c + 1:02d}", r, c) for r in range(8) for c in range(12)]
    layout = [
        (f"C{i}", "treated", d, logistic(d, ic50=ic50)) for i, ic50 in enumerate(IC50S) for d in DOSES for _ in "ab"
    ]
    layout += [("DMSO", "negative", 0.0, 100.0)] * 24 + [("Kill", "positive", 0.0, 5.0)] * 12
    order = rng.permutation(96) if shuffled else range(96)
    rows = []
    for at, (name, role, dose, value) in zip(order, layout, strict=True):
        well, r, c = wells[at]
        place = edge if r in (0, 7) or c in (0, 11) else 1.0
        place *= column[c] if column is not None else 1.0
        rows.append((well, "P1", name, role, dose, "µM", value * place * (1 + rng.normal(0, noise))))
    return pd.DataFrame(rows, columns=["well", "plate", "treatment", "role", "dose", "dose_unit", "signal"])


def test_a_good_plate_brings_no_words_and_a_bad_one_does():
    good = fit_dose_response(plate(), response="signal")
    assert good.plates["z_prime"].iloc[0] > 0.7
    assert not set(["low_z_prime", "edge_effect"]) & set(";".join(good.curves["flags"]).split(";"))
    bad = fit_dose_response(plate(edge=0.7), response="signal")
    assert all("edge_effect" in flags.split(";") for flags in bad.curves["flags"])
    assert bad.plates["edge_percent"].iloc[0] == pytest.approx(-30, abs=6)
    noisy = fit_dose_response(plate(noise=0.5), response="signal")
    assert all("low_z_prime" in flags.split(";") for flags in noisy.curves["flags"])


def test_a_layout_whose_doses_follow_the_columns_shows_no_column_effect():
    found = [fit_dose_response(plate(shuffled=False, seed=s), response="signal").plates.iloc[0] for s in range(20)]
    assert np.mean([one["column_p"] < 0.01 for one in found]) <= 0.1


@pytest.mark.parametrize(("how", "hurt"), [("edge", {"edge": 0.7}), ("columns", {"column": np.linspace(0.7, 1.3, 12)})])
def test_correcting_brings_the_ic50s_back(how, hurt):
    def error(table, **settings):
        result = fit_dose_response(table, response="signal", **settings)
        curves = result.curves
        return result, np.abs(np.log10(curves["ic50"].to_numpy(float) / np.array(IC50S)))

    before, after = [], []
    for seed in range(8):
        hurt_plate = plate(**hurt, seed=seed)
        before.append(error(hurt_plate)[1])
        result, found = error(hurt_plate, correct=how)
        after.append(found)
    assert np.mean(after) < 0.6 * np.mean(before)
    assert np.mean(after) < 0.05
    assert all("position_corrected" in flags for flags in result.curves["flags"])
    assert result.plates["corrected"].iloc[0] == how
    np.testing.assert_array_equal(result.points["value"], hurt_plate["signal"])  # as given, always


def test_correcting_a_good_plate_changes_little_and_without_wells_nothing():
    table = plate()
    plain, corrected = (
        fit_dose_response(table, response="signal", correct=how).curves["ic50"] for how in ("none", "all")
    )
    np.testing.assert_allclose(plain, corrected, rtol=0.1)
    nameless = table.drop(columns="well")
    one, other = (fit_dose_response(nameless, response="signal", correct=how).curves for how in ("none", "all"))
    np.testing.assert_array_equal(one["ic50"], other["ic50"])
    assert not any("position_corrected" in flags for flags in other["flags"])


def test_drift_of_the_plate_comes_along():
    drifted = plate().assign(drift_alarm=[True] + [False] * 95)
    assert all(
        "drift_alarm" in flags.split(";") for flags in fit_dose_response(drifted, response="signal").curves["flags"]
    )


def test_a_plateau_is_held_for_one_curve_alone():
    table = plate()
    held = table.assign(hold_bottom=[3.0 if name == "C1" else None for name in table["treatment"]])
    free, found = (fit_dose_response(one, response="signal").curves.set_index("treatment") for one in (table, held))
    assert found.loc["C1", "bottom"] == pytest.approx(3)
    assert found.loc["C1", "model"] == "LL.4 (bottom = 3)"
    pd.testing.assert_series_equal(found.loc["C0"], free.loc["C0"])
    alone = fit_dose_response(table[table["treatment"].isin(["C1", "DMSO"])], response="signal", bottom=3).curves
    assert alone["ic50"].iloc[0] == pytest.approx(found.loc["C1", "ic50"], rel=1e-6)
