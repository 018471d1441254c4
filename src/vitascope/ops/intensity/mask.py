"""Masks made from pictures, smoothed; and where to cut a predicted one."""

from __future__ import annotations

from typing import Any

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


CUT = "cut_"
"""Begins the names of the cuts of a model, followed by that of the target."""

THESIS_CUT = 0.8
"""Where Pankova 2022 (seed 004), section 3.5, cuts predicted masks of whole cells."""


def cut_for_area(predicted: NDArray[Any], mask: NDArray[Any]) -> float:
    """Return where to cut a predicted mask so that it covers as many pixels as the true one: area bias 0.

    Parameters
    ----------
    predicted : array, shape (N,), in [0, 1]
        How likely each pixel is inside; pixels of as many pictures as there are, flat.
    mask : array, shape (N,)
        0 or 1, of the same pixels.

    Returns
    -------
    float
        What is *brighter* is inside. Halfway between the last pixel that is in and the first that is out, so that no
        rounding moves it; of pixels that are predicted alike all are out. NaN where all pixels of the truth are alike:
        nothing then tells where to cut.

    Examples
    --------
    >>> cut_for_area(np.array([0.1, 0.2, 0.4, 0.9]), np.array([0, 1, 0, 1]))
    0.3
    """
    values = np.sort(np.asarray(predicted, np.float64).ravel())
    inside = int(np.count_nonzero(mask))
    if inside in (0, values.size):
        return float("nan")
    return float(round((values[-inside] + values[-inside - 1]) / 2, 6))
