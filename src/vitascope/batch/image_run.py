"""Many images into one results folder: the one loop, for files on the command line and for a viewer's layers."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vitascope.batch.item import ENDS_THE_RUN, Item, ItemResult, Work, process_item
from vitascope.batch.prefetch import Prefetch
from vitascope.batch.tables import write_run_tables
from vitascope.batch.workers import ThreadWorkers
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.io.results.folder import RESULTS, ResultsFolder
from vitascope.io.results.provenance import describe_run
from vitascope.io.tables.plate_map import PlateMap
from vitascope.tasks.spec import TaskSpec

Errors = tuple[type[Exception], ...]


@dataclass(frozen=True)
class ImageProgress(Progress):
    """Progress of one image among many.

    Parameters
    ----------
    image : int
        Number of the image, from 0.
    images : int
        How many there are.
    name : str
    ended : tuple of ItemResult
        The image, with the step that ends it.
    """

    image: int = 0
    images: int = 1
    name: str = ""
    ended: tuple[ItemResult, ...] = ()


def ends_the_run(number: int) -> Errors:
    """Return the errors that are never those of one image among many, whichever image raises them."""
    return ENDS_THE_RUN


class ImageRun:
    """Runs images in their order and writes each when it is done; its clock starts when it is made.

    Parameters
    ----------
    spec : TaskSpec
    items : sequence of Item
    params : RunParams
    folder : ResultsFolder
    side_by_side : bool
        Whether the images after the first run at once, a core each; the first shows that all is sound.
    ending : callable
        Gives the errors of an image, by its number, that end the run; all others become the image's status.

    Attributes
    ----------
    results : list of ItemResult
        Of the images that are done; of their tables the rows of ``results.csv`` alone.
    """

    def __init__(
        self,
        spec: TaskSpec,
        items: Sequence[Item],
        params: RunParams,
        folder: ResultsFolder,
        *,
        side_by_side: bool = False,
        ending: Callable[[int], Errors] = ends_the_run,
    ) -> None:
        self._started, self._clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
        self._spec, self._work, self._items, self._folder = spec, Work(spec, folder), items, folder
        self._ending, self._several = ending, side_by_side and len(items) > 1
        self._params = params.changed(threads=1) if self._several and params.threads is None else params
        self._ahead: Prefetch | None = None
        self.results: list[ItemResult] = []

    def run(self) -> ProgressGenerator[None]:
        """Run all images.

        Yields
        ------
        ImageProgress

        Raises
        ------
        Exception
            Those that end the run; whatever was finished stays.
        """
        images = len(self._items)
        role = self._spec.roles[0].name
        settling = self._spec.settle([item.inputs[role] for item in self._items], self._params)
        first = self._items[0].name if images else ""
        self._params = yield from map_progress(settling, partial(_of_image, 0, images, first))
        try:
            for number, item in enumerate(self._items):
                done = yield from map_progress(self._result(number), partial(_of_image, number, images, item.name))
                self._folder.add_rows(done.name, done.tables, done.pictures)
                self.results.append(replace(done, tables={RESULTS: done.tables[RESULTS]}))
                end = _of_image(number, images, item.name, Progress(1, 1, self._spec.verb))
                yield replace(end, ended=(self.results[-1],))
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _result(self, number: int) -> ProgressGenerator[ItemResult]:
        """Run an image under its name in the tables, or wait for it."""
        if number and self._several:
            if self._ahead is None:
                workers = ThreadWorkers(side_by_side=True)
                self._ahead = Prefetch(self._work, self._folder, self._items[number:], self._params, workers)
            return self._ahead.result(number - 1)
        item = self._items[number]
        item = replace(item, name=self._folder.new_stem(item.name))
        return process_item(self._work, item, self._params, item.name, self._ending(number))

    def write_tables(self, plate_map: PlateMap | None = None) -> list[dict[str, Any]]:
        """Write what is known only when all images are done; return the rows of ``results.csv``."""
        rows = [row for done in self.results for row in done.tables[RESULTS]]
        numbers = (self._spec.headline, self._spec.against_control)
        return write_run_tables(self._folder.folder, rows, plate_map, *numbers)

    def close(self, command: str) -> None:
        """Write the provenance.

        Parameters
        ----------
        command : str
            That repeats the run; empty where there is none.
        """
        provenances = [done.provenance for done in self.results if done.provenance is not None]
        seconds = time.perf_counter() - self._clock
        self._folder.close(describe_run(command, provenances, self._started.isoformat(timespec="seconds"), seconds))


def _of_image(number: int, images: int, name: str, at: Progress) -> ImageProgress:
    """Say with a step which image of how many it is."""
    return ImageProgress(done=at.done, total=at.total, stage=at.stage, image=number, images=images, name=name)
