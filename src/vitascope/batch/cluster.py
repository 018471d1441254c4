"""Workers of dask.distributed: processes of this machine, or a cluster by its address."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import queue
import tempfile
import time
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
STARTS = 3
"""How often worker processes that end while they start are started again, each, before the run gives up."""

MUST_AGREE = ("vitascope", "numpy", "torch", "openvino")
RESUMES = "Start the same command again: it resumes where it stopped."
LOOK_EVERY_S = 2.0
"""How often to look at the workers."""

FETCH_S = 20.0
"""How long to wait for what a task gave, which is a few rows, before it is taken for lost."""

WITHOUT_S = 600.0
"""How long a cluster may have no workers, which may be restarting, before the run gives up."""

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
        self._cluster: Any = None
        self._here, self._needed = versions(), tuple(needed)
        self._started: set[int | None] = set()
        self._next_look_s, self._seen_s = 0.0, time.monotonic()
        try:
            if scheduler is None:
                self._start_here(workers or 1)
            else:
                self._connect(scheduler)
        except BaseException:
            self.stop()
            raise

    def _start_here(self, workers: int) -> None:
        from distributed import Client  # opens a socket when it is imported

        scratch = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="vitascope-", ignore_cleanup_errors=True)
        )
        kept = {f"distributed.nanny.pre-spawn-environ.{name}": count for name, count in _MEMORY_KEPT.items()}
        self._stack.enter_context(
            dask.config.set(
                {
                    # who killed a worker is found out by running it alone, see batch.plate
                    "distributed.scheduler.allowed-failures": 0,
                    # one that died is started anew, which may take long on a busy machine
                    "distributed.deploy.lost-worker-timeout": "1 day",
                    **kept,
                }
            )
        )
        self._cores, self._workers, self._needed = usable_cores(), workers, ()
        self.threads = threads_each(self._cores, workers)
        self.limit(self.threads)
        self._cluster = self._stack.enter_context(_local_cluster(workers, self._cores, scratch))
        self._stack.callback(self._cluster.sync, end_processes, self._cluster)
        self._client = self._stack.enter_context(Client(self._cluster, set_as_default=False))

    def _connect(self, scheduler: str) -> None:
        from distributed import Client
        from distributed.utils import silence_logging_cmgr

        self._stack.enter_context(silence_logging_cmgr(_QUIET))  # what goes wrong is told below
        try:
            self._client = self._stack.enter_context(Client(scheduler, timeout=CONNECT_S, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise ParameterError(
                f"There is no dask scheduler at '{scheduler}'.", "Start one first, and give the address that it prints."
            ) from error
        if not self._count_machines():
            raise ParameterError(f"The scheduler at '{scheduler}' has no workers.", "Start workers first.")
        try:
            self._client.run(check_place, self._here, self._needed)
        except ModuleNotFoundError as error:
            raise _not_installed(error) from error
        self.threads = threads_each(self._cores, 1)
        self.limit(self.threads)

    def _count_machines(self) -> bool:
        """See how many workers the cluster has by now, and tell whether there are any."""
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        if found:
            self._machines = len(found)
            self._cores = min(int(worker["nthreads"]) for worker in found.values())
        return bool(found)

    def _connected(self) -> bool:
        """Tell whether the scheduler is reached; False while it is asked again, for some seconds.

        Raises
        ------
        VitascopeError
            If it is gone.
        """
        if self._client.status not in ("running", "connecting", "newly-connected"):
            raise VitascopeError("The dask scheduler is gone.", RESUMES)
        return bool(self._client.status == "running")

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk."""
        self._connected()
        key = f"{chunk.items[0].name}-{os.getpid()}-{next(self._numbers)}"
        future = self._client.submit(do_there, chunk, self._here, self._needed, key=key, pure=False)
        self._chunks[key] = (chunk, future)
        future.add_done_callback(lambda ended: self._ended.put(ended.key))

    def wait(self, timeout_s: float) -> list[tuple[Chunk, list[ItemResult] | BaseException]]:
        """Return the chunks that ended.

        Raises
        ------
        VitascopeError
            If the scheduler or all workers are gone.
        """
        from distributed.comm import CommClosedError

        if not self._connected():
            time.sleep(timeout_s)
            return []
        keys = drain(self._ended, timeout_s)
        if keys:
            self._started.clear()
        self._look()
        found = []
        for key in keys:
            if key not in self._chunks:
                continue
            chunk, future = self._chunks.pop(key)
            # a future may come back without result and without error when its worker was killed
            lost = future.status not in ("finished", "error")
            result = WorkerDiedError("the task was lost") if lost else outcome(future, FETCH_S)
            if isinstance(result, CommClosedError | TimeoutError):  # its worker died before what it gave was here
                future.cancel()
                result = WorkerDiedError(str(result))
            if isinstance(result, ModuleNotFoundError):  # a worker that joined during the run
                raise _not_installed(result) from result
            found.append((chunk, result))
        return found

    def _look(self) -> None:
        """See every now and then whether there are workers, and how many.

        Raises
        ------
        VitascopeError
            If there are none for long, or those of this machine end whenever they start.
        """
        now = time.monotonic()
        if now < self._next_look_s:
            return
        self._next_look_s = now + LOOK_EVERY_S
        if self._cluster is not None:
            self._started |= {nanny.pid for nanny in list(self._cluster.workers.values())}
            if len(self._started) > STARTS * self._workers + 1:
                raise _workers_end()
            return
        with suppress(OSError):  # the client sees by itself whether the scheduler is gone
            if self._count_machines():
                self._seen_s = now
        if now - self._seen_s > WITHOUT_S:
            raise VitascopeError(f"The scheduler has had no workers for {WITHOUT_S / 60:.0f} min.", RESUMES)

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


def _local_cluster(workers: int, cores: int, scratch: str) -> Any:
    """Start worker processes on this machine, and again where one ends while it starts.

    Raises
    ------
    VitascopeError
        If they end each time.
    """
    from distributed import LocalCluster

    failed: BaseException | None = None
    for _ in range(STARTS):
        try:
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=SLOTS if cores > workers else 1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any port: another cluster of the user may have the usual one
                scheduler_kwargs={"dashboard": False},
                worker_dashboard_address=None,
                local_directory=scratch,
                silence_logs=_QUIET,
            )
        except (RuntimeError, OSError, TimeoutError) as error:
            failed = error
    raise _workers_end() from failed


def _workers_end() -> VitascopeError:
    """Say that worker processes end before they do anything."""
    return VitascopeError(
        "The worker processes ended again and again while they were starting.",
        "Memory may have run out, or something on this machine ends them: use fewer --workers, or none.",
        dock="Memory may have run out, or something on this machine ends them: use fewer workers.",
    )


async def end_processes(cluster: Any) -> None:
    """End the processes of a cluster on this machine at once, which distributed would wait seconds for.

    Nothing is lost: whatever they were at is not in the journal yet, and pictures are whole or not there.
    """
    await asyncio.gather(*(nanny.kill(timeout=0) for nanny in cluster.workers.values()), return_exceptions=True)


def check_place(here: dict[str, str], needed: Sequence[str], dask_worker: Any = None) -> None:
    """Check, on a worker, that it has the versions of who started the run, and sees its folders.

    The worker is passed where dask calls this outside a task, by the name that dask gives it.

    Raises
    ------
    ParameterError, OutputError
        If not.
    """
    from distributed import get_worker

    there, address = versions(), (dask_worker or get_worker()).address
    other = [f"{n} {there.get(n)} (here {here[n]})" for n in MUST_AGREE if n in here and there.get(n) != here[n]]
    if other:
        raise ParameterError(
            f"The worker {address} has other versions: {', '.join(other)}.", "Install the same versions everywhere."
        )
    unseen = [path for path in needed if not Path(path).exists()]
    if unseen:
        raise OutputError(
            f"The worker {address} does not see '{unseen[0]}'.",
            "Use a folder that all machines share, under the same path.",
        )


_checked: set[object] = set()


def do_there(chunk: Chunk, here: dict[str, str], needed: tuple[str, ...]) -> list[ItemResult]:
    """Do a chunk on a worker; one that joined during the run is checked before its first."""
    told = (needed, *here.items())
    if told not in _checked:
        check_place(here, needed)
        _checked.add(told)
    return do_here(chunk)


def _not_installed(error: ModuleNotFoundError) -> MissingPackageError:
    return MissingPackageError(
        f"The package '{error.name}' is not installed on the workers.", "Install vitascope there too."
    )
