"""Who does the work: threads here, worker processes of this machine, or a dask cluster by its address.

All three take chunks of images and give them back as they end; nothing but the place changes. Each worker holds one
model. It works on up to two images at once: while the network computes on one (one at a time, see
:mod:`vitascope.engine.tiled_prediction`), the other is read, prepared, measured or written. Threads work on as many
images as there are cores where each is little work, networks of one thread each beside one another.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from vitascope.batch.item import Item, ItemResult, Work, process_item
from vitascope.core.params import RunParams

SLOTS = 2
"""Images that one worker has in hand."""

MOST_SIDE_BY_SIDE = 16
"""Images that are run at once where each has a core of its own: so many are in memory."""

_in_hand = threading.BoundedSemaphore(SLOTS)


class WorkerDiedError(Exception):
    """A worker went away with its task."""


class StoppedError(Exception):
    """The run was cancelled."""


@dataclass(frozen=True)
class Chunk:
    """What one task does: one image, or several that take no time.

    Parameters
    ----------
    work : Work
    items : tuple of Item
    params : RunParams
    ending : tuple of exception types
        See :func:`vitascope.batch.item.process_item`.
    """

    work: Work
    items: tuple[Item, ...]
    params: RunParams
    ending: tuple[type[Exception], ...]

    def do(self, stopped: Callable[[], bool]) -> list[ItemResult]:
        """Do the images one after another; between the steps of each, look whether to stop.

        Raises
        ------
        StoppedError
        """
        return [self._one(item, stopped) for item in self.items]

    def _one(self, item: Item, stopped: Callable[[], bool]) -> ItemResult:
        steps = process_item(self.work, item, self.params, item.name, self.ending)
        try:
            while True:
                if stopped():
                    raise StoppedError
                try:
                    next(steps)
                except StopIteration as stop:
                    done: ItemResult = stop.value
                    return done
        finally:
            steps.close()


class Workers(Protocol):
    """Whoever takes chunks.

    Attributes
    ----------
    slots : int
        Chunks to have under way at once.
    threads : int
        Threads that the network of one image may use.
    """

    slots: int
    threads: int

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk."""

    def wait(self, timeout_s: float) -> list[tuple[Chunk, list[ItemResult] | BaseException]]:
        """Return the chunks that ended, with their images or what went wrong; empty after the timeout."""

    def limit(self, threads: int) -> None:
        """Hear how many threads the run's plan gives an image; there are never more than cores in all."""

    def stop(self) -> None:
        """Give up what is under way, and go."""


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(cores: int, workers: int) -> int:
    """Return the threads that the network of one image may use.

    A worker with several cores keeps one of them for the image that is not in the network.

    Examples
    --------
    >>> threads_each(16, 4), threads_each(2, 1), threads_each(2, 4)
    (3, 1, 1)
    """
    return max(1, cores // workers - 1)


def under_way(cores: int, workers: int, threads: int) -> int:
    """Return how many images may be under way on a machine, so that never more threads compute than it has cores.

    Each worker has one image in its network (``threads`` of them), and another, with one thread, beside it.

    Examples
    --------
    >>> under_way(16, 4, 3), under_way(2, 1, 1), under_way(2, 4, 1), under_way(2, 1, 2)
    (8, 2, 2, 1)
    """
    if workers * threads > cores:
        return max(1, cores // threads)
    return workers + min(workers * (SLOTS - 1), cores - workers * threads)


class ThreadWorkers:
    """Threads of this process, which have one model between them.

    Parameters
    ----------
    cores : int, optional
        Those of the machine by default.
    side_by_side : bool
        Whether the images are so little work that each has one core, its network too; see
        :class:`vitascope.tasks.spec.TaskSpec`.
    """

    def __init__(self, cores: int | None = None, side_by_side: bool = False) -> None:
        self._cores, self._side_by_side = cores or usable_cores(), side_by_side
        self.threads = 1 if side_by_side else threads_each(self._cores, 1)
        self.limit(self.threads)
        self._pool = ThreadPoolExecutor(min(self._cores, MOST_SIDE_BY_SIDE) if side_by_side else SLOTS, "vitascope")
        self._stop = threading.Event()
        self._ended: queue.SimpleQueue[tuple[Chunk, Future[list[ItemResult]]]] = queue.SimpleQueue()

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk."""
        future = self._pool.submit(chunk.do, self._stop.is_set)
        future.add_done_callback(lambda ended: self._ended.put((chunk, ended)))

    def wait(self, timeout_s: float) -> list[tuple[Chunk, list[ItemResult] | BaseException]]:
        """Return the chunks that ended."""
        return [(chunk, outcome(future)) for chunk, future in drain(self._ended, timeout_s)]

    def limit(self, threads: int) -> None:
        """Hear how many threads the plan gives an image."""
        if self._side_by_side:
            self.slots = max(1, min(self._cores // threads, MOST_SIDE_BY_SIDE))
        else:
            self.slots = under_way(self._cores, 1, threads)

    def stop(self) -> None:
        """Give up what is under way: at its next step."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


def drain(ended: queue.SimpleQueue[Any], timeout_s: float) -> list[Any]:
    """Take all that lies in a queue; wait for the first up to a while."""
    found: list[Any] = []
    try:
        found.append(ended.get(timeout=timeout_s))
        while True:
            found.append(ended.get_nowait())
    except queue.Empty:
        return found


def outcome(future: Any, timeout_s: float | None = None) -> list[ItemResult] | BaseException:
    """Return what a future that ended gave, or why it did not."""
    try:
        value: list[ItemResult] = future.result(timeout_s)
        return value
    except CancelledError as error:
        return WorkerDiedError(str(error))
    except Exception as error:
        return WorkerDiedError(str(error)) if type(error).__name__ == "KilledWorker" else error


def do_here(chunk: Chunk) -> list[ItemResult]:
    """Do a chunk in a worker of a cluster; the cluster may hand out more than a worker can hold."""
    with _in_hand:
        return chunk.do(_given_up())


def _given_up() -> Callable[[], bool]:
    """Return a way to ask whether the task of this thread was cancelled."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def given_up() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return given_up
