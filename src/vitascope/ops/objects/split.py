"""Holes filled and touching nuclei cut apart, by what lies near each pixel only.

Nothing here looks further than a few nucleus diameters, so that a large picture can be worked on block by block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import disk
from skimage.segmentation import watershed

from vitascope.ops.objects.regions import Regions

WHOLE_SOLIDITY = 0.95
WHOLE_AREA = 2.0
LEAST_AREA = 0.5
SEED_DISTANCE = 0.3
SEED_SMOOTHING = 0.12
SURROUNDINGS = 0.5
SURROUNDINGS_FLOOR = 0.05
BRIGHTNESS_WEIGHTS = (0.0, 1.0)
TRUNCATE = 3.0
REACH_DIAMETERS = SURROUNDINGS * TRUNCATE + SEED_DISTANCE
"""How far the place of a cut looks, in nucleus diameters."""


def fill_holes(mask: NDArray[np.bool_], max_area_px: float) -> NDArray[np.bool_]:
    """Fill holes up to a size (step 3 of Algorithm 2).

    A hole is a piece of background (joined by sides) that does not touch the edge of the picture. The bound keeps the
    background inside a ring of nuclei, which the thesis's ``fill_holes`` would fill.

    Parameters
    ----------
    mask : array, shape (Y, X), bool
    max_area_px : float, px²

    Returns
    -------
    array, shape (Y, X), bool

    References
    ----------
    Pankova 2022 (seed 004), Algorithm 2, step 3.
    """
    pieces, count = ndimage.label(~mask)
    fill = np.bincount(pieces.ravel(), minlength=count + 1) <= max_area_px
    fill[0] = False
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        fill[edge] = False
    return np.asarray(mask | fill[pieces])


def split_touching(
    mask: NDArray[np.bool_],
    picture: NDArray[Any],
    diameter_px: float,
    max_length_px: float,
    origin_yx_px: tuple[int, int] = (0, 0),
) -> NDArray[np.int32]:
    """Label the pieces of a mask, and cut those that look like several nuclei.

    A piece stays whole if it is convex (solidity of at least 0.95), no larger than two typical nuclei and no longer
    than ``max_length_px``, or smaller than half a nucleus. Others are cut by a watershed: first by their shape
    (distance to the background), then what is still too large or not convex by shape and brightness (that of the place
    over that of its surroundings). Seeds are the highest points within 0.3 diameters. The thesis stops at clumps (its
    figure 19 shows them taken for one nucleus); this step is ours.

    Parameters
    ----------
    mask : array, shape (Y, X), bool
    picture : array, shape (Y, X), real, finite, >= 0 or nearly
    diameter_px : float, > 0, px
        Typical nucleus.
    max_length_px : float, > 0, px
    origin_yx_px : tuple of int, px
        Where the first pixel lies in the whole image; it decides ties, so that all blocks decide them alike.

    Returns
    -------
    array, shape (Y, X), int32
        0 is background; pieces are joined by sides.
    """
    pieces, count = ndimage.label(mask)
    labels = np.asarray(pieces, np.int32)
    if not count:
        return labels
    typical_px2 = np.pi * diameter_px**2 / 4
    depth: NDArray[np.float32] | None = None
    for weight in BRIGHTNESS_WEIGHTS:
        regions = Regions.of(labels)
        clump = _clumps(regions, typical_px2, max_length_px)
        if not clump.any():
            break
        if depth is None:
            depth = _depth(mask, diameter_px)
        chosen = np.zeros(int(labels.max()) + 1, bool)
        chosen[regions.labels[clump]] = True
        inside = chosen[labels]
        height = _tie_breaker(mask.shape, origin_yx_px)
        height += depth
        if weight:
            height += weight * _prominence(picture, diameter_px)
        pieces = _watershed(height, inside, diameter_px)
        labels = np.asarray(np.where(inside, pieces + labels.max(), labels), np.int32)
    return labels


def _clumps(regions: Regions, typical_px2: float, max_length_px: float) -> NDArray[np.bool_]:
    area = regions.area_px
    clump = (area > WHOLE_AREA * typical_px2) | (regions.extent_px > max_length_px)
    clump |= area < WHOLE_SOLIDITY * regions.hull_area_px()
    return np.asarray(clump & (area >= LEAST_AREA * typical_px2))


def _depth(mask: NDArray[np.bool_], diameter_px: float) -> NDArray[np.float32]:
    """Smoothed distance to the background in radii, at most 2 (beyond, it would look too far)."""
    distance = np.minimum(ndimage.distance_transform_edt(mask), diameter_px) / (diameter_px / 2)
    return _smooth(distance.astype(np.float32), SEED_SMOOTHING * diameter_px)


def _prominence(picture: NDArray[Any], diameter_px: float) -> NDArray[np.float32]:
    """Brightness of a place over that of its surroundings, less 1; about -1 to 1."""
    values = np.asarray(picture, np.float32)
    around = _smooth(values, SURROUNDINGS * diameter_px)
    here = _smooth(values, SEED_SMOOTHING * diameter_px)
    return np.asarray((here - around) / np.maximum(around + SURROUNDINGS_FLOOR, SURROUNDINGS_FLOOR), np.float32)


def _smooth(values: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(values, sigma_px, truncate=TRUNCATE))


def _tie_breaker(shape: tuple[int, ...], origin_yx_px: tuple[int, int]) -> NDArray[np.float64]:
    """Return a millionth or less for each pixel, no two near ones alike, by its place in the whole image.

    Of equal heights scikit-image's watershed takes whichever its heap holds first, and that depends on everything else
    in the block. The fractions of two irrational steps (of the R2 sequence) do not.
    """
    y, x = (np.arange(n) + start for n, start in zip(shape, origin_yx_px, strict=True))
    return np.asarray(1e-6 * ((y[:, None] * 0.7548776662466927 + x * 0.5698402909980532) % 1), np.float64)


def _watershed(height: NDArray[np.float64], inside: NDArray[np.bool_], diameter_px: float) -> NDArray[np.int32]:
    """Flood the places ``inside`` from their highest points down; overwrites ``height``."""
    height[~inside] = -np.inf
    y, x = _summits(height, max(1, round(SEED_DISTANCE * diameter_px)))
    seeds = np.zeros(height.shape, np.int32)
    seeds[y, x] = np.arange(1, len(y) + 1)
    height[~inside] = 0
    np.negative(height, out=height)
    return np.asarray(watershed(height, seeds, mask=inside), np.int32)


def _summits(height: NDArray[np.float64], radius_px: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the points that nothing within ``radius_px`` rises above, row by row; -inf is no point."""
    y, x = np.nonzero((height == ndimage.maximum_filter(height, 3, mode="nearest")) & (height > -np.inf))
    for dy, dx in np.argwhere(disk(radius_px)) - radius_px:
        there = height[np.clip(y + dy, 0, height.shape[0] - 1), np.clip(x + dx, 0, height.shape[1] - 1)]
        highest = there <= height[y, x]
        y, x = y[highest], x[highest]
    return y, x
