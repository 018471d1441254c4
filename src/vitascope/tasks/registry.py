"""The tasks there are, as one explicit tuple."""

from __future__ import annotations

from vitascope.core import aliases
from vitascope.core.errors import ParameterError
from vitascope.tasks import atp, phenotype, spheroid, stain, viability
from vitascope.tasks.spec import TaskSpec

TASKS: tuple[TaskSpec, ...] = (stain.SPEC, atp.SPEC, viability.SPEC, phenotype.SPEC, spheroid.SPEC)


def find_task(name: str) -> TaskSpec:
    """Return the task of this name, or of a name that it also has.

    Raises
    ------
    ParameterError
        If there is none.
    """
    known = aliases.TASKS.get(name, name)
    for spec in TASKS:
        if spec.name == known:
            return spec
    raise ParameterError(f"There is no task '{name}'.", f"Tasks: {', '.join(s.name for s in TASKS)}.")
