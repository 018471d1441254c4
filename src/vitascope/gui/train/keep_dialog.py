"""The last question before a network of another program is kept: whether each picture is what its name says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from vitascope.core.result import ImageOutput
from vitascope.gui.common.layout import make_note, scrolling

THUMBNAIL_PX = 200
COLUMNS = 3
SHOWN = (1.0, 99.5)
"""Percentiles that are black and white."""


class KeepQuestion(QDialog):  # type: ignore[misc]
    """Shows each picture that a network answered with, under the name it would have.

    Parameters
    ----------
    model : str
    names : sequence of str
    pictures : sequence of array, each (Y, X)
    """

    kept = Signal(object)
    """Names, in the network's order."""

    discarded = Signal()

    def __init__(
        self, model: str, names: Sequence[str], pictures: Sequence[NDArray[Any]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Keep '{model}'?")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.editors = [QLineEdit(name) for name in names]
        note, self.fault = make_note(), make_note()
        note.setText(
            "Look at each picture: nothing but your eye tells whether it is what its name says. Put names right that "
            "are swapped. Nobody told what images it was trained on: it is never marked as fitting yours until you fit "
            "a domain."
        )
        inner = QWidget()
        grid = QGridLayout(inner)
        for n, (picture, editor) in enumerate(zip(pictures, self.editors, strict=True)):
            label = QLabel()
            label.setPixmap(thumbnail(picture))
            editor.setAccessibleName(f"Name of picture {n + 1}")
            grid.addWidget(label, 2 * (n // COLUMNS), n % COLUMNS)
            grid.addWidget(editor, 2 * (n // COLUMNS) + 1, n % COLUMNS)
        self.buttons = QDialogButtonBox()
        self.keep_button = self.buttons.addButton("Keep", QDialogButtonBox.ButtonRole.AcceptRole)
        self.discard_button = self.buttons.addButton("Discard", QDialogButtonBox.ButtonRole.RejectRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(scrolling(inner), 1)
        for part in (note, self.fault, self.buttons):
            layout.addWidget(part)
        self.fault.hide()
        across, down = min(COLUMNS, len(names)), min(2, -(-len(names) // COLUMNS))
        self.resize(max(420, across * (THUMBNAIL_PX + 20) + 40), down * (THUMBNAIL_PX + 50) + 150)

    def accept(self) -> None:
        """Keep it under the names that stand below the pictures."""
        names = [editor.text().strip() for editor in self.editors]
        if not all(names) or len({n.lower() for n in names}) < len(names):
            self.fault.setText("Each picture wants a name of its own.")
            self.fault.show()
            return
        self.kept.emit(names)
        super().accept()

    def reject(self) -> None:
        """Let go of it."""
        self.discarded.emit()
        super().reject()


def middle_pictures(output: ImageOutput) -> list[NDArray[np.float32]]:
    """Return the middle plane of the first time of each channel, (Y, X)."""
    axes = output.axes[:-2]
    found = []
    for k in range(len(output.channel_names)):
        at = tuple(
            {"T": 0, "C": k, "Z": size // 2}[letter] for letter, size in zip(axes, output.array.shape, strict=False)
        )
        found.append(np.asarray(output.array[at], np.float32))
    return found


def thumbnail(picture: NDArray[Any]) -> QPixmap:
    """Draw a picture small, grey, between two percentiles."""
    step = max(1, max(picture.shape) // (2 * THUMBNAIL_PX))
    small = np.asarray(picture[::step, ::step], np.float32)
    low, high = np.percentile(small, SHOWN)
    grey = np.clip((small - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    height, width = grey.shape
    image = QImage(np.ascontiguousarray(grey).tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image.copy()).scaled(
        THUMBNAIL_PX,
        THUMBNAIL_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
