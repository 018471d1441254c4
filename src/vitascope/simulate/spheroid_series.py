"""Spheroids in bright field over days under rising doses, with known ATP and viability.

A spheroid absorbs along its thickness. Under a toxic dose it stops growing, loosens, pales, roughens, and sheds dead
cells; size, exposure, focus and debris also vary without any harm. ATP is the living volume; viability is ATP divided
by the median ATP of the control wells of the same plate and day. Numbers stand beside those of real spheroids in
``docs/simulate.md``. Lengths are shares of the image's side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DAYS = (1, 3, 5, 7)
DOSES = 6
"""Wells come in series: a control, then rising doses, each on every day."""

RADIUS, RADIUS_SPREAD = 0.11, 0.12
"""Median radius of a spheroid on day 0, and the standard deviation of its logarithm."""

GROWTH = 0.05
"""Growth of a control's volume per day."""

REMAINS = 0.55
"""Share of dead volume that stays with the spheroid."""

EDGE_LIGHT, MIDDLE_LIGHT = 0.42, 0.22
"""Light that passes a living spheroid near its edge and in its middle, against the ground."""

DEAD_PALER = 0.55
"""Share of its absorbance that a dead spheroid keeps."""


@dataclass(frozen=True)
class Setting:
    """Which spheroid an image shows.

    Parameters
    ----------
    plate, well, day : int
    dose : int
        0 for a control.
    """

    plate: int
    well: int
    day: int
    dose: int


@dataclass(frozen=True)
class SimulatedSpheroid:
    """A simulated spheroid on one day.

    Parameters
    ----------
    image : array, shape (side, side), uint16
    viability : float, >= 0
        1 is the median of the controls.
    setting : Setting
    """

    image: NDArray[np.uint16]
    viability: float
    setting: Setting


def setting_of(number: int, plate: int) -> Setting:
    """Return what image ``number`` shows: days run fastest, then doses."""
    well, day = divmod(number, len(DAYS))
    return Setting(plate, well, DAYS[day], well % DOSES)


def survival(seed: int, setting: Setting) -> float:
    """Return the living share of a spheroid: a Hill curve whose potency rises with the days.

    Potency and slope belong to the plate, which tests one compound; one in four compounds does no harm.
    """
    if setting.dose == 0:
        return 1.0
    rng = np.random.default_rng((seed, 11, setting.plate))
    harmless, half, slope = rng.random() < 0.25, rng.uniform(1.5, 5), rng.uniform(1.5, 4)
    if harmless:
        return 1.0
    half = half * (DAYS[0] / setting.day) ** 0.25
    return float(1 / (1 + (setting.dose / half) ** slope))


def living_volume(seed: int, setting: Setting) -> float:
    """Return the living volume of a spheroid, in those of the median control of its day."""
    rng = np.random.default_rng((seed, 12, setting.plate, setting.well))
    size = float(np.exp(rng.normal(0, RADIUS_SPREAD)))
    alive = np.clip(survival(seed, setting) * np.exp(rng.normal(0, 0.05)), 0, 1.1)
    return float(size**3 * alive)


def make_spheroid(seed: int, setting: Setting, side_px: int) -> SimulatedSpheroid:
    """Draw a spheroid; the same arguments give the same image.

    Parameters
    ----------
    seed : int
        Of the data set.
    setting : Setting
    side_px : int, >= 32
    """
    viability, alive = living_volume(seed, setting), survival(seed, setting)
    line = np.random.default_rng((seed, 13, setting.plate))
    rng = np.random.default_rng((seed, 14, setting.plate, setting.well, setting.day, side_px))
    growth = (1 + GROWTH) ** (setting.day * (2 * alive - 1) / 3)
    size = np.exp(np.random.default_rng((seed, 12, setting.plate, setting.well)).normal(0, RADIUS_SPREAD))
    radius = RADIUS * size * growth * (alive + (1 - alive) * REMAINS) ** (1 / 3) * side_px
    centre = (0.5 + rng.normal(0, 0.07, 2)) * side_px
    absorbed = draw_body(side_px, centre, radius, alive, rng)
    shed(absorbed, centre, radius, alive, rng)
    absorbed = ndimage.gaussian_filter(absorbed, side_px / 512 * line.uniform(0.4, 2.2))
    at = (np.arange(side_px) + 0.5) / side_px * 2 - 1
    tilt = rng.normal(0, 0.02, 2)
    shading = 1 + tilt[0] * at[:, None] + tilt[1] * at[None]
    grain = 1 + rng.standard_normal((side_px, side_px)) * line.uniform(0.012, 0.02)
    image = line.uniform(30000, 44000) * shading * np.exp(-absorbed) * grain
    return SimulatedSpheroid(np.clip(np.rint(image), 0, 65535).astype(np.uint16), viability, setting)


def draw_body(
    side: int, centre: NDArray[np.float64], radius: float, alive: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return what a spheroid absorbs (side, side): a ball with a wavy rim, rough and pale where it is dead."""
    y, x = (np.arange(side) + 0.5 - c for c in centre)
    distance, angle = np.hypot(y[:, None], x[None]), np.arctan2(y[:, None], x[None])
    waves = np.arange(2, 9)
    size = (0.02 + 0.05 * (1 - alive)) * rng.normal(0, 1, len(waves)) / np.sqrt(waves)
    phases = rng.uniform(0, 2 * np.pi, len(waves))
    turns = np.linspace(-np.pi, np.pi, 361)
    bends = (size[:, None] * np.cos(waves[:, None] * turns + phases[:, None])).sum(0)
    rim = radius * (1 + np.interp(angle, turns, bends))
    inside = distance / rim
    softness = (0.03 + 0.10 * (1 - alive)) * radius + 0.5
    edge = 1 / (1 + np.exp(np.clip((distance - rim) / (softness / 2), -30, 30)))
    low, high = -np.log(EDGE_LIGHT), -np.log(MIDDLE_LIGHT)
    shape = low + (high - low) * np.sqrt(np.maximum(1 - inside**2, 0))
    clumps = ndimage.gaussian_filter(rng.standard_normal((side, side)), max(0.6, side / 256))
    clumps /= clumps.std()
    rough = 1 + (0.05 + 0.22 * (1 - alive)) * clumps
    kept = DEAD_PALER + (1 - DEAD_PALER) * alive
    return np.asarray(shape * edge * rough * kept * np.exp(rng.normal(0, 0.05)))


def shed(
    absorbed: NDArray[np.float64], centre: NDArray[np.float64], radius: float, alive: float, rng: np.random.Generator
) -> None:
    """Add dead cells around a spheroid, more of them the less of it lives, and debris that is always there."""
    side = len(absorbed)
    around = rng.poisson(8 + 110 * (1 - alive))
    away = radius * (1 + np.abs(rng.normal(0, 0.45, around)))
    angles = rng.uniform(0, 2 * np.pi, around)
    near = centre + np.stack([away * np.sin(angles), away * np.cos(angles)], 1)
    far = rng.uniform(0, side, (rng.poisson(25), 2))
    places = np.concatenate([near, far])
    widths = np.maximum(0.5, side / 256 * rng.uniform(0.4, 1.3, len(places)))
    depths = rng.uniform(0.1, 0.6, len(places))
    for (y, x), width, depth in zip(places, widths, depths, strict=True):
        reach = int(3 * width) + 1
        rows = slice(max(0, int(y) - reach), min(side, int(y) + reach + 1))
        columns = slice(max(0, int(x) - reach), min(side, int(x) + reach + 1))
        dy = np.arange(rows.start, rows.stop) + 0.5 - y
        dx = np.arange(columns.start, columns.stop) + 0.5 - x
        absorbed[rows, columns] += depth * np.exp(-(dy[:, None] ** 2 + dx[None] ** 2) / (2 * width**2))
