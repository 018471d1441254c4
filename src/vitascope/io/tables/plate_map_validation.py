"""What a plate map may hold: its rows as text are turned into values, and what is wrong is said well by well."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vitascope.core.dose_unit import read_unit
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.numbers import Mark, looks_like_number, read_number
from vitascope.core.well_role import is_vehicle, read_role
from vitascope.io.filenames.parse import read_well
from vitascope.io.tables.csv_append import uncell
from vitascope.io.tables.read import mark_of_column
from vitascope.io.tables.vocabulary import is_measured, read_dose, split_dose

_SHOWN, _EACH = 8, 3


@dataclass(frozen=True)
class MapProblem:
    """What is wrong with one well of a map.

    Parameters
    ----------
    plate, well : str
        The well as it stands in the map where it is none.
    kind : str
        ``unknown_well``, ``duplicate``, ``bad_dose``, ``missing_dose``, ``unit_mismatch``, ``unknown_role``,
        ``no_number``, ``left_out``, ``no_image`` or ``not_in_map``.
    sentence : str
        For the user.
    fatal : bool
        Whether a map with it is refused.
    """

    plate: str
    well: str
    kind: str
    sentence: str
    fatal: bool


def refuse(problems: Sequence[MapProblem], name: str) -> None:
    """Refuse a map with fatal problems, naming all of its wells.

    Raises
    ------
    InputError
    """
    fatal = [problem for problem in problems if problem.fatal]
    if not fatal:
        return
    shown = " ".join(problem.sentence for problem in fatal[:_SHOWN])
    more = ", ".join(problem.well for problem in fatal[_SHOWN:])
    raise InputError(
        f"'{name}': {shown}" + (f" Also: {more}." if more else ""), "Correct these wells in the plate map."
    )


def in_short(problems: Sequence[MapProblem]) -> list[str]:
    """Say what was noticed, kind by kind; of many wells of one kind, one sentence and the names of the others.

    Examples
    --------
    >>> told = "The map has A{}, but there is no image."
    >>> found = [MapProblem("P", f"A{k}", "no_image", told.format(k), False) for k in (1, 2)]
    >>> in_short(found * 2)
    ['The map has A1, but there is no image. The same is true of 3 more: A2, A1, A2.']
    """
    by_kind: dict[str, list[MapProblem]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    said = []
    for found in by_kind.values():
        if len(found) <= _EACH:
            said += [problem.sentence for problem in found]
        else:
            wells = ", ".join(problem.well for problem in found[1:])
            said.append(f"{found[0].sentence} The same is true of {len(found) - 1} more: {wells}.")
    return said


def check_rows(
    rows: Sequence[Mapping[str, str]], lines: Sequence[int], measured: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[MapProblem, ...]]:
    """Turn rows of text into a map's table, and say what is wrong with it.

    Parameters
    ----------
    rows : sequence of mapping of str to str
        Each with ``well``, or ``row`` and ``column``; all others may be missing.
    lines : sequence of int
        Where each row stands in its file.
    measured : sequence of str
        Further columns of numbers; those that are called after what a reader measures are known.

    Returns
    -------
    tuple of DataFrame and tuple of MapProblem
        Rows without a well, or with one that stood before, are left out of the table.
    """
    decimal_comma = _mark_of_doses([row.get("dose", "") for row in rows], lines) == ","
    problems: list[MapProblem] = []
    seen: dict[tuple[str, str], int] = {}
    values = []
    kept: list[int] = []
    for row, line in zip(rows, lines, strict=True):
        made = _row(row, line, decimal_comma, problems)
        if made is None:
            continue
        key = (str(made["plate"]), str(made["well"]))
        if key in seen:
            sentence = f"The well {made['well']} stands twice, in lines {seen[key]} and {line}."
            problems.append(MapProblem(*key, "duplicate", sentence, True))
            continue
        seen[key] = line
        values.append(made)
        kept.append(line)
    problems += _missing_doses(values)
    problems += _mixed_units(values)
    table = pd.DataFrame(values, columns=_columns(values))
    known = ("plate", "well", "treatment", "dose", "dose_unit", "role", "replicate", "patient")
    for column in [c for c in table.columns if c not in known and (c in measured or is_measured(c, _texts(table[c])))]:
        table[column] = _numbers(table, column, kept, problems)
    return table, tuple(problems)


def _texts(cells: Iterable[Any]) -> list[str]:
    return ["" if isinstance(cell, float) else str(cell) for cell in cells]  # NaN where a row has no such cell


def _numbers(table: pd.DataFrame, column: str, lines: Sequence[int], problems: list[MapProblem]) -> list[float]:
    """Turn a column of measured values into numbers; words among them are said, and have none."""
    cells = _texts(table[column])
    mark = mark_of_column(cells, column, lines)
    numbers = []
    for plate, well, cell, line in zip(table["plate"], table["well"], cells, lines, strict=True):
        number = read_number(cell, mark)
        if cell and (number is None or math.isnan(number)):
            bad = looks_like_number(cell)
            what = "is written with another decimal mark than others" if bad else "is no number: there is no value"
            sentence = f"The {column} '{cell}' of {well} (line {line}) {what}."
            problems.append(MapProblem(plate, well, "no_number", sentence, bad))
        numbers.append(math.nan if number is None else number)
    return numbers


def _mark_of_doses(doses: Sequence[str], lines: Sequence[int]) -> Mark:
    """Tell the decimal mark of the doses, and name the line of one that can be read in two ways."""
    numbers = [split[0] if (split := split_dose(dose)) else "" for dose in doses]
    return mark_of_column(numbers, "dose", lines)


def _columns(values: Sequence[Mapping[str, Any]]) -> list[str]:
    known = ["plate", "well", "treatment", "dose", "dose_unit", "role", "replicate", "patient"]
    return list(dict.fromkeys([*known, *(name for row in values for name in row)]))


def _row(row: Mapping[str, str], line: int, decimal_comma: bool, problems: list[MapProblem]) -> dict[str, Any] | None:
    plate = row.get("plate", "").strip()
    given = row.get("well", "").strip()
    try:
        well = read_well(given) if given else read_well(row.get("row", "").strip(), row.get("column", "").strip())
    except (ParameterError, ValueError):
        what = given or f"{row.get('row', '')}{row.get('column', '')}"
        if not what:
            what = "empty"
        problems.append(MapProblem(plate, what, "unknown_well", f"'{what}' in line {line} is no well.", True))
        return None
    dose = read_dose(row.get("dose", ""), decimal_comma)
    unit_given = row.get("dose_unit", "").strip()
    unit = read_unit(unit_given)
    if dose is None or dose[0] < 0:
        sentence = f"The dose '{row.get('dose', '')}' of {well} (line {line}) is no amount of zero or more."
        problems.append(MapProblem(plate, well, "bad_dose", sentence, True))
        dose = (math.nan, "")
    if unit is not None and dose[1] and dose[1] != unit.name:
        sentence = f"The dose of {well} (line {line}) is in {dose[1]}, but its column says {unit.name}."
        problems.append(MapProblem(plate, well, "unit_mismatch", sentence, True))
    treatment = uncell(row.get("treatment", "").strip())
    role = read_role(row.get("role", ""))
    if role == "other" and row["role"].strip().casefold() != "other":
        sentence = f"The role '{row['role'].strip()}' of {well} is not known: taken as 'other'."
        problems.append(MapProblem(plate, well, "unknown_role", sentence, False))
    known = ("plate", "well", "row", "column", "treatment", "dose", "dose_unit", "role")
    return {
        "plate": plate,
        "well": well,
        "treatment": treatment,
        "dose": dose[0],
        "dose_unit": dose[1] or (unit.name if unit else unit_given),
        "role": role or _role(treatment, dose[0]),
        "replicate": row.get("replicate", "").strip(),
        "patient": uncell(row.get("patient", "").strip()),
        **{name: uncell(text.strip()) for name, text in row.items() if name not in (*known, "replicate", "patient")},
    }


def _role(treatment: str, dose: float) -> str:
    """Guess the role of a well that the map says none of."""
    if is_vehicle(treatment) or dose == 0:
        return "negative"
    return "treated" if treatment or math.isfinite(dose) else "other"


def _missing_doses(values: Sequence[Mapping[str, Any]]) -> list[MapProblem]:
    """Name treated wells without a dose, where others have one."""
    if not any(math.isfinite(row["dose"]) for row in values):
        return []
    return [
        MapProblem(row["plate"], row["well"], "missing_dose", f"{row['well']} ({row['treatment']}) has no dose.", False)
        for row in values
        if row["role"] == "treated" and math.isnan(row["dose"])
    ]


def _mixed_units(values: Sequence[Mapping[str, Any]]) -> list[MapProblem]:
    """Name the wells whose dose has another kind of unit than the first of the same treatment, or none."""
    first: dict[str, str] = {}
    found = []
    for row in values:
        if not math.isfinite(row["dose"]) or row["dose"] == 0:
            continue
        unit = str(row["dose_unit"])
        before = first.setdefault(str(row["treatment"]).casefold(), unit)
        if _kind(unit) != _kind(before):
            sentence = (
                f"The dose of {row['well']} ({row['treatment']}) is in {unit or 'no unit'}, others of the same "
                f"treatment in {before or 'no unit'}."
            )
            found.append(MapProblem(row["plate"], row["well"], "unit_mismatch", sentence, False))
    return found


def _kind(unit: str) -> str:
    known = read_unit(unit)
    return known.kind if known else unit.casefold()
