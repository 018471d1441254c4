"""Training as it goes: the curves of loss and figure, and what the network makes of a held-out image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from vitascope.core.training import EpochProgress, Preview

NOT_FIGURES = ("epoch", "loss", "learning_rate", "score")
LOSS, FIGURE, START = "#E69F00", "#0072B2", "#999999"
HEIGHT_PX, LEAST_WIDTH_PX = 330, 200
MOST_PX = 400


class FigureBox(QWidget):  # type: ignore[misc]
    """Holds a matplotlib figure; matplotlib is loaded with the first one.

    Parameters
    ----------
    height_px : int
    """

    def __init__(self, height_px: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._height_px = height_px
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.canvas: Any = None

    def fresh(self) -> Any:
        """Return the figure, empty."""
        if self.canvas is None:
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg  # half a second that opening can do without
            from matplotlib.figure import Figure

            self.canvas = FigureCanvasQTAgg(Figure(layout="constrained", facecolor="none"))
            self.canvas.setStyleSheet("background: transparent;")
            self.canvas.setFixedHeight(self._height_px)
            self.canvas.setMinimumWidth(LEAST_WIDTH_PX)  # a figure without width cannot be drawn
            self.canvas.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._column.addWidget(self.canvas)
        self.canvas.figure.clear()
        return self.canvas.figure

    def draw(self) -> None:
        """Show what was drawn."""
        self.canvas.draw_idle()


class TrainPlots(FigureBox):
    """Curves above, preview below; drawn after each round only.

    Parameters
    ----------
    text_colour : callable
        Gives the colour of text.
    """

    def __init__(self, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(HEIGHT_PX, parent)
        self._text_colour = text_colour
        self.start_picture: Preview | None = None
        self.hide()

    def clear(self) -> None:
        """Forget the run before."""
        self.start_picture = None
        self.hide()

    def show_progress(self, progress: EpochProgress) -> None:
        """Draw where a run stands."""
        if self.start_picture is None and progress.start:
            self.start_picture = progress.picture
        figure = self.fresh()
        colour = self._text_colour()
        above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        draw_curves(above, progress.history, progress.start, colour)
        if progress.picture is not None:
            draw_preview(below, progress.picture, self.start_picture, colour)
        self.show()
        self.draw()


def figure_name(history: Sequence[Mapping[str, float]], start: Mapping[str, float]) -> str:
    """Return the name of the task's own figure among what was measured; empty without a validation part.

    Examples
    --------
    >>> figure_name(({"epoch": 1, "loss": 0.5, "score": 0.1, "pcc_DAPI": 0.1},), {})
    'pcc_DAPI'
    """
    names = [n for one in (start, *history[:1]) for n in one if n not in NOT_FIGURES]
    return names[0] if names else ""


def draw_curves(
    figure: Any, history: Sequence[Mapping[str, float]], start: Mapping[str, float], colour: str = "black"
) -> None:
    """Draw the training loss, the validation figure, and that of the starting model as a line."""
    left, right = figure.subplots(1, 2)
    rounds = [one["epoch"] for one in history]
    left.plot(rounds, [one["loss"] for one in history], "o-", markersize=3, color=LOSS)
    left.set_title("loss (training)", fontsize="small", color=colour)
    name = figure_name(history, start)
    right.plot(rounds, [one.get(name, np.nan) for one in history], "o-", markersize=3, color=FIGURE, label="new")
    if name in start:
        right.axhline(start[name], color=START, linestyle="--", label="starting model")
    right.set_title(f"{name.replace('_', ' ') or 'no figure'} (validation)", fontsize="small", color=colour)
    if name:
        right.legend(fontsize="x-small", frameon=False, labelcolor=colour)
    for axes in (left, right):
        axes.set_xlabel("round", fontsize="x-small", color=colour)
        axes.xaxis.get_major_locator().set_params(integer=True)
        plain_axes(axes, colour)


def draw_preview(figure: Any, now: Preview, start: Preview | None, colour: str = "black") -> None:
    """Draw a held-out image, its truth, and what the starting and the new network make of it."""
    if now.image is None:
        _draw_numbers(figure, now, start, colour)
        return
    limits: dict[str, Any] = {"vmin": float(np.nanmin(now.truth)), "vmax": float(np.nanpercentile(now.truth, 99.8))}
    shown: list[tuple[str, Any, dict[str, Any]]] = [
        ("image", now.image, {"cmap": "gray"}),
        (f"real {now.name}", now.truth, limits),
    ]
    if start is not None and start.image is not None:
        shown.append(("starting model", start.predicted, limits))
    shown.append(("new model", now.predicted, limits))
    window = brightest_square(now.truth)
    for axes, (title, picture, how) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        part = picture[window]
        step = max(1, -(-max(part.shape) // MOST_PX))
        axes.imshow(part[::step, ::step], **{"cmap": "magma", **how})
        axes.set_title(title, fontsize="small", color=colour)
        axes.set_axis_off()


def brightest_square(picture: NDArray[Any]) -> tuple[slice, slice]:
    """Return the square with most signal in a strip, as wide as the strip is narrow.

    Examples
    --------
    >>> brightest_square(np.eye(2, 9))
    (slice(0, 2, None), slice(0, 2, None))
    """
    side = min(picture.shape)
    found = []
    for axis in (0, 1):
        profile = np.nan_to_num(picture).sum(1 - axis)
        sums = np.convolve(profile, np.ones(side), "valid")
        first = int(sums.argmax())
        found.append(slice(first, first + side))
    return found[0], found[1]


def _draw_numbers(figure: Any, now: Preview, start: Preview | None, colour: str) -> None:
    axes = figure.subplots()
    if start is not None:
        axes.plot(start.truth, start.predicted, "o", markersize=3, color=START, label="starting model")
    axes.plot(now.truth, now.predicted, "o", markersize=3, color=FIGURE, label="new model")
    ends = [float(np.nanmin(now.truth)), float(np.nanmax(now.truth))]
    axes.plot(ends, ends, color=START, linewidth=0.8)
    axes.set_xlabel(f"real {now.name}", fontsize="x-small", color=colour)
    axes.set_ylabel("predicted", fontsize="x-small", color=colour)
    axes.legend(fontsize="x-small", frameon=False, labelcolor=colour)
    plain_axes(axes, colour)


def plain_axes(axes: Any, colour: str) -> None:
    """Draw the frame of a plot in the colour of the dock's text."""
    axes.set_facecolor("none")
    axes.tick_params(labelsize="x-small", colors=colour)
    for spine in axes.spines.values():
        spine.set_color(colour)
