"""Arrays that stay in their file and are read part by part, with errors a user can read."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import VitascopeError
from vitascope.io.filenames.expand import persistently, unreadable

BLOCK_BYTES = 2**25
MAX_BLOCKS = 2**16
BAND_BYTES = 2**27


class FileArray(ABC):
    """An array in a file, opened anew for every part read: it holds no handle and goes to other processes.

    Parameters
    ----------
    path : Path
    shape : sequence of int
    dtype : dtype
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: Any) -> None:
        self.path = path
        self.shape = tuple(int(side) for side in shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)

    @abstractmethod
    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part; one slice without step for each dimension."""

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part.

        Raises
        ------
        ReaderError
            If the file has gone, was changed or is damaged.
        """
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (self.ndim - len(keys))
        cut = [_cut(one, side) for one, side in zip(keys, self.shape, strict=True)]
        try:
            part: NDArray[Any] = persistently(lambda: self.read(tuple(whole for whole, _ in cut)))
            return np.asarray(part[tuple(within for _, within in cut)])
        except VitascopeError:
            raise
        except Exception as error:
            raise unreadable(self.path, error) from error

    def to_dask(self, chunks: Sequence[int]) -> Any:
        """Wrap as a dask array in blocks of whole chunks.

        Parameters
        ----------
        chunks : sequence of int
            Sides of what the file stores in one piece.
        """
        import dask.array as da  # takes as long as reading a small image

        meta = np.empty((0,) * self.ndim, self.dtype)
        return da.from_array(self, chunks=block_shape(self.shape, chunks, self.dtype), lock=False, meta=meta)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Tell dask what makes two of these equal: the file as it is now."""
        stat = self.path.stat()
        return type(self).__name__, str(self.path), stat.st_mtime_ns, stat.st_size, self.shape, str(self.dtype)


def _cut(index: Any, side: int) -> tuple[slice, Any]:
    """Split an index into the whole stretch to read, and what to take of it."""
    if isinstance(index, slice):
        wanted = range(*index.indices(side))
        whole = slice(min(wanted), max(wanted) + 1) if wanted else slice(0, 0)
        return whole, slice(None, None, wanted.step)
    if isinstance(index, (int, np.integer)):
        return slice(int(index) % side, int(index) % side + 1), 0
    return slice(0, side), index


def block_shape(shape: Sequence[int], chunks: Sequence[int], dtype: Any) -> tuple[int, ...]:
    """Grow stored chunks to blocks that are worth a task: up to 32 MiB of one plane.

    Examples
    --------
    >>> block_shape((3, 20000, 20000), (1, 512, 512), "uint16")
    (1, 4096, 4096)
    """
    sides = [max(int(side), 1) for side in shape]
    block = [min(max(int(chunk), 1), side) for chunk, side in zip(chunks, sides, strict=True)]
    plane = range(max(len(sides) - 2, 0), len(sides))
    while math.prod(block) * np.dtype(dtype).itemsize * 2 <= BLOCK_BYTES:
        growing = [axis for axis in plane if block[axis] < sides[axis]]
        if not growing:
            break
        axis = min(growing, key=block.__getitem__)
        block[axis] = min(2 * block[axis], sides[axis])
    for axis in reversed(range(len(sides))):
        while block[axis] < sides[axis] and _count(sides, block) > MAX_BLOCKS:
            block[axis] = min(2 * block[axis], sides[axis])
    return tuple(block)


def _count(sides: Sequence[int], block: Sequence[int]) -> int:
    return math.prod(-(-side // one) for side, one in zip(sides, block, strict=True))


def iter_bands(
    array: Any, dtype: Any, rows: int, band_bytes: int | None = None
) -> Iterator[tuple[tuple[int, ...], int, NDArray[Any]]]:
    """Compute an array band by band: whole rows of one plane at a time.

    Parameters
    ----------
    array : numpy, dask or zarr array, at least 2 dimensions, Y and X last
    dtype : dtype
        What the values are converted to.
    rows : int
        Bands hold a multiple of so many rows; the last of a plane may hold fewer.
    band_bytes : int, optional
        Up to which they do; 128 MiB by default.

    Yields
    ------
    tuple
        Index of the leading axes, first row, and the band, shape (rows, X).
    """
    *leading, height, width = (int(side) for side in array.shape)
    per_row = max(width * max(np.dtype(dtype).itemsize, np.dtype(array.dtype).itemsize), 1)
    step = rows * max(1, (band_bytes or BAND_BYTES) // (rows * per_row))
    for index in itertools.product(*(range(side) for side in leading)):
        for start in range(0, height, step):
            part = array[(*index, slice(start, min(start + step, height)))]
            yield index, start, np.asarray(part).astype(dtype, copy=False)
