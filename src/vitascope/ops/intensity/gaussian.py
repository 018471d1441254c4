"""Gaussian derivatives of small pictures by matrices that are made once: several are taken of one picture at a time.

The numbers are those of :mod:`scipy.ndimage` in 32 bit: kernels are cut at four standard deviations, and pictures
mirrored at their rims.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Floats = NDArray[np.float32]


@lru_cache(maxsize=128)
def gaussian_matrix(length: int, sigma: float, order: int) -> sparse.csr_array:
    """Return the filter along an axis of ``length`` px, or its first or second derivative, (length, length)."""
    made = ndimage.gaussian_filter1d(np.eye(length), sigma, axis=0, order=order)
    return sparse.csr_array(made.astype(np.float32))


def gaussian_laplace(picture: NDArray[Any], sigma: float) -> Floats:
    """Return the Laplacian of a picture that is smoothed by a Gaussian.

    Parameters
    ----------
    picture : array, shape (Y, X), real and finite
    sigma : float, > 0, px

    Returns
    -------
    array, shape (Y, X), float32
    """
    smooth, curved = _down(picture, sigma, (0, 2))
    across = [gaussian_matrix(picture.shape[1], sigma, order) for order in (0, 2)]
    return np.asarray((across[1] @ smooth + across[0] @ curved).T)


def slope_and_laplace(picture: NDArray[Any], sigma: float) -> tuple[Floats, Floats]:
    """Return how steep a smoothed picture is, and its Laplacian.

    Parameters
    ----------
    picture : array, shape (Y, X), real and finite
    sigma : float, > 0, px

    Returns
    -------
    tuple of array, each (Y, X), float32
        Magnitude of the gradient, and Laplacian.
    """
    smooth, steep, curved = _down(picture, sigma, (0, 1, 2))
    along, first, second = (gaussian_matrix(picture.shape[1], sigma, order) for order in (0, 1, 2))
    down, across = along @ steep, first @ smooth
    slope = np.sqrt(down * down + across * across)
    return np.asarray(slope.T), np.asarray((second @ smooth + along @ curved).T)


def _down(picture: NDArray[Any], sigma: float, orders: tuple[int, ...]) -> list[Floats]:
    """Filter the columns of a picture; each result is transposed, (X, Y), ready to have its rows filtered."""
    grey = np.ascontiguousarray(picture, np.float32)
    return [np.ascontiguousarray((gaussian_matrix(len(grey), sigma, order) @ grey).T) for order in orders]
