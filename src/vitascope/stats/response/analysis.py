"""Dose-response curves of a table of wells: the public call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.flags import join_flags
from vitascope.stats.response.batch_fit import BatchFit, Held, fit_batch
from vitascope.stats.response.logistic import log_dose
from vitascope.stats.response.normalise import BLOCKS, normalise_wells
from vitascope.stats.response.params import ResponseParams
from vitascope.stats.response.position import blocks_of, judge_blocks, places_of, position_factors, ratios_to
from vitascope.stats.response.result import CURVE_COLUMNS, POINT_COLUMNS, CurveFit, ResponseResult
from vitascope.stats.response.rows import CurveData, CurveRow, effective_rows, no_fit_row, row_of
from vitascope.stats.response.verdict import too_few
from vitascope.stats.response.wells import group_columns, harmonise_units, leave_survivors_out, read_wells

CHUNK_POINTS = 100_000
CORRECTIONS = 2
"""Rounds of fitting and correcting for place: the second changes little."""
EFFECTIVE_COLUMNS = ("quantity", "percent", "dose", "dose_low", "dose_high", "dose_unit", "relation")


def fit_dose_response(
    table: pd.DataFrame,
    *,
    dose: str = "dose",
    response: str | Sequence[str],
    by: Sequence[str] | None = None,
    blocks: Sequence[str] | None = None,
    **settings: Any,
) -> ResponseResult:
    """Fit dose-response curves to a table of wells.

    Parameters
    ----------
    table : DataFrame, one row for each well
        Beside doses and responses it may hold ``plate``, ``day``, ``time``, ``treatment``, ``well``, ``role``
        (negative, positive, treated, blank), ``dose_unit``, ``flags``, ``excluded`` with ``reason`` (points left out by
        hand), ``hold_top`` and ``hold_bottom`` (plateaus held for one curve), ``image``, ``drift_alarm``, and intervals
        ``<response>_low`` and ``<response>_high``. Cells may be text, with decimal commas, units (``10 uM``) and bounds
        (``<0.5``).
    dose : str
        Column of doses; the unit may stand in the cell, in ``dose_unit``, in the name (``dose_um``) or in
        ``dose_unit=``.
    response : str or sequence of str
        Column or columns of values.
    by : sequence of str, optional
        Columns that tell curves apart; by default those of plate, day, time and treatment that are there.
    blocks : sequence of str, optional
        Columns within which controls count, and within which wells may lie off a curve together (see the setting
        ``scatter``); by default those of plate, day and time that are there.
    **settings
        Fields of :class:`vitascope.stats.response.params.ResponseParams`.

    Returns
    -------
    ResponseResult
        Every treatment has its row: what cannot be fitted has quality ``no fit`` and the reason.

    Raises
    ------
    InputError
        If a column is missing.
    ParameterError
        If a setting is unknown or out of bounds.

    Examples
    --------
    >>> doses = [0.1, 0.3, 1, 3, 10, 30]
    >>> table = pd.DataFrame({"treatment": "A", "dose": doses, "dose_unit": "µM", "atp": [99, 97, 75, 24, 4, 1]})
    >>> row = fit_dose_response(table, dose="dose", response="atp").curves.iloc[0]
    >>> round(float(row["ic50"]), 2), row["ic50_unit"], row["quality"]
    (1.7, 'µM', 'good')
    """
    params: ResponseParams = ResponseParams.make(**settings)
    keys = group_columns(table, by)
    quantities = [response] if isinstance(response, str) else list(response)
    within = [name for name in BLOCKS if name in table] if blocks is None else group_columns(table, blocks)
    parts = [_fit_quantity(table, dose, quantity, keys, within, params) for quantity in quantities]
    curves = pd.concat([part.curves for part in parts], ignore_index=True)
    points = pd.concat([part.points for part in parts])
    for found in (curves, points):
        _name_always(found)
    return ResponseResult(
        curves=curves,
        points=points,
        effective_doses=pd.concat([part.effective_doses for part in parts], ignore_index=True),
        fits=tuple(fit for part in parts for fit in part.fits),
        by=tuple(keys),
        plates=pd.concat([part.plates for part in parts], ignore_index=True),
    )


def _name_always(table: pd.DataFrame) -> None:
    """Add the columns of plate and treatment, empty, where the wells have none, in place."""
    if "plate" not in table:
        table.insert(0, "plate", "")
    if "treatment" not in table:
        table.insert(list(table).index("quantity"), "treatment", "")


def _fit_quantity(
    table: pd.DataFrame, dose: str, quantity: str, by: list[str], blocks: list[str], params: ResponseParams
) -> ResponseResult:
    columns = list(dict.fromkeys([*by, *blocks]))
    wells = read_wells(table, dose, quantity, columns, params)
    wells["quantity"] = quantity
    given = wells["value"].copy()
    if params.correct != "none":
        _correct(wells, columns, blocks, params)
    groups, number, rows = _curves_of(wells, by, blocks, params)
    expected = _expected(wells, number, rows, blocks, "normalised")
    ratios = ratios_to(wells["normalised"].to_numpy(float), expected)
    plates, words = judge_blocks(wells, blocks, quantity, ratios, params.correct)
    members = _members(number, len(rows))
    rows = [_with_words(row, {word for k in at for word in words[k]}) for row, at in zip(rows, members, strict=True)]
    table_of = pd.DataFrame([row.values for row in rows], columns=list(CURVE_COLUMNS))
    named = pd.DataFrame(groups, columns=by, dtype=object)
    table_of = pd.concat([named, table_of], axis=1)
    effective = [
        {**dict(zip(by, group, strict=True)), **line}
        for group, row in zip(groups, rows, strict=True)
        for line in row.effective
    ]
    wells["value"] = given
    return ResponseResult(
        curves=table_of,
        points=wells[list(dict.fromkeys([*by, *POINT_COLUMNS]))],
        effective_doses=pd.DataFrame(effective, columns=[*by, *EFFECTIVE_COLUMNS]),
        fits=tuple(row.fit for row in rows),
        by=tuple(by),
        plates=plates,
    )


def _curves_of(
    wells: pd.DataFrame, by: list[str], blocks: list[str], params: ResponseParams
) -> tuple[list[tuple[Any, ...]], np.ndarray, list[CurveRow]]:
    """Fit all curves of one quantity, and note in ``wells`` what was done to each: keys, number by well, rows."""
    quantity = str(wells["quantity"].iloc[0]) if len(wells) else ""
    normalised = normalise_wells(wells, blocks, params)
    wells["normalised"], wells["scale"], wells["how"] = normalised.value, normalised.scale, normalised.how
    wells["notes"] = [(*own, *more) for own, more in zip(wells["notes"], normalised.notes, strict=True)]
    unsaid = (wells["reason"] == "") & (np.array(normalised.problem, object) != "")
    wells.loc[unsaid, "reason"] = np.array(normalised.problem, object)[unsaid.to_numpy()]
    wells.loc[unsaid, "excluded"] = True
    number, groups = _curve_numbers(wells, by)
    harmonise_units(wells, number)
    leave_survivors_out(wells, number)
    # plain arrays: a column of text is slow to take from a table time and again
    arrays = {str(name): wells[name].to_numpy(object if wells[name].dtype == "str" else None) for name in wells}
    arrays["block"] = _numbers(wells, blocks)
    members = _members(number, len(groups))
    controls = [_controls_of(arrays, rows) if params.fit_controls else None for rows in members]
    data = [CurveData(quantity, arrays, rows, params, c) for rows, c in zip(members, controls, strict=True)]
    return groups, number, _fit_all(data, wells, params)


def _numbers(wells: pd.DataFrame, blocks: list[str]) -> np.ndarray:
    """Number of the block of each well; 0 throughout where there are none."""
    if not blocks:
        return np.zeros(len(wells), np.intp)
    return wells.groupby(blocks, sort=False, dropna=False).ngroup().to_numpy(np.intp)


def _controls_of(wells: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Places of the negative controls in the blocks of a curve."""
    here = (wells["role"] == "negative") & np.isin(wells["block"], wells["block"][rows])
    return np.flatnonzero(here & np.isfinite(wells["normalised"].astype(float)))


def _correct(wells: pd.DataFrame, keys: list[str], blocks: list[str], params: ResponseParams) -> None:
    """Free the values of their place, in place: curves are fitted as given, place by place, twice."""
    plain = params.model_copy(update={"normalise": "none", "correct": "none", "interval": "delta", "parameters": 4})
    value, sd = wells["value"].to_numpy(float).copy(), wells["sd"].to_numpy(float).copy()
    factor = np.ones(len(wells))
    for _ in range(CORRECTIONS):
        tried = wells.assign(value=value / factor)
        _, number, rows = _curves_of(tried, keys, blocks, plain)
        ratios = ratios_to(value, _expected(tried, number, rows, blocks, "value"))
        for part in blocks_of(wells, blocks):
            places = places_of([str(name) for name in wells["well"].iloc[part]])
            if places is not None:
                factor[part] = position_factors(places, ratios[part], params.correct)
    wells["value"], wells["sd"] = value / factor, sd / factor


def _expected(
    wells: pd.DataFrame, number: np.ndarray, rows: list[CurveRow], blocks: list[str], column: str
) -> np.ndarray:
    """What each well should hold: its curve at its dose, or the median of its kind of control; NaN where unknown."""
    expected = np.full(len(wells), np.nan)
    doses, values = wells["dose"].to_numpy(float), wells[column].to_numpy(float)
    for at, row in zip(_members(number, len(rows)), rows, strict=True):
        known = at[doses[at] >= 0]
        if row.fit is not None and len(known):
            expected[known] = row.fit.predict(doses[known])
    role = wells["role"].to_numpy(object)
    for part in blocks_of(wells, blocks):
        for kind in ("negative", "positive"):
            at = part[(role[part] == kind) & np.isfinite(values[part])]
            if len(at):
                expected[at] = np.median(values[at])
    return expected


def _with_words(row: CurveRow, words: set[str]) -> CurveRow:
    """Add the flags of its plate to a curve."""
    own = [word for word in str(row.values["flags"]).split(";") if word]
    return replace(row, values={**row.values, "flags": join_flags((*own, *words))}) if words else row


def _curve_numbers(wells: pd.DataFrame, by: list[str]) -> tuple[np.ndarray, list[tuple[Any, ...]]]:
    """Number of the curve of each well, -1 for controls and wells without a treatment, and the keys of each curve."""
    number = np.full(len(wells), -1)
    told = (wells["role"] == "treated").to_numpy(copy=True)
    if "treatment" in by:
        told &= (wells["treatment"] != "").to_numpy()
    if not told.any():
        return number, []
    if not by:
        number[told] = 0
        return number, [()]
    grouped = wells[told].groupby(by, sort=False, dropna=False)
    number[told] = grouped.ngroup().to_numpy()
    first = wells[told].drop_duplicates(by)
    return number, [tuple(row) for row in first[by].itertuples(index=False, name=None)]


def _members(number: np.ndarray, groups: int) -> list[np.ndarray]:
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(groups + 1))
    return [order[a:b] for a, b in pairwise(edges)]


def _fit_all(data: list[CurveData], wells: pd.DataFrame, params: ResponseParams) -> list[CurveRow]:
    rows: list[CurveRow | None] = [None] * len(data)
    ready = []
    for i, one in enumerate(data):
        reason = one.missing or too_few(len(one.used), one.doses, one.free, one.lost)
        if reason:
            rows[i] = no_fit_row(one, reason, params)
        else:
            ready.append(i)
    # curves of like size go together, so that little is padding
    ready.sort(key=lambda i: len(data[i].used))
    weight, excluded = (wells[name].to_numpy(copy=True) for name in ("weight", "excluded"))
    reasons = wells["reason"].to_numpy(object, copy=True)
    while ready:
        width = len(data[ready[min(len(ready), 2000) - 1]].used)
        chunk = ready[: max(1, min(2000, CHUNK_POINTS // width))]
        ready = ready[len(chunk) :]
        for i, row in zip(chunk, _fit_chunk([data[i] for i in chunk], params, weight, excluded, reasons), strict=True):
            rows[i] = row
    wells["weight"], wells["excluded"], wells["reason"] = np.where(excluded, 0.0, weight), excluded, reasons
    return [row for row in rows if row is not None]


def _fit_chunk(
    data: list[CurveData], params: ResponseParams, weight: np.ndarray, excluded: np.ndarray, reasons: np.ndarray
) -> list[CurveRow]:
    shape = (len(data), max(len(one.used) for one in data))
    x, y, spread = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
    used, block = np.zeros(shape, bool), np.zeros(shape, np.intp)
    for i, one in enumerate(data):
        n = len(one.used)
        block[i, :n], block[i, n:] = one.block, one.block[0]
        x[i, :n], y[i, :n], spread[i, :n], used[i, :n] = log_dose(one.dose), one.value, one.spread, True
        y[i, n:] = one.value[0]
    held = Held(*(np.array([one.held[k] for one in data], float) for k in range(3)))
    fit = fit_batch(x, y, used, spread, held, params, None if params.scatter == "equal" else block)
    for i, one in enumerate(data):
        n = len(one.used)
        weight[one.used] = fit.problem.weight[i, :n]
        for at in np.flatnonzero(fit.outlier[i, :n]):
            place = one.used[at]
            if excluded[place]:
                continue  # a control: it never counts as a point of its own
            excluded[place] = True
            far = min(float(fit.distance[i, at]), 999.0)
            reasons[place] = f"outlier: {far:.1f} robust standard deviations off the curve"
    return [_row(one, fit, i, params) for i, one in enumerate(data)]


def _row(one: CurveData, fit: BatchFit, i: int, params: ResponseParams) -> CurveRow:
    kept = ~fit.outlier[i, : len(one.used)]
    if not kept.all():
        one = one.without(~kept)
    reason = too_few(len(one.used), one.doses, one.free, one.lost)
    if reason:
        return no_fit_row(one, reason, params)
    freedom = int(fit.freedom[i])
    variance = float(fit.squares[i] / freedom) if freedom > 0 else math.nan
    positive = one.dose[one.dose > 0]
    curve_fit = CurveFit(
        parameters=fit.parameters[i], covariance=fit.covariance[i], variance=variance, freedom=freedom,
        doses=(float(positive.min()), float(positive.max())), dose_unit=one.dose_unit, level=params.level,
    )  # fmt: skip
    row = row_of(one, curve_fit, fit, i, params)
    return replace(row, effective=effective_rows(one, curve_fit, row, params))
