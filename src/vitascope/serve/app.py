"""The service: addresses, and what each answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from vitascope.core.errors import ParameterError
from vitascope.core.versions import versions
from vitascope.io.models.cards import list_cards
from vitascope.io.results.folder import RESULTS
from vitascope.serve import openapi
from vitascope.serve.access import who_asks
from vitascope.serve.curves import add_curves
from vitascope.serve.describe import describe_job, describe_model, describe_task
from vitascope.serve.job import RESULTS_FOLDER, JobRecord, JobState, job_folder
from vitascope.serve.job_store import JobStore
from vitascope.serve.previews import preview_png
from vitascope.serve.problems import RefusedError, add_handlers, refused
from vitascope.serve.results import KINDS, find_file, list_files, media_type, parquet_bytes, read_rows, wanted_format
from vitascope.serve.settings import ServiceSettings
from vitascope.serve.submission import Submission, read_submission
from vitascope.serve.supervisor import Supervisor
from vitascope.serve.tokens import Scope, Token
from vitascope.tasks.registry import TASKS, find_task

GRACE_S = 5.0
"""How long running jobs may finish in when the service is asked to end; with all else it ends within 10 s."""

LOOK_EVERY_S = 0.3
PAGE = {"index.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
NAMES: list[Any] = [spec.name for spec in TASKS]
MOST_KEY = 255


@dataclass(frozen=True)
class Service:
    """What the answers are made from.

    Parameters
    ----------
    settings : ServiceSettings
    store : JobStore
    supervisor : Supervisor
    tokens : sequence of Token
        Empty where no token is asked for.
    """

    settings: ServiceSettings
    store: JobStore
    supervisor: Supervisor
    tokens: Sequence[Token]

    def job(self, job_id: str) -> JobRecord:
        """Return a job.

        Raises
        ------
        RefusedError
            404, if there is none.
        """
        found = self.store.find(job_id)
        if found is None:
            raise RefusedError(404, "There is no such job.", "It may have been removed; ids come with the answer 202.")
        return found

    def describe(self, job: JobRecord) -> dict[str, Any]:
        """Describe a job as it stands."""
        return describe_job(job, self.supervisor.progress.get(job.id))

    def who(self, request: Request, scope: Scope) -> str:
        """Return the name of who asks; see :func:`who_asks`."""
        return who_asks(request, self.tokens, scope)

    def submit(self, sent: Submission, client: str, key: str | None) -> tuple[JobRecord, bool]:
        """Put a job into the queue; return it, and whether it was there already."""
        limits = self.settings.limits
        known = None if key is None else self.store.of_key(client, key)
        if known is not None:  # also where the queue is full: the job is in it
            return self._again(known, sent), True
        if self.store.count(JobState.QUEUED) >= limits.waiting or self.supervisor.stopping:
            sent.drop()
            raise RefusedError(503, "The service has as much work as it takes.", "Try again later.",
                               headers={"Retry-After": "60"})  # fmt: skip
        if self.store.count(JobState.QUEUED, client) >= limits.waiting_each:
            sent.drop()
            raise RefusedError(429, f"You have {limits.waiting_each} jobs that wait.", "Wait until some have ended.",
                               headers={"Retry-After": "60"})  # fmt: skip
        new = JobRecord(
            id=sent.id, client=client, request=sent.request, fingerprint=sent.fingerprint, created=time.time()
        )
        job = self.store.add(new, key)
        if job.id == new.id:
            self.supervisor.wake()
            return job, False
        return self._again(job, sent), True

    def _again(self, job: JobRecord, sent: Submission) -> JobRecord:
        """Return the job that a key stands for, if the request is the same again."""
        sent.drop()
        if job.fingerprint != sent.fingerprint:
            raise RefusedError(422, "This key was used for another request.", "Take a new key for each job.")
        return job


def create_app(service: Service) -> FastAPI:
    """Make the service's application; its queue is worked off while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.supervisor.start()
        yield
        await run_in_threadpool(service.supervisor.stop, GRACE_S)
        service.store.close()

    app = FastAPI(
        title="vitascope",
        version=versions().get("vitascope", ""),
        description="Label-free image analysis: images in, numbers with intervals and pictures out.",
        docs_url=None,  # its pages load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    add_handlers(app)
    _add_page(app)
    _add_lists(app, service)
    _add_jobs(app, service)
    _add_results(app, service)
    add_curves(app, service)
    openapi.describe(app)
    return app


def _add_page(app: FastAPI) -> None:
    def page(name: str) -> Response:
        content = files("vitascope.serve").joinpath("page", name).read_bytes()
        return Response(content, media_type=PAGE[name])

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return page("index.html")

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/page.js", include_in_schema=False)
    def script() -> Response:
        return page("page.js")

    @app.get("/page.css", include_in_schema=False)
    def style() -> Response:
        return page("page.css")


def _add_lists(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether the service works", tags=["service"], responses=openapi.answers())
    def health() -> dict[str, Any]:
        counts = {str(state): service.store.count(state) for state in (JobState.QUEUED, JobState.RUNNING)}
        return {"status": "ok", "version": versions().get("vitascope", ""), **counts}

    @app.get("/v1/tasks", summary="What can be run", tags=["tasks"], responses=openapi.answers(401))
    def tasks(request: Request) -> list[dict[str, Any]]:
        service.who(request, "read")
        return [describe_task(spec) for spec in TASKS]

    @app.get("/v1/tasks/{name}", summary="One task", tags=["tasks"], responses=openapi.answers(401, 404))
    def task(request: Request, name: str) -> dict[str, Any]:
        service.who(request, "read")
        try:
            return describe_task(find_task(name))
        except ParameterError as error:
            raise refused(error, 404) from error

    @app.get("/v1/models", summary="Models at hand", tags=["tasks"], responses=openapi.answers(401, 422))
    def models(
        request: Request, task: Annotated[str | None, Query(json_schema_extra={"enum": NAMES})] = None
    ) -> list[dict[str, Any]]:
        service.who(request, "read")
        return [describe_model(card) for card in list_cards(None if task is None else find_task(task).name)]


def _add_jobs(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/jobs",
        status_code=202,
        summary="Start a job",
        tags=["jobs"],
        responses=openapi.answers(400, 401, 403, 408, 413, 415, 422, 429, 503) | openapi.job_links(),
        openapi_extra=openapi.job_body(),
    )
    async def start(request: Request) -> JSONResponse:
        client, key = service.who(request, "run"), request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= MOST_KEY:
            raise RefusedError(422, f"An idempotency key has 1 to {MOST_KEY} letters.", "Take a UUID.")
        sent = await read_submission(request, service.settings)
        job, known = await run_in_threadpool(service.submit, sent, client, key)
        headers = {"Location": f"/v1/jobs/{job.id}", **({"Idempotent-Replayed": "true"} if known else {})}
        return JSONResponse(service.describe(job), 202, headers=headers)

    @app.get("/v1/jobs", summary="Your last jobs", tags=["jobs"], responses=openapi.answers(401))
    def jobs(request: Request) -> list[dict[str, Any]]:
        return [service.describe(job) for job in service.store.of_client(service.who(request, "read"))]

    @app.get("/v1/jobs/{job_id}", summary="Where a job stands", tags=["jobs"], responses=openapi.answers(401, 404))
    def job(request: Request, job_id: str) -> dict[str, Any]:
        service.who(request, "read")
        return service.describe(service.job(job_id))

    @app.delete(
        "/v1/jobs/{job_id}",
        summary="Cancel a job, or remove one that ended",
        tags=["jobs"],
        status_code=202,
        responses=openapi.answers(401, 403, 404) | {204: {"description": "It had ended, and is removed."}},
    )
    def end(request: Request, job_id: str) -> Response:
        client, found = service.who(request, "run"), service.job(job_id)
        if service.tokens and found.client != client:
            raise RefusedError(403, "This is a job of someone else.", "Ask whoever sent it.")
        if service.store.cancel(found.id) in (JobState.QUEUED, JobState.RUNNING):
            return JSONResponse(service.describe(service.job(found.id)), 202)
        service.supervisor.remove(found.id)
        return Response(status_code=204)

    @app.get(
        "/v1/jobs/{job_id}/events",
        summary="Progress as it comes (server-sent events)",
        tags=["jobs"],
        responses=openapi.answers(401, 404) | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
        response_class=StreamingResponse,
    )
    async def events(request: Request, job_id: str) -> StreamingResponse:
        service.who(request, "read")
        found = await run_in_threadpool(service.job, job_id)
        return StreamingResponse(_events(service, found.id), media_type="text/event-stream")


async def _events(service: Service, job_id: str) -> AsyncIterator[str]:
    """Tell each change of a job, and every 15 s that there is none; ``end`` is the last."""
    told, silent = "", 0.0
    while not service.supervisor.stopping:
        job = await run_in_threadpool(service.store.find, job_id)
        if job is None:
            return
        text = json.dumps(service.describe(job))
        if text != told or silent >= 15:
            kind = "end" if job.state.ended else "progress"
            yield f"event: {kind}\ndata: {text}\n\n"
            told, silent = text, 0.0
        if job.state.ended:
            return
        await asyncio.sleep(LOOK_EVERY_S)
        silent += LOOK_EVERY_S


def _add_results(app: FastAPI, service: Service) -> None:
    def folder_of(request: Request, job_id: str) -> Path:
        service.who(request, "read")
        job, folder = service.job(job_id), job_folder(service.settings.data, job_id) / RESULTS_FOLDER
        if not job.state.ended:
            raise RefusedError(409, f"The job is {job.state}.", "Ask again when its state is 'done'.", "not_ended")
        if job.state is JobState.CANCELLED or not (folder / RESULTS).is_file():
            error = job.error or {"message": f"The job was {job.state}.", "hint": "", "flag": ""}
            raise RefusedError(409, error["message"], error["hint"], error["flag"])
        return folder

    @app.get(
        "/v1/jobs/{job_id}/result",
        summary="The numbers: JSON, CSV or Parquet, as Accept or 'format' says",
        tags=["results"],
        responses=openapi.answers(401, 404, 406, 409, 422) | openapi.tables(),
    )
    def result(request: Request, job_id: str, format: openapi.AskedFormat = None) -> Response:
        folder, kind = folder_of(request, job_id), wanted_format(request.headers.get("accept", ""), format)
        if kind == "csv":
            return FileResponse(folder / RESULTS, media_type=KINDS[".csv"], filename=RESULTS)
        if kind == "parquet":
            return Response(parquet_bytes(folder), media_type=KINDS[".parquet"])
        return JSONResponse(read_rows(folder))

    @app.get(
        "/v1/jobs/{job_id}/files",
        summary="All files of a result",
        tags=["results"],
        responses=openapi.answers(401, 404, 409),
    )
    def all_files(request: Request, job_id: str) -> list[dict[str, Any]]:
        return list_files(folder_of(request, job_id))

    @app.get(
        "/v1/jobs/{job_id}/result/{name:path}",
        summary="One file of a result, such as a picture, by its name",
        tags=["results"],
        responses=openapi.answers(401, 404, 409),
        response_class=FileResponse,
    )
    def file(request: Request, job_id: str, name: str) -> FileResponse:
        path = _found(folder_of(request, job_id), name)
        return FileResponse(path, media_type=media_type(path), filename=path.name)

    @app.get(
        "/v1/jobs/{job_id}/preview/{name:path}",
        summary="One picture of a result as PNG",
        tags=["results"],
        responses=openapi.answers(401, 404, 409, 422),
        response_class=Response,
    )
    def preview(request: Request, job_id: str, name: str) -> Response:
        return Response(preview_png(_found(folder_of(request, job_id), name, True)), media_type=KINDS[".png"])


def _found(folder: Path, name: str, or_picture: bool = False) -> Path:
    try:
        return find_file(folder, name, or_picture=or_picture)
    except ParameterError as error:
        raise RefusedError(404, error.message, error.hint) from error
