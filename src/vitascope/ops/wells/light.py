"""How evenly a well is lit, measured on the picture as the camera took it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.wells.locate import Region, cut_square, well_mask

SIDE_PX, PARTS, PERCENTILE = 256, 8, 70
"""The ground is read in 8 x 8 parts of the well, each by the 70th percentile: organoids and debris are darker."""

MOST_SHADING = 0.19
"""Wells whose ground falls by more from edge to edge are flagged: real and drawn ones stay below 0.09."""

ROUNDS = 10


def _percentile(rows: NDArray[np.float64], percent: float) -> NDArray[np.float64]:
    """Percentile of each row, (R, N), of what is no NaN: one sort, where ``np.nanpercentile`` goes row by row."""
    ordered = np.sort(rows, axis=1)  # NaN last
    count = np.isfinite(ordered).sum(axis=1)
    rank = np.maximum(count - 1, 0) * (percent / 100)
    below = np.floor(rank).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    at = np.arange(len(rows))
    return np.asarray(ordered[at, below] + (ordered[at, above] - ordered[at, below]) * (rank - below))


def shading(picture: NDArray[Any], region: Region) -> float:
    """Return by how much the ground of a well changes from edge to edge along its steepest direction.

    A plane through the logarithm of the ground, fitted so that parts which stand off from it count little (weights
    1 / (1 + (r / 2s)²), s the median deviation).

    Parameters
    ----------
    picture : array, shape (Y, X), real
    region : Region
        Where the well lies.

    Returns
    -------
    float, >= 0
        ln(brightest / darkest edge); 0.4 is a third less light. 0 where fewer than 16 parts have a ground above 0.
    """
    square = cut_square(picture, region, SIDE_PX)
    values = np.where(np.isfinite(square) & well_mask(SIDE_PX), square, np.nan)
    side = SIDE_PX // PARTS
    parts = values.reshape(PARTS, side, PARTS, side).swapaxes(1, 2).reshape(PARTS * PARTS, side * side)
    seen = np.isfinite(parts).mean(axis=1) >= 0.5
    ground = _percentile(parts, PERCENTILE)
    ground[~seen] = np.nan
    known = np.nan_to_num(ground) > 0
    if known.sum() < PARTS * 2:
        return 0.0
    at = (np.arange(PARTS) + 0.5) / PARTS * 2 - 1
    y, x = np.meshgrid(at, at, indexing="ij")
    plane = np.column_stack([np.ones(PARTS * PARTS), y.ravel(), x.ravel()])[known]
    light = np.log(ground[known])
    weights = np.ones(len(light))
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(plane * root[:, None], light * root, rcond=None)[0]
        off = light - plane @ found
        weights = 1 / (1 + (off / (2 * (1.4826 * np.median(np.abs(off)) + 1e-4))) ** 2)
    return float(2 * np.hypot(found[1], found[2]))
