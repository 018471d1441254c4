"""The light that a well has without anything in it.

The ground of a well is a smooth surface through the logarithm of its light: what stands off from it counts little.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.wells.ground import TERMS, fit_ground, surface

PASSES = 2
"""What is bright in a part of a slope is its upper end: fitted once more, with the slope taken off."""


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
    factors, light = np.zeros(len(TERMS["bent"])), None
    for _ in range(PASSES):
        found = fit_ground(values if light is None else values / light, "bent")
        if found is None:
            return None
        factors += found
        light = surface(factors, "bent", (square.shape[0], square.shape[1])).astype(np.float32)
    return light
