"""Dose-response curves of a result or of a table that is sent: ``vitascope response`` over HTTP."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from vitascope.batch.response.inputs import read_response_table
from vitascope.batch.response.outputs import CURVES, ResponseJob, run_response
from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.progress import run_to_end
from vitascope.io.results.folder import RESULTS
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.serve import openapi
from vitascope.serve.bodies import json_object, short_body
from vitascope.serve.files import TABLES, below_root, safe_name
from vitascope.serve.job import RESULTS_FOLDER, UPLOADS, JobRecord, job_folder
from vitascope.serve.problems import RefusedError, refused
from vitascope.serve.results import KINDS, parquet_bytes, read_rows, wanted_format
from vitascope.serve.settings import ServiceSettings
from vitascope.stats.response.params import ResponseParams

FOLDER = "response"
"""In a result: what the last analysis of its curves left."""

MOST_TABLE_BYTES = 64 << 20
_OWN = ("value", "by", "map")


def add_curves(app: FastAPI, service: Any) -> None:
    """Add the addresses.

    Parameters
    ----------
    app : FastAPI
    service : Service
    """
    one_at_a_time = asyncio.Semaphore(1)  # fits take all cores for some seconds

    @app.post(
        "/v1/jobs/{job_id}/response",
        summary="Fit dose-response curves to a result",
        tags=["response"],
        responses=openapi.answers(401, 403, 404, 406, 408, 409, 413, 422) | openapi.tables("curves.csv"),
        openapi_extra=openapi.response_body(sends_table=False),
    )
    async def of_job(request: Request, job_id: str, format: openapi.AskedFormat = None) -> Response:
        service.who(request, "run")
        kind = wanted_format(request.headers.get("accept", ""), format)
        asked = json_object(await short_body(request), "The request")
        job = await run_in_threadpool(service.job, job_id)
        folder = job_folder(service.settings.data, job.id)
        if not job.state.ended or not (folder / RESULTS_FOLDER / RESULTS).is_file():
            raise RefusedError(409, f"The job is {job.state}: there is no result.", "Ask when its state is 'done'.")
        async with one_at_a_time:
            await run_in_threadpool(_fit_job, job, folder, asked, service.settings)
        return await run_in_threadpool(_answer, folder / RESULTS_FOLDER / FOLDER, kind)

    @app.post(
        "/v1/response",
        summary="Fit dose-response curves to a table that is sent; nothing is kept",
        tags=["response"],
        responses=openapi.answers(401, 403, 406, 408, 413, 415, 422) | openapi.tables("curves.csv"),
        openapi_extra=openapi.response_body(sends_table=True),
    )
    async def of_table(request: Request, format: openapi.AskedFormat = None) -> Response:
        service.who(request, "run")
        kind = wanted_format(request.headers.get("accept", ""), format)
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise RefusedError(415, "The request is no form.", "Send multipart/form-data with the file 'table'.")
        with tempfile.TemporaryDirectory(dir=service.settings.data, prefix="response-") as made:
            place = Path(made)
            async with request.form(max_files=2, max_fields=20, max_part_size=1 << 20) as form:
                given = await run_in_threadpool(_stored, form, place)
            async with one_at_a_time:
                await run_in_threadpool(_fit, place / given["table"], given, place / FOLDER, service.settings, place)
            return await run_in_threadpool(_answer, place / FOLDER, kind, as_file=False)


def _stored(form: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Store the table and the plate map of a form, and return what else it says."""
    asked: dict[str, Any] = {}
    for name, value in form.items():
        if isinstance(value, UploadFile):
            own = safe_name(value.filename)
            if name not in ("table", "map") or not own.lower().endswith(TABLES):
                raise RefusedError(422, f"'{own}' is no table.", f"Send 'table' and 'map' as {', '.join(TABLES)}.")
            path = folder / f"{name}-{own}"
            with path.open("wb") as file:
                shutil.copyfileobj(value.file, file)
            if path.stat().st_size > MOST_TABLE_BYTES:
                raise RefusedError(413, "The table is larger than 64 MiB.", "Send fewer rows.", "too_large")
            asked[name] = path.name
        elif name == "params":
            asked |= json_object(value, "'params'")
        else:
            raise RefusedError(422, f"'{name[:50]}' is not known here.", "Send 'table', 'map' and 'params'.")
    if "table" not in asked:
        raise RefusedError(422, "There is no table.", "Send it as the file 'table'.")
    return asked


def _fit_job(job: JobRecord, folder: Path, asked: dict[str, Any], settings: ServiceSettings) -> None:
    results = folder / RESULTS_FOLDER
    if "map" not in asked and job.request.uploaded_map is not None:
        asked = {**asked, "map": folder / UPLOADS / job.request.uploaded_map}
    elif "map" not in asked and job.request.map is not None:
        asked = {**asked, "map": job.request.map}
    made = Path(tempfile.mkdtemp(dir=folder, prefix="response-"))
    try:
        _fit(results, asked, made / FOLDER, settings, folder)
        shutil.rmtree(results / FOLDER, ignore_errors=True)
        (made / FOLDER).replace(results / FOLDER)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fit(source: Path, asked: dict[str, Any], out: Path, settings: ServiceSettings, sent: Path) -> None:
    """Fit as the command does; a plate map is a file that was sent, or one below the root."""
    try:
        plate_map = None
        if (named := asked.get("map")) is not None:
            own = sent / named if isinstance(named, str) and (sent / named).is_file() else None
            found = named if isinstance(named, Path) else own or below_root(settings.root, settings.data, str(named))
            plate_map = read_plate_map(found)
        wells = read_response_table(source, plate_map, None)
        values = _names(asked, "value")
        params = {name: value for name, value in asked.items() if name not in (*_OWN, "table")}
        job = ResponseJob(
            wells=wells,
            values=tuple(wells.choose(one) for one in values) if values else (wells.choose(None),),
            out=out,
            by=_names(asked, "by") or None,
            params=ResponseParams.make(**params),
            command=_command(values, params),
        )
        run_to_end(run_response(job))
    except VitascopeError as error:
        raise refused(error) from error


def _command(values: tuple[str, ...], params: Mapping[str, Any]) -> str:
    words = ["vitascope", "response", "RESULTS", "-o", "OUT"]
    words += [word for name in values for word in ("--value", name)]
    return shlex.join([*words, *(w for n, v in params.items() for w in ("--set", f"{n}={json.dumps(v)}"))])


def _names(asked: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = asked.get(key) or ()
    names = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise ParameterError(f"'{key}' is no name of a column.", 'Write a name or a list such as ["viability"].')
    return names


def _answer(folder: Path, kind: str, *, as_file: bool = True) -> Response:
    path = folder / CURVES
    if kind == "csv":
        if as_file:
            return FileResponse(path, media_type=KINDS[".csv"], filename=CURVES)
        return Response(path.read_bytes(), media_type=KINDS[".csv"])
    if kind == "parquet":
        return Response(parquet_bytes(folder, CURVES), media_type=KINDS[".parquet"])
    return JSONResponse(read_rows(folder, CURVES))
