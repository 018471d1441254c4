"""Growth rate inhibition: GR values and metrics, with the column names of the R package GRmetrics.

References
----------
Hafner, Niepel, Chung, Sorger, Nat. Methods 13:521 (2016): equation 1 and online methods; GRmetrics (Clark et al., BMC
Cancer 17:698, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from vitascope.core.errors import InputError
from vitascope.stats.response.logistic import HIGH, LOG_K, MIDPOINT, Floats, log_dose, log_dose_at
from vitascope.stats.response.solver import make_problem, solve

GR_COLUMNS = (
    "GR50", "log10_GR50", "GRmax", "GR_AOC", "GEC50", "log10_GEC50", "GRinf", "h_GR", "r2_GR", "pval_GR", "fit_GR",
    "flat_fit_GR", "concentration_points", "ctrl_cell_doublings", "reason",
)  # fmt: skip
LEAST_POINTS = 4
FLAT_P = 0.05
H_BOUNDS = (0.1, 5.0)
REACH = 100.0


def gr_values(treated: ArrayLike, control: ArrayLike, time0: ArrayLike) -> Floats:
    """GR value: ``2 ** (log2(x / x0) / log2(xc / x0)) - 1``.

    1 is growth as in the control, 0 no growth, below 0 loss of cells.

    Parameters
    ----------
    treated, control, time0 : array-like, > 0
        Amounts (cells, ATP) of treated and control wells at the end, and of wells at the start of treatment.

    Returns
    -------
    array
        NaN where an amount is missing or not above zero, or the control did not grow.

    References
    ----------
    Hafner 2016, equation 1.

    Examples
    --------
    >>> gr_values([4.0, 2.0, 1.0, 0.5], 4.0, 1.0).round(4).tolist()
    [1.0, 0.4142, 0.0, -0.2929]
    """
    x, c, x0 = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (treated, control, time0)))
    sound = (x > 0) & (c > 0) & (x0 > 0) & (c > x0)
    x, c, x0 = (np.where(sound, v, 2.0 + i) for i, v in enumerate((x, c, x0)))
    grown = np.where(sound, np.log2(c / x0), 1.0)
    return np.where(sound, 2 ** (np.log2(x / x0) / grown) - 1, np.nan)


def growth_table(
    table: pd.DataFrame,
    *,
    dose: str = "dose",
    response: str,
    by: Sequence[str] = ("treatment",),
    blocks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Add GR values to a table of wells with controls and wells read at the start.

    Parameters
    ----------
    table : DataFrame
        With ``role``: ``treated``, ``negative``, and ``time0`` for wells read when the treatment began.
    dose, response : str
        Columns of numbers.
    by : sequence of str
        Kept for :func:`growth_metrics`.
    blocks : sequence of str, optional
        Columns within which controls count; by default those of plate, day and cell_line that are there. Wells
        ``time0`` may lie on a plate of their own: a plate without such takes those of all plates.

    Returns
    -------
    DataFrame
        The treated rows with ``GRvalue``, ``rel_cell_count``, ``ctrl_cell_doublings``.

    Raises
    ------
    InputError
        If a column is missing, or no wells ``time0`` are there.
    """
    for column in (dose, response, "role", *by):
        if column not in table:
            raise InputError(f"The table has no column '{column}'.", "Give a table of wells, joined with a plate map.")
    keys = [c for c in ("plate", "day", "cell_line") if c in table] if blocks is None else list(blocks)
    start = table[table["role"] == "time0"]
    if start.empty:
        raise InputError(
            "No well has the role 'time0'.", "Growth rates need wells that were read when the treatment began."
        )
    parts = []
    for _, part in table.groupby(keys, sort=False, dropna=False) if keys else [((), table)]:
        values = pd.to_numeric(part[response], errors="coerce")
        own = values[part["role"] == "time0"]
        lines = start
        if "cell_line" in table and own.empty:
            lines = start[start["cell_line"].isin(part["cell_line"])]
        x0 = float(own.median()) if len(own) else float(pd.to_numeric(lines[response], errors="coerce").median())
        control = float(values[part["role"] == "negative"].median())
        treated = part[part["role"] == "treated"].copy()
        amounts = values[treated.index]
        treated["GRvalue"] = gr_values(amounts, control, x0)
        treated["rel_cell_count"] = amounts / control if control > 0 else math.nan
        treated["ctrl_cell_doublings"] = math.log2(control / x0) if control > 0 and x0 > 0 else math.nan
        parts.append(treated)
    return pd.concat(parts)


def growth_metrics(values: pd.DataFrame, *, dose: str = "dose", by: Sequence[str] = ("treatment",)) -> pd.DataFrame:
    """GR50, GRmax, GR_AOC and the curve behind them, one row for each group.

    The curve is ``GRinf + (1 - GRinf) / (1 + (c / GEC50) ** h_GR)``; GR50 the dose where it passes 0.5 (``inf`` where
    it stays above, ``-inf`` where it lies below throughout); GRmax the lower mean of the two highest doses; GR_AOC the
    area over the means by trapezia, over the range of log10 doses. A curve that is no better than a constant at p 0.05
    has ``fit_GR`` "flat". Doses of zero do not count.

    Parameters
    ----------
    values : DataFrame
        From :func:`growth_table`.
    dose : str
    by : sequence of str

    Returns
    -------
    DataFrame
        The columns of ``by``, then :data:`GR_COLUMNS`.
    """
    rows = []
    for key, part in values.groupby(list(by), sort=False, dropna=False):
        rows.append({**dict(zip(by, key, strict=True)), **_metrics(part, dose)})
    return pd.DataFrame(rows, columns=[*by, *GR_COLUMNS])


def _metrics(part: pd.DataFrame, dose: str) -> dict[str, Any]:
    doses = pd.to_numeric(part[dose], errors="coerce").to_numpy(float)
    gr = part["GRvalue"].to_numpy(float)
    used = (doses > 0) & np.isfinite(gr) & np.isfinite(doses)
    doses, gr = doses[used], gr[used]
    row: dict[str, Any] = dict.fromkeys(GR_COLUMNS, math.nan)
    levels = np.unique(doses)
    doublings = part["ctrl_cell_doublings"] if "ctrl_cell_doublings" in part else pd.Series(dtype=float)
    row.update(
        concentration_points=len(levels), fit_GR="no fit", reason="", ctrl_cell_doublings=float(doublings.mean())
    )
    if len(levels) < 2:
        row["reason"] = "There are fewer than two doses with a GR value: the control must grow, and amounts be above 0."
        return row
    means = np.array([gr[doses == level].mean() for level in levels])
    at = np.log10(levels)
    row["GRmax"] = float(means[-2:].min())
    row["GR_AOC"] = float(np.trapezoid(1 - means, at) / (at[-1] - at[0]))
    if len(gr) < LEAST_POINTS or len(levels) < 3:
        row["reason"] = f"{len(gr)} values at {len(levels)} doses are too few for a curve."
        return row
    return row | _fitted(doses, gr, row["GRmax"])


def _fitted(doses: Floats, gr: Floats, grmax: float) -> dict[str, Any]:
    x = log_dose(doses)[None]
    fixed = np.array([[1.0, np.nan, np.nan, np.nan]])
    problem = make_problem(x, gr[None], np.ones_like(x), fixed)
    reach = math.log(REACH)
    problem.bounds[0, 0] = np.log(H_BOUNDS)
    problem.bounds[0, 1] = x.min() - reach, x.max() + reach
    parameters, squares = solve(problem)
    parameters, squares = _bounded(problem, parameters, squares)
    rest, total = float(squares[0]), float(((gr - gr.mean()) ** 2).sum())
    freedom = len(gr) - 3
    p = float(f_distribution.sf((total - rest) / 2 / max(rest / freedom, 1e-300), 2, freedom)) if total > 0 else 1.0
    found = {"r2_GR": 1 - rest / total if total > 0 else math.nan, "pval_GR": p}
    if p >= FLAT_P:
        mean = float(gr.mean())
        gr50 = math.inf if mean > 0.5 else -math.inf
        return found | {"fit_GR": "flat", "flat_fit_GR": mean, "GR50": gr50, "log10_GR50": gr50, "GRinf": grmax}
    inf, h, middle = float(parameters[0, HIGH]), math.exp(parameters[0, LOG_K]), float(parameters[0, MIDPOINT])
    at = float(log_dose_at(parameters, np.array([0.5]))[0])
    gr50 = math.exp(at) if math.isfinite(at) else math.inf
    return found | {
        "fit_GR": "sigmoid", "GR50": gr50, "log10_GR50": math.log10(gr50) if gr50 < math.inf else math.inf,
        "GEC50": math.exp(middle), "log10_GEC50": middle / math.log(10), "GRinf": inf, "h_GR": h,
    }  # fmt: skip


def _bounded(problem: Any, parameters: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """GRinf lies between -1 and 1: outside, the curve is fitted again with it held there."""
    inf = float(parameters[0, HIGH])
    if -1 <= inf <= 1:
        return parameters, squares
    return solve(problem.holding(np.array([[1.0, math.copysign(1.0, inf), np.nan, np.nan]])))
