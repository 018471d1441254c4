"""Which image of a well is shown, where it has several fields or times."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget


class FieldBar(QWidget):  # type: ignore[misc]
    """A slider over the images of the well that is shown; hidden where there is one only."""

    chosen = Signal(str)
    """Name of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.images: tuple[str, ...] = ()
        self.title, self.slider, self.said = QLabel(), QSlider(Qt.Orientation.Horizontal), QLabel()
        self.slider.setPageStep(1)
        self.slider.setAccessibleName("Field of the well")
        self.slider.setToolTip("Images of this well: fields, and times where there are several.")
        across = QHBoxLayout(self)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.title)
        across.addWidget(self.slider, 1)
        across.addWidget(self.said)
        self.slider.valueChanged.connect(self._moved)
        self.hide()

    def show_well(self, well: str, images: Sequence[str]) -> None:
        """Offer the images of another well, the first one shown."""
        self.images = tuple(images)
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(0, len(images) - 1))
        self.slider.setValue(0)
        self.slider.blockSignals(False)
        self.title.setText(f"{well}, field")
        self._say()
        self.setVisible(len(images) > 1)

    def _say(self) -> None:
        self.said.setText(f"{self.slider.value() + 1} of {len(self.images)}")

    def _moved(self, number: int) -> None:
        self._say()
        self.chosen.emit(self.images[number])
