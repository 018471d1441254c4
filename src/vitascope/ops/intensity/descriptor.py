"""What a picture looks like, in a few numbers that depend on neither its size, scale of grey nor content's place."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from vitascope.ops.intensity.gaussian import slope_and_laplace
from vitascope.ops.intensity.rank import percentile

SIDE_PX, MOST_PX = 128, 256
"""The shorter side is brought to the first, and no more than the second is looked at along the longer one."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BANDS = (0, 1 / 64, 1 / 32, 1 / 16, 1 / 11, 1 / 8, 1 / 5.6, 1 / 4, 1 / 2.8, 1 / 2)
"""Limits of the bands of spatial frequency, cycles a pixel."""

DIRECTED = ((1 / 64, 1 / 16), (1 / 16, 1 / 5), (1 / 5, 1 / 2))
SCALES_PX = (0.7, 1.5, 3.0, 6.0)
RINGS = ((0, 0.35), (0.35, 0.7), (0.7, 1), (1, 2))
"""Distance from the middle, in half sides: where light and detail lie."""

STEP = 16
"""Every so manieth row and column tells about how bright a picture is."""

TINY = 1e-12
LENGTH = 53


def describe_picture(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Describe a grey picture.

    Quantiles, skewness and kurtosis of its grey values between their 0.5 and 99.5 % quantile; the share of its power in
    bands of frequency, and how far it lies along one or two directions; gradients and Laplacians at four scales, with
    their skewness and kurtosis; how much of it is flat; brightness and contrast in rings around its middle.

    Parameters
    ----------
    picture : array, shape (Y, X), real and finite, at least 8 px a side

    Returns
    -------
    array, shape (53,), float32
    """
    small = _to_size(picture)
    values = small.ravel()
    low, high = (float(percentile(values, percent)) for percent in (0.5, 99.5))
    grey = np.clip((small - low) / max(high - low, 1e-9), 0, 1)
    even = (small - small.mean()) / max(small.std(), 1e-9)
    square = even * even  # products, for numpy raises to the third and fourth power by logarithms, ten times as slowly
    found = [*np.quantile(grey, QUANTILES), np.tanh((square * even).mean() / 3)]
    found += [np.log(max((square * square).mean(), 1e-3))]
    found += [*_spectrum(even), *_texture(even), *_flatness(grey), *_rings(grey)]
    return np.array(found, np.float32)


def _to_size(picture: NDArray[Any]) -> NDArray[np.float64]:
    zoom = SIDE_PX / min(picture.shape)
    if zoom < 1:
        down, across = (_shrinking(length, zoom) for length in picture.shape)
        picture = (across @ np.ascontiguousarray((down @ _from_its_middle(picture)).T)).T
    elif zoom > 1:
        picture = ndimage.zoom(np.asarray(picture, np.float64), zoom, order=1)[:MOST_PX, :MOST_PX]
    return np.ascontiguousarray(picture, np.float64)


def _from_its_middle(picture: NDArray[Any]) -> NDArray[Any]:
    """Take a typical grey value off, which no number here depends on: 32 bit then hold any noise of 16 bit."""
    middle = picture[::STEP, ::STEP].mean(dtype=np.float64)
    narrow = picture.dtype.itemsize <= 2 or picture.dtype == np.float32
    return np.asarray(np.subtract(picture, middle, dtype=np.float32 if narrow else np.float64))


@lru_cache(maxsize=8)
def _shrinking(length: int, zoom: float) -> sparse.csr_array:
    """Blur and linear interpolation of one axis as a matrix, (at most :data:`MOST_PX`, length).

    The picture is blurred where it is looked at and nowhere else: for a picture of 2,000 px that is a fifteenth of the
    work of ``zoom(gaussian_filter(picture))`` and the same numbers, for both do the same to each axis in turn.
    """
    blurred = ndimage.gaussian_filter1d(np.eye(length), 0.5 * (1 / zoom - 1), axis=0)
    return sparse.csr_array(ndimage.zoom(blurred, (zoom, 1), order=1)[:MOST_PX].astype(np.float32))


@lru_cache(maxsize=8)
def _frequencies(height: int, width: int) -> tuple[NDArray[Any], list[NDArray[Any]], list[tuple[NDArray[Any], ...]]]:
    """Return a window (Y, X), and of the spectrum of a picture what lies in each band, as places in its ravelled array.

    Of the bands that are told by direction, the second and the fourth harmonic of the angle there besides.
    """
    window = np.hanning(height)[:, None] * np.hanning(width)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    frequency, angle = np.hypot(fy, fx).ravel(), np.arctan2(fy, fx).ravel()

    def within(low: float, high: float) -> NDArray[np.intp]:
        return np.flatnonzero((frequency >= low) & (frequency < high))

    directed = []
    for low, high in DIRECTED:
        part = within(low, high)
        directed.append((part, *(np.exp(1j * n * angle[part]) for n in (2, 4))))
    return window, [within(low, high) for low, high in pairwise(BANDS)], directed


def _spectrum(even: NDArray[np.float64]) -> list[float]:
    window, parts, directed = _frequencies(*even.shape)
    spectrum = np.fft.fft2(even * window)
    power = (spectrum.real**2 + spectrum.imag**2).ravel()
    bands = np.array([power[part].sum() for part in parts])
    found = np.log10(bands / max(bands.sum(), TINY) + 1e-6).tolist()
    for part, *turns in directed:
        here = power[part]
        total = max(here.sum(), TINY)
        found += [float(np.abs((here * turn).sum()) / total) for turn in turns]
    return list(found)


def _texture(even: NDArray[np.float64]) -> list[float]:
    found: list[float] = []
    for scale in SCALES_PX:
        steep, curved = (one.astype(np.float64) for one in slope_and_laplace(even, scale))
        curved *= scale**2
        steep2, curved2 = steep * steep, curved * curved
        variance = max(float(curved2.mean()), TINY)
        found += [
            float(np.log(steep.mean() * scale + 1e-3)),
            float(np.log((steep2 * steep2).mean() / max(steep2.mean() ** 2, TINY) + 1e-3)),
            float(np.tanh((curved2 * curved).mean() / variance**1.5 / 5)),
            float(np.log((curved2 * curved2).mean() / variance**2 + 1e-3)),
            float(np.log(curved.std() + 1e-3)),
        ]
    return found


def _flatness(grey: NDArray[np.float64]) -> list[float]:
    spread = ndimage.maximum_filter(grey, 3) - ndimage.minimum_filter(grey, 3)
    return [float((spread < 0.004).mean()), float((spread < 0.02).mean()), float((spread > 0.5).mean())]


@lru_cache(maxsize=8)
def _ring_places(height: int, width: int) -> list[NDArray[np.intp]]:
    """Return what of a picture lies in each of the :data:`RINGS`, as places in its ravelled array."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot((y - height / 2) / (height / 2), (x - width / 2) / (width / 2)).ravel()
    return [np.flatnonzero((away >= low) & (away < high)) for low, high in RINGS]


def _rings(grey: NDArray[np.float64]) -> list[float]:
    values = grey.ravel()
    parts = [values[places] for places in _ring_places(*grey.shape)]
    return [float(part.mean()) for part in parts] + [float(np.log(part.std() + 1e-3)) for part in parts]
