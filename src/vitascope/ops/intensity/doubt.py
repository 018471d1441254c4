"""Doubt of a prediction, pixel by pixel: how far a network disagrees with itself about mirrored pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import InputError

BINS = 10


def flip_disagreement(predictions: NDArray[Any]) -> NDArray[np.float32]:
    """Return how far predictions of one picture, turned over and back again, lie apart.

    Parameters
    ----------
    predictions : array, shape (M, ...), M >= 2
        One for each way the picture was turned, brought back to its own pixels.

    Returns
    -------
    array, shape (...), float32, >= 0, in the prediction's unit
        Standard deviation over M.

    Raises
    ------
    InputError
        If there are fewer than two.

    Examples
    --------
    >>> flip_disagreement(np.array([[0.25, 0.5], [0.75, 0.5]])).tolist()
    [0.25, 0.0]
    """
    if len(predictions) < 2:
        raise InputError("One prediction cannot disagree with itself.", "Give two or more.")
    return np.asarray(np.std(np.asarray(predictions, np.float64), axis=0), np.float32)


def error_by_doubt(truth: NDArray[Any], predicted: NDArray[Any], doubt: NDArray[Any], bins: int = BINS) -> pd.DataFrame:
    """Tell how the error of a prediction grows with its doubt.

    Parameters
    ----------
    truth, predicted, doubt : array, same shape
        Pixels that are not finite in all three are left out.
    bins : int, >= 2
        As many pixels in each, from the least doubt to the greatest.

    Returns
    -------
    DataFrame, one row for each bin
        ``doubt`` and ``error``: the mean doubt and the mean absolute error; ``pixels``. Fewer rows where fewer pixels.
    """
    parts = [np.asarray(p, np.float64).ravel() for p in (truth, predicted, doubt)]
    both = np.isfinite(parts[0]) & np.isfinite(parts[1]) & np.isfinite(parts[2])
    real, found, unsure = (p[both] for p in parts)
    order = np.argsort(unsure, kind="stable")
    rows = [
        {"doubt": unsure[part].mean(), "error": np.abs(real - found)[part].mean(), "pixels": len(part)}
        for part in np.array_split(order, bins)
        if len(part)
    ]
    return pd.DataFrame(rows, columns=["doubt", "error", "pixels"])
