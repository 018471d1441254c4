"""Workers that are a service's: each image of a plate is sent there as a job, and its result kept here as any other.

The journal, the pictures and the tables of the plate are this machine's, so that a run is watched, cancelled and
resumed as always; only the task itself is done elsewhere. Threads of this process send, wait and write.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from vitascope.batch.item import ItemResult
from vitascope.batch.workers import Chunk, drain, outcome
from vitascope.client.client import Client
from vitascope.client.connection import ServerError
from vitascope.core.errors import ParameterError
from vitascope.core.versions import versions

UNDER_WAY = 8
"""Images that are sent, computed or fetched at once; the service's queue puts them in order."""


class ServerWorkers:
    """A service as workers.

    Parameters
    ----------
    url : str
    token : str or None

    Raises
    ------
    ParameterError
        If the address is none, or the service is of another version.
    ServerError
        If the service does not answer, or not to this token.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.client = Client(url, token)
        self.client.tasks()  # a service that does not answer says so before anything is begun
        here, there = versions().get("vitascope", ""), self.client.version()
        if here != there:  # the numbers of one plate are those of one version
            raise ParameterError(
                f"The service has another version of vitascope: {there or 'none'} (here {here}).",
                "Install the same version on both machines.",
            )
        self.slots, self.threads = UNDER_WAY, 1
        self._pool = ThreadPoolExecutor(UNDER_WAY, "vitascope-server")
        self._stop = threading.Event()
        self._ended: queue.SimpleQueue[tuple[Chunk, Future[list[ItemResult]]]] = queue.SimpleQueue()

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk: one image of it after another goes to the service."""
        work = replace(chunk.work, start=partial(self.client.steps_of, chunk.work.spec.name))
        there = replace(chunk, work=work, ending=(*chunk.ending, ServerError))
        future = self._pool.submit(there.do, self._stop.is_set)
        future.add_done_callback(lambda ended: self._ended.put((chunk, ended)))

    def wait(self, timeout_s: float) -> list[tuple[Chunk, list[ItemResult] | BaseException]]:
        """Return the chunks that ended."""
        return [(chunk, outcome(future)) for chunk, future in drain(self._ended, timeout_s)]

    def limit(self, threads: int) -> None:
        """Hear how many threads the plan gives an image: they are the service's, which sees to its own cores."""

    def stop(self) -> None:
        """Give up what is under way: jobs are cancelled there."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
