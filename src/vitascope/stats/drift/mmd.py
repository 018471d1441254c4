"""Maximum mean discrepancy between two sets: unbiased, and in linear time.

References
----------
Gretton et al. 2012, "A kernel two-sample test", J. Mach. Learn. Res. 13:723.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from vitascope.core.errors import InputError
from vitascope.stats.drift.kernels import Floats, checked_features, choose_widths, kernel, rbf

LEAST_PAIRS = 2


def mmd2_unbiased(gram: Floats, first: int) -> float:
    """Unbiased squared MMD of a kernel matrix.

    Parameters
    ----------
    gram : array, shape (m + n, m + n)
        Kernel among the members of both sets, the first set's before the second's. Its diagonal does not count.
    first : int
        The number m of the first set, at least 2, as must be n.

    Returns
    -------
    float
        Zero in the mean where both sets come from one distribution, so it may be below 0.

    References
    ----------
    Gretton 2012, equation 3.

    Examples
    --------
    >>> mmd2_unbiased(np.array([[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0.5, 1.0]]), 2)
    1.0
    """
    m, n = first, len(gram) - first
    if min(m, n) < LEAST_PAIRS:
        raise InputError(f"Sets of {m} and {n} images are too small to compare.", "Give at least 2 in each.")
    within = [float(part.sum() - np.trace(part)) for part in (gram[:m, :m], gram[m:, m:])]
    return within[0] / (m * (m - 1)) + within[1] / (n * (n - 1)) - 2 * float(gram[:m, m:].mean())


def mmd2(x: ArrayLike, y: ArrayLike, widths: Sequence[float] | None = None) -> float:
    """Unbiased squared MMD of features ``x`` (m, D) and ``y`` (n, D); widths by the median heuristic if not given."""
    a, b = two_sets(x, y)
    both = np.concatenate([a, b])
    return mmd2_unbiased(kernel(both, both, widths or choose_widths(both)), len(a))


@dataclass(frozen=True)
class LinearMmd:
    """Squared MMD in linear time, and its test.

    Parameters
    ----------
    mmd2 : float
        Zero in the mean where both sets come from one distribution.
    standard_error : float
    p : float, 0 to 1
        One-sided, of the normal approximation.
    pairs : int
        Pairs of each set that were used.
    """

    mmd2: float
    standard_error: float
    p: float
    pairs: int


def mmd2_linear(x: ArrayLike, y: ArrayLike, widths: Sequence[float] | None = None) -> LinearMmd:
    """Squared MMD in linear time: the mean of k(x, x') + k(y, y') - k(x, y') - k(x', y) over disjoint pairs.

    Parameters
    ----------
    x, y : array, shapes (m, D) and (n, D)
        In random order: neighbours are paired. The longer one is cut.
    widths : sequence of float, optional
        Kernel widths; by default of the median heuristic.

    Returns
    -------
    LinearMmd

    Raises
    ------
    InputError
        If there are fewer than 4 rows in either.

    References
    ----------
    Gretton 2012, lemma 14 and corollary 16.
    """
    a, b = two_sets(x, y)
    pairs = min(len(a), len(b)) // 2
    if pairs < LEAST_PAIRS:
        raise InputError(
            f"Sets of {len(a)} and {len(b)} images are too small for the linear-time test.", "Give at least 4 in each."
        )
    used = widths or choose_widths(np.concatenate([a, b]))
    x1, x2, y1, y2 = a[: 2 * pairs : 2], a[1 : 2 * pairs : 2], b[: 2 * pairs : 2], b[1 : 2 * pairs : 2]

    def between(one: Floats, other: Floats) -> Floats:
        return rbf(((one - other) ** 2).sum(axis=1), used)

    h = between(x1, x2) + between(y1, y2) - between(x1, y2) - between(x2, y1)
    mean, error = float(h.mean()), float(h.std(ddof=1)) / math.sqrt(pairs)
    return LinearMmd(mean, error, float(norm.sf(mean / error)) if error > 0 else 1.0, pairs)


def two_sets(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Return the features of two sets, checked, less the mean of the first.

    Raises
    ------
    InputError
        If either cannot be used, or their widths differ.
    """
    a, b = checked_features(x, "The first set's features"), checked_features(y, "The second set's features")
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"The sets have {a.shape[1]} and {b.shape[1]} features.", "Take both from one network and one layer."
        )
    middle = a.mean(axis=0)
    return a - middle, b - middle
