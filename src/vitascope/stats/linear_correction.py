"""A line that brings predicted intensities to those of the real stain, fitted on some crops and tried on others.

Predictions rank cells better than they measure them (Pankova 2022, seed 004, section 3.2.4): a network that is not sure
answers towards the mean, and bright cells come out too dim.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from vitascope.core.errors import InputError
from vitascope.stats.agreement import concordance

LEAST_CELLS = 3
"""On each side: through fewer no line is worth drawing."""

COLUMNS = (
    "target",
    "slope",
    "intercept",
    "fitted_on",
    "tried_on",
    "concordance_before",
    "concordance_after",
)


class Line(BaseModel):
    """Corrected = slope x predicted + intercept, on the scale of the prediction."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    slope: float
    intercept: float


def fit_corrections(cells: pd.DataFrame, columns: Mapping[str, str], square_px: float) -> pd.DataFrame:
    """Fit a line for each stain on every other crop of a field, and try it on the rest.

    Parameters
    ----------
    cells : DataFrame
        One row for each cell: ``centroid_y_px``, ``centroid_x_px``, ``real_mean_…`` and ``predicted_mean_…``.
    columns : mapping of target to str
        How its columns end.
    square_px : float, > 0, px
        Side of the crops, which are taken like the fields of a chessboard.

    Returns
    -------
    DataFrame, one row for each stain
        ``target, slope, intercept, fitted_on, tried_on`` (cells), ``concordance_before``, ``concordance_after`` on the
        cells tried. Empty numbers where either side has fewer than three cells, or the prediction does not vary.
    """
    rows = []
    place = (np.floor(cells["centroid_y_px"] / square_px) + np.floor(cells["centroid_x_px"] / square_px)).to_numpy()
    fitted = place % 2 == 0
    for target, ending in columns.items():
        real, predicted = (cells[f"{side}_mean_{ending}"].to_numpy(float) for side in ("real", "predicted"))
        known = np.isfinite(real) & np.isfinite(predicted)
        mine, rest = known & fitted, known & ~fitted
        slope, intercept = fit_line(real[mine], predicted[mine])
        tried = int(rest.sum()) >= LEAST_CELLS and math.isfinite(slope)
        rows.append(
            (
                target,
                slope,
                intercept,
                int(mine.sum()),
                int(rest.sum()),
                concordance(real[rest], predicted[rest]) if tried else math.nan,
                concordance(real[rest], slope * predicted[rest] + intercept) if tried else math.nan,
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def fit_line(real: NDArray[np.float64], predicted: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of least squares; NaN with fewer than three pairs or where nothing varies."""
    if len(real) < LEAST_CELLS or np.ptp(predicted) == 0:
        return math.nan, math.nan
    centred = predicted - predicted.mean()
    slope = float(centred @ (real - real.mean()) / (centred @ centred))
    return slope, float(real.mean() - slope * predicted.mean())


def correction_json(table: pd.DataFrame) -> dict[str, Any]:
    """Return what a file of corrections holds: of each stain that has a line its numbers."""
    known = table[np.isfinite(table["slope"].to_numpy(float))]
    return {str(row["target"]): {k: v for k, v in row.items() if k != "target"} for row in known.to_dict("records")}


def parse_corrections(text: str, source: str) -> dict[str, Line]:
    """Read corrections.

    Parameters
    ----------
    text : str
        As :func:`correction_json` gives.
    source : str
        What the file is called.

    Raises
    ------
    InputError
        If it is no such file.
    """
    try:
        tree = json.loads(text)
        return {str(name): Line.model_validate(one) for name, one in tree.items()}
    except (ValueError, AttributeError, ValidationError) as error:
        raise InputError(
            f"{source} holds no corrections of stains.",
            "Make one: vitascope compare-stain … --fit-correction FILE.json.",
        ) from error
