"""Figures of numbers: violins and scatters, drawn on a matplotlib figure or saved as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.formatting import quantity_text
from vitascope.io.atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd

REAL, PREDICTED = "#E69F00", "#0072B2"
"""The same colours wherever a real and a predicted quantity stand side by side."""


def draw_agreement(figure: Any, pairs: pd.DataFrame) -> int:
    """Draw the distributions of real and predicted numbers as violins, and one against the other as scatter.

    Parameters
    ----------
    figure : matplotlib figure
        Empty; axes are put in, a row for each quantity.
    pairs : DataFrame
        Columns ``real_x`` and ``predicted_x`` for each quantity x; one row for each image or crop.

    Returns
    -------
    int
        Rows of axes; 0 where there was nothing to draw.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6.
    """
    names = [c.removeprefix("real_") for c in map(str, pairs) if c.startswith("real_")]
    names = [n for n in names if f"predicted_{n}" in pairs]
    drawn = [(n, *_finite(pairs[f"real_{n}"], pairs[f"predicted_{n}"])) for n in names]
    drawn = [(n, real, predicted) for n, real, predicted in drawn if len(real)]
    if not drawn:
        return 0
    axes = figure.subplots(len(drawn), 2, squeeze=False)
    for row, (name, real, predicted) in enumerate(drawn):
        violins(axes[row, 0], [real, predicted], ["real", "predicted"], [REAL, PREDICTED])
        axes[row, 0].set_title(quantity_text(name), fontsize="small")
        _scatter(axes[row, 1], real, predicted)
        axes[row, 1].set_title(f"{len(real)} pairs", fontsize="small")
    return len(drawn)


def _finite(real: pd.Series[Any], predicted: pd.Series[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = real.to_numpy(float), predicted.to_numpy(float)
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def violins(axes: Any, values: list[NDArray[np.float64]], labels: list[str], colours: list[str]) -> None:
    """Draw one violin for each list of numbers, with the numbers themselves as dots."""
    places = list(range(1, len(values) + 1))
    varied = [(p, v, c) for p, v, c in zip(places, values, colours, strict=True) if len(v) > 1 and np.ptp(v) > 0]
    for place, value, colour in varied:
        body = axes.violinplot([value], [place], widths=0.8, showmedians=True)
        for part in [*body["bodies"], body["cmedians"], body["cmins"], body["cmaxes"], body["cbars"]]:
            part.set_color(colour)
    for place, value, colour in zip(places, values, colours, strict=True):
        axes.scatter(np.full(len(value), place), value, s=4, color=colour, alpha=0.5, linewidths=0)
    axes.set_xticks(places, labels)


def _scatter(axes: Any, real: NDArray[np.float64], predicted: NDArray[np.float64]) -> None:
    axes.scatter(real, predicted, s=12, color=PREDICTED, alpha=0.7, linewidths=0)
    low, high = min(real.min(), predicted.min()), max(real.max(), predicted.max())
    axes.plot([low, high], [low, high], color="gray", linewidth=0.8, linestyle="--")
    axes.set_xlabel("real", fontsize="small")
    axes.set_ylabel("predicted", fontsize="small")


def save_agreement(pairs: pd.DataFrame, path: Path) -> None:
    """Save :func:`draw_agreement` as a picture (PNG, SVG or PDF by the ending of the path), written whole.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    rows = draw_agreement(figure, pairs)
    figure.set_size_inches(6, 2.4 * max(1, rows))
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
