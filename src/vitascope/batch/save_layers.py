"""Write a viewer's list of images as the command line writes a list of files: all of the folder, or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from vitascope.batch.image_run import ImageProgress, ImageRun
from vitascope.batch.item import Item
from vitascope.core.errors import OutputError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.io.atomic import TEMPORARY, check_writable, output_error
from vitascope.io.results.folder import ResultsFolder
from vitascope.io.results.read import is_results_folder
from vitascope.tasks.spec import TaskSpec


def save_layers(
    spec: TaskSpec, items: Sequence[Item], params: RunParams, folder: Path, command: str = ""
) -> ProgressGenerator[Path]:
    """Run a task on each of several images, and write pictures, tables and provenance to a folder.

    Parameters
    ----------
    spec : TaskSpec
    items : sequence of Item
    params : RunParams
    folder : Path
        Holds no other run. It is filled when all is done: a run that is closed or fails leaves nothing in it.
    command : str
        That repeats the run; empty where there is none.

    Yields
    ------
    Progress
        Counted in images.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If the folder holds another run, or cannot be written.
    """
    if is_results_folder(folder):
        raise OutputError(f"'{folder}' already holds the results of a run.", "Choose an empty folder.")
    check_writable(folder)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as name:
            yield from _write(spec, items, params, Path(name), command)
            for path in Path(name).iterdir():
                path.replace(folder / path.name)
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        if made and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    return folder


def _write(
    spec: TaskSpec, items: Sequence[Item], params: RunParams, folder: Path, command: str
) -> ProgressGenerator[None]:
    run = ImageRun(spec, items, params, ResultsFolder(folder, spec.name))
    yield from map_progress(run.run(), _counted)
    run.write_tables()
    run.close(command)
    yield Progress(len(items), len(items), "Saving")


def _counted(at: Progress) -> Progress:
    """Take the steps of an image as one step of the run."""
    return Progress(at.image, at.images, "Saving") if isinstance(at, ImageProgress) else at
