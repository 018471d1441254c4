"""A short name for the pixels of a plane, to know it again whatever its file is called or packed with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

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


def fingerprints(planes: Iterable[Any]) -> tuple[str, ...]:
    """Return those of several planes, each once."""
    return tuple(dict.fromkeys(filter(None, map(fingerprint, planes))))
