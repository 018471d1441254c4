"""Plate maps as people and programs save them, read into one row of text for each well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from vitascope.core.errors import InputError
from vitascope.core.well import Well
from vitascope.io.tables.cellhts import is_plateconf, plateconf_rows
from vitascope.io.tables.grid import ReaderGrid, find_grids
from vitascope.io.tables.plate_reader import is_list, is_screen, read_reader_export, read_screen
from vitascope.io.tables.read import read_sheets, read_table
from vitascope.io.tables.vocabulary import guess_columns, read_column

Rows = tuple[list[dict[str, str]], list[int]]


def read_rows(path: Path, columns: Mapping[str, str]) -> Rows:
    """Read a map of any layout.

    Parameters
    ----------
    path : Path
    columns : mapping of str to str
        Which column of a long table holds what.

    Returns
    -------
    tuple of list of dict and list of int
        The text of each well by the names of :data:`vitascope.io.tables.vocabulary.COLUMNS`, others as the file
        calls them; and the line each stands in.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty or has no wells.
    """
    sheets = read_sheets(path)
    first = next(iter(sheets.values()))
    if columns:
        return _table_rows(path, columns)
    if is_plateconf(first):
        return plateconf_rows(first)
    if is_screen(first):
        return _measured(read_screen(path))
    grids = [(name, grid) for name, lines in sheets.items() for grid in find_grids(lines)]
    if is_list(first) or (grids and all(_is_measured(grid) for _, grid in grids)):
        return _measured(read_reader_export(path))
    return _grid_rows(path, grids) if grids else _table_rows(path, columns)


def _is_measured(grid: ReaderGrid) -> bool:
    """Tell whether a grid holds what a reader measured: numbers, and no name of a column that we know."""
    numbers = all(re.fullmatch(r"[-+\d.,eE]*", text) for text in grid.cells.values())
    return numbers and not read_column(grid.title)[0] and bool(grid.above)


def _measured(table: pd.DataFrame) -> Rows:
    cells = table.astype(object).where(table.notna(), "").map(str)
    return [{str(name): text for name, text in row.items()} for row in cells.to_dict("records")], list(
        range(1, len(cells) + 1)
    )


def _grid_rows(path: Path, grids: Sequence[tuple[str, ReaderGrid]]) -> Rows:
    """Put plate-shaped tables together, one for each thing they tell."""
    rows: dict[Well, dict[str, str]] = {}
    lines: dict[Well, int] = {}
    taken: dict[str, int] = {}
    for sheet, grid in grids:
        title = grid.title or (sheet if len({name for name, _ in grids}) > 1 or len(grids) == 1 else "")
        column, unit = read_column(title)
        column = column or title or "treatment"
        if column in taken:
            raise InputError(
                f"'{path.name}' has two grids of '{column}', in lines {taken[column]} and {grid.line}.",
                "Give each its name in the corner or in the line above, such as treatment, dose (µM) or role.",
            )
        taken[column] = grid.line
        for well, text in grid.cells.items():
            if text:
                rows.setdefault(well, {"well": str(well)})[column] = text
                lines.setdefault(well, grid.line + well.row + 1)
                if unit:
                    rows[well]["dose_unit"] = unit
    order = sorted(rows)
    if not order:
        raise InputError(f"The grids of '{path.name}' are empty.", "Fill in what is in each well.")
    return [rows[well] for well in order], [lines[well] for well in order]


def _table_rows(path: Path, columns: Mapping[str, str]) -> Rows:
    table = read_table(path)
    given = {name: column for column, name in columns.items()}
    absent = sorted(set(given) - set(table.columns))
    if absent:
        raise InputError(f"'{path.name}' has no column '{absent[0]}'.", f"It has: {', '.join(table.columns)}.")
    names: dict[str, str] = {}
    units: dict[str, str] = {}
    for header in table.columns:
        column, unit = (given[header], "") if header in given else read_column(header)
        if column in names.values() or (column in columns and header not in given):
            column = ""
        names[header] = column or header
        if unit:
            units["dose_unit"] = unit
    for header, column in guess_columns({h: table[h].tolist() for h in table.columns if names[h] == h}).items():
        if column not in names.values():
            names[header] = column
    found = set(names.values())
    if "well" not in found and not {"row", "column"} <= found:
        raise InputError(
            f"'{path.name}' names no wells: it has the columns {', '.join(table.columns)}.",
            "Call one column 'well', or two 'row' and 'column'; or write the map in the shape of the plate.",
        )
    rows = []
    for cells in table.itertuples(index=False):
        row = dict(zip(names.values(), map(str, cells), strict=True))
        for name, unit in units.items():
            row[name] = row.get(name) or unit
        rows.append(row)
    return rows, list(table.attrs["lines"])
