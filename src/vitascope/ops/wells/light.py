"""How evenly a well is lit, measured on the picture as the camera took it, and the light that it has without anything.

The ground of a well is a smooth surface through the logarithm of its light: what stands off from it counts little.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.wells.ground import fit_ground, surface
from vitascope.ops.wells.locate import Region, cut_square, well_mask

SIDE_PX = 256
PASSES = 2
"""What is bright in a part of a slope is its upper end: fitted once more, with the slope taken off."""

MOST_SHADING = 0.19
"""Wells whose ground falls by more from edge to edge are flagged: real and drawn ones stay below 0.09."""


def shading(picture: NDArray[Any], region: Region) -> float:
    """Return by how much the ground of a well changes from edge to edge along its steepest direction.

    That of a plane through the logarithm of the ground, see :func:`vitascope.ops.wells.ground.fit_ground`.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    region : Region
        Where the well lies.

    Returns
    -------
    float, >= 0
        ln(brightest / darkest edge); 0.4 is a third less light. 0 where fewer than 16 parts have a ground above 0.
    """
    square = cut_square(picture, region, SIDE_PX)
    found = fit_ground(np.where(np.isfinite(square) & well_mask(SIDE_PX), square, np.nan), 1)
    return 0.0 if found is None else float(2 * np.hypot(found[1], found[2]))


def ground_surface(square: NDArray[np.floating[Any]], inside: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Return the light that a well would have without anything in it, (S, S) grey values: a smooth surface.

    The logarithm of the light is a polynomial of second degree: slopes and bends of the lamp, a wide vignette, and the
    exposure. Organoids are too small to bend it.

    Parameters
    ----------
    square : array, shape (S, S), real, grey values
        The well, cut out.
    inside : array of bool, shape (S, S)
        What of it is the well and lies in the picture.

    Returns
    -------
    array or None
        None where fewer than 16 of the 8 x 8 parts have a ground above 0.
    """
    values = np.where(inside & np.isfinite(square), square, np.nan)
    light = np.ones(square.shape)
    for _ in range(PASSES):
        found = fit_ground(values / light, 2)
        if found is None:
            return None
        light = light * surface(found, (square.shape[0], square.shape[1]))
    return np.asarray(light, np.float32)
