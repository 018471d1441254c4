"""Find the well, or the spheroid, in a small version of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from vitascope.ops.intensity.median import median_of
from vitascope.ops.intensity.rank import median, percentile
from vitascope.ops.objects.morphology import closed, fill_holes, opened
from vitascope.ops.wells.ground import PARTS, fit_ground, surface
from vitascope.ops.wells.squares import Region, shares

SMALL_PX = 128
LEAST_DROP = 0.2
"""A rim is seen where the surroundings are darker than the well by this share."""

LEAST_SIDE, ROUND = 0.35, 0.85
"""Least side of a well, as a share of the picture's shorter side, and least ratio of its sides unless cut off."""

LEAST_FILLED, LEAST_ACTIVE = 0.8, 0.6
"""A well on an even ground is full of things, and takes most of the picture: scattered organoids are no well."""

DARKER = 0.12
"""Share by which something seen stands off from its neighbourhood."""

LEAST_CONTENT = 0.01
EVEN = LEAST_DROP / 2
"""A ground whose parts lie within this share of a plane is an even one with a slope: no rim makes it."""

TILES = 8
"""Neighbourhoods along a side of a well."""


def find_well(picture: NDArray[Any]) -> Region:
    """Find the well in a bright-field picture.

    A well that is brighter than its surroundings is found by its brightness; one on an even ground by where there is
    something to see. Where neither shows an edge the whole picture is the well.

    Parameters
    ----------
    picture : array, shape (Y, X), real, finite or not

    Returns
    -------
    Region
        Flags: ``no_well``, ``well_cut_off``, ``several_wells``, ``empty_well``.

    References
    ----------
    Ins-ATP (seed 000), section 3.3: only the part that covers the well is retained.
    """
    small, factor = _at_one_size(picture)
    small = without_slope(small)
    found, flags = bright_well(small)
    if found is None:
        found = active_well(small)
    if found is None:
        side = float(min(picture.shape))
        region = Region((picture.shape[0] - side) / 2, (picture.shape[1] - side) / 2, side, ("no_well",))
        rows = slice(0, small.shape[0]), slice(0, small.shape[1])
    else:
        region, rows = _square(found, small.shape, factor)
    flags = (*flags, *region.flags, *(("empty_well",) if content(small[rows]) < LEAST_CONTENT else ()))
    return Region(region.top, region.left, region.side, flags)


def _at_one_size(picture: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Bring a picture's longer side to :data:`SMALL_PX` by averaging: what is found does not hang on its resolution.

    Returns
    -------
    tuple of array and float
        The small picture, and the side of its pixels, px.
    """
    coarse, factor = shrink(picture, 2 * SMALL_PX)
    scale = max(coarse.shape) / SMALL_PX
    (rows, window_y, heights), (columns, window_x, widths) = (
        shares(scale * np.arange(cells + 1), n) for n in coarse.shape for cells in [max(1, int(n / scale + 1e-9))]
    )
    sums = columns @ np.ascontiguousarray((rows @ coarse[window_y, window_x]).T)
    return np.asarray(sums.T / np.outer(heights, widths), np.float64), scale * factor


def without_slope(small: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take a slope of the light off a picture (Y, X), its level kept: edges lie where they are, however it is lit.

    What does not lie on a slope, such as a bright well in the dark, is left as it is.
    """
    found = fit_ground(small, "slope", EVEN) if min(small.shape) >= PARTS * 2 else None
    if found is None:
        return small
    level = median(small)
    even = small / surface(found, "slope", (small.shape[0], small.shape[1]))
    middle = median(even)
    return np.asarray(even * (level / middle)) if middle > 0 else small


def central_square(picture: NDArray[Any]) -> Region:
    """Return the largest square in the middle of a picture."""
    side = float(min(picture.shape))
    return Region((picture.shape[0] - side) / 2, (picture.shape[1] - side) / 2, side)


def find_spheroid(picture: NDArray[Any]) -> Region:
    """Find the largest dark body near the middle of a bright-field picture, and put it in the middle of a square.

    The square has the shorter side of the picture, whatever the size of the body: size tells of growth and shrinking.

    Parameters
    ----------
    picture : array, shape (Y, X), real

    Returns
    -------
    Region
        The largest centred square where no body is seen.
    """
    small, factor = shrink(picture)
    smooth = ndimage.gaussian_filter(small, 2)
    ground = float(np.median(smooth))
    whole = central_square(picture)
    if ground <= 0 or smooth.min() >= (1 - DARKER) * ground:
        return whole
    labels, _ = ndimage.label(fill_holes(smooth < threshold_otsu(smooth)))
    middle = (np.array(small.shape) - 1) / 2
    best, most = None, 0.0
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[place] == number
        centre = np.array(ndimage.center_of_mass(mask)) + [s.start for s in place]
        off = float(np.hypot(*((centre - middle) / middle)))
        score = float(mask.sum()) * max(0.0, 1 - off)
        if score > most:
            best, most = centre, score
    if best is None:
        return whole
    y, x = best
    return Region((y + 0.5) * factor - whole.side / 2, (x + 0.5) * factor - whole.side / 2, whole.side)


def shrink(picture: NDArray[Any], side_px: int = SMALL_PX) -> tuple[NDArray[np.float64], int]:
    """Average blocks of a picture until its longer side is about ``side_px``; what is not finite is filled.

    Returns
    -------
    tuple of array and int
        The small picture, and the side of a block.
    """
    factor = max(1, -(-max(picture.shape) // side_px))
    height, width = (max(1, n // factor) for n in picture.shape)
    part = np.asarray(picture[: height * factor, : width * factor])
    if part.dtype.kind == "f" and not np.isfinite(part).all():
        known = part[np.isfinite(part)]
        part = np.where(np.isfinite(part), part, np.median(known) if known.size else 0)
    down, across = min(factor, part.shape[0]), min(factor, part.shape[1])
    # Camera images are added up as whole numbers: exact, and three times as fast.
    kind = np.uint32 if part.dtype.kind in "bu" and part.dtype.itemsize <= 2 and down < 2**16 else np.float64
    rows = part.reshape(height, down, width * across).sum(1, dtype=kind)
    return rows.reshape(height, width, across).sum(2, dtype=np.float64) / (down * across), factor


Box = tuple[float, float, float, float]
"""Top, bottom, left and right of a well, px of the small picture."""


def bright_well(small: NDArray[np.float64]) -> tuple[Box | None, tuple[str, ...]]:
    """Find a well that is brighter than its surroundings: rows and columns (top, bottom, left, right), and flags."""
    if small.min() == small.max() or min(small.shape) < 16:
        return None, ()
    size = max(3, min(small.shape) // 20 | 1)  # along the columns, then the rows: a third of the time of a square
    smooth = _median_along(_median_along(small, size).T, size).T
    mask = smooth > threshold_otsu(smooth)
    inside, outside = smooth[mask], smooth[~mask]
    if not outside.size or outside.mean() > (1 - LEAST_DROP) * inside.mean():
        return None, ()
    mask = opened(fill_holes(mask), 2)
    labels, count = ndimage.label(mask)
    if not count:
        return None, ()
    areas = np.bincount(labels.ravel())[1:]
    order = np.argsort(areas)[::-1]
    place = ndimage.find_objects(labels)[order[0]]
    box = (place[0].start, place[0].stop, place[1].start, place[1].stop)
    filled = areas[order[0]] / ((box[1] - box[0]) * (box[3] - box[2]))
    # Organoids leave no solid bright blob with dark surroundings at the picture's rim; wells do.
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if filled < 0.6 or rim.mean() > 0.75 or not _is_large(box, small.shape):
        return None, ()
    several = count > 1 and areas[order[1]] > 0.3 * areas[order[0]]
    return box, ("several_wells",) if several else ()


def _median_along(picture: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the median of each pixel and its neighbours along its column, an odd number; mirrored at the rim."""
    padded = np.pad(picture, ((size // 2, size // 2), (0, 0)), mode="symmetric")
    return np.asarray(median_of([padded[n : n + len(picture)] for n in range(size)]))


def active_well(small: NDArray[np.float64]) -> Box | None:
    """Find a well on an even ground: where there is something to see, against a quiet surrounding."""
    if min(small.shape) < 16:
        return None
    window = max(3, min(small.shape) // 24 | 1)
    mean = ndimage.uniform_filter(small, window)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(small**2, window) - mean**2, 0))
    level = np.log(spread + 1e-3 * max(median(spread), 1e-12))
    if level.min() == level.max():
        return None
    threshold = threshold_otsu(level)
    mask = level > threshold
    if level[mask].mean() - level[~mask].mean() < np.log(2.5):
        return None
    mask = closed(np.pad(mask, window), window)[window:-window, window:-window]
    labels, count = ndimage.label(opened(mask, 2))
    if not count:
        return None
    areas = np.bincount(labels.ravel())[1:]
    mask = fill_holes(labels == 1 + int(np.argmax(areas)))
    # A row or column belongs to the well when a good part of it does: fibres that stick out do not count.
    (top, bottom), (left, right) = (_edges(mask.mean(axis)) for axis in (1, 0))
    box = (top, bottom, left, right)
    filled = float(mask[_pixels(top, bottom), _pixels(left, right)].mean())
    sides = sorted((box[1] - box[0], box[3] - box[2]))
    even = filled >= LEAST_FILLED and sides[0] >= ROUND * sides[1] and sides[0] >= LEAST_ACTIVE * min(small.shape)
    return box if even else None


def _edges(covered: NDArray[np.float64]) -> tuple[float, float]:
    """Return where the share of rows that belong to a well crosses a quarter of its most, between pixels."""
    level = 0.25 * float(covered.max())
    over = np.flatnonzero(covered > level)
    padded = np.concatenate([[0.0], covered, [0.0]])
    first, last = int(over[0]) + 1, int(over[-1]) + 1

    def share(inside: int, outside: int) -> float:
        return float((padded[inside] - level) / max(padded[inside] - padded[outside], 1e-9))

    top = first - 0.5 - share(first, first - 1) if first > 1 else 0.0
    bottom = last - 0.5 + share(last, last + 1) if last < len(covered) else float(len(covered))
    return top, bottom


def _pixels(first: float, last: float) -> slice:
    """Return the pixels between two edges, at least one."""
    start = round(first)
    return slice(start, max(start + 1, round(last)))


def _is_large(box: Box, shape: tuple[int, ...]) -> bool:
    return max(box[1] - box[0], box[3] - box[2]) >= LEAST_SIDE * min(shape)


def _square(box: Box, shape: tuple[int, ...], factor: float) -> tuple[Region, tuple[slice, slice]]:
    """Make a square of a box; one that a picture's edge cuts off reaches beyond that edge."""
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    side = max(height, width)
    flags: tuple[str, ...] = ()
    corner = [0.0, 0.0]
    for axis, (first, last, length) in enumerate(((top, bottom, shape[0]), (left, right, shape[1]))):
        corner[axis] = (first + last - side) / 2
        at_edge = first <= 1, last >= length - 1
        if last - first < ROUND * side and at_edge[0] != at_edge[1]:
            flags = ("well_cut_off",)
            corner[axis] = last - side if at_edge[0] else first
    region = Region(corner[0] * factor, corner[1] * factor, side * factor, flags)
    return region, (_pixels(top, bottom), _pixels(left, right))


def content(small: NDArray[np.float64]) -> float:
    """Return the share of a well's pixels that are darker than their neighbourhood by :data:`DARKER`, its rim left out.

    Bright halos alone do not count: bubbles and a meniscus have them too.
    """
    height, width = (n // TILES for n in small.shape)
    inside = small[height : (TILES - 1) * height, width : (TILES - 1) * width]
    if not inside.size:
        return 0.0
    tiles = inside.reshape(TILES - 2, height, TILES - 2, width).swapaxes(1, 2).reshape((TILES - 2) ** 2, -1)
    return float((tiles < (1 - DARKER) * percentile(tiles, 70)[:, None]).mean())
