"""Amounts by well or by image, as plate readers and people write them: a plate's grid, or a list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.numbers import looks_like_number, read_number
from vitascope.io.filenames.parse import read_well
from vitascope.io.tables.export_grids import grids_of
from vitascope.io.tables.plate_reader import read_reader_export
from vitascope.io.tables.read import Sheet, mark_of_column, read_sheets
from vitascope.io.tables.vocabulary import read_column
from vitascope.io.tables.well_list import find_list, names_wells

VALUE_NAMES = ("atp", "value", "rlu", "luminescence", "viability", "signal")


@dataclass(frozen=True)
class Amount:
    """One number, and which well or image it belongs to; empty text where the table does not tell."""

    value: float
    plate: str = ""
    well: str = ""
    image: str = ""
    group: str = ""


@dataclass(frozen=True)
class Amounts:
    """What a table holds.

    Parameters
    ----------
    rows : tuple of Amount
    problems : tuple of str
        A sentence for each cell that had to be left out, by line and well.
    """

    rows: tuple[Amount, ...]
    problems: tuple[str, ...] = ()


def read_amounts(path: Path, column: str = "", group: tuple[str, ...] = ()) -> Amounts:
    """Read amounts from CSV or XLSX.

    A grid has the numbers of the plate's columns in one line, and its row letters under the cell before them, as any
    export of :func:`vitascope.io.tables.plate_reader.read_reader_export`; a list has a column ``well`` (or ``row`` and
    ``column``; ``plate`` may stand beside) or ``image``, and one for the amount.

    Parameters
    ----------
    path : Path
    column : str
        Name of the column of amounts; empty takes ``atp``, ``value``, ``rlu`` or ``luminescence``. Of an export with
        several kinds of value, the kind.
    group : tuple of str
        Columns that make a group, for lists.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is neither grid nor list, a well or image stands there twice, a value stands in merged cells, or a number
        can be read in two ways.
    """
    sheets = read_sheets(path)
    export = not _is_table(sheets[0]) and any(grids_of(sheet) or find_list(sheet) for sheet in sheets)
    found = _read_export(path, column) if export else _read_list(path, sheets[0], column, group)
    counts = Counter((a.plate, a.well, a.image.casefold()) for a in found.rows)
    twice = [" ".join(filter(None, key)) for key, n in counts.items() if n > 1]
    if twice:
        raise InputError(
            f"'{path.name}' has more than one value for {', '.join(twice[:8])}{' …' if len(twice) > 8 else ''}.",
            "Leave one of them, or tell plates apart in a column 'plate'.",
        )
    return found


def _is_table(sheet: Sheet) -> bool:
    """Tell whether the first line names the columns of a list."""
    header = [cell.casefold() for cell in sheet.lines[0][1]]
    return names_wells(header) or "image" in header


def _read_export(path: Path, column: str) -> Amounts:
    """Read an export; of several kinds of value the one that is asked for."""
    table = read_reader_export(path)
    kinds = list(table.attrs["measured"])
    raw = [kind for kind in kinds if not kind.startswith("signal_calculated")]
    asked = [
        kind for kind in kinds if column and column.casefold() in (kind.casefold(), kind.casefold()[len("signal ") :])
    ]
    if not asked and len(raw) > 1:
        raise InputError(
            f"'{path.name}' holds several kinds of value: {', '.join(kinds)}.", "Tell which one in 'column'."
        )
    kind = (asked or raw or kinds)[0]
    problems = [f"{word.sentence} It is left out." for word in table.attrs["no_number"] if word.column == kind]
    found = []
    for plate, well, value in zip(table["plate"], table["well"], table[kind], strict=True):
        if value < 0:
            problems.append(f"{value:g} of the well {well} is no amount: the well is left out.")
        elif value == value:
            found.append(Amount(float(value), plate=plate, well=well))
    return Amounts(tuple(found), (*problems, *table.attrs["notes"]))


def _read_list(path: Path, sheet: Sheet, column: str, group: tuple[str, ...]) -> Amounts:
    rows = sheet.lines
    if len(rows) < 2:
        raise InputError(f"The table '{path.name}' has no rows.", "Add a line for each well or image.")
    header = [c.casefold() for c in rows[0][1]]
    wanted = (column.casefold(),) if column else VALUE_NAMES
    value_at = next((header.index(n) for n in wanted if n in header), None)
    places = _places(header)
    if value_at is None or not ({"well", "image"} & set(places) or {"row", "column"} <= set(places)):
        raise InputError(
            f"'{path.name}' is neither a plate's grid nor a list of wells or images with a column '{column or 'atp'}'.",
            f"Its first line is: {', '.join(filter(None, rows[0][1]))}.",
        )
    if header.count(header[value_at]) > 1:
        raise InputError(f"'{path.name}' has the column '{rows[0][1][value_at]}' twice.", "Name each column once.")
    missing = [g for g in group if g.casefold() not in header]
    if missing:
        raise InputError(f"'{path.name}' has no column '{missing[0]}'.", f"It has: {', '.join(rows[0][1])}.")
    width = len(header)
    for number, row in rows[1:]:
        if any(row[width:]):
            raise InputError(
                f"Line {number} of '{path.name}' has {len(row)} cells for {width} columns.",
                "Put text that holds the delimiter in quotes, or save the table with semicolons.",
            )
    lines = [(n, (row + [""] * width)[:width]) for n, row in rows[1:]]
    if merged := next((m for (_, place), m in sheet.merged.items() if place == value_at), ""):
        raise InputError(
            f"The cells {merged} of '{path.name}' are merged, and hold one value for several lines.",
            "Unmerge them, and write the value of each line.",
        )
    mark = mark_of_column([row[value_at] for _, row in lines], rows[0][1][value_at], [n for n, _ in lines])
    found, problems = [], []
    for number, row in lines:
        at = {name: row[i] for name, i in places.items()}
        told = at.get("image") or " ".join(filter(None, (at.get("plate"), at.get("well")))) or f"line {number}"
        value = read_number(row[value_at], mark)
        if value is None and looks_like_number(row[value_at]):
            raise InputError(
                f"'{path.name}': the value '{row[value_at]}' of {told} (line {number}) is no number.",
                "Write all numbers with the same decimal mark, or leave the cell empty.",
            )
        if value is None or value != value or value < 0:
            what = f"'{row[value_at]}' is no amount" if row[value_at] else "there is no amount"
            problems.append(f"{told}, line {number}: {what}; it is left out.")
            continue
        try:
            well = _well(at)
        except ParameterError as error:
            problems.append(f"Line {number}: {error.message} It is left out.")
            continue
        own = " ".join(row[header.index(g.casefold())] for g in group)
        found.append(Amount(value, at.get("plate", ""), well, at.get("image", ""), own))
    return Amounts(tuple(found), tuple(problems))


def _places(header: list[str]) -> dict[str, int]:
    """Return where the columns stand that tell the well or the image, by their own names first."""
    own = ("plate", "well", "row", "column", "image")
    places: dict[str, int] = {name: header.index(name) for name in own if name in header}
    for at, cell in enumerate(header):
        name = read_column(cell)[0]
        if name in ("plate", "well", "row", "column"):
            places.setdefault(name, at)
    return places


def _well(at: dict[str, str]) -> str:
    if at.get("well"):
        return read_well(at["well"])
    if at.get("row") and at.get("column"):
        return read_well(at["row"], at["column"])
    return ""
