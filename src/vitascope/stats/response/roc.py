"""Receiver operating characteristic: area with interval, and two areas on the same compounds compared.

References
----------
DeLong, DeLong, Clarke-Pearson, Biometrics 44:837 (1988). Logit interval: Pepe, The Statistical Evaluation of Medical
Tests (2003), section 5.2.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from vitascope.core.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RocArea:
    """Area under the curve.

    Parameters
    ----------
    auc, low, high : float, 0 to 1
        Area and its interval (DeLong's variance, on the logit scale); NaN without both classes.
    level : float
    positives, negatives : int
    reason : str
        Why there is no number; empty if there is one.
    """

    auc: float
    low: float
    high: float
    level: float
    positives: int
    negatives: int
    reason: str = ""


@dataclass(frozen=True)
class RocComparison:
    """Two areas on the same cases.

    Parameters
    ----------
    auc_a, auc_b, difference : float
        ``difference`` is a - b.
    low, high : float
        Interval of the difference.
    p_equal : float
        Two-sided test of equal areas.
    margin : float
        Largest loss that still counts as not worse.
    p_not_worse : float
        One-sided test against ``a`` being worse than ``b`` by ``margin`` or more.
    not_worse : bool
        Whether that is ruled out at the level: the lower end of the two-sided interval lies above ``-margin``.
    level : float
    cases : int
    reason : str
    """

    auc_a: float
    auc_b: float
    difference: float
    low: float
    high: float
    p_equal: float
    margin: float
    p_not_worse: float
    not_worse: bool
    level: float
    cases: int
    reason: str = ""


def _placements(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Share of negatives below each positive, and of positives above each negative, ties half."""
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    v10 = (ranks[:m] - rankdata(positive)) / n
    v01 = 1 - (ranks[m:] - rankdata(negative)) / m
    return v10, v01


def _cases(label: ArrayLike, *scores: ArrayLike) -> tuple[NDArray[np.bool_], list[Floats]]:
    truth = np.asarray(label, np.float64).ravel()
    columns = [np.asarray(score, np.float64).ravel() for score in scores]
    if any(len(column) != len(truth) for column in columns):
        raise InputError("Labels and scores differ in number.", "Give one of each for every compound.")
    # an infinite score is one: a margin of safety may have no upper end
    known = np.isfinite(truth) & ~np.isnan(np.array(columns)).any(axis=0)
    return truth[known] > 0, [column[known] for column in columns]


def roc_area(label: ArrayLike, score: ArrayLike, level: float = 0.95) -> RocArea:
    """Area under the ROC curve with its interval.

    Parameters
    ----------
    label : array-like
        Above 0 for positives; NaN rows are left out.
    score : array-like
        Higher means more positive; infinite ones rank last or first.
    level : float, 0 to 1

    Returns
    -------
    RocArea
        With areas of 0 or 1 the variance is 0: the interval then is that of Hanley and McNeil's rule of three.
    """
    truth, (values,) = _cases(label, score)
    m, n = int(truth.sum()), int((~truth).sum())
    if not m or not n:
        missing = "positive" if not m else "negative"
        return RocArea(
            auc=math.nan,
            low=math.nan,
            high=math.nan,
            level=level,
            positives=m,
            negatives=n,
            reason=f"There is no {missing} compound.",
        )
    v10, v01 = _placements(values[truth], values[~truth])
    auc = float(v10.mean())
    if m < 2 or n < 2:
        return RocArea(
            auc=auc,
            low=math.nan,
            high=math.nan,
            level=level,
            positives=m,
            negatives=n,
            reason="One compound of a class is too few for an interval.",
        )
    error = math.sqrt(v10.var(ddof=1) / m + v01.var(ddof=1) / n)
    z = float(norm.ppf((1 + level) / 2))
    if auc in (0.0, 1.0) or error == 0:
        reach = 1 - (1 - level) ** (1 / min(m, n))
        return RocArea(
            auc=auc, low=max(0.0, auc - reach), high=min(1.0, auc + reach), level=level, positives=m, negatives=n
        )
    logit, spread = math.log(auc / (1 - auc)), z * error / (auc * (1 - auc))
    low, high = (1 / (1 + math.exp(-(logit + side * spread))) for side in (-1, 1))
    return RocArea(auc=auc, low=low, high=high, level=level, positives=m, negatives=n)


def roc_curve(label: ArrayLike, score: ArrayLike) -> pd.DataFrame:
    """Points of the curve: ``threshold, false_positive_rate, true_positive_rate``, from (0, 0) to (1, 1)."""
    truth, (values,) = _cases(label, score)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else np.empty(0, int)
    hits, misses = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, values[last]),
            "false_positive_rate": np.append(0, misses / max(int((~truth).sum()), 1)),
            "true_positive_rate": np.append(0, hits / max(int(truth.sum()), 1)),
        }
    )


def compare_areas(
    label: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, *, margin: float, level: float = 0.95
) -> RocComparison:
    """Paired DeLong test of two scores on the same compounds, and whether a is worse than b by no more than a margin.

    Parameters
    ----------
    label, score_a, score_b : array-like, same length
        Rows with a NaN are left out.
    margin : float, >= 0
        Stated before looking.
    level : float, 0 to 1

    Returns
    -------
    RocComparison
    """
    truth, (a, b) = _cases(label, score_a, score_b)
    m, n = int(truth.sum()), int((~truth).sum())
    nothing = math.nan
    if m < 2 or n < 2:
        why = "Fewer than two compounds of a class: the areas cannot be compared."
        return RocComparison(
            auc_a=nothing,
            auc_b=nothing,
            difference=nothing,
            low=nothing,
            high=nothing,
            p_equal=nothing,
            margin=margin,
            p_not_worse=nothing,
            not_worse=False,
            level=level,
            cases=m + n,
            reason=why,
        )
    v10 = np.stack([_placements(s[truth], s[~truth])[0] for s in (a, b)])
    v01 = np.stack([_placements(s[truth], s[~truth])[1] for s in (a, b)])
    covariance = np.cov(v10) / m + np.cov(v01) / n
    areas = v10.mean(axis=1)
    apart = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # scores that rank alike differ by rounding only
    error = math.sqrt(variance) if variance > 1e-15 else 0.0
    z = float(norm.ppf((1 + level) / 2))
    p_equal = 2 * float(norm.sf(abs(apart) / error)) if error else float(apart == 0)
    p_worse = float(norm.sf((apart + margin) / error)) if error else float(apart + margin <= 0)
    low, high = apart - z * error, apart + z * error
    return RocComparison(
        auc_a=float(areas[0]),
        auc_b=float(areas[1]),
        difference=apart,
        low=low,
        high=high,
        p_equal=p_equal,
        margin=margin,
        p_not_worse=p_worse,
        not_worse=low > -margin,
        level=level,
        cases=m + n,
    )
