"""Plots of results by task; matplotlib is loaded when the first one is drawn.

A plot is a function of a matplotlib figure, a result and the colour of text; :data:`PLOTS` names it by task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vitascope.core.result import LabelsOutput, Result
from vitascope.core.wording import quantity_text
from vitascope.io.figures import PREDICTED, draw_agreement, violins

if TYPE_CHECKING:
    import pandas as pd

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
    if shells is None or not len(shells):
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


def draw_atp(figure: Any, result: Result) -> int:
    """Draw the estimate of each well with its interval, in the order of the stack.

    Parameters and returns as :func:`draw_stain`.
    """
    values = np.array([[row[n] for n in ("atp", "atp_low", "atp_high")] for row in result.rows], float)
    known = np.flatnonzero(np.isfinite(values[:, 0]))
    if not known.size:
        return 0
    axes = figure.subplots()
    at = values[known]
    if np.isfinite(at).all():
        axes.vlines(known, at[:, 1], at[:, 2], color=PREDICTED, alpha=0.5, linewidth=2)
    axes.plot(known, at[:, 0], "o", color=PREDICTED, markersize=4)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("well of the stack" if len(values) > 1 else "", fontsize="small")
    axes.set_ylabel(f"ATP ({result.unit})", fontsize="small")
    return 1


PLOTS: dict[str, Plot] = {
    "stain": draw_stain,
    "phenotype": draw_phenotype,
    "spheroid": draw_spheroid,
    "atp": draw_atp,
}
