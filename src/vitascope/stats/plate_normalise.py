"""Normalising a plate: to its controls, to its samples, or for its rows and columns. Raw values are always kept.

References
----------
Malo et al., Nat. Biotechnol. 24:167 (2006); Brideau et al., J. Biomol. Screen. 8:634 (2003): B-score.
Tukey, Exploratory Data Analysis (1977): median polish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.well import Well
from vitascope.stats.plate_quality import centre_and_spread, smallest_shape

Method = Literal["percent_of_control", "percent_inhibition", "robust_z", "b_score"]
METHODS: tuple[Method, ...] = ("percent_of_control", "percent_inhibition", "robust_z", "b_score")


def percent_of_control(values: ArrayLike, negative: ArrayLike) -> NDArray[np.float64]:
    """Percent of the median of the negative controls: 100 x / median(n); NaN unless that median is above zero.

    Examples
    --------
    >>> percent_of_control([50.0, 100.0], [90.0, 100.0, 130.0]).tolist()
    [50.0, 100.0]
    """
    middle = centre_and_spread(negative, robust=True)[0]
    numbers = np.asarray(values, np.float64)
    return 100 * numbers / middle if middle > 0 else np.full_like(numbers, np.nan)


def percent_inhibition(values: ArrayLike, negative: ArrayLike, positive: ArrayLike) -> NDArray[np.float64]:
    """Percent of the way from the negative controls (0) to the positive ones (100).

    100 (n - x) / (n - p), with n and p the medians of the controls; NaN where these are missing or equal.

    Examples
    --------
    >>> percent_inhibition([100.0, 55.0, 10.0], [100.0], [10.0]).tolist()
    [0.0, 50.0, 100.0]
    """
    n, p = (centre_and_spread(one, robust=True)[0] for one in (negative, positive))
    numbers = np.asarray(values, np.float64)
    return 100 * (n - numbers) / (n - p) if n != p else np.full_like(numbers, np.nan)


def robust_z(values: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Robust z-score: (x - median) / (1.4826 MAD), both of the reference; NaN where it has no spread.

    Examples
    --------
    >>> robust_z([2.5, 3.5], [1.0, 2.0, 3.0, 4.0]).round(4).tolist()
    [0.0, 0.6745]
    """
    middle, spread = centre_and_spread(reference, robust=True)
    numbers = np.asarray(values, np.float64)
    return (numbers - middle) / spread if spread > 0 else np.full_like(numbers, np.nan)


def median_polish(
    plate: NDArray[np.float64], rounds: int = 20, tolerance: float = 1e-6
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Split a table into overall + row + column + residual by Tukey's median polish, rows first.

    Parameters
    ----------
    plate : array, shape (rows, columns), float
        NaN where nothing is known.
    rounds : int
        At most so many sweeps over rows and columns.
    tolerance : float
        Sweeping ends when the sum of the absolute residuals changes by less than this share.

    Returns
    -------
    tuple
        Overall effect, row effects (rows,), column effects (columns,), and residuals, shape as ``plate``. An empty row
        or column has an effect of 0.
    """
    residual = np.array(plate, np.float64)
    overall, row, column = 0.0, np.zeros(plate.shape[0]), np.zeros(plate.shape[1])
    before = 0.0
    for _ in range(rounds):
        step = _medians(residual, 1)
        residual -= step[:, None]
        row += step
        middle = float(np.median(column))
        column -= middle
        overall += middle
        step = _medians(residual, 0)
        residual -= step[None, :]
        column += step
        middle = float(np.median(row))
        row -= middle
        overall += middle
        total = float(np.nansum(np.abs(residual)))
        if total == 0 or abs(total - before) < tolerance * total:
            break
        before = total
    return overall, row, column, residual


def _medians(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Take the median along an axis over what is known; 0 where nothing is."""
    known = np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(known, axis), values, 0.0)
    medians: NDArray[np.float64] = np.nanmedian(filled, axis=axis)
    return medians


def b_score(plate: NDArray[np.float64], fit: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """B-score: the residual of a median polish over 1.4826 times the median absolute deviation of the residuals.

    Parameters
    ----------
    plate : array, shape (rows, columns), float
        NaN where nothing is known.
    fit : array of bool, same shape, optional
        Wells that rows, columns and spread are taken from, such as the treated ones; default all.

    Returns
    -------
    array, shape as ``plate``
        NaN where nothing is known, or if no well differs from the sum of its row and column.

    References
    ----------
    Malo et al. 2006, box 1.
    """
    used = np.where(fit, plate, np.nan) if fit is not None else plate
    overall, row, column, residual = median_polish(used)
    spread = centre_and_spread(residual, robust=True)[1]
    if not spread > 1e-12 * max(1.0, float(np.nanmax(np.abs(used), initial=0.0))):
        return np.full_like(plate, np.nan)
    scores: NDArray[np.float64] = (plate - overall - row[:, None] - column[None, :]) / spread
    return scores


def normalise(
    table: pd.DataFrame,
    value: str,
    methods: Sequence[Method] = METHODS,
    *,
    by: Sequence[str] = ("plate",),
    reference: Literal["treated", "negative"] = "treated",
) -> pd.DataFrame:
    """Add normalised columns beside the raw one, plate by plate.

    Parameters
    ----------
    table : DataFrame
        One row for each well, with ``well``, ``role`` and ``value``.
    value : str
        Column of numbers.
    methods : sequence of {"percent_of_control", "percent_inhibition", "robust_z", "b_score"}
    by : sequence of str
        Columns that tell plates apart, such as plate and time; those the table lacks are left out.
    reference : {"treated", "negative"}
        Wells that robust z takes median and spread from.

    Returns
    -------
    DataFrame
        A copy with ``<value>_percent_of_control``, ``<value>_percent_inhibition``, ``<value>_robust_z`` and
        ``<value>_b_score`` as asked for, in the order of the table. Cells are NaN where a plate has no such controls,
        no spread, or, for the B-score, more than one row of the table for a well.

    Raises
    ------
    InputError
        If a column is missing.
    ParameterError
        If a method is not known.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise ParameterError(f"There is no method '{unknown[0]}'.", f"Known: {', '.join(METHODS)}.")
    absent = [column for column in ("well", "role", value) if column not in table]
    if absent:
        raise InputError(f"The table has no column '{absent[0]}'.", "Give a table of wells, joined with a plate map.")
    keys = [column for column in by if column in table]
    groups = table.groupby(keys, sort=False, dropna=False).indices if keys else {(): np.arange(len(table))}
    numbers = np.asarray(table[value].astype(float), np.float64)
    role = table["role"].astype(str).to_numpy()
    made = {method: np.full(len(table), np.nan) for method in methods}
    for rows in groups.values():
        wells = [Well.parse(str(table["well"].iloc[i])) for i in rows]
        for method in methods:
            made[method][rows] = _one(method, numbers[rows], role[rows], wells, reference)
    return table.assign(**{f"{value}_{method}": column for method, column in made.items()})


def _one(
    method: Method, values: NDArray[np.float64], role: NDArray[Any], wells: Sequence[Well], reference: str
) -> NDArray[np.float64]:
    negative, positive = values[role == "negative"], values[role == "positive"]
    if method == "percent_of_control":
        return percent_of_control(values, negative)
    if method == "percent_inhibition":
        return percent_inhibition(values, negative, positive)
    if method == "robust_z":
        return robust_z(values, values[role == reference])
    if len(set(wells)) < len(wells):
        return np.full_like(values, math.nan)
    plate, fit = np.full(smallest_shape(wells), np.nan), np.zeros(smallest_shape(wells), bool)
    at = tuple(np.array([(well.row, well.column) for well in wells]).T)
    plate[at], fit[at] = values, role == "treated"
    scores: NDArray[np.float64] = b_score(plate, fit)[at]
    return scores
