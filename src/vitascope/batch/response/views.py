"""One curve with its wells, as figures, reports and docks show it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vitascope.core.formatting import plain_digits
from vitascope.stats.response.cells import unit_scale
from vitascope.stats.response.result import CurveFit, ResponseResult


@dataclass(frozen=True, eq=False)
class CurveView:
    """A curve.

    Parameters
    ----------
    number : int
        Row of the table of curves.
    row : dict
        Its cells.
    fit : CurveFit or None
    points : DataFrame
        Its wells, as in ``points.csv``.
    by : tuple of str
        Columns that tell curves apart.
    """

    number: int
    row: dict[str, Any]
    fit: CurveFit | None
    points: pd.DataFrame
    by: tuple[str, ...]

    @property
    def title(self) -> str:
        """Treatment, then plate, day and what else tells the curve apart."""
        others = [
            str(self.row[name]) if name == "plate" else f"{name} {self.row[name]}"
            for name in self.by
            if name != "treatment" and str(self.row[name])
        ]
        names = [" ".join(str(name).split()) for name in (self.row.get("treatment", ""), *others)]
        return " · ".join(filter(None, names)) or str(self.row["quantity"])

    @property
    def answer(self) -> str:
        """The IC50 in words: with its interval, as a bound, or why there is none."""
        return ic50_text(self.row)


def curve_views(result: ResponseResult) -> list[CurveView]:
    """Return the curves of a result with their wells, in the order of the table."""
    keys = [*result.by, "quantity"]
    groups = result.points.groupby(keys, sort=False, dropna=False).indices if len(result.points) else {}
    found = []
    rows: list[dict[Any, Any]] = result.curves.to_dict("records")
    for number, (row, fit) in enumerate(zip(rows, result.fits, strict=True)):
        key = tuple(row[name] for name in keys)
        at = groups.get(key if len(key) > 1 else key[0], [])
        points = result.points.iloc[at]
        found.append(CurveView(number, {str(k): v for k, v in row.items()}, fit, points, result.by))
    return found


def ic50_text(row: dict[str, Any]) -> str:
    """Write an IC50 as people say it.

    Examples
    --------
    >>> ends = {"ic50_low": 0.9, "ic50_high": 1.8}
    >>> ic50_text({"quality": "good", "relation": "=", "ic50": 1.234, "ic50_unit": "µM", **ends})
    'IC50 1.23 µM (0.9 to 1.8)'
    >>> step = {"ic50_low": 0, "ic50_high": float("inf"), "flags": "steep;interval_open"}
    >>> ic50_text({"quality": "wide", "relation": "=", "ic50": 1.234, "ic50_unit": "µM", **step})
    'IC50 1.23 µM (interval open on both sides)'
    >>> ic50_text({"quality": "partial", "relation": ">", "ic50": 30.0, "ic50_unit": "µM"})
    'IC50 > 30 µM'
    >>> ic50_text({"quality": "flat", "relation": "", "ic50": float("nan")})
    'flat: no IC50'
    """
    if row["quality"] in ("flat", "no fit") or not _known(row.get("ic50")):
        return f"{row['quality']}: no IC50"
    unit = f" {row['ic50_unit']}" if row.get("ic50_unit") else ""
    number = amount_text(row["ic50"])
    if row["relation"] != "=":
        return f"IC50 {row['relation']} {number}{unit}"
    low, high = row.get("ic50_low"), row.get("ic50_high")
    open_below, open_above = not _known(low) or low == 0, not _known(high)
    if open_below and open_above:
        told = "interval_open" in str(row.get("flags", "")).split(";")
        return f"IC50 {number}{unit} ({'interval open on both sides' if told else 'no interval'})"
    if open_below:
        return f"IC50 {number}{unit} (at most {amount_text(high)})"
    if open_above:
        return f"IC50 {number}{unit} (at least {amount_text(low)})"
    return f"IC50 {number}{unit} ({amount_text(low)} to {amount_text(high)})"


def to_unit(view: CurveView, unit: str) -> float:
    """Factor that brings the IC50 of a curve to a unit; NaN where none does.

    Examples
    --------
    >>> view = CurveView(0, {"ic50_unit": "nM"}, None, pd.DataFrame(), ())
    >>> to_unit(view, "µM"), to_unit(view, "nM"), to_unit(view, "mg/mL")
    (0.001, 1.0, nan)
    """
    own = str(view.row.get("ic50_unit") or "")
    if own == unit:
        return 1.0
    (kind, size), (other, step) = unit_scale(own), unit_scale(unit)
    return float(f"{size / step:.12g}") if kind == other else math.nan


def amount_text(value: Any) -> str:
    """Write an amount with three digits that count.

    Examples
    --------
    >>> amount_text(0.012345), amount_text(1234.6), amount_text(float("nan"))
    ('0.0123', '1230', '–')
    """
    if not _known(value):
        return "–"
    return plain_digits(float(f"{float(value):.3g}"))


def _known(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
