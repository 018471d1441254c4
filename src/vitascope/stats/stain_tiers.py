"""The table of a comparison of predicted with real stains: pixels, masks, and the numbers of single cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.stats.bootstrap import Interval

PIXELS, MASKS, CELLS = "pixels", "masks", "single-cell"
COLUMNS = ("tier", "quantity", "target", "value", "low", "high")
TYPICAL_PX = 30.0
"""Nucleus diameter to begin with where none is given: the thesis's."""


@dataclass
class Tiers:
    """What was compared.

    Parameters
    ----------
    rows : list of dict
        Of the table.
    cells : DataFrame
        One row for each cell of the real stains: ``label``, then ``real_…`` and ``predicted_…``.
    nucleus_px : float, px
    pictures : dict of target to tuple of array, shape (Y, X)
        Real, on the scale of training, and predicted.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    nucleus_px: float = TYPICAL_PX
    pictures: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """Return ``tier, quantity, target, value, low, high``; ends are empty where there is no interval."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def add(self, tier: str, quantity: str, target: str, value: float, interval: Interval | None = None) -> None:
        """Put a number down."""
        low, high = (interval.low, interval.high) if interval is not None else (math.nan, math.nan)
        self.rows.append(dict(zip(COLUMNS, (tier, quantity, target, value, low, high), strict=True)))
