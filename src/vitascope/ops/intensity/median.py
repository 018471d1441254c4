"""The median of 3 x 3 x 3 or 3 x 3 voxels by comparing whole arrays: exact, many times faster than voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLAB_VOXELS = 1 << 15
"""Voxels at a time: what is compared stays in the processor's cache."""


def _ranks(planes: int) -> list[tuple[int, int, int]]:
    """Return the places, in a block sorted along each axis, that may hold the median.

    Of n voxels no more than n // 2 are surely below it, or above.
    """
    half = (9 * planes + 1) // 2
    return [
        (i, j, k)
        for i, j, k in product(range(planes), range(3), range(3))
        if (i + 1) * (j + 1) * (k + 1) <= half and (planes - i) * (3 - j) * (3 - k) <= half
    ]


RANKS = {1: _ranks(1), 3: _ranks(3)}
Arrays = list[NDArray[Any]]


def median_filter(block: NDArray[Any], planes: int = 3) -> NDArray[Any]:
    """Return the median of each voxel and its 26 neighbours, or of its 8 neighbours in its plane.

    Parameters
    ----------
    block : array, shape (Z + planes - 1, Y + 2, X + 2)
        The volume with a rim of one voxel, above and below only for 3 planes; without NaN.
    planes : int, 3 or 1

    Returns
    -------
    array, shape (Z, Y, X), of the same type
    """
    shape = tuple(n - m for n, m in zip(block.shape, (planes - 1, 2, 2), strict=True))
    out = np.empty(shape, block.dtype)
    rows = max(1, SLAB_VOXELS // max(1, shape[2]))
    for z in range(shape[0]):
        for y in range(0, shape[1], rows):
            end = min(y + rows, shape[1])
            out[z, y:end] = _median(block[z : z + planes, y : end + 2])
    return out


def _median(rim: NDArray[Any]) -> NDArray[Any]:
    """Return the medians of one plane, (Y, X), from three planes, or one, with their rims (3, Y + 2, X + 2).

    The neighbours are sorted along z, then y, then x, each sort shared by all voxels that see the same three. In a cube
    sorted so, 19 of 27 places may hold the median, in a square 3 of 9; among them the least and the greatest are put
    aside until one is left.
    """
    along_z = _sort(list(rim)) if len(rim) > 1 else [rim[0]]
    along_y = [_sort([a[0:-2], a[1:-1], a[2:]]) for a in along_z]
    cube = [[_sort([a[:, 0:-2], a[:, 1:-1], a[:, 2:]]) for a in plane] for plane in along_y]
    return median_of([cube[i][j][k] for i, j, k in RANKS[len(rim)]])


def median_of(arrays: Arrays) -> NDArray[Any]:
    """Return the median of an odd number of arrays of one shape, place by place; without NaN."""
    half = len(arrays) // 2 + 2
    taken, waiting = list(arrays[:half]), list(arrays[half:])
    while True:
        taken = _without_ends(taken)
        if not waiting:
            return taken[0]
        taken.append(waiting.pop())


def _sort(three: Sequence[NDArray[Any]]) -> Arrays:
    a, b, c = three
    low, high = np.minimum(a, b), np.maximum(a, b)
    rest = np.minimum(high, c)
    return [np.minimum(low, rest), np.maximum(low, rest), np.maximum(high, c)]


def _without_ends(arrays: Arrays) -> Arrays:
    """Leave out the least and the greatest of several arrays, voxel by voxel."""
    a, last = list(arrays), len(arrays) - 1
    for i in range(len(a) // 2):
        a[i], a[last - i] = np.minimum(a[i], a[last - i]), np.maximum(a[i], a[last - i])
    for i in range(1, (len(a) + 1) // 2):  # the least is among the lower ones
        a[0], a[i] = np.minimum(a[0], a[i]), np.maximum(a[0], a[i])
    for i in range(len(a) // 2, last):
        a[i], a[last] = np.minimum(a[i], a[last]), np.maximum(a[i], a[last])
    return a[1:-1]
