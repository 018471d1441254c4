"""The tasks there are, as one explicit tuple."""

from __future__ import annotations

from vitascope.core.errors import ParameterError
from vitascope.tasks import atp, phenotype, spheroid, stain, viability
from vitascope.tasks.spec import TaskSpec

TASKS: tuple[TaskSpec, ...] = (stain.SPEC, atp.SPEC, viability.SPEC, phenotype.SPEC, spheroid.SPEC)


def find_task(name: str) -> TaskSpec:
    """Return the task of this name.

    Raises
    ------
    ParameterError
        If there is none.
    """
    for spec in TASKS:
        if spec.name == name:
            return spec
    raise ParameterError(f"There is no task '{name}'.", f"Tasks: {', '.join(s.name for s in TASKS)}.")
