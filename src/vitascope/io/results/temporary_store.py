"""Room for outputs that are too large for memory: arrays in a temporary folder that lives as long as they are used."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from vitascope.core.errors import OutputError, describe

IN_MEMORY_BYTES = 256 << 20
CHUNK_PX = 1024


class TemporaryStore:
    """Hands out arrays of zeros: numpy up to 256 MiB, zarr in a temporary folder above.

    The folder is removed when the last reference to this object is gone.
    """

    def __init__(self, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._in_memory_bytes = in_memory_bytes
        self._folder: Path | None = None

    def zeros(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Return an array of zeros that takes slices for reading and writing.

        Parameters
        ----------
        name : str
            Unique within this object.
        shape : tuple of int
            Last two axes are (Y, X).
        dtype : dtype

        Raises
        ------
        OutputError
            If the temporary folder cannot be written.
        """
        if int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize <= self._in_memory_bytes:
            return np.zeros(shape, dtype)
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="vitascope-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            import zarr

            chunks = (*(1 for _ in shape[:-2]), *(min(CHUNK_PX, n) for n in shape[-2:]))
            return zarr.create_array(str(self._folder / f"{name}.zarr"), shape=shape, dtype=dtype, chunks=chunks)
        except OSError as error:
            raise OutputError(
                f"There is no room for a large result in the temporary folder: {describe(error)}.",
                "Free some space, or set TMPDIR to a folder on a larger disk.",
            ) from error


class PlaneView:
    """One (Y, X) plane of a stored array of more axes, read and written by slices.

    Parameters
    ----------
    array : zarr array
    leading : tuple of int
        Indices of all axes before Y and X.
    """

    def __init__(self, array: Any, leading: tuple[int, ...]) -> None:
        self._array, self._leading = array, leading
        self.shape = tuple(array.shape[-2:])
        self.chunks = tuple(array.chunks[-2:])
        self.dtype = array.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> Any:
        """Read a window."""
        return self._array[(*self._leading, *key)]

    def __setitem__(self, key: tuple[slice, slice], value: Any) -> None:
        """Write a window."""
        self._array[(*self._leading, *key)] = value


def plane_of(array: Any, leading: tuple[int, ...]) -> Any:
    """Return one plane of an array that can be read and written: a numpy view, or a :class:`PlaneView`."""
    if isinstance(array, np.ndarray):
        return array[leading]
    return PlaneView(array, leading) if leading else array
