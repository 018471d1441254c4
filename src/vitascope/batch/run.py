"""Run a task on many images, one after another: a failed one never stops the rest, and every one keeps its row."""

from __future__ import annotations

import datetime
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.core.errors import (
    IncompleteError,
    InputError,
    MemoryShortageError,
    MissingPackageError,
    ModelError,
    OutputError,
    ParameterError,
    ReaderError,
    VitascopeError,
)
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.result import Provenance, Result
from vitascope.core.steps import Progress, Steps
from vitascope.io.figures import save_agreement
from vitascope.io.grouping import ImageGroup
from vitascope.io.growing_table import GrowingTable
from vitascope.io.images import open_group
from vitascope.io.models import find_model
from vitascope.io.picture_folder import Format
from vitascope.io.provenance import describe_run
from vitascope.io.results import ResultsFolder
from vitascope.stats.agreement import LEAST_IMAGES, agreement_table
from vitascope.tasks.spec import TaskSpec

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Outcome:
    """How one image ended."""

    name: str
    status: str
    message: str
    rows: tuple[Mapping[str, Any], ...] = ()


@dataclass
class Report:
    """How all images ended.

    Parameters
    ----------
    outcomes : list of Outcome
    out : Path
    """

    out: Path
    outcomes: list[Outcome] = field(default_factory=list)

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


def run_images(job: Job) -> Steps[Report]:
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
        If the references do not match the images in number.
    ReaderError
        If the only image cannot be read; nothing is written then.
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
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    folder = ResultsFolder(job.out, job.spec.name, job.format)
    report = Report(job.out)
    provenances: list[Provenance] = []
    for number, group in enumerate(job.groups):
        result, image = yield from _one(job, number, group)
        folder.add(
            result,
            pixel_size_um=image.pixel_size_um if image else None,
            z_step_um=image.z_step_um if image else None,
        )
        report.outcomes.append(Outcome(group.name, result.status, result.message, result.rows))
        if result.provenance is not None:
            provenances.append(result.provenance)
        del result, image  # or two images lie in memory while the next one runs
    if job.references:
        write_agreement(report)
    seconds = time.perf_counter() - clock
    folder.close(describe_run(job.command, provenances, started.isoformat(timespec="seconds"), seconds))
    return report


def _one(job: Job, number: int, group: ImageGroup) -> Steps[tuple[Result, Micrograph | None]]:
    image: Micrograph | None = None
    try:
        yield ImageProgress(0, 1, "Reading", number, len(job.groups), group.name)
        image = open_group(group, job.pixel_size_um, job.axes)
        inputs = {job.spec.roles[0].name: image}
        if job.references:
            inputs[job.spec.roles[1].name] = open_group(job.references[number], job.pixel_size_um)
        steps = job.spec.start(inputs, job.params)
        while True:
            try:
                at = next(steps)
            except StopIteration as stop:
                return stop.value, image
            yield ImageProgress(at.done, at.total, at.stage, number, len(job.groups), group.name)
    except Exception as error:
        if _concerns_all(error, job, number):
            raise
        return _ended(group, error), image


def _concerns_all(error: Exception, job: Job, number: int) -> bool:
    """Tell whether an error ends the run: it is not that of one image among many."""
    if isinstance(error, ReaderError):
        return len(job.groups) == 1
    if isinstance(error, ParameterError | ModelError):
        return number == 0
    return isinstance(error, OutputError | MissingPackageError)


def _ended(group: ImageGroup, error: Exception) -> Result:
    """Turn an error into the result of its image: a status, a flag and a sentence."""
    if isinstance(error, MemoryError):
        error = MemoryShortageError("Memory ran out.", "Close other programs, or crop the image.")
    if not isinstance(error, VitascopeError):
        logger.error("%s failed: %s at %s", group.name, type(error).__name__, trail(error))
        error = VitascopeError(f"{type(error).__name__}: {error}", "The log tells where it happened.")
    status = "FAILED"
    if isinstance(error, InputError):
        status = "REJECTED"
    elif isinstance(error, IncompleteError):
        status = "INCOMPLETE"
    return Result((), (), "", group.place, group.name, status, (error.flag,), str(error))


def trail(error: BaseException) -> str:
    """Say where an error happened, by file names and lines; no folders, which tell of the user's computer."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


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
    GrowingTable(report.out / "agreement_images.csv").append(agreement_table(real, predicted, "images", names))
    if len(rows) >= LEAST_IMAGES:
        pairs = pd.concat([real.add_prefix("real_"), predicted.add_prefix("predicted_")], axis=1)
        save_agreement(pairs.dropna(axis=1, how="all"), report.out / "agreement_images.png")


def result_table(report: Report) -> pd.DataFrame:
    """Return the numbers of all images, one row each, for a summary on the screen."""
    rows = []
    for outcome in report.outcomes:
        for numbers in outcome.rows or ({},):
            rows.append({"image": outcome.name, "status": outcome.status, **numbers, "message": outcome.message})
    return pd.DataFrame(rows)
