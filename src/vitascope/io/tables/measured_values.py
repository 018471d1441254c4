"""Amounts by well or by image, as plate readers and people write them: a plate's grid, or a list."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.errors import InputError, ParameterError
from vitascope.io.filenames.parse import read_well
from vitascope.io.tables.read import decimal_comma, parse_number, read_cells

VALUE_NAMES = ("atp", "value", "rlu", "luminescence", "viability")
_ROW = re.compile(r"\A([A-Za-z]|[Aa][A-Fa-f])\Z")
Cells = list[tuple[int, list[str]]]


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

    A grid has the numbers of the plate's columns in one line, and its row letters under the cell before them; a list
    has a column ``well`` (or ``row`` and ``column``; ``plate`` may stand beside) or ``image``, and one for the amount.

    Parameters
    ----------
    path : Path
    column : str
        Name of the column of amounts; empty takes ``atp``, ``value``, ``rlu`` or ``luminescence``.
    group : tuple of str
        Columns that make a group, for lists.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is neither grid nor list, or a well or image stands there twice.
    """
    cells, merged = read_cells(path)
    rows = [(number, [c.strip() for c in row]) for number, row in cells if any(c.strip() for c in row)]
    found = _read_grid(rows)
    if found is None:
        found = _read_list(path, rows, column, group)
    problems = (*(f"The cells {m} are merged: only the first one's value counts." for m in merged), *found.problems)
    counts = Counter((a.plate, a.well, a.image.casefold()) for a in found.rows)
    twice = [" ".join(filter(None, key)) for key, n in counts.items() if n > 1]
    if twice:
        raise InputError(
            f"'{path.name}' has more than one value for {', '.join(twice[:8])}{' …' if len(twice) > 8 else ''}.",
            "Leave one of them, or tell plates apart in a column 'plate'.",
        )
    return Amounts(found.rows, problems)


def _read_grid(rows: Cells) -> Amounts | None:
    """Read a plate's grid; None where there is none."""
    for at, (_, header) in enumerate(rows):
        first = next((i for i, c in enumerate(header) if c == "1"), None)
        if first is None or first == 0:
            continue
        width = 1
        while first + width < len(header) and header[first + width] == str(width + 1):
            width += 1
        if width < 3:
            continue
        lines = [(n, row) for n, row in rows[at + 1 :] if len(row) >= first and _ROW.match(row[first - 1])]
        if lines:
            return _grid_values(lines, first, width)
    return None


def _grid_values(lines: Cells, first: int, width: int) -> Amounts:
    texts = [
        (number, read_well(row[first - 1], str(k + 1)), row[first + k])
        for number, row in lines
        for k in range(width)
        if first + k < len(row) and row[first + k]
    ]
    comma = decimal_comma([text for _, _, text in texts])
    found, problems = [], []
    for number, well, text in texts:
        value = parse_number(text, comma)
        if value is None or value != value or value < 0:
            problems.append(f"'{text}' in line {number}, well {well}, is no amount: the well is left out.")
        else:
            found.append(Amount(value, well=well))
    return Amounts(tuple(found), tuple(problems))


def _read_list(path: Path, rows: Cells, column: str, group: tuple[str, ...]) -> Amounts:
    if len(rows) < 2:
        raise InputError(f"The table '{path.name}' has no rows.", "Add a line for each well or image.")
    header = [c.casefold() for c in rows[0][1]]
    wanted = (column.casefold(),) if column else VALUE_NAMES
    value_at = next((header.index(n) for n in wanted if n in header), None)
    places: dict[str, int] = {n: header.index(n) for n in ("plate", "well", "row", "column", "image") if n in header}
    if value_at is None or not ({"well", "image"} & set(places) or {"row", "column"} <= set(places)):
        raise InputError(
            f"'{path.name}' is neither a plate's grid nor a list of wells or images with a column '{column or 'atp'}'.",
            f"Its first line is: {', '.join(filter(None, rows[0][1]))}.",
        )
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
    comma = decimal_comma([row[value_at] for _, row in lines])
    found, problems = [], []
    for number, row in lines:
        at = {name: row[i] for name, i in places.items()}
        told = at.get("image") or " ".join(filter(None, (at.get("plate"), at.get("well")))) or f"line {number}"
        value = parse_number(row[value_at], comma)
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


def _well(at: dict[str, str]) -> str:
    if at.get("well"):
        return read_well(at["well"])
    if at.get("row") and at.get("column"):
        return read_well(at["row"], at["column"])
    return ""
