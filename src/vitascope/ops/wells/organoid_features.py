"""What can be measured of the organoids of a well without a network: area, volume, darkness, texture, roundness.

All is measured on light that is missing against the ground near by, so that exposure and slow shading do not count, and
lengths are shares of the well's side, so that magnification does not. What is organoid and what is ground is told in
:mod:`vitascope.ops.wells.organoids`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import perimeter_crofton

from vitascope.ops.wells.organoids import absorbance, organoid_mask

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
    known = np.asarray(square, np.float64)[inside]
    middle = float(np.median(known)) if known.size else 0.0
    found = dict.fromkeys(ORGANOID_FEATURES, 0.0)
    if not middle > 0:
        return found
    found["spread"] = float(known.std()) / middle
    whole = np.where(inside, square, middle)
    absorbed, mask = np.where(inside, absorbance(whole), 0.0), organoid_mask(whole) & inside
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
