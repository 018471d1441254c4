"""Images as points in a plane: principal axes of their features, and what those axes follow that is no biology.

References
----------
Pankova 2022 (seed 004), section 4.2: clusters there were brightness (figure 55), so each axis says what it follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from vitascope.core.errors import InputError
from vitascope.stats.drift.kernels import checked_features

LEAST_IMAGES = 3
NOTABLE = 0.5
"""Rank correlation from which an axis is said to follow something."""


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of features.

    Parameters
    ----------
    centre, scale : array, shape (F,)
        Mean and standard deviation of the images they were fitted to; 1 where a feature does not vary.
    axes : array, shape (F, K)
    shares : array, shape (K,)
        Of the variance that each axis has.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    shares: NDArray[np.float64]

    def place(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return where images lie, shape (N, K), of features (N, F); they need not be those of the fit."""
        table = checked_features(features)
        if table.shape[1] != len(self.centre):
            raise InputError(
                f"The images have {table.shape[1]} features, the axes {len(self.centre)}.", "Take those of one network."
            )
        return np.asarray((table - self.centre) / self.scale @ self.axes)


def fit_axes(features: ArrayLike, count: int = 2) -> Axes:
    """Fit principal axes to trusted images only, so that odd ones do not bend them.

    Parameters
    ----------
    features : array, shape (N, F)
    count : int, >= 1
        Axes that are kept; fewer where images or features allow no more.

    Raises
    ------
    InputError
        If there are fewer than three images, or all are the same.
    """
    table = checked_features(features)
    if len(table) < LEAST_IMAGES:
        raise InputError(f"{len(table)} images span no plane.", f"Give at least {LEAST_IMAGES}.")
    centre, spread = table.mean(axis=0), table.std(axis=0)
    varies = spread > 1e-6 * np.abs(table).max(axis=0)
    if not varies.any():
        raise InputError("The features are constant: all images have the same ones.", "Give different images.")
    scale = np.where(varies, spread, 1.0)
    scaled = np.where(varies, (table - centre) / scale, 0.0)
    _, lengths, rows = np.linalg.svd(scaled, full_matrices=False)
    axes = rows[:count].T
    # the sign of an axis means nothing: its largest part is made positive, lest it turn with the machine
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    return Axes(centre, scale, np.where(varies[:, None], axes, 0.0), (lengths**2 / (lengths**2).sum())[:count])


def followed(places: ArrayLike, numbers: ArrayLike) -> NDArray[np.float64]:
    """Return the rank correlation of each axis with each number of the images.

    Parameters
    ----------
    places : array, shape (N, K)
    numbers : array, shape (N, M)
        Such as how the images look; NaN where one is not known.

    Returns
    -------
    array, shape (K, M)
        NaN where fewer than three images have the number, or it does not vary.
    """
    at, told = np.asarray(places, float), np.asarray(numbers, float)
    found = np.full((at.shape[1], told.shape[1]), np.nan)
    for m, values in enumerate(told.T):
        known = np.isfinite(values)
        if known.sum() < LEAST_IMAGES or np.ptp(values[known]) == 0:
            continue
        for k, axis in enumerate(at.T):
            if np.ptp(axis[known]) > 0:
                found[k, m] = spearmanr(axis[known], values[known]).statistic
    return found
