"""The folder of a session: the last results of each image and task, and labels that were painted.

One session is one start of napari. ``runs.json`` lists the results with the files of their images; each result lies in
a result folder of its own, as a user would save it. Painted labels lie beside them, with their place in the viewer.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import VitascopeError
from vitascope.core.paths import sessions
from vitascope.gui.common.result_text import headline
from vitascope.gui.run.export import FinishedRun
from vitascope.io.atomic import atomic_write, file_name, write_json

logger = logging.getLogger(__name__)

RUNS, PAINTED = "runs.json", "painted"
PLATE = "plate"
"""Task of entries that are whole plates, and the key of their folder."""

SESSIONS_KEPT = 3
MOST_BYTES = 1 << 30
"""Results and images in memory beyond this are not kept: writing them would hold up the answer."""

_OWN = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
_lock = threading.Lock()
_taken = itertools.count()


@dataclass(frozen=True, eq=False)
class Painted:
    """Labels as they were painted.

    Parameters
    ----------
    array : array of int
    options : mapping
        Name and place in the viewer, as napari's ``Labels`` takes them.
    """

    array: NDArray[Any]
    options: Mapping[str, Any]


def own_session() -> Path:
    """Folder of this start of napari; it is there only once something is kept."""
    return sessions() / _OWN


def last_session() -> Path | None:
    """Return the newest session before this one that kept anything."""
    found = [one for one in _sessions() if one.name != _OWN and ((one / RUNS).is_file() or (one / PAINTED).is_dir())]
    return found[-1] if found else None


def _sessions() -> list[Path]:
    root = sessions()
    return sorted(one for one in root.iterdir() if one.is_dir()) if root.is_dir() else []


def keep_run(run: FinishedRun) -> None:
    """Keep the results of a run, in place of earlier ones of the same image and task.

    Not in the main thread: it writes files. Failing only leaves a line in the log.
    """
    keep_runs([run])


def keep_runs(runs: Sequence[FinishedRun]) -> None:
    """Keep the results of several runs, as of images that were run one by one; see :func:`keep_run`."""
    _in_words_of_the_log(lambda: _write_entries([entry for run in runs if (entry := _keep_run(run)) is not None]))


def keep_plate(folder: Path, name: str) -> None:
    """Note where the results of a plate run lie, which stay where they are; see :func:`keep_run`."""
    entry = {"number": _new_number(), "task": PLATE, "image": name, "sources": [], PLATE: str(folder.absolute())}
    _in_words_of_the_log(lambda: _write_entries([entry]))


def _in_words_of_the_log(work: Callable[[], None]) -> None:
    try:
        with _lock:
            work()
    except (VitascopeError, OSError) as error:
        logger.warning("The results could not be kept for reopening: %s", error)


def _new_number() -> int:
    """Return a number that no run of this session had."""
    return max((int(one["number"]) for one in read_runs(own_session())), default=0) + 1 + next(_taken)


def _keep_run(run: FinishedRun) -> dict[str, Any] | None:
    """Write a result and its image to the session; returns what is to be noted, or None where it is too large."""
    from vitascope.io.results.save import save_result  # writers are loaded when they are wanted, not with the dock

    if sum(int(getattr(one.array, "nbytes", 0)) for one in run.result.outputs) > MOST_BYTES:
        return None
    folder, main, number = own_session(), run.spec.roles[0].name, _new_number()
    save_result(run.result, folder / f"run-{number}")
    image = run.images[main]
    sources = [str(source) for source in image.sources or run.opened_from.get(main, ())]
    head = headline(run.spec, run.result)
    return {
        "number": number,
        "task": run.spec.name,
        "image": image.name,
        "sources": sources or _keep_image(run, folder / f"image-{number}"),
        "answer": f"{head.number} {head.unit}".strip(),
        "detail": head.detail,
    }


def _write_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    """Note what was kept; earlier results of the same images and tasks go."""
    folder, new = own_session(), {(one["task"], one["image"]) for one in entries}
    before = read_runs(folder)
    same = [one for one in before if (one["task"], one["image"]) in new]
    write_json(folder / RUNS, {"runs": [*(one for one in before if one not in same), *entries]})
    for one in same:
        for kind in ("run", "image"):
            shutil.rmtree(folder / f"{kind}-{one['number']}", ignore_errors=True)
    _drop_old()


def _keep_image(run: FinishedRun, folder: Path) -> list[str]:
    """Write an image that is in memory only; returns its file, or none where it is too large."""
    from vitascope.io.images.write import PictureFile, write_ome_tiff

    image = run.images[run.spec.roles[0].name]
    if (
        not isinstance(image.array, np.ndarray)
        or image.array.nbytes > MOST_BYTES
        or image.array.dtype.kind not in "uif"
    ):
        return []
    path = folder / f"{file_name(image.name)}.ome.tif"
    pixel_size_um, z_step_um = _sizes(run)
    picture = PictureFile(
        array=image.array,
        axes=image.axes,
        dtype=str(image.array.dtype),
        name=image.name,
        channel_names=image.channel_names,
        pixel_size_um=pixel_size_um,
        z_step_um=z_step_um,
    )
    write_ome_tiff(path, picture)
    return [str(path)]


def _sizes(run: FinishedRun) -> tuple[float | None, float | None]:
    image = run.images[run.spec.roles[0].name]
    return image.pixel_size_um, image.z_step_um


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """List the runs that a session kept, the oldest first; none where they cannot be read."""
    try:
        found = json.loads((folder / RUNS).read_text("utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return list(found)


def keep_painted(name: str, painted: Painted) -> None:
    """Write painted labels under a word that stays the same for one layer, whole or not at all.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    with atomic_write(own_session() / PAINTED / f"{file_name(name)}.npz") as file:
        np.savez_compressed(file, labels=painted.array, options=np.array(json.dumps(dict(painted.options))))
    _drop_old()


def read_painted(folder: Path) -> list[Painted]:
    """Read what was painted in a session; a file that is broken is left out, with a line in the log."""
    found = []
    for path in sorted((folder / PAINTED).glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as stored:
                found.append(Painted(stored["labels"], json.loads(str(stored["options"]))))
        except (OSError, ValueError, KeyError) as error:
            logger.warning("'%s' could not be read: %s", path, error)
    return found


def _drop_old() -> None:
    """Remove all but the newest sessions."""
    for old in [one for one in _sessions() if one.name != _OWN][: -(SESSIONS_KEPT - 1)]:
        shutil.rmtree(old, ignore_errors=True)
