"""Second opinions: what other networks predict on the same crops, at their own scale, in either polarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.engine.expected import CROP_PX
from vitascope.ops.geometry.resample import Reader

Floats = NDArray[np.float32]
Ask = Callable[[Floats], Floats]
"""Maps a crop (C, side, side) to a prediction (side, side) of the stain that is judged."""

EDGE_PX = 8
"""Of a prediction: what the network completes by reflection."""
STEP_PX = 16
"""Sides of crops are multiples of it, as networks want them."""


def corners(shape_yx: tuple[int, int]) -> list[tuple[int, int]]:
    """Return where one or two crops of 192 px begin, a third from the edges of a picture.

    Examples
    --------
    >>> corners((256, 256)), corners((512, 600))
    ([(32, 32)], [(107, 136), (213, 272)])
    """
    starts = [
        [round((n - CROP_PX) * (k + 1) / (c + 1)) if n > CROP_PX else 0 for k in range(c)]
        for n in shape_yx
        for c in [max(1, min(2, n // CROP_PX))]
    ]
    places = [(y, x) for y in starts[0] for x in starts[1]]
    return places if len(places) <= 2 else [places[0], places[-1]]


def side_for(diameter_px: float, own_px: float) -> int:
    """Return the side of the crop that another network is shown, which sees objects of another size.

    Examples
    --------
    >>> side_for(26, 26), side_for(19, 26), side_for(40, 26)
    (192, 144, 288)
    """
    return STEP_PX * max(4, round(CROP_PX * diameter_px / own_px / STEP_PX))


def predict_crops(ask: Ask, read: Reader, places: Sequence[tuple[int, int]], side_px: int) -> list[Floats]:
    """Return predictions (192, 192) of crops, whatever side a network is shown them at.

    Parameters
    ----------
    ask : callable
    read : Reader
        Of the picture at the network's scale, ``side_px / 192`` times that of the places.
    places : sequence of (row, column)
    side_px : int
    """
    factor, found = side_px / CROP_PX, []
    for y, x in places:
        top, left = round(y * factor), round(x * factor)
        found.append(_resized(ask(read((slice(top, top + side_px), slice(left, left + side_px))))))
    return found


def agreement(own: Sequence[Floats], others: Sequence[Floats], turned: Sequence[Floats]) -> float:
    """Return the correlation with another network's predictions, mean over crops.

    The other one may want bright and dark the other way round: of its two predictions the one that agrees more counts.
    """
    return float(np.mean([max(_pcc(a, b), _pcc(a, c)) for a, b, c in zip(own, others, turned, strict=True)]))


def _resized(picture: Floats) -> Floats:
    if picture.shape[0] == CROP_PX:
        return picture
    found = ndimage.zoom(picture, CROP_PX / picture.shape[0], order=1, grid_mode=True, mode="nearest")
    return np.asarray(found[:CROP_PX, :CROP_PX], np.float32)


def _pcc(first: Floats, second: Floats) -> float:
    inner = (slice(EDGE_PX, -EDGE_PX),) * 2
    a, b = (np.asarray(one[inner], np.float64) - float(np.mean(one[inner])) for one in (first, second))
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / length if length > 1e-9 else 0.0
