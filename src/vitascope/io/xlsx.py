"""Write a table as an Excel file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vitascope.core.errors import MissingPackageError
from vitascope.io.atomic import whole_file
from vitascope.io.tables.csv_append import cell


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
    sheet.append([str(name) for name in table.columns])
    for row in table.itertuples(index=False):
        sheet.append([None if (value := cell(one)) == "" else value for one in row])
    sheet.freeze_panes = "A2"
    with whole_file(path) as file:
        book.save(file)
