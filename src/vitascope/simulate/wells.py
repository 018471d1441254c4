"""Organoid wells in bright field with known ATP: the sum over what lives, and nothing of what only looks like it.

Organoids are spheres that absorb light along their thickness: compact ones darken the middle, cystic ones the rim
around a bright lumen, dying ones fade, roughen and fall apart. Debris, fibres, bubbles, vacuoles and shading carry no
ATP.
Lengths are shares of the well's side; numbers stand beside those measured in real wells in ``docs/tasks/atp.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

WELLS_PER_SERIES = 5
"""Wells of a plate come in series of rising dose, as in the groups of Ins-ATP, section 4.1."""

RADIUS, RADIUS_SPREAD = 0.017, 0.4
"""Median radius of an organoid, and the standard deviation of its logarithm."""

COUNT, COUNT_SPREAD = 170, 0.45
RLU_PER_VOLUME = 2.2e7
LUMEN = 0.75
"""Radius of a lumen against that of its cyst."""

COMPACT, SHELL, DEAD = 0.75, 0.9, 0.28
"""Absorbance through the middle of a compact organoid, of the wall of a cyst, and of dead matter."""

VACUOLES = 12.0
"""Empty vesicles in a well, on average; half of them lie on organoids."""

VACUOLE_RADIUS = (0.006, 0.018)
VACUOLE_WALL, VACUOLE_INSIDE = 0.2, -0.04
"""Absorbance of the thin wall, and of the inside, which gathers light: brighter than the ground."""


@dataclass(frozen=True)
class Organoids:
    """What is in a well: (N,) each; places in [-1, 1], radii in sides, living share 0 to 1, lumen or not."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    radius: NDArray[np.float64]
    alive: NDArray[np.float64]
    cystic: NDArray[np.bool_]

    @property
    def atp_rlu(self) -> float:
        """Sum over living volume: the whole ball, or the wall of a cyst."""
        volume = 4 / 3 * np.pi * self.radius**3 * np.where(self.cystic, 1 - LUMEN**3, 1.0)
        return float((volume * self.alive).sum() * RLU_PER_VOLUME)


@dataclass(frozen=True)
class SimulatedWell:
    """A simulated well.

    Parameters
    ----------
    image : array, shape (side, side), uint16
    atp_rlu : float, >= 0
    living : array, shape (side, side), float32
        ATP per pixel, RLU; sums to ``atp_rlu`` but for what the rim cuts off.
    """

    image: NDArray[np.uint16]
    atp_rlu: float
    living: NDArray[np.float32]


def draw_truth(seed: int, number: int, plate: int, alive: float | None = None) -> float:
    """Return the ATP of a well without drawing it, RLU."""
    return draw_organoids(seed, number, plate, alive).atp_rlu


def draw_organoids(seed: int, number: int, plate: int, alive: float | None = None) -> Organoids:
    """Draw what is in well ``number`` of a plate: patient and drug belong to the plate, the dose to the well.

    ``alive`` is the living share of every organoid, instead of what the drug leaves.
    """
    line = np.random.default_rng((seed, 1, plate))
    cystic_share, size, potency = line.choice([0.05, 0.3, 0.9]), np.exp(line.normal(0, 0.15)), line.normal(2.2, 1.2)
    rng = np.random.default_rng((seed, 2, number))
    count = int(np.clip(COUNT * np.exp(rng.normal(0, COUNT_SPREAD)), 5, 700))
    dose = number % WELLS_PER_SERIES
    surviving = 1 / (1 + np.exp(1.8 * (dose - potency)))
    angle, reach = rng.uniform(0, 2 * np.pi, count), 0.93 * rng.random(count) ** 0.5
    corner = (np.abs(np.cos(angle)) ** 4 + np.abs(np.sin(angle)) ** 4) ** -0.25  # a square with round corners
    radius = size * RADIUS * np.exp(rng.normal(0, RADIUS_SPREAD, count)) * (0.75 + 0.25 * surviving)
    lives = np.where(rng.random(count) < surviving, rng.uniform(0.8, 1, count), rng.uniform(0, 0.15, count))
    things = Organoids(
        reach * corner * np.sin(angle), reach * corner * np.cos(angle), radius, lives, rng.random(count) < cystic_share
    )
    return things if alive is None else replace(things, alive=np.full(count, float(alive)))


def make_well(
    seed: int, number: int, plate: int, side_px: int, vacuoles: float = VACUOLES, alive: float | None = None
) -> SimulatedWell:
    """Draw a well; the same arguments give the same image.

    Parameters
    ----------
    seed, number, plate : int
        Of the data set, the well and its plate.
    side_px : int, >= 32
    vacuoles : float, >= 0
        How many empty vesicles there are on average; they carry no ATP.
    alive : float, optional
        Living share of every organoid, 0 to 1, instead of what the drug leaves alive; all else stays where it is.
    """
    things = draw_organoids(seed, number, plate, alive)
    line, rng = np.random.default_rng((seed, 3, plate)), np.random.default_rng((seed, 4, number, side_px))
    absorbed, living = np.zeros((side_px, side_px)), np.zeros((side_px, side_px))
    for i in range(len(things.radius)):
        _add_organoid(absorbed, living, things, i, rng)
    _add_debris(absorbed, rng)
    _add_vacuoles(absorbed, things, vacuoles, np.random.default_rng((seed, 5, number)))
    at = (np.arange(side_px) + 0.5) / side_px * 2 - 1
    inside = np.abs(at[:, None]) ** 4 + np.abs(at[None]) ** 4 < 0.95
    rim = ndimage.gaussian_gradient_magnitude(inside.astype(float), side_px / 256 + 0.3)
    absorbed += 0.12 * rim / rim.max()
    shading = line.normal(0, 0.02, 2) @ np.stack(np.broadcast_arrays(at[:, None], at[None])).reshape(2, -1)
    ground = line.uniform(2800, 7800) * (1 + shading.reshape(side_px, side_px))
    grain = ndimage.gaussian_filter(rng.standard_normal((side_px, side_px)), 0.6) * line.uniform(0.01, 0.03)
    image = ground * np.exp(-absorbed) * (1 + grain)
    image += rng.normal(0, 1, image.shape) * np.sqrt(np.maximum(image, 1)) * 0.5
    return SimulatedWell(np.clip(np.rint(image), 0, 65535).astype(np.uint16), things.atp_rlu, living.astype(np.float32))


def _add_organoid(
    absorbed: NDArray[np.float64], living: NDArray[np.float64], things: Organoids, i: int, rng: np.random.Generator
) -> None:
    """Draw one organoid: what it absorbs, and its ATP."""
    side = len(absorbed)
    radius = things.radius[i] * side
    softness = 0.4 + 1.2 * rng.random() ** 2 * radius / 3  # out of focus
    window, d = _window(side, things.y[i], things.x[i], radius + 3 * softness, rng.uniform(0.85, 1.15))
    if d.size == 0:
        return
    thickness = np.sqrt(np.maximum(1 - (d / radius) ** 2, 0))
    edge = 1 / (1 + np.exp(np.clip((d - radius) / (softness / 2), -30, 30)))
    alive = things.alive[i]
    if things.cystic[i]:
        wall = thickness - np.sqrt(np.maximum(LUMEN**2 - (d / radius) ** 2, 0))
        shape = SHELL * wall - 0.06 * (d < LUMEN * radius)
    else:
        shape = COMPACT * (0.35 + 0.65 * thickness)
    rough = 1 + 0.5 * (1 - alive) * rng.standard_normal(d.shape)
    looks = alive * shape + (1 - alive) * DEAD * (0.4 + 0.6 * thickness) * rough
    absorbed[window] += looks * edge * min(1.0, 1.6 / (1 + softness / 2))
    total = edge.sum()
    if total > 0:
        hollow = 1 - LUMEN**3 if things.cystic[i] else 1.0
        atp = 4 / 3 * np.pi * things.radius[i] ** 3 * hollow * alive * RLU_PER_VOLUME
        living[window] += atp * edge / total


def _window(
    side: int, y: float, x: float, reach_px: float, oblong: float
) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """Return the window around a place, and each pixel's distance from it (px, an ellipse's)."""
    cy, cx = (y + 1) / 2 * side, (x + 1) / 2 * side
    rows = slice(max(0, int(cy - reach_px)), min(side, int(cy + reach_px) + 1))
    columns = slice(max(0, int(cx - reach_px)), min(side, int(cx + reach_px) + 1))
    dy = (np.arange(rows.start, rows.stop) + 0.5 - cy) * oblong
    dx = (np.arange(columns.start, columns.stop) + 0.5 - cx) / oblong
    return (rows, columns), np.hypot(dy[:, None], dx[None])


def _add_debris(absorbed: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Draw specks, fibres and bubbles, which carry no ATP."""
    side = len(absorbed)
    for _ in range(rng.poisson(25)):
        y, x = rng.uniform(-0.9, 0.9, 2)
        window, d = _window(side, y, x, 4.0, 1.0)
        absorbed[window] += rng.uniform(0.1, 0.6) * np.exp(-((d / rng.uniform(0.4, 1.0)) ** 2))
    for _ in range(rng.poisson(0.5)):
        start, angle, bend = rng.uniform(-0.7, 0.7, 2), rng.uniform(0, 2 * np.pi), rng.normal(0, 1.5)
        t = np.linspace(0, rng.uniform(0.15, 0.6), 3 * side)
        path = start[0] + t * np.sin(angle + bend * t), start[1] + t * np.cos(angle + bend * t)
        fibre = np.zeros_like(absorbed)
        rows, columns = (np.floor((v + 1) / 2 * side).astype(int) for v in path)
        kept = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        fibre[rows[kept], columns[kept]] = 1
        absorbed += rng.uniform(0.3, 0.9) * ndimage.gaussian_filter(fibre, 0.5) * 1.5
    for _ in range(rng.poisson(0.6)):
        radius = rng.uniform(0.02, 0.07) * side
        y, x = rng.uniform(-0.8, 0.8, 2)
        window, d = _window(side, y, x, 1.35 * radius + 3, 1.0)
        absorbed[window] += 0.7 * np.exp(-(((d - radius) / (0.12 * radius + 0.4)) ** 2)) - 0.05 * (d < radius)


def _add_vacuoles(absorbed: NDArray[np.float64], things: Organoids, count: float, rng: np.random.Generator) -> None:
    """Draw vacuoles: bright inside, with a thin wall, and no ATP; the same at every size of the picture."""
    side = len(absorbed)
    for number in range(rng.poisson(count)):
        y, x = rng.uniform(-0.85, 0.85, 2)
        radius, on = rng.uniform(*VACUOLE_RADIUS) * side, rng.integers(len(things.radius))
        if number % 2:
            y, x = things.y[on], things.x[on]
        window, d = _window(side, y, x, 1.3 * radius + 3, 1.0)
        inside = 1 / (1 + np.exp(np.clip((d - radius) / 0.3, -30, 30)))
        absorbed[window] += VACUOLE_INSIDE * inside
        absorbed[window] += VACUOLE_WALL * np.exp(-(((d - radius) / (0.1 * radius + 0.4)) ** 2))
