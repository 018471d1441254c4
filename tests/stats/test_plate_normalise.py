from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.well import Well
from vitascope.stats.plate_normalise import METHODS, b_score, median_polish, normalise
from vitascope.stats.plate_quality import MAD_TO_SD

# Tukey, Exploratory Data Analysis (1977), page 224 of Velleman and Hoaglin's ABC: deaths from sport parachuting.
DEATHS = np.array([[14.0, 15, 14], [7, 4, 7], [8, 2, 10], [15, 9, 10], [0, 2, 0]])


def test_median_polish_of_the_textbook():
    overall, row, column, residual = median_polish(DEATHS)
    assert overall == 8
    assert row.tolist() == [6, -1, 0, 2, -8]
    assert column.tolist() == [0, -1, 0]
    assert np.abs(residual).sum() == 19
    np.testing.assert_allclose(overall + row[:, None] + column[None, :] + residual, DEATHS)


def constructed(seed=1, shape=(8, 12)):
    """Rows, columns and residuals whose medians are all zero, so that the polish must give them back."""
    rng = np.random.default_rng(seed)
    row = rng.permutation(np.arange(shape[0]) - (shape[0] - 1) / 2) * 3.0
    column = rng.permutation(np.arange(shape[1]) - (shape[1] - 1) / 2) * 2.0
    residual = np.zeros(shape)
    residual[2, 3], residual[5, 7] = 4.0, -2.0
    residual[np.arange(8), np.arange(8)] += 0.5
    residual[np.arange(8), np.arange(8) + 4] -= 0.5
    return 50 + row[:, None] + column[None, :] + residual, residual


def test_the_b_score_of_a_constructed_plate_is_exact():
    plate, residual = constructed()
    fit = np.abs(residual) < 100
    left = median_polish(plate)[-1]
    np.testing.assert_allclose(left, residual, atol=1e-12)
    # Fewer than half of the residuals differ from 0, so that the MAD is 0 and there is no score ...
    assert np.isnan(b_score(plate, fit)).all()
    # ... but with a chequered residual of +-1, half of each sign, MAD is 1 and the score is the residual / 1.4826.
    chequered = np.where(np.add.outer(np.arange(8), np.arange(12)) % 2, 1.0, -1.0)
    scores = b_score(plate - residual + chequered)
    np.testing.assert_allclose(scores, chequered / MAD_TO_SD, atol=1e-12)


def test_the_b_score_takes_away_rows_and_columns_and_leaves_hits():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, (16, 24))
    plate = 500 + 30 * np.sin(np.arange(16))[:, None] + 20 * np.cos(np.arange(24))[None, :] + noise
    plate[4, 5] += 25
    scores = b_score(plate)
    assert np.unravel_index(np.nanargmax(scores), scores.shape) == (4, 5)
    assert abs(scores[4, 5] - 25) < 4
    assert np.abs(np.median(scores, axis=0)).max() < 1e-6
    plate[0, 0] = np.nan
    assert np.isnan(b_score(plate)).sum() == 1


@pytest.mark.filterwarnings("error")
def test_empty_and_flat_plates_have_no_b_score():
    for plate in (np.full((8, 12), np.nan), np.full((8, 12), 3.0), np.add.outer(np.arange(8.0), np.arange(12.0))):
        assert np.isnan(b_score(plate)).all()


def table_of(plates=("p1", "p2")):
    rng = np.random.default_rng(7)
    rows = []
    for k, plate in enumerate(plates, 1):
        for r in range(8):
            for c in range(12):
                role = {0: "negative", 11: "positive"}.get(c, "treated")
                rows.append({"plate": plate, "well": str(Well(r, c)), "role": role, "atp": k * rng.uniform(10, 100)})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)  # the order of a table does not matter


@pytest.mark.fault("C11")
def test_columns_are_added_by_plate_and_the_raw_ones_kept():
    table = table_of()
    table.iloc[5, table.columns.get_loc("atp")] = np.nan
    before = table.copy()
    found = normalise(table, "atp")
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(found[before.columns.tolist()], before)
    assert [c for c in found if c not in before] == [f"atp_{method}" for method in METHODS]
    for _, part in found.groupby("plate"):
        n, p = (np.nanmedian(part.loc[part["role"] == role, "atp"]) for role in ("negative", "positive"))
        treated = part.loc[part["role"] == "treated", "atp"].dropna()
        mad = np.median(np.abs(treated - np.median(treated)))
        np.testing.assert_allclose(part["atp_percent_of_control"], 100 * part["atp"] / n)
        np.testing.assert_allclose(part["atp_percent_inhibition"], 100 * (n - part["atp"]) / (n - p))
        np.testing.assert_allclose(
            part["atp_robust_z"], (part["atp"] - np.median(treated)) / (1.4826022185056018 * mad)
        )
        grid = part.assign(row=part["well"].str[0]).pivot(index="row", columns="well", values="atp")
        assert grid.notna().sum().sum() == part["atp_b_score"].notna().sum()


def test_the_b_score_of_a_table_is_that_of_its_grid():
    table = table_of(("p1",))
    table["role"] = "treated"
    found = normalise(table, "atp", ["b_score"]).set_index("well")["atp_b_score"]
    grid = np.array([[table.set_index("well").loc[str(Well(r, c)), "atp"] for c in range(12)] for r in range(8)])
    expected = b_score(grid)
    assert all(found[str(Well(r, c))] == expected[r, c] for r in range(8) for c in range(12))


def test_without_controls_there_is_no_number():
    table = table_of(("p1",)).query("role == 'treated'")
    found = normalise(table, "atp")
    assert found["atp_percent_of_control"].isna().all()
    assert found["atp_percent_inhibition"].isna().all()
    assert found["atp_robust_z"].notna().all()
    assert found["atp_b_score"].notna().all()


def test_a_well_in_two_rows_has_no_b_score_and_all_else():
    table = pd.concat([table_of(("p1",)), table_of(("p1",)).head(1)])
    found = normalise(table, "atp")
    assert found["atp_b_score"].isna().all()
    assert found["atp_robust_z"].notna().all()


def test_unknown_methods_and_columns_are_said():
    with pytest.raises(ParameterError, match="no method 'loess'"):
        normalise(table_of(), "atp", ["loess"])
    with pytest.raises(InputError, match="no column 'glow'"):
        normalise(table_of(), "glow")
