"""How long a plate will take, and what it will cost: a short trial on some of its images, and a multiplication."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.run import run_plate
from vitascope.core.errors import InputError
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.io.plates.plate import Site

TRIAL_IMAGES = 6
"""Images of a trial: the first loads the model, five tell the time of one, and how much it varies."""


@dataclass(frozen=True)
class PlateEstimate:
    """What a plate will take on this machine.

    Parameters
    ----------
    images : int
        Of the plate.
    tried : int
        Images whose time was measured, after the first.
    start_s : float
        For the first image: loading the model, and measuring the fastest tile.
    image_s : float
        For each other image, the mean of those tried.
    memory_bytes : int
        The most that this process held.
    workers : int
        Processes that will share the work.
    """

    images: int
    tried: int
    start_s: float
    image_s: float
    memory_bytes: int
    workers: int

    @property
    def seconds(self) -> float:
        """What the plate will take; each worker starts for itself, and then takes every n-th image."""
        return self.start_s + max(0, self.images - self.workers) * self.image_s / self.workers

    def price(self, per_hour: float) -> float:
        """Return what the plate will cost, where an hour of one worker has a price."""
        return self.seconds / 3600 * per_hour * self.workers


def estimate_plate(job: PlateJob) -> ProgressGenerator[PlateEstimate]:
    """Run some images of a plate into a folder that is removed again, and multiply.

    Parameters
    ----------
    job : PlateJob
        Its folder is not touched.

    Yields
    ------
    Progress

    Returns
    -------
    PlateEstimate

    Raises
    ------
    InputError
        If the plate has no image that can be opened.
    VitascopeError
        As :func:`vitascope.batch.plate.run.run_plate`.
    """
    whole = [site for site in job.plate if site.problem is None]
    if not whole:
        raise InputError("The plate has no image that can be opened: there is nothing to estimate.")
    times, most = [], psutil.Process().memory_info().rss
    sites = _spread(whole)

    def tell(number: int, at: Progress) -> Progress:
        nonlocal most
        most = max(most, psutil.Process().memory_info().rss)
        return Progress(number, len(sites), f"Trying image {number + 1} of {len(sites)}")

    for number, site in enumerate(sites):
        with tempfile.TemporaryDirectory(prefix="vitascope-") as out:
            one = replace(job.plate, sites=(site,))
            alone = replace(job, plate=one, scheduler=None, workers=None, drift=None, plate_map=None)
            trial = replace(alone, out=Path(out) / "trial")
            clock = time.perf_counter()
            yield from map_progress(run_plate(trial), partial(tell, number))
            times.append(time.perf_counter() - clock)
    rest = times[1:] or times
    return PlateEstimate(
        images=len(job.plate),
        tried=len(times[1:]),
        start_s=times[0],
        image_s=sum(rest) / len(rest),
        memory_bytes=most,
        workers=job.workers or 1,
    )


def _spread(sites: list[Site]) -> list[Site]:
    """Choose images all over the plate, the first among them."""
    count = min(TRIAL_IMAGES, len(sites))
    return [sites[k * len(sites) // count] for k in range(count)]
