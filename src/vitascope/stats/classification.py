"""How well classes are told: accuracy, average precision, overlap of masks, and the median over replicates."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError

Floats = NDArray[np.float64]


def accuracy(truth: NDArray[Any], scores: NDArray[Any]) -> float:
    """Share of rows whose highest score is that of their class.

    Parameters
    ----------
    truth : array, shape (N, K)
        1 for the classes of a row; a row may have several, and is right when the highest score is one of them.
    scores : array, shape (N, K)

    Returns
    -------
    float, 0 to 1
        NaN without rows.
    """
    rows = np.arange(len(scores))
    return float(np.mean(truth[rows, scores.argmax(1)] > 0)) if len(scores) else math.nan


def mean_class_accuracy(truth: NDArray[Any], scores: NDArray[Any]) -> float:
    """Accuracy within each class that occurs, averaged over classes: rare ones count as much as frequent ones."""
    each = [accuracy(truth[truth[:, k] > 0], scores[truth[:, k] > 0]) for k in range(truth.shape[1])]
    known = [a for a in each if math.isfinite(a)]
    return float(np.mean(known)) if known else math.nan


def average_precision(truth: NDArray[Any], score: NDArray[Any]) -> float:
    """Average precision of one class: sum over thresholds of (recall step) times precision.

    Rows of equal score share one threshold, so that their order does not matter.

    Parameters
    ----------
    truth : array, shape (N,)
        Above 0 for the rows of the class.
    score : array, shape (N,)

    Returns
    -------
    float, 0 to 1
        NaN where the class does not occur.
    """
    positive = np.asarray(truth) > 0
    if not positive.any():
        return math.nan
    order = np.argsort(-np.asarray(score, np.float64), kind="stable")
    hits = np.cumsum(positive[order])
    last = np.flatnonzero(np.append(np.diff(np.asarray(score, np.float64)[order]) != 0, True))
    recall, precision = hits[last] / hits[-1], hits[last] / (last + 1)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def mean_average_precision(truth: NDArray[Any], scores: NDArray[Any]) -> float:
    """Average precision averaged over the classes that occur; ``truth`` and ``scores`` of shape (N, K)."""
    each = [average_precision(truth[:, k], scores[:, k]) for k in range(truth.shape[1])]
    known = [a for a in each if math.isfinite(a)]
    return float(np.mean(known)) if known else math.nan


def median_by(groups: Sequence[Hashable], scores: NDArray[Any]) -> tuple[list[Hashable], Floats]:
    """Return the median scores of each group, such as a treatment over its replicates.

    Parameters
    ----------
    groups : sequence, N long
    scores : array, shape (N, K)

    Returns
    -------
    tuple of list and array (groups, K)
        In order of first appearance.

    References
    ----------
    Kraus 2016 (seed 002), section 4.4.
    """
    names = list(dict.fromkeys(groups))
    ids = np.array([names.index(g) for g in groups])
    return names, np.array([np.median(scores[ids == i], axis=0) for i in range(len(names))])


def mean_iou(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    """Intersection over union, mean of foreground and background; one that is absent in both counts 1.

    Parameters
    ----------
    mask, truth : array, same shape
        Above 0 is foreground.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if mask.shape != truth.shape:
        raise InputError(f"Masks of shapes {mask.shape} and {truth.shape} cannot be compared.")
    parts = []
    for one, other in ((mask > 0, truth > 0), (mask <= 0, truth <= 0)):
        union = np.count_nonzero(one | other)
        parts.append(np.count_nonzero(one & other) / union if union else 1.0)
    return float(np.mean(parts))
