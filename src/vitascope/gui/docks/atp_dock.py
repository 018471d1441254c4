"""The dock Estimate ATP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from vitascope.gui.docks.wells_dock import MAP_OPACITY, WellsDock
from vitascope.gui.run.export import FinishedRun
from vitascope.tasks import atp

OUTLINE_OPACITY = 0.8
OUTLINES = ((0.34, 0.71, 0.91, 1.0),) * 2
"""One colour for all places, the sky blue of Okabe and Ito: many would be taken for amounts."""


class AtpDock(WellsDock):
    """Estimate ATP."""

    spec = atp.SPEC

    def layers_added(self, run: FinishedRun, layers: Sequence[Any]) -> None:
        """Show the well through its map, with calm outlines; the percentile waits hidden: it would cover both."""
        super().layers_added(run, layers)
        for layer in layers:
            if isinstance(layer, Labels):
                layer.colormap = CyclicLabelColormap(colors=[(0.0,) * 4, *OUTLINES])
                layer.opacity = OUTLINE_OPACITY
            else:  # light that is added to a bright field cannot be seen
                layer.blending, layer.opacity = "translucent_no_depth", MAP_OPACITY
            if "· percentile " in layer.name:
                layer.visible = False
