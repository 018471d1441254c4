"""A CSV table that grows row by row and is whole after every one of them.

Rows are appended with one write each; a write that fails is cut off again, so that a full disk leaves the table as it
was. Only where a row brings columns the table does not have is the file written anew (temporary name, then rename):
that happens a few times in a run, not for every image, and the time stays proportional to the number of rows.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.errors import MissingPackageError
from vitascope.io.atomic import TEMPORARY, atomic_write, output_error

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-\d+([.,]\d+)?([eE][-+]?\d+)?")


def any_text() -> AbstractContextManager[None]:
    """Let tables hold names that are no text (bytes of a file system): not in Arrow's strings, but in Python's."""
    return pd.option_context("mode.string_storage", "python")


class CsvAppender:
    """A CSV file under construction.

    Parameters
    ----------
    path : Path
        What stood there before is replaced at the first row.
    first, last : sequence of str
        Columns that every table has, before and after those the rows bring.
    """

    def __init__(self, path: Path, first: Sequence[str] = (), last: Sequence[str] = ()) -> None:
        self.path = path
        self.first, self.last = tuple(first), tuple(last)
        self.middle: list[str] = []
        self._size = 0
        self._size_before = 0

    @property
    def columns(self) -> list[str]:
        """All columns so far, in order."""
        return [*self.first, *self.middle, *self.last]

    def append(self, rows: pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        """Append rows; cells of columns they lack stay empty.

        Parameters
        ----------
        rows : DataFrame or sequence of mapping

        Raises
        ------
        OutputError
            If the rows cannot be written; the table is then as before.
        """
        names = rows.columns if isinstance(rows, pd.DataFrame) else dict.fromkeys(name for row in rows for name in row)
        new = [str(name) for name in names if str(name) not in self.columns]
        if new or not self._size:
            self._write_anew(new)
        if isinstance(rows, pd.DataFrame):
            text = _as_text(rows.reindex(columns=self.columns)).encode("utf-8", "surrogateescape")
        else:
            text = b"".join(_line([str(cell(row.get(name))) for name in self.columns]) for row in rows)
        self._append(text)

    def roll_back(self) -> None:
        """Cut off the rows that the last :meth:`append` added."""
        if self._size > self._size_before:
            os.truncate(self.path, self._size_before)
            self._size = self._size_before

    def _append(self, text: bytes) -> None:
        try:
            with self.path.open("r+b", buffering=0) as file:
                file.seek(self._size)
                try:
                    written = 0
                    while written < len(text):
                        written += file.write(text[written:])
                except OSError:
                    file.truncate(self._size)
                    raise
        except OSError as error:
            raise output_error(self.path, error) from error
        self._size_before, self._size = self._size, self._size + len(text)

    def _write_anew(self, new: Sequence[str]) -> None:
        """Write the header and, with the new columns empty, the rows so far."""
        columns = [*self.first, *self.middle, *new, *self.last]
        with atomic_write(self.path) as file:
            file.write(_line(columns))
            if self._size:
                with self.path.open(newline="", encoding="utf-8", errors="surrogateescape") as old:
                    for row in csv.DictReader(old):
                        file.write(_line([row.get(column) or "" for column in columns]))
            size = file.tell()
        self.middle += new
        self._size = self._size_before = size


def write_csv(
    path: Path,
    pieces: Iterable[pd.DataFrame | list[dict[str, Any]]],
    first: Sequence[str] = (),
    last: Sequence[str] = (),
) -> None:
    """Write a table piece by piece, and give it its name when it is whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    growing = CsvAppender(path.with_name(f"{TEMPORARY}{path.name}"), first, last)
    try:
        for piece in pieces:
            growing.append(piece)
        if growing.path.exists():
            with growing.path.open("r+b") as file:
                os.fsync(file.fileno())
            growing.path.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        growing.path.unlink(missing_ok=True)


def _line(cells: Sequence[str]) -> bytes:
    quoted = ['"' + c.replace('"', '""') + '"' if any(mark in c for mark in ',"\r\n') else c for c in cells]
    return (",".join(quoted) + "\n").encode("utf-8", "surrogateescape")


def _as_text(rows: pd.DataFrame) -> str:
    safe = rows.copy()
    for position in range(rows.shape[1]):
        values = rows.iloc[:, position]
        if values.dtype.kind in "iub":
            continue
        if values.dtype.kind == "f":
            safe.isetitem(position, values.where(np.isfinite(values)).to_numpy())
        else:
            safe.isetitem(position, np.array([cell(value) for value in values], dtype=object))
    return str(safe.to_csv(index=False, header=False, lineterminator="\n"))


def cell(value: Any) -> Any:
    """Turn a value into what a cell may hold: empty where there is none, text that no program takes for a formula.

    Examples
    --------
    >>> cell("=1+1"), cell("-1"), cell(-0.5), cell(float("nan")), cell("A01"), cell("=")
    ("'=1+1", '-1', -0.5, '', 'A01', '=')
    """
    if isinstance(value, str):
        # one mark alone is none
        formula = len(value) > 1 and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value)
        return "'" + value if formula else value
    if value is None or value is pd.NA or (isinstance(value, (float, np.floating)) and not math.isfinite(value)):
        return ""
    return value


def uncell(text: str) -> str:
    """Undo what :func:`cell` did to text."""
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA else text


def write_xlsx(path: Path, table: pd.DataFrame) -> None:
    """Write a table to the first sheet: numbers as numbers, text never as a formula, empty cells where there is none.

    Raises
    ------
    MissingPackageError
        If openpyxl is not installed.
    OutputError
        If the file cannot be written.
    """
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingPackageError(
            "Excel files need the package openpyxl, which is not installed.",
            "Save as CSV, or run: pip install openpyxl",
        ) from error
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append([cell(str(name)) for name in table.columns])
    for row in table.itertuples(index=False):
        sheet.append([None if (value := cell(one)) == "" else value for one in row])
    sheet.freeze_panes = "A2"
    with atomic_write(path) as file:
        book.save(file)
