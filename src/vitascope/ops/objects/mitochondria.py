"""Mitochondria in a fluorescent picture: where they are, and how long their network is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RIDGE_DIAMETERS = 0.25
"""Side of the neighbourhood that mitochondria stand out of, in nucleus diameters: wider than a filament."""


def find_mitochondria(picture: NDArray[Any], inside: NDArray[np.bool_], nucleus_px: float) -> NDArray[np.bool_]:
    """Find mitochondria inside cells: what stands out of its neighbourhood, and is brighter than the cells' median.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    inside : array, shape (Y, X), bool
        Where cells are.
    nucleus_px : float, > 0, px
        Diameter of a typical nucleus.

    Returns
    -------
    array, shape (Y, X), bool
        White top-hat of the picture above Otsu's threshold of it inside cells, where the picture exceeds the median
        inside cells. Nothing where cells hold one value.
    """
    from skimage.filters import threshold_otsu

    values = np.asarray(picture, np.float32)
    values = np.where(np.isfinite(values), values, np.float32(0))
    if not inside.any():
        return np.zeros(values.shape, bool)
    side = max(3, 2 * round(RIDGE_DIAMETERS * nucleus_px / 2) + 1)
    ridges = values - ndimage.grey_opening(values, (side, side))
    seen = ridges[inside]
    if seen.min() == seen.max():
        return np.zeros(values.shape, bool)
    return np.asarray(inside & (ridges > threshold_otsu(seen)) & (values > np.median(values[inside])))


def network_length_px(mask: NDArray[np.bool_], labels: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the length of the skeleton of a mask within each object.

    Steps between neighbouring pixels of the skeleton count 1 along an edge and √2 across a corner; a corner that two
    edges already join does not count. A step belongs to the object of its first pixel.

    Parameters
    ----------
    mask : array, shape (Y, X), bool
    labels : array, shape (Y, X), integer
        Objects 1 to N.
    count : int
        N.

    Returns
    -------
    array, shape (N,), float64, px
    """
    from skimage.morphology import skeletonize

    line = skeletonize(mask)
    total = np.zeros(count + 1)
    padded = np.pad(line, 1)
    here = padded[1:-1, 1:-1]
    right, down = padded[1:-1, 2:], padded[2:, 1:-1]
    left = padded[1:-1, :-2]
    down_right, down_left = padded[2:, 2:], padded[2:, :-2]
    steps = (
        (here & right, 1.0),
        (here & down, 1.0),
        (here & down_right & ~right & ~down, math.sqrt(2)),
        (here & down_left & ~left & ~down, math.sqrt(2)),
    )
    for there, length in steps:
        total += length * np.bincount(np.asarray(labels)[there].astype(np.int64), minlength=count + 1)[: count + 1]
    return total[1:]
