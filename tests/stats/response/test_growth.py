"""Growth rates against the formula of the paper."""

import math

import numpy as np
import pandas as pd
import pytest

from vitascope.core.errors import InputError
from vitascope.stats.response.growth import GR_COLUMNS, gr_values, growth_metrics, growth_table

DOSES = 10.0 ** np.linspace(-3, 1, 9)


def plate(gr, x0=1000.0, doublings=2.0, doses=DOSES):
    """Wells whose GR value is known: x = x0 2^(doublings log2(GR + 1))."""
    control = x0 * 2**doublings
    treated = x0 * 2 ** (doublings * np.log2(np.asarray(gr) + 1))
    rows = [("A", "treated", d, v) for d, v in zip(doses, treated, strict=True)]
    rows += [("", "time0", np.nan, x0)] * 3 + [("DMSO", "negative", np.nan, control)] * 3
    return pd.DataFrame(rows, columns=["treatment", "role", "dose", "cells"])


def test_values_of_the_paper():
    """Hafner 2016: 1 as the control, 0 stasis, -1 all dead at once, independent of the division rate."""
    assert gr_values([8.0, 1.0], [8.0, 8.0], 1.0).tolist() == [1.0, 0.0]
    slow, fast = gr_values(2.0**0.5, 2.0, 1.0), gr_values(2.0**1.5, 2.0**3, 1.0)
    assert slow == pytest.approx(fast)
    assert gr_values(1e-30, 2.0, 1.0) == pytest.approx(-1, abs=1e-9)
    assert np.isnan(gr_values([0.0, -1.0, np.nan, 4.0], [2, 2, 2, 1.0], 1.0)).all()


def test_metrics_of_a_known_curve():
    gr = -0.4 + 1.4 / (1 + (DOSES / 0.1) ** 1.2)
    values = growth_table(plate(gr), response="cells")
    assert values["GRvalue"].to_numpy() == pytest.approx(gr)
    assert values["ctrl_cell_doublings"].to_numpy() == pytest.approx(2.0)
    found = growth_metrics(values)
    assert list(found) == ["treatment", *GR_COLUMNS]
    row = found.iloc[0]
    assert row["fit_GR"] == "sigmoid"
    assert (row["GEC50"], row["h_GR"], row["GRinf"]) == pytest.approx((0.1, 1.2, -0.4), rel=1e-6)
    # the formula of GRmetrics, from GEC50, GRinf and h_GR
    assert row["GR50"] == pytest.approx(0.1 * (1.4 / 0.9 - 1) ** (1 / 1.2), rel=1e-6)
    assert row["GRmax"] == pytest.approx(gr[-2:].min())
    assert row["GR_AOC"] == pytest.approx(np.mean(((1 - gr)[1:] + (1 - gr)[:-1]) / 2))


def test_no_gr50_above_a_half_and_flat_curves():
    high = growth_metrics(growth_table(plate(0.7 + 0.3 / (1 + (DOSES / 0.1) ** 2)), response="cells")).iloc[0]
    assert high["GR50"] == math.inf
    noise = 1 + np.array([1, -1, 1, -1, 1, -1, 1, -1, 1]) * 0.01
    flat = growth_metrics(growth_table(plate(noise), response="cells")).iloc[0]
    assert (flat["fit_GR"], flat["GR50"]) == ("flat", math.inf)
    assert flat["flat_fit_GR"] == pytest.approx(1.0, abs=0.01)
    assert np.isnan(flat["GEC50"])


def test_bad_input_is_said():
    table = plate(np.ones(9))
    with pytest.raises(InputError, match="time0"):
        growth_table(table[table["role"] != "time0"], response="cells")
    with pytest.raises(InputError, match="no column 'atp'"):
        growth_table(table, response="atp")
    shrinking = plate(np.ones(9), doublings=-1.0)
    row = growth_metrics(growth_table(shrinking, response="cells")).iloc[0]
    assert row["fit_GR"] == "no fit"
    assert "control must grow" in row["reason"]
