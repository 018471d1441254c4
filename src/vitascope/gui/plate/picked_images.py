"""The images that were drawn around in a picture of points: small pictures in a row, to be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QListView, QListWidget, QListWidgetItem

from vitascope.batch.plate.results import PlateResults
from vitascope.core.errors import VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.runner import Launch
from vitascope.gui.plate.thumbnail_box import as_picture, grey_limits, thumbnail
from vitascope.io.plates.plate import Site

SIDE_PX = 72
PLACE = QSize(SIDE_PX + 8, SIDE_PX + 24)
MOST = 100
"""Small pictures that are read; the others are named only."""

AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image that was chosen.

    Parameters
    ----------
    results : PlateResults
    image, time : str
    well : Well
    """

    results: PlateResults
    image: str
    time: str
    well: Well


class PickedImages(QListWidget):  # type: ignore[misc]
    """Chosen images by well, with a small picture each as soon as it is read.

    Parameters
    ----------
    launch : Launch
    """

    opened = Signal(object)
    """The :class:`PickedImage` that was clicked."""

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch, self._asked = launch, 0
        self._limits: tuple[float, float] | None = None
        self._sites: dict[str, dict[str, Site]] = {}
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setIconSize(QSize(SIDE_PX, SIDE_PX))
        self.setSpacing(2)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFixedHeight(SIDE_PX + 52)
        self.setAccessibleName("Images that were drawn around")
        self.itemClicked.connect(lambda item: self.opened.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.hide()

    def show_images(self, picked: Sequence[PickedImage]) -> None:
        """List images, and read their small pictures; none hides the list."""
        self._asked += 1
        self.clear()
        self._limits = None
        for one in picked:
            item = QListWidgetItem(f"{one.well} {one.time}".strip())
            item.setData(Qt.ItemDataRole.UserRole, one)
            item.setToolTip(f"{one.image}, {one.results.name}; click to see it")
            item.setSizeHint(PLACE)  # of the picture too, which comes later
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self.addItem(item)
        self.setVisible(bool(picked))
        if picked:
            self._read(self._asked, list(picked[:MOST]), 0)

    def _read(self, asked: int, picked: list[PickedImage], done: int) -> None:
        some = picked[done : done + AT_ONCE]

        def then(found: Any) -> None:
            if asked != self._asked or not isinstance(found, list):
                return
            for number, picture in enumerate(found, done):
                if picture is not None:
                    self._limits = self._limits or grey_limits(picture)
                    pixmap = QPixmap.fromImage(as_picture(picture, self._limits))
                    self.item(number).setIcon(QIcon(pixmap))
            if done + AT_ONCE < len(picked):
                self._read(asked, picked, done + AT_ONCE)

        self._launch(lambda: [self._picture(one) for one in some], then)

    def _picture(self, one: PickedImage) -> NDArray[np.float32] | None:
        """Return a small picture of an image, None where its plate is gone or it cannot be read."""
        key = str(one.results.folder)
        if key not in self._sites:
            try:
                self._sites[key] = {site.id: site for site in one.results.open_plate()}
            except VitascopeError:
                self._sites[key] = {}
        site = self._sites[key].get(one.image)
        read = thumbnail(site, 0) if site is not None else None
        return None if read is None else read[1]
