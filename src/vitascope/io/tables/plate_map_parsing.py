"""Plate maps as people and programs save them, read into one row of text for each well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vitascope.core.dose_unit import is_negative_log, split_log
from vitascope.core.errors import InputError
from vitascope.core.numbers import looks_like_number
from vitascope.core.well import Well
from vitascope.io.tables.cellhts import is_plateconf, plateconf_rows
from vitascope.io.tables.export_grids import grids_of
from vitascope.io.tables.grid import ReaderGrid
from vitascope.io.tables.plate_map_validation import MapProblem
from vitascope.io.tables.plate_reader import is_screen, read_reader_export, read_screen
from vitascope.io.tables.read import Sheet, read_sheets
from vitascope.io.tables.vocabulary import COLUMNS, guess_columns, read_column, unit_of_dose
from vitascope.io.tables.well_list import find_list, find_series, is_list, names_wells

_OWN_SHEETS = re.compile(r"(?:sheet|tabelle|feuil|hoja|foglio|blad|ark|planilha)\s*\d*", re.IGNORECASE)


@dataclass(frozen=True)
class MapRows:
    """A map as text.

    Parameters
    ----------
    rows : list of dict of str to str
        The text of each well by the names of :data:`vitascope.io.tables.vocabulary.COLUMNS`, others as the file calls
        them.
    lines : list of int
        The line each stands in.
    measured : tuple of str
        Columns of numbers that a reader measured.
    problems : tuple of MapProblem
        What was noticed.
    """

    rows: list[dict[str, str]]
    lines: list[int]
    measured: tuple[str, ...] = ()
    problems: tuple[MapProblem, ...] = ()


def read_rows(path: Path, columns: Mapping[str, str]) -> MapRows:
    """Read a map of any layout.

    Parameters
    ----------
    path : Path
    columns : mapping of str to str
        Which column of a long table holds what.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty or has no wells, or naming the line of what belongs to no well.
    """
    sheets = read_sheets(path)
    first = sheets[0].lines
    if is_plateconf(first):
        return MapRows(*plateconf_rows(first))
    if is_screen(first):
        return _measured(read_screen(path))
    if columns or names_wells(first[0][1]):
        return _table_rows(path, sheets, columns)
    if is_list(first):
        return _measured(read_reader_export(path))
    grids = [(sheet.name, grid) for sheet in sheets for grid in grids_of(sheet) if any(grid.cells.values())]
    if _is_export([grid for _, grid in grids]) or (
        not grids and any(find_list(sheet) or find_series(sheet.lines) for sheet in sheets)
    ):
        return _measured(read_reader_export(path))
    return _grid_rows(path, grids) if grids else _table_rows(path, sheets, columns)


def _is_export(grids: Sequence[ReaderGrid]) -> bool:
    """Tell whether grids are what a reader's program writes: numbers below lines that tell of the plate."""
    numbers = [_holds_numbers(grid) for grid in grids]
    if not any(numbers) or any(read_column(grid.title)[0] for grid in grids):
        return False
    told = any(len(grid.above) > 1 or grid.kind for grid in grids)
    return told or all(number and grid.above for number, grid in zip(numbers, grids, strict=True))


def _holds_numbers(grid: ReaderGrid) -> bool:
    """Tell whether most filled cells of a grid are numbers."""
    filled = [text for text in grid.cells.values() if text]
    return 2 * sum(map(looks_like_number, filled)) > len(filled)


def _measured(table: pd.DataFrame) -> MapRows:
    cells = table.astype(object).where(table.notna(), "").map(str)
    rows = [{str(name): text for name, text in row.items()} for row in cells.to_dict("records")]
    problems = [
        MapProblem(word.plate, word.well, "no_number", word.sentence, False) for word in table.attrs["no_number"]
    ]
    return MapRows(
        rows, list(range(1, len(rows) + 1)), tuple(table.attrs["measured"]), (*problems, *_notes(table.attrs["notes"]))
    )


def _notes(notes: Iterable[str]) -> list[MapProblem]:
    return [MapProblem("", "", "left_out", note, False) for note in dict.fromkeys(notes)]


def _grid_rows(path: Path, grids: Sequence[tuple[str, ReaderGrid]]) -> MapRows:
    """Put plate-shaped tables together, one for each thing they tell."""
    rows: dict[Well, dict[str, str]] = {}
    lines: dict[Well, int] = {}
    taken: dict[tuple[str, Well], int] = {}
    several = len({name for name, _ in grids}) > 1
    for sheet, grid in grids:
        named = sheet if (several or len(grids) == 1) and not _OWN_SHEETS.fullmatch(sheet) else ""
        title = grid.title or named
        column, unit = read_column(title)
        column = column or title or "treatment"
        for well, text in grid.cells.items():
            if (column, well) in taken:
                raise InputError(
                    f"'{path.name}' has two grids of '{column}', in lines {taken[column, well]} and {grid.line}.",
                    "Give each its name in the corner or in the line above, such as treatment, dose (µM) or role.",
                )
            taken[column, well] = grid.line
            if text:
                rows.setdefault(well, {"well": str(well)})[column] = text
                lines.setdefault(well, grid.places[well][0])
                if unit:
                    rows[well]["dose_unit"] = unit
    order = sorted(rows)
    if not order:
        raise InputError(f"The grids of '{path.name}' are empty.", "Fill in what is in each well.")
    notes = _notes(note for _, grid in grids for note in grid.notes)
    return MapRows([rows[well] for well in order], [lines[well] for well in order], (), tuple(notes))


def _table_rows(path: Path, sheets: Sequence[Sheet], columns: Mapping[str, str]) -> MapRows:
    table = sheets[0].table()
    left = [f"The sheet '{sheet.name}' of '{path.name}' is left out." for sheet in sheets[1:]]
    given = {name: column for column, name in columns.items()}
    absent = sorted(set(given) - set(table.columns))
    if absent:
        raise InputError(f"'{path.name}' has no column '{absent[0]}'.", f"It has: {', '.join(table.columns)}.")
    names: dict[str, str] = {}
    units: dict[str, str] = {}
    for header in table.columns:
        column, unit = (given[header], "") if header in given else read_column(header)
        unit = unit_of_dose(header) if header in given and column == "dose" else unit
        if column in names.values() or (column in columns and header not in given):
            column = ""
        names[header] = column or header
        if unit:
            units["dose_unit"] = unit
    for header, column in guess_columns({h: table[h].tolist() for h in table.columns if names[h] == h}).items():
        if column not in names.values():
            names[header] = column
    doses = [header for header, column in names.items() if column == "dose"]
    of_logs = [header for header in doses if split_log(header)[0] or is_negative_log(header)]
    if of_logs:
        raise InputError(
            f"The column '{of_logs[0]}' of '{path.name}' holds logarithms; a plate map holds the doses themselves.",
            "Add a column with the doses, such as dose (µM).",
        )
    found = set(names.values())
    if "well" not in found and not {"row", "column"} <= found:
        raise InputError(
            f"'{path.name}' names no wells: it has the columns {', '.join(table.columns)}.",
            "Call one column 'well', or two 'row' and 'column'; or write the map in the shape of the plate.",
        )
    unknown = [header for header, column in names.items() if column == header and header not in COLUMNS]
    if unknown and not found & {"treatment", "dose", "role"}:
        left.append(
            f"'{path.name}' tells no treatments, doses or roles by names that are known; it has {', '.join(unknown)}. "
            "Call them treatment, dose and role."
        )
    rows = []
    for cells in table.itertuples(index=False):
        row = dict(zip(names.values(), map(str, cells), strict=True))
        for name, unit in units.items():
            row[name] = row.get(name) or unit
        rows.append(row)
    return MapRows(rows, list(table.attrs["lines"]), (), tuple(_notes(left)))
