"""Whole cells, grown from their nuclei over a stain of cell bodies; and how parts of a cell are linked to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError

SMOOTHING_DIAMETERS = 0.04
"""Standard deviation of the blur before the threshold, in nucleus diameters: as for nuclei."""


def cell_foreground(picture: NDArray[Any], nucleus_px: float) -> NDArray[np.bool_]:
    """Tell where cells are: brighter than Li's threshold of the smoothed picture.

    Parameters
    ----------
    picture : array, shape (Y, X), real
        Stain of cell bodies; pixels that are not finite are ground.
    nucleus_px : float, > 0, px
        Diameter of a typical nucleus.

    Returns
    -------
    array, shape (Y, X), bool
        Nothing where the picture is constant.

    References
    ----------
    Li and Tam 1998, doi:10.1016/S0167-8655(98)00057-9: the cut of least cross-entropy between a picture and its two
    means. It lies below Otsu's where bright middles of cells fade into dim rims.
    """
    from scipy import ndimage
    from skimage.filters import threshold_li

    values = _finite_plane(picture)
    smooth = ndimage.gaussian_filter(values, SMOOTHING_DIAMETERS * nucleus_px)
    if smooth.min() == smooth.max():
        return np.zeros(values.shape, bool)
    return np.asarray(smooth > threshold_li(smooth))


def grow_cells(nuclei: NDArray[Any], picture: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Grow a cell from each nucleus: a watershed of the picture, brightest first, as far as cells reach.

    Parameters
    ----------
    nuclei : array, shape (Y, X), integer
        0 is ground.
    picture : array, shape (Y, X), real
        Stain of cell bodies.
    inside : array, shape (Y, X), bool
        Where cells are; nuclei always are.

    Returns
    -------
    array, shape (Y, X), uint32
        The cell of a nucleus has its number. What no nucleus reaches is ground.

    Raises
    ------
    InputError
        If shapes differ.
    """
    from skimage.segmentation import watershed

    if not nuclei.shape == picture.shape == inside.shape:
        raise InputError(
            f"Nuclei {nuclei.shape}, picture {picture.shape} and mask {inside.shape} differ in size.",
            "Give pictures of one field.",
        )
    seeds = np.asarray(nuclei).astype(np.int64)
    if not seeds.any():
        return np.zeros(seeds.shape, np.uint32)
    return np.asarray(watershed(-_finite_plane(picture), seeds, mask=inside | (seeds > 0)), np.uint32)


def at_border(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of the objects that touch the edge of the picture: they go on beyond it.

    Examples
    --------
    >>> at_border(np.array([[0, 1, 0], [2, 0, 0], [0, 0, 0]])).tolist()
    [1, 2]
    """
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    found = np.unique(rim)
    return found[found > 0].astype(np.int64)


def parents(parts: NDArray[Any], wholes: NDArray[Any]) -> NDArray[np.int64]:
    """Return which object each part lies in: the one that holds most of its pixels, 0 for none.

    Parameters
    ----------
    parts, wholes : array, shape (Y, X), integer
        Labels, 0 for ground.

    Returns
    -------
    array, shape (N,), int64
        Row k for the k-th label of ``np.unique(parts)`` above 0. Of two that hold as many the smaller number.
    """
    part, index = np.unique(parts, return_inverse=True)
    count = np.zeros((len(part), int(wholes.max(initial=0)) + 1), np.int64)
    np.add.at(count, (index.ravel(), np.asarray(wholes).ravel().astype(np.int64)), 1)
    count[:, 0] = 0
    best = np.where(count.any(axis=1), count.argmax(axis=1), 0)
    return np.asarray(best[part > 0], np.int64)


def _finite_plane(picture: NDArray[Any]) -> NDArray[np.float32]:
    values = np.asarray(picture, np.float32)
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, np.float32(values[finite].min() if finite.any() else 0))
