"""Wells composed of real organoids: cut out of real wells, laid onto real grounds, with known living volume.

What is real: grounds, organoids, fibres, their texture, darkness and noise. What is assumed:

- an organoid is a ball of its area, a cyst the wall of such a ball (``wells.LUMEN``); ATP is its living volume;
- the dead are paler, smaller and in pieces: "decomposition, contraction, and ablation" (Ins-ATP, seed 000, section 1).
  How much so is in no paper: they keep :data:`FADE` of what they absorbed and :data:`SHRINK` of their diameter, as the
  drawn wells have it. In one that lives partly, whole regions of it are dead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.simulate.cutouts import CutOut, Parts, all_organoids
from vitascope.simulate.wells import COMPACT, DEAD, LUMEN, RLU_PER_VOLUME, WELLS_PER_SERIES, SimulatedWell

FADE, SHRINK = DEAD / COMPACT, 0.85
PIECES = 0.5
"""Standard deviation of the patchiness of dead matter, against its mean."""

MOST = 900
PARTLY = 0.15
"""Share of organoids that are partly alive, whatever the dose."""


@dataclass(frozen=True)
class Variety:
    """How much composed wells differ from each other.

    Parameters
    ----------
    cover : tuple of float
        Least and greatest share of the well that organoids cover before any drug, drawn evenly over its logarithm.
    size, zoom : float, >= 0
        Standard deviation of the logarithm of the organoids' size: of a plate, and of single ones.
    blur_px : float, >= 0
        Typical blur that is added to a single organoid, at 512 px a well.
    shading : float, >= 0
        Standard deviation of the light's slope from the middle of the well to its rim, for either axis.
    alive : float, optional
        Living share of every organoid, 0 to 1, instead of what the drug leaves alive.
    """

    cover: tuple[float, float] = (0.015, 0.4)
    size: float = 0.15
    zoom: float = 0.12
    blur_px: float = 0.8
    shading: float = 0.12
    alive: float | None = None


VARIED = Variety()
AS_FOUND = Variety(cover=(0.11, 0.22), size=0.0, zoom=0.0, blur_px=0.0, shading=0.0, alive=1.0)
"""As on a plate that was given nothing: sizes, focus and light as they were found, all alive."""


@dataclass(frozen=True, eq=False)
class Composition:
    """What is laid where: (N,) each; places in [-1, 1], zoom, blur in px, living share, RLU when wholly alive."""

    cutouts: tuple[CutOut, ...]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    zoom: NDArray[np.float64]
    blur_px: NDArray[np.float64]
    alive: NDArray[np.float64]
    full_rlu: NDArray[np.float64]

    @property
    def atp_rlu(self) -> float:
        """Sum over living volume."""
        return float((self.full_rlu * self.alive).sum())


def living_volume_rlu(cutout: CutOut, zoom: float, side_px: int) -> float:
    """Return the ATP of an organoid that lives: that of a ball of its area, or of the wall of a cyst, RLU."""
    radius = np.sqrt(cutout.area / np.pi) * zoom / side_px
    return float(4 / 3 * np.pi * radius**3 * (1 - LUMEN**3 if cutout.hollow else 1.0) * RLU_PER_VOLUME)


def plan_well(seed: int, number: int, plate: int, parts: Parts, variety: Variety = VARIED) -> Composition:
    """Draw what is in a well, without laying it out; the same arguments give the same well.

    Parameters
    ----------
    seed, number, plate : int
        Of the data set, the well and its plate: patient and drug belong to the plate, the dose to the well.
    parts : Parts
    variety : Variety
    """
    line, rng = np.random.default_rng((seed, 11, plate)), np.random.default_rng((seed, 12, number))
    few = min(2, len(parts.lines))
    pool = all_organoids(parts, [int(n) for n in line.choice(len(parts.lines), few, replace=False)])
    size, potency = np.exp(variety.size * line.normal()), line.normal(2.2, 1.2)
    surviving = 1 / (1 + np.exp(1.8 * (number % WELLS_PER_SERIES - potency)))
    cover = np.exp(rng.uniform(*np.log(variety.cover)))
    chosen = rng.integers(0, len(pool), MOST)
    zoom = size * np.exp(rng.normal(0, variety.zoom, MOST))
    areas = np.array([pool[n].area for n in chosen]) * zoom**2
    count = max(1, int(np.searchsorted(np.cumsum(areas), cover * parts.side_px**2)))
    cutouts = tuple(pool[n] for n in chosen[:count])
    y, x = _places(cutouts, rng)
    draw = rng.random((2, MOST))[:, :count]
    living = np.where(draw[0] < surviving, 0.8 + 0.2 * draw[1], 0.15 * draw[1])
    living = np.where(rng.random(MOST)[:count] < PARTLY, 0.15 + 0.65 * draw[1], living)
    if variety.alive is not None:
        living = np.full(count, float(variety.alive))
    blur = np.abs(rng.normal(0, variety.blur_px, MOST))[:count] * parts.side_px / 512
    full = np.array([living_volume_rlu(c, z, parts.side_px) for c, z in zip(cutouts, zoom, strict=False)])
    return Composition(cutouts=cutouts, y=y, x=x, zoom=zoom[:count], blur_px=blur, alive=living, full_rlu=full)


def _places(cutouts: tuple[CutOut, ...], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay half of the organoids as far from the middle as they lay, turned and moved a little; the others anywhere."""
    count = len(cutouts)
    y, x = np.array([c.y for c in cutouts]), np.array([c.x for c in cutouts])
    swap, signs = rng.random(count) < 0.5, rng.choice((-1.0, 1.0), (2, count))
    y, x = np.where(swap, x, y) * signs[0], np.where(swap, y, x) * signs[1]
    y, x = y + rng.normal(0, 0.05, count), x + rng.normal(0, 0.05, count)
    angle, reach = rng.uniform(0, 2 * np.pi, count), 0.93 * rng.random(count) ** 0.5
    corner = (np.abs(np.cos(angle)) ** 4 + np.abs(np.sin(angle)) ** 4) ** -0.25
    anywhere = rng.random(count) < 0.5
    y, x = np.where(anywhere, reach * corner * np.sin(angle), y), np.where(anywhere, reach * corner * np.cos(angle), x)
    return np.clip(y, -0.95, 0.95), np.clip(x, -0.95, 0.95)


def compose_well(seed: int, number: int, plate: int, parts: Parts, variety: Variety = VARIED) -> SimulatedWell:
    """Compose a well, (side, side) uint16, with its ATP and where it lives.

    Parameters
    ----------
    seed, number, plate, parts, variety
        As :func:`plan_well`. Wells that differ in ``variety.alive`` alone show the same organoids in the same places.
    """
    plan = plan_well(seed, number, plate, parts, variety)
    line, rng = np.random.default_rng((seed, 13, plate)), np.random.default_rng((seed, 14, number))
    ground = parts.grounds[int(line.integers(len(parts.grounds)))] if rng.random() < 0.5 else None
    ground = ground or parts.grounds[int(rng.integers(len(parts.grounds)))]
    side = parts.side_px
    absorbed, living = np.zeros((side, side)), np.zeros((side, side))
    for i in range(len(plan.cutouts)):
        _lay(absorbed, living, plan, i, np.random.default_rng((seed, 15, number, i)))
    for _ in range(rng.poisson(0.6)):
        if parts.fibres:
            _lay_fibre(absorbed, parts.fibres[int(rng.integers(len(parts.fibres)))], rng)
    at = (np.arange(side) + 0.5) / side * 2 - 1
    slope, bend = rng.normal(0, variety.shading, 2), rng.normal(0, variety.shading / 2)
    light = np.exp(slope[0] * at[:, None] + slope[1] * at[None] + bend * (at[:, None] ** 2 + at[None] ** 2 - 1))
    flat = np.rot90(ground.light, int(rng.integers(4)))[:: int(rng.choice((-1, 1)))]
    seen = np.minimum(flat * np.exp(-np.where(ground.inside, absorbed, 0)), ground.ceiling)
    image = seen * light * np.exp(line.normal(0, 0.2))
    pixels = np.clip(np.rint(image), 0, 65535).astype(np.uint16)
    return SimulatedWell(pixels, plan.atp_rlu, living.astype(np.float32))


def _lay(
    absorbed: NDArray[np.float64], living: NDArray[np.float64], plan: Composition, i: int, rng: np.random.Generator
) -> None:
    """Lay one organoid down: what it absorbs in its state, and its ATP where it lives."""
    cutout, alive, turns, flip = plan.cutouts[i], float(plan.alive[i]), int(rng.integers(4)), bool(rng.integers(2))
    patch = np.rot90(cutout.absorbed[::-1] if flip else cutout.absorbed, turns)
    body: NDArray[np.bool_] = np.rot90(cutout.inside[::-1] if flip else cutout.inside, turns)
    zoom = float(plan.zoom[i]) * (SHRINK + (1 - SHRINK) * alive)
    if abs(zoom - 1) > 0.03:
        patch = ndimage.zoom(patch, zoom, order=1, grid_mode=True, mode="grid-constant")
        body = ndimage.zoom(body.astype(np.float32), zoom, order=1, grid_mode=True, mode="grid-constant") > 0.5
    rough = ndimage.gaussian_filter(rng.standard_normal(patch.shape), max(0.7, 0.05 * len(patch)))
    lives = _alive_part(rough, body, alive)
    if not lives.all():
        pieces = rng.standard_normal(patch.shape)
        pieces = np.clip(1 + PIECES * (pieces + rough / max(float(rough.std()), 1e-9)) / np.sqrt(2), 0, None)
        patch = np.where(lives, patch, patch * FADE * pieces)
    if plan.blur_px[i] > 0.3:
        patch = ndimage.gaussian_filter(patch, plan.blur_px[i], mode="constant")
    where = body & lives if (body & lives).any() else body
    _add(absorbed, patch, plan.y[i], plan.x[i])
    if where.any():
        _add(living, where * (plan.full_rlu[i] * alive / where.sum()), plan.y[i], plan.x[i])


def _alive_part(rough: NDArray[np.float64], body: NDArray[np.bool_], alive: float) -> NDArray[np.bool_]:
    """Return which pixels of a patch show living matter: smooth regions that take a share ``alive`` of the body."""
    if alive >= 1 or not body.any():
        return np.full(body.shape, alive > 0)
    return rough < np.quantile(rough[body], alive) if alive > 0 else np.zeros(body.shape, bool)


def _lay_fibre(absorbed: NDArray[np.float64], fibre: CutOut, rng: np.random.Generator) -> None:
    patch = np.rot90(fibre.absorbed, int(rng.integers(4)))
    _add(absorbed, patch, float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.7, 0.7)))


def _add(onto: NDArray[np.float64], patch: NDArray[np.floating], y: float, x: float) -> None:
    """Add a patch with its middle at a place, what reaches beyond left out."""
    side = len(onto)
    top, left = (round((c + 1) / 2 * side - n / 2) for c, n in zip((y, x), patch.shape, strict=True))
    rows = slice(max(0, top), max(0, min(side, top + patch.shape[0])))
    columns = slice(max(0, left), max(0, min(side, left + patch.shape[1])))
    onto[rows, columns] += patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
