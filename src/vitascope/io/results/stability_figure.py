"""How a model suffers, drawn: a line for each corruption, by severity, as figure 47 of Pankova 2022 (seed 004)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.core.formatting import quantity_text
from vitascope.io.atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd

NOTES = ("refused", "clipped_percent", "input_change")
"""What is told of the images, not of the model."""

ROWS = 3
"""Height of one drawing, in rows of a dock's plot."""

LOOKS = {"before normalisation": ("--", "o"), "after normalisation": ("-", "s"), "": (":", "^")}
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#6A6A6A")
"""Of the palette of Okabe and Ito."""


def metrics_of(table: pd.DataFrame) -> list[str]:
    """Return the metrics of a study that tell of the model, in their order."""
    return [str(name) for name in table["metric"].unique() if name not in NOTES]


def draw_stability(figure: Any, table: pd.DataFrame, metric: str) -> int:
    """Draw one metric of ``stability.csv`` by severity, with intervals.

    Parameters
    ----------
    figure : matplotlib figure
        Empty.
    table : DataFrame
    metric : str

    Returns
    -------
    int
        Rows of axes that were drawn; 0 where the table has no such metric.
    """
    some = table[table["metric"] == metric]
    if not len(some):
        return 0
    axes = figure.subplots()
    clean = some[some["corruption"] == "none"]
    if len(clean):
        axes.axhline(clean["mean"].iloc[0], color="gray", linewidth=0.8)
    names = [name for name in some["corruption"].unique() if name != "none"]
    bases = list(dict.fromkeys(name.split(" ")[0] for name in names))
    for name in names:
        part = some[some["corruption"] == name].sort_values("severity")
        style, marker = next(look for end, look in LOOKS.items() if name.endswith(end))
        colour = COLOURS[bases.index(name.split(" ")[0]) % len(COLOURS)]
        axes.plot(part["severity"], part["mean"], style, marker=marker, markersize=4, color=colour, label=name)
        axes.fill_between(part["severity"], part["low"], part["high"], color=colour, alpha=0.07, linewidth=0)
    axes.set_xlabel("severity", fontsize="small")
    axes.set_ylabel(quantity_text(metric), fontsize="small")
    axes.legend(fontsize="x-small", frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return ROWS


def save_stability(table: pd.DataFrame, path: Path, title: str) -> None:
    """Save :func:`draw_stability` of each metric as one picture, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from matplotlib.figure import Figure

    metrics = metrics_of(table)
    figure = Figure(figsize=(6, 4.5 * max(1, len(metrics))), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    parts = figure.subfigures(max(1, len(metrics)), 1, squeeze=False)[:, 0]
    for part, metric in zip(parts, metrics, strict=False):
        draw_stability(part, table, metric)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)
