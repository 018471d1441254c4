"""The grids or the list of an export as one table: each kind of value becomes a named column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.errors import InputError
from vitascope.core.numbers import Mark, decimal_mark, looks_like_number, read_number
from vitascope.core.well import Well
from vitascope.io.tables.export_grids import ExportGrid
from vitascope.io.tables.read import Line, Sheet
from vitascope.io.tables.vocabulary import read_column
from vitascope.io.tables.well_list import WellList, find_list, find_series

SIGNAL, CALCULATED = "signal", "signal_calculated"
_COUNTS = re.compile(r"(?:plate|well|repeat|replicate|time|temp|date|cycle|wavelength|row|col)", re.IGNORECASE)
_APART = "Export one measurement at a time, or give the plates their barcodes."


@dataclass(frozen=True)
class NoNumber:
    """A word where a number was expected, such as ``OVER`` or ``<LOD``; the value is NaN.

    Parameters
    ----------
    plate, well, column, text : str
    line : int
    """

    plate: str
    well: str
    column: str
    text: str
    line: int

    @property
    def sentence(self) -> str:
        """For the user."""
        return f"'{self.text}' in line {self.line} is no number: {self.well} has no value for '{self.column}'."


@dataclass
class _Table:
    """Values by plate and well, as they are put together."""

    file: str
    rows: dict[tuple[str, Well], dict[str, Any]] = field(default_factory=dict)
    lines: dict[tuple[str, Well, str], int] = field(default_factory=dict)

    def put(self, plate: str, well: Well, column: str, value: Any, line: int) -> None:
        key = (plate, well, column)
        if key in self.lines:
            told = f" of the plate '{plate}'" if plate else ""
            raise InputError(
                f"'{self.file}' holds several grids{told} for '{column}': the well {well} stands in the lines "
                f"{self.lines[key]} and {line}.",
                _APART,
            )
        self.lines[key] = line
        self.rows.setdefault((plate, well), {"plate": plate, "well": str(well)})[column] = value


def from_grids(file: str, grids: Sequence[ExportGrid], sheets: Sequence[Sheet]) -> pd.DataFrame:
    """Put the grids of one plate side by side, a column for each kind of value.

    Raises
    ------
    InputError
        If a value stands twice, is no number though it is meant as one, or can be read in two ways.
    """
    columns = _name_columns([one for one in grids if not one.layout])
    plates = _name_plates(grids)
    marks = _marks(file, grids, columns)
    made = _Table(file)
    words: list[NoNumber] = []
    for at, one in enumerate(grids):
        column = columns.get(id(one)) or _layout_column(one)
        for well, text in one.grid.cells.items():
            line = one.line_of(well)
            if not one.layout:
                value = _number(file, text, marks[column], well, line)
                if np.isnan(value) and text:
                    words.append(NoNumber(plates[at], str(well), column, text, line))
                made.put(plates[at], well, column, value, line)
            elif text and column:
                made.put(plates[at], well, column, text, line)
    notes = [note for one in grids for note in one.grid.notes]
    if len(sheets) > 1:
        notes += _other_sheets(sheets, grids)
    for sheet in sheets:
        if series := find_series(sheet.lines):
            notes.append(f"The series over time from line {series[1][0][0]} of '{file}' on is left out.")
    return _frame(made, list(dict.fromkeys(columns.values())), words, notes)


def _frame(made: _Table, measured: list[str], words: list[NoNumber], notes: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(made.rows.values()))
    for column in measured:
        table[column] = table[column].astype(float) if column in table else np.nan
    text = [column for column in table.columns if column not in measured]
    table[text] = table[text].fillna("")
    table = table[["plate", "well", *measured, *(c for c in text if c not in ("plate", "well"))]]
    table.attrs = {"measured": measured, "no_number": words, "notes": list(dict.fromkeys(notes))}
    return table


def _number(file: str, text: str, mark: Mark, well: Well, line: int) -> float:
    """Read a value; NaN for a word. What is meant as a number and is none is refused."""
    value = read_number(text, mark)
    if value is None and looks_like_number(text):
        sentence = f"'{file}': the value '{text}' of {well} (line {line}) is no number."
        raise InputError(sentence, "Write all numbers with the same decimal mark, or leave the cell empty.")
    return float("nan") if value is None else value


def _marks(file: str, grids: Sequence[ExportGrid], columns: dict[int, str]) -> dict[str, Mark]:
    """Tell the decimal mark of each kind of value, from all its plates."""
    cells: dict[str, list[tuple[str, int]]] = {}
    for one in grids:
        if id(one) in columns:
            lined = [(text, one.line_of(well)) for well, text in one.grid.cells.items()]
            cells.setdefault(columns[id(one)], []).extend(lined)
    return {
        column: _mark(file, column, [t for t, _ in lined], [n for _, n in lined]) for column, lined in cells.items()
    }


def _mark(file: str, column: str, texts: Sequence[str], lines: Sequence[int]) -> Mark:
    try:
        return decimal_mark(texts, lines)
    except InputError as error:
        raise InputError(f"'{file}', '{column}': {error.message}", error.hint) from error


def _name_columns(grids: Sequence[ExportGrid]) -> dict[int, str]:
    """Name the column of each grid: ``signal`` for what was measured, with its name where there are several kinds."""
    columns: dict[int, str] = {}
    for calculated, plain in ((False, SIGNAL), (True, CALCULATED)):
        of_kind = [one for one in grids if one.calculated is calculated]
        names = list(dict.fromkeys(one.name for one in of_kind))
        repeats = {one.repeat for one in of_kind}
        for one in of_kind:
            name = f" {one.name}" if len(names) > 1 and one.name.casefold() not in ("", plain) else ""
            repeat = f" repeat {one.repeat}" if len(repeats) > 1 and one.repeat else ""
            columns[id(one)] = f"{plain}{name}{repeat}"
    if SIGNAL not in columns.values() and set(columns.values()) == {CALCULATED}:
        return dict.fromkeys(columns, SIGNAL)
    return columns


def _layout_column(one: ExportGrid) -> str:
    """Name a column of text; what an export calls its wells, samples or layout is the sample."""
    name = one.name
    if not name or read_column(name)[0] == "well" or re.match(r"layout|sample|group|plate\s?map", name, re.IGNORECASE):
        return "sample"
    return f"layout {name}" if read_column(name)[0] in ("plate", "row", "column") else name


def _name_plates(grids: Sequence[ExportGrid]) -> list[str]:
    """Name the plate of each grid: its barcode, or its number where several plates have none."""
    unnamed = {one.number for one in grids if not one.barcode and not one.layout}
    several = len(unnamed) > 1 or any(one.barcode for one in grids)
    return [one.barcode or (one.number if several else "") for one in grids]


def _other_sheets(sheets: Sequence[Sheet], grids: Sequence[ExportGrid]) -> list[str]:
    read = {one.sheet.name for one in grids}
    left = [sheet for sheet in sheets if sheet.name not in read and find_list(sheet) is not None]
    return [f"The list on the sheet '{sheet.name}' is left out." for sheet in left]


def from_list(file: str, sheets: Sequence[Sheet]) -> pd.DataFrame:
    """Read a list by well; each column of numbers is a kind of value.

    Raises
    ------
    InputError
        As :func:`from_grids`; and if there is no list, or more than one.
    """
    lists = [found for sheet in sheets if (found := find_list(sheet)) is not None]
    if len(lists) > 1:
        raise InputError(f"'{file}' has lists of wells on several sheets.", "Keep one list, or save it as CSV.")
    series = [reads for sheet in sheets if (reads := find_series(sheet.lines)) is not None]
    if not lists and series:
        return _from_series(file, series)
    if not lists:
        raise InputError(
            f"'{file}' holds no values by well: neither a list nor a grid with the letters A, B, C … down its side and "
            "the numbers 1, 2, 3 … along its top.",
            "Export the plate as a grid, or as plate, well, value.",
        )
    listed = lists[0]
    _refuse_doubles(file, listed)
    measured = _measured_columns(listed)
    made = _Table(file)
    words: list[NoNumber] = []
    for name, texts in listed.columns.items():
        column = measured.get(name, name)
        mark = _mark(file, name, texts, [line for line, _, _ in listed.wells]) if name in measured else "."
        if name in measured and name in listed.merged:
            raise InputError(
                f"The cells {listed.merged[name]} of '{file}' are merged, and hold one value for several wells.",
                "Unmerge them, and write the value of each well.",
            )
        for (line, plate, well), text in zip(listed.wells, texts, strict=True):
            value: Any = text
            if name in measured:
                value = _number(file, text, mark, well, line)
                if np.isnan(value) and text:
                    words.append(NoNumber(plate, str(well), column, text, line))
            made.put(plate, well, column, value, line)
    return _frame(made, list(measured.values()), words, list(listed.notes))


def _from_series(file: str, series: Sequence[tuple[dict[int, Well], list[Line]]]) -> pd.DataFrame:
    """Read a single line whose columns are wells; several are a series over time, of which no value is the well's."""
    wells, reads = series[0]
    if len(reads) > 1 or len(series) > 1:
        raise InputError(
            f"'{file}' holds a series over time (lines {reads[0][0]} to {reads[-1][0]}), not a value for each well.",
            "Export an endpoint, or what the reader's program has calculated of the series.",
        )
    line, cells = reads[0]
    texts = {well: cells[place] if place < len(cells) else "" for place, well in wells.items()}
    mark = _mark(file, SIGNAL, list(texts.values()), [line] * len(texts))
    made = _Table(file)
    for well, text in texts.items():
        made.put("", well, SIGNAL, _number(file, text, mark, well, line), line)
    words = [
        NoNumber("", str(well), SIGNAL, text, line)
        for well, text in texts.items()
        if text and not looks_like_number(text)
    ]
    return _frame(made, [SIGNAL], words, [])


def _refuse_doubles(file: str, listed: WellList) -> None:
    seen: dict[tuple[str, Well], int] = {}
    for line, plate, well in listed.wells:
        first = seen.setdefault((plate, well), line)
        if first != line:
            raise InputError(
                f"'{file}' has the well {well} twice, in lines {first} and {line}.", "Leave one of them out."
            )


def _measured_columns(listed: WellList) -> dict[str, str]:
    """Name the columns of numbers: ``signal`` if there is one, else each after itself."""
    found = [
        name
        for name, texts in listed.columns.items()
        if any(map(looks_like_number, texts)) and not read_column(name)[0] and not _COUNTS.match(name)
    ]
    if len(found) == 1:
        return {found[0]: SIGNAL}
    return {name: name if name in (SIGNAL, CALCULATED) else f"{SIGNAL} {name}" for name in found}
