"""Try again where a drive or a network share did not answer: such faults pass, the image is not to blame."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vitascope.client.connection import ServerError
from vitascope.core.errors import ReaderError
from vitascope.core.progress import Progress, ProgressGenerator

T = TypeVar("T")

PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "EREMOTEIO", "ETIMEDOUT", "ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN"),
        *("EHOSTUNREACH", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ENOTCONN", "EPIPE", "ENOLINK", "ECOMM"),
    )
    if hasattr(errno, name)
)
"""Errors of drives and networks that may pass: input / output, stale handles of shares, lost connections."""

PASSING_ON_WINDOWS = frozenset({21, 51, 53, 54, 55, 59, 64, 67, 121, 1167, 1231, 1236})
"""The same as Windows numbers them: not ready, network path not found, name gone, semaphore timeout, not connected …"""

TICK_S = 0.1
"""How often a wait looks whether the run was cancelled."""


def retried(
    attempt: Callable[[], ProgressGenerator[T]], pauses_s: Sequence[float], paths: Sequence[Path]
) -> ProgressGenerator[T]:
    """Run something, and again after each pause as long as its drive does not answer.

    Parameters
    ----------
    attempt : callable
        Begins it anew.
    pauses_s : sequence of float, s
        Waits between attempts; there is one attempt more than waits.
    paths : sequence of Path
        Its files, which were listed before: where the folder of one is gone too, its drive is.

    Yields
    ------
    Progress
        Of the attempts, and while waiting how long it still is; closing the generator ends the wait.

    Returns
    -------
    object
        What the first attempt that succeeds gives.

    Raises
    ------
    ReaderError
        If the drive did not answer the last time either.
    Exception
        What an attempt raises for any other reason.
    """
    for number in range(len(pauses_s) + 1):
        try:
            return (yield from attempt())
        except Exception as error:
            reason = passing_fault(error, paths)
            if reason is None:
                raise
            if number == len(pauses_s):
                raise _gave_up(reason, pauses_s, paths) from error
        yield from _wait(pauses_s[number], reason)
    raise AssertionError("unreachable")


def passing_fault(error: BaseException, paths: Sequence[Path] = ()) -> str | None:
    """Return in words which fault of a drive or network lies behind an error, or None.

    A file that is not there counts only where its folder is gone too: an image that was deleted stays deleted.
    """
    if isinstance(error, ServerError):
        return None  # the client has tried again, and no image is to blame
    for cause in _causes(error):
        if not isinstance(cause, OSError):
            continue
        if cause.errno in PASSING or getattr(cause, "winerror", None) in PASSING_ON_WINDOWS:
            return str(cause.strerror or "input/output error").lower()
        if isinstance(cause, FileNotFoundError) and any(not path.parent.exists() for path in paths):
            return "its folder is gone"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _wait(pause_s: float, reason: str) -> ProgressGenerator[None]:
    end = time.monotonic() + pause_s
    while (left := end - time.monotonic()) > 0:
        yield Progress(0, 1, f"The drive does not answer ({reason}): trying again in {left:.0f} s")
        time.sleep(min(TICK_S, left))


def _gave_up(reason: str, pauses_s: Sequence[float], paths: Sequence[Path]) -> ReaderError:
    what = f"'{paths[0].name}'" if paths else "The image"
    return ReaderError(
        f"{what} could not be read: the drive did not answer ({reason}), also when tried again for "
        f"{sum(pauses_s):g} s.",
        "Check the network or the drive, then start the same command again with --redo: what is done is kept.",
    )
