"""Run a task on many images: a failed one never stops the rest, and every one keeps its row, in their order."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.batch.item import ENDS_THE_RUN, Item, ItemResult, Work, process_item
from vitascope.batch.prefetch import Prefetch
from vitascope.batch.tables import check_map, percent_name, write_run_tables
from vitascope.batch.workers import ThreadWorkers
from vitascope.core.errors import AxesUnknownError, InputError, ModelError, ParameterError, ReaderError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.result import Provenance
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.images.read import open_group
from vitascope.io.models.cards import find_model
from vitascope.io.results.figures import save_agreement
from vitascope.io.results.folder import RESULTS, ResultsFolder
from vitascope.io.results.images import Format
from vitascope.io.results.provenance import describe_run
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
    status: str
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
        return all(o.status not in ("FAILED", "INCOMPLETE") for o in self.outcomes)


@dataclass(frozen=True)
class ImageProgress(Progress):
    """Progress of one image among many.

    Parameters
    ----------
    image : int
        Number of the image, from 0.
    images : int
        How many there are.
    name : str
    """

    image: int = 0
    images: int = 1
    name: str = ""


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
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    folder = ResultsFolder(job.out, job.spec.name, job.format)
    report = Report(job.out, notes=notes)
    provenances: list[Provenance] = []
    tables: list[list[dict[str, Any]]] = []
    items = _items(job)
    dones = _Dones(job, Work(job.spec, folder), folder, items)
    try:
        for number, item in enumerate(items):
            done = yield from _counted(dones.result(number), number, len(items), item.name)
            folder.add_rows(done.name, done.tables, done.pictures)
            written = done.tables[RESULTS]
            unit = str(written[0]["unit"])
            report.outcomes.append(BatchOutcome(item.name, done.status, done.message, done.rows, unit, done.flags))
            tables.append(written)
            if done.provenance is not None:
                provenances.append(done.provenance)
    finally:
        dones.close()
    if job.references:
        write_agreement(report)
    add_tables(report, tables, job)
    seconds = time.perf_counter() - clock
    folder.close(describe_run(job.command, provenances, started.isoformat(timespec="seconds"), seconds))
    return report


class _Dones:
    """Runs the images in their order; those of little work side by side once the first has shown that the job is sound.

    An image is called as in the tables.
    """

    def __init__(self, job: Job, work: Work, folder: ResultsFolder, items: Sequence[Item]) -> None:
        self._job, self._work, self._folder, self._items = job, work, folder, items
        several = job.spec.side_by_side and len(items) > 1
        self._params = job.params.changed(threads=1) if several and job.params.threads is None else job.params
        self._ahead: Prefetch | None = None
        self._several = several

    def result(self, number: int) -> ProgressGenerator[ItemResult]:
        """Run an image, or wait for it."""
        if number and self._several:
            if self._ahead is None:
                workers = ThreadWorkers(side_by_side=True)
                self._ahead = Prefetch(self._work, self._folder, self._items[number:], self._params, workers)
            return self._ahead.result(number - 1)
        item = self._items[number]
        item = replace(item, name=self._folder.new_stem(item.name))
        return process_item(self._work, item, self._params, item.name, _ending(self._job, number))

    def close(self) -> None:
        """Give up what is under way."""
        if self._ahead is not None:
            self._ahead.close()


def add_tables(report: Report, tables: Sequence[list[dict[str, Any]]], job: Job) -> None:
    """Write what is known only in the end, and let the report tell the numbers in percent of control."""
    column = job.spec.headline
    rows = write_run_tables(report.out, [row for table in tables for row in table], job.plate_map, column)
    percent, first = percent_name(column, column), 0
    for number, table in enumerate(tables):
        found = [row.get(percent) for row in rows[first : first + len(table)]]
        first += len(table)
        if any(value is not None for value in found):
            outcome = report.outcomes[number]
            told = [{**row, percent: value} for row, value in zip(outcome.rows, found, strict=True)]
            report.outcomes[number] = replace(outcome, rows=tuple(told))


def _counted(steps: ProgressGenerator[ItemResult], image: int, images: int, name: str) -> ProgressGenerator[ItemResult]:
    """Say with every step which image of how many it is."""
    return map_progress(steps, lambda at: ImageProgress(at.done, at.total, at.stage, image, images, name))


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
