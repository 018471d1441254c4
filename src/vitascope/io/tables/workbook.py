"""Cells of XLSX workbooks: values as text, merged ranges filled, formulas by the value that was saved with them."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from vitascope.core.errors import InputError, ReaderError
from vitascope.core.numbers import number_text
from vitascope.io.filenames.expand import unreadable

MOST_UNPACKED_BYTES = 64 << 20
"""Of all parts of a workbook together: a million cells, which take some GiB of memory."""

MOST_CELLS = 4_000_000
"""Of a sheet, from the first to the last that is filled; one cell far out makes a sheet of billions."""

_EXCEL_TEXT = re.compile(r'=\s*"((?:[^"]|"")*)"')

Rows = list[tuple[int, list[str]]]
Merged = dict[tuple[int, int], str]


def read_workbook(path: Path) -> list[tuple[str, Rows, Merged]]:
    """Read the sheets of a workbook.

    Returns
    -------
    list of (str, list of (int, list of str), dict)
        Name of the sheet; number, from 1, and cells of each line; line and column of each cell that has its value from
        a merged range, and the range's name. A range that is alone in its lines, as titles are, is left as it is.

    Raises
    ------
    ReaderError
        If it cannot be read, or openpyxl is not installed.
    InputError
        If a formula has no value: programs that write formulas often compute none.
    """
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise ReaderError(
            f"'{path.name}' is an Excel file, and openpyxl is not installed.",
            "Save it as CSV, or run: pip install openpyxl",
        ) from error
    try:
        _check_unpacked(path)
        data = path.read_bytes()  # a name such as .csv or .xls is refused by openpyxl, whatever the file is
        values = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(data), data_only=False)
        found = []
        for sheet in values.worksheets:
            if sheet.max_row * sheet.max_column > MOST_CELLS:
                raise _too_large(
                    path, f"its sheet '{sheet.title}' reaches to cell {sheet.dimensions.rpartition(':')[2]}"
                )
            cells = _texts(path, sheet, formulas[sheet.title])
            merged = _fill(cells, sheet.merged_cells.ranges)
            found.append((str(sheet.title), list(enumerate(cells, start=1)), merged))
        values.close()
        formulas.close()
    except (InputError, ReaderError):
        raise
    except (OSError, MemoryError) as error:
        raise unreadable(path, error) from error
    except Exception as error:  # openpyxl's own words are for programmers
        raise ReaderError(
            f"'{path.name}' cannot be read: it is no sound Excel workbook.",
            "Open it in Excel and save it again, or save it as CSV.",
        ) from error
    return found


def _check_unpacked(path: Path) -> None:
    """Refuse a workbook whose parts would fill the memory; what they declare is all that is unpacked of them."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > MOST_UNPACKED_BYTES:
        raise _too_large(path, f"it unpacks to {unpacked / 2**20:,.0f} MiB")


def _too_large(path: Path, why: str) -> ReaderError:
    return ReaderError(
        f"'{path.name}' is too large for a table: {why}.", "Save the lines that are needed as CSV.", flag="too_large"
    )


def _texts(path: Path, sheet: Any, formulas: Any) -> list[list[str]]:
    """Return the cells as text; of text in a formula, ``="text"``, the formula itself.

    A formula without a value is empty as Excel saves it (``=IF(A1="","",A1)``); where none of a sheet has one, it was
    written by a program that computes none.
    """
    rows, empty, computed = [], [], False
    for shown, written in zip(sheet.iter_rows(), formulas.iter_rows(), strict=True):
        row = []
        for cell, source in zip(shown, written, strict=True):
            text = _cell_text(cell.value)
            if source.data_type == "f":
                formula = str(getattr(source.value, "text", source.value)).strip()
                computed = computed or bool(text)
                if not text and _EXCEL_TEXT.fullmatch(formula):
                    text = formula
                elif not text:
                    empty.append((cell.coordinate, formula))
            row.append(text)
        rows.append(row)
    if empty and not computed:
        raise InputError(
            f"The cell {empty[0][0]} of '{path.name}' holds the formula '{empty[0][1][:60]}' without its value.",
            "Open the table in Excel or LibreOffice and save it again.",
        )
    return rows


def _fill(cells: list[list[str]], ranges: Any) -> Merged:
    """Put the value of each merged range into all of its cells."""
    filled: Merged = {}
    for one in sorted(ranges, key=str):
        rows = range(one.min_row - 1, one.max_row)
        columns = range(one.min_col - 1, one.max_col)
        value = cells[rows[0]][columns[0]].strip() if rows[0] < len(cells) else ""
        alone = (
            not any(text.strip() for r in rows for c, text in enumerate(cells[r]) if c not in columns)
            if value
            else True
        )
        if alone:
            continue
        for r in rows:
            for c in columns:
                cells[r][c] = value
                filled[r + 1, c] = str(one)
    return filled


def plain_text(cell: str) -> str:
    """Strip a cell, and take text out of the formula that instruments write to keep a spreadsheet from changing it.

    Examples
    --------
    >>> plain_text('="BC00017"'), plain_text('=""'), plain_text(" 5 ")
    ('BC00017', '', '5')
    """
    text = cell.strip().lstrip("\ufeff")
    match = _EXCEL_TEXT.fullmatch(text)
    return match[1].replace('""', '"').strip() if match else text


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    return number_text(value) if isinstance(value, float) else str(value)
