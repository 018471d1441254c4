"""Painted labels are saved while they are painted, a moment after a stroke."""

from __future__ import annotations

import logging
import weakref
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from vitascope.core.errors import VitascopeError
from vitascope.gui.common.runner import Launch, RunOutcome, in_background
from vitascope.gui.layers.snapshot import checksum
from vitascope.gui.session.folder import Painted, keep_painted

logger = logging.getLogger(__name__)

WAIT_MS = 1500
"""A stroke is on disk at most so long after it, also while painting goes on."""


class Autosave(QObject):  # type: ignore[misc]
    """Follows the labels of a viewer.

    Parameters
    ----------
    viewer : ViewerModel
    launch : Launch
        Writes in a thread by default.
    """

    def __init__(self, viewer: Any, launch: Launch = in_background) -> None:
        super().__init__()
        self._launch = launch
        self._painted: list[Labels] = []
        self._saved: weakref.WeakKeyDictionary[Labels, int | None] = weakref.WeakKeyDictionary()
        """Layers that were ever painted, with the checksum of what is on disk."""
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(WAIT_MS)
        self._wait.timeout.connect(self.save)
        for layer in viewer.layers:
            self._follow(layer)
        # A plain function is held by napari, so this lives as long as the viewer does.
        viewer.layers.events.inserted.connect(partial(_inserted, self))

    def _follow(self, layer: Any) -> None:
        if isinstance(layer, Labels):
            layer.events.labels_update.connect(self._stroke)
            layer.events.set_data.connect(self._drawn)

    def _drawn(self, event: Any) -> None:
        """Look at a painted layer again whenever it is drawn: napari tells of undo in no other way."""
        if event.source in self._saved:
            self._stroke(event)

    def _stroke(self, event: Any) -> None:
        """Note that a layer was painted or filled."""
        self._saved.setdefault(event.source, None)
        if event.source not in self._painted:
            self._painted.append(event.source)
        if not self._wait.isActive():
            self._wait.start()

    def save(self) -> None:
        """Copy what was painted, and write it in the background."""
        for name, painted in self._take():
            self._launch(partial(keep_painted, name, painted), _say_failure)

    def flush(self) -> None:
        """Write what was painted now: the dock or the window is going."""
        for name, painted in self._take():
            try:
                keep_painted(name, painted)
            except VitascopeError as error:
                logger.warning("%s", error)

    def _take(self) -> list[tuple[str, Painted]]:
        self._wait.stop()
        layers, self._painted = self._painted, []
        found = []
        for layer in layers:
            # Labels in files cannot be painted in napari, and large results are shown in levels.
            if layer.multiscale or not isinstance(layer.data, np.ndarray):
                continue
            now = checksum(layer.data)
            if now != self._saved.get(layer):
                self._saved[layer] = now
                found.append((str(layer.unique_id), take(layer)))
        return found


def take(layer: Labels) -> Painted:
    """Copy a layer: its labels, its name and its place."""
    options = {
        "name": layer.name,
        "scale": np.asarray(layer.scale).tolist(),
        "translate": np.asarray(layer.translate).tolist(),
        "rotate": np.asarray(layer.rotate).tolist(),
        "shear": np.asarray(layer.shear).tolist(),
        "affine": np.asarray(layer.affine.affine_matrix).tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
    }
    return Painted(np.array(layer.data), options)


def _inserted(autosave: Autosave, event: Any) -> None:
    autosave._follow(event.value)


def _say_failure(outcome: Any) -> None:
    if isinstance(outcome, RunOutcome):
        logger.warning("Painted labels could not be saved: %s %s", outcome.message, outcome.hint)


_of_viewers: weakref.WeakKeyDictionary[Any, Autosave] = weakref.WeakKeyDictionary()


def autosave_of(viewer: Any) -> Autosave:
    """Return the one that follows a viewer; made for the first dock."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # what a dock holds of it goes with the dock
    found = _of_viewers.get(viewer)
    if found is None:
        found = _of_viewers[viewer] = Autosave(viewer)
    return found
