"""Tables as people save them: commas or semicolons, decimal commas, any encoding, or XLSX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.errors import InputError, ReaderError
from vitascope.io.filenames.expand import unreadable

_MISSING = ("", "na", "n/a", "nan", "none", "null", "-", "–")
_MAX_BYTES = 2**30
_THOUSANDS = re.compile(r"\A[1-9]\d{0,2}(,\d{3})+\Z")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table as text cells; :func:`to_numbers` turns columns into numbers.

    Parameters
    ----------
    path : path
        CSV, TSV or XLSX (first sheet). Delimiter and encoding are found out; spaces around cells and empty lines are
        dropped.

    Returns
    -------
    DataFrame of str
        One column for each name in the first line.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty or has a header only, if a name is missing or stands twice, or a line has too many cells.
    """
    path = Path(path)
    filled = next(iter(read_sheets(path, first_only=True).values()))
    header = _header(path, filled[0][1])
    if len(filled) == 1:
        raise InputError(f"The table '{path.name}' has a header but no rows.", "Add a line for each well or image.")
    cells = [_row(path, number, row, len(header)) for number, row in filled[1:]]
    table = pd.DataFrame(cells, columns=header, dtype=object)
    table.attrs["lines"] = [number for number, _ in filled[1:]]
    return table


Line = tuple[int, list[str]]


def read_sheets(path: str | Path, *, first_only: bool = False) -> dict[str, list[Line]]:
    """Read the filled lines of a table, cell by cell, for layouts without a header.

    Parameters
    ----------
    path : path
        CSV, TSV or XLSX.
    first_only : bool
        Whether the delimiter is that of the first line, and only the first sheet is read; otherwise the delimiter is
        the one that most lines have.

    Returns
    -------
    dict of list of (int, list of str)
        Number of the line, from 1, and its cells, by the name of the sheet; a CSV is one sheet without a name.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ReaderError(f"'{path.name}' is too long for a table.", "Check that it is the right file.")
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            sheets = _read_xlsx(path, first_only)
        else:
            sheets = {"": _read_text(path.read_bytes(), first_only)}
    except OSError as error:
        raise unreadable(path, error) from error
    found = {}
    for name, rows in sheets.items():
        stripped = [(number, [cell.strip() for cell in row]) for number, row in rows]
        if filled := [(number, row) for number, row in stripped if any(row)]:
            found[name] = filled
    if not found:
        raise InputError(
            f"The table '{path.name}' is empty.", "Fill it in, the names of the columns in the first line."
        )
    return found


def read_cells(path: Path) -> tuple[list[tuple[int, list[str]]], tuple[str, ...]]:
    """Read the cells of a table as they stand, with the number of each line, and the merged ranges of a sheet.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is no text.
    """
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        (lines,) = _read_xlsx(path, True).values()
        return lines, _merged(path)
    try:
        return _read_text(path.read_bytes(), True), ()
    except OSError as error:
        raise unreadable(path, error) from error


def to_numbers(table: pd.DataFrame, column: str, *, required: bool = False) -> pd.Series[float]:
    """Turn a column of text into numbers; a decimal comma counts where no cell of the column has a point.

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
        If there is no such column, or naming the cells that are no numbers.

    Examples
    --------
    >>> to_numbers(pd.DataFrame({"dose": ["0,5", "10", ""]}), "dose").tolist()
    [0.5, 10.0, nan]
    """
    if column not in table:
        raise InputError(f"The table has no column '{column}'.", f"It has: {', '.join(map(str, table.columns))}.")
    cells = [str(cell).strip() for cell in table[column]]
    decimal_comma = not any("." in cell for cell in cells)
    lines = table.attrs.get("lines", ())
    if len(lines) != len(cells):  # rows were added or left out since the table was read
        lines = range(2, len(cells) + 2)
    numbers, bad = [], []
    for line, cell in zip(lines, cells, strict=True):
        number = parse_number(cell, decimal_comma)
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


def decimal_comma(cells: Sequence[str]) -> bool:
    """Tell whether the comma is the decimal mark of a column: it is where no cell has a point.

    Raises
    ------
    InputError
        If every comma may as well stand before thousands, as in ``1,234``.

    Examples
    --------
    >>> decimal_comma(["0,5", "12"]), decimal_comma(["0.5", "1,234.5"])
    (True, False)
    """
    if any("." in cell for cell in cells):
        return False
    with_comma = [cell.strip() for cell in cells if "," in cell]
    if with_comma and all(_THOUSANDS.match(cell) for cell in with_comma):
        raise InputError(
            f"'{with_comma[0]}' may be a number with three decimals or with a mark for thousands.",
            "Save the table without marks for thousands, or with a decimal point.",
        )
    return True


def parse_number(cell: str, decimal_comma: bool) -> float | None:
    """Read one cell: a number, NaN for an empty one or ``NA``, None for what is no number.

    Examples
    --------
    >>> parse_number("0,5", True), parse_number("<LOD", False), parse_number("1e5", False)
    (0.5, None, 100000.0)
    """
    if cell.casefold() in _MISSING:
        return float("nan")
    text = cell.replace(",", ".") if decimal_comma and cell.count(",") == 1 else cell
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        return None
    return number if number is not None and np.isfinite(number) else None


def _header(path: Path, names: list[str]) -> list[str]:
    while names and not names[-1]:
        names = names[:-1]
    if not all(names):
        raise InputError(
            f"The table '{path.name}' has a column without a name.", "Name every column in the first line."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"The table '{path.name}' has the column '{repeated[0]}' twice.", "Name each column once.")
    return names


def _row(path: Path, number: int, cells: list[str], width: int) -> list[str]:
    if any(cells[width:]):
        raise InputError(
            f"Line {number} of '{path.name}' has {len(cells)} cells for {width} columns.",
            "Put text that holds the delimiter in quotes.",
        )
    return (cells + [""] * width)[:width]


def _read_text(data: bytes, first_only: bool) -> list[Line]:
    text = _decode(data)
    delimiter = _delimiter(text) if first_only else _usual_delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"The table is broken: {error}.", "Save it again as CSV.") from error


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
    """Take the delimiter of the first line: a tab, a semicolon, or else a comma."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(first.split('"')[::2])
    return next((mark for mark in ("\t", ";") if mark in outside), ",")


def _usual_delimiter(text: str) -> str:
    """Take the first of tab, semicolon and comma that a third of the lines hold."""
    lines = [line for line in text.splitlines() if line.strip()]
    held = {mark: sum(mark in "".join(line.split('"')[::2]) for line in lines) for mark in ("\t", ";")}
    return next((mark for mark, number in held.items() if 3 * number > len(lines)), ",")


def _read_xlsx(path: Path, first_only: bool) -> dict[str, list[Line]]:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise ReaderError(
            f"'{path.name}' is an Excel file, and openpyxl is not installed.",
            "Save it as CSV, or run: pip install openpyxl",
        ) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = {
            str(sheet.title): [
                (number, [_cell_text(value) for value in row])
                for number, row in enumerate(sheet.iter_rows(values_only=True), start=1)
            ]
            for sheet in book.worksheets[: 1 if first_only else None]
        }
        book.close()
    except Exception as error:
        raise unreadable(path, error) from error
    return sheets


def _merged(path: Path) -> tuple[str, ...]:
    """Return the merged ranges of the first sheet, such as ``B2:C3``."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, data_only=True)
        found = tuple(sorted(str(r) for r in book.worksheets[0].merged_cells.ranges))
        book.close()
    except Exception as error:
        raise unreadable(path, error) from error
    return found


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
