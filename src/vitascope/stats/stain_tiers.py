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
APART = ("objects", "label", "centroid_y_px", "centroid_x_px", "area_px", "why")
"""Columns of the list of predicted objects where the real stain is empty."""

NO_STAIN = "no stain: dead, or wrong"
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
    apart : DataFrame
        Predicted objects where the real stain is empty, which F1 ``…_with_stain`` leaves out: see :data:`APART`.
    nucleus_px : float, px
    pictures : dict of target to tuple of array, shape (Y, X)
        Real, on the scale of training, and predicted.
    rescaled : tuple of str
        Targets predicted in grey values: they were brought to [0, 1], so their amounts are no prediction.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    apart: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(APART)))
    nucleus_px: float = TYPICAL_PX
    pictures: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=dict)
    rescaled: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """Return ``tier, quantity, target, value, low, high``; ends are empty where there is no interval."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def set_apart(self, objects: str, shapes: pd.DataFrame) -> None:
        """List predicted objects that have no real stain; ``shapes`` has a row for each."""
        found = shapes[list(APART[1:-1])].assign(objects=objects, why=NO_STAIN)
        if len(found):
            known = [self.apart] if len(self.apart) else []
            self.apart = pd.concat([*known, found[list(APART)]], ignore_index=True)

    def add(self, tier: str, quantity: str, target: str, value: float, interval: Interval | None = None) -> None:
        """Put a number down."""
        low, high = (interval.low, interval.high) if interval is not None else (math.nan, math.nan)
        self.rows.append(dict(zip(COLUMNS, (tier, quantity, target, value, low, high), strict=True)))
