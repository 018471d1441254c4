"""Gaussian kernels between feature vectors, with widths from the data.

References
----------
Gretton, Borgwardt, Rasch, Schölkopf and Smola 2012, "A kernel two-sample test", J. Mach. Learn. Res. 13:723; the median
heuristic is that of its section 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError, ParameterError

Floats = NDArray[np.float64]

WIDTH_FACTORS = (0.5, 1.0, 2.0)
"""Widths that are averaged over, in median distances: small ones see fine structure, large ones a shift of the mean."""

MAX_MEDIAN_POINTS = 1000
"""Points that the median distance is taken of; more change it by less than a per cent."""


def checked_features(features: ArrayLike, what: str = "The features") -> Floats:
    """Return features as float64, shape (N, D), after checking them.

    Parameters
    ----------
    features : array, shape (N, D)
        One row for each image or crop.
    what : str
        What errors call them.

    Raises
    ------
    InputError
        If they are no table of numbers, empty, or not finite.
    """
    try:
        table = np.asarray(features, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} are not numbers.", "Give one row of numbers for each image.") from error
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"{what} have the shape {table.shape}.", "Give one row of numbers for each image.")
    bad = int((~np.isfinite(table)).any(axis=1).sum())
    if bad:
        raise InputError(
            f"{what} are NaN or infinite in {bad} of {len(table)} rows.", "Leave out the images they come from."
        )
    return table


def squared_distances(x: Floats, y: Floats) -> Floats:
    """Return squared Euclidean distances, shape (N, M), of the rows of ``x`` (N, D) and ``y`` (M, D)."""
    found: Floats = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y)[None, :]
    found -= 2 * (x @ y.T)
    np.maximum(found, 0, out=found)
    return found


def median_width(points: Floats, seed: int = 0) -> float:
    """Return the median distance between distinct rows of ``points``, shape (N, D).

    Raises
    ------
    InputError
        If more than half of the pairs are identical, so that there is no width.
    """
    if len(points) > MAX_MEDIAN_POINTS:
        points = np.random.default_rng(seed).choice(points, MAX_MEDIAN_POINTS, replace=False)
    # of the centred points, lest large common offsets eat the digits of the differences
    centred = points - points.mean(axis=0)
    pairs = squared_distances(centred, centred)[np.triu_indices(len(points), 1)]
    median = float(np.sqrt(np.median(pairs))) if len(pairs) else 0.0
    # differences below this share of the numbers themselves are rounding
    if median <= 1e-9 * max(1.0, float(np.abs(points).max())):
        raise InputError(
            "The features are constant: most images have the same ones.", "Give features of different images."
        )
    return median


def choose_widths(points: Floats, factors: Sequence[float] = WIDTH_FACTORS) -> tuple[float, ...]:
    """Return kernel widths: the median distance of ``points``, shape (N, D), times each factor."""
    if not factors or min(factors) <= 0:
        raise ParameterError(f"{list(factors)} are no factors of a kernel width.", "Give factors above 0.")
    median = median_width(points)
    return tuple(median * factor for factor in factors)


def rbf(squared: Floats, widths: Sequence[float]) -> Floats:
    """Mean of Gaussian kernels: k = 1/K Σ exp(-d² / (2 σ²)).

    Parameters
    ----------
    squared : array of float
        Squared distances d², of any shape.
    widths : sequence of float
        The σ, in the unit of the distances.

    Returns
    -------
    array of float, 0 to 1, shape of ``squared``

    Examples
    --------
    >>> round(float(rbf(np.array([2.0]), [1.0])[0]), 4)
    0.3679
    """
    total = np.exp(squared * (-0.5 / widths[0] ** 2))
    for width in widths[1:]:
        total += np.exp(squared * (-0.5 / width**2))
    total /= len(widths)
    return total


def kernel(x: Floats, y: Floats, widths: Sequence[float]) -> Floats:
    """Return the kernel, shape (N, M), between the rows of ``x`` (N, D) and ``y`` (M, D)."""
    return rbf(squared_distances(x, y), widths)
