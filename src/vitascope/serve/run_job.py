"""A job in its worker: the same batch code as the command line."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.run import PlateReport, run_plate
from vitascope.batch.run_images import Job, Report, run_images
from vitascope.core.errors import InputError, MemoryShortageError, VitascopeError, describe
from vitascope.core.progress import ProgressGenerator
from vitascope.core.status import NOT_DONE
from vitascope.io.images.limits import count_pixels
from vitascope.io.images.read import find_groups, group_paths, open_group
from vitascope.io.plates.read import open_plate
from vitascope.io.tables.plate_map import PlateMap, read_plate_map
from vitascope.serve.files import below_root, check_inside
from vitascope.serve.job import RESULTS_FOLDER, UPLOADS, JobRequest, JobState, Outcome
from vitascope.tasks.registry import find_task


@dataclass(frozen=True)
class JobPlace:
    """Where a job lives.

    Parameters
    ----------
    folder : Path
        Of the job: what was sent, and its results.
    root, data : Path
        Of the service.
    pixels : int
        That all its images may have together.
    """

    folder: Path
    root: Path
    data: Path
    pixels: int

    @property
    def uploads(self) -> Path:
        """Where the files lie that were sent."""
        return self.folder / UPLOADS

    def path(self, name: str) -> Path:
        """Return a file below the root."""
        return below_root(self.root, self.data, name)

    def without_folders(self, text: str) -> str:
        """Take the service's own folders out of a text."""
        for folder in (self.uploads, self.folder, self.data, self.root):
            for form in {f"{folder}", f"{folder.resolve()}"}:
                text = text.replace(f"{form}/", "").replace(form, "the service's folder")
        return text


def run_job(request: JobRequest, place: JobPlace) -> ProgressGenerator[Outcome]:
    """Run a job and return how it ended; its results lie in its folder.

    Yields
    ------
    Progress
    """
    try:
        if request.plate is not None:
            plate = yield from _run_plate(request, place)
            return _ended({str(status): count for status, count in plate.counts.items()})
        report = yield from _run_images(request, place)
        return _ended(dict(Counter(str(one.status) for one in report.outcomes)), [o.message for o in report.outcomes])
    except MemoryError:
        return failure(MemoryShortageError("Memory ran out.", "Send fewer or smaller images."), place)
    except VitascopeError as error:
        return failure(error, place)
    except Exception as error:
        return failure(VitascopeError(f"Something unexpected went wrong: {describe(error)}."), place)


def failure(error: VitascopeError, place: JobPlace) -> Outcome:
    """Say that a job failed, and why."""
    told = {"message": error.message, "hint": error.hint, "flag": error.flag}
    return Outcome(state=JobState.FAILED, error={key: place.without_folders(text) for key, text in told.items()})


def _ended(counts: dict[str, int], messages: list[str] | None = None) -> Outcome:
    """Say how a job ended: failed where no image could be judged, as the exit code of the command would tell."""
    if counts and all(status in (*map(str, NOT_DONE), "") for status in counts):
        first = next((text for text in messages or [] if text), "No image could be run.")
        told = {"message": first, "hint": "The rows of the result tell what happened to each.", "flag": "error"}
        return Outcome(state=JobState.FAILED, error=told, counts=counts)
    return Outcome(state=JobState.DONE, counts=counts)


def _run_images(request: JobRequest, place: JobPlace) -> ProgressGenerator[Report]:
    spec, out = find_task(request.task), place.folder / RESULTS_FOLDER
    shutil.rmtree(out, ignore_errors=True)  # of an attempt that was cut short
    sent = [place.uploads / name for name in request.uploads]
    paths = [*sent, *(place.path(name) for name in request.files)]
    groups, _ = group_paths(paths, request.pattern, planes=request.planes)
    allowed = (place.uploads, place.root)
    check_inside((path for group in groups for path in group.paths), allowed)
    second = [place.uploads / name for name in request.uploaded_references]
    second += [place.path(name) for name in request.references]
    references = find_groups(second, request.pattern) if second else []
    check_inside((path for group in references for path in group.paths), allowed)
    _check_pixels(request, [*groups, *references], place.pixels)
    job = Job(
        spec=spec,
        groups=groups,
        params=spec.make_params(**request.params),
        out=out,
        references=references,
        pixel_size_um=request.pixel_size_um,
        axes=request.axes,
        format=request.format,
        command=command_of(request),
        plate_map=_plate_map(request, place),
    )
    return (yield from run_images(job))


def _check_pixels(request: JobRequest, groups: list[Any], most: int) -> None:
    """Refuse a job of too many pixels before one is computed; what cannot be opened has its say when it is run."""
    total = 0
    for group in groups:
        try:
            total += count_pixels(open_group(group, request.pixel_size_um, request.axes).array.shape)
        except Exception:  # the run meets the same error and says so in the image's row
            continue
        if total > most:
            raise InputError(
                f"The images have more than the {most:,} pixels that a job may have.",
                "Send them in several jobs.",
                flag="too_large",
            )


def _run_plate(request: JobRequest, place: JobPlace) -> ProgressGenerator[PlateReport]:
    spec = find_task(request.task)
    folder = place.uploads if request.plate == "." else place.path(request.plate or "")
    plate = open_plate(str(folder), pattern=request.pattern, planes=request.planes)
    check_inside((path for site in plate for path in site.group.paths), (place.uploads, place.root))
    job = PlateJob(
        spec=spec,
        plate=plate,
        params=spec.make_params(**request.params),
        out=place.folder / RESULTS_FOLDER,
        plate_map=_plate_map(request, place, plate.name),
        pixel_size_um=request.pixel_size_um,
        axes=request.axes,
        pattern=request.pattern,
        planes=request.planes,
        command=command_of(request),
    )
    return (yield from run_plate(job))


def _plate_map(request: JobRequest, place: JobPlace, plate: str | None = None) -> PlateMap | None:
    if request.uploaded_map is not None:
        return read_plate_map(place.uploads / request.uploaded_map, plate=plate)
    return None if request.map is None else read_plate_map(place.path(request.map), plate=plate)


def command_of(request: JobRequest) -> str:
    """Write the command that does the same as a job."""
    names = [*request.uploads, *request.files]
    words = ["vitascope", "run", request.task, *names, "-o", "OUT"]
    if request.plate is not None:
        words = ["vitascope", "plate", request.plate, "--task", request.task, "-o", "OUT"]
    for name in (*request.uploaded_references, *request.references):
        words += ["--reference", name]
    options = {
        "--map": request.uploaded_map or request.map,
        "--pattern": request.pattern,
        "--axes": request.axes,
        "--pixel-size-um": request.pixel_size_um,
        "--planes": request.planes,
        **{f"--{name}": request.params[name] for name in ("model", "device") if name in request.params},
    }
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    for name, value in request.params.items():
        if name not in ("model", "device"):
            words += ["--set", f"{name}={_as_setting(value)}"]
    return shlex.join(words)


def _as_setting(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(list(value) if isinstance(value, tuple) else value)
