"""Measured values of plate readers, as their programs export them: EnVision, Analyst HT, and cellHTS2 screens.

References
----------
cellHTS2 (Boutros et al., Genome Biology 7:R66, 2006): plate list, plate configuration and screen log files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.core.errors import IncompleteError, InputError, ParameterError
from vitascope.core.well import Well
from vitascope.io.tables.cellhts import plateconf_rows
from vitascope.io.tables.grid import ReaderGrid, find_grids
from vitascope.io.tables.read import Line, read_sheets, read_table, to_numbers
from vitascope.io.tables.vocabulary import read_role

_CALCULATED = re.compile(r"calculated", re.IGNORECASE)
_BARCODE = ("barcode", "plate id", "plate")


def read_reader_export(path: str | Path) -> pd.DataFrame:
    """Read the values that a plate reader measured.

    Parameters
    ----------
    path : path
        A plate-shaped export (EnVision CSV, Analyst HT text, or any table with rows A, B, C … and columns 1, 2, 3 …),
        or a list of plate, well and value without a header (cellHTS2).

    Returns
    -------
    DataFrame
        One row for each plate and well: ``plate`` (barcode, identifier or number; empty where none is told), ``well``,
        ``signal`` in the reader's own counts, and ``signal_calculated`` where the reader's program has corrected it.
        Several plates and repeats keep the order of the file.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it holds no values by well, or a cell that is no number.
    """
    path = Path(path)
    lines = next(iter(read_sheets(path).values()))
    grids = find_grids(lines)
    table = _from_grids(path, grids) if grids else _from_list(path, lines)
    if not table["signal"].notna().any():
        raise InputError(
            f"'{path.name}' holds no values by well.", "Export the plate as a grid, or as plate, well, value."
        )
    return table


def is_list(lines: Sequence[Line]) -> bool:
    """Tell whether a table is a list of plate, well and value without a header."""
    cells = lines[0][1]
    if len(cells) != len(("plate", "well", "signal")):
        return False
    try:
        Well.parse(cells[1])
        float(cells[2])
    except (ParameterError, ValueError):
        return False
    return True


def is_screen(lines: Sequence[Line]) -> bool:
    """Tell whether a table is the plate list of a cellHTS2 screen."""
    return [cell.casefold() for cell in lines[0][1][:3]] == ["filename", "plate", "replicate"]


def read_screen(path: str | Path, *, skip_missing: bool = False) -> pd.DataFrame:
    """Read a cellHTS2 screen: all plates of its list, with the roles and the flagged wells of the files beside it.

    Parameters
    ----------
    path : path
        The ``Platelist.txt``. ``Plateconf.txt`` and ``Screenlog.txt`` in the same folder are read where they are there.
    skip_missing : bool
        Whether to leave out plates that are listed but have no file; they are named in ``attrs["missing"]``.

    Returns
    -------
    DataFrame
        Columns ``plate`` (name of its file, without suffix), ``plate_number``, ``replicate``, ``well``, ``signal`` (and
        ``signal_calculated``), ``role`` and ``excluded``, which tells why the log flags a well and is empty otherwise.

    Raises
    ------
    ReaderError
        If a file of the list cannot be read.
    IncompleteError
        If a file of the list is not there.
    InputError
        If the list names no files.
    """
    path = Path(path)
    listed = read_table(path).rename(columns=str.casefold)
    missing = sorted({"filename", "plate", "replicate"} - set(listed.columns))
    if missing:
        raise InputError(f"'{path.name}' has no column '{missing[0]}'.", "A plate list has Filename, Plate, Replicate.")
    files = [path.parent / Path(str(name)).name for name in listed["filename"]]
    missing = [file.name for file in files if not file.is_file()]
    if missing and (not skip_missing or len(missing) == len(files)):
        message = f"{len(missing)} of the {len(files)} files in '{path.name}' are missing, such as '{missing[0]}'."
        raise IncompleteError(message, "Copy them next to the list.")
    parts = [
        read_reader_export(file).assign(plate=file.stem, plate_number=str(plate), replicate=str(replicate))
        for file, plate, replicate in zip(files, listed["plate"], listed["replicate"], strict=True)
        if file.name not in missing
    ]
    screen = pd.concat(parts, ignore_index=True)
    screen.attrs["missing"] = missing
    conf = _beside(path, "plateconf.txt")
    if conf is not None:
        screen["role"] = _roles(screen, conf)
    screen["excluded"] = _excluded(screen, _beside(path, "screenlog.txt"))
    first = ["plate", "plate_number", "replicate", "well", "signal"]
    return screen[[*first, *(column for column in screen.columns if column not in first)]]


def _beside(path: Path, name: str) -> Path | None:
    return next((one for one in path.parent.iterdir() if one.name.casefold() == name), None)


def _roles(screen: pd.DataFrame, conf: Path) -> list[str]:
    rows, _ = plateconf_rows(next(iter(read_sheets(conf).values())))
    roles = {(row["plate"], row["well"]): read_role(row["role"]) for row in rows}
    keys = zip(screen["plate_number"], screen["well"], strict=True)
    return [roles.get((plate, well)) or roles.get(("", well), "") for plate, well in keys]


def _excluded(screen: pd.DataFrame, log: Path | None) -> list[str]:
    if log is None:
        return [""] * len(screen)
    listed = read_table(log).rename(columns=str.casefold)
    missing = sorted({"plate", "sample", "well"} - set(listed.columns))
    if missing:
        raise InputError(f"'{log.name}' has no column '{missing[0]}'.", "A screen log has Plate, Sample, Well, Flag.")
    why = {
        (str(row.plate), str(row.sample), str(Well.parse(str(row.well)))): str(getattr(row, "comment", "")) or "flagged"
        for row in listed.itertuples(index=False)
    }
    keys = zip(screen["plate_number"], screen["replicate"], screen["well"], strict=True)
    return [why.get((str(plate), str(replicate), str(well)), "") for plate, replicate, well in keys]


def _from_grids(path: Path, grids: Sequence[ReaderGrid]) -> pd.DataFrame:
    """Put the grids of one plate side by side: what was measured, and what was calculated of it."""
    plate = ""
    found: dict[tuple[str, Well], dict[str, Any]] = {}
    turns: dict[tuple[str, str], int] = {}
    for grid in grids:
        plate = _plate_of(grid.above) or plate
        told = " ".join([grid.title, *(grid.above[-1] if grid.above else ())])
        column = "signal_calculated" if _CALCULATED.search(told) else "signal"
        turn = turns[plate, column] = turns.get((plate, column), 0) + 1
        if turn > 1:
            raise InputError(
                f"'{path.name}' holds several grids of the plate '{plate}' (line {grid.line}).",
                "Export one measurement at a time, or give the plates their barcodes.",
            )
        for well, value in _numbers(path, grid).items():
            found.setdefault((plate, well), {"plate": plate, "well": str(well)})[column] = value
    table = pd.DataFrame(list(found.values()))
    if "signal" not in table:
        table = table.rename(columns={"signal_calculated": "signal"})
    return table


def _numbers(path: Path, grid: ReaderGrid) -> dict[Well, float]:
    cells = pd.DataFrame({"value": list(grid.cells.values())})
    try:
        values = to_numbers(cells, "value")
    except InputError:
        for well, text in grid.cells.items():
            try:
                to_numbers(pd.DataFrame({"value": [text]}), "value")
            except InputError:
                sentence = f"'{path.name}': the value '{text}' of {well} (grid in line {grid.line}) is no number."
                raise InputError(sentence, "Leave the cell empty where nothing was measured.") from None
        raise
    return dict(zip(grid.cells, map(float, values), strict=True))


def _plate_of(above: Sequence[Sequence[str]]) -> str:
    """Find the plate in the lines above a grid: ``Barcode: X``, or a header with the values below."""
    told: dict[str, str] = {}
    for at, cells in enumerate(above):
        name = cells[0].rstrip(":").casefold()
        if name in _BARCODE and len(cells) > 1:
            below = above[at + 1] if name == "plate" and at + 1 < len(above) else []
            if name == "plate" and below and not cells[1].isdigit():
                for header, value in zip(cells, below, strict=False):
                    told.setdefault(header.casefold(), value)
            else:
                told.setdefault(name, cells[1])
    return next((told[name] for name in _BARCODE if told.get(name)), "")


def _from_list(path: Path, lines: Sequence[Line]) -> pd.DataFrame:
    """Read lines of plate, well and value; the plate may be left out, a header too."""
    rows = []
    for number, cells in lines:
        filled = cells[:3] if len(cells) >= 3 else ["", *cells]
        if len(filled) < 3:
            continue
        try:
            well = str(Well.parse(filled[1]))
        except ParameterError:
            if number == lines[0][0]:
                continue  # names of the columns
            raise InputError(f"Line {number} of '{path.name}' tells no well: '{filled[1]}'.", "") from None
        rows.append({"plate": filled[0], "well": well, "signal": filled[2]})
    table = pd.DataFrame(rows, columns=["plate", "well", "signal"])
    table["signal"] = to_numbers(table, "signal")
    doubled = table[table.duplicated(["plate", "well"])]
    if len(doubled):
        raise InputError(f"'{path.name}' has the well {doubled['well'].iloc[0]} twice.", "Leave one of them out.")
    return table
