"""What the dock "Predict nuclei" asks and offers where a model predicts several stains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from vitascope.core.card import ModelCard
from vitascope.core.errors import VitascopeError
from vitascope.core.stain_names import COLOURS, overlay_stains
from vitascope.gui.common.layout import make_note
from vitascope.gui.layers.snapshot import OWN
from vitascope.io.results.rgb import write_rgb

TARGETS_TIP = "Which stains to predict; one run makes all of them."
OVERLAY, SAVE = "RGB overlay", "Save overlay …"
OVERLAY_TIP = "Show ER in red, cells in green and nuclei in blue, added up on black; once more for what was before."
COLUMNS = 3


class TargetBox(QWidget):  # type: ignore[misc]
    """Chooses among the stains of a model; unseen where there is one alone."""

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.boxes: dict[str, QCheckBox] = {}
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.title = make_note()
        self.title.setText("Stains to predict")
        column.addWidget(self.title)
        column.addLayout(self._grid)
        self.offer(None)

    def offer(self, card: ModelCard | None) -> None:
        """Offer the stains of a model; what was left out of the same stains stays so."""
        names = [target.name for target in card.targets] if card is not None else []
        if list(self.boxes) != names:
            for box in self.boxes.values():
                self._grid.removeWidget(box)
                box.deleteLater()
            self.boxes = {}
            for number, name in enumerate(names):
                box = QCheckBox(name)
                box.setToolTip(TARGETS_TIP)
                box.setAccessibleName(f"Predict {name}")
                box.setChecked(True)
                box.toggled.connect(lambda _: self.valueChanged.emit())
                self._grid.addWidget(box, number // COLUMNS, number % COLUMNS)
                self.boxes[name] = box
        self.setVisible(len(names) > 1)

    def value(self) -> tuple[str, ...] | None:
        """Return the stains that are ticked; None for all of them."""
        ticked = tuple(name for name, box in self.boxes.items() if box.isChecked())
        return None if len(ticked) == len(self.boxes) else ticked

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        return "Tick a stain to predict." if self.value() == () else ""


class OverlayBox(QWidget):  # type: ignore[misc]
    """Shows predicted stains as one picture in red, green and blue, and saves it.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: dict[str, Image] = {}
        self._before: list[tuple[Layer, dict[str, Any]]] = []
        self.show_button, self.save_button, self.said = QPushButton(OVERLAY), QPushButton(SAVE), make_note()
        self.show_button.setCheckable(True)
        self.show_button.setToolTip(OVERLAY_TIP)
        self.save_button.setToolTip("Save this overlay as a picture (PNG or TIFF) that any program shows.")
        self.show_button.toggled.connect(self._toggle)
        self.save_button.clicked.connect(self.choose_file)
        across = QHBoxLayout()
        across.addWidget(self.show_button)
        across.addWidget(self.save_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(across)
        column.addWidget(self.said)
        self.clear()

    def clear(self) -> None:
        """Offer nothing; an overlay that is shown stays as it is."""
        self._layers, self._before = {}, []
        self.show_button.blockSignals(True)
        self.show_button.setChecked(False)
        self.show_button.blockSignals(False)
        self.said.hide()
        self.hide()

    def offer(self, names: Sequence[str], layers: Sequence[Layer]) -> None:
        """Offer an overlay of the layers of a run, where there are two or more stains with a colour.

        Parameters
        ----------
        names : sequence of str
            Of the predicted stains.
        layers : sequence of Layer
            Of the run; those of the prediction come first, one for each stain.
        """
        self.clear()
        pictures = [layer for layer in layers if isinstance(layer, Image)][: len(names)]
        by_name = dict(zip(names, pictures, strict=False))
        shown = overlay_stains(names)
        self._layers = {colour: by_name[name] for colour, name in shown.items() if name in by_name}
        self.setVisible(bool(self._layers))

    def _toggle(self, shown: bool) -> None:
        if not shown:
            self._restore()
            return
        mine = list(self._layers.values())
        others = [layer for layer in self._viewer.layers if layer not in mine and layer.visible]
        self._before = [(layer, {"visible": True}) for layer in others]
        for colour, layer in self._layers.items():
            look = {name: getattr(layer, name) for name in ("colormap", "blending", "opacity", "visible")}
            self._before.append((layer, look))
            layer.colormap, layer.blending, layer.opacity = colour, "additive", 1.0
            layer.visible = True
        for layer in others:
            layer.visible = False

    def _restore(self) -> None:
        for layer, look in self._before:
            if layer in self._viewer.layers:
                for name, value in look.items():
                    setattr(layer, name, value)
        self._before = []

    def picture(self) -> NDArray[np.uint8]:
        """Return what the overlay shows of the plane in view, shape (Y, X, 3), uint8."""
        planes = {colour: self._plane(layer) for colour, layer in self._layers.items()}
        shape = next(iter(planes.values())).shape
        stacked = [planes.get(colour, np.zeros(shape, np.float32)) for colour in COLOURS]
        return np.round(np.clip(np.stack(stacked, -1), 0, 1) * 255).astype(np.uint8)

    def _plane(self, layer: Image) -> NDArray[np.float32]:
        data = layer.data[0] if layer.multiscale else layer.data
        place = layer.world_to_data(self._viewer.dims.point[-layer.ndim :])
        leading = tuple(
            int(np.clip(round(float(at)), 0, size - 1)) for at, size in zip(place[:-2], data.shape[:-2], strict=True)
        )
        low, high = layer.contrast_limits
        return np.asarray((np.asarray(data[leading], np.float32) - low) / (high - low), np.float32)

    def choose_file(self) -> None:
        """Ask where to, and save."""
        told = next(iter(self._layers.values())).metadata.get(OWN, {}).get("shown", {})
        name, _ = QFileDialog.getSaveFileName(
            self, "Save overlay", f"{told.get('of', 'overlay')}_overlay.png", "Pictures (*.png *.tif)"
        )
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Save the overlay as a picture; says what became of it."""
        if path.suffix.lower() not in (".png", ".tif", ".tiff"):
            path = path.with_name(f"{path.name}.png")
        try:
            write_rgb(path, self.picture())
        except VitascopeError as error:
            self.said.setText(f"{error.message} {error.dock_hint}".strip())
        else:
            self.said.setText(f"Saved {path}.")
        self.said.show()
