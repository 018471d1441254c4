"""Data sets that are drawn when a recipe runs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitascope.recipes.recipe import SimulatedSource
from vitascope.simulate.spheroid_series import Setting, living_volume, make_spheroid, setting_of
from vitascope.simulate.wells import draw_truth, make_well

CONTROL_WELL = 100_000
"""A well beyond those that are drawn from."""


def draw(source: SimulatedSource, number: int) -> tuple[NDArray[np.uint16], float, str]:
    """Return image ``number`` of a simulated data set, its amount and its group; always the same ones."""
    plate = number * source.groups // source.count
    if source.kind == "spheroids":
        spheroid = make_spheroid(source.seed, _setting(source, number), source.side_px)
        return spheroid.image, spheroid.viability, f"plate{plate:03d}"
    well = make_well(source.seed, number, plate, source.side_px)
    return well.image, well.atp_rlu, f"plate{plate:03d}"


def draw_control(source: SimulatedSource, number: int) -> NDArray[np.uint16]:
    """Return an image of a control of the same plate and day as spheroid ``number``; another well than its own."""
    setting = _setting(source, number)
    control = Setting(setting.plate, CONTROL_WELL, setting.day, 0)
    return make_spheroid(source.seed, control, source.side_px).image


def _setting(source: SimulatedSource, number: int) -> Setting:
    """Return what spheroid ``number`` shows; numbers start anew on each plate."""
    plate = number * source.groups // source.count
    first = -(-plate * source.count // source.groups)
    return setting_of(number - first, plate)


@lru_cache(maxsize=4)
def truths(source: SimulatedSource) -> list[float]:
    """Return the amounts of a simulated data set without drawing its images."""
    if source.kind == "spheroids":
        return [living_volume(source.seed, _setting(source, n)) for n in range(source.count)]
    return [draw_truth(source.seed, n, n * source.groups // source.count) for n in range(source.count)]
