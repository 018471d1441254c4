"""Intervals that hold: split-conformal calibration by group.

Wells of one plate err together, so whole groups are what a new well is compared with. Nothing is assumed of the errors
but that the groups, the new one among them, could have come in any order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.card import Intervals
from vitascope.core.errors import InputError, ParameterError

Floats = NDArray[np.float64]
TINY = 1e-9

INTERVAL_LEVEL = 0.9
"""Of the intervals beside a number: 90 % takes 9 groups to calibrate, 95 % would take 19, and few studies have more."""


def calibrate(
    truth: ArrayLike,
    predicted: ArrayLike,
    groups: Sequence[Hashable],
    level: float = INTERVAL_LEVEL,
    scale: Literal["linear", "log"] = "linear",
    on: str = "",
) -> Intervals:
    """Find the half-width that holds the truth in a share ``level`` of the time, for a number of a new group.

    Parameters
    ----------
    truth, predicted : array, shape (N,)
        Of data the model was not trained on; above 0 where the scale is ``log``.
    groups : sequence, shape (N,)
        Such as plates. Where they are too few for the level, each number counts as a group of its own, and ``on`` says
        so.
    level : float, between 0 and 1
    scale : {"linear", "log"}
        Whether half-widths are differences, or differences of logarithms.
    on : str
        What the data are.

    Raises
    ------
    InputError
        If there are too few numbers for the level, or they are not finite.
    ParameterError
        If the level is not between 0 and 1.

    References
    ----------
    Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data", equation 8: each of K groups has
    the weight 1 / (K + 1), shared by its numbers, and the new group has the rest at infinity.
    """
    if not 0 < level < 1:
        raise ParameterError(f"An interval of level {level} cannot be had.", "Take a level between 0 and 1.")
    y, p = (np.asarray(v, np.float64) for v in (truth, predicted))
    if scale == "log":
        y, p = np.log(y), np.log(p)
    scores = np.abs(y - p)
    if not np.isfinite(scores).all():
        raise InputError("Truth or estimates to calibrate on are not finite.", "Leave those numbers out.")
    names = list(dict.fromkeys(groups))
    ids: NDArray[np.intp] = np.array([names.index(g) for g in groups], np.intp)
    if _too_few(len(names), level):
        ids, on = np.arange(len(scores)), f"{on}, each as a group of its own".removeprefix(", ")
    count = int(ids.max()) + 1 if len(ids) else 0
    if _too_few(count, level):
        raise InputError(
            f"{count} numbers are too few to calibrate intervals of {level:.0%}.",
            f"At least {int(np.ceil(level / (1 - level) - TINY))} are wanted.",
        )
    weights = 1 / np.bincount(ids)[ids] / (count + 1)
    order = np.argsort(scores)
    reached = np.cumsum(weights[order]) >= level - TINY
    return Intervals(level=level, scale=scale, half_width=float(scores[order][reached][0]), groups=count, on=on)


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
    return v - intervals.half_width, v + intervals.half_width
