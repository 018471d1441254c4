"""How noisy a picture is, and whether its noise knows of its neighbours."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.errors import InputError

LEAST_SIDE_PX = 32
BLOCK_PX = 16
SMOOTHING_PX = 3.0
SMOOTH_SHARE = 0.25
"""Share of blocks, those with the least structure, that noise is measured in: elsewhere detail is taken for it."""

FIXED_PATTERN = 0.1
"""Correlation of neighbours above which noise is not independent from pixel to pixel (binning, interpolation, cameras
that smooth): a network that sees the neighbours then predicts the noise too."""


class Noise(NamedTuple):
    """What was measured: standard deviation, in grey values, and correlation of neighbours along rows and columns."""

    sigma: float
    correlation_y: float
    correlation_x: float

    @property
    def correlation(self) -> float:
        """The one of the two that is further from 0; NaN without noise."""
        pair = (self.correlation_y, self.correlation_x)
        return max(pair, key=abs) if all(map(math.isfinite, pair)) else math.nan


def measure_noise(picture: NDArray[Any]) -> Noise:
    """Measure the noise of one picture.

    The picture is filtered by [1 -2 1] along rows and columns, which a smooth signal does not pass (Immerkær 1996).
    White noise passes with a known correlation of neighbours, -2/3; how far it is off tells the correlation of the
    noise itself, taken to reach no further than the next pixel. Measured in the quarter of blocks where the smoothed
    picture varies least, which says nothing of the noise in them.

    Parameters
    ----------
    picture : array, shape (Y, X), real, at least 32 px a side
        Pixels that are not finite are left out with their block.

    Returns
    -------
    Noise
        Correlations are NaN where there is no noise.

    Raises
    ------
    InputError
        If the picture is no plane or too small.

    References
    ----------
    J. Immerkær, Fast noise variance estimation, 1996, doi:10.1006/cviu.1996.0060.
    """
    values = np.asarray(picture, np.float64)
    if values.ndim != 2 or min(values.shape) < LEAST_SIDE_PX:
        raise InputError(
            f"The noise of a picture of {' x '.join(map(str, values.shape))} px cannot be measured.",
            f"Give a plane of at least {LEAST_SIDE_PX} px a side.",
            flag="wrong_dimensions",
        )
    kernel = np.array([1.0, -2.0, 1.0])
    fine = ndimage.correlate1d(ndimage.correlate1d(values, kernel, axis=0), kernel, axis=1)[1:-1, 1:-1]
    blocks = _blocks(fine)
    coarse = _blocks(ndimage.gaussian_filter(values, SMOOTHING_PX)[1:-1, 1:-1]).std((1, 2))
    known = np.flatnonzero(np.isfinite(coarse) & np.isfinite(blocks).all((1, 2)))
    kept = known[np.argsort(coarse[known], kind="stable")][: max(1, math.ceil(SMOOTH_SHARE * len(known)))]
    if not len(known) or (blocks[kept] ** 2).mean() <= 0:
        return Noise(0.0, math.nan, math.nan)
    quiet = blocks[kept]
    total = (quiet**2).mean()
    down = (quiet[:, 1:] * quiet[:, :-1]).mean() / total
    across = (quiet[:, :, 1:] * quiet[:, :, :-1]).mean() / total
    y, x = _of_noise(down), _of_noise(across)
    # 36 = (1 + 4 + 1)²: what the filter makes of the variance of white noise, and of noise with these correlations
    passed = max((6 - 8 * y) * (6 - 8 * x), 1e-12)
    return Noise(math.sqrt(total / passed), y, x)


def _blocks(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = (n // BLOCK_PX for n in picture.shape)
    whole = picture[: rows * BLOCK_PX, : columns * BLOCK_PX]
    return whole.reshape(rows, BLOCK_PX, columns, BLOCK_PX).swapaxes(1, 2).reshape(-1, BLOCK_PX, BLOCK_PX)


def _of_noise(filtered: float) -> float:
    """Return the correlation of neighbours of noise whose filtered neighbours correlate by so much.

    With correlation r of neighbours alone, the filter gives a variance of 6 - 8 r and a covariance of -4 + 7 r.
    """
    return float(np.clip((4 + 6 * filtered) / (7 + 8 * filtered), -0.5, 0.5)) if filtered > -7 / 8 else -0.5
