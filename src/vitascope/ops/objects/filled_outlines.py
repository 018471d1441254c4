"""Labels from a picture of outlines: what lies within a closed line is an object, touching ones share a line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError

LEAST_AREA_PX = 100
"""Smaller pieces are loops that a jagged outline makes with itself: in the field this was written for they have 1 to
85 px, the smallest nucleus 504 px."""


def fill_outlines(lines: NDArray[Any], least_area_px: int = LEAST_AREA_PX) -> NDArray[np.uint32]:
    """Fill closed outlines, such as CellProfiler draws.

    Pixels without a line are joined where they touch along an edge; the largest piece is the ground, pieces smaller
    than ``least_area_px`` are no objects. A pixel of a line then belongs to the object that it touches (the larger
    label where it touches two), so that an object has its outline. An outline that is not closed holds nothing.

    Parameters
    ----------
    lines : array, shape (Y, X)
        Not 0 on outlines.
    least_area_px : int, >= 1, px

    Returns
    -------
    array, shape (Y, X), uint32
        0 is the ground; objects are 1 to N, from the top.

    Raises
    ------
    InputError
        If the picture is no plane.

    Examples
    --------
    >>> ring = np.zeros((8, 8)); ring[1:7, 1:7] = 1; ring[2:6, 2:6] = 0
    >>> int((fill_outlines(ring, 4) == 1).sum())
    36
    """
    from scipy import ndimage

    drawn = np.asarray(lines) != 0
    if drawn.ndim != 2:
        raise InputError(f"Outlines of shape {drawn.shape} are no plane.", "Give one picture of them.")
    pieces, count = ndimage.label(~drawn)  # joined along edges: a diagonal line keeps two pieces apart
    if not count:
        return np.zeros(drawn.shape, np.uint32)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes >= least_area_px
    kept[int(np.argmax(sizes))] = False
    kept[0] = False
    numbers = np.zeros(count + 1, np.uint32)
    numbers[kept] = np.arange(1, int(kept.sum()) + 1, dtype=np.uint32)
    filled = numbers[pieces]
    near = ndimage.maximum_filter(filled, 3)
    return np.asarray(np.where(drawn, near, filled), np.uint32)
