"""The dock of the task ``stain``."""

from __future__ import annotations

from vitascope.gui.docks.task_dock import TaskDock
from vitascope.tasks import stain


class StainDock(TaskDock):
    """Predict nuclei."""

    spec = stain.SPEC
