"""Maps of one well laid side by side: what each place contributes, where the network looks, where organoids are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtWidgets import QCheckBox, QWidget

from vitascope.gui.layers.display import SHOWN
from vitascope.gui.layers.snapshot import OWN

GAP = 0.04
"""Between two maps, as a share of their width."""


class MapsApart(QCheckBox):  # type: ignore[misc]
    """Lays the maps of a run beside each other, and back over the image; hidden where there is nothing to compare.

    Parameters
    ----------
    viewer : ViewerModel
    kinds : sequence of str
        Words for the maps, from left to right.
    """

    def __init__(self, viewer: Any, kinds: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__("Maps side by side", parent)
        self.setToolTip(f"From left to right: {', '.join(kinds)}. Untick to lay them over the image again.")
        self._viewer, self._kinds = viewer, tuple(kinds)
        self._maps: list[Layer] = []
        self._home: list[tuple[np.ndarray[Any, Any], bool]] = []
        self.toggled.connect(self._lay)
        self.hide()

    def offer(self, layers: Sequence[Layer]) -> None:
        """Take the maps of a run; they are laid apart at once where the box is ticked."""
        found = {layer.metadata.get(OWN, {}).get(SHOWN, {}).get("kind"): layer for layer in layers}
        self._home = []
        self._maps = [found[kind] for kind in self._kinds if kind in found]
        complete = len(self._maps) == len(self._kinds)
        self.setVisible(complete)
        if complete and self.isChecked():
            self._lay(True)

    def clear(self) -> None:
        """Have nothing to lay apart."""
        self._maps, self._home = [], []
        self.hide()

    def _lay(self, apart: bool) -> None:
        """Move the maps; what was removed meanwhile is left alone."""
        if apart:
            self._home = [(np.array(layer.translate), bool(layer.visible)) for layer in self._maps]
        for place, (layer, (home, visible)) in enumerate(zip(self._maps, self._home, strict=False)):
            if layer not in self._viewer.layers:
                continue
            width = float(layer.extent.world[1][-1] - layer.extent.world[0][-1])
            moved = home.copy()
            moved[-1] += place * width * (1 + GAP) if apart else 0
            layer.translate, layer.visible = moved, apart or visible
        if self._home:
            self._viewer.reset_view()
