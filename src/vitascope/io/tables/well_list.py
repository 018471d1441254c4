"""Lists by well: a line for each, with a header or without, among the other lines of an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.numbers import looks_like_number
from vitascope.core.well import Well
from vitascope.io.filenames.parse import read_well
from vitascope.io.tables.grid import is_statistic
from vitascope.io.tables.read import Line, Sheet
from vitascope.io.tables.vocabulary import read_column

_SERIES_WELLS = 3


@dataclass(frozen=True)
class WellList:
    """A list by well.

    Parameters
    ----------
    wells : tuple of (int, str, Well)
        Line, plate (empty where none is told) and well of each row.
    columns : dict of str to list of str
        The other columns by name, as text.
    notes : tuple of str
        What was left out.
    merged : dict of str to str
        A merged range of each column that has one.
    """

    wells: tuple[tuple[int, str, Well], ...]
    columns: dict[str, list[str]]
    notes: tuple[str, ...] = ()
    merged: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Places:
    """Where a line has its plate, well (or row and column) and the other columns."""

    plate: int | None
    well: tuple[int, ...]
    columns: dict[int, str]


def is_list(lines: Sequence[Line]) -> bool:
    """Tell whether a table is a list of plate, well and value without a header."""
    cells = lines[0][1]
    return len(cells) == len(("plate", "well", "value")) and is_well(cells[1]) and looks_like_number(cells[2])


def names_wells(cells: Sequence[str]) -> bool:
    """Tell whether a line is the header of a list by well."""
    return _header_places(cells) is not None


def is_well(text: str) -> bool:
    """Tell whether a cell is a well."""
    return _well([text]) is not None


def find_list(sheet: Sheet) -> WellList | None:
    """Find the list of a sheet; None where there is none. Lines of words before and behind it are no part of it.

    Raises
    ------
    InputError
        Naming the line, if a row of it tells no well.
    """
    lines = sheet.lines
    for at, (_, cells) in enumerate(lines):
        places = _header_places(cells)
        if places is not None and at + 1 < len(lines):
            if _well_of(lines[at + 1][1], places) is not None:
                return _read(sheet, lines[at + 1 :], places)
            _refuse_no_well(sheet, lines[at], lines[at + 1], places)
        if is_well(cells[0]) and len(cells) == 2:  # well and value
            return _read_bare(sheet, at, _Places(None, (0,), {1: "signal"}))
        if len(cells) > 2 and is_well(cells[1]) and not is_well(cells[2]):  # plate, well and value
            return _read_bare(sheet, at, _Places(0, (1,), {2: "signal"}))
    return None


def _refuse_no_well(sheet: Sheet, header: Line, line: Line, places: _Places) -> None:
    """Refuse a first line that has a value and no well, such as ``A1-A3``, instead of passing it over."""
    number, cells = line
    told = " ".join(cells[place] for place in places.well if place < len(cells)).strip()
    valued = any(place < len(cells) and looks_like_number(cells[place]) for place in places.columns)
    if told and valued and number == header[0] + 1 and not is_statistic(told):
        raise InputError(
            f"Line {number} of '{sheet.file}' tells no well: '{told}'.", "Write one well in each line, such as B07."
        )


def _read_bare(sheet: Sheet, at: int, places: _Places) -> WellList:
    """Read a list without a header from a line on; a line right above it that has a value has no well."""
    lines = sheet.lines
    if at and lines[at - 1][0] + 1 == lines[at][0]:
        number, above = lines[at - 1]
        value = max(places.columns)
        if len(above) == len(lines[at][1]) and above[places.well[0]] and looks_like_number(above[value]):
            told = above[places.well[0]]
            raise InputError(
                f"Line {number} of '{sheet.file}' tells no well: '{told}'.",
                "Write one well in each line, such as B07, and an empty line below what stands above the list.",
            )
    return _read(sheet, lines[at:], places)


def find_series(lines: Sequence[Line]) -> tuple[dict[int, Well], list[Line]] | None:
    """Find a table whose columns are wells and whose lines are reads, as of a series over time; None if there is none.

    Returns
    -------
    tuple of dict of int to Well and list of (int, list of str)
        The wells by their positions, and the lines of the reads.
    """
    for at, (_, cells) in enumerate(lines):
        wells = {place: well for place, cell in enumerate(cells) if (well := _well([cell])) is not None}
        if len(wells) < _SERIES_WELLS or 0 in wells:
            continue
        reads: list[Line] = []
        for line in lines[at + 1 :]:
            if not any(place < len(line[1]) and looks_like_number(line[1][place]) for place in wells):
                break
            reads.append(line)
        if reads:
            return wells, reads
    return None


def _header_places(cells: Sequence[str]) -> _Places | None:
    known: dict[str, int] = {}
    for place, cell in enumerate(cells):
        known.setdefault(read_column(cell)[0], place)
    well = (known["well"],) if "well" in known else tuple(known[n] for n in ("row", "column") if n in known)
    if not well or ("well" not in known and len(well) < 2):
        return None
    barcode = next((place for place, cell in enumerate(cells) if "barcode" in cell.casefold()), known.get("plate"))
    taken = {*well, barcode, known.get("row"), known.get("column")}
    columns = {place: name for place, name in enumerate(cells) if name and place not in taken}
    return _Places(barcode, well, columns)


def _read(sheet: Sheet, lines: Sequence[Line], places: _Places) -> WellList:
    wells: list[tuple[int, str, Well]] = []
    columns: dict[str, list[str]] = {name: [] for name in places.columns.values()}
    if len(columns) < len(places.columns):
        names = list(places.columns.values())
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"The list in '{sheet.file}' has the column '{twice}' twice.", "Name each column once.")
    notes: list[str] = []
    merged: dict[str, str] = {}
    behind = before = 0
    for number, cells in lines:
        well = _well_of(cells, places)
        if well is None:
            notes += _no_well(sheet, number, cells, places, behind > 0, apart=before > 0 and number > before + 1)
            behind, before = behind or (0 if is_statistic(_first(cells)) else number), number
            continue
        if behind:
            raise InputError(
                f"Line {behind} of '{sheet.file}' tells no well, and more wells stand below it (line {number}).",
                "Leave it out, or give it its well.",
            )
        before = number
        _refuse_unnamed(sheet, number, cells, places)
        plate = cells[places.plate] if places.plate is not None and places.plate < len(cells) else ""
        wells.append((number, plate, well))
        for place, name in places.columns.items():
            columns[name].append(cells[place] if place < len(cells) else "")
            if (number, place) in sheet.merged:
                merged[name] = sheet.merged[number, place]
    return WellList(tuple(wells), columns, tuple(notes), merged)


def _no_well(
    sheet: Sheet, number: int, cells: Sequence[str], places: _Places, behind: bool, *, apart: bool
) -> list[str]:
    """Say what a line without a well is; refuse one that stands among the others."""
    first = _first(cells)
    if is_statistic(first):
        return [f"Line {number} of '{sheet.file}' ('{first}') holds a statistic and is left out."]
    if behind:
        return []
    told = " ".join(cells[place] for place in places.well if place < len(cells))
    if sum(map(bool, cells)) > 1 and (told or not apart):
        raise InputError(
            f"Line {number} of '{sheet.file}' tells no well: '{told}'.",
            "Write wells such as B07, and an empty line before what stands below the list.",
        )
    return [f"What stands from line {number} of '{sheet.file}' on ('{first}' …) is left out."]


def _first(cells: Sequence[str]) -> str:
    return next(cell for cell in cells if cell)


def _refuse_unnamed(sheet: Sheet, number: int, cells: Sequence[str], places: _Places) -> None:
    """Refuse a number in a column that has no name: it belongs to nothing."""
    used = {*places.well, places.plate, *places.columns}
    for place, text in enumerate(cells):
        if place > max(places.well) and place not in used and looks_like_number(text):
            raise InputError(
                f"Line {number} of '{sheet.file}' has the value '{text}' in a column without a name.",
                "Name each column; put numbers with decimal commas in quotes, or save the table with semicolons.",
            )


def _well_of(cells: Sequence[str], places: _Places) -> Well | None:
    texts = [cells[place] if place < len(cells) else "" for place in places.well]
    return _well(texts) if all(texts) else None


def _well(texts: Sequence[str]) -> Well | None:
    if len(texts) == 1 and texts[0].isdigit():
        return None  # the number of a well tells neither row nor column
    try:
        return Well.parse(read_well(*texts))
    except (ParameterError, ValueError):
        return None
