"""What real wells are made of, cut out of them: organoids, fibres, and the ground with everything on it taken away.

A cut-out is what a thing absorbs, so that things laid over each other add up. No picture is kept here: cut-outs are
made from the folders that a recipe names, whenever it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from vitascope.ops.wells.locate import central_square, find_well
from vitascope.ops.wells.organoids import absorbance, local_ground, organoid_mask
from vitascope.ops.wells.squares import Region, cut_square, well_mask

WELL_UM = 3300.0
"""Side of a well of a 384-well plate."""

MARGIN_PX, SOFT_PX = 4, 2.5
SOLID, ROUND, LEAST_PX = 0.85, 0.5, 4
"""Least share of its ellipse that an organoid fills, least ratio of its axes, and least area."""

FIBRE_LENGTH, FIBRE_ROUND = 0.04, 0.3
"""Least length of a fibre, share of a well's side, and largest ratio of its axes."""

LARGEST = 0.2
"""Largest diameter of an organoid, share of a well's side."""

PALE = 0.6
"""A body whose middle absorbs less than this share of its rim is taken for a cyst."""

FILL_TRIES = 60


@dataclass(frozen=True, eq=False)
class CutOut:
    """One thing out of a real well.

    Parameters
    ----------
    absorbed : array, shape (h, w), float32
        ``-log(light / ground)``, fading to 0 at its rim.
    inside : array of bool, shape (h, w)
        Its body.
    y, x : float
        Where it lay, -1 to 1 across the square.
    hollow : bool
        Whether it looks like a cyst.
    """

    absorbed: NDArray[np.float32]
    inside: NDArray[np.bool_]
    y: float
    x: float
    hollow: bool = False

    @property
    def area(self) -> int:
        """Area of the body, px."""
        return int(self.inside.sum())


@dataclass(frozen=True, eq=False)
class Ground:
    """A real well with everything on it taken away.

    Parameters
    ----------
    light : array, shape (side, side), float32
        Grey values.
    inside : array of bool, shape (side, side)
        Where things may lie: the well, or the whole field.
    ceiling : float
        Brightest that the source is there, grey values: projections are often cut off above their ground.
    """

    light: NDArray[np.float32]
    inside: NDArray[np.bool_]
    ceiling: float


@dataclass(frozen=True, eq=False)
class Parts:
    """What wells are composed of, at ``side_px`` a well of 3.3 mm; ``lines`` are the organoids of each source well."""

    side_px: int
    lines: tuple[tuple[CutOut, ...], ...]
    fibres: tuple[CutOut, ...]
    grounds: tuple[Ground, ...]


def cut_parts(pictures: Iterable[tuple[str, NDArray[Any], float | None]], side_px: int) -> Parts:
    """Cut real pictures into parts.

    Parameters
    ----------
    pictures : iterable of (str, array of shape (Y, X), float or None)
        Source well, picture, and the side of the square in its middle in µm; None where it shows a whole well, which is
        found. Several pictures of one well are its planes.
    side_px : int, >= 64
        Side of a composed well.

    Raises
    ------
    ValueError
        If no organoid was found in any of them.
    """
    lines: dict[str, list[CutOut]] = {}
    fibres: list[CutOut] = []
    grounds: list[Ground] = []
    for name, picture, field_um in pictures:
        whole = field_um is None
        region = find_well(picture) if whole else central_square(picture)
        scale = 1.0 if field_um is None else field_um / WELL_UM
        square = _filled(cut_square(picture, region, max(64, round(side_px * scale))))
        organoids, found = cut_things(square, side_px)
        lines.setdefault(name, []).extend(organoids)
        fibres += found
        ground = square if len(square) == side_px else _filled(cut_square(picture, region, side_px))
        inside = _inside(side_px, region, whole)
        grounds.append(Ground(empty_ground(ground, scale), inside, float(ground[inside].max())))
    kept = tuple(tuple(own) for own in lines.values() if own)
    if not kept:
        raise ValueError("no organoid was found in the pictures")
    return Parts(side_px, kept, tuple(fibres), tuple(grounds))


def _filled(square: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isfinite(square), square, np.float32(np.nanmedian(square)))


def _inside(side_px: int, region: Region, whole: bool) -> NDArray[np.bool_]:
    """Return where things may lie: within a well that was found, else anywhere in the square."""
    found = whole and "no_well" not in region.flags
    return well_mask(side_px) if found else np.ones((side_px, side_px), bool)


def cut_things(square: NDArray[np.float32], well_px: int) -> tuple[list[CutOut], list[CutOut]]:
    """Cut organoids and fibres out of a square, a well of ``well_px`` being the scale of what is large."""
    shown = len(square) / well_px
    absorbed, mask = absorbance(square, shown), organoid_mask(square, shown=shown)
    whole = measure(ndimage.label(mask)[0])
    long = (whole.minor < FIBRE_ROUND * whole.major) & (whole.major > FIBRE_LENGTH * well_px)
    fibres = [_cut(absorbed, whole, int(n)) for n in np.flatnonzero(long)]
    mask &= ~np.r_[False, long][whole.labels]
    apart = measure(split_touching(mask))
    like = (apart.area >= LEAST_PX) & (apart.minor >= ROUND * apart.major)
    like &= apart.area >= SOLID * np.pi / 4 * apart.major * apart.minor
    like &= apart.area <= np.pi / 4 * (LARGEST * well_px) ** 2
    return [_cut(absorbed, apart, int(n)) for n in np.flatnonzero(like)], fibres


@dataclass(frozen=True, eq=False)
class Bodies:
    """Numbered bodies (Y, X), and of each of the N: area (px), axes of the ellipse of its moments (px), middle, box."""

    labels: NDArray[np.int32]
    area: NDArray[np.float64]
    major: NDArray[np.float64]
    minor: NDArray[np.float64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    boxes: list[tuple[slice, slice]]


def measure(labels: NDArray[Any]) -> Bodies:
    """Measure all bodies at once."""
    count = int(labels.max(initial=0))
    at = np.nonzero(labels)
    own = labels[at] - 1
    area = np.maximum(np.bincount(own, minlength=count), 1).astype(float)
    y, x = (np.bincount(own, weights=c, minlength=count) / area for c in at)
    dy, dx = at[0] - y[own], at[1] - x[own]
    yy, xx, yx = (np.bincount(own, weights=w, minlength=count) / area for w in (dy * dy, dx * dx, dy * dx))
    yy, xx = yy + 1 / 12, xx + 1 / 12  # a pixel's own
    middle, spread = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + yx**2)
    major, minor = 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 0))
    boxes = list(ndimage.find_objects(labels))
    own_labels = np.asarray(labels, np.int32)
    return Bodies(labels=own_labels, area=area, major=major, minor=minor, y=y, x=x, boxes=boxes)


def split_touching(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number bodies (Y, X), those that touch cut apart at their waists."""
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    things, _ = ndimage.label(mask)
    peaks = peak_local_max(depth, min_distance=3, labels=things, exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, seeds, mask=mask), np.int32)


def _cut(absorbed: NDArray[np.float64], bodies: Bodies, number: int) -> CutOut:
    """Cut one body out with a soft rim; what belongs to its neighbours stays out."""
    side, labels = len(absorbed), bodies.labels
    rows, columns = (slice(max(0, c.start - MARGIN_PX), min(side, c.stop + MARGIN_PX)) for c in bodies.boxes[number])
    own = labels[rows, columns] == number + 1
    other = (labels[rows, columns] > 0) & ~own
    away = ndimage.distance_transform_edt(~own)
    share = np.clip(1 - away / SOFT_PX, 0, 1) * ~other
    patch = np.maximum(absorbed[rows, columns], -0.2) * share
    depth = ndimage.distance_transform_edt(own)
    core, shell = depth > 0.6 * depth.max(), own & (depth <= 0.6 * depth.max())
    hollow = bool(depth.max() >= 3 and shell.any() and patch[core].mean() < PALE * patch[shell].mean())
    y, x = (2 * (c[number] + 0.5) / side - 1 for c in (bodies.y, bodies.x))
    return CutOut(patch.astype(np.float32), own, float(y), float(x), hollow)


def empty_ground(square: NDArray[np.float32], shown: float = 1.0) -> NDArray[np.float32]:
    """Take everything off a well: covered places get the local ground, with the texture of free places of the well."""
    covered = ndimage.binary_dilation(organoid_mask(square, 0.08, shown), iterations=3)
    ground = local_ground(square, shown)
    texture = np.asarray(square / np.maximum(ground, 1e-9), np.float64)
    missing, free = covered.copy(), ~covered & well_mask(len(square), 6.0)
    rng = np.random.default_rng(len(square))
    for _ in range(FILL_TRIES):
        if not missing.any():
            break
        dy, dx = (int(v) for v in rng.integers(0, len(square), 2))
        usable = missing & np.roll(free, (dy, dx), (0, 1))
        texture[usable] = np.roll(np.where(free, texture, 1), (dy, dx), (0, 1))[usable]
        missing &= ~usable
    texture[missing] = float(np.median(texture[free])) if free.any() else 1.0
    return np.asarray(texture * ground, np.float32)


def all_organoids(parts: Parts, lines: Sequence[int]) -> list[CutOut]:
    """Return the organoids of some source wells."""
    return [one for line in lines for one in parts.lines[line]]
