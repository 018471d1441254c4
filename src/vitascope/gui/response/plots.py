"""Curves that can be clicked: a grid of small ones, and one large with its residuals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from vitascope.batch.response.figures import CURVE, STYLE, draw_curve, draw_grid, draw_residuals, places
from vitascope.batch.response.views import CurveView, amount_text
from vitascope.gui.common.layout import discard
from vitascope.gui.common.plot_pane import match_theme

A_PAGE, ROW_PX, GRID_COLUMNS, NEAR_PX = 12, 170, 2, 9
LARGE_PX, DRAG_PX = 300, 3
"""Height of the large plot at least; the mouse has to move by so much before a plateau comes along."""
PLATEAUS = {"top": "#D55E00", "bottom": "#009E73"}
Colour = Callable[[], str]


class Canvas(QWidget):  # type: ignore[misc]
    """A place for a matplotlib figure in the colours of the viewer."""

    def __init__(self, text_colour: Colour) -> None:
        super().__init__()
        self.text_colour = text_colour
        self.figure: Any = None
        self.canvas: Any = None
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)

    def draw(self, draw: Callable[[Any], None], height_px: int) -> Any:
        """Draw anew, and return the canvas."""
        import matplotlib as mpl
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.clear()
        with mpl.rc_context(STYLE):
            self.figure = Figure(layout="constrained", facecolor="none")
            draw(self.figure)
            match_theme(self.figure, self.text_colour())
            self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumHeight(height_px)
        # its own wish is the size that it has, so that it would never become smaller again
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.canvas.setStyleSheet("background: transparent")
        self.layout().addWidget(self.canvas)
        return self.canvas

    def clear(self) -> None:
        """Take the drawing away."""
        if self.canvas is not None:
            self.layout().removeWidget(self.canvas)
            discard(self.canvas)
            self.canvas, self.figure = None, None


def nearest_point(axes: Any, view: CurveView, event: Any) -> int | None:
    """Row of the point under the mouse; None where there is none within a few pixels."""
    points = view.points
    x, _ = places(points["dose"].to_numpy(float))
    at = np.column_stack([x, points["normalised"].to_numpy(float)])
    known = np.isfinite(at).all(axis=1) & (at[:, 0] > 0)
    if not known.any():
        return None
    apart = np.hypot(*(axes.transData.transform(at[known]) - [event.x, event.y]).T)
    if apart.min() > NEAR_PX:
        return None
    return int(points.index.to_numpy()[known][apart.argmin()])


class CurveGrid(QWidget):  # type: ignore[misc]
    """Small curves, twelve on a page; a click on one, or on a point, is told."""

    curveChosen = Signal(int)  # noqa: N815, as Qt's signals are called
    pointChosen = Signal(int)  # noqa: N815

    def __init__(self, text_colour: Colour) -> None:
        super().__init__()
        self._views: Sequence[CurveView] = ()
        self._axes: list[Any] = []
        self._page = 0
        self.plot = Canvas(text_colour)
        self.empty = QLabel("Open results above: the curves of all compounds appear here.")
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.back, self.forward, self.where = QPushButton("◀ Before"), QPushButton("Next ▶"), QLabel()
        self.back.clicked.connect(lambda: self.turn(-1))
        self.forward.clicked.connect(lambda: self.turn(1))
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(self.plot)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        self._pages = QWidget()
        row = QHBoxLayout(self._pages)
        row.setContentsMargins(0, 0, 0, 0)
        for part in (self.back, self.where, self.forward):
            row.addWidget(part)
        self.where.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self.empty)
        column.addWidget(area, 1)
        column.addWidget(self._pages)
        self._area = area
        self.show_views(())

    def show_views(self, views: Sequence[CurveView]) -> None:
        """Show curves, on the page that is open where it is still there."""
        self._views = views
        self._page = min(self._page, max(0, -(-len(views) // A_PAGE) - 1))
        self._draw()

    def turn(self, by: int) -> None:
        """Turn a page."""
        self._page += by
        self._draw()

    def shown(self) -> Sequence[CurveView]:
        """Curves of the page that is open."""
        return self._views[self._page * A_PAGE : (self._page + 1) * A_PAGE]

    def _draw(self) -> None:
        some, pages = self.shown(), -(-len(self._views) // A_PAGE)
        self.empty.setVisible(not some)
        self._area.setVisible(bool(some))
        self._pages.setVisible(pages > 1)
        self.where.setText(f"page {self._page + 1} of {pages}")
        self.back.setEnabled(self._page > 0)
        self.forward.setEnabled(self._page + 1 < pages)
        if not some:
            self.plot.clear()
            return

        def draw(figure: Any) -> None:
            self._axes = draw_grid(figure, some, GRID_COLUMNS, self.plot.text_colour())

        canvas = self.plot.draw(draw, ROW_PX * -(-len(some) // GRID_COLUMNS))
        canvas.setToolTip("Click a point to see its well; click elsewhere on a curve to see it large.")
        canvas.mpl_connect("button_press_event", self._clicked)

    def _clicked(self, event: Any) -> None:
        if event.inaxes in self._axes:
            view = self.shown()[self._axes.index(event.inaxes)]
            row = nearest_point(event.inaxes, view, event)
            self.curveChosen.emit(view.number)
            if row is not None:
                self.pointChosen.emit(row)


class LargePlot(QWidget):  # type: ignore[misc]
    """One curve with its residuals; points can be clicked, plateaus dragged."""

    pointChosen = Signal(int)  # noqa: N815
    plateauDragged = Signal(str, float)  # noqa: N815

    def __init__(self, text_colour: Colour) -> None:
        super().__init__()
        self.plot = Canvas(text_colour)
        self._view: CurveView | None = None
        self._main: Any = None
        self._lines: dict[str, tuple[Any, Any]] = {}
        self._dragged, self._from_px, self._moving = "", 0.0, False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)

    def show_view(self, view: CurveView | None, chosen: int | None = None) -> None:
        """Show a curve, with a ring around the point that is chosen."""
        self._view, self._lines = view, {}
        if view is None:
            self.plot.clear()
            return
        self._dragged, self._moving = "", False
        canvas = self.plot.draw(lambda figure: self._draw(figure, view, chosen), LARGE_PX)
        canvas.mpl_connect("button_press_event", self._pressed)
        canvas.mpl_connect("motion_notify_event", self._moved)
        canvas.mpl_connect("button_release_event", self._released)
        canvas.setToolTip("Click a point to choose it. Drag the dashed line of a plateau up or down to hold it there.")

    def _draw(self, figure: Any, view: CurveView, chosen: int | None) -> None:
        colour = self.plot.text_colour()
        self._main, rest = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        draw_curve(self._main, view, colour=colour)
        draw_residuals(rest, view, colour=colour)
        rest.set_xlabel(self._main.get_xlabel())
        self._main.set_xlabel("")
        if view.fit is not None and view.row["quality"] not in ("flat", "no fit"):
            ends = sorted(float(value) for value in view.fit.parameters[:2])
            for name, value in zip(("bottom", "top"), ends, strict=True):
                line = self._main.axhline(value, color=PLATEAUS[name], linewidth=1.2, linestyle=(0, (5, 4)))
                # where the curve is not: a curve that falls leaves its top to the left
                right = (name == "top") == view.fit.falls
                label = self._main.text(
                    0.98 if right else 0.02, value, _plateau_text(name, value), color=PLATEAUS[name], fontsize=8,
                    ha="right" if right else "left", va="bottom", transform=self._main.get_yaxis_transform(),
                )  # fmt: skip
                self._lines[name] = line, label
        if chosen is not None and chosen in view.points.index:
            x, _ = places(view.points["dose"].to_numpy(float))
            at = view.points.index.get_loc(chosen)
            self._main.plot(
                x[at], view.points["normalised"].iloc[at], "o", markersize=11, fillstyle="none", color=CURVE
            )

    def _pressed(self, event: Any) -> None:
        if self._view is None or event.inaxes is not self._main:
            return
        row = nearest_point(self._main, self._view, event)
        if row is not None:
            self.pointChosen.emit(row)
            return
        self._dragged, self._from_px, self._moving = self._line_at(event), event.y, False

    def _line_at(self, event: Any) -> str:
        """Name of the plateau under the mouse; empty where there is none."""
        for name, (line, _) in self._lines.items():
            height = self._main.transData.transform((1, line.get_ydata()[0]))[1]
            if event.inaxes is self._main and abs(height - event.y) <= NEAR_PX:
                return name
        return ""

    def _moved(self, event: Any) -> None:
        if self._view is None:
            return
        if not self._dragged:
            point = event.inaxes is self._main and nearest_point(self._main, self._view, event) is not None
            shape = Qt.CursorShape.PointingHandCursor if point else Qt.CursorShape.SizeVerCursor
            self.plot.canvas.setCursor(shape if point or self._line_at(event) else Qt.CursorShape.ArrowCursor)
        elif self._moving or abs(event.y - self._from_px) >= DRAG_PX:
            self._moving = True
            (line, label), level = self._lines[self._dragged], self._level(event)
            line.set_ydata([level, level])
            label.set_y(level)
            label.set_text(_plateau_text(self._dragged, level))
            self.plot.canvas.draw_idle()

    def _level(self, event: Any) -> float:
        """Value at the height of the mouse, also beyond the axes."""
        return float(self._main.transData.inverted().transform((event.x, event.y))[1])

    def _released(self, event: Any) -> None:
        name, self._dragged = self._dragged, ""
        if name and self._moving:
            self.plateauDragged.emit(name, self._level(event))


def _plateau_text(name: str, value: float) -> str:
    return f"{name} {amount_text(value)}"
