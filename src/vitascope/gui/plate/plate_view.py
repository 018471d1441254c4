"""A plate drawn well by well: colours, hover, click, arrow keys, and a frame drawn over several wells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QLineF, QPoint, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from vitascope.core.result import Trust, TrustLevel
from vitascope.core.well import Well
from vitascope.gui.common.trust import LOOKS

MARGIN_PX = 20
MOST_SIDE_PX = 48
"""Wells larger than this say no more."""

SIGN_PX = 8
"""Badges smaller than this have no room for a sign."""

MARKED: tuple[TrustLevel, ...] = ("unsure", "outside")
EMPTY = QColor(128, 128, 128, 40)
CHOSEN = QColor("#D55E00")
STEPS = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}


class PlateView(QWidget):  # type: ignore[misc]
    """One plate.

    Parameters
    ----------
    describe : callable, optional
        Says what hovering over a well shows.
    several : bool
        Whether a frame drawn with the mouse chooses several wells.
    most_px : int, > 0, optional
        Height of the widget at most, which then takes no more than its wells need; by default it fills its space.
    """

    clicked = Signal(object)
    """The well that was clicked, or that the arrow keys went to."""

    chosen = Signal(object)
    """The wells that are chosen, as a set; with ``several`` only."""

    def __init__(self, describe: Callable[[Well], str] | None = None, several: bool = False, most_px: int = 0) -> None:
        super().__init__()
        self._most_px = most_px
        self.describe = describe or str
        self.several = several
        self.title = ""
        self.current: Well | None = None
        self.wells: set[Well] = set()
        self._rgba: NDArray[np.uint8] = np.zeros((8, 12, 4), np.uint8)
        self._filled: frozenset[Well] = frozenset()
        self._badges: dict[Well, TrustLevel] = {}
        self._from: QPoint | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Plate")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._rgba.shape[0], self._rgba.shape[1]

    @property
    def window(self) -> tuple[range, range]:
        """Rows and columns that are drawn: all, or those that hold the wells in use."""
        rows, columns = self.shape
        inside = [well for well in self._filled if well.row < rows and well.column < columns]
        if not inside:
            return range(rows), range(columns)
        down, across = [well.row for well in inside], [well.column for well in inside]
        return range(min(down), max(down) + 1), range(min(across), max(across) + 1)

    def fill_with(self, wells: Iterable[Well]) -> None:
        """Let these wells fill the space: rows and columns beyond them are not drawn; none brings all back."""
        filled = frozenset(wells)
        if filled != self._filled:
            self._filled = filled
            self._fit_height()
            self.updateGeometry()
            self.update()

    def set_colours(self, rgba: NDArray[np.uint8]) -> None:
        """Show colours.

        Parameters
        ----------
        rgba : array, shape (rows, columns, 4), uint8
            Wells with an alpha of 0 are drawn as empty.
        """
        self._rgba = rgba
        self._fit_height()
        self.update()

    def set_badges(self, badges: Mapping[Well, Trust]) -> None:
        """Mark the wells that are not to be relied on as they are; those that fit have no mark."""
        self._badges = {well: trust.level for well, trust in badges.items() if trust.level in MARKED}
        self.update()

    def set_current(self, well: Well | None) -> None:
        """Mark a well."""
        self.current = well
        self.update()

    def choose(self, wells: Iterable[Well]) -> None:
        """Choose wells, without telling."""
        self.wells = set(wells)
        self.update()

    # -- drawing ----------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:  # noqa: N802, Qt's name
        """Ask for wells large enough to be hit."""
        rows, columns = self.window
        side = max(6, min(24, 480 // len(columns)))
        return QSize(MARGIN_PX + side * len(columns), 2 * MARGIN_PX + side * len(rows))

    def minimumSizeHint(self) -> QSize:  # noqa: N802, Qt's name
        """Allow wells of three pixels."""
        rows, columns = self.window
        return QSize(MARGIN_PX + 3 * len(columns), 2 * MARGIN_PX + 3 * len(rows))

    def _fit_height(self) -> None:
        """Take no more height than the wells need at this width."""
        if self._most_px:
            rows, columns = self.window
            side = min(MOST_SIDE_PX, (self.width() - MARGIN_PX) / len(columns))
            self.setFixedHeight(max(2 * MARGIN_PX, min(self._most_px, round(MARGIN_PX + side * len(rows)))))

    def resizeEvent(self, event: QEvent) -> None:  # noqa: N802, Qt's name
        """Fit the height to the width."""
        super().resizeEvent(event)
        self._fit_height()

    def _layout(self, size: QSize) -> tuple[float, float, float]:
        """Return the side of a well, and where the upper left corner of A01 lies or would lie."""
        rows, columns = self.window
        top = float(MARGIN_PX * (2 if self.title else 1))
        side = max(1.0, min((size.width() - MARGIN_PX) / len(columns), (size.height() - top) / len(rows)))
        return side, MARGIN_PX - side * columns.start, top - side * rows.start

    def paintEvent(self, event: QEvent) -> None:  # noqa: N802, Qt's name
        """Draw the plate."""
        painter = QPainter(self)
        self.draw(painter, self.size())
        painter.end()

    def draw(self, painter: QPainter, size: QSize, vector: bool = False) -> None:
        """Draw the plate with any painter: the screen's, a picture's or, as rectangles, a vector file's."""
        side, left, top = self._layout(size)
        gap = 1.0 if side > 4 else 0.0
        if vector:
            self._draw_cells(painter, size, gap)
        else:
            self._draw_image(painter, size, gap)
        self._draw_labels(painter, size)
        self._draw_badges(painter, size, gap)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        marked = [(well, 2.0) for well in self.wells]
        marked += [(self.current, 3.0)] if self.current is not None else []
        for well, width in marked:
            painter.setPen(QPen(CHOSEN, width))
            painter.drawRect(QRectF(left + well.column * side, top + well.row * side, side - gap, side - gap))

    def _draw_cells(self, painter: QPainter, size: QSize, gap: float) -> None:
        rows, columns = self.window
        side, left, top = self._layout(size)
        for row in rows:
            for column in columns:
                r, g, b, a = self._rgba[row, column].tolist()
                cell = QRectF(left + column * side, top + row * side, side - gap, side - gap)
                painter.fillRect(cell, QColor(r, g, b, a) if a else EMPTY)

    def _draw_image(self, painter: QPainter, size: QSize, gap: float) -> None:
        """Draw all wells as the pixels of one picture, and lines between them: 1536 wells at once."""
        rows, columns = self.window
        side, left, top = self._layout(size)
        cut = self._rgba[rows.start : rows.stop, columns.start : columns.stop]
        shown = np.where(cut[..., 3:] > 0, cut, np.array(EMPTY.getRgb(), np.uint8))
        shown = np.ascontiguousarray(shown, np.uint8)
        wide, high = len(columns), len(rows)
        image = QImage(shown.data, wide, high, 4 * wide, QImage.Format.Format_RGBA8888)
        frame = QRectF(left + columns.start * side, top + rows.start * side, wide * side, high * side)
        painter.drawImage(frame, image)
        if gap:
            painter.setPen(QPen(self.palette().window().color(), gap))
            for column in range(columns.start, columns.stop + 1):
                x = left + column * side - 0.5
                painter.drawLine(QLineF(x, frame.top(), x, frame.bottom()))
            for row in range(rows.start, rows.stop + 1):
                y = top + row * side - 0.5
                painter.drawLine(QLineF(frame.left(), y, frame.right(), y))

    def _draw_badges(self, painter: QPainter, size: QSize, gap: float) -> None:
        """Draw a sign into the upper right corner of the wells that are marked, a spot where wells are small."""
        side, left, top = self._layout(size)
        edge = max(2.0, min(11.0, 0.45 * side))
        rows, columns = self.window
        font = painter.font()
        font.setPixelSize(max(6, round(edge) - 2))
        painter.setFont(font)
        for well, level in self._badges.items():
            if well.row not in rows or well.column not in columns:
                continue
            corner = QRectF(left + (well.column + 1) * side - gap - edge, top + well.row * side, edge, edge)
            painter.fillRect(corner, QColor(LOOKS[level].colour))
            if edge >= SIGN_PX:
                painter.setPen(QColor("white"))
                painter.drawText(corner, int(Qt.AlignmentFlag.AlignCenter), LOOKS[level].sign)

    def _draw_labels(self, painter: QPainter, size: QSize) -> None:
        rows, columns = self.window
        side, left, top = self._layout(size)
        above = top + rows.start * side - MARGIN_PX
        painter.setPen(self.palette().windowText().color())
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        every = 1 if side >= 14 else 2 if side >= 8 else 4
        centre = int(Qt.AlignmentFlag.AlignCenter)
        for column in columns[::every]:
            box = QRectF(left + column * side, above, side * every, MARGIN_PX)
            painter.drawText(box, centre if every == 1 else int(Qt.AlignmentFlag.AlignVCenter), str(column + 1))
        for row in rows[::every]:
            box = QRectF(0, top + row * side, MARGIN_PX - 2, max(side, 12))
            painter.drawText(box, centre, str(Well(row, 0))[:-2])
        if self.title:
            painter.drawText(
                QRectF(MARGIN_PX, 0, size.width() - MARGIN_PX, MARGIN_PX), int(Qt.AlignmentFlag.AlignLeft), self.title
            )

    # -- mouse and keys ---------------------------------------------------------------------------------------------

    def well_at(self, position: QPoint) -> Well | None:
        """Return the well at a place of the widget."""
        side, left, top = self._layout(self.size())
        column, row = int((position.x() - left) // side), int((position.y() - top) // side)
        rows, columns = self.window
        return Well(row, column) if row in rows and column in columns else None

    def mousePressEvent(self, event: QEvent) -> None:  # noqa: N802, Qt's name
        """Begin a click or a frame."""
        self._from = event.position().toPoint()

    def mouseMoveEvent(self, event: QEvent) -> None:  # noqa: N802, Qt's name
        """Say what lies below the mouse; draw the frame."""
        here = event.position().toPoint()
        well = self.well_at(here)
        if well is not None:
            QToolTip.showText(event.globalPosition().toPoint(), self.describe(well), self)
        if self._from is not None and self.several:
            self.wells = self._framed(self._from, here)
            self.update()

    def mouseReleaseEvent(self, event: QEvent) -> None:  # noqa: N802, Qt's name
        """End a click or a frame."""
        start, self._from = self._from, None
        if start is None:
            return
        here = event.position().toPoint()
        if self.several:
            framed = self._framed(start, here)
            more = bool(event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier))
            self.wells = self.wells | framed if more else framed
            self.chosen.emit(set(self.wells))
        well = self.well_at(here)
        if well is not None:
            self._go(well)
        self.update()

    def keyPressEvent(self, event: QEvent) -> None:  # noqa: N802, Qt's name
        """Go to the next well with the arrow keys."""
        step = STEPS.get(event.key())
        if step is None:
            super().keyPressEvent(event)
            return
        rows, columns = self.window
        here = self.current or Well(rows.start, columns.start)
        row = (here.row - rows.start + step[0]) % len(rows)
        column = (here.column - columns.start + step[1]) % len(columns)
        self._go(Well(rows.start + row, columns.start + column))

    def _go(self, well: Well) -> None:
        self.set_current(well)
        self.clicked.emit(well)

    def _framed(self, start: QPoint, end: QPoint) -> set[Well]:
        side, left, top = self._layout(self.size())
        frame = QRect(start, end).normalized()
        rows, columns = self.window
        first_row, last_row = (int((y - top) // side) for y in (frame.top(), frame.bottom()))
        first, last = (int((x - left) // side) for x in (frame.left(), frame.right()))
        return {
            Well(row, column)
            for row in range(max(rows.start, first_row), min(rows.stop - 1, last_row) + 1)
            for column in range(max(columns.start, first), min(columns.stop - 1, last) + 1)
        }
