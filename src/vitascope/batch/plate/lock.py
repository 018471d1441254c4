"""One run on a results folder at a time: the second is told which one is there."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vitascope.core.errors import OutputError
from vitascope.io.atomic import output_error, write_json

LOCK, OWNER = ".vitascope.lock", ".vitascope.owner.json"


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold a results folder for one run.

    The system lets go of the lock when the process ends, however it ends: a lock is never left behind.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    name : str
        Of the run, for whoever is refused.

    Raises
    ------
    OutputError
        If another run holds it, with its name and process, or if the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"Another run writes to '{folder}': {describe_owner(folder)}.",
            "Wait until it is done, cancel it, or choose another folder.",
        ) from error
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        write_json(folder / OWNER, {"name": name, "process": os.getpid(), "machine": socket.gethostname(), **_user()})
        yield
    finally:
        with suppress(OSError):
            (folder / OWNER).unlink(missing_ok=True)
        lock.release()
        if os.name == "nt":  # elsewhere a lock that is taken away could be held twice
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)


def _user() -> dict[str, str]:
    try:
        return {"user": getpass.getuser()}
    except (OSError, KeyError, ImportError):
        return {}


def describe_owner(folder: Path) -> str:
    """Say who holds a folder: the name of the run, its process, machine and user."""
    try:
        owner = json.loads((folder / OWNER).read_text("utf-8"))
        user = f", user {owner['user']}" if "user" in owner else ""
        return f"{owner['name']} (process {owner['process']} on {owner['machine']}{user})"
    except (OSError, ValueError, KeyError, TypeError):
        return "its name cannot be read"
