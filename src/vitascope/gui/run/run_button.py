"""The button that runs: the dock's verb, the image it would take, and the model."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget

from vitascope.gui.common.layout import RUN_STYLE

MARGIN_PX = 24


class RunButton(QPushButton):  # type: ignore[misc]
    """Shows what a click does, without the model and then shortened where the dock is narrow; all of it on hover.

    Parameters
    ----------
    verb : str
        What the text begins with.
    tip : str
        What the task does.
    """

    def __init__(self, verb: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(verb, parent)
        self._verb, self._tip, self._full = verb, tip, verb
        self._short = verb
        self.setStyleSheet(RUN_STYLE)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.offer()

    def offer(self, image: str = "", model: str = "") -> None:
        """Name the image and the model that a click takes; empty for none."""
        self.say(*(" · ".join(filter(None, parts)) for parts in ((self._verb, image, model), (self._verb, image))))

    def say(self, text: str, short: str = "") -> None:
        """Show another text, such as Cancel; where it has no room, a shorter one."""
        self._full, self._short = text, short or text
        self.setToolTip(f"{text}\n{self._tip}")
        self.setAccessibleName(text)
        self._fit()

    def _fit(self) -> None:
        room = self.width() - MARGIN_PX
        fits = self.fontMetrics().horizontalAdvance(self._full) <= room
        told = self._full if fits else self._short
        shown = self.fontMetrics().elidedText(told, Qt.TextElideMode.ElideMiddle, room)
        # '&' would be taken for the mark of a key.
        self.setText((shown if shown.startswith(self._verb) else told).replace("&", "&&"))

    def resizeEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Fit the text to the width."""
        super().resizeEvent(event)
        self._fit()

    def minimumSizeHint(self) -> QSize:  # noqa: N802, Qt's name
        """Ask for room for the verb only."""
        return QSize(self.fontMetrics().horizontalAdvance(self._verb) + MARGIN_PX, self.sizeHint().height())
