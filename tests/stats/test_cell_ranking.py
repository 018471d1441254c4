"""Medians of wells, their intervals and ranks."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import quantile_test

from vitascope.stats.cell_ranking import COLUMNS, median_interval, rank_wells


@pytest.mark.parametrize("count", [6, 7, 20, 61, 200])
def test_the_interval_is_that_of_the_sign_test(count):
    values = np.random.default_rng(count).lognormal(size=count)
    expected = quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert median_interval(values) == pytest.approx((expected.low, expected.high))


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = [low <= 0 <= high for low, high in (median_interval(rng.standard_t(2, 15)) for _ in range(2000))]
    assert np.mean(inside) >= 0.95


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_handful_of_cells_has_no_interval(count):
    assert np.isnan(median_interval(np.arange(count))).all()


def test_wells_are_ranked_within_their_plate_and_intervals_that_overlap_leave_ranks_open():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"plate": plate, "well": well, "er": rng.normal(mean, 1, count), "area": 5.0})
        for plate, well, mean, count in (
            ("p", "A01", 10, 40), ("p", "A02", 0, 40), ("p", "A03", 0.05, 40), ("p", "A04", 5, 3), ("q", "A01", -9, 40),
        )
    ]  # fmt: skip
    cells = pd.concat(parts, ignore_index=True)
    cells.loc[0, "er"] = np.nan
    found = rank_wells(cells, ["plate"], ["er", "area"])
    assert list(found) == ["plate", "well", *COLUMNS]
    er = found[(found["quantity"] == "er") & (found["plate"] == "p")].set_index("well")
    assert er["rank"].to_dict() == {
        well: 1 + sum(er.loc[other, "median"] > er.loc[well, "median"] for other in er.index) for well in er.index
    }
    assert list(er.index)[:2] == ["A01", "A04"]
    assert er.loc["A01", "cells"] == 39
    assert (er.loc["A01", "rank_low"], er.loc["A01", "rank_high"]) == (1, 2)  # A04 has too few cells to be below it
    assert (er.loc["A02", "rank_low"], er.loc["A02", "rank_high"]) == (2, 4)
    assert np.isnan(er.loc["A04", ["low", "high", "interval_level"]].astype(float)).all()
    assert (er.loc["A04", "rank_low"], er.loc["A04", "rank_high"]) == (1, 4)
    area = found[(found["quantity"] == "area") & (found["plate"] == "p")]
    assert (area["rank"] == 2.5).all()
    alone = found[(found["quantity"] == "er") & (found["plate"] == "q")]
    assert alone[["rank", "rank_low", "rank_high", "wells"]].to_numpy().tolist() == [[1, 1, 1, 1]]


def test_no_cells_make_an_empty_table():
    found = rank_wells(pd.DataFrame({"plate": [], "well": [], "er": []}), ["plate"], ["er"])
    assert list(found) == ["plate", "well", *COLUMNS]
    assert not len(found)
