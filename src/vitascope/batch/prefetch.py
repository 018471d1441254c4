"""Images that are run side by side, a core each, and come back in their order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from vitascope.batch.item import ENDS_THE_RUN, Item, ItemResult, Work
from vitascope.batch.workers import Chunk, ThreadWorkers
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.io.results.folder import ResultsFolder
from vitascope.io.results.images import remove

IN_HAND_BYTES = 1 << 30
"""What the files of images in hand may take; a larger one is run alone."""

WAIT_S = 0.1
"""How long to wait for an image before looking whether the run was cancelled."""


class Prefetch:
    """Runs the images that come next while the one that is asked for is waited for.

    Parameters
    ----------
    work : Work
    folder : ResultsFolder
        Names the images.
    items : sequence of Item
    params : RunParams
    workers : ThreadWorkers
        Stopped by :meth:`close`. No more images than it has slots are read, nor more than :data:`IN_HAND_BYTES`; twice
        as many wait to be taken, which hold no pixels.
    """

    def __init__(
        self, work: Work, folder: ResultsFolder, items: Sequence[Item], params: RunParams, workers: ThreadWorkers
    ) -> None:
        self._work, self._folder, self._items, self._params, self._workers = work, folder, items, params, workers
        workers.limit(params.threads or workers.threads)
        self._numbers: dict[int, int] = {}
        self._ended: dict[int, list[ItemResult] | BaseException] = {}
        self._next = 0

    def result(self, number: int) -> ProgressGenerator[ItemResult]:
        """Wait for an image, which is named as it will be called in the tables; they are taken in their order.

        Raises
        ------
        Exception
            That ends the run, see :func:`vitascope.batch.item.process_item`.
        """
        self._hand_out(number)
        while number not in self._ended:
            yield Progress(0, 1, self._work.spec.verb)
            for chunk, ended in self._workers.wait(WAIT_S):
                self._ended[self._numbers.pop(id(chunk))] = ended
            self._hand_out(number)
        ended = self._ended.pop(number)
        if isinstance(ended, BaseException):
            raise ended
        return ended[0]

    def _hand_out(self, wanted: int) -> None:
        last = min(len(self._items), wanted + 3 * self._workers.slots)
        while len(self._numbers) < self._workers.slots and self._next < last:
            item = self._items[self._next]
            sizes = [_file_bytes(self._items[number]) for number in self._numbers.values()]
            if sizes and sum(sizes) + _file_bytes(item) > IN_HAND_BYTES:
                return
            named = replace(item, name=self._folder.reserve_stem(item.name))
            chunk = Chunk(self._work, (named,), self._params, ENDS_THE_RUN)
            self._numbers[id(chunk)] = self._next
            self._workers.submit(chunk)
            self._next += 1

    def close(self) -> None:
        """Give up what is under way, and take away the pictures of images that were not taken."""
        self._workers.stop()
        for chunk, ended in self._workers.wait(0):
            self._ended[self._numbers.pop(id(chunk))] = ended
        for ended in self._ended.values():
            for done in ended if isinstance(ended, list) else ():
                for path in done.pictures:
                    remove(path)


def _file_bytes(item: Item) -> int:
    """Return what the files of an image take; folders and files that are not there count for nothing."""
    found = 0
    for path in item.paths:
        with suppress(OSError):
            found += path.stat().st_size
    return found
