"""Which tasks have models that are calibrated on wells of one laboratory."""

from __future__ import annotations

from vitascope.core.errors import ParameterError
from vitascope.tasks.registry import TASKS, find_task


def check_calibrated(task: str) -> None:
    """Refuse tasks whose number is no amount of all that an image shows.

    Raises
    ------
    ParameterError
        If there is no such task, or its models are not calibrated.
    """
    if not find_task(task).trained_on.extensive:
        can = ", ".join(f"'{spec.name}'" for spec in TASKS if spec.trained_on.extensive)
        raise ParameterError(f"Models of the task '{task}' are not calibrated.", f"Those of {can} are.")
