"""Does a stack look like those a spheroid model was trained on? What is measured for the card, and at run time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.geometry.resample import Reader, Window
from vitascope.ops.intensity.quality import crop_statistics

CROP_ZYX = (12, 48, 48)
"""Crops that are looked at, on the network's grid."""

PLACES = 6
"""Places along each side of a stack that crops are chosen among, at most."""

BRIGHTEST = 16
"""So many crops count: the brightest, since a stack is mostly empty."""

Encode = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""Gives the deepest features (F, d, h, w) of a crop (C, d, h, w)."""


def bright_crops(read: Reader, shape: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Return the brightest crops of a stack, evenly spread places being looked at.

    Parameters
    ----------
    read : Reader
        Gives (C, d, h, w) in network units; continues by reflection beyond the edges.
    shape : tuple of int
        (Z, Y, X).
    """
    starts = []
    for side, crop in zip(shape, CROP_ZYX, strict=True):
        count = min(PLACES, -(-side // crop))
        starts.append(sorted({int(a) for a in np.linspace(0, max(0, side - crop), count)}))
    windows: list[Window] = [
        tuple(slice(a, a + n) for a, n in zip(corner, CROP_ZYX, strict=True)) for corner in product(*starts)
    ]
    brightness = [float(read(w).mean()) for w in windows]
    order = np.argsort(brightness, kind="stable")[::-1][:BRIGHTEST]
    return [read(windows[i]) for i in sorted(order)]


def volume_statistics(
    read: Reader, shape: tuple[int, ...], encode: Encode
) -> tuple[list[dict[str, float]], NDArray[np.float64]]:
    """Measure a stack as its card knows it.

    Parameters
    ----------
    read, shape
        See :func:`bright_crops`.
    encode : Encode

    Returns
    -------
    tuple
        Statistics of the middle plane of each crop (mean over the channels), and pooled features (crops, F).
    """
    statistics, features = [], []
    for crop in bright_crops(read, shape):
        statistics.append(crop_statistics(crop[:, CROP_ZYX[0] // 2].mean(0)))
        features.append(np.asarray(encode(crop), np.float64).mean((1, 2, 3)))
    return statistics, np.array(features)
