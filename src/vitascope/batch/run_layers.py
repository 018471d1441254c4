"""Run a task on images one after another and keep the numbers: for a viewer's list of layers, which writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from vitascope.batch.item import ENDS_THE_RUN, Item, run_item
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.result import Result
from vitascope.core.status import JUDGED, Status
from vitascope.core.well import WellPosition
from vitascope.io.results.folder import results_rows
from vitascope.tasks.spec import TaskSpec

T = TypeVar("T")


def run_layers(spec: TaskSpec, items: Sequence[Item], params: RunParams) -> ProgressGenerator[tuple[Result, ...]]:
    """Run a task on each of several images; one that fails keeps its place and never stops the rest.

    Parameters
    ----------
    spec : TaskSpec
    items : sequence of Item
    params : RunParams

    Yields
    ------
    Progress
        Counted in images.

    Returns
    -------
    tuple of Result
        One for each image, in their order.

    Raises
    ------
    ParameterError, ModelError
        If a parameter or the model cannot be used, as the first image shows.
    OutputError, MissingPackageError
        If there is no room for results, or a package is missing.
    """
    found: list[Result] = []
    role = spec.roles[0].name
    params = yield from as_one_step(
        spec.settle([item.inputs[role] for item in items], params), Progress(0, len(items), spec.title)
    )
    for number, item in enumerate(items):
        shown = Progress(number, len(items), spec.title)
        yield shown
        ending = ENDS_THE_RUN if number else (*ENDS_THE_RUN, ParameterError, ModelError)
        result, _ = yield from as_one_step(run_item(spec, item, params, ending), shown)
        found.append(result)
    yield Progress(len(items), len(items), spec.title)
    return tuple(found)


def as_one_step(steps: ProgressGenerator[T], shown: Progress) -> ProgressGenerator[T]:
    """Take the steps of a run as one of a series of runs."""
    return map_progress(steps, lambda _: shown)


def sheet_rows(results: Sequence[Result], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of ``results.csv`` of several results, each with the number of its result under ``of``.

    Parameters
    ----------
    results : sequence of Result
    names : sequence of str
        What the image of each is called.
    """
    return [
        {"of": number, **row}
        for number, (result, name) in enumerate(zip(results, names, strict=True))
        for row in results_rows(result, name)
    ]


def together(results: Sequence[Result], name: str) -> Result:
    """Put the numbers of several results into one, for a summary; it has no pictures."""
    flags = tuple(dict.fromkeys(flag for result in results for flag in result.flags))
    rows = tuple(row for result in results for row in (result.rows or ({},)))
    said = [result for result in results if result.status not in JUDGED]
    first = next((result for result in results if result.rows), results[0])
    return Result(
        outputs=(),
        rows=rows,
        unit=first.unit,
        place=WellPosition(),
        name=name,
        status=Status.WARN if said else Status.of_flags(flags),
        flags=flags,
        message=" ".join(dict.fromkeys(f"{result.name}: {result.message}" for result in said)),
        interval_level=first.interval_level,
        provenance=first.provenance,
    )
