"""Masks made from pictures, smoothed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def open_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Erode and dilate by 3 x 3 px (Definition 3.1); what reaches the edge of the picture is not eroded from there.

    Parameters
    ----------
    mask : array, shape (Y, X), bool

    Returns
    -------
    array, shape (Y, X), bool

    References
    ----------
    Pankova 2022 (seed 004), Definition 3.1.
    """
    square = np.ones((3, 3), bool)
    return np.asarray(ndimage.binary_dilation(ndimage.binary_erosion(mask, square, border_value=1), square))
