"""Do image and stain lie on each other? The shift between two pictures of one field, whatever they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float64]

TEXTURE_PX = 3
MOST_PX = 1024
LEAST_SIDE_PX = 32
FURTHEST = 0.25
LEAST_GAIN = 0.02
LEAST_PROMINENCE = 5.0
HIGH = 0.3
"""A correlation that pictures of different fields do not reach."""

PLAIN = 0.6
"""A correlation that needs no second look."""

PARTS, LEAST_PART = 3, 0.1
"""Bands of rows, and of columns, in each of which a shift must gain this share of what all gain on average."""


@dataclass(frozen=True)
class Shift:
    """Where one picture lies against another.

    Parameters
    ----------
    y_px, x_px : float
        Move the second picture by this to lay it on the first.
    correlation : float
        Of the textures there.
    sure : bool
        Whether it stands out from the correlation at other shifts; otherwise the pictures tell nothing of it.
    """

    y_px: float
    x_px: float
    correlation: float
    sure: bool

    @property
    def length_px(self) -> float:
        """How far it is."""
        return float(np.hypot(self.y_px, self.x_px))


def estimate_shift(first: NDArray[Any], second: NDArray[Any]) -> Shift:
    """Estimate the shift between two pictures of one field by correlating their textures.

    A label-free image and its stain have no grey values in common, but both are uneven where the cells are. Compared
    are logarithms of the local standard deviation, by Fourier transform of the middle (at most 1024 px a side).

    Parameters
    ----------
    first, second : array, shape (Y, X), real, the same shape
        What is not finite counts as the mean.

    Returns
    -------
    Shift
        Up to a quarter of the side; to a tenth of a pixel by a parabola through the peak.
    """
    sides = [min(n, MOST_PX) for n in first.shape]
    middle = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(first.shape, sides, strict=True))
    if min(sides) < LEAST_SIDE_PX:
        return Shift(0.0, 0.0, 0.0, sure=False)
    a, b = (_texture(p[middle]) for p in (first, second))
    length = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if not length > 0:
        return Shift(0.0, 0.0, 0.0, sure=False)
    shape = [fft.next_fast_len(2 * n) for n in sides]
    spectrum = fft.rfft2(a, shape) * np.conj(fft.rfft2(b, shape))
    plane = fft.fftshift(fft.irfft2(spectrum, shape)) / length
    reach = [int(n * FURTHEST) for n in sides]
    zero = [n // 2 for n in shape]
    near = plane[tuple(slice(z - r, z + r + 1) for z, r in zip(zero, reach, strict=True))]
    y, x = (int(n) for n in np.unravel_index(int(near.argmax()), near.shape))
    peak = float(near[y, x])
    prominence = (peak - float(np.median(near))) / (1.4826 * float(np.median(np.abs(near - np.median(near)))) + 1e-12)
    gain = peak - float(near[reach[0], reach[1]])
    still = (y, x) == (reach[0], reach[1])
    sure = (peak > HIGH or prominence > LEAST_PROMINENCE) and (still or gain > LEAST_GAIN)
    if sure and not still and peak < PLAIN:
        sure = _seen_everywhere(a, b, y - reach[0], x - reach[1])
    return Shift(y - reach[0] + _vertex(near[:, x], y), x - reach[1] + _vertex(near[y], x), peak, sure)


def _seen_everywhere(first: Floats, second: Floats, down: int, across: int) -> bool:
    """Tell whether each part of a picture by itself agrees better with the other shifted than as it lies.

    A real shift is one of the whole picture; a few objects that happen to fall on others gain in one place only.

    Parameters
    ----------
    first, second : array, shape (Y, X)
        Textures.
    down, across : int
        By which the second is moved, px.
    """
    here = [slice(max(0, by), n + min(0, by)) for n, by in zip(first.shape, (down, across), strict=True)]
    there = [slice(max(0, -by), n - max(0, by)) for n, by in zip(first.shape, (down, across), strict=True)]
    gained = first * 0
    gained[here[0], here[1]] = first[here[0], here[1]] * second[there[0], there[1]]
    gained -= first * second
    whole = float(gained.sum())
    bands = [half for axis in (0, 1) for half in np.array_split(gained, PARTS, axis)]
    return whole > 0 and all(float(band.sum()) > LEAST_PART * whole / PARTS for band in bands)


def _texture(picture: NDArray[Any]) -> Floats:
    """Return how uneven a picture is from place to place, slow changes taken out, fading to the edges."""
    values = np.asarray(picture, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape)
    values = np.where(finite, values, values[finite].mean())
    spread = values.std()
    if not spread > 0:
        return np.zeros(values.shape)
    values = (values - values.mean()) / spread
    mean = ndimage.gaussian_filter(values, TEXTURE_PX)
    variance = np.maximum(ndimage.gaussian_filter(values**2, TEXTURE_PX) - mean**2, 0)
    texture = np.log(variance + 1e-3)
    texture -= ndimage.gaussian_filter(texture, max(8.0, min(values.shape) / 16))
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in values.shape))
    return np.asarray((texture - np.average(texture, weights=window)) * window)


def _vertex(line: Floats, at: int) -> float:
    """Return how far the vertex of the parabola through a peak and its neighbours lies from the peak."""
    if not 0 < at < len(line) - 1:
        return 0.0
    left, middle, right = (float(v) for v in line[at - 1 : at + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
