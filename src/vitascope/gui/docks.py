"""The docks, one for each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitascope.gui.map_dock import MapDock
from vitascope.gui.spheroid_dock import SpheroidDock
from vitascope.gui.take_away import Run
from vitascope.gui.task_dock import TaskDock
from vitascope.gui.wells_dock import WellsDock
from vitascope.tasks import atp, phenotype, stain, viability

__all__ = ["AtpDock", "PhenotypeDock", "SpheroidDock", "StainDock", "ViabilityDock"]


class StainDock(TaskDock):
    """Predict nuclei."""

    spec = stain.SPEC


class AtpDock(WellsDock):
    """Estimate ATP."""

    spec = atp.SPEC

    def layers_added(self, run: Run, layers: Sequence[Any]) -> None:
        """Keep the percentile at hand but hidden: it would cover the well."""
        for layer in layers:
            if "· percentile " in layer.name:
                layer.visible = False


class ViabilityDock(WellsDock):
    """Viability."""

    spec = viability.SPEC


class PhenotypeDock(MapDock):
    """Phenotype."""

    spec = phenotype.SPEC
