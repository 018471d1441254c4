"""A place for a plot, drawn when it is looked at for the first time, in the colours of the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

PLOT_ROW_PX = 150

Draw = Callable[[Any], int]
"""Draws into an empty matplotlib figure, and returns how many rows of axes it drew; 0 for nothing."""


class PlotPane(QWidget):  # type: ignore[misc]
    """Shows one plot.

    Parameters
    ----------
    text_colour : callable
        Gives the colour of the viewer's text.
    """

    def __init__(self, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text_colour = text_colour
        self._wanted: Draw | None = None
        self.canvas: Any = None
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)

    def offer(self, draw: Draw | None) -> None:
        """Take another plot, to be drawn when it is looked at; None for none."""
        self._wanted = draw
        self.forget()

    def forget(self) -> None:
        """Throw the drawing away; the plot can be drawn again."""
        if self.canvas is not None:
            self.layout().removeWidget(self.canvas)
            self.canvas.hide()  # it is deleted later, and would be drawn below the next one until then
            self.canvas.deleteLater()
            self.canvas = None

    def draw(self) -> None:
        """Draw, unless it is drawn."""
        if self._wanted is None or self.canvas is not None:
            return
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg  # half a second that most docks never need
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained", facecolor="none")
        rows = self._wanted(figure)
        if rows:
            match_theme(figure, self._text_colour())
            self.canvas = FigureCanvasQTAgg(figure)
            self.canvas.setMinimumHeight(rows * PLOT_ROW_PX)
            self.canvas.setStyleSheet("background: transparent")
        else:
            self.canvas = QLabel("There is nothing to draw.")
        self.layout().addWidget(self.canvas)

    def height_px(self) -> int:
        """Return the height that the drawing needs."""
        return self.canvas.minimumHeight() if self.canvas is not None else 0


def match_theme(figure: Any, text_colour: str) -> None:
    """Draw all text and lines in the colour of the viewer's text, on its background."""
    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=text_colour, labelsize="small")
        for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
            part.set_color(text_colour)
        for spine in axes.spines.values():
            spine.set_color(text_colour)
        for text in axes.get_legend().get_texts() if axes.get_legend() is not None else ():
            text.set_color(text_colour)
