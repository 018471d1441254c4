"""Plots of results; matplotlib is loaded when the first one is drawn.

A plot is a function of a matplotlib figure and a result; a task names its own, see :data:`PLOTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.formatting import number_text, quantity_text
from vitascope.core.result import LabelsOutput, Result
from vitascope.gui.common.result_text import picture_text
from vitascope.io.filenames.parse import natural
from vitascope.io.results.figures import PREDICTED, draw_agreement, violins
from vitascope.tasks.spec import PlotName

if TYPE_CHECKING:
    import pandas as pd

LABELLED, MOST_NAMED = 12, 10
"""So many wells at most are named below a strip, and in the legend of curves."""

Plot = Callable[[Any, Result], int]
"""Draws into a figure, and returns how many rows of axes it drew; 0 for nothing."""


def draw_stain(figure: Any, result: Result) -> int:
    """Draw what a predicted stain gave: agreement with the real one if there is one, else the objects.

    Parameters
    ----------
    figure : matplotlib figure
        Empty; axes are put in.
    result : Result

    Returns
    -------
    int
        Rows of axes; 0 where there was nothing to draw.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6: distributions as violins, predicted against real as scatter.
    """
    crops = result.tables.get("crops")
    if crops is not None and len(crops):
        return draw_agreement(figure, crops)
    tables = [output.table for output in result.outputs if isinstance(output, LabelsOutput)]
    return _draw_objects(figure, tables[0]) if tables and len(tables[0]) else 0


def _draw_objects(figure: Any, table: pd.DataFrame) -> int:
    """Draw the sizes of the objects, and their mean predicted signal."""
    size = "area_um2" if table["area_um2"].notna().any() else "area_px"
    names = [size, *[c for c in map(str, table) if c.startswith("mean_")][:1]]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = table[name].to_numpy(float)
        violins(axes, [values[np.isfinite(values)]], [f"{len(table)} objects"], [PREDICTED])
        axes.set_title(quantity_text(name), fontsize="small")
    return 1


def draw_phenotype(figure: Any, result: Result) -> int:
    """Draw the probability of each class, and of each region where there are several classes in them.

    Parameters and returns as :func:`draw_stain`.
    """
    rows = [row for row in result.rows if row.get("predicted")]
    names = [name for name in (rows[0] if rows else {}) if name.startswith("prob_")]
    if not names:
        return 0
    axes = figure.subplots()
    values = np.array([[row[name] for name in names] for row in rows])
    axes.barh(range(len(names)), values.mean(0), color=PREDICTED)
    for row in values if len(values) > 1 else ():
        axes.plot(row, range(len(names)), "o", color="gray", markersize=3)
    axes.set_yticks(range(len(names)), [name.removeprefix("prob_") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.axvline(0.5, color="gray", linewidth=0.8)
    axes.set_xlabel("probability", fontsize="small")
    return 1


def draw_spheroid(figure: Any, result: Result) -> int:
    """Draw the live share of every spheroid by depth below its surface.

    Parameters and returns as :func:`draw_stain`.
    """
    shells = result.tables.get("shells")
    if shells is None or not shells["live_fraction"].notna().any():
        return 0
    axes = figure.subplots()
    known = shells["from_um"].notna().all()
    for label, part in shells.groupby("label"):
        depth = (part["from_um"] + part["to_um"]) / 2 if known else part["shell"]
        axes.plot(depth, 100 * part["live_fraction"], "o-", markersize=3, label=f"spheroid {label}")
    axes.set_ylim(0, 105)
    axes.set_ylabel("live (%)", fontsize="small")
    axes.set_xlabel("depth below the surface (µm)" if known else "shell below the surface", fontsize="small")
    return 1


def draw_wells(figure: Any, rows: Sequence[Mapping[str, Any]], column: str, title: str, unit: str | None = None) -> int:
    """Draw the number of each well with its interval: by day where wells were seen on several, else well by well.

    Dots can be picked; their artists know under ``well_rows`` which rows they stand for.

    Parameters
    ----------
    figure : matplotlib figure
        Empty; axes are put in.
    rows : sequence of mapping
        As ``results.csv`` holds them.
    column : str
        Of the number; its interval stands under ``_low`` and ``_high``.
    title : str
        What the number is.
    unit : str, optional
        By default that of the rows.

    Returns
    -------
    int
        Rows of axes; 0 where there was nothing to draw.
    """
    values = np.array([[_value(row.get(f"{column}{end}")) for end in ("", "_low", "_high")] for row in rows])
    known = np.flatnonzero(np.isfinite(values[:, 0])) if len(rows) else np.array([], int)
    if not known.size:
        return 0
    axes = figure.subplots()
    unit = str(rows[known[0]].get("unit") or "") if unit is None else unit
    curves = day_curves(rows)
    if curves:
        _draw_curves(axes, rows, values, curves)
    else:
        _draw_dots(axes, known, values, known)
        step = -(-len(rows) // LABELLED)
        labels = [picture_text(row) for row in rows]
        axes.set_xticks(range(0, len(rows), step), labels[::step], rotation=60, ha="right")
    if unit == "of control":
        axes.axhline(1.0, color="gray", linewidth=0.8, linestyle="--")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: number_text(value))
    axes.set_ylabel(f"{title} ({unit})" if unit else title, fontsize="small")
    return 1


def day_curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Put the rows of each well in the order of time; empty where no well was seen more than once.

    Examples
    --------
    >>> day_curves([{"well": "B02", "time": "d10"}, {"well": "B02", "time": "d2"}, {"well": "C02", "time": "d2"}])
    {'B02': [1, 0], 'C02': [2]}
    """
    found: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.get("time") not in (None, ""):
            found.setdefault(picture_text(row), []).append(number)
    if not any(len({str(rows[n]["time"]) for n in numbers}) > 1 for numbers in found.values()):
        return {}
    return {name: sorted(numbers, key=lambda n: natural(str(rows[n]["time"]))) for name, numbers in found.items()}


def _draw_curves(
    axes: Any, rows: Sequence[Mapping[str, Any]], values: NDArray[np.float64], curves: Mapping[str, list[int]]
) -> None:
    """Draw a line for each well, over the days in their order."""
    days = sorted({str(rows[n]["time"]) for numbers in curves.values() for n in numbers}, key=natural)
    for name, numbers in curves.items():
        known = np.array([n for n in numbers if np.isfinite(values[n, 0])], int)
        at = np.array([days.index(str(rows[n]["time"])) for n in known])
        if known.size:
            (line,) = axes.plot(at, values[known, 0], "-", linewidth=1, label=name)
            _draw_dots(axes, at, values, known, line.get_color())
    axes.set_xticks(range(len(days)), days)
    axes.set_xlabel("time", fontsize="small")
    if len(curves) <= MOST_NAMED:
        axes.legend(fontsize="x-small", frameon=False)


def _draw_dots(
    axes: Any, at: NDArray[Any], values: NDArray[np.float64], numbers: NDArray[Any], colour: str = PREDICTED
) -> None:
    """Draw rows as dots with their intervals."""
    found = values[numbers]
    axes.vlines(at, found[:, 1], found[:, 2], color=colour, alpha=0.4, linewidth=2)
    (dots,) = axes.plot(at, found[:, 0], "o", color=colour, markersize=4, picker=5)
    dots.well_rows = numbers


def _value(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


PLOTS: dict[PlotName, Plot] = {
    "objects": draw_stain,
    "probabilities": draw_phenotype,
    "depth": draw_spheroid,
}
