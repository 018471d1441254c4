"""Tables of points in an image: those that napari saves of a Points layer, or rows and columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.core.numbers import read_number
from vitascope.io.tables.read import mark_of_column, read_table

NAMES = (("y", "x"), ("row", "column"), ("y_px", "x_px"), ("centroid_y_px", "centroid_x_px"))


def read_points(path: Path) -> NDArray[np.float64]:
    """Read points.

    Parameters
    ----------
    path : Path
        CSV with columns ``axis-0``, ``axis-1`` … as napari saves them, of which the last two are rows and columns; or
        ``y, x``; ``row, column``; ``centroid_y_px, centroid_x_px``. Pixels from 0.

    Returns
    -------
    array, shape (N, 2)

    Raises
    ------
    InputError
        If the columns are not there, or a cell is no number.
    """
    table = read_table(path)
    table.columns = [str(column).strip().lower() for column in table.columns]
    axes = sorted(c for c in table.columns if c.startswith("axis-"))
    pairs = [tuple(axes[-2:])] if len(axes) >= 2 else [pair for pair in NAMES if set(pair) <= set(table.columns)]
    if not pairs:
        raise InputError(
            f"{path.name} has no columns of points.",
            "Save the Points layer as CSV in napari, or name the columns y and x (pixels from 0).",
        )
    lines = table.attrs["lines"]
    marks = [mark_of_column([str(cell) for cell in table[c]], c, lines) for c in pairs[0]]
    found = []
    for number, cells in enumerate(zip(*(table[c] for c in pairs[0]), strict=True), 1):
        values = [read_number(str(cell).strip(), mark) for cell, mark in zip(cells, marks, strict=True)]
        if any(v is None or not np.isfinite(v) for v in values):
            raise InputError(f"Point {number} of {path.name} has no row and column.", "Write plain numbers.")
        found.append(values)
    return np.array(found, float).reshape(-1, 2)
