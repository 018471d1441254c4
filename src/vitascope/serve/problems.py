"""Errors as RFC 9457 has them, with the message and the hint that a person can follow."""

from __future__ import annotations

import http
import logging
import secrets
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from vitascope.core.errors import VitascopeError
from vitascope.core.params import MOST_TOLD

logger = logging.getLogger(__name__)

TOO_MANY = ("Too many files", "Too many fields", "Part exceeded")
"""How what reads forms begins its sentence where a limit is passed."""

MALFORMED = {400: "See /openapi.json for what is taken."}

MEDIA_TYPE = "application/problem+json"


class RefusedError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
        HTTP status.
    message, hint : str
    flag : str
        Word that says what kind of error it is.
    headers : mapping
    """

    def __init__(
        self, status: int, message: str, hint: str = "", flag: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.flag = status, message, hint, flag
        self.headers = dict(headers or {})


def refused(error: VitascopeError, status: int = 422) -> RefusedError:
    """Turn an error of ours into an answer."""
    return RefusedError(413 if error.flag == "too_large" else status, error.message, error.hint, error.flag)


def problem(
    status: int, message: str, hint: str = "", flag: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Write an error as ``application/problem+json``: title, status, detail; message, hint and flag beside them."""
    content = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": f"{message} {hint}".strip(),
        "message": message,
        "hint": hint,
    }
    if flag:
        content["flag"] = flag
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods that an address takes."""
    found = set()
    for route in app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= set(route.methods or ())
    return sorted(found)


def add_handlers(app: FastAPI) -> None:
    """Answer every error in this way."""

    @app.exception_handler(RefusedError)
    async def tell_refused(request: Request, error: RefusedError) -> JSONResponse:
        return problem(error.status, error.message, error.hint, error.flag, error.headers)

    @app.exception_handler(VitascopeError)
    async def tell_ours(request: Request, error: VitascopeError) -> JSONResponse:
        return problem(422, error.message, error.hint, error.flag)

    @app.exception_handler(HTTPException)
    async def tell_http(request: Request, error: HTTPException) -> JSONResponse:
        told = {404: "There is nothing at this address.", 405: "This address does not take such a request."}
        hint = "See /openapi.json for what there is." if error.status_code in told else ""
        headers = {"Allow": ", ".join(_methods(app, request))} if error.status_code == 405 else error.headers
        detail = told.get(error.status_code, str(error.detail))
        if error.status_code == 400 and detail.startswith(TOO_MANY):
            return problem(413, detail, "Send fewer in one request, or name folders below the root.", "too_large")
        return problem(error.status_code, detail, hint or MALFORMED.get(error.status_code, ""), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def tell_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()[:MOST_TOLD]]
        return problem(422, "; ".join(faults), "See /openapi.json for what is taken.")

    @app.exception_handler(ClientDisconnect)
    async def tell_nobody(request: Request, error: ClientDisconnect) -> JSONResponse:
        return problem(400, "The client went away while it was sending.", MALFORMED[400])

    @app.exception_handler(Exception)
    async def tell_unexpected(request: Request, error: Exception) -> JSONResponse:
        number = secrets.token_hex(4)
        logger.error("error %s at %s %s", number, request.method, request.url.path, exc_info=error)
        return problem(500, f"Something unexpected went wrong (number {number}).", "The log of the service tells more.")
