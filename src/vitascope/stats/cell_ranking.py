"""Wells ranked by their cells: median of every measure with an interval, and the ranks that the intervals allow.

What the thesis wants predicted stains for is to choose among clones (Pankova 2022, seed 004, section 3.5); no
productivity was measured, so the ranks are those of what was measured of cells, no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

LEVEL = 0.95
COLUMNS = ("quantity", "rank", "rank_low", "rank_high", "wells", "cells", "median", "low", "high", "interval_level")


def median_interval(values: NDArray[Any], level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a median between two of the values, whatever their distribution.

    Parameters
    ----------
    values : array, shape (N,), float, no NaN
    level : float, between 0 and 1

    Returns
    -------
    tuple of float
        The narrowest pair of order statistics, one from each end, that holds the median in at least ``level`` of all
        samples; NaN where there are too few values (five or fewer at 95 %).

    References
    ----------
    Conover 1999, Practical Nonparametric Statistics, section 3.2: coverage 1 - 2 P(Bin(N, 1/2) < k) for the k-th values
    from both ends.

    Examples
    --------
    >>> median_interval(np.arange(1.0, 11.0))
    (2.0, 9.0)
    """
    ordered = np.sort(np.asarray(values, np.float64))
    count = len(ordered)
    k = int(binom.ppf((1 - level) / 2, count, 0.5)) if count else 0  # P(Bin < k) <= (1 - level) / 2
    if k < 1:
        return math.nan, math.nan
    return float(ordered[k - 1]), float(ordered[count - k])


def rank_wells(
    cells: pd.DataFrame, by: Sequence[str], measures: Sequence[str], well: str = "well", level: float = LEVEL
) -> pd.DataFrame:
    """Rank wells by the median of each measure over their cells, the greatest first.

    Parameters
    ----------
    cells : DataFrame
        One row for each cell, with the columns ``by``, ``well`` and ``measures``; those at an image's border left out.
    by : sequence of str
        Columns that tell what is ranked apart, such as plate and time.
    measures : sequence of str
    well : str
    level : float, between 0 and 1

    Returns
    -------
    DataFrame
        One row for each of ``by``, measure and well: ``by``, ``well`` and :data:`COLUMNS`. ``rank`` 1 is the greatest
        median, equal ones share the mean; from ``rank_low`` to ``rank_high`` lie the ranks that the intervals leave
        open: another well counts as greater or smaller for certain only if its interval lies wholly beyond. Wells with
        too few cells for an interval have none, and leave all their ranks open. Cells are taken for independent; those
        of one well share its dish, so the intervals are the narrowest that can be true.
    """
    made = []
    for measure in measures:
        for keys, group in cells[cells[measure].notna()].groupby(list(by), sort=False, dropna=False):
            table = pd.DataFrame([_of_well(name, one[measure], level) for name, one in group.groupby(well, sort=False)])
            table = table.rename(columns={"name": well}).assign(quantity=measure)
            for name, key in zip(by, keys, strict=True):
                table.insert(0, name, [key] * len(table))
            made.append(_ranked(table).sort_values("rank", kind="stable"))
    names = [*by, well, *COLUMNS]
    return pd.concat(made, ignore_index=True)[names] if made else pd.DataFrame(columns=names)


def _of_well(name: object, values: pd.Series, level: float) -> dict[str, object]:
    numbers = values.to_numpy(np.float64)
    low, high = median_interval(numbers, level)
    found = {"cells": len(numbers), "median": float(np.median(numbers)), "low": low, "high": high}
    return {"name": name, **found, "interval_level": level if math.isfinite(low) else math.nan}


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    low, high = (table[name].to_numpy(np.float64)[:, None] for name in ("low", "high"))
    greater, smaller = high < low.T, low > high.T  # NaN compares as neither
    return table.assign(
        wells=len(table),
        rank=table["median"].rank(ascending=False),
        rank_low=1 + greater.sum(1),
        rank_high=len(table) - smaller.sum(1),
    )
