"""Workers of dask.distributed: processes of this machine, or a cluster by its address."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import queue
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dask

from vitascope.batch.item import ItemResult
from vitascope.batch.workers import (
    SLOTS,
    Chunk,
    WorkerDiedError,
    do_here,
    drain,
    outcome,
    threads_each,
    under_way,
    usable_cores,
)
from vitascope.core.errors import MissingPackageError, OutputError, ParameterError, VitascopeError
from vitascope.core.versions import versions

CONNECT_S = 15
MUST_AGREE = ("vitascope", "numpy", "torch", "openvino")
_QUIET = logging.CRITICAL + 1

_MEMORY_KEPT = {"MALLOC_TRIM_THRESHOLD_": 512 << 20, "MALLOC_MMAP_THRESHOLD_": 1 << 30}
"""How much memory that was let go of glibc keeps for the next image (bytes).

By dask's default all of it goes back to the system at once; fetching it anew takes a third of a worker's time.
"""


class ClusterWorkers:
    """Workers that are processes of their own; one that dies costs its task only.

    Parameters
    ----------
    scheduler : str or None
        Address; None starts processes on this machine, which listen on the loopback interface only.
    workers : int or None
        How many to start here; 1 by default.
    needed : sequence of str
        Paths that the workers of a cluster must be able to see.

    Raises
    ------
    ParameterError
        If there is no scheduler at the address, or its workers are of other versions.
    OutputError
        If the workers do not see the folders.
    MissingPackageError
        If vitascope is not installed on the workers.
    """

    def __init__(self, scheduler: str | None, workers: int | None, needed: Sequence[str] = ()) -> None:
        self._stack = ExitStack()
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._chunks: dict[str, tuple[Chunk, Any]] = {}
        self._numbers = itertools.count()
        self._machines = self._cores = self._workers = 1
        try:
            if scheduler is None:
                self._start_here(workers or 1)
            else:
                self._connect(scheduler, needed)
        except BaseException:
            self.stop()
            raise

    def _start_here(self, workers: int) -> None:
        from distributed import Client, LocalCluster  # opens a socket when it is imported

        scratch = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="vitascope-", ignore_cleanup_errors=True)
        )
        kept = {f"distributed.nanny.pre-spawn-environ.{name}": count for name, count in _MEMORY_KEPT.items()}
        # who killed a worker is found out by running it alone, see batch.plate
        self._stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0, **kept}))
        self._cores, self._workers = usable_cores(), workers
        self.threads = threads_each(self._cores, workers)
        self.limit(self.threads)
        self._cluster = self._stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=SLOTS if self._cores > workers else 1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any port: another cluster of the user may have the usual one
                scheduler_kwargs={"dashboard": False},
                worker_dashboard_address=None,
                local_directory=scratch,
                silence_logs=_QUIET,
            )
        )
        self._stack.callback(self._cluster.sync, end_processes, self._cluster)
        self._client = self._stack.enter_context(Client(self._cluster, set_as_default=False))

    def _connect(self, scheduler: str, needed: Sequence[str]) -> None:
        from distributed import Client

        try:
            self._client = self._stack.enter_context(Client(scheduler, timeout=CONNECT_S, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise ParameterError(
                f"There is no dask scheduler at '{scheduler}'.", "Start one first, and give the address that it prints."
            ) from error
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        if not found:
            raise ParameterError(f"The scheduler at '{scheduler}' has no workers.", "Start workers first.")
        self._check(needed)
        self._machines = len(found)
        self._cores = min(int(worker["nthreads"]) for worker in found.values())
        self.threads = threads_each(self._cores, 1)
        self.limit(self.threads)

    def _check(self, needed: Sequence[str]) -> None:
        """Check that the workers have our versions and see our folders."""
        here = versions()
        try:
            there: dict[str, tuple[dict[str, str], list[str]]] = self._client.run(look_around, list(needed))
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"The package '{error.name}' is not installed on the workers.", "Install vitascope there too."
            ) from error
        for address, (found, unseen) in there.items():
            other = [
                f"{n} {found.get(n)} (here {here[n]})" for n in MUST_AGREE if n in here and found.get(n) != here[n]
            ]
            if other:
                raise ParameterError(
                    f"The worker {address} has other versions: {', '.join(other)}.",
                    "Install the same versions everywhere.",
                )
            if unseen:
                raise OutputError(
                    f"The worker {address} does not see '{unseen[0]}'.",
                    "Use a folder that all machines share, under the same path.",
                )

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk."""
        key = f"{chunk.items[0].name}-{os.getpid()}-{next(self._numbers)}"
        future = self._client.submit(do_here, chunk, key=key, pure=False)
        self._chunks[key] = (chunk, future)
        future.add_done_callback(lambda ended: self._ended.put(ended.key))

    def wait(self, timeout_s: float) -> list[tuple[Chunk, list[ItemResult] | BaseException]]:
        """Return the chunks that ended.

        Raises
        ------
        VitascopeError
            If the scheduler is gone.
        """
        keys = drain(self._ended, timeout_s)
        if self._client.status not in ("running", "connecting"):
            raise VitascopeError(
                "The dask scheduler is gone.", "Start the same command again: it resumes where it stopped."
            )
        found = []
        for key in keys:
            if key not in self._chunks:
                continue
            chunk, future = self._chunks.pop(key)
            # a future may come back without result and without error when its worker was killed
            lost = future.status not in ("finished", "error")
            found.append((chunk, WorkerDiedError("the task was lost") if lost else outcome(future)))
        return found

    def limit(self, threads: int) -> None:
        """Hear how many threads the plan gives an image."""
        self.slots = self._machines * under_way(self._cores, self._workers, threads)

    def stop(self) -> None:
        """Give up what is under way: local processes are ended, those of a cluster stop at their next step."""
        with suppress(Exception):
            self._client.cancel([future for _, future in self._chunks.values()], force=True)
        self._chunks.clear()
        with suppress(Exception):
            self._stack.close()


async def end_processes(cluster: Any) -> None:
    """End the processes of a cluster on this machine at once, which distributed would wait seconds for.

    Nothing is lost: whatever they were at is not in the journal yet, and pictures are whole or not there.
    """
    await asyncio.gather(*(nanny.kill(timeout=0) for nanny in cluster.workers.values()), return_exceptions=True)


def look_around(paths: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return a worker's versions, and which of the paths it does not see."""
    return versions(), [path for path in paths if not Path(path).exists()]
