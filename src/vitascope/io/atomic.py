"""Writing so that nothing half-written stays: a temporary name, then a rename."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vitascope.core.errors import OutputError, describe
from vitascope.core.paths import is_url

TEMPORARY = ".vitascope-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MAX_NAME_BYTES = 180


def file_name(name: str) -> str:
    """Turn any name into one that every file system takes.

    Examples
    --------
    >>> file_name("well: A1/B?")
    'well_ A1_B_'
    """
    readable = name.encode("utf-8", "replace").decode("utf-8")  # names on a disk may hold bytes that are no text
    clean = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", readable).strip().rstrip(".")
    while len(clean.encode("utf-8")) > _MAX_NAME_BYTES:
        clean = clean[:-1]
    return clean.lstrip(".") or "image"


def output_error(path: Path, error: BaseException) -> OutputError:
    """Say in the user's words why the system did not let something be written."""
    folder = path if path.is_dir() else path.parent
    if isinstance(error, OSError) and error.errno in _FULL:
        return OutputError(
            f"The disk of '{folder}' is full: '{path.name}' was not written.",
            "Free some space, or choose another folder.",
        )
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        return OutputError(
            f"'{path}' may not be written.", "Choose another folder, or close the program that has the file open."
        )
    return OutputError(f"'{path}' cannot be written: {describe(error)}.", "Choose another folder.")


def check_writable(folder: Path, expected_bytes: int = 0) -> None:
    """Check before a run that its results can be written; nothing is left behind, and the folder is not made.

    Parameters
    ----------
    folder : Path
        May not exist yet.
    expected_bytes : int
        What the results will take about.

    Raises
    ------
    OutputError
        If the folder, or the one it would be made in, cannot be written to, or has too little room.
    """
    if is_url(folder):
        raise OutputError(
            f"Results of this command cannot be written to an address such as '{folder}'.",
            "Choose a folder of this machine, and copy it there when it is done.",
        )
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(f"'{nearest}' is a file, not a folder.", "Choose another folder for the results.")
    try:
        with tempfile.TemporaryFile(dir=nearest, prefix=TEMPORARY):
            pass
        free = shutil.disk_usage(nearest).free
    except OSError as error:
        raise output_error(nearest, error) from error
    if free < expected_bytes:
        raise OutputError(
            f"The results need about {expected_bytes / 2**30:.1f} GiB, '{nearest}' has {free / 2**30:.1f} GiB left.",
            "Free some space, or choose another folder.",
        )


@contextmanager
def atomic_write(path: Path, private: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes ``path`` when all is written, and vanishes when anything goes wrong.

    Parameters
    ----------
    path : Path
    private : bool
        Whether the user alone may read it, from the first byte.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _free_name(path.parent)
        with open(temporary, "x+b", opener=_for_the_user if private else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def _for_the_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _free_name(folder: Path) -> Path:
    """Return a name for something temporary in a folder.

    What is opened or made under it gets the permissions that the user's umask leaves; tempfile's own functions give the
    user alone permission, and the umask, which all threads share, cannot be asked for without changing it.
    """
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}"


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` when all is written, and vanishes when anything goes wrong.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = old = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _free_name(path.parent)
        temporary.mkdir()
        yield temporary
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=TEMPORARY))
            path.replace(old / path.name)
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        for leftover in (temporary, old):
            if leftover is not None:
                shutil.rmtree(leftover, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "surrogateescape") + b"\n")


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does: numpy numbers, sets, paths."""
    convert: Callable[[], Any] | None = getattr(value, "tolist", None)
    if convert is not None:
        return convert()
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    with atomic_write(path) as file:
        file.write(data)
