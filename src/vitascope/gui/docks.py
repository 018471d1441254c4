"""The docks, one for each task."""

from __future__ import annotations

from vitascope.gui.map_dock import MapDock
from vitascope.gui.spheroid_dock import SpheroidDock
from vitascope.gui.task_dock import TaskDock
from vitascope.tasks import atp, phenotype, stain, viability

__all__ = ["AtpDock", "PhenotypeDock", "SpheroidDock", "StainDock", "ViabilityDock"]


class StainDock(TaskDock):
    """Predict nuclei."""

    spec = stain.SPEC


class AtpDock(TaskDock):
    """Estimate ATP."""

    spec = atp.SPEC


class ViabilityDock(TaskDock):
    """Viability."""

    spec = viability.SPEC


class PhenotypeDock(MapDock):
    """Phenotype."""

    spec = phenotype.SPEC
