"""All wells at a glance: one small picture each, in the layout of the plate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from vitascope.batch.plate.results import PlateResults
from vitascope.core.errors import VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.layout import make_note, narrow, refill, scrolling
from vitascope.gui.common.runner import Launch, in_background
from vitascope.gui.plate.plate_view import MARGIN_PX, PlateView
from vitascope.io.plates.plate import Plate, Site

SIDE_PX = 192
"""Pixels of a picture that is kept, so that it can be enlarged."""

LEAST_PX, MOST_PX = 0, 256
FIT = "as fits"
AT_ONCE = 4
LIMIT_PERCENT = (0.5, 99.5)


class ThumbnailView(PlateView):
    """A plate of small pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: dict[Well, QImage] = {}
        self.kept: set[Well] | None = None
        self.side_px = 0

    def set_side(self, side_px: int) -> None:
        """Draw wells as large as this, or as fits for 0; a plate that is larger than its place scrolls."""
        self.side_px = side_px
        rows, columns = self.window
        more = MARGIN_PX + 1
        wide, high = (more + side_px * len(columns), more + side_px * len(rows)) if side_px else (0, 0)
        self.setMinimumSize(wide, high)
        self.updateGeometry()
        self.update()

    def _layout(self, size: QSize) -> tuple[float, float, float]:
        side, left, top = super()._layout(size)
        if not self.side_px:
            return side, left, top
        rows, columns = self.window
        side, before = float(self.side_px), side
        return side, left + (before - side) * columns.start, top + (before - side) * rows.start

    def draw(self, painter: QPainter, size: QSize, vector: bool = False) -> None:
        """Draw the pictures over the empty wells; those that the filter leaves out fade."""
        super().draw(painter, size, vector)
        side, left, top = self._layout(size)
        for well, picture in self.pictures.items():
            painter.setOpacity(1.0 if self.kept is None or well in self.kept else 0.2)
            painter.drawImage(QRectF(left + well.column * side, top + well.row * side, side - 1, side - 1), picture)
        painter.setOpacity(1.0)


class ThumbnailBox(QWidget):  # type: ignore[misc]
    """Thumbnails of the first image of each well.

    Parameters
    ----------
    launch : Launch
    """

    opened = Signal(object)
    """The well that was clicked."""

    def __init__(self, launch: Launch = in_background) -> None:
        super().__init__()
        self._launch = launch
        self._plate: Plate | None = None
        self._results: PlateResults | None = None
        self._number = 0
        self._limits: tuple[float, float] | None = None
        self.grid, self.channel, self.flag = ThumbnailView(), QComboBox(), QComboBox()
        self.load_button, self.note = QPushButton("Show thumbnails"), make_note()
        self.load_button.setToolTip("Reads the first image of each well.")
        self.size, self.size_text = QSlider(Qt.Orientation.Horizontal), QLabel(FIT)
        self.size.setRange(LEAST_PX, MOST_PX)
        self.size.setSingleStep(8)
        self.size.setPageStep(32)
        self.size.setToolTip("How large a well is drawn; at the left end all wells are seen at once.")
        self.size.setAccessibleName("Size of the thumbnails")
        row = QHBoxLayout()
        for box, name in ((self.channel, "Channel"), (self.flag, "Only wells with this flag")):
            narrow(box)
            box.setToolTip(name)
            box.setAccessibleName(name)
            row.addWidget(box)
        row.addWidget(self.load_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(row)
        column.addWidget(self.note)
        column.addWidget(scrolling(self.grid), 1)
        sizes = QHBoxLayout()
        sizes.addWidget(QLabel("Size"))
        sizes.addWidget(self.size, 1)
        sizes.addWidget(self.size_text)
        column.addLayout(sizes)
        self.size.valueChanged.connect(self._resize)
        self.load_button.clicked.connect(self.load)
        self.channel.currentIndexChanged.connect(lambda _: self.load() if self.grid.pictures else None)
        self.flag.currentIndexChanged.connect(self._filter)
        self.grid.clicked.connect(self.opened.emit)
        self.set_plate(None)
        self.set_results(None)

    def _resize(self, side_px: int) -> None:
        self.size_text.setText(f"{side_px} px" if side_px else FIT)
        self.grid.set_side(side_px)

    def set_plate(self, plate: Plate | None) -> None:
        """Show another plate."""
        self.stop()
        self._plate = plate
        self.grid.pictures, self._limits = {}, None
        self.channel.blockSignals(True)
        self.channel.clear()
        for number, name in enumerate((plate.channels if plate is not None else ()) or ("Channel 1",)):
            self.channel.addItem(name, number)
        self.channel.blockSignals(False)
        self.load_button.setEnabled(plate is not None)
        shape = (plate.rows, plate.columns) if plate is not None else (8, 12)
        self.grid.set_colours(np.zeros((*shape, 4), np.uint8))
        self.grid.fill_with(plate.wells if plate is not None else ())
        self.grid.set_side(self.size.value())
        self.note.setText(
            "The first image of each well is drawn by: Show thumbnails." if plate is not None else "Open a plate first."
        )

    def set_results(self, results: PlateResults | None) -> None:
        """Offer the flags of a run to filter by."""
        self._results = results
        flags = results.flags() if results is not None else ()
        refill(self.flag, [("All wells", ""), *((flag, flag) for flag in flags)])
        self._filter()

    def _filter(self, *_: object) -> None:
        flag = self.flag.currentData()
        self.grid.kept = self._results.with_flag(flag) if flag and self._results is not None else None
        self.grid.update()

    def stop(self) -> None:
        """Load no more."""
        self._number += 1

    def load(self) -> None:
        """Load the pictures, a few at a time."""
        if self._plate is None:
            return
        self.stop()
        self.grid.pictures, self._limits = {}, None
        first = [self._plate.in_well(well)[0] for well in self._plate.wells]
        self._next(self._number, first, 0)

    def _next(self, number: int, sites: Sequence[Site], done: int) -> None:
        if number != self._number:
            return
        if done >= len(sites):
            self.note.setText("")
            return
        self.note.setText(f"{done} of {len(sites)} wells")
        some, channel = sites[done : done + AT_ONCE], int(self.channel.currentData() or 0)

        def then(found: Any) -> None:
            if number != self._number:
                return
            for well, picture in found if isinstance(found, list) else []:
                self._limits = self._limits or grey_limits(picture)  # of the first well: wells can be compared
                self.grid.pictures[well] = as_picture(picture, self._limits)
            self.grid.update()
            self._next(number, sites, done + AT_ONCE)

        self._launch(lambda: [one for site in some if (one := thumbnail(site, channel)) is not None], then)


def grey_limits(picture: NDArray[np.float32]) -> tuple[float, float]:
    """Return what is drawn black and what white: the 0.5th and 99.5th percentile of a small picture (h, w)."""
    low, high = np.percentile(picture, LIMIT_PERCENT)
    return float(low), float(high) if high > low else float(low) + 1


def as_picture(picture: NDArray[np.float32], limits: tuple[float, float]) -> QImage:
    """Return a small picture (h, w) in grey, black and white at the limits."""
    low, high = limits
    grey = np.ascontiguousarray((np.clip((picture - low) / (high - low), 0, 1) * 255).astype(np.uint8))
    height, width = grey.shape
    return QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8).copy()


def thumbnail(site: Site, channel: int) -> tuple[Well, NDArray[np.float32]] | None:
    """Read the middle plane of an image, every so many pixels; None where it cannot be read."""
    try:
        image = site.open()
        plane = image.plane(c=min(channel, image.sizes["C"] - 1), z=image.sizes["Z"] // 2)
        step = max(1, min(image.shape_yx) // SIDE_PX)
        small = np.asarray(plane[::step, ::step], np.float32)
    except VitascopeError:
        return None
    return site.well, np.nan_to_num(small)
