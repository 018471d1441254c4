"""Pictures that are nearly the same: the same well twice, or the next moment of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

THUMB_PX = 48


def thumbnail(picture: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a small version of a square picture with its shading taken out, shape (48, 48) or smaller."""
    factor = max(1, picture.shape[0] // THUMB_PX)
    side = picture.shape[0] // factor
    small = picture[: side * factor, : side * factor].reshape(side, factor, side, factor).mean((1, 3))
    return np.asarray(small - ndimage.gaussian_filter(small, side / 8), np.float64)


def near_duplicates(thumbnails: NDArray[np.floating], r: float = 0.98) -> NDArray[np.intp]:
    """Group pictures whose correlation lies above ``r``, directly or through others.

    Parameters
    ----------
    thumbnails : array, shape (N, h, w)
    r : float, below 1

    Returns
    -------
    array, shape (N,)
        Number of each picture's group, from 0 in the order they come.
    """
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
    near = unit @ unit.T > r
    group = np.arange(len(flat))
    for i in range(len(flat)):
        joined = group[np.flatnonzero(near[i, : i + 1])]
        if len(joined):
            group[np.isin(group, joined)] = joined.min()
    return np.unique(group, return_inverse=True)[1]


def join_duplicates(pictures: Sequence[NDArray[np.floating]], groups: Sequence[str], r: float) -> list[str]:
    """Give pictures that nearly are one the group of the first of them.

    Parameters
    ----------
    pictures : sequence of array, each (Y, X)
        Compared by the largest square in their upper left corner.
    groups : sequence of str
    r : float
        Correlation above which two are one.

    Returns
    -------
    list of str
        Groups; those that share a picture have become one.
    """
    side = min(min(p.shape) for p in pictures)
    ids = near_duplicates(np.stack([thumbnail(np.asarray(p[:side, :side], np.float64)) for p in pictures]), r)
    names = list(groups)
    for k in np.unique(ids):
        joined = {names[i] for i in np.flatnonzero(ids == k)}
        first = names[int(np.flatnonzero(ids == k)[0])]
        names = [first if n in joined else n for n in names]
    return names
