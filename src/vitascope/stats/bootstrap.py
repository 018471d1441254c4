"""Intervals by drawing again: over blocks of a picture, or over groups such as wells and patients.

Neighbouring pixels, or cells of one well, are no independent witnesses; whole blocks or groups are drawn instead. All
is repeatable by ``seed``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ParameterError

RESAMPLES = 2000
"""From seed to seed an end of a 95 % interval then varies by 1.5 % of the width (normal statistic)."""

CARD_RESAMPLES = 1000
"""For figures of a card, of which there are many: 2.2 % of the width."""

LEVEL = 0.95
BLOCK_PX = 32
LEAST_UNITS = 3


@dataclass(frozen=True)
class Interval:
    """An estimate and its bootstrap interval.

    Parameters
    ----------
    value : float
        The statistic of all the data.
    low, high : float
        Ends of the percentile interval; NaN where it cannot be said.
    level : float, 0 to 1
        Nominal coverage, 0.95 for 95 %.
    units : int
        Blocks or groups that were drawn from.
    reason : str
        Why there is no interval; empty if there is one.
    """

    value: float
    low: float
    high: float
    level: float
    units: int
    reason: str = ""


def resample_interval(
    units: int,
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic of units drawn with replacement.

    Parameters
    ----------
    units : int, >= 0
        Number of independent units.
    statistic : callable
        Takes the indices of the units drawn, shape (units,), and returns a number.
    resamples : int, >= 1
    level : float, between 0 and 1
    seed : int

    Returns
    -------
    Interval
        Draws whose statistic is not finite are left out; without an interval if fewer than three units or no draw
        remains.

    Raises
    ------
    ParameterError
        If ``resamples`` or ``level`` lies outside its range.
    """
    if resamples < 1 or not 0 < level < 1:
        raise ParameterError(
            f"An interval of level {level} from {resamples} draws cannot be had.",
            "Take a level between 0 and 1, and at least one draw.",
        )
    value = float(statistic(np.arange(units))) if units else math.nan
    if units < LEAST_UNITS:
        return Interval(
            value=value,
            low=math.nan,
            high=math.nan,
            level=level,
            units=units,
            reason=f"Only {units} units: at least {LEAST_UNITS}.",
        )
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, units, units)) for _ in range(resamples)], np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Interval(
            value=value,
            low=math.nan,
            high=math.nan,
            level=level,
            units=units,
            reason="The statistic is not defined on any draw.",
        )
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high), level=level, units=units)


def group_interval(
    groups: Sequence[Hashable],
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of a statistic of rows, whole groups drawn with replacement.

    Parameters
    ----------
    groups : sequence, shape (rows,)
        Group of each row, such as its well, plate or patient. All different: the plain bootstrap.
    statistic : callable
        Takes row indices, those of a group that is drawn twice appearing twice, and returns a number.
    resamples, level, seed
        See :func:`resample_interval`.

    Returns
    -------
    Interval
    """
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    members = [np.array(found, np.intp) for found in rows.values()]

    def of_rows(drawn: NDArray[np.intp]) -> float:
        return statistic(np.concatenate([members[k] for k in drawn]))

    return resample_interval(len(members), of_rows, resamples=resamples, level=level, seed=seed)


def pcc_interval(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    *,
    block_px: int = BLOCK_PX,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of the Pearson correlation of two pictures over blocks, from sums per block.

    The same numbers as from the pixels of the blocks drawn, in a fraction of the time. Only whole blocks count.

    Parameters
    ----------
    truth, predicted : array, shape (Y, X)
        Pixels that are not finite in both are left out.
    block_px : int, >= 1, px
        Larger than what pixels know of each other, such as a nucleus.
    resamples, level, seed
        See :func:`resample_interval`.

    Returns
    -------
    Interval
        Its value is that of the whole blocks.

    Raises
    ------
    InputError
        If the pictures are no planes of one shape.

    References
    ----------
    Pankova 2022 (seed 004), equation 6.
    """
    x, y = (_blocks(p, block_px).reshape(-1, block_px * block_px) for p in _same_shape([truth, predicted]))
    both = np.isfinite(x) & np.isfinite(y)
    if not both.any():
        return Interval(
            value=math.nan,
            low=math.nan,
            high=math.nan,
            level=level,
            units=len(x),
            reason="No pixel is finite in both pictures.",
        )
    sums = _block_sums(x, y, both)
    return resample_interval(
        len(x), lambda drawn: _correlation(sums[:, drawn].sum(1)), resamples=resamples, level=level, seed=seed
    )


def pcc_gain_interval(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    baseline: NDArray[Any],
    *,
    block_px: int = BLOCK_PX,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of how much better one picture correlates with the truth than another, over the same blocks drawn.

    Parameters
    ----------
    truth, predicted, baseline : array, shape (Y, X)
        Pixels that are not finite in all three are left out.
    block_px, resamples, level, seed
        See :func:`pcc_interval`.

    Returns
    -------
    Interval
        Of PCC(truth, predicted) - PCC(truth, baseline), -2 to 2; above 0 throughout where the first is better.

    Raises
    ------
    InputError
        If the pictures are no planes of one shape.
    """
    cut = (_blocks(p, block_px).reshape(-1, block_px * block_px) for p in _same_shape([truth, predicted, baseline]))
    x, y, z = cut
    all_three = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    if not all_three.any():
        return Interval(
            value=math.nan,
            low=math.nan,
            high=math.nan,
            level=level,
            units=len(x),
            reason="No pixel is finite in all three pictures.",
        )
    mine, other = _block_sums(x, y, all_three), _block_sums(x, z, all_three)

    def gain(drawn: NDArray[np.intp]) -> float:
        return _correlation(mine[:, drawn].sum(1)) - _correlation(other[:, drawn].sum(1))

    return resample_interval(len(x), gain, resamples=resamples, level=level, seed=seed)


def _block_sums(x: NDArray[np.float64], y: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what a correlation is made of, for each block (row): n, sums, squares, products; shape (6, blocks)."""
    # about the means, so that the sums of squares keep their digits
    x = np.where(counted, x - x[counted].mean(), 0)
    y = np.where(counted, y - y[counted].mean(), 0)
    return np.stack([counted.sum(1), x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)])


def _correlation(sums: NDArray[np.float64]) -> float:
    n, sx, sy, xx, yy, xy = sums
    if n == 0:
        return math.nan
    vx, vy = xx - sx * sx / n, yy - sy * sy / n
    least = np.finfo(np.float64).eps
    if vx <= least * xx or vy <= least * yy:
        return math.nan
    return float((xy - sx * sy / n) / math.sqrt(vx) / math.sqrt(vy))


def _same_shape(pictures: Sequence[NDArray[Any]]) -> list[NDArray[np.float64]]:
    shapes = {p.shape for p in pictures}
    if len(shapes) != 1 or any(len(s) != 2 for s in shapes):
        raise InputError(
            f"Pictures of shapes {sorted(map(str, shapes))} cannot be cut into the same blocks.",
            "Give planes of one field.",
            flag="wrong_dimensions",
        )
    return [np.asarray(p, np.float64) for p in pictures]


def _blocks(picture: NDArray[np.float64], block_px: int) -> NDArray[np.float64]:
    """Whole blocks of a picture, row by row, shape (blocks, block_px, block_px)."""
    if block_px < 1:
        raise ParameterError(f"Blocks of {block_px} px cannot be cut.", "Take a positive number.")
    rows, columns = (n // block_px for n in picture.shape)
    whole = picture[: rows * block_px, : columns * block_px]
    return whole.reshape(rows, block_px, columns, block_px).swapaxes(1, 2).reshape(-1, block_px, block_px)
