"""Show the dock "Predict nuclei" what a nucleus is: circle one for the scale, point at some for the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.gui.common.layout import Collapsible, add_row, make_form, make_note, narrow
from vitascope.io.results.settings_file import free_settings_name, list_settings, read_settings, settings_path
from vitascope.ops.objects.pointed_settings import LEAST_POINTS, PointedSettings

SHOWN_FOR = "vitascope_shown_for"
CIRCLED, POINTED = "one nucleus", "nuclei pointed at"
LEAST_DIAMETER_PX = 3.0
MOST_POINTS = 30
NONE_KEPT, OWN = "none kept yet", "choose …"
COLOUR = "#E69F00"
POINT_TOLD = "{n} of {least} to {most}"


def ellipse_diameter(vertices: NDArray[np.floating]) -> float:
    """Return the mean diameter of an ellipse in its layer's pixels, from the corners of its box, shape (4, D)."""
    corners = np.asarray(vertices, float)[:, -2:]
    sides = np.linalg.norm(np.diff(np.vstack([corners, corners[:1]]), axis=0), axis=1)
    return float(sides.mean())


class NucleiBox(QWidget):  # type: ignore[misc]
    """Asks to be shown nuclei.

    Parameters
    ----------
    viewer : ViewerModel
    image : callable
        Returns the layer of the image that a run would be made on; None where there is none.
    task : str
        Whose settings are kept.
    """

    fit_asked = Signal(str)
    """Name of the settings to be fitted to the points."""

    taken = Signal(dict)
    """Parameters to be put into the dock."""

    def __init__(
        self, viewer: Any, image: Callable[[], Image | None], task: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._image, self._task = viewer, image, task
        self._ready = True
        self.circle_button, self.circle_note = QPushButton("Circle one nucleus"), make_note()
        self.point_button, self.point_note = QPushButton("Point at nuclei"), make_note()
        self.name, self.fit_button = QLineEdit(), QPushButton("Fit the counts")
        self.kept, self.said = QComboBox(), make_note()
        self._lay_out()
        self.circle_button.clicked.connect(self.circle)
        self.point_button.clicked.connect(self.point)
        self.fit_button.clicked.connect(self._ask)
        self.kept.activated.connect(self._take)
        self.reload()

    def _lay_out(self) -> None:
        self.circle_button.setToolTip(
            "Drag a circle over one typical nucleus: its diameter is what images are scaled by."
        )
        self.point_button.setToolTip(
            "Click on every nucleus in a part of the image, 10 to 30: threshold, smallest object and least signal are "
            "chosen by them. No stain is needed."
        )
        self.fit_button.setToolTip(
            "Predicts the stain, tries settings, and keeps the ones that find what was pointed at."
        )
        buttons = QGridLayout()
        buttons.addWidget(self.circle_button, 0, 0)
        buttons.addWidget(self.circle_note, 0, 1)
        buttons.addWidget(self.point_button, 1, 0)
        buttons.addWidget(self.point_note, 1, 1)
        buttons.setColumnStretch(1, 1)
        row = QWidget()
        across = QHBoxLayout(row)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.name, 1)
        across.addWidget(self.fit_button)
        form = make_form()
        add_row(form, "Name", row, "What the fitted settings are kept under.", self.name)
        narrow(self.kept)
        add_row(form, "Kept settings", self.kept, "Settings that were fitted before, for this or other images.")
        column = QVBoxLayout()
        column.addLayout(buttons)
        column.addLayout(form)
        self.said.hide()
        self.fold = Collapsible("Show it your nuclei", column)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        for part in (self.fold, self.said):
            whole.addWidget(part)

    # -- layers to draw on ------------------------------------------------------------------------------------------

    def circle(self) -> None:
        """Offer a layer to drag a circle on."""
        layer = self._layer(Shapes, CIRCLED, edge_width=2, edge_color=COLOUR, face_color="transparent")
        if layer is None:
            return
        layer.data = []
        layer.mode = "add_ellipse"
        self.circle_note.setText("drag over one nucleus")

    def point(self) -> None:
        """Offer a layer to point on."""
        layer = self._layer(Points, POINTED, size=8, symbol="cross", face_color=COLOUR, border_width=0)
        if layer is not None:
            layer.mode = "add"
            self.refresh()

    def _layer(self, kind: type[Layer], what: str, **look: Any) -> Any:
        """Return the layer that something is shown on for the image, made where there is none yet."""
        image = self._image()
        if image is None:
            return None
        layer = self._found(kind, image)
        if layer is None:
            place = {
                name: getattr(image, name) for name in ("scale", "translate", "rotate", "shear", "units", "axis_labels")
            }
            told = {SHOWN_FOR: str(image.unique_id)}
            name = f"{what} · {image.name}"
            layer = kind(ndim=image.ndim, name=name, metadata=told, affine=image.affine, **place, **look)
            self._viewer.add_layer(layer)
            layer.events.data.connect(lambda event: self._changed(layer))
            layer.mouse_drag_callbacks.append(self._dragged)
        self._viewer.layers.selection.active = layer
        return layer

    def _found(self, kind: type[Layer], image: Image) -> Any:
        wanted = str(image.unique_id)
        mine = (one for one in self._viewer.layers if isinstance(one, kind))
        return next((one for one in mine if one.metadata.get(SHOWN_FOR) == wanted), None)

    def _dragged(self, layer: Any, event: Any) -> Iterator[None]:
        yield
        while event.type == "mouse_move":
            yield
        self._changed(layer)

    def _changed(self, layer: Any) -> None:
        if isinstance(layer, Points):
            self.refresh()
        elif len(layer.data):
            diameter = ellipse_diameter(layer.data[-1])
            if diameter >= LEAST_DIAMETER_PX:
                self.circle_note.setText(f"about {diameter:.0f} px across")
                self.taken.emit({"object_diameter_px": round(diameter, 1)})

    def points_yx(self) -> NDArray[np.float64]:
        """Return rows and columns of the points of the image, shape (N, 2), px."""
        image = self._image()
        layer = self._found(Points, image) if image is not None else None
        return np.zeros((0, 2)) if layer is None else np.asarray(layer.data, float)[:, -2:]

    # -- fitting ----------------------------------------------------------------------------------------------------

    def set_ready(self, ready: bool) -> None:
        """Note whether the dock could run now: without a model or an image nothing is fitted."""
        self._ready = ready
        self.refresh()

    def refresh(self) -> None:
        """Show how many were pointed at, and whether that is enough."""
        count, image = len(self.points_yx()), self._image()
        told = POINT_TOLD.format(n=count, least=LEAST_POINTS, most=MOST_POINTS)
        self.point_note.setText(told)
        for button in (self.circle_button, self.point_button):
            button.setEnabled(image is not None)
        self.fit_button.setEnabled(self._ready and count >= LEAST_POINTS)
        if image is not None and not self.name.isModified():
            self.name.setText(free_settings_name(image.name, self._task))

    def _ask(self) -> None:
        name = self.name.text().strip()
        try:
            settings_path(name, self._task)
        except VitascopeError as error:
            self.say(error.in_dock)
            return
        if name in list_settings(self._task):
            self.say(f"There are settings '{name}' already: take '{free_settings_name(name, self._task)}'.")
            return
        self.fit_asked.emit(name)

    def show_fitted(self, name: str, found: PointedSettings) -> None:
        """Put what was fitted into the dock, and say how well it does."""
        self.name.setModified(False)
        self.reload(name)
        self._take()
        self.say(
            f"{found.found} of {found.points} found, {found.extra} more that nobody pointed at. F1 of nuclei left out "
            f"while choosing {found.f1:.2f}, with the settings before {found.f1_before:.2f}. Kept as '{name}'."
        )
        self.refresh()

    def say(self, text: str) -> None:
        """Say something below; nothing for an empty text."""
        self.said.setText(text)
        self.said.setVisible(bool(text))

    # -- kept settings ----------------------------------------------------------------------------------------------

    def reload(self, chosen: str = "") -> None:
        """List what is kept."""
        names = list_settings(self._task)
        self.kept.clear()
        self.kept.addItem(OWN if names else NONE_KEPT, "")
        for name in names:
            self.kept.addItem(name, name)
        self.kept.setCurrentIndex(max(0, self.kept.findData(chosen)))
        self.kept.setEnabled(bool(names))

    def _take(self, *_: object) -> None:
        name = self.kept.currentData()
        if not name:
            return
        try:
            values: Mapping[str, Any] = read_settings(settings_path(name, self._task), self._task)
        except VitascopeError as error:
            self.say(error.in_dock)
            return
        self.say("")
        self.taken.emit(dict(values))
