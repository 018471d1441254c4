"""Reading an array that may not fit into memory piece by piece."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS_AT_ONCE = 1 << 22


def chunk_slices(array: Any, max_pixels: int = PIXELS_AT_ONCE) -> list[tuple[slice, ...]]:
    """Cut an array into pieces of bounded size, along its stored chunks where it has any.

    Parameters
    ----------
    array : numpy, dask or zarr array, any dimensions
    max_pixels : int, >= 1
        Upper bound on the pixels of one piece.

    Returns
    -------
    list of tuple of slice
        In row-major order; together they cover each pixel once. Empty for an array without pixels.

    Examples
    --------
    >>> [(rows.start, rows.stop) for rows, columns in chunk_slices(np.zeros((5, 4)), max_pixels=8)]
    [(0, 2), (2, 4), (4, 5)]
    """
    shape = tuple(int(n) for n in array.shape)
    if 0 in shape:
        return []
    sides = [min(n, c) for n, c in zip(shape, _stored_chunk(array), strict=True)]
    while np.prod(sides, dtype=np.int64) > max(1, max_pixels):
        largest = int(np.argmax(sides))
        sides[largest] = -(-sides[largest] // 2)
    for axis in reversed(range(len(shape))):
        room = max(1, max_pixels) // int(np.prod(sides, dtype=np.int64))
        sides[axis] = min(shape[axis], sides[axis] * max(1, room))
    starts = [range(0, n, side) for n, side in zip(shape, sides, strict=True)]
    return [
        tuple(slice(a, min(a + side, n)) for a, side, n in zip(corner, sides, shape, strict=True))
        for corner in product(*starts)
    ]


def _stored_chunk(array: Any) -> list[int]:
    """Return the side of a stored chunk per axis: dask's largest, zarr's own, 1 for numpy."""
    chunks = getattr(array, "chunks", None)
    if not chunks:
        return [1] * len(array.shape)
    return [max(1, max(c) if isinstance(c, tuple) else int(c)) for c in chunks]


def read_piece(array: Any, piece: tuple[slice, ...]) -> NDArray[Any]:
    """Read one piece into memory, in native byte order."""
    block = np.asarray(array[piece])
    return block.astype(block.dtype.newbyteorder("="), copy=False)
