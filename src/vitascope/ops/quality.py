"""Numbers that tell whether a picture looks like those a model was trained on.

All are taken over one (Y, X) crop of a normalised picture, in float64, over its finite pixels; a number that is not
defined is NaN, never an exception.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def crop_statistics(picture: NDArray[Any]) -> dict[str, float]:
    """Measure brightness, contrast, sharpness and balance of a crop.

    Parameters
    ----------
    picture : array, shape (Y, X), real, normalised

    Returns
    -------
    dict
        - ``mean``: m = mean(x).
        - ``contrast``: s = sqrt(mean((x - m)²)), the standard deviation.
        - ``focus``: see :func:`focus`.
        - ``skewness``: mean((x - m)³) / s³. Its sign is the polarity: above 0 a few bright things on dark ground,
          below 0 a few dark things on bright ground.

        NaN without a finite pixel; ``focus`` and ``skewness`` are NaN for a constant crop too.
    """
    values = picture[np.isfinite(picture)].astype(np.float64)
    if not values.size:
        return dict.fromkeys(("mean", "contrast", "focus", "skewness"), math.nan)
    mean = float(values.mean())
    centred = values - mean
    deviation = math.sqrt(float((centred**2).mean()))
    flat = values.min() == values.max() or deviation == 0
    return {
        "mean": mean,
        "contrast": 0.0 if flat else deviation,
        "focus": focus(picture),
        "skewness": math.nan if flat else float(((centred / deviation) ** 3).mean()),
    }


def focus(picture: NDArray[Any]) -> float:
    """Sharpness: energy of the Laplacian over the variance.

    F = mean(L²) / mean((x - m)²) with L = x(i-1, j) + x(i+1, j) + x(i, j-1) + x(i, j+1) - 4 x(i, j) over the pixels
    that have four neighbours. Gain and brightness cancel, so exposure does not matter; noise counts as sharpness.

    Parameters
    ----------
    picture : array, shape (Y, X), real

    Returns
    -------
    float, >= 0
        20 for pure white noise, near 0 for a blurred picture. NaN if the picture is constant, less than 3 px wide or
        high, or has no place where a pixel and its neighbours are finite.
    """
    if min(picture.shape) < 3:
        return math.nan
    finite = np.isfinite(picture)
    values = np.where(finite, picture, np.nan).astype(np.float64)
    known = values[finite]
    if not known.size or known.min() == known.max():
        return math.nan
    middle = values[1:-1, 1:-1]
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * middle
    laplacian = laplacian[np.isfinite(laplacian)]
    variance = float(known.var())
    return float((laplacian**2).mean()) / variance if laplacian.size and variance > 0 else math.nan


def saturated_fraction(picture: NDArray[Any], low: float = 0.0, high: float = 1.0) -> float:
    """Share of the finite pixels at or beyond the ends of the scale.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    low, high : float
        Ends of the scale.

    Returns
    -------
    float, 0 to 1
        NaN without a finite pixel.
    """
    values = picture[np.isfinite(picture)]
    return float(((values <= low) | (values >= high)).mean()) if values.size else math.nan
