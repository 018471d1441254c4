"""One figure of predicted against real stains: pictures side by side, and single cells one against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.io.atomic import atomic_write
from vitascope.io.results.figures import PREDICTED

LARGEST_PX = 600
"""Pictures are thinned out to about this side: a figure shows no more."""

ROW_INCHES, COLUMN_INCHES = 2.1, 2.6


def save_stain_figure(
    path: Path,
    image: NDArray[Any],
    stains: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    table: pd.DataFrame,
    cells: pd.DataFrame,
    columns: Sequence[str],
) -> None:
    """Save the figure of a comparison, a row for each stain, written whole.

    Parameters
    ----------
    path : Path
        Its ending tells the format: PNG, SVG or PDF.
    image : array, shape (Y, X)
        What was predicted from.
    stains : mapping of target to tuple of array, shape (Y, X)
        Real and predicted, both on the scale [0, 1].
    table : DataFrame
        ``tier, quantity, target, value, low, high``.
    cells : DataFrame
        ``real_mean_…`` and ``predicted_mean_…`` of each cell; may be empty.
    columns : sequence of str
        How each stain's columns of ``cells`` end.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from matplotlib.figure import Figure

    rows = len(stains)
    figure = Figure(figsize=(COLUMN_INCHES * 4, ROW_INCHES * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False)
    step = max(1, max(image.shape) // LARGEST_PX)
    thin = (slice(None, None, step), slice(None, None, step))
    grey = np.asarray(image, np.float64)[thin]
    for row, (name, column) in enumerate(zip(stains, columns, strict=True)):
        real, predicted = stains[name]
        _picture(axes[row, 0], grey, "gray", "image" if row == 0 else "", np.nanpercentile(grey, (0.5, 99.5)))
        _picture(axes[row, 1], real[thin], "magma", f"real {name}", (0, 1))
        _picture(axes[row, 2], predicted[thin], "magma", f"predicted {name} (not a stain)", (0, 1))
        _scatter(axes[row, 3], cells, column, _figures(table, name))
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=130)


def _picture(axes: Any, picture: NDArray[Any], colours: str, title: str, limits: Any) -> None:
    axes.imshow(picture, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_title(title, fontsize="small")
    axes.set_xticks([])
    axes.set_yticks([])


def _figures(table: pd.DataFrame, name: str) -> str:
    own = table[table["target"] == name].set_index("quantity")["value"]
    words = [
        f"{text} {own[key]:.2f}"
        for key, text in (("pcc", "PCC"), ("pcc_inside_cells", "in cells"), ("iou", "IoU"))
        if key in own
    ]
    return ", ".join(words)


def _scatter(axes: Any, cells: pd.DataFrame, column: str, title: str) -> None:
    axes.set_title(title, fontsize="small")
    real, predicted = (cells.get(f"{side}_mean_{column}") for side in ("real", "predicted"))
    if real is None or predicted is None or not len(cells):
        axes.text(0.5, 0.5, "no cells", ha="center", va="center", transform=axes.transAxes, fontsize="small")
        axes.set_axis_off()
        return
    axes.scatter(real, predicted, s=12, color=PREDICTED, alpha=0.7, linewidths=0)
    low, high = min(real.min(), predicted.min()), max(real.max(), predicted.max())
    axes.plot([low, high], [low, high], color="gray", linewidth=0.8, linestyle="--")
    axes.set_xlabel("real mean of a cell", fontsize="x-small")
    axes.set_ylabel("predicted", fontsize="x-small")
    axes.tick_params(labelsize="x-small")
