"""Where the points of a picture crowd: kernel density estimates (seed 004, figure 51)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gaussian_kde

LEAST_POINTS = 5
GRID = 80
SHARES = (0.9, 0.5, 0.2)
"""Of a group's points that lie within each line, outermost first."""

Floats = NDArray[np.float64]


def density_lines(places: ArrayLike, around: ArrayLike) -> tuple[Floats, Floats, Floats, tuple[float, ...]] | None:
    """Return what draws lines around the densest parts of a group of points.

    Parameters
    ----------
    places : array, shape (N, 2)
        Of the group.
    around : array, shape (M, 2)
        All points of the picture, which the grid spans with a tenth more on each side.

    Returns
    -------
    x, y : array, shape (80,)
    density : array, shape (80, 80)
        By y and x.
    levels : tuple of float
        Rising; within the line of the k-th lie that share of the group's points, see :data:`SHARES`.
    None
        For fewer than five points, or points on a line: there is no density.
    """
    at, every = np.asarray(places, np.float64), np.asarray(around, np.float64)
    if len(at) < LEAST_POINTS or np.linalg.matrix_rank(at - at.mean(axis=0), tol=1e-9) < 2:
        return None
    low, high = every.min(axis=0), every.max(axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    x, y = (np.linspace(low[k], high[k], GRID) for k in range(2))
    try:
        estimate = gaussian_kde(at.T)
    except np.linalg.LinAlgError:
        return None
    across, up = np.meshgrid(x, y)
    density = estimate(np.stack([across.ravel(), up.ravel()])).reshape(GRID, GRID)
    # the level that a share of the points lies above, so that lines mean the same in every group
    own = estimate(at.T)
    levels = tuple(sorted({float(np.quantile(own, 1 - share)) for share in SHARES}))
    return x, y, density, levels
