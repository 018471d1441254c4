"""How sure numbers of objects are: of which places a field shows, and of how far the model is off."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.card import ObjectErrors
from vitascope.stats.bootstrap import resample_interval

LEVEL = 0.8
"""Of both doubts together; each end leaves out 5 % by chance of sampling and 5 % by error of the model (Bonferroni)."""
EACH = 0.9
BLOCK_DIAMETERS = 4.0
"""Side of the squares that are drawn: clumps of a few nuclei lie in one."""
MOST_BLOCKS = 24
RESAMPLES = 500
NAMES = ("objects", "mean_area_px", "mean_area_um2")


def object_intervals(
    table: pd.DataFrame,
    shape_yx: tuple[int, int],
    diameter_px: float,
    errors: ObjectErrors,
    pixel_size_um: float | None,
) -> dict[str, float | None]:
    """Return the ends of intervals of count and mean area; empty where they cannot be said.

    Squares of the picture are drawn with replacement, which tells how much another field of the same culture would
    differ; the ends are then moved by how far the model was off on held-out fields.

    Parameters
    ----------
    table : DataFrame
        Objects of one picture.
    shape_yx : tuple of int, px
    diameter_px : float, > 0, px
        Typical object.
    errors : ObjectErrors
    pixel_size_um : float or None, > 0, micrometre

    Returns
    -------
    dict
        ``objects_low``, ``objects_high``, and the same of ``mean_area_px`` and ``mean_area_um2``.
    """
    counts, areas = _by_square(table, shape_yx, diameter_px)
    count = resample_interval(len(counts), lambda drawn: float(counts[drawn].sum()), resamples=RESAMPLES, level=EACH)

    def mean_area(drawn: NDArray[np.intp]) -> float:
        number = counts[drawn].sum()
        return float(areas[drawn].sum() / number) if number else math.nan

    area = resample_interval(len(counts), mean_area, resamples=RESAMPLES, level=EACH)
    um2 = math.nan if pixel_size_um is None else pixel_size_um**2
    found: dict[str, float | None] = {}
    for name, low, high, off, unit in (
        ("objects", count.low, count.high, errors.objects, 1.0),
        ("mean_area_px", area.low, area.high, errors.mean_area, 1.0),
        ("mean_area_um2", area.low, area.high, errors.mean_area, um2),
    ):
        ends = (low * math.exp(off[0]) * unit, high * math.exp(off[1]) * unit)
        known = len(table) > 0 and all(math.isfinite(end) for end in ends)
        found |= {f"{name}_{end}": value if known else None for end, value in zip(("low", "high"), ends, strict=True)}
    return found


def no_intervals() -> dict[str, float | None]:
    """Return the same columns, empty."""
    return {f"{name}_{end}": None for name in NAMES for end in ("low", "high")}


def _by_square(
    table: pd.DataFrame, shape_yx: tuple[int, int], diameter_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many objects, and how much area, lie in each square of the picture."""
    sides = [int(np.clip(n / (BLOCK_DIAMETERS * diameter_px), 1, MOST_BLOCKS)) for n in shape_yx]
    where = [
        np.clip((table[f"centroid_{a}_px"].to_numpy(np.float64) * s / n).astype(int), 0, s - 1)
        for a, s, n in zip("yx", sides, shape_yx, strict=True)
    ]
    squares = where[0] * sides[1] + where[1]
    size = sides[0] * sides[1]
    areas = np.bincount(squares, table["area_px"].to_numpy(np.float64), size).astype(np.float64)
    return np.bincount(squares, minlength=size).astype(np.float64), areas
