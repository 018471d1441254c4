"""Reopen last results: the images, pictures and painted labels of the session before this one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.compat import isalive
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.gui.common.layout import make_note
from vitascope.gui.common.runner import Launch, RunOutcome, in_background
from vitascope.gui.layers.add import LayerData, image_layers
from vitascope.gui.layers.display import attend
from vitascope.gui.reader import results_layers
from vitascope.gui.session.folder import Painted, last_session, read_painted, read_runs

REOPEN = "Reopen last results"


class ReopenBox(QWidget):  # type: ignore[misc]
    """Offers the last session as long as nothing is open; hidden where there is none.

    Parameters
    ----------
    viewer : ViewerModel
    launch : Launch
        Reads files in a thread by default.
    """

    def __init__(self, viewer: Any, launch: Launch = in_background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._launch = viewer, launch
        self._folder = last_session()
        self.button, self.said = QPushButton(REOPEN), make_note()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.said)
        self.said.hide()
        self.button.clicked.connect(self.reopen)
        if self._folder is not None:
            names = dict.fromkeys(str(run["image"]) for run in read_runs(self._folder))
            self.button.setToolTip(f"Images, results and painted labels of {', '.join(names) or 'the last session'}.")
        self.layers_changed()

    def layers_changed(self) -> None:
        """Offer it only in an empty viewer."""
        self.button.setVisible(self._folder is not None and not len(self._viewer.layers))
        self.setVisible(not self.button.isHidden() or not self.said.isHidden())

    def reopen(self) -> None:
        """Read the last session, and show it as it was shown."""
        folder = self._folder
        if folder is not None:
            self.button.setEnabled(False)
            self._launch(lambda: read_session(folder), self._show)

    def _show(self, found: Any) -> None:
        if not isalive(self):
            return
        self.button.setEnabled(True)
        if isinstance(found, RunOutcome):
            self._say(f"{found.message} {found.hint}")
            return
        layers, painted, problems = found
        attend(self._viewer)
        for one in layers:
            self._viewer.add_layer(Layer.create(*one))
        for one in painted:
            show_painted(self._viewer, one)
        self._say(" ".join(problems))

    def _say(self, text: str) -> None:
        self.said.setText(text.strip())
        self.said.setVisible(bool(text.strip()))
        self.layers_changed()


def read_session(folder: Path) -> tuple[list[LayerData], list[Painted], list[str]]:
    """Read what a session kept: images, results, what was painted, and what is no longer there.

    The image that was run last is visible with its results; others wait unseen.
    """
    from vitascope.io.images.read import read_image  # readers are loaded with the first file, not with napari

    images: dict[tuple[str, ...], list[LayerData]] = {}
    results: list[LayerData] = []
    problems: list[str] = []
    runs = read_runs(folder)
    for run in runs:
        sources, last = tuple(run["sources"]), run["image"] == runs[-1]["image"]
        try:
            if sources and sources not in images:
                images[sources] = [_seen_if(last, one) for one in image_layers(read_image(list(sources)))]
        except VitascopeError as error:
            problems.append(f"The image '{run['image']}' is not shown: {error.message}")
        try:
            made = results_layers(folder / f"run-{run['number']}")
            results += [_seen_if(last, on_image(one, images.get(sources, []))) for one in made]
        except VitascopeError as error:
            problems.append(f"The results of '{run['image']}' are not shown: {error.message}")
    return [*(layer for made in images.values() for layer in made), *results], read_painted(folder), problems


def _seen_if(wanted: bool, layer: LayerData) -> LayerData:
    data, options, kind = layer
    return data, {**options, "visible": wanted and options.get("visible", True)}, kind


def on_image(result: LayerData, image: Sequence[LayerData]) -> LayerData:
    """Lay a result on its image's grid, along the axes that both have: a pixel size that a user typed is in neither."""
    data, options, kind = result
    if not image:
        return result
    place, options = image[0][1], dict(options)
    grid = zip(place["scale"], place["translate"], place["units"], strict=True)
    known = dict(zip(place["axis_labels"], grid, strict=True))
    own = zip(options["scale"], options["translate"], options["units"], strict=True)
    laid = [known.get(label, one) for label, one in zip(options["axis_labels"], own, strict=True)]
    for name, values in zip(("scale", "translate", "units"), zip(*laid, strict=True), strict=True):
        options[name] = values
    return data, options, kind


def show_painted(viewer: Any, painted: Painted) -> None:
    """Show painted labels: in the result they were painted on where it is there again, else in a layer of their own."""
    for layer in viewer.layers:
        same = isinstance(layer, Labels) and layer.name == painted.options["name"] and not layer.multiscale
        if same and layer.data.shape == painted.array.shape:
            layer.data, layer.visible = np.asarray(painted.array), True
            return
    viewer.add_labels(painted.array, **painted.options)
