"""The bright part of a membrane stain beside the nucleus, taken for the Golgi apparatus.

A stain of actin, Golgi and membrane shows more than the Golgi: what is found is called the bright perinuclear part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.errors import ParameterError
from vitascope.ops.intensity.background import subtract_background

CLIP_PERCENTILE = 90.0
"""Of the pixels inside cells; Pankova 2022 (seed 004), section 3.4.1.1, takes it of the whole picture."""

BALL_DIAMETERS = 0.5
"""Radius of the rolling ball in nucleus diameters: wider than a Golgi, narrower than a cell."""

LEAST_CONTRAST = 0.02
"""Signal that must stand above the cut, in the full scale of the picture. Without it the brightest tenth of a cell that
holds nothing but noise would be taken: noise of a standard deviation of 1 % rises to about twice that above its own
90 % percentile."""

LEAST_AREA = 0.005
"""Of a nucleus's area: smaller pieces are single bright pixels."""


class GolgiSteps(NamedTuple):
    """Every step, for showing: ``flat`` (Y, X) float32, ``mask`` (Y, X) bool, ``spots`` (Y, X) uint32."""

    flat: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spots: NDArray[np.uint32]


def take_off_background(picture: NDArray[Any], nucleus_px: float) -> NDArray[np.float32]:
    """Take the rolling-ball background off a picture whose full scale is [0, 1] (section 3.4.1.1)."""
    return subtract_background(np.asarray(picture, np.float32), BALL_DIAMETERS * nucleus_px)


def clip_level(
    pictures: Iterable[tuple[NDArray[Any], NDArray[np.bool_]]], percentile: float = CLIP_PERCENTILE
) -> float:
    """Return the grey value above which the stain is bright: a percentile over pixels inside cells of all pictures.

    Parameters
    ----------
    pictures : iterable of tuple of array
        Each a picture (Y, X) and where its cells are: of a plate, or a set.
    percentile : float, 0 to 100

    Returns
    -------
    float
        NaN where there is no cell.

    Raises
    ------
    ParameterError
        If the percentile lies outside its range.
    """
    if not 0 <= percentile <= 100:
        raise ParameterError(f"There is no percentile {percentile}.", "Take 0 to 100.")
    values = [np.asarray(picture, np.float64)[inside] for picture, inside in pictures]
    values = [v[np.isfinite(v)] for v in values]
    if not any(v.size for v in values):
        return float("nan")
    return float(np.percentile(np.concatenate(values), percentile))


LEVEL_BINS = 1 << 14
"""Steps of full scale that pixels of a set are counted in: far below :data:`LEAST_CONTRAST`."""


def count_inside(flat: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the pixels inside cells by their brightness, so that those of a plate can be added up.

    Parameters
    ----------
    flat : array, shape (Y, X), float32, full scale [0, 1]
        As of :func:`take_off_background`; pixels that are not finite do not count.
    inside : array, shape (Y, X), bool

    Returns
    -------
    array, shape (16384,), int64
        What lies beyond the scale is counted at its end.
    """
    values = flat[inside]
    values = np.clip(values[np.isfinite(values)], 0, 1)
    return np.bincount(np.minimum((values * LEVEL_BINS).astype(np.int64), LEVEL_BINS - 1), minlength=LEVEL_BINS)


def level_of_counts(counts: NDArray[np.int64], percentile: float = CLIP_PERCENTILE) -> float:
    """Return the grey value of :func:`clip_level` from counted pixels, to a step of the count; NaN without cells.

    Examples
    --------
    >>> flat = np.linspace(0, 1, 101, dtype=np.float32)[None]
    >>> round(level_of_counts(count_inside(flat, flat >= 0)), 3)
    0.9
    """
    below = np.cumsum(counts)
    if not below[-1]:
        return float("nan")
    return float((np.searchsorted(below, percentile / 100 * (below[-1] - 1) + 1) + 0.5) / LEVEL_BINS)


def find_golgi(flat: NDArray[np.float32], inside: NDArray[np.bool_], level: float, nucleus_px: float) -> GolgiSteps:
    """Find bright spots inside cells.

    Parameters
    ----------
    flat : array, shape (Y, X), float32, full scale [0, 1]
        As of :func:`take_off_background`.
    inside : array, shape (Y, X), bool
        Where cells are.
    level : float
        As of :func:`clip_level`, of the set that the picture belongs to.
    nucleus_px : float, > 0, px

    Returns
    -------
    GolgiSteps
        No spot where nothing rises :data:`LEAST_CONTRAST` above the level.
    """
    nothing = np.zeros(flat.shape, bool)
    bright = inside & np.isfinite(flat) & (flat > level) if np.isfinite(level) else nothing
    pieces, count = ndimage.label(bright, np.ones((3, 3), int))
    if not count:
        return GolgiSteps(flat, nothing, np.zeros(flat.shape, np.uint32))
    numbers = np.arange(1, count + 1)
    peaks = ndimage.maximum(flat, pieces, numbers)
    area = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    keep = (peaks >= level + LEAST_CONTRAST) & (area >= LEAST_AREA * np.pi * nucleus_px**2 / 4)
    new = np.zeros(count + 1, np.uint32)
    new[1:][keep] = np.arange(1, int(keep.sum()) + 1)
    spots = new[pieces]
    return GolgiSteps(flat, spots > 0, spots)
