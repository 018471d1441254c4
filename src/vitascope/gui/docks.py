"""The docks, one for each task."""

from __future__ import annotations

from vitascope.gui.map_dock import MapDock
from vitascope.gui.task_dock import TaskDock
from vitascope.tasks import phenotype, stain


class StainDock(TaskDock):
    """Predict nuclei."""

    spec = stain.SPEC


class PhenotypeDock(MapDock):
    """Phenotype."""

    spec = phenotype.SPEC
