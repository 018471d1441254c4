"""Run a task on many images: a failed one never stops the rest, and every one keeps its row, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.batch.image_run import ImageRun
from vitascope.batch.item import ENDS_THE_RUN, Item, ItemResult
from vitascope.batch.tables import check_map, percent_name
from vitascope.core.errors import AxesUnknownError, InputError, ModelError, ParameterError, ReaderError
from vitascope.core.params import RunParams
from vitascope.core.progress import ProgressGenerator
from vitascope.core.status import NOT_DONE, Status
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.images.read import open_group
from vitascope.io.models.cards import find_model
from vitascope.io.results.figures import save_agreement
from vitascope.io.results.folder import RESULTS, ResultsFolder
from vitascope.io.results.images import Format
from vitascope.io.tables.csv_append import CsvAppender, any_text
from vitascope.io.tables.plate_map import PlateMap
from vitascope.stats.agreement import LEAST_IMAGES, agreement_table
from vitascope.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Parameters
    ----------
    spec : TaskSpec
    groups : sequence of ImageGroup
        The images, by the files they are made of.
    params : RunParams
    out : Path
        Folder for the results.
    references : sequence of ImageGroup
        The real stain or other truth of each image, in the same order; empty for none.
    pixel_size_um : float or None
        Of all images, where the files do not tell it.
    axes : str or None
    format : {"auto", "tif", "zarr"}
    command : str
        As the user gave it, for the provenance.
    plate_map : PlateMap or None
        Its columns come into ``results.csv``, and the main number in percent of its controls.
    """

    spec: TaskSpec
    groups: Sequence[ImageGroup]
    params: RunParams
    out: Path
    references: Sequence[ImageGroup] = ()
    pixel_size_um: float | None = None
    axes: str | None = None
    format: Format = "auto"
    command: str = ""
    plate_map: PlateMap | None = None


@dataclass(frozen=True)
class BatchOutcome:
    """How one image ended."""

    name: str
    status: Status
    message: str
    rows: tuple[Mapping[str, Any], ...] = ()
    unit: str = ""
    flags: tuple[str, ...] = ()


@dataclass
class Report:
    """How all images ended.

    Parameters
    ----------
    out : Path
    outcomes : list of BatchOutcome
    notes : tuple of str
        What the user should know of the run as a whole.
    """

    out: Path
    outcomes: list[BatchOutcome] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether none failed or is incomplete."""
        return all(o.status not in NOT_DONE for o in self.outcomes)


def run_images(job: Job) -> ProgressGenerator[Report]:
    """Run a task on images and write what it gives.

    Yields
    ------
    ImageProgress

    Returns
    -------
    Report

    Raises
    ------
    OutputError
        If the folder cannot be written, before or during the run; whatever was finished stays.
    InputError
        If the references do not match the images in number, or the plate map says nothing of any image.
    ReaderError
        If the only image cannot be read; nothing is written then.
    AxesUnknownError
        If nothing tells what the dimensions of the only image are.
    ParameterError, ModelError
        If a parameter or the model cannot be used, as the first image shows; nothing is written then.
    """
    if job.references and len(job.references) != len(job.groups):
        raise InputError(
            f"{len(job.groups)} images were given, and {len(job.references)} references.",
            "Give one for each, in order.",
        )
    if job.params.model != "auto":
        find_model(job.params.model, job.spec.name)
    notes = check_map([group.place for group in job.groups], job.plate_map) if job.plate_map is not None else ()
    folder, items = ResultsFolder(job.out, job.spec.name, job.format), _items(job)
    ending = partial(_ending, job)
    run = ImageRun(job.spec, items, job.params, folder, side_by_side=job.spec.side_by_side, ending=ending)
    yield from run.run()
    report = Report(job.out, [_outcome(item, done) for item, done in zip(items, run.results, strict=True)], notes)
    if job.references:
        write_agreement(report)
    add_percentages(report, run.write_tables(job.plate_map), job.spec.headline)
    run.close(job.command)
    return report


def _outcome(item: Item, done: ItemResult) -> BatchOutcome:
    unit = str(done.tables[RESULTS][0]["unit"])
    return BatchOutcome(
        name=item.name, status=done.status, message=done.message, rows=done.rows, unit=unit, flags=done.flags
    )


def add_percentages(report: Report, rows: Sequence[Mapping[str, Any]], column: str) -> None:
    """Let the report tell the main number in percent of control, where the tables do.

    Parameters
    ----------
    report : Report
    rows : sequence of mapping
        Of ``results.csv``: one for each row of numbers of an image, or one for an image without any.
    column : str
        Of the main number.
    """
    percent, first = percent_name(column, column), 0
    for number, outcome in enumerate(report.outcomes):
        count = max(1, len(outcome.rows))
        found = [row.get(percent) for row in rows[first : first + count]]
        first += count
        if any(value is not None for value in found):
            told = [{**row, percent: value} for row, value in zip(outcome.rows, found, strict=True)]
            report.outcomes[number] = replace(outcome, rows=tuple(told))


def _items(job: Job) -> list[Item]:
    image = job.spec.roles[0].name
    items = []
    for number, group in enumerate(job.groups):
        inputs = {image: partial(open_group, group, job.pixel_size_um, job.axes)}
        if job.references:
            reference = replace(job.references[number], axes=job.axes or "")
            inputs[job.spec.roles[1].name] = partial(open_group, reference, job.pixel_size_um)
        items.append(Item(group.name, group.place, inputs, group.paths))
    return items


def _ending(job: Job, number: int) -> tuple[type[Exception], ...]:
    """Return the errors that end the run: those that are not of one image among many."""
    alone: tuple[type[Exception], ...] = (ReaderError, AxesUnknownError) if len(job.groups) == 1 else ()
    first: tuple[type[Exception], ...] = (ParameterError, ModelError) if number == 0 else ()
    return ENDS_THE_RUN + alone + first


def write_agreement(report: Report) -> None:
    """Write how real and predicted numbers agree over the images: a table, and violins and scatters.

    Rows hold ``x`` and ``real_x`` for each quantity x. Fewer than five images get no correlation; the table says so.

    Raises
    ------
    OutputError
        If the folder cannot be written.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6.
    """
    rows = pd.DataFrame([row for outcome in report.outcomes for row in outcome.rows])
    both = [str(c).removeprefix("real_") for c in rows.columns if str(c).startswith("real_")]
    names = [name for name in both if name in rows]
    if not names:
        return
    real = rows[[f"real_{n}" for n in names]].set_axis(names, axis=1).astype(float)
    predicted = rows[names].astype(float)
    CsvAppender(report.out / "agreement_images.csv").append(agreement_table(real, predicted, "images", names))
    if len(rows) >= LEAST_IMAGES:
        pairs = pd.concat([real.add_prefix("real_"), predicted.add_prefix("predicted_")], axis=1)
        save_agreement(pairs.dropna(axis=1, how="all"), report.out / "agreement_images.png")


def result_table(report: Report) -> pd.DataFrame:
    """Return the numbers of all images, one row each, for a summary on the screen."""
    rows = []
    for outcome in report.outcomes:
        for numbers in outcome.rows or ({},):
            message = numbers.get("message", outcome.message)
            own = {"status": outcome.status, "flags": outcome.flags, "unit": outcome.unit, **numbers}
            rows.append({"image": outcome.name, **own, "message": message})
    with any_text():
        return pd.DataFrame(rows)
