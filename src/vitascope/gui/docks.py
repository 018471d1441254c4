"""The docks, one for each task."""

from __future__ import annotations

from vitascope.gui.phenotype_dock import PhenotypeDock
from vitascope.gui.spheroid_dock import SpheroidDock
from vitascope.gui.task_dock import TaskDock
from vitascope.tasks import stain

__all__ = ["PhenotypeDock", "SpheroidDock", "StainDock"]


class StainDock(TaskDock):
    """Predict nuclei."""

    spec = stain.SPEC
