"""The servers that docks can run on: where they are, kept for this user, and a run on one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.paths import servers_file
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import Result
from vitascope.gui.common.runner import RunOutcome
from vitascope.io.atomic import atomic_write
from vitascope.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from vitascope.client.client import Client

TOKEN_VARIABLE = "VITASCOPE_TOKEN"
"""Environment variable that copied Python takes the token from."""


@dataclass(frozen=True)
class Server:
    """A service that runs tasks.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:8765``.
    token : str
        Empty where the service asks for none; never shown.
    """

    url: str
    token: str = field(default="", repr=False)

    @classmethod
    def typed(cls, url: str, token: str = "") -> Server:
        """Make a server of what was typed.

        Raises
        ------
        ParameterError
            If the address is none.

        Examples
        --------
        >>> Server.typed(" node17:8765/ ", "secret")
        Server(url='http://node17:8765')
        """
        text = url.strip()
        text = text if "//" in text else f"http://{text}"
        server = cls("", token.strip())
        server.client(text)  # which checks the address
        parts = urlsplit(text)
        return replace(server, url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}")

    @property
    def name(self) -> str:
        """What lists call it: its host."""
        parts = urlsplit(self.url)
        return f"{parts.netloc}{parts.path}"

    def client(self, url: str = "") -> Client:
        """Return the client that asks it."""
        from vitascope.client.client import Client  # a dock that never asks a server opens without it

        return Client(url or self.url, self.token or None)

    def steps(self, spec: TaskSpec, images: Mapping[str, Micrograph], params: RunParams) -> ProgressGenerator[Result]:
        """Run a task there, on images by role; closed, it cancels the job.

        Returns
        -------
        Result
            As of a run here; name, place and flags of the image are those that it has here.

        Raises
        ------
        VitascopeError
            As a run here, or if the service does not answer.
        """
        if problem := self.model_problem(params.model, "", self.client().models(spec.name)):
            raise ModelError(problem, "Choose another model, or a device of this machine.")
        return (yield from self.client().steps_of(spec.name, images, params))

    def model_problem(self, model: str, sha256: str, there: Sequence[Mapping[str, Any]]) -> str:
        """Say why a model cannot run there; empty where it can.

        Parameters
        ----------
        model : str
            Its id; ``auto`` leaves the choice to the server.
        sha256 : str
            Of its weights here; empty where that is not to be compared.
        there : sequence of mapping
            The server's models of the task.
        """
        if model == "auto":
            return ""
        found = next((one for one in there if one["id"] == model), None)
        if found is None:
            known = ", ".join(str(one["id"]) for one in there) or "none for this task"
            return f"The server {self.name} has no model '{model}'. It has: {known}."
        if sha256 and found.get("sha256", sha256) != sha256:
            return f"The model '{model}' of the server {self.name} is another one: its weights differ."
        return ""


def ask_server(server: Server) -> str:
    """Ask a server for its tasks, and say that it answers.

    Raises
    ------
    VitascopeError
        If it does not, or not to this token.
    """
    return f"{server.name} answers, and runs {len(server.client().tasks())} tasks."


def read_servers() -> dict[str, Server]:
    """Return the servers of this user by address; none where they cannot be read."""
    try:
        listed = json.loads(servers_file().read_text("utf-8"))["servers"]
        found = [Server.typed(str(one["url"]), str(one.get("token", ""))) for one in listed]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ParameterError):
        return {}
    return {one.url: one for one in found}


def keep_server(server: Server) -> None:
    """Keep a server, in place of one of the same address, in a file that this user alone can read.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    _write({**read_servers(), server.url: server})


def forget_server(url: str) -> None:
    """Keep a server no longer, nor its token.

    Raises
    ------
    OutputError
        If that cannot be written.
    """
    _write({known: one for known, one in read_servers().items() if known != url})


def _write(servers: Mapping[str, Server]) -> None:
    text = json.dumps({"servers": [{"url": one.url, "token": one.token} for one in servers.values()]}, indent=1)
    with atomic_write(servers_file(), private=True) as file:
        file.write(text.encode())


def outcome_text(value: str | RunOutcome) -> str:
    """Return what a test of a server says, or why it failed."""
    return value if isinstance(value, str) else f"{value.message} {value.hint}".strip()
