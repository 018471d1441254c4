"""Widen, narrow and fill masks.

What :mod:`scipy.ndimage` does with a cross and zeros beyond the rim, in a fraction of the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def dilated(mask: Mask, steps: int = 1) -> Mask:
    """Return a mask (Y, X) that is wider by so many pixels along rows and columns; see ``ndimage.binary_dilation``."""
    for _ in range(steps):
        wider = mask.copy()
        wider[1:] |= mask[:-1]
        wider[:-1] |= mask[1:]
        wider[:, 1:] |= mask[:, :-1]
        wider[:, :-1] |= mask[:, 1:]
        mask = wider
    return mask


def eroded(mask: Mask, steps: int = 1) -> Mask:
    """Return a mask (Y, X) that is narrower by so many pixels, at the rim too; see ``ndimage.binary_erosion``."""
    for _ in range(steps):
        narrower = mask.copy()
        narrower[1:] &= mask[:-1]
        narrower[:-1] &= mask[1:]
        narrower[:, 1:] &= mask[:, :-1]
        narrower[:, :-1] &= mask[:, 1:]
        narrower[[0, -1]] = False
        narrower[:, [0, -1]] = False
        mask = narrower
    return mask


def opened(mask: Mask, steps: int) -> Mask:
    """Return a mask (Y, X) without what is narrow; see ``ndimage.binary_opening``."""
    return dilated(eroded(mask, steps), steps)


def closed(mask: Mask, steps: int) -> Mask:
    """Return a mask (Y, X) with its narrow gaps filled; see ``ndimage.binary_closing``."""
    return eroded(dilated(mask, steps), steps)


def fill_holes(mask: Mask) -> Mask:
    """Return a mask (Y, X) with its holes filled: what is not connected to the rim; see ``ndimage.binary_fill_holes``.

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> bool(fill_holes(ring).all())
    True
    """
    empty, count = ndimage.label(~mask)
    hole = np.ones(count + 1, np.bool_)
    for rim in (empty[0], empty[-1], empty[:, 0], empty[:, -1]):
        hole[rim] = False
    hole[0] = True
    return np.asarray(hole[empty])
