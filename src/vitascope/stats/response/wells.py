"""From a table as it comes to points that can be fitted: nothing is lost, and what cannot be used says why."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from vitascope.core.dose_unit import split_log, unit_name
from vitascope.core.errors import InputError
from vitascope.core.well_role import is_vehicle, read_role
from vitascope.stats.response.cells import Cell, read_column, unit_in_name, unit_scale
from vitascope.stats.response.params import ResponseParams

T = TypeVar("T")

OF_ONE_KIND = ("string", "floating", "integer")
CONTROL_ROLES = ("negative", "positive", "blank", "empty")
LARGEST = 1e50
LARGEST_LOG = 100.0
NOT_RELIED_ON = frozenset({"outside_model", "live_dye_leak"})
"""Flags of images whose numbers say little: their points are hollow."""
HELD = ("hold_top", "hold_bottom")
"""Columns of plateaus that are held for single curves, in the unit they are fitted in."""
NO_NAME = "the treatment has no name"


def group_columns(table: pd.DataFrame, by: Sequence[str] | None) -> list[str]:
    """Return the columns that tell curves apart: those asked for, or of plate, day, time and treatment those there.

    Days and times that are empty throughout are not.

    Raises
    ------
    InputError
        If a column that is asked for is missing.
    """
    if by is None:
        known = [name for name in ("plate", "day", "time", "treatment") if name in table]
        return [name for name in known if name not in ("day", "time") or (_text(table[name]) != "").any()]
    missing = [name for name in by if name not in table]
    if missing:
        raise InputError(f"The table has no column '{missing[0]}'.", f"It has: {', '.join(map(str, table.columns))}.")
    return list(by)


def read_wells(
    table: pd.DataFrame, dose: str, response: str, by: Sequence[str], params: ResponseParams
) -> pd.DataFrame:
    """Read doses and values of one quantity.

    Returns
    -------
    DataFrame, one row for each of the table, same index
        The columns of ``by`` as text, ``well``, ``role``, ``dose``, ``dose_unit``, ``value``, ``sd`` (from the wells'
        own intervals, NaN without), ``weight`` (1), ``excluded``, ``reason``, ``notes`` (flags, as tuples),
        ``outside_model``, ``leaks``, ``drifted``, ``image``, and ``hold_top`` and ``hold_bottom``: plateaus held for
        one curve. Doses that are told to be logarithms are brought back from these.

    Raises
    ------
    InputError
        If the column of doses or responses is missing.
    """
    for column in (dose, response):
        if column not in table:
            known = ", ".join(map(str, table.columns))
            raise InputError(f"The table has no column '{column}'.", f"It has: {known}.")
    wells = pd.DataFrame({name: _text(table[name]) for name in by}, index=table.index)
    wells["well"] = _text(table["well"]) if "well" in table else ""
    wells["image"] = _text(table["image"]) if "image" in table else ""
    doses, values = (_measured(table[name]) for name in (dose, response))
    wells["role"] = _roles(table, doses)
    wells["dose"] = [cell.value for cell in doses]
    wells["dose_unit"] = _dose_units(table, dose, doses, params)
    logged = _raise_logarithms(wells, dose)
    shown = {unit: unit_name(unit) for unit in set(wells["dose_unit"])}
    wells["dose_unit"] = [shown[unit] for unit in wells["dose_unit"]]
    wells["value"] = [cell.value for cell in values]
    wells["sd"] = _spreads(table, response)
    for name in HELD:
        wells[name] = [cell.value for cell in read_column(table[name].tolist())] if name in table else math.nan
    wells["weight"] = 1.0
    flags = _of_each(table, "flags", lambda text: frozenset(text.split(";")), frozenset[str]())
    alarm = _of_each(table, "drift_alarm", lambda text: text.casefold() in ("true", "1", "1.0", "yes"), False)
    wells["outside_model"] = [not NOT_RELIED_ON.isdisjoint(words) for words in flags]
    wells["drifted"] = ["drift_alarm" in words or told for words, told in zip(flags, alarm, strict=True)]
    wells["leaks"] = ["live_dye_leak" in words for words in flags]
    simulated = ["interval_simulated" in words for words in flags]
    by_hand = _by_hand(table)
    reasons, notes = [], []
    names = wells["treatment"] if "treatment" in wells else pd.Series("-", index=table.index)
    doses = [replace(cell, value=raised) for cell, raised in zip(doses, wells["dose"], strict=True)]
    for role, at, value, hand, name, outside, fake, raised in zip(
        wells["role"], doses, values, by_hand, names, wells["outside_model"], simulated, logged, strict=True
    ):
        reason, words = _judge(role, at, value, name)
        words += ["interval_simulated"] if fake else []
        words += ["dose_units_converted"] if raised and role == "treated" else []
        if not reason and hand:
            reason, words = hand, [*words, "outliers_left_out"]
        if not reason and outside and params.outside_wells == "leave_out":
            reason = "the image lies outside the model, or its live dye leaks"
        reasons.append(reason)
        notes.append(tuple(words))
    wells["reason"], wells["notes"] = reasons, notes
    wells["excluded"] = wells["reason"] != ""
    return wells


def _measurable(cell: Cell) -> Cell:
    """Refuse numbers that no instrument gives, whose squares would overflow; take such small ones for zero."""
    size = abs(cell.value)
    if size > LARGEST:
        return Cell(math.nan, problem=f"{cell.value:g} is no measured number")
    return Cell(0.0, cell.bound, cell.unit) if 0 < size < 1 / LARGEST else cell


def _different(column: pd.Series) -> tuple[NDArray[np.intp], list[Any]]:
    """Return which of its different cells each cell of a column is, and these; all cells where kinds are mixed."""
    if infer_dtype(column, skipna=True) not in OF_ONE_KIND:  # else True and 1, or 1 and 1.0, would be one
        return np.arange(len(column)), column.tolist()
    codes, different = pd.factorize(column, use_na_sentinel=False)
    return codes, different.tolist()


def _measured(column: pd.Series) -> list[Cell]:
    """Read numbers, each different cell once."""
    codes, different = _different(column)
    found = [_measurable(cell) for cell in read_column(different)]
    return [found[code] for code in codes]


def _text(column: pd.Series) -> pd.Series:
    codes, different = _different(column)
    texts = np.empty(len(different), object)
    texts[:] = ["" if pd.isna(cell) else str(cell).strip() for cell in different]
    return pd.Series(texts[codes], index=column.index, dtype=object)


def _of_each(table: pd.DataFrame, name: str, read: Callable[[str], T], default: T) -> list[T]:
    """Read the texts of a column, each different one once; the default for all where there is no such column."""
    if name not in table:
        return [default] * len(table)
    texts = _text(table[name])
    known = {text: read(text) for text in set(texts)}
    return [known[text] for text in texts]


def _roles(table: pd.DataFrame, doses: list[Cell]) -> list[str]:
    """Role of each well; where none is told, wells of the solvent or the medium alone are negative controls."""
    told = _text(table["role"]) if "role" in table else [""] * len(table)
    names = _text(table["treatment"]) if "treatment" in table else [""] * len(table)
    return [_role(word.removesuffix(".0"), *of) for word, *of in zip(told, names, doses, strict=True)]


def _role(word: str, treatment: str, dose: Cell) -> str:
    if word.casefold() in ("", "nan", "none"):
        nothing = treatment in ("0", "0.0") and not dose.value > 0  # a compound may be called 0
        return "negative" if nothing or is_vehicle(treatment) else "treated"
    role = read_role(word)
    return word.casefold() if role == "other" else role


def _dose_units(table: pd.DataFrame, dose: str, cells: list[Cell], params: ResponseParams) -> list[str]:
    """Unit of each dose: after the number, else in ``dose_unit``, else in the column's name, else as set."""
    column = _text(table["dose_unit"]) if "dose_unit" in table else [""] * len(table)
    rest = unit_in_name(str(dose)) or params.dose_unit
    return [cell.unit or own or rest for cell, own in zip(cells, column, strict=True)]


def _raise_logarithms(wells: pd.DataFrame, dose: str) -> list[bool]:
    """Bring doses whose unit, or column's name, says that they are logarithms back from these, in place; say which."""
    of_name = split_log(str(dose))[0]
    told = {unit: split_log(unit) for unit in set(wells["dose_unit"])}
    bases = [told[unit][0] or of_name for unit in wells["dose_unit"]]
    if any(bases):
        wells["dose"] = [
            float(f"{base**value:.12g}") if base and abs(value) < LARGEST_LOG else math.nan if base else value
            for base, value in zip(bases, wells["dose"], strict=True)
        ]
        wells["dose_unit"] = [told[unit][1] for unit in wells["dose_unit"]]
    return [base > 0 for base in bases]


def _spreads(table: pd.DataFrame, response: str) -> list[float]:
    """Standard deviations of values from their own intervals, taken as those of a normal distribution."""
    for low, high in ((f"{response}_low", f"{response}_high"), ("low", "high")):
        if low in table and high in table:
            ends = [[cell.value for cell in read_column(table[name].tolist())] for name in (low, high)]
            levels = [0.95] * len(table)
            if "interval_level" in table:
                told = pd.to_numeric(table["interval_level"], errors="coerce").fillna(0.95)
                levels = [level if 0 < level < 1 else 0.95 for level in told]
            from scipy.stats import norm

            return [
                (b - a) / (2 * float(norm.ppf((1 + level) / 2))) if b > a else math.nan
                for a, b, level in zip(*ends, levels, strict=True)
            ]
    return [math.nan] * len(table)


def _by_hand(table: pd.DataFrame) -> list[str]:
    """Reason of each well that was left out by hand: ``excluded`` is true, yes or the reason itself."""
    if "excluded" not in table:
        return [""] * len(table)
    own = _text(table["reason"]) if "reason" in table else [""] * len(table)
    found = []
    for cell, reason in zip(_text(table["excluded"]), own, strict=True):
        word = cell.casefold()
        if word in ("", "false", "0", "0.0", "no", "n"):
            found.append("")
        else:
            text = reason if word in ("true", "1", "1.0", "yes", "y", "x") else cell
            found.append(f"left out by hand{': ' + text if text else ''}")
    return found


def _judge(role: str, dose: Cell, value: Cell, treatment: Any) -> tuple[str, list[str]]:
    """Why a well cannot lie on a curve (empty if it can), and the flags it brings."""
    if role in CONTROL_ROLES:
        return f"{role} {'well' if role in ('blank', 'empty') else 'control'}", []
    reason = _fault(role, dose, value, treatment)
    if reason:
        return reason, ["points_left_out"] if role == "treated" else []
    words = ["zero_dose"] if dose.value == 0 else []
    return "", [*words, "censored_values"] if value.bound else words


def _fault(role: str, dose: Cell, value: Cell, treatment: Any) -> str:
    if role != "treated":
        return f"its role '{role}' is not 'treated'"
    if treatment == "":
        return NO_NAME
    if dose.problem or math.isnan(dose.value):
        return f"dose: {dose.problem}" if dose.problem else "there is no dose"
    if dose.bound:
        return f"the dose '{dose.bound}{dose.value:g}' is a bound"
    if dose.value < 0:
        return f"a dose of {dose.value:g} cannot be: it lies below zero"
    if value.problem:
        return f"value: {value.problem}"
    return "there is no value" if math.isnan(value.value) else ""


def leave_survivors_out(wells: pd.DataFrame, curve: np.ndarray) -> None:
    """Leave out the wells of a dose at which others have no value because their live dye leaks, in place.

    Only dead wells leak, so that those which are left are not a fair sample of their dose but its least dead ones, or
    ones whose leak was not noticed.

    Parameters
    ----------
    wells : DataFrame
        From :func:`read_wells`, with harmonised units.
    curve : array of int, one for each well
        Number of its curve; -1 for none.
    """
    dose = wells["dose"].to_numpy(float)
    withheld = wells["leaks"].to_numpy(bool) & np.isnan(wells["value"].to_numpy(float)) & (curve >= 0)
    if not withheld.any():
        return
    places = set(zip(curve[withheld].tolist(), dose[withheld].tolist(), strict=True))
    reasons, notes = wells["reason"].to_numpy(object, copy=True), wells["notes"].to_numpy(object, copy=True)
    for row in np.flatnonzero(~wells["excluded"].to_numpy(bool)):
        if (int(curve[row]), float(dose[row])) in places:
            reasons[row] = "the live dye leaks in other wells of this dose: what is left are its least dead ones"
            notes[row] = (*notes[row], "points_left_out")
    wells["reason"], wells["notes"] = reasons, notes
    wells["excluded"] = reasons != ""


def harmonise_units(wells: pd.DataFrame, curve: np.ndarray) -> None:
    """Bring the doses of each curve to its most frequent unit, in place.

    Parameters
    ----------
    wells : DataFrame
        From :func:`read_wells`.
    curve : array of int, one for each well
        Number of its curve; -1 for none.
    """
    columns = {name: wells[name].to_numpy(object, copy=True) for name in ("dose", "dose_unit", "reason", "notes")}
    excluded = wells["excluded"].to_numpy(bool)
    positive = wells["dose"].to_numpy(float) > 0
    used = ~excluded & (curve >= 0)
    # doses of zero need no unit
    told = used & (positive | (columns["dose_unit"] != ""))
    seen = pd.DataFrame({"curve": curve[told], "unit": columns["dose_unit"][told]}).drop_duplicates()
    number = seen["curve"].value_counts()
    for one in number.index[number > 1]:
        _harmonise(columns, np.flatnonzero(used & (curve == one)), positive)
    for name, values in columns.items():
        wells[name] = values.astype(float) if name == "dose" else values
    wells["excluded"] = excluded | (columns["reason"] != "")


def _harmonise(columns: dict[str, np.ndarray], rows: np.ndarray, positive: np.ndarray) -> None:
    """Bring the doses of one curve to its most frequent unit; those that cannot be brought get a reason."""
    main = str(pd.Series(columns["dose_unit"][rows[positive[rows]]]).mode().iloc[0])
    kind, size = unit_scale(main)
    for row in rows:
        unit, dose = str(columns["dose_unit"][row]), float(columns["dose"][row])
        other, factor = unit_scale(unit)
        if unit == main:
            continue
        if other == kind or dose == 0:
            columns["dose"][row] = float(f"{dose * factor / size:.12g}") if dose else 0.0
            columns["dose_unit"][row] = main
            # another spelling of the same unit is no conversion
            if dose and factor != size:
                columns["notes"][row] = (*columns["notes"][row], "dose_units_converted")
        else:
            said = f"its dose is in {unit}, those of the others in {main}" if unit else "its dose has no unit"
            columns["reason"][row] = said if main else f"its dose is in {unit}, those of the others have no unit"
            columns["notes"][row] = (*columns["notes"][row], "points_left_out")
