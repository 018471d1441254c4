"""What can be measured of the organoids of a well without a network: area, volume, darkness, texture, roundness.

All is measured on light that is missing against the ground near by, so that exposure and slow shading do not count, and
lengths are shares of the well's side, so that magnification does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import perimeter_crofton

Floats = NDArray[np.float64]

GROUND_PARTS = 8
"""The ground is read in so many parts along a side."""

GROUND_PERCENTILE = 70.0
LEAST_ABSORBED, MOST_ABSORBED = 0.05, 0.3
"""Bounds of the absorbance that tells an organoid from ground."""

LEAST_AREA = 2e-4
"""Smaller things are debris; share of the square."""

FINE = 1 / 128
"""Width over which texture is taken off, share of the side."""

ORGANOID_FEATURES = (
    "area",
    "volume",
    "absorbed",
    "volume_absorbed",
    "darkness",
    "texture",
    "roundness",
    "objects",
    "spread",
)
"""Names of what :func:`measure_organoids` measures."""


def absorbance(square: NDArray[np.floating], inside: NDArray[np.bool_]) -> Floats:
    """Return the light that is missing against the ground near by: A = -ln(I / ground).

    Parameters
    ----------
    square : array, shape (S, S), grey values
    inside : array of bool, shape (S, S)
        What belongs to the well; the rest is 0.

    Returns
    -------
    array, shape (S, S), float64
        Above 0 where it is darker than the ground. All 0 where the ground is not above 0.
    """
    side = len(square)
    values = np.where(inside, square, np.nan).astype(np.float64)
    edges = np.linspace(0, side, GROUND_PARTS + 1).round().astype(int)
    whole = float(np.nanpercentile(values, GROUND_PERCENTILE)) if inside.any() else 0.0
    if not whole > 0:
        return np.zeros(square.shape)
    coarse = np.full((GROUND_PARTS, GROUND_PARTS), whole)
    for i in range(GROUND_PARTS):
        for j in range(GROUND_PARTS):
            part = values[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            known = part[np.isfinite(part)]
            if known.size * 2 >= part.size > 0:
                coarse[i, j] = np.percentile(known, GROUND_PERCENTILE)
    # A part that is full of organoids has no ground of its own: its neighbours' holds.
    coarse = np.maximum(coarse, ndimage.median_filter(coarse, 3, mode="nearest"))
    at = (np.arange(side) + 0.5) / side * GROUND_PARTS - 0.5
    ground = ndimage.map_coordinates(coarse, np.meshgrid(at, at, indexing="ij"), order=1, mode="nearest")
    with np.errstate(divide="ignore", invalid="ignore"):
        found = -np.log(np.maximum(square, 1e-3 * whole) / np.maximum(ground, 1e-3 * whole))
    return np.where(inside, found, 0.0)


def organoid_mask(absorbed: Floats) -> NDArray[np.bool_]:
    """Return where organoids lie, shape (S, S): darker than the ground, bright lumens filled, debris left out.

    Parameters
    ----------
    absorbed : array, shape (S, S)
        See :func:`absorbance`.
    """
    side = len(absorbed)
    smooth = ndimage.gaussian_filter(absorbed, max(0.5, side / 400))
    threshold = float(np.clip(threshold_otsu(smooth), LEAST_ABSORBED, MOST_ABSORBED)) if np.ptp(smooth) > 0 else 1.0
    mask = ndimage.binary_fill_holes(smooth > threshold)
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    kept = areas >= LEAST_AREA * side * side
    kept[0] = False
    return np.asarray(kept[labels])


def measure_organoids(square: NDArray[np.floating], inside: NDArray[np.bool_]) -> dict[str, float]:
    """Measure the organoids of a well.

    Parameters
    ----------
    square : array, shape (S, S), real, grey values
        The well, cut out.
    inside : array of bool, shape (S, S)
        What of the square belongs to the well and the image.

    Returns
    -------
    dict
        By :data:`ORGANOID_FEATURES`. ``area``: share of the well. ``volume``: sum over objects of 4/3 pi r³ with
        r = sqrt(area / pi), in sides³, times 1000. ``absorbed``: absorbance summed over organoids, per pixel of the
        well. ``volume_absorbed``: volume times mean absorbance of each object, summed. ``darkness``: mean absorbance
        of organoids. ``texture``: standard deviation of what is finer than 1/128 of the side, over organoids.
        ``roundness``: 4 pi area / perimeter², mean over objects weighted by area. ``objects``: how many, square root.
        ``spread``: standard deviation over the median of all grey values inside. All are 0 in an empty well.
    """
    side = len(square)
    absorbed = absorbance(square, inside)
    mask = organoid_mask(absorbed)
    known = np.asarray(square, np.float64)[inside]
    middle = float(np.median(known)) if known.size else 0.0
    found = dict.fromkeys(ORGANOID_FEATURES, 0.0)
    found["spread"] = float(known.std()) / middle if middle > 0 else 0.0
    if not mask.any():
        return found
    labels, count = ndimage.label(mask)
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(mask, labels, numbers)
    dark = np.maximum(ndimage.mean(absorbed, labels, numbers), 0)
    volumes = 4 / 3 * np.pi * (areas / np.pi) ** 1.5 / side**3 * 1000
    fine = absorbed - ndimage.gaussian_filter(absorbed, max(0.7, side * FINE))
    round_of = [_roundness(labels[place] == n) for n, place in enumerate(ndimage.find_objects(labels), start=1)]
    pixels = max(1, int(inside.sum()))
    return found | {
        "area": float(areas.sum()) / pixels,
        "volume": float(volumes.sum()),
        "absorbed": float(absorbed[mask].sum()) / pixels,
        "volume_absorbed": float((volumes * dark).sum()),
        "darkness": float(absorbed[mask].mean()),
        "texture": float(fine[mask].std()),
        "roundness": float(np.average(round_of, weights=areas)),
        "objects": float(np.sqrt(count)),
    }


def _roundness(mask: NDArray[np.bool_]) -> float:
    """Return 4 pi area / perimeter² of one object, at most 1."""
    around = perimeter_crofton(np.pad(mask, 1), directions=4)
    return min(1.0, 4 * np.pi * float(mask.sum()) / around**2) if around > 0 else 1.0
