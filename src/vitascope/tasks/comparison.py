"""What comes out when two models are measured on the same data."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from vitascope.core.training_params import Preview


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on one test part.

    Parameters
    ----------
    first, second : str
        Ids of the models.
    table : DataFrame
        One row a figure: ``figure``, ``first``, ``first_low``, ``first_high``, the same of ``second``, ``difference``,
        ``n``.
    pictures : tuple of pairs of Preview
        Each held-out picture, or all held-out numbers, under both models; empty where a task shows none.
    """

    first: str
    second: str
    table: pd.DataFrame
    pictures: tuple[tuple[Preview, Preview], ...]
