"""Tables as people save them: commas or semicolons, decimal commas, any encoding, XLSX or Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vitascope.core.errors import InputError, ReaderError, describe
from vitascope.core.numbers import Mark, decimal_mark, read_number
from vitascope.io.filenames.expand import unreadable
from vitascope.io.tables.workbook import plain_text, read_workbook

_MAX_BYTES = 2**30
_DELIMITERS = ("\t", ";", ",")
_TOLD_DELIMITER = re.compile(r'"?sep=([\t;,|])"?[\r\n]', re.IGNORECASE)
_WORKBOOKS = (".xlsx", ".xlsm")
_ZIP, _OLD_EXCEL, _PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"
_MARKUP = re.compile(rb"\s*<(?:!doctype|\?xml|html|head|meta|body|table)\b", re.IGNORECASE)

Line = tuple[int, list[str]]


@dataclass(frozen=True)
class Sheet:
    """The filled cells of a table.

    Parameters
    ----------
    file : str
        Name of the file.
    name : str
        Of the sheet; empty for a CSV.
    lines : tuple of (int, list of str)
        Numbers, from 1, and cells of the lines that are not empty. Spaces around cells are gone, ``="text"`` of
        spreadsheets is the text, and a merged range has its value in each of its cells.
    merged : dict of (int, int) to str
        Line and column, from 1 and 0, of the cells that have their value from a merged range, and its name.
    """

    file: str
    name: str
    lines: tuple[Line, ...]
    merged: dict[tuple[int, int], str]

    def table(self) -> pd.DataFrame:
        """Return the lines below the first, which names the columns; see :func:`read_table`."""
        header = _header(self.file, self.lines[0][1])
        if len(self.lines) == 1:
            raise InputError(f"The table '{self.file}' has a header but no rows.", "Add a line for each well or image.")
        cells = [_row(self.file, number, row, len(header)) for number, row in self.lines[1:]]
        table = pd.DataFrame(cells, columns=header, dtype=object)
        table.attrs["lines"] = [number for number, _ in self.lines[1:]]
        table.attrs["merged"] = {header[c]: name for (_, c), name in self.merged.items() if c < len(header)}
        return table


def read_sheets(path: str | Path) -> list[Sheet]:
    """Read the filled cells of a table: the one reader that every other stands on.

    Parameters
    ----------
    path : path
        CSV, TSV, XLSX or Parquet. The delimiter is the one that most lines have; the encoding is found out.

    Returns
    -------
    list of Sheet
        The sheets that are not empty, at least one; a CSV is one sheet without a name.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty, or a formula in it has no value.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ReaderError(f"'{path.name}' is too long for a table.", "Check that it is the right file.")
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    _refuse_other(path.name, data)
    if path.suffix.lower() in _WORKBOOKS or data.startswith(_ZIP):
        sheets = [Sheet(path.name, name, _filled(rows), merged) for name, rows, merged in read_workbook(path)]
    elif data.startswith(_PARQUET):
        sheets = [Sheet(path.name, "", _filled(_read_parquet(path.name, data)), {})]
    else:
        sheets = [Sheet(path.name, "", _filled(_read_text(data)), {})]
    if not any(sheet.lines for sheet in sheets):
        raise InputError(
            f"The table '{path.name}' is empty.", "Fill it in, the names of the columns in the first line."
        )
    return [sheet for sheet in sheets if sheet.lines]


def _read_parquet(file: str, data: bytes) -> list[Line]:
    """Read a Parquet table as the text that a CSV of it would hold."""
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except (ValueError, OSError) as error:
        raise ReaderError(f"'{file}' is damaged: {describe(error)}", "Save it again.") from error
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    cells = table.astype(object).where(table.notna(), "").astype(str).to_numpy().tolist()
    return list(enumerate([list(map(str, table.columns)), *cells], start=1))


def _refuse_other(file: str, data: bytes) -> None:
    """Refuse what instruments save under the names of tables: workbooks of old Excel, and web pages."""
    what = "a workbook of Excel before 2007" if data.startswith(_OLD_EXCEL) else ""
    what = "a web page or XML" if _MARKUP.match(data.removeprefix(b"\xef\xbb\xbf")) else what
    if what:
        raise InputError(f"'{file}' is {what}, which is not read.", "Open it in Excel, and save it as XLSX or CSV.")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table as text cells; :func:`to_numbers` turns columns into numbers.

    Parameters
    ----------
    path : path
        CSV, TSV or XLSX (first sheet).

    Returns
    -------
    DataFrame of str
        One column for each name in the first line; ``attrs["lines"]`` has the number of each row's line,
        ``attrs["merged"]`` a merged range of each column that has one.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty or has a header only, if a name is missing or stands twice, or a line has too many cells.
    """
    return read_sheets(path)[0].table()


def to_numbers(table: pd.DataFrame, column: str, *, required: bool = False) -> pd.Series[float]:
    """Turn a column of text into numbers, by the rule of :func:`vitascope.core.numbers.decimal_mark`.

    Parameters
    ----------
    table : DataFrame of str
    column : str
    required : bool
        Whether every cell must hold a number; otherwise empty cells, ``NA`` and ``-`` become NaN.

    Returns
    -------
    Series of float

    Raises
    ------
    InputError
        If there is no such column, if its numbers can be read in two ways, or naming the cells that are no numbers.

    Examples
    --------
    >>> to_numbers(pd.DataFrame({"dose": ["0,5", "10", ""]}), "dose").tolist()
    [0.5, 10.0, nan]
    """
    if column not in table:
        raise InputError(f"The table has no column '{column}'.", f"It has: {', '.join(map(str, table.columns))}.")
    cells = [str(cell).strip() for cell in table[column]]
    lines = table.attrs.get("lines", ())
    if len(lines) != len(cells):  # rows were added or left out since the table was read
        lines = range(2, len(cells) + 2)
    mark = mark_of_column(cells, column, lines)
    numbers, bad = [], []
    for line, cell in zip(lines, cells, strict=True):
        number = read_number(cell, mark)
        if number is None or (required and np.isnan(number)):
            bad.append(f"'{cell}' in line {line}")
        numbers.append(np.nan if number is None else number)
    if bad:
        shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise InputError(
            f"The column '{column}' holds what is no number: {shown}.",
            "Write plain numbers, and units in the column's name.",
        )
    return pd.Series(numbers, index=table.index, name=column, dtype=float)


def mark_of_column(cells: Sequence[str], column: str, lines: Sequence[int] = ()) -> Mark:
    """Tell the decimal mark of a column, and name the column where it is not clear.

    Raises
    ------
    InputError
        If its numbers can be read in two ways.
    """
    try:
        return decimal_mark(cells, lines)
    except InputError as error:
        raise InputError(f"The column '{column}': {error.message}", error.hint) from error


def _filled(rows: Sequence[Line]) -> tuple[Line, ...]:
    stripped = ((number, [plain_text(cell) for cell in row]) for number, row in rows)
    return tuple((number, row) for number, row in stripped if any(row))


def _header(file: str, names: list[str]) -> list[str]:
    while names and not names[-1]:
        names = names[:-1]
    if not all(names):
        raise InputError(
            f"The table '{file}' has a column without a name, and is no grid with the letters A, B, C … down its side "
            "and the numbers 1, 2, 3 … along its top.",
            "Name every column in the first line, or write the plate's letters and numbers.",
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"The table '{file}' has the column '{repeated[0]}' twice.", "Name each column once.")
    return names


def _row(file: str, number: int, cells: list[str], width: int) -> list[str]:
    if any(cells[width:]):
        raise InputError(
            f"Line {number} of '{file}' has {len(cells)} cells for {width} columns.",
            "Put text that holds the delimiter in quotes.",
        )
    return (cells + [""] * width)[:width]


def _read_text(data: bytes) -> list[Line]:
    text = _decode(data)
    told = _TOLD_DELIMITER.match(text)  # a first line for Excel
    delimiter = told[1] if told else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(reader.line_num, row) for row in reader][1 if told else 0 :]
    except csv.Error as error:
        raise InputError(f"The table is broken: {describe(error)}.", "Save it again as CSV.") from error


def _decode(data: bytes) -> str:
    """Decode UTF-8 and UTF-16 with and without mark, otherwise what Windows writes in Europe."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    zeros = data[:400].count(0)
    if zeros > len(data[:400]) // 4:
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace")
    if zeros:
        raise InputError("The table is no text: it holds bytes of zero.", "Save it as CSV.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _delimiter(text: str) -> str:
    """Take the delimiter that most lines have; of those equally common a tab, a semicolon, then a comma."""
    lines = ["".join(line.split('"')[::2]) for line in re.split(r"[\r\n]+", text) if line.strip()]
    held = {mark: sum(mark in line for line in lines) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: held[mark])
