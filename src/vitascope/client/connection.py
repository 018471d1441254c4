"""Requests to a service, with nothing but Python's own library; answers as Python values, errors as ours."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from vitascope.core.errors import (
    InputError,
    MemoryShortageError,
    ModelError,
    OutputError,
    ParameterError,
    ReaderError,
    VitascopeError,
    describe,
)

_PIECE = 1 << 20
_TRIES, _PAUSE_S = 3, 1.0
_NOW = (401, 403, 429, 503)
"""Answers that are about who asks and when, not about what is asked."""

_KINDS: tuple[type[VitascopeError], ...] = (ReaderError, ParameterError, ModelError, MemoryShortageError, InputError)


class ServerError(ReaderError):
    """The service does not answer, or not to this token, or has no room: the image is not to blame."""


class Connection:
    """The way to a service.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:8765``.
    token : str, optional
    timeout_s : float
        Without an answer.

    Raises
    ------
    ParameterError
        If the address is none.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 60.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise ParameterError(f"'{url}' is no address of a service.", "Write it as http://127.0.0.1:8765.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._path, self._token, self._timeout_s = parts.path.rstrip("/"), token, timeout_s

    def ask(self, method: str, path: str, sent: str | None = None, *, accept: str = "application/json") -> Any:
        """Send a request, with JSON or without a body, and return what the JSON of the answer says; None for none."""
        headers = {"Accept": accept}
        if sent is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(sent.encode()))}
        for last in _tries():
            try:
                with self._answer(method, path, headers, None if sent is None else iter([sent.encode()])) as answer:
                    body = answer.read()
                return self._json(body) if body else None
            except OSError as error:
                if last or method != "GET":
                    raise self._silent(error) from error
        return None

    def fetch(self, path: str, to: Path) -> None:
        """Write what an address answers to a file."""
        for last in _tries():
            try:
                with self._answer("GET", path, {}) as answer, to.open("wb") as out:
                    shutil.copyfileobj(answer, out, _PIECE)
                return
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise self._silent(error) from error

    def send(self, path: str, fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, Path]]) -> Any:
        """Send a form with files, piece by piece; sent again where the answer was lost, it counts once."""
        key = secrets.token_hex(16)
        for last in _tries():
            form = _Form(fields, files)
            headers = {
                "Content-Type": f"multipart/form-data; boundary={form.boundary}",
                "Content-Length": str(form.length),
                "Idempotency-Key": key,
            }
            try:
                with self._answer("POST", path, headers, form.pieces()) as answer:
                    return self._json(answer.read())
            except OSError as error:
                if last:
                    raise self._silent(error) from error
        return None

    @contextmanager
    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: Iterator[bytes] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Give the answer to a request; an error of the service is raised as one of ours."""
        own = {**headers, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        there: http.client.HTTPConnection = (
            http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=ssl.create_default_context()
            )
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        )
        try:
            try:
                there.request(method, quote(f"{self._path}{path}", safe="/?=&"), body, own)
            except (BrokenPipeError, ConnectionResetError):
                if body is None:
                    raise  # else the service refuses before it has read all, and says why
            answer = there.getresponse()
            if answer.status >= 400:
                raise error_of(answer.status, answer.read(_PIECE))
            yield answer
        except http.client.HTTPException as error:
            raise ConnectionError(describe(error)) from error
        finally:
            there.close()

    def _json(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            raise self._strange() from error

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Say so where an answer lacks what is read from it here: another program, or another version, gave it.

        Raises
        ------
        ServerError
        """
        try:
            yield
        except (LookupError, TypeError, AttributeError) as error:
            raise self._strange() from error

    def _strange(self) -> VitascopeError:
        return ServerError(
            f"What answers at {self._host} is no service, or one of another version of vitascope.",
            "Check the address, and install the same version on both machines.",
        )

    def _silent(self, error: Exception) -> VitascopeError:
        return ServerError(
            f"The service at {self._host} does not answer: {describe(error)}.",
            "See that it runs ('vitascope serve') and can be reached from here.",
        )


def _tries() -> Iterator[bool]:
    """Tell for each try whether it is the last."""
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_S)
        yield number == _TRIES - 1


def error_of(status: int, body: bytes) -> VitascopeError:
    """Turn an answer of RFC 9457 into an error of ours."""
    try:
        told = json.loads(body)
        if status in _NOW:
            return ServerError(str(told["message"]), str(told.get("hint", "")))
        return error_from(str(told["message"]), str(told.get("hint", "")), str(told.get("flag", "")))
    except (ValueError, KeyError, TypeError):
        return OutputError(f"The service answered with an error ({status}).", "Look at the log of the service.")


def error_from(message: str, hint: str, flag: str) -> VitascopeError:
    """Make the error that the same run here would raise, as far as its flag tells."""
    for kind in _KINDS:
        if kind.default_flag == flag:
            return kind(message, hint)
    return VitascopeError(message, hint, flag=flag or None)


class _Form:
    """A form with files, as ``multipart/form-data``."""

    def __init__(self, fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, Path]]) -> None:
        self.boundary = secrets.token_hex(16)
        self._heads = [
            (f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode(), None)
            for name, value in fields
        ] + [(self._head(name, path), path) for name, path in files]
        self._end = f"--{self.boundary}--\r\n".encode()
        sizes = [len(head) + (path.stat().st_size + 2 if path is not None else 0) for head, path in self._heads]
        self.length = sum(sizes) + len(self._end)

    def _head(self, name: str, path: Path) -> bytes:
        safe = path.name.replace("\\", "_").replace('"', "%22").replace("\r", "_").replace("\n", "_")
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{safe}"'
        return f"--{self.boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()

    def pieces(self) -> Iterator[bytes]:
        """Give the form piece by piece; no file is held whole."""
        for head, path in self._heads:
            yield head
            if path is not None:
                with path.open("rb") as file:
                    while piece := file.read(_PIECE):
                        yield piece
                yield b"\r\n"
        yield self._end
