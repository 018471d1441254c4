"""Objects found against objects that are there: which belong together, and how many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.bootstrap import LEVEL, Interval, resample_interval

HALF = 0.5


@dataclass(frozen=True, eq=False)
class Matched:
    """Which objects overlap by more than half of what they cover together.

    Parameters
    ----------
    truth, found : array, shape (P,), int64
        Labels of the pairs; each label stands once.
    missed, invented : array, int64
        Labels without a partner.
    """

    truth: NDArray[np.int64]
    found: NDArray[np.int64]
    missed: NDArray[np.int64]
    invented: NDArray[np.int64]

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN where there is nothing on either side."""
        both = 2 * len(self.truth) + len(self.missed) + len(self.invented)
        return 2 * len(self.truth) / both if both else math.nan

    def f1_interval(self, level: float = LEVEL) -> Interval:
        """Interval of the F1 over objects drawn again: pairs, missed and invented ones."""
        kinds = np.repeat([2.0, 0.0], [len(self.truth), len(self.missed) + len(self.invented)])
        weights = np.where(kinds > 0, 2.0, 1.0)
        return resample_interval(
            len(kinds), lambda drawn: float(kinds[drawn].sum() / weights[drawn].sum()), level=level
        )


def match_objects(truth: NDArray[Any], found: NDArray[Any], least_iou: float = HALF) -> Matched:
    """Pair objects whose intersection over union exceeds a bound.

    From one half on a partner is the only one there can be, so that no assignment is needed.

    Parameters
    ----------
    truth, found : array, same shape, integer
        Labels, 0 for ground.
    least_iou : float, 0.5 to 1
        Pairs lie above it.

    Returns
    -------
    Matched

    Raises
    ------
    InputError
        If shapes differ.
    ParameterError
        If the bound lies outside its range.

    Examples
    --------
    >>> match_objects(np.array([1, 1, 1, 0, 2]), np.array([7, 7, 0, 0, 0])).f1
    0.6666666666666666
    """
    if truth.shape != found.shape:
        raise InputError(f"Labels of shapes {truth.shape} and {found.shape} cannot be compared.")
    if not HALF <= least_iou < 1:
        raise ParameterError(f"An overlap of {least_iou} can belong to two.", "Take 0.5 or more, below 1.")
    real, real_index = np.unique(truth, return_inverse=True)
    seen, seen_index = np.unique(found, return_inverse=True)
    both = np.zeros((len(real), len(seen)), np.int64)
    np.add.at(both, (real_index.ravel(), seen_index.ravel()), 1)
    union = both.sum(1)[:, None] + both.sum(0)[None] - both
    pairs = (both / union > least_iou) & (real > 0)[:, None] & (seen > 0)[None]
    rows, columns = np.nonzero(pairs)
    return Matched(
        real[rows].astype(np.int64),
        seen[columns].astype(np.int64),
        real[~pairs.any(1) & (real > 0)].astype(np.int64),
        seen[~pairs.any(0) & (seen > 0)].astype(np.int64),
    )
