"""One image of many: read it, run the task, write its pictures, and say what its rows are.

The one way that images are run in, whoever asks: image by image (:mod:`vitascope.batch.run_images`), or a whole plate
on several workers (:mod:`vitascope.batch.plate.run`). What comes back holds no pixels and can be sent between
processes.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vitascope.batch.retry import retried
from vitascope.core.errors import (
    IncompleteError,
    InputError,
    MemoryShortageError,
    MissingPackageError,
    OutputError,
    VitascopeError,
    describe,
)
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Provenance, Result
from vitascope.core.status import Status
from vitascope.core.well import WellPosition
from vitascope.io.results.folder import result_tables
from vitascope.io.results.images import Sizes
from vitascope.io.stores.mirror import release
from vitascope.tasks.spec import TaskSpec

logger = logging.getLogger(__name__)

ENDS_THE_RUN = (OutputError, MissingPackageError)
"""Errors that are never those of one image among many."""

MISSING = "missing"
"""Stands for a file that is not there, where files are signed."""

Open = Callable[[], Micrograph]
Start = Callable[[Mapping[str, Micrograph], RunParams], ProgressGenerator[Result]]


class PictureStore(Protocol):
    """Where pictures go."""

    def write(self, result: Result, stem: str, sizes_um: Sizes = ...) -> tuple[Path, ...]:
        """Write the pictures of one result, all or none."""


@dataclass(frozen=True)
class Item:
    """One image to be run.

    Parameters
    ----------
    name : str
        What it is called in tables and pictures; unique in a run.
    place : WellPosition
    inputs : mapping of str to callable
        Opens the image of each role.
    paths : tuple of Path
        Its files, to notice when they change.
    """

    name: str
    place: WellPosition
    inputs: Mapping[str, Open]
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Work:
    """What all images of a run share.

    Parameters
    ----------
    spec : TaskSpec
    store : PictureStore
    start : callable, optional
        Runs the task on images by role somewhere else; by default it is run here.
    """

    spec: TaskSpec
    store: PictureStore
    start: Start | None = None


@dataclass(frozen=True)
class ItemResult:
    """How one image ended.

    Parameters
    ----------
    name : str
    place : WellPosition
    status : Status
    flags : tuple of str
    message : str
    rows : tuple of mapping
        The task's numbers, one row for each time point.
    tables : mapping of str to DataFrame or list of dict
        Rows of each table, by file name.
    pictures : tuple of Path
        What was written.
    provenance : Provenance or None
    signature : str
        Of its files, see :func:`file_signature`.
    seconds : float
    features, appearance : array, shapes (F,) and (6,), float32, or None
        See :class:`vitascope.core.result.Result`.
    """

    name: str
    place: WellPosition
    status: Status
    flags: tuple[str, ...] = ()
    message: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Path, ...] = ()
    provenance: Provenance | None = None
    signature: str = ""
    seconds: float = 0.0
    features: Any = None
    appearance: Any = None


def run_item(
    spec: TaskSpec,
    item: Item,
    params: RunParams,
    ending: tuple[type[Exception], ...] = ENDS_THE_RUN,
    start: Start | None = None,
) -> ProgressGenerator[tuple[Result, Sizes]]:
    """Read one image and run the task on it; nothing is written.

    Parameters
    ----------
    spec : TaskSpec
    item : Item
    params : RunParams
    ending : tuple of exception types
        Errors that are not this image's alone; they are raised, all others become its status.
    start : callable, optional
        See :class:`Work`.

    Yields
    ------
    Progress

    Returns
    -------
    tuple of Result, and Sizes
        The pixel size and z step of the image, as far as it could be read.

    Raises
    ------
    Exception
        Those of ``ending``.
    """
    sizes: Sizes = (None, None)

    def attempt() -> ProgressGenerator[Result]:
        nonlocal sizes
        yield Progress(0, 1, "Reading")
        inputs = {role: read() for role, read in item.inputs.items()}
        image = inputs[spec.roles[0].name]
        sizes = (image.pixel_size_um, image.z_step_um)
        return (yield from (start or spec.start)(inputs, params))

    try:
        return (yield from retried(attempt, params.retry_s, item.paths)), sizes
    except ending:
        raise
    except Exception as error:
        return error_result(item, error), sizes


def process_item(
    work: Work, item: Item, params: RunParams, stem: str, ending: tuple[type[Exception], ...] = ENDS_THE_RUN
) -> ProgressGenerator[ItemResult]:
    """Read one image, run the task on it, and write its pictures.

    Parameters
    ----------
    work : Work
    item : Item
    params : RunParams
    stem : str
        What its pictures are called.
    ending : tuple of exception types
        Errors that are not this image's alone; they are raised, all others become its status.

    Yields
    ------
    Progress

    Returns
    -------
    ItemResult

    Raises
    ------
    Exception
        Those of ``ending``.
    """
    clock, signature = time.perf_counter(), file_signature(item.paths)
    result, sizes = yield from run_item(work.spec, item, params, ending, work.start)
    if changed_since(item.paths, signature):
        growing = IncompleteError(
            f"{item.name} was changed while it was read: it is still being written.",
            "Start the same command again when the instrument is done.",
            flag="being_written",
        )
        result = error_result(item, growing)
    pictures = work.store.write(result, stem, sizes)
    release(item.paths)
    return ItemResult(
        name=item.name,
        place=result.place,
        status=result.status,
        flags=result.flags,
        message=result.message,
        rows=result.rows,
        tables=result_tables(result, stem),
        pictures=pictures,
        provenance=result.provenance,
        signature=signature,
        seconds=round(time.perf_counter() - clock, 3),
        features=result.features,
        appearance=result.appearance,
    )


def error_result(item: Item, error: Exception) -> Result:
    """Turn an error into the result of its image: a status, a flag and a sentence."""
    if isinstance(error, MemoryError):
        error = MemoryShortageError("Memory ran out.", "Close other programs, or crop the image.")
    if not isinstance(error, VitascopeError):
        logger.error("%s failed: %s at %s", item.name, type(error).__name__, traceback_summary(error))
        sentence = f"Something unexpected went wrong: {describe(error)} ({type(error).__name__})."
        error = VitascopeError(sentence, "The log tells where it happened.")
    status = Status.FAILED
    if isinstance(error, InputError):
        status = Status.REJECTED
    elif isinstance(error, IncompleteError):
        status = Status.INCOMPLETE
    return Result(
        outputs=(),
        rows=(),
        unit="",
        place=item.place,
        name=item.name,
        status=status,
        flags=(error.flag,),
        message=str(error),
    )


def failed(item: Item, stem: str, error: Exception) -> ItemResult:
    """Say that an image failed outside :func:`process_item`, such as with its worker."""
    result = error_result(item, error)
    return ItemResult(
        name=item.name,
        place=item.place,
        status=result.status,
        flags=result.flags,
        message=result.message,
        tables=result_tables(result, stem),
        signature=file_signature(item.paths),
    )


def changed_since(paths: Sequence[Path], signature: str) -> bool:
    """Tell whether files were written to since they were signed; files that went away were not."""
    now = file_signature(paths)
    return now != signature and MISSING not in now.split(";")


def traceback_summary(error: BaseException) -> str:
    """Say where an error happened, by file names and lines; no folders, which tell of the user's computer."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


def file_signature(paths: Sequence[Path]) -> str:
    """Return size and time of change of files, to notice that one was changed; no file is opened.

    A folder (OME-Zarr) counts by the files at its top.
    """
    parts = []
    for path in paths:
        try:
            found = path.stat()
            if path.is_dir():
                inside = sorted(entry.name + file_signature((entry,)) for entry in path.iterdir() if entry.is_file())
                parts.append("|".join(inside))
            else:
                parts.append(f"{found.st_size}:{found.st_mtime_ns}")
        except OSError:
            parts.append(MISSING)
    return ";".join(parts)
