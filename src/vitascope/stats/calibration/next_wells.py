"""Which wells to measure next: those whose value would teach most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError
from vitascope.core.well import Well

Floats = NDArray[np.float64]
PRIOR = 1.0
"""Wells' worth of what is taken as known before any was measured."""

MOST = 8
COLUMNS = ("rank", "image", "plate", "well", "gain", "why")
PLACES = ("row", "column")


def spread_of_wells(features: Floats, wells: Sequence[str]) -> Floats:
    """Put features (N, F) and places on the plate together and standardise them, (N, F + 2).

    Wells whose place is not known stand in the middle.
    """
    places = np.full((len(wells), 2), np.nan)
    for number, name in enumerate(wells):
        try:
            well = Well.parse(name)
        except ParameterError:
            continue
        places[number] = well.row, well.column
    known = np.isfinite(places).all(axis=1)
    places = np.where(np.isfinite(places), places, places[known].mean(axis=0) if known.any() else 0.0)
    both = np.column_stack([features, places])
    spread = both.std(axis=0)
    return np.asarray((both - both.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def rank_next(known: Floats, unknown: Floats, count: int = MOST) -> list[tuple[int, float]]:
    """Order wells by what measuring them would add to what is known, each given those before it.

    The gain of a well is the variance of a linear prediction there, in units of the noise of one measurement:
    x' (P + sum of x x' over measured wells)^-1 x. Taking the largest first is the greedy D-optimal design (Fedorov
    1972): it spreads wells over features and plate, and away from those measured.

    Parameters
    ----------
    known, unknown : array, shape (N, F) and (M, F)
        See :func:`spread_of_wells`.
    count : int
        At most so many.

    Returns
    -------
    list of (int, float)
        Rows of ``unknown``, and their gains.
    """
    spread = np.linalg.inv(PRIOR * np.eye(known.shape[1]) + known.T @ known)
    left = list(range(len(unknown)))
    found: list[tuple[int, float]] = []
    while left and len(found) < count:
        x = unknown[left]
        gains = np.einsum("nf,fg,ng->n", x, spread, x)
        best = int(np.argmax(gains))
        found.append((left.pop(best), float(gains[best])))
        step = spread @ x[best]
        spread = spread - np.outer(step, step) / (1 + gains[best])
    return found


def next_table(
    known: Floats,
    unknown: Floats,
    names: Sequence[str],
    images: Sequence[str],
    plates: Sequence[str],
    wells: Sequence[str],
    count: int = MOST,
) -> pd.DataFrame:
    """Return the wells to measure next.

    Parameters
    ----------
    known, unknown : array, shape (N, F) and (M, F)
    names : sequence of str
        Of the columns.
    images, plates, wells : sequence of str, shape (M,)
    count : int

    Returns
    -------
    DataFrame
        Columns ``rank, image, plate, well, gain, why``: in what the well differs most from the middle.
    """
    rows = []
    for rank, (at, gain) in enumerate(rank_next(known, unknown, count), start=1):
        most = int(np.argmax(np.abs(unknown[at])))
        why = f"{names[most].replace('_', ' ')} {'high' if unknown[at][most] > 0 else 'low'}"
        rows.append((rank, images[at], plates[at], wells[at], float(f"{gain:.4g}"), why))
    return pd.DataFrame(rows, columns=list(COLUMNS))
