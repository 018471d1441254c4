"""Points and Shapes layers as truth: a column of theirs is the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSpinBox, QVBoxLayout, QWidget

from vitascope.core.errors import InputError
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow
from vitascope.gui.layers.frame import Frame
from vitascope.ops.objects.annotations import class_numbers, ellipse, paint, square

ANNOTATIONS = (Points, Shapes)
SIDE_PX = 64
AREAS = ("polygon", "rectangle", "ellipse")


class AnnotationRow(QWidget):  # type: ignore[misc]
    """Asks for the column of the class, and how much of the image belongs to a point."""

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.column, self.side, self.note = QComboBox(), QSpinBox(), make_note()
        narrow(self.column)
        self.side.setRange(3, 10_000)
        self.side.setValue(SIDE_PX)
        self.side.setSuffix(" px")
        self._form = make_form()
        tip = (
            "Column of the layer's features that holds the class: its name, or 1 for the first. Where all points have "
            "one class, it is that of the whole image."
        )
        add_row(self._form, "Class column", self.column, tip)
        add_row(self._form, "Around points", self.side, "Side of the square around each point that has its class.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._form)
        layout.addWidget(self.note)
        self.column.currentIndexChanged.connect(lambda _: self.valueChanged.emit())

    def show_layer(self, layer: Any) -> None:
        """Offer the columns of a layer; hidden for layers of another kind."""
        self.setVisible(isinstance(layer, ANNOTATIONS))
        if not isinstance(layer, ANNOTATIONS):
            return
        self._form.setRowVisible(self.side, isinstance(layer, Points))
        columns = [str(name) for name in layer.features.columns]
        if columns != [self.column.itemText(i) for i in range(self.column.count())]:
            before = self.column.currentText()
            self.column.blockSignals(True)
            self.column.clear()
            self.column.addItems(columns)
            named = [name for name in columns if name.lower() in ("class", "label", "phenotype")]
            self.column.setCurrentText(before if before in columns else (named or columns or [""])[0])
            self.column.blockSignals(False)
        self.note.setText(self.problem())
        self.note.setVisible(bool(self.problem()))

    def problem(self) -> str:
        """Say what is missing; empty if nothing is, or nothing is asked for."""
        if self.isHidden() or self.column.count():
            return ""
        return "The layer has no features: give it a column with the class of each point or shape."


def painted_from(
    layer: Any, frame: Frame, shape_yx: tuple[int, int], column: str, side_px: float, classes: Sequence[str]
) -> NDArray[np.uint32]:
    """Paint an image's pixels by the points or shapes that lie on it.

    Points of several classes have squares around them; points of one class say that the whole image is of it.

    Parameters
    ----------
    layer : Points or Shapes
    frame : Frame
        Where the image lies.
    shape_yx : tuple of int
        Of the image.
    column : str
        Of the layer's features.
    side_px : float
        Of the square around a point, in pixels of the image.
    classes : sequence of str

    Raises
    ------
    InputError
        If there is no such column, a value in it is no class, or the layer holds nothing with an area.
    """
    if column not in layer.features.columns:
        raise InputError(f"'{layer.name}' has no feature '{column}'.", "Choose the column of the class.")
    numbers = class_numbers(list(layer.features[column]), classes)
    if isinstance(layer, Points):
        if len(shown := set(numbers) - {0}) == 1:
            return np.full(shape_yx, shown.pop(), np.uint32)
        outlines = [square(_on_image(layer, frame, point[None])[0], side_px) for point in np.asarray(layer.data)]
        return paint(shape_yx, outlines, numbers)
    kinds = list(layer.shape_type)
    chosen = [i for i, kind in enumerate(kinds) if kind in AREAS]
    if not chosen:
        raise InputError(f"'{layer.name}' holds no shape with an area.", "Draw polygons, rectangles or ellipses.")
    corners = [_on_image(layer, frame, np.asarray(layer.data[i])) for i in chosen]
    outlines = [ellipse(c) if kinds[i] == "ellipse" else c for i, c in zip(chosen, corners, strict=True)]
    return paint(shape_yx, outlines, [numbers[i] for i in chosen])


def _on_image(layer: Any, frame: Frame, points: NDArray[Any]) -> NDArray[np.float64]:
    """Return points (N, D) of a layer as pixels (N, 2) of an image; they may have fewer or more dimensions."""
    found = []
    for point in points:
        world = np.asarray(layer.data_to_world(point), float)
        padded = np.zeros(len(frame.axes))
        count = min(len(world), len(padded))
        padded[-count:] = world[-count:]
        found.append(frame.grid.inverse(frame.affine.inverse(padded)))
    pixels = np.array(found)
    return np.asarray(pixels[:, [frame.axes.index("Y"), frame.axes.index("X")]], np.float64)
