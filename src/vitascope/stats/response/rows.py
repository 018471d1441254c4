"""One row of the table of curves: numbers, quality, reason and flags of one treatment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from vitascope.core.flags import join_flags
from vitascope.stats.response.batch_fit import BatchFit, at_bound
from vitascope.stats.response.logistic import (
    HIGH,
    LOG_K,
    LOW,
    Floats,
    log_dose_at,
)
from vitascope.stats.response.normalise import PERCENT
from vitascope.stats.response.params import ResponseParams
from vitascope.stats.response.result import CURVE_COLUMNS, CurveFit
from vitascope.stats.response.verdict import (
    Effect,
    below_zero,
    beyond_reason,
    flat_reason,
    judge,
    phase_reason,
    start_reason,
    wrong_direction,
)

Columns = dict[str, NDArray[Any]]
PERCENTS = (10, 20, 30, 40, 50, 60, 70, 80, 90)
TENFOLD = 10.0
HALF = 0.5
LARGEST = 700.0
"""Logarithms are cut here, so that no exponential overflows."""
LACK_P = 0.05
UNEVEN = 0.5
"""A flat curve whose values span more than this share of the control says so: it may fall and rise again."""
UNIT = {"negative": "% of control", "controls": "% of controls", "plate": "% of plate"}


class CurveData:
    """The wells of one curve.

    Parameters
    ----------
    quantity : str
    wells : dict of array
        Columns of all wells; see :func:`vitascope.stats.response.wells.read_wells`.
    rows : array of int
        Places of this curve's wells.
    params : ResponseParams
    controls : array of int, optional
        Places of the controls that count as wells of dose zero.
    """

    def __init__(
        self,
        quantity: str,
        wells: Columns,
        rows: np.ndarray,
        params: ResponseParams,
        controls: np.ndarray | None = None,
    ) -> None:
        self.quantity, self.rows, self._wells = quantity, rows, wells
        self._controls = np.empty(0, np.intp) if controls is None else controls
        own = rows[~wells["excluded"][rows]]
        self.lost = len(rows) - len(own)
        """Wells of the treatment that are left out."""
        self._set_used(np.concatenate([own, self._controls]) if len(own) else own)
        how = {wells["how"][row] for row in rows}
        self.how = how.pop() if len(how) == 1 else "none"
        self.unit = UNIT.get(self.how, params.unit)
        given = params.control if params.control is not None and self.how == "none" else math.nan
        self.control = PERCENT if self.how in ("negative", "controls") else given
        units = [unit for unit in wells["dose_unit"][self.used if len(self.used) else rows] if unit]
        self.dose_unit = str(units[0]) if units else ""
        self.missing = below_zero(wells["dose"][rows])
        self.held = self._held(params)
        self.free = 4 - sum(math.isfinite(value) for value in self.held)
        own = {name: self._own(name) for name in ("top", "bottom")}
        told = {"hill": params.hill, "top": params.top, "bottom": params.bottom}
        told |= {name: value for name, value in own.items() if value is not None}
        held = [f"{name} = {value:g}" for name, value in told.items() if value is not None]
        self.model = f"LL.{params.parameters}" + (f" ({', '.join(held)})" if held else "")

    def _set_used(self, used: np.ndarray) -> None:
        wells = self._wells
        self.used = used
        self.dose = np.where(np.isin(used, self._controls), 0.0, wells["dose"][used])
        self.block = wells["block"][used]
        self.value = wells["normalised"][used]
        self.spread = wells["sd"][used] * wells["scale"][used]
        self.levels, self.replicates = np.unique(self.dose, return_counts=True)
        self.doses = len(self.levels)
        if self.doses == 2 and (self.dose == 0).any():
            self.doses = 1

    def _held(self, params: ResponseParams) -> tuple[float, float, float]:
        """Top, bottom and slope that are held, for this curve alone or for all; NaN where free."""
        own = {name: self._own(name) for name in ("top", "bottom")}
        bottom = own["bottom"] if own["bottom"] is not None else params.bottom
        bottom = bottom if bottom is not None else (0.0 if params.parameters <= 3 else math.nan)
        held_top = own["top"] if own["top"] is not None else params.top
        top = math.nan if held_top is None else held_top
        if params.parameters == 2 and held_top is None:
            top = self.control if self.how != "plate" else PERCENT
            if math.isnan(top) and not self.missing:
                self.missing = (
                    "Could not be fitted: a curve of 2 parameters needs the level of untreated wells; give controls "
                    "or a top to hold."
                )
        return top, bottom, math.nan if params.hill is None else params.hill

    def _own(self, name: str) -> float | None:
        """Plateau that the table holds for this curve; None where it holds none."""
        told = self._wells[f"hold_{name}"][self.rows]
        known = told[np.isfinite(told)]
        return float(known[0]) if len(known) else None

    def without(self, left_out: np.ndarray) -> CurveData:
        """Return the same curve without some of the points that are used."""
        other = object.__new__(CurveData)
        other.__dict__.update(self.__dict__)
        other._set_used(self.used[~left_out])
        other.outliers = int(left_out.sum())
        other.lost += other.outliers
        return other

    outliers = 0

    def flags(self) -> list[str]:
        """Flags that the wells bring."""
        notes = self._wells["notes"]
        words = [word for row in self.rows for word in notes[row]]
        words += ["outliers_left_out"] if self.outliers else []
        words += ["one_replicate"] if len(self.replicates) and self.replicates.max() == 1 else []
        words += ["dose_unit_unknown"] if not self.dose_unit else []
        words += ["rests_on_outside_model"] if self.outside_wells() else []
        return words

    def reasons(self) -> list[str]:
        """Why wells of this curve are left out."""
        return sorted({str(text) for text in self._wells["reason"][self.rows] if text})

    def outside_wells(self) -> int:
        """Number of points in use whose image lies outside the model."""
        return int(self._wells["outside_model"][self.used].sum())

    def amount(self, dose: float) -> str:
        """Write a dose with its unit."""
        return f"{dose:.4g} {self.dose_unit}".strip()

    def effect(self, before: float, after: float) -> Effect:
        """What the top dose does, against the control where there is one."""
        top = self.amount(float(self.dose.max()))
        controlled = math.isfinite(self.control)
        return Effect(self.quantity, top, self.control if controlled else before, after, controlled)


@dataclass(frozen=True)
class CurveRow:
    """A row of the table of curves, and the fit behind it."""

    values: dict[str, Any]
    fit: CurveFit | None = None
    effective: list[dict[str, Any]] = field(default_factory=list)


def _blank(one: CurveData, params: ResponseParams) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(CURVE_COLUMNS, math.nan)
    row.update(
        quantity=one.quantity, unit=one.unit, model=one.model, n=len(one.used), ic50_unit=one.dose_unit, relation="",
        reason="", interval_kind=params.interval, interval_level=params.level, outside_wells=one.outside_wells(),
    )  # fmt: skip
    return row


def no_fit_row(one: CurveData, reason: str, params: ResponseParams, **known: Any) -> CurveRow:
    """Row of a curve that cannot be fitted."""
    why = one.reasons()
    if why and (not len(one.used) or "left out)" in reason):
        reason = f"{reason.removesuffix('.')}: {why[0]}{', and others' if len(why) > 1 else ''}."
    row = _blank(one, params)
    row.update(quality="no fit", reason=reason, flags=join_flags(tuple(one.flags())), **known)
    return CurveRow(row)


def row_of(one: CurveData, fitted: CurveFit, fit: BatchFit, i: int, params: ResponseParams) -> CurveRow:
    """Row of a curve that was fitted."""
    tests = {"p_flat": float(fit.p_flat[i]), "p_lack_of_fit": float(fit.p_lack[i])}
    before, after = fit.ends[i].tolist()
    if fit.phases[i]:
        return no_fit_row(one, phase_reason(fit.phases[i]), params, **tests)
    if tests["p_flat"] > params.flat_p:
        return _flat_row(one, tests, fitted, params)
    reason = wrong_direction(params.direction, fitted.falls)
    if reason:
        return no_fit_row(one, reason, params, **tests)
    if _starts_nowhere(one, fitted, (before, after)):
        percent = 100 * before / one.control
        return no_fit_row(one, start_reason(one.quantity, one.amount(fitted.doses[0]), percent), params, **tests)
    row, words = _blank(one, params) | tests | {"interval_kind": fit.kinds[i]}, one.flags()
    row["emax"] = after
    row.update(_areas(float(fit.mean[i]), one.control))
    steep = at_bound(fit, i) or _within_one_step(one, fitted)
    ends = (float(fit.low[i]), float(fit.high[i]))
    if steep and _exact(one, fit, i):
        ends = _neighbours(one, fitted)
    row.update(_placed(fitted, *ends, _beyond(one, fitted, ends, (before, after)), params))
    low, high = float(fitted.parameters[LOW]), float(fitted.parameters[HIGH])
    span = high - low
    reached = ((before - low) / span, (after - low) / span) if span else (0.0, 1.0)
    row["top"], row["bottom"] = max(low, high), min(low, high)
    row["hill"] = math.nan if steep or row["relation"] != "=" else fitted.hill
    if row["relation"] == ">":
        row["bottom" if fitted.falls else "top"] = math.nan
    if row["relation"] == "<" and one.levels[0] > 0:
        row["top" if fitted.falls else "bottom"] = math.nan
    row["ic50_absolute"] = _absolute(fitted.parameters[None], one.control, fitted.doses)
    extrapolated = row["relation"] == "=" and not fitted.doses[0] <= row["ic50"] <= fitted.doses[1]
    quality, reason = judge(
        row["relation"],
        row["ic50_low"],
        row["ic50_high"],
        reached,
        bool(one.levels[0] == 0),
        extrapolated,
    )
    if row["relation"] != "=" or extrapolated:
        side = ">" if extrapolated else row["relation"]
        reason = beyond_reason(one.effect(low, after), side, one.amount(fitted.doses[0]))
    words += ["steep"] if steep else []
    words += ["extrapolated"] if extrapolated else []
    words += ["lack_of_fit"] if tests["p_lack_of_fit"] < LACK_P else []
    words += ["interval_open"] if row["ic50_low"] == 0 or row["ic50_high"] == math.inf else []
    words += ["no_spread"] if _exact(one, fit, i) else []
    row.update(quality=quality, reason=reason, flags=join_flags(tuple(words)))
    return CurveRow(row, fitted)


def _neighbours(one: CurveData, fitted: CurveFit) -> tuple[float, float]:
    """Log doses tested on either side of the midpoint; infinite where there is none."""
    doses, midpoint = one.levels.tolist(), fitted.midpoint
    below = [dose for dose in doses if 0 < dose <= midpoint]
    above = [dose for dose in doses if dose >= midpoint]
    return math.log(below[-1]) if below else -math.inf, math.log(above[0]) if above else math.inf


def _within_one_step(one: CurveData, fitted: CurveFit) -> bool:
    """Whether the response goes from 10 to 90 % within half a step of the doses, so that its slope is not known."""
    below, above = _neighbours(one, fitted)
    width = math.log(81) / math.exp(float(fitted.parameters[LOG_K]))
    return math.isfinite(above - below) and width < (above - below) / 2


def _exact(one: CurveData, fit: BatchFit, i: int) -> bool:
    return bool(fit.freedom[i] > 0 and fit.squares[i] <= 1e-12 * float(((one.value - one.value.mean()) ** 2).sum()))


def _areas(mean: float, control: float) -> dict[str, float]:
    """Mean of the curve as a share of the control, and one less that; as it is where there is no control."""
    if math.isnan(control):
        return {"auc": mean, "aac": math.nan}
    return {"auc": mean / control, "aac": 1 - mean / control}


def _flat_row(one: CurveData, tests: dict[str, float], fitted: CurveFit, params: ResponseParams) -> CurveRow:
    row = _blank(one, params) | tests
    level = float(one.value.mean())
    top_dose = float(one.value[one.dose == one.dose.max()].mean())
    lowest = float(one.value[one.dose == one.dose.min()].mean())
    reason = flat_reason(one.effect(lowest, top_dose), tests["p_flat"])
    if np.ptp(one.value) > UNEVEN * abs(one.control if math.isfinite(one.control) else level):
        reason += " Values between differ much: look at the points."
    row.update(top=level, bottom=level, emax=level, quality="flat", reason=reason, flags=join_flags(tuple(one.flags())))
    row.update(_areas(level, one.control))
    return CurveRow(row, fitted)


def _beyond(one: CurveData, fitted: CurveFit, ends: tuple[float, float], responses: tuple[float, float]) -> str:
    """On which side of the doses the midpoint lies: ``>``, ``<``, or ``=`` within them.

    A fitted midpoint within the doses is no evidence where the interval is open and the response does not show half of
    the effect: where the top dose leaves more than half of the control (or of the plateau at low doses), or the lowest
    dose less than half of the control.
    """
    if fitted.midpoint > fitted.doses[1]:
        return ">"
    if fitted.midpoint < fitted.doses[0]:
        return "<"
    before = one.control if math.isfinite(one.control) else float(fitted.parameters[LOW])
    first, last = responses
    if fitted.falls and ends[1] == math.inf and last > before / 2 > 0:
        return ">"
    if fitted.falls and ends[0] == -math.inf and first < one.control / 2:
        return "<"
    return "="


def _starts_nowhere(one: CurveData, fitted: CurveFit, responses: tuple[float, float]) -> bool:
    """Whether the midpoint is fitted below the doses though controls say that half of the effect lies within them."""
    if fitted.midpoint >= fitted.doses[0] or math.isnan(one.control):
        return False
    first, last = (response - one.control for response in responses)
    return abs(last) > 0 and first / last < HALF


def _placed(fitted: CurveFit, log_low: float, log_high: float, side: str, params: ResponseParams) -> dict[str, Any]:
    """IC50 with its interval, or the dose that bounds it."""
    lowest, highest = fitted.doses
    low, high = math.exp(log_low), math.exp(log_high)
    ic50, relation = fitted.midpoint, "="
    if side == ">":
        far = params.beyond == "tenfold"
        if far and highest < ic50 <= TENFOLD * highest:
            return {"ic50": ic50, "ic50_low": low if low > 0 else 0.0, "ic50_high": math.inf, "relation": "="}
        ic50, relation, high = (math.inf if far and ic50 > highest else highest), ">", math.inf
    elif side == "<":
        ic50, relation, low = lowest, "<", 0.0
    return {"ic50": ic50, "ic50_low": low, "ic50_high": high, "relation": relation}


def _absolute(parameters: Floats, control: float, doses: tuple[float, float]) -> float:
    """Dose at which the curve passes half of the control; NaN without a control, or beyond the doses."""
    if math.isnan(control):
        return math.nan
    at = math.exp(min(float(log_dose_at(parameters, np.array([control / 2]))[0]), LARGEST))
    return at if doses[0] <= at <= doses[1] else math.nan


@lru_cache(maxsize=1024)
def _t_quantile(level: float, freedom: int) -> float:
    return float(t_distribution.ppf((1 + level) / 2, freedom))


def effective_rows(one: CurveData, fitted: CurveFit, row: CurveRow, params: ResponseParams) -> list[dict[str, Any]]:
    """Doses of 10 to 90 % of the effect, by the delta method, bounded by the doses tested."""
    if row.values["quality"] in ("flat", "no fit"):
        return []
    *_, log_k, midpoint = fitted.parameters.tolist()
    k = math.exp(log_k)
    (slope, both), (_, middle) = fitted.covariance[2:, 2:].tolist()
    quantile = _t_quantile(params.level, max(fitted.freedom, 1))
    lowest, highest = fitted.doses
    lines = []
    for percent in PERCENTS:
        offset = math.log(percent / (100 - percent)) / k
        variance = slope * offset**2 - 2 * both * offset + middle
        error = quantile * math.sqrt(max(variance, 0.0)) if fitted.freedom > 0 else math.nan
        at = midpoint + offset
        dose = math.exp(at)
        relation = ">" if dose > highest else "<" if dose < lowest else "="
        low, high = math.exp(at - error), math.exp(min(at + error, LARGEST))
        lines.append({
            "quantity": one.quantity, "percent": percent, "dose": min(max(dose, lowest), highest),
            "dose_low": 0.0 if low < lowest else low, "dose_high": math.inf if high > highest else high,
            "dose_unit": one.dose_unit, "relation": relation,
        })  # fmt: skip
    return lines
