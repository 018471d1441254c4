"""Write a viewer's list of images as the command line writes a list of files: all of the folder, or nothing."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitascope.batch.item import Item, Work, process_item
from vitascope.batch.run_layers import as_one_step
from vitascope.batch.tables import write_run_tables
from vitascope.core.errors import OutputError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Provenance
from vitascope.io.atomic import TEMPORARY, check_writable, output_error
from vitascope.io.results.folder import RESULTS, ResultsFolder
from vitascope.io.results.provenance import describe_run
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
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    out = ResultsFolder(folder, spec.name)
    work, provenances = Work(spec, out), list[Provenance]()
    rows: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        shown = Progress(number, len(items), "Saving")
        yield shown
        named = replace(item, name=out.new_stem(item.name))
        done = yield from as_one_step(process_item(work, named, params, named.name), shown)
        out.add_rows(named.name, done.tables, done.pictures)
        rows += done.tables[RESULTS]
        provenances += [done.provenance] if done.provenance is not None else []
    write_run_tables(folder, rows, None, spec.headline)
    seconds = time.perf_counter() - clock
    out.close(describe_run(command, provenances, started.isoformat(timespec="seconds"), seconds))
    yield Progress(len(items), len(items), "Saving")
