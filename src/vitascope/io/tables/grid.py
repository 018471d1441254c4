"""Tables in the shape of a plate: column numbers along the top, row letters down the side; every filled cell counts.

A block is told by its labels, so that rows and columns may be missing, blank, in lower case or few. Lines of statistics
below it and columns of them beside it are left out and said; whatever else holds a value is refused by its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from vitascope.core.well import Well
from vitascope.io.tables.grid_rows import GridRows, row_letter
from vitascope.io.tables.read import Line

_COLUMN = re.compile(r"(?:col(?:umn)?[ ._]*)?0*([1-9]\d?)(?:\.0)?", re.IGNORECASE)
_LAST_COLUMN = 48
_MOST_ROWS = 33
_STATISTICS = re.compile(
    r"(?:row|column|col|overall|grand|plate)?\s*(?:mean|average|avg|median|sd|s\.d\.?|st\.?\s*dev\.?|std\.?(?:\s*dev\.?)?|"
    r"stdev|standard deviation|sem|s\.e\.m\.?|cv|%\s*cv|cv\s*\(?%\)?|var(?:iance)?|min(?:imum)?|max(?:imum)?|sum|total|"
    r"count|n|range|z'|z'?-?(?:factor|prime))\s*[:.]?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ReaderGrid:
    """One plate-shaped block of cells.

    Parameters
    ----------
    title : str
        In its corner, or else the line above it; empty where there is none.
    line : int
        Number of the line with the columns, from 1.
    cells : dict of Well to str
        Empty cells included.
    above : tuple of list of str
        The lines since the block before, which instruments tell the plate in.
    kind : str
        What the block's lines themselves say that they hold, at their end: Gen5 writes several kinds into one block.
    places : dict of Well to (int, int)
        Number of the line, and position in it from 0, of each cell.
    notes : tuple of str
        A sentence for what stands in the block and is no value of a well.
    """

    title: str
    line: int
    cells: dict[Well, str]
    above: tuple[list[str], ...] = field(default=())
    kind: str = ""
    places: dict[Well, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Header:
    """Where row letters stand, the column number of each position, and whether a cell stands above the letters."""

    label_at: int
    columns: dict[int, int]
    corner: bool = True


def find_grids(lines: Sequence[Line], file: str = "") -> list[ReaderGrid]:
    """Find all plate-shaped blocks of a table, in order.

    Parameters
    ----------
    lines : sequence of (int, list of str)
        Numbers and cells of the lines that are not empty.
    file : str
        Name of the file, for errors.

    Returns
    -------
    list of ReaderGrid
        One for each kind of value of each block.

    Raises
    ------
    InputError
        Naming the line, if a value in a block belongs to no well, a row stands twice, or its letter is not clear.

    Examples
    --------
    >>> lines = [(1, ["dose", "1", "2"]), (2, ["A", "0,5", "1"]), (4, ["C", "2", "4"])]
    >>> grid = find_grids(lines)[0]
    >>> grid.title, grid.cells[Well.parse("C1")]
    ('dose', '2')
    """
    heads: list[tuple[int, list[_Header]]] = []
    for at in range(len(lines)):
        inside = lines[heads[-1][0] + 1 : at] if heads else []
        if headers := _headers(lines, at, heads[-1][1] if heads else [], inside):
            heads.append((at, headers))
    grids: list[ReaderGrid] = []
    since = 0
    ends = [at for at, _ in heads[1:]] + [len(lines)] * bool(heads)
    for (at, headers), end in zip(heads, ends, strict=True):
        above = tuple(cells for _, cells in lines[since:at])
        taken = {position for header in headers for position in (header.label_at, *header.columns)}
        last = at
        for header in headers:
            rows = GridRows(file, lines[at], header.label_at, header.columns, taken, is_statistic)
            last = max(last, at + 1 + rows.read(lines[at + 1 : end]))
            grids += _made(rows, lines[at], header, above, grids[-1].title if grids and not above else "")
        since = last
    return grids


def is_statistic(text: str) -> bool:
    """Tell whether a line or a column is called after a statistic of the others, such as ``Mean`` or ``SD``.

    Examples
    --------
    >>> is_statistic("Mean"), is_statistic("% CV"), is_statistic("Std. Dev."), is_statistic("menadione")
    (True, True, True, False)
    """
    return _STATISTICS.fullmatch(text.strip()) is not None


def _made(
    rows: GridRows, header_line: Line, header: _Header, above: tuple[list[str], ...], same: str
) -> list[ReaderGrid]:
    """Make the grids of a block; one that only repeats the header of that above has its title, ``same``."""
    number, cells = header_line
    corner = cells[header.label_at] if header.corner and header.label_at < len(cells) else ""
    title = corner if corner.strip("<>") else _last_title(above) or same
    return [
        ReaderGrid(title=title, line=number, cells=values, above=above, kind=kind, places=places, notes=rows.notes)
        for kind, values, places in rows.by_kind()
    ]


def _headers(lines: Sequence[Line], at: int, before: Sequence[_Header], inside: Sequence[Line]) -> list[_Header]:
    """Return the blocks that a line begins, side by side; none where it is no header."""
    cells = lines[at][1]
    runs = _runs(_numbers(cells))
    if not runs or at + 1 >= len(lines):
        return []
    first = min(runs[0])
    if before and _stays(lines, at, before[0], inside):
        return []
    if first == 0:
        return _without_corner(lines, at, runs)
    if row_letter(cells[first - 1]) or not _begins(lines, at, first - 1):
        return []
    below = lines[at + 1][1]
    left = [(cell, below[place] if place < len(below) else "") for place, cell in enumerate(cells[: first - 1]) if cell]
    if any(cell != other for cell, other in left):
        return []
    if len(runs[0]) == 1 and not _lone_column(cells, first):
        return []
    headers = [_Header(first - 1, runs[0])]
    for run in runs[1:]:
        own = min(run) - 1
        headers.append(_Header(own if _begins(lines, at, own) else first - 1, run))
    return headers


def _without_corner(lines: Sequence[Line], at: int, runs: list[dict[int, int]]) -> list[_Header]:
    """Read a header that begins with a number: its corner, or its first column if no cell is above the letters."""
    if not _begins(lines, at, 0):
        return []
    places = {place: column for run in runs for place, column in run.items()}
    if len(lines[at + 1][1]) > len(lines[at][1]) and len(runs) == 1 and len(places) > 1:
        return [_Header(0, {place + 1: column for place, column in places.items()}, corner=False)]
    rest = _runs({place: column for place, column in places.items() if place > 0})
    return [_Header(0, run) for run in rest if len(rest) == 1]


def _stays(lines: Sequence[Line], at: int, before: _Header, inside: Sequence[Line]) -> bool:
    """Tell whether a line belongs to the block that is open, whatever it looks like.

    It does if no empty line stands above it, unless the rows begin again below it or it repeats the block's header.
    """
    if lines[at - 1][0] + 1 != lines[at][0]:
        return False
    cells, below = lines[at][1], lines[at + 1][1]
    label = cells[before.label_at] if before.label_at < len(cells) else ""
    repeats = not label and sorted(_numbers(cells).values()) == sorted(before.columns.values())
    seen = {row_letter(row[before.label_at]) for _, row in inside if before.label_at < len(row)} - {""}
    restarts = before.label_at < len(below) and row_letter(below[before.label_at]) in seen
    return not repeats and not restarts


def _lone_column(cells: Sequence[str], first: int) -> bool:
    """Tell whether a single number may be the header of a single column: nothing else stands in its line."""
    return not any(
        cell for place, cell in enumerate(cells) if place not in (first - 1, first) and not is_statistic(cell)
    )


def _numbers(cells: Sequence[str]) -> dict[int, int]:
    found = {place: match for place, cell in enumerate(cells) if (match := _COLUMN.fullmatch(cell))}
    return {place: int(match[1]) for place, match in found.items() if int(match[1]) <= _LAST_COLUMN}


def _runs(numbers: dict[int, int]) -> list[dict[int, int]]:
    """Divide numbers into runs that rise; columns may be left out."""
    runs: list[dict[int, int]] = []
    for place, column in numbers.items():
        if runs and column > list(runs[-1].values())[-1]:
            runs[-1][place] = column
        else:
            runs.append({place: column})
    return runs


def _begins(lines: Sequence[Line], at: int, label_at: int) -> bool:
    """Tell whether a row letter stands below a line, before an empty one; the first row may have a wrong label."""
    before = lines[at][0]
    here = {label_at, *_numbers(lines[at][1])}
    for number, cells in lines[at + 1 : at + 1 + _MOST_ROWS]:
        if label_at < len(cells) and row_letter(cells[label_at]):
            return True
        apart = number > before + 1 and before > lines[at][0]
        if apart or len(set(_numbers(cells)) - here) > 1:  # or a header of other columns
            return False
        before = number
    return False


def _last_title(above: Sequence[Sequence[str]]) -> str:
    """Take the line right above, where it has one cell only."""
    filled = [cell for cell in above[-1] if cell] if above else []
    return filled[0] if len(filled) == 1 else ""
