"""Measured values of plate readers, as their programs export them, and screens of cellHTS2.

Read are EnVision (with and without labels), Kaleido, Gen5, MARS / CLARIOstar, SoftMax Pro, SkanIt, Magellan, i-control
and Spark, Analyst HT, and any grid or list by well.

References
----------
cellHTS2 (Boutros et al., Genome Biology 7:R66, 2006): plate list, plate configuration and screen log files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitascope.core.errors import IncompleteError, InputError
from vitascope.core.well import Well
from vitascope.core.well_role import read_role
from vitascope.io.tables.cellhts import plateconf_rows
from vitascope.io.tables.export_grids import ExportGrid, export_grids
from vitascope.io.tables.export_values import from_grids, from_list
from vitascope.io.tables.read import Line, read_sheets, read_table
from vitascope.io.tables.well_list import find_list, find_series, names_wells


def read_reader_export(path: str | Path) -> pd.DataFrame:
    """Read the values that a plate reader measured.

    Parameters
    ----------
    path : path
        A plate-shaped export, or a list by well with or without a header (plate, well, value).

    Returns
    -------
    DataFrame
        One row for each plate and well: ``plate`` (barcode or identifier; where only numbers tell plates apart, these;
        empty for a single one), ``well``, ``signal`` in the reader's own counts, and ``signal_calculated`` where the
        reader's program has corrected it. Of several kinds of value each has its column, ``signal`` and its name in the
        file. Text by well (layouts) stays text. ``attrs["no_number"]`` has a ``NoNumber`` for each word in place of a
        number, ``attrs["notes"]`` sentences on what was left out, ``attrs["measured"]`` the columns of numbers. Several
        plates keep the order of the file.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it holds no values by well; naming the line, if a value belongs to no well or can be read in two ways.
    """
    path = Path(path)
    sheets = read_sheets(path)
    grids = [] if names_wells(sheets[0].lines[0][1]) else export_grids(sheets)
    measured = any(not one.layout for one in grids)
    if not measured and not any(find_list(sheet) or find_series(sheet.lines) for sheet in sheets):
        _refuse_words(path.name, grids)
    table = from_grids(path.name, grids, sheets) if measured else from_list(path.name, sheets)
    columns = [column for column in table.attrs["measured"] if table[column].notna().any()]
    if not columns and not table.attrs["no_number"]:
        raise InputError(
            f"'{path.name}' holds no numbers by well.",
            "Export the plate as a grid, or as plate, well, value; write numbers without their unit.",
        )
    return table


def _refuse_words(file: str, grids: Sequence[ExportGrid]) -> None:
    """Refuse an export in whose grids there are words only, such as ``12%`` and ``5 nM``."""
    filled = ((well, text, one) for one in grids for well, text in one.grid.cells.items() if text)
    for well, text, one in filled:
        raise InputError(
            f"The grid of '{file}' holds no numbers: '{text}' of {well} (line {one.line_of(well)}) is a word.",
            "Write plain numbers, their unit in the name of the grid.",
        )


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
    kinds = {tuple(part.attrs["measured"]) for part in parts}
    if any("signal" not in kind for kind in kinds):
        raise InputError(
            f"The files of '{path.name}' hold several kinds of value: {', '.join(sorted(set().union(*kinds)))}.",
            "Export one kind of value for each plate.",
        )
    told = {key: [one for part in parts for one in part.attrs[key]] for key in ("no_number", "notes")}
    for part in parts:
        part.attrs = {}
    screen = pd.concat(parts, ignore_index=True)
    screen.attrs.update(told, missing=missing, measured=sorted(set().union(*kinds)))
    conf = _beside(path, "plateconf.txt")
    if conf is not None:
        screen["role"] = _roles(screen, conf)
    screen["excluded"] = _excluded(screen, _beside(path, "screenlog.txt"))
    first = ["plate", "plate_number", "replicate", "well", "signal"]
    return screen[[*first, *(column for column in screen.columns if column not in first)]]


def _beside(path: Path, name: str) -> Path | None:
    return next((one for one in path.parent.iterdir() if one.name.casefold() == name), None)


def _roles(screen: pd.DataFrame, conf: Path) -> list[str]:
    rows, _ = plateconf_rows(read_sheets(conf)[0].lines)
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
