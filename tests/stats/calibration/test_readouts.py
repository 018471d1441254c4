import numpy as np
import pytest

from vitascope.core.errors import InputError
from vitascope.core.readout import NUMBER
from vitascope.ops.wells.organoid_features import ORGANOID_FEATURES
from vitascope.stats.calibration.left_out import (
    choose,
    compare_left_out,
    constant_left_out,
    deal_folds,
    error_table,
    kept_apart,
    learning_curve,
    predict_left_out,
)
from vitascope.stats.calibration.next_wells import rank_next, spread_of_wells
from vitascope.stats.calibration.readouts import Wells, fit_readout, read_out


def wells(n=24, seed=0, noise=0.0, groups=6):
    rng = np.random.default_rng(seed)
    features = rng.uniform(1, 3, (n, 2))
    number = rng.uniform(10, 100, n)
    truth = 3 * number + 40 * features[:, 0] + noise * rng.standard_normal(n)
    return Wells(truth, number, features, ("area", "volume"), tuple(str(i % groups) for i in range(n)))


def test_no_feature_has_the_name_of_the_start_models_number():
    assert NUMBER not in ORGANOID_FEATURES


def test_a_line_is_that_of_least_squares_and_never_falls():
    known = wells(12)
    slope, offset = np.polyfit(known.number, known.truth, 1)
    found = read_out(fit_readout("line", known), known.values())
    np.testing.assert_allclose(found, slope * known.number + offset, rtol=1e-6)
    falling = Wells(-known.number + 200, known.number, known.features, known.names, known.groups)
    assert np.ptp(read_out(fit_readout("line", falling), falling.values())) == 0


def test_a_curve_is_taken_where_it_errs_less_on_wells_left_out():
    number = np.linspace(1, 100, 20)
    bent = Wells(50 * number**0.5, number, np.zeros((20, 1)), ("area",), tuple(map(str, range(20))))
    readout = fit_readout("line", bent)
    assert readout.terms[0].power == 0.5
    np.testing.assert_allclose(read_out(readout, bent.values()), bent.truth, rtol=1e-5)


def test_the_errors_left_out_of_a_ridge_are_those_of_fits_without_each_well():
    known = wells(30, noise=5.0)
    predicted = predict_left_out("features", known, deal_folds(tuple(map(str, range(30))), 30))
    one = known.at(np.arange(30) != 7)
    expected = read_out(fit_readout("features", one), known.at(np.arange(30) == 7).values())
    assert predicted[7] == pytest.approx(expected[0])


def test_a_blend_finds_what_neither_has_alone_and_is_kept_by_default():
    known = wells(60, noise=1.0, groups=10)
    folds = deal_folds(known.groups)
    predicted = compare_left_out(known, folds)
    errors = {name: float(np.abs(one - known.truth).mean()) for name, one in predicted.items()}
    assert errors["blend"] < 0.5 * min(errors["line"], errors["features"])
    assert choose(errors) == "blend"
    assert choose({"line": 75, "features": 120, "blend": 100, "constant": 10}) == "blend"
    assert choose({"line": 65, "features": 120, "blend": 100, "constant": 10}) == "line"
    table = error_table(known, predicted, "blend").set_index("method")
    assert table.loc["line", "mae"] == pytest.approx(errors["line"])
    assert table.loc["line", "low"] < errors["line"] < table.loc["line", "high"]
    assert table["chosen"].tolist() == [False, False, True, False]


def test_whole_groups_are_left_out():
    known = wells(24)
    folds = deal_folds(known.groups, 5)
    for group in set(known.groups):
        assert len({fold for fold, own in zip(folds, known.groups, strict=True) if own == group}) == 1
    constant = constant_left_out(known, folds)
    assert constant[0] == np.median(known.truth[folds != folds[0]])


def test_plates_are_kept_apart_then_rows_then_columns_then_wells():
    rows = [f"{row}{column:02d}" for row in "ABC" for column in (1, 2, 3)]
    assert kept_apart(["p"] * 4 + ["q"] * 5, rows)[1] == "plates"
    assert kept_apart(["p"] * 9, rows) == (tuple("AAABBBCCC"), "rows")
    assert kept_apart(["p"] * 9, rows, list("xxxyyyzzz"))[1] == "groups"
    assert kept_apart([""] * 8, [f"A{n:02d}" for n in range(1, 9)])[1] == "columns"
    assert kept_apart([""] * 8, [""] * 8)[1] == "wells"
    assert kept_apart(["p"] * 7 + ["q"], rows[:8])[1] == "rows"  # one plate alone would leave one well to fit on


def test_a_learning_curve_falls_and_goes_on():
    curve = learning_curve("blend", wells(60, noise=20.0, groups=12))
    measured = curve[curve["kind"] == "measured"]
    assert measured["wells"].tolist()[:2] == [8, 12]
    assert measured["mae"].iloc[-1] < measured["mae"].iloc[0]
    expected = curve[curve["kind"] == "expected"]
    assert expected["wells"].tolist() == [60, 120]
    assert expected["mae"].iloc[1] <= expected["mae"].iloc[0]


def test_the_wells_to_measure_next_are_far_from_those_measured_and_from_each_other():
    known = np.array([[0.0, 0.1], [0.1, 0.0], [-0.1, 0.0]])
    unknown = np.array([[0.0, 0.05], [3.0, 0.0], [2.9, 0.0], [0.0, 2.0]])
    ranked = rank_next(known, unknown)
    assert [row for row, _ in ranked[:2]] == [1, 3]
    assert ranked[0][1] == pytest.approx(unknown[1] @ np.linalg.inv(np.eye(2) + known.T @ known) @ unknown[1])
    placed = spread_of_wells(np.ones((3, 1)), ["A01", "", "B03"])
    np.testing.assert_allclose(placed[:, 0], 0)
    np.testing.assert_allclose(placed[1, 1:], 0)


def test_wells_that_teach_nothing_are_refused():
    same = Wells(np.ones(8), np.arange(8.0), np.ones((8, 1)), ("area",), tuple(map(str, range(8))))
    with pytest.raises(InputError, match="teach nothing"):
        fit_readout("line", same)
