"""A request for a job: read, checked, and its files put where the job will find them."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from vitascope.core.errors import ParameterError, ReaderError, VitascopeError
from vitascope.core.params import describe_validation
from vitascope.io.models.cards import find_model
from vitascope.serve.bodies import MOST_JSON_BYTES, json_object, short_body
from vitascope.serve.files import TABLES, below_root, check_picture, safe_name
from vitascope.serve.job import UPLOADS, JobRequest, job_folder
from vitascope.serve.problems import RefusedError, refused
from vitascope.serve.settings import ServiceSettings
from vitascope.tasks.registry import find_task

IMAGES, SECOND, MAP = ("image", "images"), ("reference", "references"), "map"
TEXTS = ("task", "plate", "pattern", "axes", "pixel_size_um", "planes", "format")
BESIDE = ("pixel_size_um", "axes", "pattern", "planes", "format")
"""What may stand among the parameters, as in Python, and is not one of the task's."""

_PIECE = 1 << 20


@dataclass
class Submission:
    """A job before it is in the queue.

    Parameters
    ----------
    id : str
    folder : Path
        Of the job, with the files that were sent.
    request : JobRequest
    fingerprint : str
        The same for the same request with the same files.
    """

    id: str
    folder: Path
    request: JobRequest
    fingerprint: str

    def drop(self) -> None:
        """Take its folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class _Sent:
    """What came with a request: fields, and files by what they are for."""

    values: dict[str, Any]
    files: dict[str, list[UploadFile]] = field(default_factory=dict)


async def read_submission(request: Request, settings: ServiceSettings) -> Submission:
    """Read a request for a job, as multipart form or as JSON; what cannot be run is refused at once.

    Raises
    ------
    RefusedError
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if kind == "application/json":
        return await run_in_threadpool(_make, _Sent(_fields_of_json(await short_body(request))), settings)
    if kind != "multipart/form-data":
        raise RefusedError(415, "The request is neither a form nor JSON.", "Send multipart/form-data with 'task'.")
    async with request.form(max_files=settings.limits.files, max_fields=1000, max_part_size=MOST_JSON_BYTES) as form:
        return await run_in_threadpool(_make, _fields_of_form(form), settings)


def _fields_of_json(body: bytes) -> dict[str, Any]:
    found = json_object(body, "The request")
    if any(name in found for name in ("uploads", "uploaded_references", "uploaded_map")):
        raise RefusedError(422, "Files cannot be sent as JSON.", "Send multipart/form-data, or name files in 'files'.")
    return found


def _fields_of_form(form: FormData) -> _Sent:
    sent = _Sent({})
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name not in (*IMAGES, *SECOND, MAP):
                raise RefusedError(422, f"'{name[:50]}' is no name for a file.", "Send images as 'image'.")
            sent.files.setdefault(name, []).append(value)
        elif name == "params":
            sent.values["params"] = json_object(value, "'params'")
        elif name in ("files", *IMAGES):
            sent.values.setdefault("files", []).append(value)
        elif name in SECOND:
            sent.values.setdefault("references", []).append(value)
        elif name in (*TEXTS, MAP):
            if value != "":
                sent.values[name] = value
        else:
            raise RefusedError(422, f"'{name[:50]}' is not known here.", "See /openapi.json for what is taken.")
    return sent


def _make(sent: _Sent, settings: ServiceSettings) -> Submission:
    """Check a request and store its files."""
    job_id = secrets.token_hex(16)
    folder = job_folder(settings.data, job_id)
    try:
        request = _request(sent.values)
        _check(request, sent, settings)
        folder.mkdir(parents=True)
        digest = hashlib.sha256(request.model_dump_json().encode())
        names = {key: _store(sent, keys, folder, digest) for key, keys in (("i", IMAGES), ("r", SECOND), ("m", (MAP,)))}
        uploaded = {
            "uploads": tuple(names["i"]),
            "uploaded_references": tuple(names["r"]),
            "uploaded_map": names["m"][0] if names["m"] else None,
        }
        _check_pictures([folder / UPLOADS / name for name in (*names["i"], *names["r"])], settings.limits.pixels)
        return Submission(job_id, folder, request.model_copy(update=uploaded), digest.hexdigest())
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, VitascopeError):
            raise refused(error) from error
        if isinstance(error, OSError):
            raise RefusedError(503, "The files could not be stored.", "The disk of the service may be full.") from error
        raise


def _request(values: dict[str, Any]) -> JobRequest:
    params = values.get("params") or {}
    if not isinstance(params, dict):
        raise ParameterError("'params' is no JSON object.", 'Write an object such as {"device": "cpu"}.')
    beside = {name: params[name] for name in BESIDE if name in params}
    own = {name: value for name, value in params.items() if name not in BESIDE}
    try:
        return JobRequest.model_validate({**beside, **values, "params": own})
    except ValidationError as error:
        raise ParameterError(describe_validation(error), "See /openapi.json for what is taken.") from error


def _check(request: JobRequest, sent: _Sent, settings: ServiceSettings) -> None:
    """Refuse what can be seen to be wrong before a worker has it."""
    spec = find_task(request.task)
    chosen = spec.make_params(**request.params)
    if chosen.model != "auto":
        if any(mark in chosen.model for mark in "/\\") or chosen.model.endswith(".json"):
            raise ParameterError("Models are chosen by their id here.", "See /v1/models for those there are.")
        find_model(chosen.model, spec.name)
    images = [one for name in IMAGES for one in sent.files.get(name, [])]
    if request.plate not in (None, "."):
        below_root(settings.root, settings.data, request.plate or "")
    elif not images and not request.files:
        raise ParameterError("No image was given.", "Send files as 'image', or name some in 'files'.")
    if request.plate == "." and not images:
        raise ParameterError("No image of the plate was given.", "Send files as 'image'.")
    if len(request.files) + len(request.references) > settings.limits.files:
        raise RefusedError(413, f"More than {settings.limits.files} files were named.", "Name folders.", "too_large")
    for name in (*request.files, *request.references, *filter(None, [request.map])):
        below_root(settings.root, settings.data, name)
    if (request.references or any(sent.files.get(name) for name in SECOND)) and len(spec.roles) < 2:
        raise ParameterError(f"The task '{spec.name}' takes no second image.", "Leave 'reference' out.")
    if shutil.disk_usage(settings.data).free < settings.limits.free_bytes:
        raise RefusedError(503, "The disk of the service is full.", "Try again later.", headers={"Retry-After": "600"})


def _store(sent: _Sent, keys: tuple[str, ...], folder: Path, digest: Any) -> list[str]:
    """Copy files into a job's folder, under names of their own; return these, relative to where uploads lie."""
    stored = []
    for number, file in enumerate(one for key in keys for one in sent.files.get(key, [])):
        name = safe_name(file.filename)
        if keys == (MAP,) and not name.lower().endswith(TABLES):
            raise ReaderError(f"'{name}' is no plate map.", "Send CSV, TSV or XLSX.")
        prefix = {"image": "", "reference": "references/", MAP: "map/"}[keys[0]]
        relative = f"{prefix}{name}"
        if (folder / UPLOADS / relative).exists():
            relative = f"{prefix}{number + 1}/{name}"
        path = folder / UPLOADS / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        digest.update(f"\0{keys[0]}\0{name}\0".encode())
        with path.open("xb") as out:
            while piece := file.file.read(_PIECE):
                digest.update(piece)
                out.write(piece)
        stored.append(relative)
    return stored


def _check_pictures(paths: list[Path], most: int) -> None:
    pixels = sum(check_picture(path) for path in paths)
    if pixels > most:
        raise RefusedError(
            413,
            f"The images have {pixels:,} pixels, more than the {most:,} that a job may have.",
            "Send them in several jobs.",
            "too_large",
        )
