"""Thresholds that tell nuclei from background: one for the whole picture, or one for each pixel.

Sections 3.2.3 and 3.2.3.1 of Pankova 2022 (seed 004). Global thresholds are read off a histogram, which may have been
counted block by block. A pixel is foreground if it is *brighter* than its threshold; infinity stands for "nothing can
be told apart".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.errors import ParameterError
from vitascope.ops.intensity.histogram import Histogram

DEFAULT_BLOCK_PX = 111
GAUSSIAN_TRUNCATE = 4.0
HISTOGRAM_BINS = 256
OTSU_BINS = 4096


@dataclass(frozen=True)
class GlobalThreshold:
    """One threshold for a whole picture.

    Parameters
    ----------
    value : float
        Grey value; pixels above it are foreground. Infinity where nothing can be told apart.
    method : str
        The method that gave it: ``minimum``, ``iterative``, ``mixture`` or ``none``.
    reason : str
        Why this is not the method asked for; empty if it is.
    """

    value: float
    method: str
    reason: str = ""


def check_block(block_px: int) -> None:
    """Refuse a neighbourhood that has no centre.

    Raises
    ------
    ParameterError
        If the side is even or below 3 px.
    """
    if block_px < 3 or block_px % 2 == 0:
        raise ParameterError(
            f"The neighbourhood of {block_px} px has no centre pixel, or is one pixel alone.",
            "Take an odd number of at least 3 px.",
        )


def local_reach_px(block_px: int) -> int:
    """Return how far (px) the local threshold of a pixel looks: four standard deviations of (block - 1) / 6."""
    return int(GAUSSIAN_TRUNCATE * (block_px - 1) / 6 + 0.5)


def local_threshold(
    picture: NDArray[Any],
    block_px: int = DEFAULT_BLOCK_PX,
    offset: float = 0.0,
    finite: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Threshold of each pixel: the Gaussian-weighted mean of its neighbourhood, less a constant.

    The same as ``skimage.filters.threshold_local(picture, block_px, "gaussian", offset)`` (which the thesis calls
    ``local_threshold``): standard deviation (block - 1) / 6, edges mirrored.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    block_px : int, odd, >= 3, px
        Side of the neighbourhood; the thesis takes 111 px on images of 2136 x 2136.
    offset : float
        Subtracted from the mean, in grey values.
    finite : array, shape (Y, X), bool, optional
        Pixels that count. The mean is then taken over them alone; what the others hold does not matter.

    Returns
    -------
    array, shape (Y, X), float32
        Infinity where no pixel in reach counts.

    Raises
    ------
    ParameterError
        If the side is even or below 3 px.

    References
    ----------
    Pankova 2022 (seed 004), section 3.2.3.1, local thresholding.
    """
    check_block(block_px)
    sigma = (block_px - 1) / 6
    values = np.asarray(picture, np.float32)
    if finite is None:
        return np.asarray(ndimage.gaussian_filter(values, sigma, truncate=GAUSSIAN_TRUNCATE) - np.float32(offset))
    weight = ndimage.gaussian_filter(finite.astype(np.float32), sigma, truncate=GAUSSIAN_TRUNCATE)
    total = ndimage.gaussian_filter(np.where(finite, values, np.float32(0)), sigma, truncate=GAUSSIAN_TRUNCATE)
    mean = np.full(values.shape, np.inf, np.float32)
    np.divide(total, weight, out=mean, where=weight > 0)
    return mean - np.float32(offset)


def minimum_threshold(histogram: Histogram, bins: int = HISTOGRAM_BINS) -> GlobalThreshold:
    """Threshold at the valley between the two peaks of the smoothed histogram.

    The histogram, merged to at most ``bins`` bins, is smoothed by running means of three until two peaks are left
    (``skimage.filters.threshold_minimum``; the mean is centred, where equation 32 takes the last three values).

    Parameters
    ----------
    histogram : Histogram
    bins : int, >= 2

    Returns
    -------
    GlobalThreshold
        That of Algorithm 3 where the histogram never has two peaks.

    References
    ----------
    Pankova 2022 (seed 004), equations 32-33; Prewitt and Mendelsohn 1966.
    """
    if histogram.range.finite and not histogram.range.constant:
        counts, centres = histogram.coarse(bins)
        try:
            from skimage.filters import threshold_minimum

            return GlobalThreshold(float(threshold_minimum(hist=(counts, centres))), "minimum")
        except RuntimeError:
            fallback = iterative_threshold(histogram)
            return GlobalThreshold(fallback.value, fallback.method, "The histogram does not have two peaks.")
    return _nothing(histogram)


def iterative_threshold(
    histogram: Histogram, start: float | None = None, tolerance: float | None = None
) -> GlobalThreshold:
    """Threshold halfway between the mean of what lies above it and the mean of what lies below (Algorithm 3).

    Parameters
    ----------
    histogram : Histogram
    start : float, optional
        First estimate, in grey values, from the minimum up to below the maximum. Default: the mean grey value, the
        thesis's example.
    tolerance : float, > 0, optional
        Stop when the threshold moves by less, in grey values. Default: half a bin.

    Returns
    -------
    GlobalThreshold
        Infinite for a constant picture.

    Raises
    ------
    ParameterError
        If the start leaves one of the two groups empty, or the tolerance is not positive.

    Notes
    -----
    The thesis leaves pixels equal to the threshold in neither group; here they belong to the lower one, which is what
    "foreground if brighter" says.

    References
    ----------
    Pankova 2022 (seed 004), Algorithm 3.
    """
    values = histogram.range
    if tolerance is not None and not tolerance > 0:
        raise ParameterError(f"A tolerance of {tolerance} never ends the search.", "Take a positive grey value.")
    if not values.finite or values.constant:
        return _nothing(histogram)
    if start is not None and not values.minimum <= start < values.maximum:
        raise ParameterError(
            f"The search cannot start at {start:g}: all pixels lie on one side of it.",
            f"Start between {values.minimum:g} and {values.maximum:g}.",
        )
    centres = histogram.centres
    below = np.concatenate([[0], np.cumsum(histogram.counts)])
    below_sum = np.concatenate([[0.0], np.cumsum(histogram.counts * centres)])
    threshold = below_sum[-1] / below[-1] if start is None else start
    least = tolerance if tolerance is not None else histogram.width / 2
    for _ in range(len(centres)):
        # a first bin below and a last bin above: neither group is ever empty
        k = min(max(int(np.searchsorted(centres, threshold, side="right")), 1), len(centres) - 1)
        low = below_sum[k] / below[k]
        high = (below_sum[-1] - below_sum[k]) / (below[-1] - below[k])
        moved = abs((low + high) / 2 - threshold)
        threshold = (low + high) / 2
        if moved < least:
            break
    return GlobalThreshold(float(threshold), "iterative")


def otsu_threshold(histogram: Histogram) -> float:
    """Return the grey value that parts a histogram into the two groups of least spread; infinite for a constant.

    Parameters
    ----------
    histogram : Histogram

    References
    ----------
    Otsu 1979, "A threshold selection method from gray-level histograms".
    """
    if not histogram.range.finite or histogram.range.constant:
        return math.inf
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(hist=histogram.coarse(OTSU_BINS)))


def _nothing(histogram: Histogram) -> GlobalThreshold:
    reason = "The picture has one single value." if histogram.range.finite else "No pixel is a finite number."
    return GlobalThreshold(math.inf, "none", reason)
