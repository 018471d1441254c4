"""Results as they are given away: rows under the columns of ``results.csv``, tables, and pictures by name."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from vitascope.core.errors import ParameterError
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, RESULTS
from vitascope.io.tables.csv_append import uncell
from vitascope.serve.problems import RefusedError

TEXT = {*FIRST_COLUMNS, *LAST_COLUMNS} - {"interval_level", "time"}
"""Columns whose cells stay text, whatever they look like."""

KINDS = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".tif": "image/tiff",
}
FORMATS = {"csv": "text/csv", "parquet": KINDS[".parquet"], "json": "application/json"}

NOT_GIVEN = (".sqlite", ".lock", "-journal")
"""Ends of names that are a run's own."""


def read_rows(folder: Path, table: str = RESULTS) -> list[dict[str, Any]]:
    """Read a table as a list of rows: numbers as numbers, exactly as written; empty cells as None."""
    with (folder / table).open(newline="", encoding="utf-8", errors="replace") as file:
        return [{name: _value(name, cell or "") for name, cell in row.items()} for row in csv.DictReader(file)]


def _value(column: str, cell: str) -> Any:
    if column in TEXT:
        return str(uncell(cell))
    if cell == "":
        return None
    for kind in (int, float):
        try:
            found = kind(cell)
        except ValueError:
            continue
        return found if found - found == 0 else None  # no nan and no infinity in JSON
    return {"True": True, "False": False}.get(cell, str(uncell(cell)))


def parquet_bytes(folder: Path, table: str = RESULTS) -> bytes:
    """Return the rows as Parquet: the run's own file where there is one."""
    own = folder / Path(table).with_suffix(".parquet")
    if own.is_file():
        return own.read_bytes()
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = read_rows(folder, table)
    out = io.BytesIO()
    columns = {name: _same_kind([row[name] for row in rows]) for name in (rows[0] if rows else {})}
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _same_kind(values: list[Any]) -> list[Any]:
    """Let a column hold one kind of value: numbers as floats where one is, text where anything else is mixed."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return values if len(kinds) < 2 else [None if value is None else str(value) for value in values]


def list_files(folder: Path) -> list[dict[str, Any]]:
    """List the files of a result: name, size in bytes, kind."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and _is_given(name):
            found.append({"name": name, "bytes": path.stat().st_size, "type": media_type(path)})
    return found


def _is_given(name: str) -> bool:
    hidden = any(part.startswith(".") and part not in (".zattrs", ".zgroup", ".zarray") for part in name.split("/"))
    return not hidden and not name.endswith(NOT_GIVEN)


def media_type(path: Path) -> str:
    """Return the media type of a file of a result."""
    return KINDS.get(path.suffix.lower(), "application/octet-stream")


def find_file(folder: Path, name: str, *, or_picture: bool = False) -> Path:
    """Return a file of a result by its name; with ``or_picture`` also the folder of one picture of a plate (OME-Zarr).

    Raises
    ------
    ParameterError
        If there is none; what lies elsewhere is as if it were not there.
    """
    missing = ParameterError(f"This result has no file '{name[:200]}'.", "Its list of files names those there are.")
    if "\0" in name or ".." in name.split("/") or not _is_given(name):
        raise missing
    path = (folder / name).resolve()
    there = path.is_file() or (or_picture and (path / "zarr.json").is_file())
    if not path.is_relative_to(folder.resolve()) or not there:
        raise missing
    return path


def wanted_format(accept: str, asked: str | None) -> str:
    """Choose between JSON, CSV and Parquet.

    Raises
    ------
    RefusedError
        If another one is asked for.

    Examples
    --------
    >>> wanted_format("application/json", None), wanted_format("text/csv;q=0.9", None), wanted_format("*/*", "parquet")
    ('json', 'csv', 'parquet')
    >>> wanted_format("text/csv;q=0.1, application/json;q=0.9", None)
    'json'
    """
    if asked is not None:
        if asked not in FORMATS:
            raise RefusedError(422, f"'{asked[:20]}' is no format.", "Choose json, csv or parquet.")
        return asked
    kinds = _by_liking(accept)
    if accept.strip(" ,") and not kinds:
        raise RefusedError(406, "Nothing is accepted as an answer.", f"Accept {', '.join(FORMATS.values())}.")
    for kind in kinds:
        for name, media in FORMATS.items():
            if kind == media:
                return name
    if not kinds or {"*/*", "application/*"} & set(kinds):
        return "json"
    if "text/*" in kinds:
        return "csv"
    raise RefusedError(406, "The result comes as JSON, CSV or Parquet.", f"Accept {', '.join(FORMATS.values())}.")


def _by_liking(accept: str) -> list[str]:
    """List the media types of an Accept header, those with the greatest ``q`` first (RFC 9110, section 12.5.1)."""
    found = []
    for part in accept.casefold().split(","):
        kind, *told = (piece.strip() for piece in part.split(";"))
        q = next((piece[2:] for piece in told if piece.startswith("q=")), "1")
        liking = float(q) if re.fullmatch(r"[01](\.[0-9]{0,3})?", q) else 0.0
        if kind and liking:
            found.append((liking, kind))
    return [kind for _, kind in sorted(found, key=lambda pair: -pair[0])]
