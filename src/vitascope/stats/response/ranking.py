"""Whether one measurement ranks treatments as another does, and how far they agree.

References
----------
Ins-ATP (seed 000), groups of five. Lin, Biometrics 45:255 (1989). Bland, Altman, Lancet 327:307 (1986).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as t_distribution

from vitascope.core.errors import InputError
from vitascope.stats.agreement import concordance, pearson, spearman
from vitascope.stats.bootstrap import resample_interval

LEAST = 3
MEASURES = ("pearson", "spearman", "ordered_alike")


def ordered_alike(a: ArrayLike, b: ArrayLike) -> float:
    """Share of pairs that both measurements put in the same order, 0 to 1.

    Pairs that ``a`` (the reference) ties do not count; a pair that only ``b`` ties counts half.

    Examples
    --------
    >>> ordered_alike([1, 2, 3], [10, 30, 20])
    0.6666666666666666
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    upper = np.triu_indices(len(x), 1)
    dx, dy = (np.sign(np.subtract.outer(v, v))[upper] for v in (x, y))
    told = dx != 0
    return float(np.mean((1 + dx[told] * dy[told]) / 2)) if told.any() else math.nan


def rank_agreement(
    table: pd.DataFrame,
    *,
    reference: str,
    image: str,
    group: str | Sequence[str],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Correlation and order within each group, and the median over groups with its bootstrap interval.

    Parameters
    ----------
    table : DataFrame, one row for each well or treatment
    reference, image : str
        Columns of numbers: the assay, and what the image says.
    group : str or sequence of str
        Columns that tell groups apart, such as plate, or sets of five wells.
    level, resamples, seed
        Of the bootstrap, which draws groups.

    Returns
    -------
    tuple of DataFrame
        By group: the columns of ``group``, ``n``, :data:`MEASURES`, ``reason``. Overall, one row for each measure:
        ``measure, median, low, high, level, groups, reason``.

    Raises
    ------
    InputError
        If a column is missing.
    """
    keys = [group] if isinstance(group, str) else list(group)
    numbers = _numbers(table, reference, image, keys)
    rows = []
    for key, part in numbers.groupby(keys, sort=False, dropna=False):
        a, b = part["_a"].to_numpy(float), part["_b"].to_numpy(float)
        n = int((np.isfinite(a) & np.isfinite(b)).sum())
        reason = "" if n >= LEAST else f"Only {n} pairs of numbers: at least {LEAST} are needed."
        found = (math.nan,) * 3 if reason else (pearson(a, b), spearman(a, b), ordered_alike(a, b))
        if not reason and any(map(math.isnan, found)):
            reason = "One side is constant."
        rows.append(
            {**dict(zip(keys, key, strict=True)), "n": n, **dict(zip(MEASURES, found, strict=True)), "reason": reason}
        )
    each = pd.DataFrame(rows, columns=[*keys, "n", *MEASURES, "reason"])
    overall = [_median(each[name], name, level, resamples, seed) for name in MEASURES]
    return each, pd.DataFrame(overall)


def _numbers(table: pd.DataFrame, reference: str, image: str, keys: list[str]) -> pd.DataFrame:
    missing = [name for name in (reference, image, *keys) if name not in table]
    if missing:
        raise InputError(f"The table has no column '{missing[0]}'.", f"It has: {', '.join(map(str, table.columns))}.")
    a, b = (pd.to_numeric(table[name], errors="coerce") for name in (reference, image))
    return table[keys].assign(_a=a, _b=b)


def _median(values: pd.Series, measure: str, level: float, resamples: int, seed: int) -> dict[str, Any]:
    known = values.dropna().to_numpy(float)

    def statistic(drawn: NDArray[np.intp]) -> float:
        return float(np.median(known[drawn]))

    found = resample_interval(len(known), statistic, resamples=resamples, level=level, seed=seed)
    return {
        "measure": measure, "median": found.value, "low": found.low, "high": found.high, "level": level,
        "groups": len(known), "reason": found.reason,
    }  # fmt: skip


def bland_altman(
    table: pd.DataFrame, *, reference: str, image: str, by: Sequence[str] = ("plate",), level: float = 0.95
) -> pd.DataFrame:
    """Bland and Altman's limits of agreement, and Lin's concordance, for each plate and for all.

    Parameters
    ----------
    table : DataFrame
    reference, image : str
        Columns of numbers in one unit.
    by : sequence of str
        Columns that tell plates apart; those that the table lacks are left out.
    level : float, 0 to 1

    Returns
    -------
    DataFrame
        The columns of ``by`` (``all`` in the last row), ``n, bias`` (mean of image - reference), ``bias_low,
        bias_high`` (t interval), ``limit_low, limit_high`` (bias -/+ 1.96 s), ``concordance``, ``p_slope`` (whether the
        difference grows with the mean), ``reason``.
    """
    keys = [name for name in by if name in table]
    numbers = _numbers(table, reference, image, keys)
    parts: list[tuple[tuple[Hashable, ...], pd.DataFrame]] = []
    if keys:
        parts = [(tuple(key), part) for key, part in numbers.groupby(keys, sort=False, dropna=False)]
    parts.append((("all",) * len(keys), numbers))
    rows = [{**dict(zip(keys, key, strict=True)), **_limits(part["_a"], part["_b"], level)} for key, part in parts]
    return pd.DataFrame(rows)


def _limits(reference: pd.Series, image: pd.Series, level: float) -> dict[str, Any]:
    a, b = reference.to_numpy(float), image.to_numpy(float)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    names = ("bias", "bias_low", "bias_high", "limit_low", "limit_high", "concordance", "p_slope")
    row: dict[str, Any] = {"n": len(a), **dict.fromkeys(names, math.nan), "reason": ""}
    if len(a) < LEAST:
        return row | {"reason": f"Only {len(a)} pairs of numbers: at least {LEAST} are needed."}
    apart, mean = b - a, (a + b) / 2
    bias, s = float(apart.mean()), float(apart.std(ddof=1))
    reach = float(t_distribution.ppf((1 + level) / 2, len(a) - 1)) * s / math.sqrt(len(a))
    r = pearson(mean, apart)
    slope_p = math.nan
    if math.isfinite(r):
        t = r * math.sqrt((len(a) - 2) / max(1 - r * r, 1e-300))
        slope_p = 2 * float(t_distribution.sf(abs(t), len(a) - 2))
    return row | {
        "bias": bias, "bias_low": bias - reach, "bias_high": bias + reach, "limit_low": bias - 1.96 * s,
        "limit_high": bias + 1.96 * s, "concordance": concordance(a, b), "p_slope": slope_p,
    }  # fmt: skip
