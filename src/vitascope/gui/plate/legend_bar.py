"""What the colours of a plate stand for: a bar with limits and a unit, or a square for each kind."""

from __future__ import annotations

from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter
from qtpy.QtWidgets import QWidget

from vitascope.core.formatting import end_texts
from vitascope.gui.plate.heatmap import Legend

LINE_PX, SQUARE_PX, GAP_PX = 16, 10, 14
ENDS_PX = 70
"""Room for the number at each end of a bar."""


class LegendBar(QWidget):  # type: ignore[misc]
    """A legend, as high as it needs to be: kinds that do not fit go on the next line."""

    def __init__(self) -> None:
        super().__init__()
        self.legend, self.title = Legend(), ""
        font = self.font()
        font.setPixelSize(11)
        self.setFont(font)
        self._fit()

    def show_legend(self, legend: Legend, title: str) -> None:
        """Show another legend."""
        self.legend, self.title = legend, title
        self.setAccessibleName(", ".join([title, *(legend.kinds or {})]))
        self._fit()
        self.update()

    def places(self, width: int) -> list[tuple[str, str, float, float]]:
        """Return name, colour, and the left upper corner of each kind within a width."""
        found = []
        left, top = 4.0, 0.0
        for name, colour in (self.legend.kinds or {}).items():
            wide = SQUARE_PX + 8 + self.fontMetrics().horizontalAdvance(name)
            if left > 4 and left + wide > width:
                left, top = 4.0, top + LINE_PX
            found.append((name, colour, left, top))
            left += wide + GAP_PX
        return found

    def _fit(self) -> None:
        places = self.places(max(self.width(), 1))
        wanted = int(max((top for *_, top in places), default=LINE_PX)) + LINE_PX + 2
        if wanted != self.minimumHeight():
            self.setFixedHeight(wanted)

    def resizeEvent(self, event: object) -> None:  # noqa: N802, Qt's name
        """Break the lines anew."""
        self._fit()

    def paintEvent(self, event: object) -> None:  # noqa: N802, Qt's name
        """Draw it."""
        painter = QPainter(self)
        self.draw(painter, self.size())
        painter.end()

    def draw(self, painter: QPainter, size: QSize) -> None:
        """Draw with any painter."""
        painter.setPen(self.palette().windowText().color())
        painter.setFont(QFont(self.font()))
        if self.legend.kinds is not None:
            self._draw_kinds(painter, size)
            return
        width = max(40, size.width() - 2 * ENDS_PX)
        colours = ensure_colormap(self.legend.colormap or "viridis").map([i / 63 for i in range(64)])
        for i, (r, g, b, _) in enumerate(colours.tolist()):
            painter.fillRect(QRectF(ENDS_PX + width * i / 64, 2, width / 64 + 1, 12), QColor.fromRgbF(r, g, b))
        ends = end_texts(self.legend.low, self.legend.high)
        right, left = int(Qt.AlignmentFlag.AlignRight), int(Qt.AlignmentFlag.AlignLeft)
        painter.drawText(QRectF(0, 0, ENDS_PX - 4, LINE_PX), right, ends[0])
        painter.drawText(QRectF(ENDS_PX + 4 + width, 0, ENDS_PX - 4, LINE_PX), left, ends[1])
        middle = int(Qt.AlignmentFlag.AlignCenter)
        painter.drawText(QRectF(0, LINE_PX, size.width(), LINE_PX), middle, self.title)

    def _draw_kinds(self, painter: QPainter, size: QSize) -> None:
        for name, colour, left, top in self.places(size.width()):
            painter.fillRect(QRectF(left, top + 3, SQUARE_PX, SQUARE_PX), QColor(colour))
            box = QRectF(left + SQUARE_PX + 4, top, size.width(), LINE_PX)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignLeft), name)
