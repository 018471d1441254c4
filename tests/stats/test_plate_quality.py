from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from vitascope.core.errors import InputError
from vitascope.core.well import Well
from vitascope.stats.plate_quality import (
    MAD_TO_SD,
    cv_percent,
    plate_quality,
    position_effects,
    signal_to_background,
    ssmd,
    z_prime,
)


def test_the_mad_is_scaled_by_the_quartile_of_the_normal():
    assert pytest.approx(1 / norm.ppf(0.75), rel=1e-15) == MAD_TO_SD


def exact(mean, sd, n):
    """Numbers with exactly this mean and standard deviation (n - 1)."""
    base = np.linspace(-1, 1, n)
    return mean + sd * base / base.std(ddof=1)


@pytest.mark.parametrize(("m_n", "s_n", "m_p", "s_p"), [(100, 5, 10, 3), (10, 3, 100, 5), (1, 0.5, 1.2, 0.1)])
def test_closed_forms_on_constructed_controls(m_n, s_n, m_p, s_p):
    negative, positive = exact(m_n, s_n, 12), exact(m_p, s_p, 9)
    assert z_prime(negative, positive) == pytest.approx(1 - 3 * (s_p + s_n) / abs(m_p - m_n), abs=1e-12)
    assert ssmd(negative, positive) == pytest.approx((m_p - m_n) / math.sqrt(s_p**2 + s_n**2), abs=1e-12)
    assert cv_percent(negative) == pytest.approx(100 * s_n / m_n, abs=1e-12)
    assert signal_to_background(negative, positive) == pytest.approx(max(m_p, m_n) / min(m_p, m_n), abs=1e-12)


def test_robust_forms_do_not_see_an_outlier():
    negative, positive = [10.0, 11, 12, 13, 14], [1.0, 2, 3, 4, 5]
    spread = 2 * 1.4826022185056018  # MAD 1 on both sides
    assert z_prime(negative, positive, robust=True) == pytest.approx(1 - 3 * spread / 9, abs=1e-12)
    assert ssmd(negative, positive, robust=True) == pytest.approx(-9 / math.hypot(spread / 2, spread / 2), abs=1e-12)
    spoilt = [10.0, 11, 12, 13, 1e9]
    assert z_prime(spoilt, positive, robust=True) == z_prime(negative, positive, robust=True)
    assert z_prime(spoilt, positive) < -1


@pytest.mark.fault("C14")
@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ([], [1.0, 2]),
        ([1.0, 2], []),
        ([1.0], [2.0]),
        ([5.0, 5], [1.0, 1]),
        ([5.0, 6], [5.0, 6]),
        ([math.nan] * 3, [1.0, 2]),
    ],
)
@pytest.mark.parametrize("robust", [False, True])
def test_what_is_not_defined_is_nan_and_never_infinite(negative, positive, robust):
    assert math.isnan(z_prime(negative, positive, robust))
    assert math.isnan(ssmd(negative, positive, robust)) or ssmd(negative, positive, robust) == 0
    assert math.isnan(cv_percent([]))
    assert math.isnan(cv_percent([-1.0, 1.0]))
    assert math.isnan(signal_to_background([0.0, 0.0], [1.0, 2.0]))


WELLS = [Well(r, c) for r in range(8) for c in range(12)]


def rank_test(outer, inner):
    """Mann-Whitney's U and its normal p with continuity and tie correction, in loops."""
    u = sum((a > b) + 0.5 * (a == b) for a in outer for b in inner)
    n, m = len(outer), len(inner)
    everything = [*outer, *inner]
    ties = sum(t**3 - t for t in (everything.count(v) for v in set(everything)))
    sd = math.sqrt(n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1))))
    z = (abs(u - n * m / 2) - 0.5) / sd
    return 2 * norm.sf(z)


def test_an_edge_effect_is_found_and_its_size_told():
    rng = np.random.default_rng(3)
    edge = np.array([w.row in (0, 7) or w.column in (0, 11) for w in WELLS])
    values = rng.normal(100, 2, 96) * np.where(edge, 0.9, 1.0)
    found = position_effects(WELLS, values, (8, 12))
    expected = 100 * (np.median(values[edge]) / np.median(values[~edge]) - 1)
    assert found.edge_percent == pytest.approx(expected, abs=1e-12)
    assert found.edge_p == pytest.approx(rank_test(list(values[edge]), list(values[~edge])), rel=1e-6)
    assert found.edge_p < 1e-10
    assert found.n == 96


def test_rows_and_columns_are_told_apart():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, 96)
    by_row = position_effects(WELLS, noise + [3 * (w.row % 2) for w in WELLS], (8, 12))
    by_column = position_effects(WELLS, noise + [3 * (w.column % 2) for w in WELLS], (8, 12))
    none = position_effects(WELLS, noise, (8, 12))
    assert by_row.row_p < 1e-6 < 0.01 < by_row.column_p
    assert by_column.column_p < 1e-6 < 0.01 < by_column.row_p
    assert min(none.row_p, none.column_p, none.edge_p) > 0.01


def test_the_tests_find_five_in_a_hundred_where_there_is_nothing():
    rng = np.random.default_rng(5)
    found = [position_effects(WELLS, rng.normal(0, 1, 96), (8, 12)) for _ in range(200)]
    for name in ("edge_p", "row_p", "column_p"):
        share = np.mean([getattr(one, name) < 0.05 for one in found])
        assert 0.01 < share < 0.1


def test_too_few_or_equal_wells_are_not_tested():
    for values in ([1.0] * 96, [math.nan] * 96, [1.0, 2.0] + [math.nan] * 94):
        found = position_effects(WELLS, values, (8, 12))
        assert math.isnan(found.edge_p)
        assert math.isnan(found.row_p)


def plate_table():
    rng = np.random.default_rng(6)
    rows = []
    for plate, well in itertools.product(("p1", "p2"), WELLS):
        role = {0: "negative", 11: "positive"}.get(well.column, "treated")
        mean = {"negative": 100, "positive": 10, "treated": 80}[role] * (2 if plate == "p2" else 1)
        rows.append({"plate": plate, "well": str(well), "role": role, "atp": rng.normal(mean, 5)})
    return pd.DataFrame(rows)


def test_plates_are_judged_one_by_one_and_missing_wells_are_counted():
    table = plate_table()
    table.loc[[0, 11, 50], "atp"] = np.nan
    before = table.copy()
    found = plate_quality(table, "atp").set_index("plate")
    pd.testing.assert_frame_equal(table, before)
    for plate in ("p1", "p2"):
        part = table[table["plate"] == plate].dropna()
        negative, positive = (part[part["role"] == r]["atp"].to_numpy() for r in ("negative", "positive"))
        assert found.loc[plate, "z_prime"] == z_prime(negative, positive)
        assert found.loc[plate, "n_negative"] == len(negative)
        assert found.loc[plate, "position_role"] == "treated"
    assert found["n_missing"].to_dict() == {"p1": 3, "p2": 0}
    assert found["z_prime"].min() > 0.3
    with pytest.raises(InputError, match="no column 'role'"):
        plate_quality(table.drop(columns="role"), "atp")


def test_controls_spread_over_the_plate_are_what_position_is_tested_on():
    table = plate_table()
    table.loc[table.index % 4 == 0, "role"] = "negative"
    assert set(plate_quality(table, "atp")["position_role"]) == {"negative"}


def test_a_table_without_plates_is_one_plate():
    assert len(plate_quality(plate_table().query("plate == 'p1'").drop(columns="plate"), "atp")) == 1
