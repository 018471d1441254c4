"""Intervals that hold: split-conformal calibration by group.

Wells of one plate err together, so whole groups are what a new well is compared with. Nothing is assumed of the errors
but that the groups, the new one among them, could have come in any order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.card import IntervalProfile, Intervals
from vitascope.core.errors import InputError, ParameterError

Floats = NDArray[np.float64]
TINY = 1e-9
BINS, LEAST_IN_BIN = 10, 30
"""Parts of the range, of as many numbers each, in which errors are looked at apart; fewer where there are too few."""

LEAST_REACH = 0.05
"""No end lies nearer than this share of the mean error: few numbers say little of how good the best are."""

INTERVAL_LEVEL = 0.9
"""Of the intervals beside a number: 90 % takes 9 groups to calibrate, 95 % would take 19, and few studies have more."""


def calibrate(
    truth: ArrayLike,
    predicted: ArrayLike,
    groups: Sequence[Hashable],
    level: float = INTERVAL_LEVEL,
    scale: Literal["linear", "log"] = "linear",
    on: str = "",
    follow: bool = True,
    weights: ArrayLike | None = None,
) -> Intervals:
    """Find the intervals that hold the truth in a share ``level`` of the time, for a number of a new group.

    Where there are groups enough, a third of them tells how far errors reach below and above numbers of each size
    (quantiles of the errors in parts of the range), and the others how many times that is wanted.

    Parameters
    ----------
    truth, predicted : array, shape (N,)
        Of data the model was not trained on; above 0 where the scale is ``log``.
    groups : sequence, shape (N,)
        Such as plates. Where they are too few for the level, each number counts as a group of its own; then the level
        that holds for a new group is not known: it is None, and ``on`` says why.
    level : float, between 0 and 1
    scale : {"linear", "log"}
        Whether half-widths are differences, or differences of logarithms.
    on : str
        What the data are.
    follow : bool
        Whether widths follow the number, where there are groups enough and the scale is linear.
    weights : array, shape (N,), > 0, optional
        How much each number counts, where some kinds are among them more often than among new ones; a group counts as
        the mean of its numbers, and a new one as the heaviest. Widths do not follow the number then.

    Raises
    ------
    InputError
        If there are too few numbers for the level, or they are not finite.
    ParameterError
        If the level is not between 0 and 1.

    References
    ----------
    Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data", equation 8: each of K groups has
    the weight 1 / (K + 1), shared by its numbers, and the new group has the rest at infinity. Romano, Patterson and
    Candès 2019, "Conformalized quantile regression": quantiles of errors as a profile, calibrated on other data.
    Tibshirani, Barber, Candès and Ramdas 2019, "Conformal prediction under covariate shift": weights.
    """
    if not 0 < level < 1:
        raise ParameterError(f"An interval of level {level} cannot be had.", "Take a level between 0 and 1.")
    y, p = (np.asarray(v, np.float64) for v in (truth, predicted))
    if scale == "log":
        y, p = np.log(y), np.log(p)
    if not np.isfinite(y - p).all():
        raise InputError("Truth or estimates to calibrate on are not finite.", "Leave those numbers out.")
    names = list(dict.fromkeys(groups))
    ids: NDArray[np.intp] = np.array([names.index(g) for g in groups], np.intp)
    profile: tuple[IntervalProfile, ...] = ()
    if follow and weights is None and scale == "linear" and not _too_few(len(names) * 2 // 3, level):
        first = ids % 3 == 0
        profile = _profile(y[first], p[first], level)
    if profile:
        y, p, ids = y[~first], p[~first], np.unique(ids[~first], return_inverse=True)[1]
    below, above = _reaches(p, profile)
    scores = np.maximum((p - y) / below, (y - p) / above)
    known: float | None = level
    if _too_few(int(ids.max(initial=-1)) + 1, level):
        ids, on = np.arange(len(scores)), f"{on}, each as a group of its own".removeprefix(", ")
        known = None
    count = int(ids.max()) + 1 if len(ids) else 0
    if _too_few(count, level):
        raise InputError(
            f"{count} numbers are too few to calibrate intervals of {level:.0%}.",
            f"At least {int(np.ceil(level / (1 - level) - TINY))} are wanted.",
        )
    own = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    sizes = np.bincount(ids)
    of_group = np.bincount(ids, own) / sizes
    shares = own / sizes[ids] / (of_group.sum() + of_group.max())
    order = np.argsort(scores)
    reached = np.cumsum(shares[order]) >= level - TINY
    if not reached.any():
        raise InputError("The weights leave too few numbers to calibrate on.", "Let no number count that much.")
    half_width = max(0.0, float(scores[order][reached][0]))
    return Intervals(level=known, scale=scale, half_width=half_width, groups=count, on=on, profile=profile)


def _profile(truth: Floats, predicted: Floats, level: float) -> tuple[IntervalProfile, ...]:
    """Return how far truths lie below and above numbers of each size; empty where there are too few numbers."""
    bins = min(BINS, len(predicted) // LEAST_IN_BIN)
    if bins < 2:
        return ()
    least = LEAST_REACH * float(np.abs(truth - predicted).mean())
    found: list[IntervalProfile] = []
    for part in np.array_split(np.argsort(predicted, kind="stable"), bins):
        middle, errors = float(np.median(predicted[part])), truth[part] - predicted[part]
        low, high = np.quantile(errors, ((1 - level) / 2, (1 + level) / 2))
        if not found or middle > found[-1].value:
            found.append(IntervalProfile(value=middle, below=max(-low, least), above=max(high, least)))
    return tuple(found) if least > 0 else ()


def _reaches(predicted: Floats, profile: Sequence[IntervalProfile]) -> tuple[Floats, Floats]:
    """Return how far the interval of each number reaches below and above, in half-widths; 1 without a profile."""
    if not profile:
        return np.ones_like(predicted), np.ones_like(predicted)
    knots = [one.value for one in profile]
    return (
        np.interp(predicted, knots, [one.below for one in profile]),
        np.interp(predicted, knots, [one.above for one in profile]),
    )


def _too_few(groups: int, level: float) -> bool:
    """Tell whether the highest of so many groups is no bound of this level."""
    return groups < level * (groups + 1) - TINY


def interval(values: ArrayLike, intervals: Intervals) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of the intervals of numbers, (N,) each.

    Examples
    --------
    >>> low, high = interval([100.0], Intervals(level=0.9, half_width=20.0, groups=12, on="test"))
    >>> low.tolist(), high.tolist()
    ([80.0], [120.0])
    """
    v = np.asarray(values, np.float64)
    if intervals.scale == "log":
        return v * np.exp(-intervals.half_width), v * np.exp(intervals.half_width)
    below, above = _reaches(v, intervals.profile)
    return v - intervals.half_width * below, v + intervals.half_width * above
