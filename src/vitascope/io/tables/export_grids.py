"""What the grids of a reader's export hold: which plate, which kind of value, and what is no value at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vitascope.core.errors import InputError
from vitascope.core.numbers import looks_like_number
from vitascope.core.well import PLATE_SHAPES, Well
from vitascope.io.tables.grid import ReaderGrid, find_grids
from vitascope.io.tables.grid_rows import row_letter
from vitascope.io.tables.read import Line, Sheet
from vitascope.io.tables.softmax import is_softmax, softmax_grids
from vitascope.io.tables.vocabulary import read_column

_STRONG = ("barcode", "plate barcode", "plate id", "plate name")
_WEAK = ("plate", "plate number", "id1")
_NUMBER = re.compile(r"(?:plate)?\s*#?\d*", re.IGNORECASE)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")
_CALCULATED = re.compile(r"\bcalculated\b|\bcalc\b", re.IGNORECASE)
_RESULTS = re.compile(r"(?:calculated\s+)?results?\b|raw data", re.IGNORECASE)
_ASIDE = re.compile(
    r"plate\s*[:#]?\s*\d+\Z|(?:plate|barcode|plate id)\s*:|temperature|\b(?:time|date)\b", re.IGNORECASE
)
_LEADS = re.compile(r"(?:results? for|results?:)\s*", re.IGNORECASE)
_PLATE_MAP = re.compile(r"plate\s?map:?", re.IGNORECASE)
_LAYOUT = re.compile(r"layout(?: definitions?)?:?|sample(?:s| names?| ids?)?|group", re.IGNORECASE)
_DASHES = ("", "-", "–")


@dataclass
class ExportGrid:
    """One grid of an export, and what the lines around it say.

    Parameters
    ----------
    grid : ReaderGrid
    sheet : Sheet
    name : str
        Kind of value, in the file's own words; empty where none is told.
    calculated : bool
        Whether the reader's program has computed the values of others.
    layout : bool
        Whether the cells say what is in the wells, not what was measured.
    barcode, number : str
        Of the plate: its name, and what only counts or dates it.
    repeat : str
        Number of the repeat.
    """

    grid: ReaderGrid
    sheet: Sheet
    name: str = ""
    calculated: bool = False
    layout: bool = False
    barcode: str = ""
    number: str = ""
    repeat: str = ""

    def line_of(self, well: Well) -> int:
        """Return the line that the value of a well stands in."""
        return self.grid.places[well][0]


@dataclass
class _Told:
    """What the lines above a grid tell; the plate is kept until others tell another."""

    barcode: str = ""
    number: str = ""
    repeat: str = ""
    layout: bool = False
    plate_map: bool = False
    wavelength: str = ""
    name: str = ""


def export_grids(sheets: Sequence[Sheet]) -> list[ExportGrid]:
    """Read all grids of an export with the lines around them; those that hold nothing but dashes are left out.

    Raises
    ------
    InputError
        If a value stands in a grid and belongs to no well, or to several (merged cells).
    """
    found: list[ExportGrid] = []
    for sheet in sheets:
        told = _Told()
        for grid in grids_of(sheet):
            _read_above(grid.above, told)
            if told.plate_map or all(text in _DASHES for text in grid.cells.values()):
                continue  # programs repeat their plate map behind the values, of whichever plate
            found.append(_export_grid(grid, sheet, told))
    for one in found:
        if not one.layout:
            _refuse_merged(one)
    return found


def grids_of(sheet: Sheet) -> list[ReaderGrid]:
    """Find the grids of a sheet, those of SoftMax Pro and the bare ones of EnVision too."""
    if is_softmax(sheet.lines):
        return softmax_grids(sheet.lines, sheet.file)
    return find_grids(_with_labels(sheet.lines), sheet.file)


def _export_grid(grid: ReaderGrid, sheet: Sheet, told: _Told) -> ExportGrid:
    title = grid.title
    headings = [cells[0] for cells in grid.above if _RESULTS.match(cells[0])]
    if _plain_words(title) or _ASIDE.search(title):
        title = next((heading for heading in reversed(headings) if not _plain_words(heading)), "")
    parts = [_LEADS.sub("", part).strip() for part in (title, told.wavelength) if part] or [told.name]
    measured = bool(headings) or any(looks_like_number(text) for text in grid.cells.values())
    return ExportGrid(
        grid=grid,
        sheet=sheet,
        name=grid.kind or " ".join(dict.fromkeys(parts)),
        calculated=_CALCULATED.search(" ".join([title or told.name, grid.kind])) is not None,
        layout=told.layout or _is_layout(title) or not measured,
        barcode=told.barcode,
        number=told.number,
        repeat=told.repeat,
    )


def _is_layout(title: str) -> bool:
    """Tell whether a grid is called after what is in the wells: samples, or a column of a plate map."""
    return _LAYOUT.fullmatch(title) is not None or bool(read_column(title)[0])


def _plain_words(text: str) -> bool:
    """Tell whether a heading says no more than that results follow."""
    return re.fullmatch(r"(?:results?|raw data|measurements?|data)?:?", text.strip(), re.IGNORECASE) is not None


def _read_above(above: Sequence[Sequence[str]], told: _Told) -> None:
    """Read what the lines above a grid tell of it, and of its plate."""
    own: dict[str, str] = {}
    for at, cells in enumerate(above):
        filled = [cell for cell in cells if cell]
        if _RESULTS.match(filled[0]) or filled[0].casefold().startswith("plate information"):
            told.layout = told.plate_map = False
        elif len(filled) == 1 and _PLATE_MAP.fullmatch(filled[0]):
            told.plate_map = True
        elif len(filled) == 1 and _LAYOUT.fullmatch(filled[0]):
            told.layout = True
        own |= _pairs(cells, above[at + 1] if at + 1 < len(above) else [])
    told.wavelength = own.get("wavelength", "")
    told.name = next((own[name] for name in ("formula", "label", "name") if own.get(name)), "")
    told.repeat = own.get("repeat", "")
    plates = [own[name] for name in (*_STRONG, *_WEAK) if own.get(name)]
    if plates or "barcode" in own:
        told.barcode = next((own[n] for n in (*_STRONG, "plate") if own.get(n) and not _only_counts(own[n])), "")
        counted = [own[name] for name in (*_WEAK, *_STRONG) if own.get(name) and own[name] != told.barcode]
        told.number = counted[0] if counted else ""


def _only_counts(plate: str) -> bool:
    """Tell whether a plate is only numbered, or called after the clock as readers do where a barcode cannot be read."""
    return _NUMBER.fullmatch(plate) is not None or _CLOCK.search(plate) is not None


def _pairs(cells: Sequence[str], below: Sequence[str]) -> dict[str, str]:
    """Return names and values of a line: ``Barcode: X``, ``Barcode``, ``X``, or names with the values below."""
    filled = [cell for cell in cells if cell]
    if len(filled) > 2 and {"barcode", "repeat"} & {cell.casefold() for cell in cells}:
        found = list(zip(cells, below, strict=False))
    elif ":" in filled[0].rstrip(":"):
        found = [(name, value) for cell in filled if ":" in cell for name, value in [cell.split(":", 1)]]
    elif match := re.fullmatch(r"(plate)\s*#?\s*(\d+)", filled[0], re.IGNORECASE) if len(filled) == 1 else None:
        found = [(match[1], match[2])]
    else:
        found = [(filled[0], filled[1])] if len(filled) == 2 else []
    return {
        name.rstrip(":").strip().casefold(): value.strip()
        for name, value in found
        if value.strip().casefold() not in ("n/a", "na")
    }


def _with_labels(lines: Sequence[Line]) -> list[Line]:
    """Give labels to the bare plates that EnVision writes (export format "Plate"), by their size."""
    if not any(cells[0].casefold().strip() == "plate information" for _, cells in lines[:40]):
        return list(lines)
    made: list[Line] = []
    at = 0
    while at < len(lines):
        block = _bare_block(lines, at)
        if not block:
            made.append(lines[at])
            at += 1
            continue
        columns = len(block[0])
        made.append((lines[at][0] - 1, ["", *(str(n + 1) for n in range(columns))]))
        for row, values in enumerate(block):
            made.append((lines[at + row][0], [str(Well(row, 0))[:-2], *values]))
        at += len(block)
    return made


def _bare_block(lines: Sequence[Line], at: int) -> list[list[str]]:
    """Return the lines of a whole plate without labels, if one begins here: numbers only, in following lines."""
    block: list[list[str]] = []
    for number, cells in lines[at:]:
        values = cells[:-1] if cells and not cells[-1] else cells
        follows = number == lines[at][0] + len(block)
        if not follows or not all(not text or looks_like_number(text) or text.isalpha() for text in values):
            break
        if (block and len(values) != len(block[0])) or any(map(row_letter, values[:1])):
            break
        block.append(values)
    whole = block and (len(block), len(block[0])) in PLATE_SHAPES.values() and len(block[0]) > 3
    return block if whole and sum(looks_like_number(text) for text in block[0]) > 0 else []


def _refuse_merged(one: ExportGrid) -> None:
    """Refuse a measured value that stands in several wells at once."""
    for well, (line, place) in one.grid.places.items():
        merged = one.sheet.merged.get((line, place))
        if merged and one.grid.cells[well]:
            raise InputError(
                f"The cells {merged} of '{one.sheet.file}' are merged: one value for several wells, {well} too.",
                "Unmerge them, and write the value of each well.",
            )
