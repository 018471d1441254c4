"""SoftMax Pro exports (Molecular Devices): plates without row letters, between ``Plate:`` and ``~End``.

A plate's first line tells its name, whether it stands in the shape of the plate or in columns by well, and its first
column and row. Blocks of several wavelengths stand side by side; what the program calculated follows below.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.well import Well
from vitascope.io.tables.grid import ReaderGrid
from vitascope.io.tables.read import Line

_HINT = "Export one read of each plate: the endpoint, or what SoftMax Pro has reduced the reads to."
_COLUMN = re.compile(r"[1-9]\d?")


def is_softmax(lines: Sequence[Line]) -> bool:
    """Tell whether a table is such an export, by its first line."""
    return lines[0][1][0].startswith("##BLOCKS=")


def softmax_grids(lines: Sequence[Line], file: str) -> list[ReaderGrid]:
    """Read the plates of an export; its groups, notes and curves are left out.

    Raises
    ------
    InputError
        If a plate holds several reads (kinetics, spectra, scans), or a line of it cannot be understood.
    """
    grids: list[ReaderGrid] = []
    section: list[Line] = []
    inside = False
    for number, cells in lines:
        if cells[0].casefold() == "plate:":
            inside, section = True, []
        if inside and cells[0].casefold().startswith("~end"):
            grids += _plate(section, file)
            inside = False
        elif inside:
            section.append((number, cells))
    if inside:
        raise InputError(
            f"The plate in line {section[0][0]} of '{file}' has no end ('~End'): the file is cut off.",
            "Export it again.",
        )
    return grids


def _plate(section: list[Line], file: str) -> list[ReaderGrid]:
    (number, told), body = section[0], section[1:]
    told = [*told, *[""] * 24]
    name, layout, mode, waves, first_row = told[1], told[3], told[5], told[15].split(), told[19]
    above = (["Plate:", name],)
    if layout.casefold() == "timeformat":
        return _by_columns(body, file, mode, above)
    before = [number, *(n for n, _ in body)]
    heads = [at for at, (n, cells) in enumerate(body) if _is_head(cells, n > before[at] + 1)]
    if not heads:
        raise InputError(f"The plate in line {number} of '{file}' has no line of column numbers.", _HINT)
    grids = []
    for turn, (at, end) in enumerate(zip(heads, [*heads[1:], len(body)], strict=True)):
        for run, columns in enumerate(_runs(body[at][1])):
            wave = waves[run] if run < len(waves) else ""
            label = " ".join(filter(None, [mode, wave, f"{run + 1}" if waves.count(wave) > 1 else ""]))
            title = f"Calculated {mode}" if turn else label
            grids.append(_grid(title, body[at], columns, body[at + 1 : end], file, above, first_row))
    return grids


def _is_head(cells: Sequence[str], apart: bool) -> bool:
    """Tell whether the cells from the third on are column numbers that count up; later ones stand apart."""
    if not all(_COLUMN.fullmatch(cell) for cell in cells[2:] if cell) or not any(cells[2:]):
        return False
    steps = itertools.pairwise(cells[2:])
    counts = all(not a or not b or int(b) == int(a) + 1 for a, b in steps)
    return counts and (cells[1].casefold().startswith("temperature") or (apart and not any(cells[:2])))


def _runs(cells: Sequence[str]) -> list[dict[int, int]]:
    runs: list[dict[int, int]] = []
    for place in range(2, len(cells)):
        if not cells[place]:
            continue
        column = int(cells[place])
        if runs and column == list(runs[-1].values())[-1] + 1 and place - 1 in runs[-1]:
            runs[-1][place] = column
        else:
            runs.append({place: column})
    return runs


def _grid(
    title: str,
    header: Line,
    columns: dict[int, int],
    rows: Sequence[Line],
    file: str,
    above: tuple[list[str], ...],
    first_row: str,
) -> ReaderGrid:
    first = int(first_row) - 1 if first_row.isdigit() else 0
    cells: dict[Well, str] = {}
    places: dict[Well, tuple[int, int]] = {}
    for number, texts in rows:
        row = number - header[0] - 1  # rows without any value are lines without any text
        if row and texts[0] and any(texts[2:]):
            raise InputError(f"Line {number} of '{file}' begins a second read of the plate: '{texts[0]}'.", _HINT)
        try:
            wells = {place: Well(first + row, column - 1) for place, column in columns.items()}
        except ParameterError as error:
            raise InputError(
                f"Line {number} of '{file}' lies outside of every plate. {error.message}", _HINT
            ) from error
        for place, well in wells.items():
            cells[well] = texts[place] if place < len(texts) else ""
            places[well] = (number, place)
    return ReaderGrid(title=title, line=header[0], cells=cells, above=above, kind="", places=places)


def _by_columns(body: Sequence[Line], file: str, mode: str, above: tuple[list[str], ...]) -> list[ReaderGrid]:
    """Read lines whose columns are wells, one line for each read."""
    grids = []
    heads = [at for at, (_, cells) in enumerate(body) if sum(map(_is_well, cells)) > 0]
    for turn, (at, end) in enumerate(zip(heads, [*heads[1:], len(body)], strict=True)):
        lines = body[at + 1 : end]
        if len(lines) > 1:
            raise InputError(f"Line {lines[1][0]} of '{file}' begins a second read of the plate.", _HINT)
        wells = {place: Well.parse(cell) for place, cell in enumerate(body[at][1]) if _is_well(cell)}
        for number, texts in lines:
            cells = {well: texts[place] if place < len(texts) else "" for place, well in wells.items()}
            places = {well: (number, place) for place, well in wells.items()}
            grids.append(
                ReaderGrid(
                    title=f"Calculated {mode}" if turn else mode,
                    line=body[at][0],
                    cells=cells,
                    above=above,
                    kind="",
                    places=places,
                )
            )
    return grids


def _is_well(text: str) -> bool:
    try:
        Well.parse(text)
    except ParameterError:
        return False
    return True
