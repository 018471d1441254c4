"""What a user takes out of a dock: the results folder, and the run as Python or as a command that repeats it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vitascope.core.errors import AxesUnknownError, InputError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import ImageOutput, Result
from vitascope.gui.layers.snapshot import Snapshot
from vitascope.gui.run.servers import TOKEN_VARIABLE, Server
from vitascope.tasks.spec import TaskSpec

SAVE_FIRST = "Save the layer (File ▸ Save Selected Layers), open the file, and run again."
ELSE_PYTHON = "Use Copy as Python."


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """One run that is done.

    Parameters
    ----------
    spec : TaskSpec
    snapshots : mapping of role to Snapshot
    images : mapping of role to Micrograph
        What was run on.
    result : Result
    opened_from : mapping of role to tuple of str
        Files that a layer seems to come from, where it was not opened by our reader.
    server : Server, optional
        Where it was run; None for this machine.
    """

    spec: TaskSpec
    snapshots: Mapping[str, Snapshot]
    images: Mapping[str, Micrograph]
    result: Result
    opened_from: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    server: Server | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters as they were resolved, those at their defaults left out."""
        if self.result.provenance is None:
            return {}
        params: RunParams = self.spec.make_params(**self.result.provenance.params)
        defaults = self.spec.params.make().model_dump()
        return {name: value for name, value in params.model_dump().items() if value != defaults[name]}


@dataclass(frozen=True)
class FileInput:
    """How to read from files what a run was given.

    Parameters
    ----------
    paths : tuple of str
    channel : int or None
        Channel of the files that was used; None for all.
    name : str
        Of that channel; empty where it has none.
    axes : str or None
        Where the files do not tell them right.
    pixel_size_um : float or None
        Where it is not that of the files.
    forget_size : bool
        Whether the files tell a pixel size that the run did not use.
    """

    paths: tuple[str, ...]
    channel: int | None = None
    name: str = ""
    axes: str | None = None
    pixel_size_um: float | None = None
    forget_size: bool = False


def find_files(run: FinishedRun, role: str) -> FileInput:
    """Find the files of an input, and check that they hold the very pixels that were run on.

    Raises
    ------
    InputError
        If the input is no file, or the file holds something else.
    ReaderError
        If the file has gone or cannot be read.
    """
    from vitascope.io.images.read import read_image  # readers are loaded when they are wanted, not with the dock

    image, snapshot = run.images[role], run.snapshots[role]
    paths = image.sources or run.opened_from.get(role, ())
    if not paths:
        raise InputError(f"'{image.name}' is not a file, or was changed since it was opened.", SAVE_FIRST)
    axes, channel = None, snapshot.channel
    try:
        read = read_image(list(paths))
    except AxesUnknownError:  # the user has told the dock
        if channel is not None or snapshot.stacked:
            raise
        axes = snapshot.axes
        read = read_image(list(paths), axes=axes)
    if channel is None and not snapshot.stacked and read.axes != snapshot.axes and read.array.ndim == image.array.ndim:
        axes = snapshot.axes
        read = read_image(list(paths), axes=axes)
    same = read if channel is None else read.select_channel(channel)
    if not _same_pixels(same.array, image.array):
        raise InputError(f"The file of '{image.name}' does not hold the pixels that were run on.", SAVE_FIRST)
    name = read.channel_names[channel] if channel is not None and read.channel_names else ""
    differs = read.pixel_size_um != image.pixel_size_um
    return FileInput(
        paths=tuple(paths), channel=channel, name=name, axes=axes,
        pixel_size_um=image.pixel_size_um if differs else None,
        forget_size=differs and image.pixel_size_um is None,
    )  # fmt: skip


def _same_pixels(a: Any, b: Any) -> bool:
    """Compare arrays; stored ones are compared plane by plane, so that they need not fit into memory."""
    if a.shape != b.shape or a.dtype.newbyteorder("=") != b.dtype.newbyteorder("="):
        return False
    floats = bool(np.dtype(b.dtype).kind == "f")
    planes = np.ndindex(*a.shape[:-2])
    return all(np.array_equal(np.asarray(a[i]), np.asarray(b[i]), equal_nan=floats) for i in planes)


def as_python(run: FinishedRun) -> str:
    """Write the run as Python that gives the same arrays and numbers, bit for bit.

    Raises
    ------
    InputError, ReaderError
        As :func:`find_files`.
    """
    server = run.server
    lines = [*(["import os", ""] if server is not None and server.token else []), "import vitascope", ""]
    for role in run.images:
        lines.append(f"{role} = {_read_call(find_files(run, role))}")
    first, *others = run.images
    arguments = [f'"{run.spec.name}"', first, *(f"{n}={n}" for n in others)]
    arguments += [f"{name}={value!r}" for name, value in run.settings.items()]
    lines += [f"result = {_runner(server)}.run({', '.join(arguments)})", "print(result)"]
    return "\n".join([*lines, ""])


def _runner(server: Server | None) -> str:
    """Write what runs it; of a token only the name of the variable that holds it."""
    if server is None:
        return "vitascope"
    token = f', token=os.environ["{TOKEN_VARIABLE}"]' if server.token else ""
    return f"vitascope.Client({server.url!r}{token})"


def _read_call(given: FileInput) -> str:
    call = python_call("vitascope.read_image", given.paths, axes=given.axes, pixel_size_um=given.pixel_size_um)
    if given.forget_size:
        call += ".with_pixel_size(None)"
    return call if given.channel is None else f"{call}.select_channel({given.channel})"


def python_call(function: str, arguments: Sequence[Any], **keywords: Any) -> str:
    """Write a call as Python; keywords that are None are left out.

    Examples
    --------
    >>> python_call("read", ["a.tif"], axes="ZYX", pixel_size_um=None)
    "read('a.tif', axes='ZYX')"
    """
    words = [repr(value) for value in arguments]
    words += [f"{name}={value!r}" for name, value in keywords.items() if value is not None]
    return f"{function}({', '.join(words)})"


def as_command(run: FinishedRun, out: str = "results", more: Sequence[FinishedRun] = ()) -> str:
    """Write the run as a command that gives the same files; with ``more`` runs of the same kind, one for all.

    Raises
    ------
    InputError, ReaderError
        As :func:`find_files`, or if the command has no word for what the run used.
    """
    if run.server is not None:
        raise InputError("A command runs on this machine, and this run was made on a server.", ELSE_PYTHON)
    main, *others = run.images
    given = find_files(run, main)
    _check_command(given)
    paths = list(given.paths)
    for one in more:
        further = find_files(one, main)
        if replace(further, paths=given.paths) != given:
            raise InputError("The images lie in their files in different ways.", "Run them in groups that are alike.")
        paths += further.paths
    words = ["vitascope", "run", run.spec.name, *paths, "-o", out]
    for role in others:
        further = find_files(run, role)
        _check_reference(run, role, further)
        words += [word for path in further.paths for word in (f"--{role}", path)]
    for option, value in (("--pixel-size-um", given.pixel_size_um), ("--axes", given.axes)):
        words += [option, repr(value) if isinstance(value, float) else value] if value is not None else []
    settings = run.settings
    if given.channel is not None:
        settings["channel"] = given.name or str(given.channel)
    return shlex.join(words + setting_words(settings))


def setting_words(settings: Mapping[str, Any]) -> list[str]:
    """Write parameters as the words of a command.

    Examples
    --------
    >>> setting_words({"device": "cpu", "planes": (0, 2)})
    ['--device', 'cpu', '--set', 'planes=[0, 2]']
    """
    words = []
    for name, value in settings.items():
        words += [f"--{name}", str(value)] if name in ("model", "device") else ["--set", f"{name}={_yaml(value)}"]
    return words


def _check_command(given: FileInput) -> None:
    if given.forget_size:
        raise InputError("The command line always uses the pixel size of the file, and this run did not.", ELSE_PYTHON)


def _check_reference(run: FinishedRun, role: str, given: FileInput) -> None:
    """Check that a run on whole files would pick the same channel: the first called after something predicted."""
    if len(given.paths) > 1 or given.axes is not None:
        raise InputError(f"The command line takes one file as {role}.", ELSE_PYTHON)
    if given.channel is None:
        return
    from vitascope.io.images.read import read_image  # readers are loaded when they are wanted, not with the dock

    predicted = [n.lower() for o in run.result.outputs if isinstance(o, ImageOutput) for n in o.channel_names]
    names = [name.lower() for name in read_image(given.paths[0]).channel_names]
    alike = [c for c, name in enumerate(names) if any(word in name for word in predicted)]
    if alike[:1] != [given.channel]:
        raise InputError(f"The command line cannot name one channel of the {role}.", ELSE_PYTHON)


def _yaml(value: Any) -> str:
    """Write a value as the command line reads it (YAML); text is quoted only where it would be read as something else.

    Examples
    --------
    >>> _yaml((0, 2)), _yaml("gaussian"), _yaml("7"), _yaml(False)
    ('[0, 2]', 'gaussian', '"7"', 'false')
    """
    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)


def save(run: FinishedRun, folder: Path) -> ProgressGenerator[Path]:
    """Write a run as the command line does: pictures, tables and provenance.

    Raises
    ------
    OutputError
        If the folder holds another run, or cannot be written.
    """
    from vitascope.io.results.save import save_result  # writers are loaded when they are wanted, not with the dock

    yield Progress(0, 1, "Saving")
    try:
        command = as_command(run)
    except VitascopeError:
        command = ""
    save_result(run.result, folder, command)
    yield Progress(1, 1, "Saving")
    return folder
