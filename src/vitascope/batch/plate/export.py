"""Write a table in the format that its name asks for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vitascope.batch.plate.tables import write_parquet
from vitascope.core.errors import ParameterError
from vitascope.io.tables.csv_append import write_csv, write_xlsx


def export_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, XLSX or Parquet, whole or not at all.

    Parameters
    ----------
    table : DataFrame
    path : Path
        Its ending is the format.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        If the ending is none of ``.csv``, ``.xlsx`` and ``.parquet``.
    MissingPackageError
        If the package for it is missing.
    OutputError
        If it cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        write_csv(path, [table])
    elif kind == ".xlsx":
        write_xlsx(path, table)
    elif kind == ".parquet":
        write_parquet(path, [table])
    else:
        raise ParameterError(f"'{path.name}' names no format.", "End it in .csv, .xlsx or .parquet.")
    return path
