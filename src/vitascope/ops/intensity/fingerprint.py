"""A short name for the pixels of a plane, to know it again whatever its file is called or packed with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.intensity.likeness import look_of

WINDOW_PX = 256
"""Side of the middle that is looked at: reading it costs little, and no two pictures share it."""


def fingerprint(plane: Any) -> str:
    """Return 16 hexadecimal digits that stand for the grey values of a plane, and its size.

    Parameters
    ----------
    plane : array, shape (Y, X), real, numpy or dask
        As its file holds it; values count as 32-bit floats, so that the type they are stored in does not matter.

    Returns
    -------
    str
        Empty where the middle has one single value: many planes look like that.

    Examples
    --------
    >>> plane = np.arange(12).reshape(3, 4)
    >>> fingerprint(plane) == fingerprint(plane.astype(np.uint8)), fingerprint(plane) == fingerprint(plane + 1)
    (True, False)
    >>> fingerprint(np.zeros((3, 4)))
    ''
    """
    starts = [max(0, (n - WINDOW_PX) // 2) for n in plane.shape]
    window = plane[tuple(slice(a, a + WINDOW_PX) for a in starts)]
    values = np.ascontiguousarray(window, "<f4")
    if not values.size or (values == values.flat[0]).all():
        return ""
    return hashlib.sha256(f"{plane.shape[0]} {plane.shape[1]} ".encode() + values.tobytes()).hexdigest()[:16]


SHA = "sha256:"


def raw_sha256(plane: NDArray[Any]) -> str:
    """Return the SHA-256 of a plane's pixels as its file holds them: row by row, in their own type, little-endian."""
    values = np.ascontiguousarray(plane)
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def marks(planes: Sequence[Any], *, look: bool = True) -> tuple[str, ...]:
    """Return all that pictures are known again by: fingerprints, hashes of the raw pixels, and the middle one's look.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        As their file holds them.
    look : bool
        Whether crops are to be known too; those of a montage of cells are not.
    """
    arrays = [np.asarray(plane) for plane in planes]
    hashes = [SHA + raw_sha256(plane) for plane in arrays]
    return tuple(dict.fromkeys(filter(None, [*fingerprints(arrays), *hashes, *_look(arrays, look)])))


def _look(arrays: Sequence[NDArray[Any]], look: bool) -> list[str]:
    return [look_of(arrays[len(arrays) // 2])] if look and arrays else []


def fingerprints(planes: Iterable[Any]) -> tuple[str, ...]:
    """Return those of several planes, each once."""
    return tuple(dict.fromkeys(filter(None, map(fingerprint, planes))))
