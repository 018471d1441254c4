"""Training as it goes: the curves of loss and figure, and what the network makes of a held-out image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from vitascope.core.training_params import EpochProgress, Preview
from vitascope.gui.common.runner import Launch
from vitascope.gui.train.train_words import figure_name, figure_words

LOSS, FIGURE, START = "#E69F00", "#0072B2", "#999999"
HEIGHT_PX, LEAST_WIDTH_PX = 330, 200
MOST_PX = 400
DPI = 100


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


class TrainPlots(QLabel):  # type: ignore[misc]
    """Curves above, preview below; drawn after each round only, off the main thread, which would be held up.

    Parameters
    ----------
    text_colour : callable
        Gives the colour of text.
    launch : Launch
        Does work off the main thread.
    """

    def __init__(self, text_colour: Callable[[], str], launch: Launch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text_colour, self._launch = text_colour, launch
        self._progress: EpochProgress | None = None
        self._drawing = self._stale = False
        self._run = 0
        self.start_picture: Preview | None = None
        self.setFixedHeight(HEIGHT_PX)
        self.setMinimumWidth(LEAST_WIDTH_PX)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Curves of the training, and a held-out image")
        self.hide()

    def clear(self) -> None:
        """Forget the run before."""
        self.start_picture = self._progress = None
        self._drawing, self._run = False, self._run + 1
        self.setPixmap(QPixmap())
        self.hide()

    def show_progress(self, progress: EpochProgress) -> None:
        """Draw where a run stands."""
        if self.start_picture is None and progress.start:
            self.start_picture = progress.picture
        self._progress = progress
        self.show()
        self._draw()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802, Qt's name
        """Draw anew in another width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._draw()

    def _draw(self) -> None:
        """Draw what there is; while a drawing is under way, only note that there will be a newer one."""
        progress, start = self._progress, self.start_picture
        self._stale = self._drawing
        if progress is None or self._drawing:
            return
        self._drawing, run = True, self._run
        size, ratio, colour = (
            (max(LEAST_WIDTH_PX, self.width()), HEIGHT_PX),
            self.devicePixelRatioF(),
            self._text_colour(),
        )

        def show(pixels: Any) -> None:
            if run != self._run:
                return
            self._drawing = False
            if isinstance(pixels, np.ndarray):
                height, width = pixels.shape[:2]
                image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
                image.setDevicePixelRatio(ratio)
                self.setPixmap(QPixmap.fromImage(image))
            if self._stale:
                self._draw()

        self._launch(lambda: draw_training(progress, start, size, ratio, colour), show)


def draw_training(
    progress: EpochProgress, start: Preview | None, size_px: tuple[int, int], ratio: float, colour: str
) -> NDArray[np.uint8]:
    """Draw curves and preview as a picture.

    Parameters
    ----------
    progress : EpochProgress
    start : Preview, optional
        Of the starting model.
    size_px : tuple of int
        Width and height in logical pixels.
    ratio : float
        Pixels of the screen in a logical one.
    colour : str
        Of text.

    Returns
    -------
    array, shape (height, width, 4), uint8
        Red, green, blue and opacity.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second that opening can do without
    from matplotlib.figure import Figure

    inches = (size_px[0] / DPI, size_px[1] / DPI)
    figure = Figure(inches, dpi=DPI * ratio, layout="constrained", facecolor="none")
    canvas = FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    above, below = halves
    draw_curves(above, progress.history, progress.start, colour)
    if progress.picture is not None:
        draw_preview(below, progress.picture, start, colour)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


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
    right.set_title(f"{figure_words(name) or 'no figure'} (validation)", fontsize="small", color=colour)
    if name:
        right.legend(fontsize="x-small", frameon=False, labelcolor=colour)
    for axes in (left, right):
        axes.set_xlabel("epoch", fontsize="x-small", color=colour)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(0.5, max(len(history), 2) + 0.5)
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
