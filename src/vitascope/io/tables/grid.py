"""Tables in the shape of a plate: columns 1, 2, 3 … along the top, rows A, B, C … down the side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vitascope.core.errors import ParameterError
from vitascope.core.well import Well
from vitascope.io.tables.read import Line

LEAST_COLUMNS = 2


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
    """

    title: str
    line: int
    cells: dict[Well, str]
    above: tuple[list[str], ...] = field(default=())


def find_grids(lines: Sequence[Line]) -> list[ReaderGrid]:
    """Find all plate-shaped blocks of a table, in order.

    Parameters
    ----------
    lines : sequence of (int, list of str)
        Numbers and cells of the lines that are not empty.

    Returns
    -------
    list of ReaderGrid

    Examples
    --------
    >>> lines = [(1, ["dose", "1", "2"]), (2, ["A", "0,5", "1"]), (3, ["B", "2", "4"])]
    >>> grid = find_grids(lines)[0]
    >>> grid.title, grid.cells[Well.parse("B1")]
    ('dose', '2')
    """
    grids: list[ReaderGrid] = []
    since = at = 0
    while at < len(lines):
        columns = _columns(lines[at][1])
        rows = _rows(lines[at + 1 :]) if columns else 0
        if not rows:
            at += 1
            continue
        above = tuple(cells for _, cells in lines[since:at])
        corner = lines[at][1][0]
        title = corner if corner.strip("<>") else _last_title(above)
        cells: dict[Well, str] = {}
        for row, (_, texts) in enumerate(lines[at + 1 : at + 1 + rows]):
            for column in range(columns):
                cells[Well(row, column)] = texts[column + 1] if column + 1 < len(texts) else ""
        grids.append(ReaderGrid(title, lines[at][0], cells, above))
        at += 1 + rows
        since = at
    return grids


def _columns(cells: Sequence[str]) -> int:
    """Count the columns 1, 2, 3 … after the corner; 0 where the line is no such header."""
    count = 0
    for number, cell in enumerate(cells[1:], start=1):
        if not cell.isdigit() or int(cell) != number:
            break
        count += 1
    rest = any(cells[count + 1 :])
    return count if count >= LEAST_COLUMNS and count <= 48 and not rest else 0


def _rows(lines: Sequence[Line]) -> int:
    """Count the lines that begin with A, B, C … in turn."""
    for row, (_, cells) in enumerate(lines):
        try:
            expected = row < 32 and Well.parse(f"{cells[0]}1") == Well(row, 0)
        except ParameterError:
            expected = False
        if not expected:
            return row
    return len(lines)


def _last_title(above: Sequence[Sequence[str]]) -> str:
    """Take the line right above, where it has one cell only."""
    filled = [cell for cell in above[-1] if cell] if above else []
    return filled[0] if len(filled) == 1 else ""
