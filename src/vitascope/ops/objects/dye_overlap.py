"""Whether two dyes show the same cells: then one of them is nothing but leak, bleed-through or the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOW, HIGH, ABOVE = 5.0, 99.5, 0.3
"""Foreground of a dye: voxels above the first share between these percentiles."""

LEAST_VOXELS = 200


def shared_signal(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Correlate two dyes over the voxels that either of them stains.

    A cell takes up one dye of the two, so where both live and dead cells are, what is bright in one is dark in the
    other, and the correlation is negative. It is positive where one dye shows faintly what the other one shows.

    Parameters
    ----------
    one, other : array, same shape, float32
        Median-filtered, so that noise of single voxels does not hide it; units do not matter.

    Returns
    -------
    float
        -1 to 1; NaN where too few voxels are stained, or one dye is constant.

    Examples
    --------
    >>> cells = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    >>> round(shared_signal(cells, 0.1 * cells + 3), 3)
    1.0
    """
    stained = np.zeros(one.shape, bool)
    for dye in (one, other):
        low, high = np.percentile(dye, (LOW, HIGH))
        stained |= dye > low + ABOVE * (high - low)
    a, b = one[stained], other[stained]
    if a.size < LEAST_VOXELS or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
