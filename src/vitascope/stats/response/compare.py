"""Two treatments, or two ways of measuring, compared: pairs, ratios of IC50s, and several tests at once.

References
----------
Holm, Scand. J. Stat. 6:65 (1979). Student, Biometrika 6:1 (1908). Wilcoxon, Biometrics 1:80 (1945).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as t_distribution
from scipy.stats import ttest_1samp, wilcoxon

from vitascope.core.errors import InputError
from vitascope.stats.response.result import CurveFit

LEAST_PAIRS = 2


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P values corrected for their number by Holm's step-down; NaN stays and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, np.float64)
    corrected = np.full_like(values, np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    stepped = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0) if len(order) else stepped
    return corrected


def paired_tests(
    table: pd.DataFrame, *, value: str, group: str, pair: Sequence[str], level: float = 0.95
) -> pd.DataFrame:
    """Compare groups two by two over blocks such as plate and day, by paired t test and Wilcoxon's signed ranks.

    Replicates of a group within a block are averaged first: blocks are the units.

    Parameters
    ----------
    table : DataFrame
    value, group : str
        Column of numbers, and the one that tells groups apart.
    pair : sequence of str
        Columns of the block.
    level : float, 0 to 1

    Returns
    -------
    DataFrame, one row for each pair of groups
        ``group_a, group_b, pairs, difference`` (a - b), ``low, high, t, p_t, p_wilcoxon, p_t_holm, p_wilcoxon_holm,
        reason``. Wilcoxon is exact where the pairs are few and differences neither tie nor vanish.

    Raises
    ------
    InputError
        If a column is missing.
    """
    missing = [name for name in (value, group, *pair) if name not in table]
    if missing:
        raise InputError(f"The table has no column '{missing[0]}'.", f"It has: {', '.join(map(str, table.columns))}.")
    numbers = table.assign(_value=pd.to_numeric(table[value], errors="coerce"))
    wide = numbers.pivot_table(index=list(pair), columns=group, values="_value", aggfunc="mean", dropna=False)
    names = list(dict.fromkeys(table[group].dropna()))
    rows = []
    for at, a in enumerate(names):
        for b in names[at + 1 :]:
            both = wide[[a, b]].dropna() if {a, b} <= set(wide) else wide.iloc[:0, :0]
            apart = (both[a] - both[b]).to_numpy(float) if len(both) else np.empty(0)
            rows.append({"group_a": a, "group_b": b, **paired_difference(apart, level)})
    columns = ["group_a", "group_b", "pairs", "difference", "low", "high", "t", "p_t", "p_wilcoxon", "reason"]
    found = pd.DataFrame(rows, columns=columns)
    for name in ("p_t", "p_wilcoxon"):
        found[f"{name}_holm"] = holm(found[name])
    return found


def paired_difference(differences: ArrayLike, level: float = 0.95) -> dict[str, Any]:
    """Mean of paired differences with its t interval, t and Wilcoxon tests against 0."""
    d = np.asarray(differences, np.float64)
    d = d[np.isfinite(d)]
    row: dict[str, Any] = dict.fromkeys(("difference", "low", "high", "t", "p_t", "p_wilcoxon"), math.nan)
    row.update(pairs=len(d), reason="")
    if len(d):
        row["difference"] = float(d.mean())
    if len(d) < LEAST_PAIRS:
        row["reason"] = f"{len(d)} pairs: at least {LEAST_PAIRS} are needed."
        return row
    error = float(d.std(ddof=1)) / math.sqrt(len(d))
    # differences that are equal but for rounding have no spread
    if error <= 1e-14 * float(np.abs(d).max()):
        row["reason"] = "All differences are equal: there is no spread to test against."
        return row
    reach = float(t_distribution.ppf((1 + level) / 2, len(d) - 1)) * error
    test = ttest_1samp(d, 0.0)
    row.update(low=row["difference"] - reach, high=row["difference"] + reach, t=float(test.statistic))
    exact = len(d) <= 50 and len(np.unique(np.abs(d))) == len(d) and bool((d != 0).all())
    signed = wilcoxon(d, method="exact" if exact else "asymptotic", correction=not exact)
    row.update(p_t=float(test.pvalue), p_wilcoxon=float(signed.pvalue))
    return row


def ic50_ratio(a: CurveFit | None, b: CurveFit | None, level: float = 0.95) -> dict[str, Any]:
    """Ratio of two IC50s, a over b, with interval and p value against 1.

    By the delta method in log dose, with Welch-Satterthwaite's degrees of freedom.

    Parameters
    ----------
    a, b : CurveFit or None
        Of curves in the same unit, from different wells.
    level : float, 0 to 1

    Returns
    -------
    dict
        ``ratio, low, high, p, reason``; NaN with the reason where an IC50 is not known within its doses.

    Raises
    ------
    InputError
        If the units of the doses differ.
    """
    row: dict[str, Any] = {"ratio": math.nan, "low": math.nan, "high": math.nan, "p": math.nan, "reason": ""}
    if a is None or b is None or not (_inside(a) and _inside(b)):
        return row | {"reason": "An IC50 is missing or lies beyond its doses: there is no ratio."}
    if a.dose_unit != b.dose_unit:
        raise InputError(f"IC50s in {a.dose_unit} and {b.dose_unit} have no ratio.", "Bring the doses to one unit.")
    row["ratio"] = a.midpoint / b.midpoint
    variances = [fit.log10_midpoint_error**2 for fit in (a, b)]
    if not all(v > 0 for v in variances):
        return row | {"reason": "The error of an IC50 is not known: there is no interval."}
    total = sum(variances)
    freedom = total**2 / sum(v**2 / fit.freedom for v, fit in zip(variances, (a, b), strict=True))
    return row | _log_interval(math.log10(row["ratio"]), math.sqrt(total), freedom, level)


def _inside(fit: CurveFit) -> bool:
    return fit.doses[0] <= fit.midpoint <= fit.doses[1]


def _log_interval(log10: float, error: float, freedom: float, level: float) -> dict[str, float]:
    reach = float(t_distribution.ppf((1 + level) / 2, freedom)) * error
    p = 2 * float(t_distribution.sf(abs(log10) / error, freedom)) if error > 0 else float(log10 == 0)
    return {"low": 10 ** (log10 - reach), "high": 10 ** (log10 + reach), "p": p}


def block_ratio(curves: pd.DataFrame, a: str, b: str, *, block: Sequence[str], level: float = 0.95) -> dict[str, Any]:
    """Ratio of the IC50s of two treatments over blocks such as plates and days.

    The mean of the paired differences of log10 IC50 over blocks, with a t interval: plates and days vary more than
    wells, and are the units.

    Parameters
    ----------
    curves : DataFrame
        ``curves`` of a :class:`vitascope.stats.response.result.ResponseResult` of one quantity.
    a, b : str
        Treatments.
    block : sequence of str
        Columns of the block.
    level : float, 0 to 1

    Returns
    -------
    dict
        ``ratio, low, high, p, p_wilcoxon, blocks, left_out, reason``. Blocks in which an IC50 is missing or a bound
        are left out and counted.
    """
    ic50 = curves["ic50"].where(curves["relation"] == "=")
    two = curves.assign(_log=np.log10(ic50.astype(float)))[curves["treatment"].isin([a, b])]
    if two["ic50_unit"].nunique() > 1:
        raise InputError("The IC50s stand in several units.", "Bring the doses to one unit.")
    if two.duplicated([*block, "treatment"]).any():
        raise InputError("A block holds a treatment twice.", "Name all columns that tell blocks apart.")
    wide = two.pivot(index=list(block), columns="treatment", values="_log").reindex(columns=[a, b])
    both = wide.dropna()
    found = paired_difference((both[a] - both[b]).to_numpy(float), level)
    return {
        "ratio": 10 ** found["difference"], "low": 10 ** found["low"], "high": 10 ** found["high"], "p": found["p_t"],
        "p_wilcoxon": found["p_wilcoxon"], "blocks": len(both), "left_out": len(wide) - len(both),
        "reason": found["reason"],
    }  # fmt: skip
