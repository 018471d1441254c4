"""From points and outlines that carry a class to painted labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from vitascope.core.errors import InputError

ROUND_CORNERS = 64


def class_numbers(values: Sequence[Any], classes: Sequence[str]) -> list[int]:
    """Tell the class of each annotation: 1 for the first, 0 for none.

    Parameters
    ----------
    values : sequence
        Names of classes, in small or large letters, or whole numbers (kept as they are); empty or NaN means none.
    classes : sequence of str

    Raises
    ------
    InputError
        If a value is neither.

    Examples
    --------
    >>> class_numbers(["Live", "dead", "", 2.0], ("live", "dead"))
    [1, 2, 0, 2]
    """
    names = {name.casefold(): k for k, name in enumerate(classes, 1)}
    return [_class_number(value, names) for value in values]


def _class_number(value: Any, names: dict[str, int]) -> int:
    text = "" if value is None else str(value).strip()
    if text.casefold() in names:
        return names[text.casefold()]
    if text.casefold() in ("", "nan", "none", "<na>"):
        return 0
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 2**31 or number != int(number):
        raise InputError(f"'{text}' is no class of this model.", f"Its classes: {', '.join(names)}; or take numbers.")
    return int(number)


def square(centre_yx: NDArray[np.float64], side_px: float) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a square around a point."""
    return centre_yx + np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * side_px / 2


def ellipse(corners_yx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (64, 2) of the ellipse that a parallelogram (4, 2) holds."""
    centre = corners_yx.mean(axis=0)
    across, down = (corners_yx[1] - corners_yx[0]) / 2, (corners_yx[3] - corners_yx[0]) / 2
    angle = np.linspace(0, 2 * math.pi, ROUND_CORNERS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angle) * across + np.sin(angle) * down)


def paint(
    shape_yx: tuple[int, int], outlines: Sequence[NDArray[np.float64]], numbers: Sequence[int]
) -> NDArray[np.uint32]:
    """Fill outlines with the numbers of their classes.

    Parameters
    ----------
    shape_yx : tuple of int
    outlines : sequence of array, each (N, 2)
        Corners in pixels (y, x); what lies beyond the picture is cut off.
    numbers : sequence of int
        0 paints nothing.

    Returns
    -------
    array, shape (Y, X), uint32
        0 where nothing lies, or where outlines of different classes overlap.
    """
    painted = np.zeros(shape_yx, np.uint32)
    disputed = np.zeros(shape_yx, bool)
    for outline, number in zip(outlines, numbers, strict=True):
        if number == 0:
            continue
        low = np.clip(np.floor(outline.min(axis=0)).astype(int), 0, shape_yx)
        high = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 1, 0, shape_yx)
        if (high <= low).any():
            continue
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        inside = polygon2mask(tuple(high - low), outline - low)
        disputed[window] |= inside & (painted[window] > 0) & (painted[window] != number)
        painted[window][inside] = number
    painted[disputed] = 0
    return painted
