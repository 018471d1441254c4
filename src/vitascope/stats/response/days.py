"""Series over days: how the IC50 moves, and from when on a treatment differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from vitascope.core.errors import InputError
from vitascope.stats.response.compare import holm
from vitascope.stats.response.result import ResponseResult

LEAST = 2


def ic50_by_day(result: ResponseResult, *, day: str = "day") -> pd.DataFrame:
    """IC50 with its band by day, in the order of days.

    Parameters
    ----------
    result : ResponseResult
        Fitted with ``day`` among the columns that tell curves apart.
    day : str

    Returns
    -------
    DataFrame
        The columns that tell curves apart, ``quantity, ic50, ic50_low, ic50_high, ic50_unit, relation, quality,
        reason``; days in numeric order where they are numbers.

    Raises
    ------
    InputError
        If the curves are not told apart by day.
    """
    if day not in result.by:
        raise InputError(f"The curves are not told apart by '{day}'.", f"Fit with by=[…, '{day}'].")
    numbers = pd.to_numeric(result.curves[day], errors="coerce")
    others = [name for name in result.by if name != day]
    shown = [*others, day, "quantity", "ic50", "ic50_low", "ic50_high", "ic50_unit", "relation", "quality", "reason"]
    ordered = result.curves.assign(_number=numbers).sort_values([*others, "quantity", "_number", day], kind="stable")
    return ordered[shown].reset_index(drop=True)


def first_day_of_difference(
    table: pd.DataFrame,
    *,
    response: str,
    by: Sequence[str] = ("treatment",),
    day: str = "day",
    level: float = 0.95,
) -> pd.DataFrame:
    """First day from which on a group differs from the negative controls.

    Welch's t test on each day, two-sided, corrected over days by Holm; the first day of the unbroken run of days up to
    the last that are all significant in one direction. A single day that does not last is none.

    Parameters
    ----------
    table : DataFrame
        With ``role``, ``day``, the columns of ``by`` and the response.
    response : str
    by : sequence of str
        Groups compared with the controls of the same day, such as treatment and dose.
    day : str
    level : float, 0 to 1

    Returns
    -------
    DataFrame
        The columns of ``by``, ``first_day`` (empty where there is none), ``days``, ``p_last`` (Holm), ``reason``.

    Raises
    ------
    InputError
        If a column is missing.
    """
    for column in ("role", day, response, *by):
        if column not in table:
            raise InputError(f"The table has no column '{column}'.", "Give a table of wells with role and day.")
    values = table.assign(_value=pd.to_numeric(table[response], errors="coerce"))
    control = {key: part["_value"].dropna() for key, part in values[values["role"] == "negative"].groupby(day)}
    rows = []
    for key, part in values[values["role"] == "treated"].groupby(list(by), sort=False, dropna=False):
        rows.append({**dict(zip(by, key, strict=True)), **_first_day(part, control, day, 1 - level)})
    return pd.DataFrame(rows, columns=[*by, "first_day", "days", "p_last", "reason"])


def _first_day(part: pd.DataFrame, control: dict[Any, pd.Series], day: str, alpha: float) -> dict[str, Any]:
    days = sorted(part[day].dropna().unique(), key=lambda d: (pd.to_numeric(d, errors="coerce"), str(d)))
    p, sign = [], []
    tested = []
    for one in days:
        own, other = part.loc[part[day] == one, "_value"].dropna(), control.get(one, pd.Series(dtype=float))
        if min(len(own), len(other)) < LEAST:
            continue
        tested.append(one)
        apart = float(own.mean() - other.mean())
        sign.append(math.copysign(1, apart))
        spread = own.var() + other.var()
        p.append(float(ttest_ind(own, other, equal_var=False).pvalue) if spread > 0 else float(apart == 0))
    if not tested:
        return {"first_day": None, "days": 0, "p_last": math.nan, "reason": "No day has two wells and two controls."}
    corrected = holm(p)
    first = None
    for at in range(len(tested) - 1, -1, -1):
        if not corrected[at] < alpha or sign[at] != sign[-1]:
            break
        first = tested[at]
    reason = "" if first is not None else "The group does not differ from the controls up to the last day."
    return {"first_day": first, "days": len(tested), "p_last": float(np.asarray(corrected)[-1]), "reason": reason}
