"""Who may ask: tokens and scopes, pages of other sites, and bodies that never end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import Request

from vitascope.serve.asgi import App, Message, Receive, Send
from vitascope.serve.patience import timely_receive, timely_send
from vitascope.serve.problems import RefusedError, problem
from vitascope.serve.settings import ServiceSettings, is_loopback
from vitascope.serve.tokens import Scope, Token, find_token

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Gate:
    """Looks at every request before the service does, and adds headers to what it answers.

    Parameters
    ----------
    app : callable
        The service, as ASGI has it.
    settings : ServiceSettings
    """

    def __init__(self, app: App, settings: ServiceSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        patience = self.settings.patience
        send_timely = timely_send(send, patience)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send_timely(message)

        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        error = self._fault(scope, headers)
        if error is not None:
            answer = problem(error.status, error.message, error.hint, error.flag, error.headers)
            await answer(scope, receive, send_with_headers)
            return
        with suppress(TimeoutError):  # a client that takes no answer gets no more of it
            await self.app(scope, self._counted(timely_receive(receive, patience)), send_with_headers)

    def _fault(self, scope: Message, headers: dict[bytes, str]) -> RefusedError | None:
        most = self.settings.limits.upload_bytes
        declared = headers.get(b"content-length", "0")
        if not declared.isdecimal():
            return RefusedError(400, "The length of the request cannot be read.")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            return RefusedError(400, "The request declares its length in two ways.", "Send one of them.")
        if int(declared) > most:
            return too_large(most)
        host = _host_of(f"//{headers.get(b'host', '')}")
        if self.settings.token_file is None and not is_loopback(host):
            return RefusedError(
                403, "The service answers under the names of this machine alone.", "Ask for http://127.0.0.1."
            )
        origin = headers.get(b"origin")
        if origin is not None and scope["method"] != "GET" and origin.partition("//")[2] != headers.get(b"host"):
            return RefusedError(403, "A page of another site may not ask for this.", "Open the service's own page.")
        return None

    def _counted(self, receive: Receive) -> Receive:
        """Count a body while it comes, whatever length it declared."""
        most, seen = self.settings.limits.upload_bytes, 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise too_large(most)
            return message

        return receive_counted


def _host_of(url: str) -> str:
    """Return the name of the machine in an address; empty for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def too_large(most: int) -> RefusedError:
    """Say that a request is too large."""
    return RefusedError(
        413,
        f"More than {most / 2**30:.3g} GiB were sent.",
        "Send fewer images, or name files below the service's root.",
        "too_large",
        {"Connection": "close"},
    )


def who_asks(request: Request, tokens: Sequence[Token], scope: Scope) -> str:
    """Return the name of who asks.

    Raises
    ------
    RefusedError
        401 without a token that is known, 403 with one for other things.
    """
    if not tokens:
        return request.client.host if request.client else "local"
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    token = find_token(tokens, given.strip()) if kind.casefold() == "bearer" else None
    if token is None:
        raise RefusedError(
            401, "No token that is known here was given.", "Send 'Authorization: Bearer TOKEN'.",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    if scope == "run" and token.scope != "run":
        raise RefusedError(403, "This token may look at jobs and not start or end them.", "Ask for one with scope run.")
    return token.name
