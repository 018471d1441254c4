"""Plates as grids of coloured cells: what is in each well, and how much was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vitascope.batch.response.views import amount_text
from vitascope.core.errors import ParameterError
from vitascope.core.well import Well
from vitascope.stats.plate_quality import smallest_shape

NOTHING = "#ffffff"
CONTROLS = {"negative": "#009E73", "positive": "#D55E00", "blank": "#dddddd", "time0": "#CC79A7"}
SERIES = ("#0072B2", "#E69F00", "#56B4E9", "#F0E442", "#999999", "#882255", "#44AA99", "#117733", "#332288", "#AA4499")
"""Colours that the colour-blind tell apart (Okabe and Ito; Tol), taken in turn."""
PALEST = 0.35


@dataclass(frozen=True)
class Cell:
    """One well: its place from 0, colour, and what a reader sees on hover; ``mark`` frames it."""

    row: int
    column: int
    colour: str
    text: str
    mark: bool = False


@dataclass(frozen=True)
class Grid:
    """A plate.

    Parameters
    ----------
    title : str
    rows, columns : int
    cells : tuple of Cell
    legend : tuple of (str, str)
        Colour and words.
    """

    title: str
    rows: int
    columns: int
    cells: tuple[Cell, ...]
    legend: tuple[tuple[str, str], ...]

    @property
    def letters(self) -> list[str]:
        """Names of the rows."""
        return [str(Well(row, 0)).rstrip("0123456789") for row in range(self.rows)]


def map_grid(table: pd.DataFrame, title: str) -> Grid | None:
    """Draw what is in each well: controls in their own colours, treatments in turn, paler for lower doses."""
    wells = _wells(table)
    names = [str(n) for n in dict.fromkeys(table["treatment"]) if str(n)] if "treatment" in table else []
    if not wells or not (names or "role" in table):
        return None
    own = {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}
    doses = pd.to_numeric(table["dose"], errors="coerce") if "dose" in table else pd.Series(math.nan, index=table.index)
    top = {name: doses[table["treatment"] == name].max() for name in names}
    low = {name: doses[(table["treatment"] == name) & (doses > 0)].min() for name in names}
    cells, used = [], {}
    for well, (_, row), dose in zip(wells, table.iterrows(), doses, strict=True):
        if well is None:
            continue
        role, name = str(row.get("role") or ""), str(row.get("treatment") or "")
        colour = CONTROLS.get(role) or own.get(name, NOTHING)
        used[colour] = role if role in CONTROLS else name
        if role not in CONTROLS and dose > 0 and top[name] > low[name]:
            share = math.log(dose / low[name]) / math.log(top[name] / low[name])
            colour = mixed(colour, PALEST + (1 - PALEST) * share)
        unit = str(row.get("dose_unit") or "")
        told = f"{amount_text(dose)} {unit}".strip() if dose >= 0 else ""
        text = " · ".join(filter(None, [str(well), name, told, role]))
        cells.append(Cell(well.row, well.column, colour, text))
    legend = {colour: words for colour, words in used.items() if words}
    return _grid(title, wells, cells, tuple(legend.items()))


def heat_grid(table: pd.DataFrame, column: str, title: str, limits: tuple[float, float]) -> Grid | None:
    """Draw a number of each well in viridis, with the same limits for all plates; flagged wells are framed."""
    wells = _wells(table)
    if not wells:
        return None
    low, high = limits
    cells = []
    for well, value, flags in zip(wells, table[column], table["serious"], strict=True):
        if well is not None:
            known = isinstance(value, (int, float)) and math.isfinite(value)
            colour = viridis((value - low) / (high - low) if high > low else 0.5) if known else NOTHING
            text = " · ".join(filter(None, [str(well), amount_text(value) if known else "no number", flags]))
            cells.append(Cell(well.row, well.column, colour, text, bool(flags)))
    middle = (low + high) / 2
    legend = tuple((viridis(at), amount_text(value)) for at, value in ((0.0, low), (0.5, middle), (1.0, high)))
    return _grid(title, wells, cells, legend)


def _grid(title: str, wells: Sequence[Well | None], cells: list[Cell], legend: tuple[tuple[str, str], ...]) -> Grid:
    rows, columns = smallest_shape([well for well in wells if well is not None])
    return Grid(title, rows, columns, tuple(cells), legend)


def _wells(table: pd.DataFrame) -> list[Well | None]:
    found: list[Well | None] = []
    for name in table.get("well", ()):
        try:
            found.append(Well.parse(str(name)))
        except ParameterError:
            found.append(None)
    return found if any(found) else []


def viridis(share: float) -> str:
    """Colour of a share from 0 to 1."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return str(to_hex(colormaps["viridis"](min(max(share, 0.0), 1.0))))


def mixed(colour: str, share: float) -> str:
    """Mix a colour with white."""
    parts: list[Any] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)
