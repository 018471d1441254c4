"""The tasks there are, as one explicit tuple."""

from __future__ import annotations

from vitascope.core.aliases import task_name
from vitascope.core.errors import ParameterError
from vitascope.tasks import atp, phenotype, spheroid, stain, viability
from vitascope.tasks.spec import TaskSpec

TASKS: tuple[TaskSpec, ...] = (stain.SPEC, atp.SPEC, viability.SPEC, phenotype.SPEC, spheroid.SPEC)


def find_task(name: str) -> TaskSpec:
    """Return the task of this name, or of another one that it is known by.

    Raises
    ------
    ParameterError
        If there is none.
    """
    if (spec := known_task(name)) is not None:
        return spec
    raise ParameterError(f"There is no task '{name}'.", f"Tasks: {', '.join(s.name for s in TASKS)}.")


def task_title(name: str) -> str:
    """Return what docks and menus call a task; the name itself where it is not known.

    Examples
    --------
    >>> task_title("stain"), task_title("another")
    ('Predict nuclei', 'another')
    """
    spec = known_task(name)
    return spec.title if spec is not None else name


def known_task(name: str) -> TaskSpec | None:
    """Return the task of this name, or of another one that it is known by; None where there is none."""
    return next((spec for spec in TASKS if spec.name == task_name(name)), None)
