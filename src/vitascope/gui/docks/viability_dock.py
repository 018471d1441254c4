"""The dock Viability."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Layer

from vitascope.gui.docks.wells_dock import MAP_OPACITY, WellsDock
from vitascope.gui.run.export import FinishedRun
from vitascope.tasks import viability


class ViabilityDock(WellsDock):
    """Viability."""

    spec = viability.SPEC

    def layers_added(self, run: FinishedRun, layers: Sequence[Layer]) -> None:
        """Let the spheroid be seen through its map, which covers it all: 0 is white there."""
        super().layers_added(run, layers)
        for layer in layers:
            layer.opacity = MAP_OPACITY
