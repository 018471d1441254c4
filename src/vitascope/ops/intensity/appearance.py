"""How an image looks: four numbers of which each has a cause one can see to, and two of its finest detail.

Focus, light, contrast and density are told to the user. The other two serve to notice a lost focus where the first is
hidden by what differs between images: they compare one octave of detail with the next, so that how much there is in the
picture cancels. Defocus takes the finest octaves first (Field and Brady 1997, "Visual sensitivity, blur and the sources
of variability in the amplitude spectra of natural scenes", Vision Research 37:3367).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

APPEARANCE = ("focus", "brightness", "contrast", "density")
"""What the first numbers stand for, in their order."""

OCTAVES = ("finest detail", "fine detail")
"""What the numbers after them stand for."""

LOOKS = len(APPEARANCE) + len(OCTAVES)

WINDOW_PX, ACROSS = 64, 3
"""Side of the windows that are looked at, and how many there are along each side: larger images cost no more."""

BLOCK_PX, LIVELY = 4, 95
"""Side of the squares that texture is told by, in binned pixels, and the percentile that stands for full texture."""


def appearance(plane: Any) -> NDArray[np.float32]:
    """Measure the appearance of a raw image; logarithms, so that a factor is a shift.

    Parameters
    ----------
    plane : array, shape (Y, X), real, numpy or dask
        As the camera gave it; up to 9 windows of 64 px are read.

    Returns
    -------
    array, shape (6,), float32
        - ``focus``: energy of the Laplacian over the variance, of squares of 2 x 2 pixels, so that noise counts less.
        - ``brightness``: mean grey value.
        - ``contrast``: standard deviation over mean; exposure alone does not change it.
        - ``density``: mean texture of small squares over that of the liveliest, which grows with the share of the image
          that holds something.
        - finest detail: energy of the Laplacian of the pixels over that of squares of 2 x 2 pixels.
        - fine detail: that of squares of 2 x 2 over that of 4 x 4 pixels.

        NaN where it is not defined, such as the brightness of an image with a mean of 0 or less.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.gamma(2.0, 50.0, (200, 200))
    >>> [round(float(v), 3) for v in appearance(2 * image) - appearance(image)]
    [0.0, 0.693, 0.0, 0.0, 0.0, 0.0]
    """
    windows = np.stack([np.asarray(plane[window], np.float64) for window in spread_windows(plane.shape)])
    if not np.isfinite(windows).all():
        windows[~np.isfinite(windows)] = np.nan
    binned = _halved(windows)
    mean = _mean(binned)
    centred = binned - mean
    variance = _mean(centred * centred)
    # less the mean, which is no detail and may be so large that it eats the digits
    energies = [_laplacian_energy(one) for one in (windows - mean, centred, _halved(centred))]
    focus = energies[1] / variance if variance > 0 else math.nan
    contrast = math.sqrt(variance) / mean if mean > 0 else math.nan
    octaves = [one / other if other > 0 else math.nan for one, other in pairwise(energies)]
    return np.array([_log(one) for one in (focus, mean, contrast, _fullness(centred), *octaves)], np.float32)


def spread_windows(shape_yx: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Spread up to 3 x 3 windows of one size evenly over a picture of the shape (Y, X)."""
    sides = [min(n, WINDOW_PX) for n in shape_yx]
    starts = [
        np.linspace(0, n - s, max(1, min(ACROSS, n // WINDOW_PX))).astype(int) if n >= 2 * WINDOW_PX else [(n - s) // 2]
        for n, s in zip(shape_yx, sides, strict=True)
    ]
    return [(slice(y, y + sides[0]), slice(x, x + sides[1])) for y in starts[0] for x in starts[1]]


def _halved(windows: Floats) -> Floats:
    """Average squares of 2 x 2 pixels of windows, shape (n, Y, X), where they are not tiny."""
    if min(windows.shape[1:]) < 16:
        return windows
    rows, columns = (n // 2 * 2 for n in windows.shape[1:])
    cut = windows[:, :rows, :columns] / 4  # divided first: the sum of four may be more than the largest number
    return np.asarray(cut[:, ::2, ::2] + cut[:, 1::2, ::2] + cut[:, ::2, 1::2] + cut[:, 1::2, 1::2])


def _mean(values: Floats) -> float:
    mean = float(values.mean(dtype=np.float64)) if values.size else math.nan
    if math.isfinite(mean):
        return mean
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if known.size else math.nan


def _laplacian_energy(values: Floats) -> float:
    if min(values.shape[1:]) < 3:
        return math.nan
    found = values[:, :-2, 1:-1] + values[:, 2:, 1:-1] + values[:, 1:-1, :-2] + values[:, 1:-1, 2:]
    found -= 4 * values[:, 1:-1, 1:-1]
    return _mean(found * found)


def _fullness(values: Floats) -> float:
    """Mean standard deviation of squares over that of the liveliest ones."""
    count, height, width = values.shape
    rows, columns = height // BLOCK_PX, width // BLOCK_PX
    if not rows or not columns:
        return math.nan
    blocks = values[:, : rows * BLOCK_PX, : columns * BLOCK_PX].reshape(count, rows, BLOCK_PX, columns, BLOCK_PX)
    sums, squares = blocks.sum(axis=(2, 4)), np.square(blocks).sum(axis=(2, 4))
    pixels = BLOCK_PX * BLOCK_PX
    spread = np.sqrt(np.maximum(squares / pixels - np.square(sums / pixels), 0)).ravel()
    spread = spread[np.isfinite(spread)]
    top = float(np.percentile(spread, LIVELY)) if spread.size else 0.0
    return float(spread.mean()) / top if top > 0 else math.nan


def _log(value: float) -> float:
    return math.log(value) if math.isfinite(value) and value > 0 else math.nan
