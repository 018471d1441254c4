"""How well a plate can tell effects from noise, and whether position on it matters.

Numbers that are not defined (no controls, one replicate, no spread) are NaN, never infinite and never an exception.

References
----------
Zhang, Chung, Oldenburg, J. Biomol. Screen. 4:67 (1999): Z'. Zhang, J. Biomol. Screen. 12:497 (2007): SSMD.
Birmingham et al., Nat. Methods 6:569 (2009): robust versions with median and MAD.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError
from vitascope.core.well import PLATE_SHAPES, Well

MAD_TO_SD = 1.4826022185056018
"""1 / Phi^-1(3/4): the MAD of normal numbers times this is their standard deviation."""

LEAST_TESTED = 3
"""Wells that each side of a test of position must have."""


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).ravel()
    return array[np.isfinite(array)]


def centre_and_spread(values: ArrayLike, robust: bool = False) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1), or median and scaled MAD; values that are not finite do not count.

    Parameters
    ----------
    values : array-like, float
    robust : bool
        Whether to take the median, and 1.4826 times the median absolute deviation from it.

    Returns
    -------
    tuple of float
        NaN where there is no value, or for the spread fewer than two.

    Examples
    --------
    >>> centre_and_spread([1.0, 2.0, 3.0, 100.0], robust=True)
    (2.5, 1.4826022185056018)
    """
    finite = _finite(values)
    if not finite.size:
        return math.nan, math.nan
    if robust:
        middle = float(np.median(finite))
        spread = MAD_TO_SD * float(np.median(np.abs(finite - middle)))
    else:
        middle = float(finite.mean())
        spread = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
    return middle, spread if finite.size > 1 else math.nan


def z_prime(negative: ArrayLike, positive: ArrayLike, robust: bool = False) -> float:
    """Z' factor: Z' = 1 - 3 (s_p + s_n) / |m_p - m_n|.

    Parameters
    ----------
    negative, positive : array-like, float
        Values of the control wells.
    robust : bool
        Whether m and s are median and scaled MAD instead of mean and standard deviation.

    Returns
    -------
    float, at most 1
        NaN without two wells of each, where the controls do not differ, or neither has any spread.

    References
    ----------
    Zhang, Chung, Oldenburg 1999, equation 2.

    Examples
    --------
    >>> z_prime([9.0, 10.0, 11.0], [0.0, 1.0, 2.0])
    0.33333333333333337
    """
    (m_n, s_n), (m_p, s_p) = centre_and_spread(negative, robust), centre_and_spread(positive, robust)
    if not s_n + s_p > 0 or m_n == m_p:
        return math.nan
    return 1 - 3 * (s_p + s_n) / abs(m_p - m_n)


def ssmd(negative: ArrayLike, positive: ArrayLike, robust: bool = False) -> float:
    """Strictly standardised mean difference: (m_p - m_n) / sqrt(s_p² + s_n²).

    Parameters and NaN as in :func:`z_prime`, but controls that do not differ give 0.

    References
    ----------
    Zhang 2007, equation 1 for independent groups; robust: Zhang 2008.

    Examples
    --------
    >>> round(ssmd([9.0, 10.0, 11.0], [0.0, 1.0, 2.0]), 6)
    -6.363961
    """
    (m_n, s_n), (m_p, s_p) = centre_and_spread(negative, robust), centre_and_spread(positive, robust)
    spread = math.hypot(s_n, s_p)
    return (m_p - m_n) / spread if spread > 0 else math.nan


def cv_percent(values: ArrayLike) -> float:
    """Coefficient of variation: 100 s / |m|, in per cent; NaN for fewer than two values or a mean of zero."""
    middle, spread = centre_and_spread(values)
    return 100 * spread / abs(middle) if middle else math.nan


def signal_to_background(negative: ArrayLike, positive: ArrayLike) -> float:
    """Mean of the higher control over that of the lower; NaN unless both are above zero."""
    means = sorted((centre_and_spread(negative)[0], centre_and_spread(positive)[0]))
    return means[1] / means[0] if means[0] > 0 else math.nan


@dataclass(frozen=True)
class PositionEffects:
    """Whether position on the plate matters.

    Parameters
    ----------
    n : int
        Wells tested.
    edge_percent : float
        Median of the outermost rows and columns against that of the other wells, in per cent of the latter.
    edge_p, row_p, column_p : float, 0 to 1
        Mann-Whitney test of the edge, two-sided; Kruskal-Wallis tests of rows and of columns. NaN where there are too
        few wells. Three tests are made: at 5 % each, one in seven good plates shows one by chance.
    """

    n: int
    edge_percent: float
    edge_p: float
    row_p: float
    column_p: float


def position_effects(wells: Sequence[Well | str], values: ArrayLike, shape: tuple[int, int]) -> PositionEffects:
    """Test edge, rows and columns of a plate.

    Parameters
    ----------
    wells : sequence of Well or str
        Give wells that should be alike: one control, or compounds that mostly do nothing. Wells whose dose follows the
        columns show a column effect that is none.
    values : array-like, float, one for each well
        Those that are not finite do not count.
    shape : tuple of int
        Rows and columns of the plate.

    Returns
    -------
    PositionEffects
    """
    numbers = np.asarray(values, np.float64)
    places = [Well.parse(well) if isinstance(well, str) else well for well in wells]
    row = np.array([place.row for place in places], int)
    column = np.array([place.column for place in places], int)
    known = np.isfinite(numbers)
    numbers, row, column = numbers[known], row[known], column[known]
    edge = (row == 0) | (row == shape[0] - 1) | (column == 0) | (column == shape[1] - 1)
    outer, inner = numbers[edge], numbers[~edge]
    percent = p = math.nan
    if min(outer.size, inner.size) >= LEAST_TESTED:
        from scipy.stats import mannwhitneyu  # importing it takes longer than all else of a small plate

        middle = float(np.median(inner))
        percent = 100 * (float(np.median(outer)) / middle - 1) if middle else math.nan
        p = float(mannwhitneyu(outer, inner, alternative="two-sided").pvalue) if np.ptp(numbers) > 0 else math.nan
    return PositionEffects(int(numbers.size), percent, p, _kruskal(numbers, row), _kruskal(numbers, column))


def _kruskal(values: NDArray[np.float64], line: NDArray[Any]) -> float:
    groups = [values[line == one] for one in np.unique(line)]
    groups = [group for group in groups if group.size >= 2]
    if len(groups) < LEAST_TESTED - 1 or np.ptp(np.concatenate(groups)) == 0:
        return math.nan
    from scipy.stats import kruskal

    return float(kruskal(*groups).pvalue)


def plate_quality(
    table: pd.DataFrame, value: str, *, by: Sequence[str] = ("plate",), size: int | None = None
) -> pd.DataFrame:
    """Judge plates by their controls and by position.

    Parameters
    ----------
    table : DataFrame
        One row for each well, with ``well``, ``role`` (negative, positive, treated, blank, other) and ``value``.
    value : str
        Column of numbers; empty ones (wells rejected or failed) do not count and are counted.
    by : sequence of str
        Columns that tell plates apart, such as plate and time; those the table lacks are left out.
    size : int, optional
        Number of wells of the plate; by default the smallest common plate that holds all wells.

    Returns
    -------
    DataFrame
        One row for each plate: the columns of ``by``, ``value``, ``n_negative``, ``n_positive``, ``n_missing``,
        ``z_prime``, ``robust_z_prime``, ``ssmd``, ``robust_ssmd``, ``cv_negative_percent``, ``cv_positive_percent``,
        ``signal_to_background``, and of :class:`PositionEffects` over ``position_role``: the negative controls where at
        least eight lie on and off the edge, else the treated wells.

    Raises
    ------
    InputError
        If a column is missing.
    """
    absent = [column for column in ("well", "role", value) if column not in table]
    if absent:
        raise InputError(f"The table has no column '{absent[0]}'.", "Give a table of wells, joined with a plate map.")
    keys = [column for column in by if column in table]
    parts = table.groupby(keys, sort=True, dropna=False) if keys else [((), table)]
    rows = []
    for key, part in parts:
        wells = [Well.parse(str(well)) for well in part["well"]]
        shape = PLATE_SHAPES[size] if size else smallest_shape(wells)
        rows.append({**dict(zip(keys, key, strict=True)), "value": value, **_judge(part, value, wells, shape)})
    return pd.DataFrame(rows)


def smallest_shape(wells: Sequence[Well]) -> tuple[int, int]:
    """Return rows and columns of the smallest common plate that holds the wells."""
    rows, columns = max(well.row for well in wells), max(well.column for well in wells)
    return next(shape for shape in PLATE_SHAPES.values() if rows < shape[0] and columns < shape[1])


def _judge(part: pd.DataFrame, value: str, wells: Sequence[Well], shape: tuple[int, int]) -> dict[str, Any]:
    numbers = part[value].astype(float).to_numpy()
    role = part["role"].astype(str).to_numpy()
    negative, positive = numbers[role == "negative"], numbers[role == "positive"]
    tested = _alike(wells, role, np.isfinite(numbers), shape)
    mask = role == tested
    effects = position_effects([well for well, one in zip(wells, mask, strict=True) if one], numbers[mask], shape)
    return {
        "n_negative": int(np.isfinite(negative).sum()),
        "n_positive": int(np.isfinite(positive).sum()),
        "n_missing": int((~np.isfinite(numbers)).sum()),
        "z_prime": z_prime(negative, positive),
        "robust_z_prime": z_prime(negative, positive, robust=True),
        "ssmd": ssmd(negative, positive),
        "robust_ssmd": ssmd(negative, positive, robust=True),
        "cv_negative_percent": cv_percent(negative),
        "cv_positive_percent": cv_percent(positive),
        "signal_to_background": signal_to_background(negative, positive),
        "position_role": tested,
        "position_n": effects.n,
        "edge_percent": effects.edge_percent,
        "edge_p": effects.edge_p,
        "row_p": effects.row_p,
        "column_p": effects.column_p,
    }


def _alike(wells: Sequence[Well], role: NDArray[Any], known: NDArray[Any], shape: tuple[int, int]) -> str:
    """Choose the wells that should be alike: the negative controls, where there are enough in both places."""
    last = (shape[0] - 1, shape[1] - 1)
    edge = np.array([w.row in (0, last[0]) or w.column in (0, last[1]) for w in wells], bool)
    chosen = (role == "negative") & known
    enough = chosen.sum() >= 8 and min((chosen & edge).sum(), (chosen & ~edge).sum()) >= LEAST_TESTED
    return "negative" if enough else "treated"
