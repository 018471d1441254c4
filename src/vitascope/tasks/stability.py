"""What a stability study came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Stability:
    """What a study came to.

    Parameters
    ----------
    model : str
    table : DataFrame
        ``stability.csv``: the mean of each metric over the images, with its 95 % interval over them.
    undone : tuple of str
        What normalisation takes back whole, by corruption and severity: of those no stability is told.
    on_test : bool
        Whether the images are those that the recipe keeps apart.
    out : Path or None
    """

    model: str
    table: pd.DataFrame
    undone: tuple[str, ...]
    on_test: bool
    out: Path | None = None
