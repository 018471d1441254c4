"""Tell what in a bright-field well is organoid and what is empty ground: by darkness against the ground nearby.

Nothing is learned here: this is what maps are held against, what wells are composed of, and where "empty" is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.ops.objects.morphology import closed, fill_holes
from vitascope.ops.wells.locate import DARKER, shrink
from vitascope.ops.wells.squares import Region, cut_square, well_mask

GROUND_SIDE_PX, GROUND_WINDOW, GROUND_PERCENTILE = 64, 9, 70.0
"""The ground is what is bright in a neighbourhood of a seventh of the square, in a small version of it."""

LARGEST_LUMEN, SMALLEST, GAP = 0.03, 0.004, 0.004
"""Radius of the largest hole that is taken for a lumen, side of the smallest thing seen, and half the widest gap in the
wall of a cyst; shares of the side."""

SQUARE_PX = 256
"""Side at which a well is looked at where nothing else is said."""


def local_ground(square: NDArray[np.floating[Any]], shown: float = 1.0) -> NDArray[np.float64]:
    """Return the light that each place would have without anything on it, grey values, as (side, side).

    Parameters
    ----------
    square : array, shape (side, side), real, finite
    shown : float, > 0
        Side of the square against that of a well.
    """
    small, factor = shrink(square, GROUND_SIDE_PX)
    window = max(3, round(GROUND_WINDOW / shown))
    smooth = ndimage.gaussian_filter(_bright(small, window), 2, mode="nearest")
    at = np.clip((np.arange(square.shape[0]) + 0.5) / factor - 0.5, 0, len(smooth) - 1)
    first = np.minimum(at.astype(np.intp), max(0, len(smooth) - 2))
    second, share = np.minimum(first + 1, len(smooth) - 1), at - first
    down = smooth[first] * (1 - share[:, None]) + smooth[second] * share[:, None]
    return np.asarray(down[:, first] * (1 - share) + down[:, second] * share)


def _bright(small: NDArray[np.float64], window: int) -> NDArray[np.float32]:
    """Return what is bright around each pixel of a small square, as ``ndimage.percentile_filter`` does."""
    rank = int(window * window * GROUND_PERCENTILE / 100)
    padded = np.pad(small.astype(np.float32), (window // 2, window - 1 - window // 2), mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, (window, window))
    rows = [np.partition(row.reshape(len(row), -1), rank, axis=1)[:, rank] for row in near]
    return np.array(rows)


def absorbance(square: NDArray[np.floating[Any]], shown: float = 1.0) -> NDArray[np.float64]:
    """Return what each place absorbs, ``-log(light / ground)``, (side, side); below 0 where it is brighter.

    References
    ----------
    Beer-Lambert: what lies over each other adds up.
    """
    ground = np.maximum(local_ground(square, shown), 1e-9)
    return np.asarray(-np.log(np.maximum(square, 1e-3 * ground) / ground), np.float64)


def organoid_mask(square: NDArray[np.floating[Any]], darker: float = DARKER, shown: float = 1.0) -> NDArray[np.bool_]:
    """Tell organoids, and whatever else is as dark, from ground.

    Parameters
    ----------
    square : array, shape (side, side), real, finite
        A well, as :func:`~vitascope.ops.wells.squares.cut_square` cuts it out.
    darker : float, between 0 and 1
        Share of the light that something takes away at least.
    shown : float, > 0
        Side of the square against that of a well, for a field that is smaller than its well.

    Returns
    -------
    array, shape (side, side), bool
        Lumens are filled; what is smaller than :data:`SMALLEST` is left out. Living and dead look alike to it.
    """
    side = len(square) / shown
    dark = ndimage.gaussian_filter(absorbance(square, shown), side / 1000) > -np.log(1 - darker)
    walls = closed(np.pad(dark, 8), max(1, round(GAP * side)))[8:-8, 8:-8]
    holes, count = ndimage.label(fill_holes(walls) & ~dark)
    if count:
        areas = np.bincount(holes.ravel())
        dark |= (areas <= np.pi * (LARGEST_LUMEN * side) ** 2)[holes] & (holes > 0)
    things, count = ndimage.label(dark)
    if count:
        areas = np.bincount(things.ravel())
        dark &= (areas >= (SMALLEST * side) ** 2)[things]
    return np.asarray(dark & well_mask(len(square), 6.0), np.bool_)


EMPTY = 0.02
"""A place of which less than this share is organoid counts as empty ground."""


def share_on_ground(weights: NDArray[np.floating[Any]], area: NDArray[np.float64]) -> float:
    """Return the share of weights (g, g), at least 0 each, on places without organoids; NaN where all are 0.

    Parameters
    ----------
    weights : array, shape (g, g)
        Attention, or contributions.
    area : array, shape (g, g), 0 to 1
        Of :func:`area_per_place`.

    Examples
    --------
    >>> share_on_ground(np.array([[3.0, 1.0]]), np.array([[0.4, 0.0]]))
    0.25
    """
    total = float(weights.sum())
    return float(weights[area < EMPTY].sum()) / total if total > 0 else float("nan")


def area_per_place(mask: NDArray[np.bool_], grid: int) -> NDArray[np.float64]:
    """Return the share of each of ``grid x grid`` places that a mask covers.

    Examples
    --------
    >>> area_per_place(np.eye(4, dtype=bool), 2).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    return np.asarray(cut_square(mask.astype(np.float32), Region(0, 0, len(mask)), grid), np.float64)
