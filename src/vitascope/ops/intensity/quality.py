"""Numbers that tell whether a picture looks like those a model was trained on.

All are taken over one (Y, X) crop of a normalised picture, in float64, over its finite pixels; a number that is not
defined is NaN, never an exception.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.intensity.histogram import histogram


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
    finite = np.isfinite(picture)
    values = (picture if finite.all() else picture[finite]).astype(np.float64).ravel()
    if not values.size:
        return dict.fromkeys(("mean", "contrast", "focus", "skewness"), math.nan)
    mean = float(values.mean())
    centred = values - mean
    deviation = math.sqrt(float((centred * centred).mean()))
    if values.min() == values.max() or deviation == 0:
        return {"mean": mean, "contrast": 0.0, "focus": math.nan, "skewness": math.nan}
    energy = _laplacian_energy(picture)
    centred /= deviation
    np.multiply(centred, centred * centred, out=centred)  # no powers, which take ten times as long as products
    return {
        "mean": mean,
        "contrast": deviation,
        "focus": energy / deviation / deviation,
        "skewness": float(centred.mean()),
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
    known = picture[np.isfinite(picture)].astype(np.float64)
    if not known.size or known.min() == known.max():
        return math.nan
    variance = float(known.var())
    return _laplacian_energy(picture) / variance if variance > 0 else math.nan


def _laplacian_energy(picture: NDArray[Any]) -> float:
    """Return the mean square of the Laplacian, where a pixel and its neighbours are finite; NaN where there is none."""
    if min(picture.shape) < 3:
        return math.nan
    values = picture.astype(np.float64)
    laplacian = -4 * values[1:-1, 1:-1]  # in place from here on, for pictures are large
    with np.errstate(invalid="ignore"):
        for around in (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:]):
            laplacian += around
        np.multiply(laplacian, laplacian, out=laplacian)
    mean = float(laplacian.mean())
    if math.isfinite(mean):
        return mean
    laplacian = laplacian[np.isfinite(laplacian)]
    return float(laplacian.mean()) if laplacian.size else math.nan


def bin_pixels(picture: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Average squares of pixels; rows and columns left over at the far edges are dropped.

    Parameters
    ----------
    picture : array, shape (Y, X), real, at least ``side`` px wide and high
    side : int, >= 1, px

    Returns
    -------
    array, shape (Y // side, X // side), float64

    Examples
    --------
    >>> bin_pixels(np.array([[1, 3, 9], [5, 7, 9]]), 2).tolist()
    [[4.0]]
    """
    height, width = (n // side for n in picture.shape)
    cut = np.asarray(picture[: height * side, : width * side], np.float64)
    binned: NDArray[np.float64] = cut.reshape(height, side, width, side).mean((1, 3))
    return binned


def look(picture: NDArray[Any], low: float, high: float, binning: int = 4) -> dict[str, float]:
    """Measure focus, contrast and exposure of a raw image, to compare it with others taken alike.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    low, high : float
        Ends of the camera's scale, such as 0 and 65535.
    binning : int, px
        Focus and contrast are taken over squares of so many pixels, so that the camera's noise, which looks sharp,
        counts little; 1 for pictures smaller than eight squares.

    Returns
    -------
    dict
        - ``focus``: see :func:`focus`.
        - ``contrast_percent``: standard deviation over mean.
        - ``brightness_percent``: median, of the scale.
        - ``saturated_percent``, ``black_percent``: pixels that pile up at the brightest and the darkest value, see
          :func:`vitascope.ops.intensity.histogram.piled_up`.

        NaN where it is not defined.
    """
    side = binning if min(picture.shape) >= 8 * binning else 1
    coarse = bin_pixels(picture, side)
    values = coarse[np.isfinite(coarse)]
    finite = picture[np.isfinite(picture)]
    mean = float(values.mean()) if values.size else math.nan
    counted = histogram(picture)
    return {
        "focus": focus(coarse),
        "contrast_percent": 100 * float(values.std()) / mean if mean > 0 else math.nan,
        "brightness_percent": 100 * (float(np.median(finite)) - low) / (high - low) if finite.size else math.nan,
        "saturated_percent": 100 * counted.at_high / finite.size if finite.size else math.nan,
        "black_percent": 100 * counted.at_low / finite.size if finite.size else math.nan,
    }
