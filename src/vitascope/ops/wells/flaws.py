"""What is wrong with a picture before any network sees it: light, meniscus, bubbles and focus, on its own pixels.

All are told relative to the square that is looked at (a well, or the middle of a picture), so that a picture says the
same at another magnification; what its pixels cannot carry is not asked of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.ops.intensity.gaussian import gaussian_laplace
from vitascope.ops.intensity.rank import median, percentile
from vitascope.ops.objects.morphology import eroded
from vitascope.ops.wells.ground import PERCENTILE, fit_ground
from vitascope.ops.wells.squares import Region, Squares, cut_square, well_mask

FLAWS = ("shading", "meniscus", "bubbles", "native_focus")
"""Names of the numbers, as cards hold their ranges."""

SIDE_PX = 256
"""Side that a square is brought to, to see its light."""

MOST_OFF = 0.04
"""Light falls smoothly: a ground that scatters by more about its fall and bowl is a picture of something else."""

FOCUS_PX, FINE, COARSE = 192, 1.0, 4.0
"""Side that a square is brought to at most, and standard deviations (px) of fine and coarse detail in it: finer than
what networks of wells see, and coarse enough for any camera."""

SIDES_PX = (SIDE_PX, FOCUS_PX)
"""Sizes that a square is looked at."""

RIM, LEAST_HOLE, ROUND, BRIGHT = 0.45, 0.12, 0.9, 0.8
"""A bubble: a rim darker than this share of the ground that closes around a hole of at least this share of the bubble,
as round as a disc to this degree, with light as bright as this share of the ground inside."""

LEAST_WIDTH = 0.06
"""Least width of a bubble, as a share of the square's side."""


def measure_flaws(square: Squares, *, round_well: bool) -> dict[str, float]:
    """Measure what is wrong with the part of a picture that is looked at.

    Parameters
    ----------
    square : Squares
        Of the picture as the camera took it; at :data:`SIDES_PX` without another pass over it.
    round_well : bool
        Whether what counts of the square is the disc in it.

    Returns
    -------
    dict
        - ``shading``: ln(brightest / darkest edge) of the ground along its steepest direction.
        - ``meniscus``: ln(edge / middle) of the ground, its size: light that a curved surface bends to or from the rim.
        - ``bubbles``: share of the square that bubbles take.
        - ``native_focus``: ln of fine over coarse detail, see :func:`native_focus`; NaN where there is none.
    """
    small = _inside(square.at(SIDE_PX), round_well)
    tilt, bowl = ground_shape(small)
    side = max(16, min(FOCUS_PX, round(square.region.side)))
    return {
        "shading": tilt,
        "meniscus": bowl,
        "bubbles": bubble_share(small),
        "native_focus": native_focus(_inside(square.at(side), round_well)),
    }


def _inside(square: NDArray[Any], round_well: bool) -> NDArray[np.float64]:
    known = np.isfinite(square)
    if round_well:
        known = known & well_mask(len(square))
    return np.where(known, square, np.nan).astype(np.float64)


def ground_shape(square: NDArray[np.float64]) -> tuple[float, float]:
    r"""Return how the ground of a square falls from edge to edge, and how it curves from the middle to the rim.

    A plane and a paraboloid through the logarithm of the ground, see :func:`vitascope.ops.wells.ground.fit_ground`.

    Parameters
    ----------
    square : array, shape (n, n), n a multiple of 8
        NaN where nothing counts.

    Returns
    -------
    tuple of float, >= 0
        ln(brightest / darkest edge), and \\|ln(rim / middle)\\|; 0 where fewer than 16 parts have a ground above 0.
    """
    found = fit_ground(square, "bowl")
    return (0.0, 0.0) if found is None else (float(2 * np.hypot(found[1], found[2])), float(abs(found[3])))


def evened_out(picture: NDArray[Any], region: Region, *, round_well: bool) -> NDArray[np.float32] | None:
    """Divide a picture by its ground's fall and bowl, as an image of an empty field would; the middle stays as it is.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    region : Region
        The square that the ground is read in; beyond it the light of its edge is taken.
    round_well : bool
        See :func:`measure_flaws`.

    Returns
    -------
    array or None
        None where no ground is seen, or where it is not that of uneven light: parts lie off by more than
        :data:`MOST_OFF`.
    """
    found = fit_ground(_inside(cut_square(picture, region, SIDE_PX), round_well), "bowl", MOST_OFF)
    if found is None:
        return None
    grey = np.asarray(picture, np.float32)
    y, x = (
        np.clip((np.arange(n) + 0.5 - start) / region.side * 2 - 1, -1, 1)
        for n, start in zip(picture.shape, (region.top, region.left), strict=True)
    )
    down, across = found[1] * y + found[3] * y**2, found[2] * x + found[3] * x**2
    return np.asarray(grey / np.exp(down[:, None] + across[None]), np.float32)


def bubble_share(square: NDArray[np.float64]) -> float:
    """Return the share of a square that bubbles take: round, with a nearly black rim, and bright inside.

    Air in water turns light away at its rim and lets it through in the middle. Organoids with a hollow have rims that
    let more light through.

    Parameters
    ----------
    square : array, shape (n, n)
        NaN where nothing counts.
    """
    known = np.isfinite(square)
    if not known.any():
        return 0.0
    ground = float(percentile(square[known], PERCENTILE))
    if ground <= 0:
        return 0.0
    light = np.where(known, square, ground) / ground
    labels, _ = ndimage.label(light < RIM)
    area = 0.0
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        height, width = labels[box].shape
        if not _wide_enough(height * width, len(square)):  # most: its holes need not be filled
            continue
        rim = labels[box] == number
        bubble = ndimage.binary_fill_holes(rim, np.ones((3, 3)))
        filled = float(bubble.sum())
        hole = bubble & ~rim
        if not _wide_enough(filled, len(square)) or hole.sum() < LEAST_HOLE * filled:
            continue
        round_as = filled / (math.pi / 4 * height * width)
        if (
            ROUND <= round_as <= 1 / ROUND
            and min(height, width) > 0.8 * max(height, width)
            and np.percentile(light[box][hole], 90) >= BRIGHT
        ):
            area += filled
    return float(area / known.sum())


def _wide_enough(area: float, side: int) -> bool:
    return 2 * math.sqrt(area / math.pi) >= LEAST_WIDTH * side


def native_focus(square: NDArray[np.float64]) -> float:
    """Return ln of fine over coarse detail of a square.

    Detail is what a Laplacian of Gaussian answers, times its variance so that detail of all sizes weighs alike, by its
    95th percentile: a few sharp things are enough. The square has at most 192 px, whatever the camera's; a picture
    that was made larger says the same.

    Parameters
    ----------
    square : array, shape (n, n)
        NaN where nothing counts.

    Returns
    -------
    float
        Lower where the picture is blurred, higher where it is noisy or was sharpened. NaN where there is no detail.
    """
    known = np.isfinite(square)
    if not known.any():
        return math.nan
    level = np.where(known, square - median(square[known]), 0.0)
    deep = eroded(known, int(3 * COARSE))
    if not deep.any():
        return math.nan
    fine, coarse = (float(percentile(np.abs(s**2 * gaussian_laplace(level, s)[deep]), 95)) for s in (FINE, COARSE))
    return math.log(fine / coarse) if fine > 0 and coarse > 0 else math.nan
