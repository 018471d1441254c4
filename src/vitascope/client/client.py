"""``vitascope.Client``: run tasks on another machine, with the calls and results of this one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

from vitascope.client.connection import Connection, error_from
from vitascope.core.errors import InputError, ParameterError, ReaderError, VitascopeError
from vitascope.core.late_import import import_late
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator, run_to_end
from vitascope.core.result import Result
from vitascope.core.status import JUDGED, Status

FIRST_LOOK_S, LAST_LOOK_S = 0.1, 1.0
_PARTS = 1000


@runtime_checkable
class FilesModule(Protocol):
    """What a client uses of :mod:`vitascope.io.images.as_files`, which it does not import: it stands beside it."""

    def as_files(self, image: Any, folder: Path, axes: str | None, pixel_size_um: float | None, /) -> list[Path]:
        """Return the files of an image."""


@runtime_checkable
class SavedModule(Protocol):
    """What a client uses of :mod:`vitascope.io.results.saved_result`."""

    def saved_result(self, folder: Path, rows: Sequence[Mapping[str, Any]], scratch: object, /) -> Result:
        """Make a result of a folder."""


class Client:
    """A service on this or another machine.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:8765``.
    token : str, optional
        Where the service asks for one.

    Raises
    ------
    ParameterError
        If the address is none.

    Examples
    --------
    >>> client = Client("http://127.0.0.1:8765")
    >>> client.run("stain", "scan.tif", device="cpu").rows  # doctest: +SKIP
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._service = Connection(url, token)

    def run(self, task: str, image: Any, **params: Any) -> Result:
        """Run one task on one image there, and wait for the result: :func:`vitascope.run`, on another machine.

        Parameters
        ----------
        task : str
        image : Micrograph, array of 2 to 5 dimensions (TCZYX), or path of this machine
        **params
            As for :func:`vitascope.run`.

        Returns
        -------
        Result
            The same pictures and numbers as here, for the same model, device and precision.

        Raises
        ------
        VitascopeError
            As :func:`vitascope.run` does, or if the service does not answer.
        """
        return run_to_end(self.steps(task, image, **params))

    def steps(self, task: str, image: Any, **params: Any) -> ProgressGenerator[Result]:
        """Run one task as a generator of progress; closed, it cancels the job. Parameters as for :meth:`run`."""
        values, known = dict(params), self._service.ask("GET", f"/v1/tasks/{task}")
        with self._service.understood():
            others = [str(one["name"]) for one in known["images"][1:]]
        with tempfile.TemporaryDirectory(prefix="vitascope-") as made:
            files = [("image", path) for path in _files(image, Path(made), values)]
            for role in others:
                if (given := values.pop(role, None)) is not None:
                    files += [("reference", path) for path in _files(given, Path(made) / role, {})]
            job = self._start({"task": task, "params": _as_json(values)}, files)
        yield from job.steps()
        return job.result()

    def steps_of(self, task: str, images: Mapping[str, Micrograph], params: RunParams) -> ProgressGenerator[Result]:
        """Run one task on images by role, as a generator of progress; closed, it cancels the job.

        Returns
        -------
        Result
            As of a run here; name, place and flags of the image are those that it has here.

        Raises
        ------
        VitascopeError
            As a run here, or if the service does not answer.
        """
        main, *others = images
        values = params.model_dump(mode="json", exclude_defaults=True)
        result = yield from self.steps(task, images[main], **values, **{name: images[name] for name in others})
        image = images[main]
        flags = tuple(dict.fromkeys((*image.flags, *result.flags)))
        status = result.status if flags == result.flags else Status.of_flags(flags)
        return replace(result, name=image.name, place=image.place, flags=flags, status=status)

    def start(self, task: str, *images: str | os.PathLike[str], **params: Any) -> RemoteJob:
        """Start a job on any number of files of this machine, and do not wait.

        Parameters
        ----------
        task : str
        *images : path
            Files; those that differ only in z or channel are one image.
        **params
            Fields of the task's parameters; besides, ``files`` (names below the service's root), ``plate`` (a plate
            below it, or ``"."`` for the files that are sent), ``map`` (a plate map below it), ``pattern``, ``axes``,
            ``pixel_size_um``, ``planes`` and ``format``.

        Returns
        -------
        RemoteJob
        """
        fields = {"task": task}
        for name in ("plate", "map"):
            if (value := params.pop(name, None)) is not None:
                fields[name] = str(value)
        named = params.pop("files", ())
        sent = [("image", Path(image)) for image in images]
        if missing := [path for _, path in sent if not path.is_file()]:
            raise ReaderError(f"'{missing[0]}' is no file.", "Name what lies below the service's root in files=.")
        return self._start({**fields, "params": _as_json(params)}, sent, [named] if isinstance(named, str) else named)

    def job(self, job_id: str) -> RemoteJob:
        """Return a job by its id, also one of an earlier session."""
        found = self._service.ask("GET", f"/v1/jobs/{job_id}")
        with self._service.understood():
            return RemoteJob(self._service, str(found["id"]))

    def version(self) -> str:
        """Return the version of vitascope that the service has."""
        found = self._service.ask("GET", "/health")
        with self._service.understood():
            return str(found["version"])

    def tasks(self) -> list[dict[str, Any]]:
        """List what the service can run, each with the JSON schema of its parameters."""
        found: list[dict[str, Any]] = self._service.ask("GET", "/v1/tasks")
        return found

    def models(self, task: str | None = None) -> list[dict[str, Any]]:
        """List the models of the service, of one task or of all."""
        found: list[dict[str, Any]] = self._service.ask("GET", "/v1/models" + (f"?task={task}" if task else ""))
        return found

    def _start(
        self, fields: Mapping[str, str], files: Sequence[tuple[str, Path]], named: Sequence[str] = ()
    ) -> RemoteJob:
        values = [*fields.items(), *(("files", name) for name in named)]
        sent = self._service.send("/v1/jobs", values, files)
        with self._service.understood():
            return RemoteJob(self._service, str(sent["id"]))


class RemoteJob:
    """A job of a service.

    Parameters
    ----------
    service : Connection
    id : str
    """

    def __init__(self, service: Connection, id: str) -> None:
        self._service, self.id = service, id

    def describe(self) -> dict[str, Any]:
        """Ask where the job stands: ``state``, ``progress``, ``counts``, ``error``."""
        found: dict[str, Any] = self._service.ask("GET", f"/v1/jobs/{self.id}")
        with self._service.understood():
            _ = [found[part] for part in ("state", "counts", "error")]
            _ = [found["progress"][part] for part in ("fraction", "stage")]
        return found

    def cancel(self) -> None:
        """Cancel the job; one that has ended is removed, with its results."""
        self._service.ask("DELETE", f"/v1/jobs/{self.id}")

    def steps(self) -> ProgressGenerator[None]:
        """Follow the job to its end; closed before, it cancels it.

        Raises
        ------
        VitascopeError
            If the job fails, or was cancelled by someone.
        """
        pause, ended = FIRST_LOOK_S, False
        try:
            while True:
                told = self.describe()
                ended = told["state"] in ("done", "failed", "cancelled")
                if ended:
                    break
                at = told["progress"]
                yield Progress(round(_PARTS * at["fraction"]), _PARTS, at["stage"])
                time.sleep(pause)
                pause = min(LAST_LOOK_S, pause * 1.3)
        except GeneratorExit:
            if not ended:
                self.cancel()
            raise
        if told["state"] == "cancelled":
            raise VitascopeError("The job was cancelled at the service.", "Start it again.")
        if told["state"] == "failed" and not told["counts"]:
            error = told["error"] or {}
            raise error_from(error.get("message", "The job failed."), error.get("hint", ""), error.get("flag", ""))

    def wait(self) -> dict[str, Any]:
        """Wait until the job has ended, and return how; errors as :meth:`steps` has them."""
        run_to_end(self.steps())
        return self.describe()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``results.csv``: numbers as numbers, empty cells as None."""
        found: list[dict[str, Any]] = self._service.ask("GET", f"/v1/jobs/{self.id}/result")
        return found

    def response(self, **params: Any) -> list[dict[str, Any]]:
        """Fit dose-response curves to the result, at the service, and return the rows of ``curves.csv``.

        Parameters
        ----------
        **params
            ``value`` and ``by`` (names of columns), ``map`` (a plate map below the service's root; by default the
            job's own), and the settings of ``vitascope response``.

        Raises
        ------
        VitascopeError
            If there is no result, or no curve can be fitted to it.
        """
        found: list[dict[str, Any]] = self._service.ask("POST", f"/v1/jobs/{self.id}/response", _as_json(params))
        return found

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write all files of the result to a folder: tables, pictures and provenance, as a run here leaves them.

        Raises
        ------
        ParameterError
            If the folder holds something already.
        """
        out = Path(folder)
        if out.is_dir() and any(out.iterdir()):
            raise ParameterError(f"'{out}' is not empty.", "Choose another folder.")
        for file in self._service.ask("GET", f"/v1/jobs/{self.id}/files"):
            name = PurePosixPath(file["name"])
            if name.is_absolute() or ".." in name.parts:
                raise ReaderError(f"The service names a file '{name}' that leads out of the folder.")
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._service.fetch(f"/v1/jobs/{self.id}/result/{name}", path)
        return out

    def result(self) -> Result:
        """Return the result of a job on one image, as a run here would.

        Raises
        ------
        VitascopeError
            If the image was refused or failed.
        """
        rows = self.rows()
        first = rows[0]
        if len(rows) == 1 and first["status"] not in JUDGED:
            flag = str(first["flags"]).partition(";")[0]
            if first["status"] == Status.REJECTED:
                raise InputError(str(first["message"]), flag=flag)
            raise error_from(str(first["message"]), "", flag)
        scratch = _Scratch()
        folder = self.save(scratch.folder)
        return import_late("vitascope.io.results.saved_result", SavedModule).saved_result(folder, rows, scratch)


class _Scratch:
    """A temporary folder that lives as long as the result that reads from it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vitascope-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def _files(image: Any, folder: Path, values: Mapping[str, Any]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    module = import_late("vitascope.io.images.as_files", FilesModule)
    return module.as_files(image, folder, values.get("axes"), values.get("pixel_size_um"))


def _as_json(params: Mapping[str, Any]) -> str:
    try:
        return json.dumps(params, default=os.fspath, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ParameterError("A parameter cannot be sent to a service.", "Give numbers, texts and lists.") from error
