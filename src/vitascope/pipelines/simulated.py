"""Data sets that are drawn when a recipe runs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitascope.simulate.wells import draw_truth, make_well
from vitascope.tasks.recipe import SimulatedSource


def draw(source: SimulatedSource, number: int) -> tuple[NDArray[np.uint16], float, str]:
    """Return image ``number`` of a simulated data set, its amount and its group; always the same ones."""
    plate = number * source.groups // source.count
    well = make_well(source.seed, number, plate, source.side_px)
    return well.image, well.atp_rlu, f"plate{plate:03d}"


@lru_cache(maxsize=4)
def truths(source: SimulatedSource) -> list[float]:
    """Return the amounts of a simulated data set without drawing its images."""
    return [draw_truth(source.seed, n, n * source.groups // source.count) for n in range(source.count)]
