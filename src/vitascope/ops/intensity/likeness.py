"""Crops of a picture that is known: small versions of pictures as text, and where a crop lies on one of them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

FACTOR = 8
"""Pixels of a picture that become one of its small version, along each side."""

CROP_PX = 256
"""Side of the crops that are known again."""

FINE, COARSE = 0.7, 3.0
"""Standard deviations of the Gaussians between which structure is kept, px of the small version: light that falls off
to the corners, which pictures of one microscope share, is no likeness."""

RIM = 3
"""Pixels of a small crop whose surroundings are not in the crop."""

LEVELS = 7
CLIP = 3.0

LEAST_LIKENESS = 0.8
"""Correlation from which a crop is of a picture. Crops of other fields reach 0.6, sparse ones 0.7."""

LEAST_PLACES, LEAST_LINES = 50.0, 8.0
"""Pixels, and rows and columns, of a small crop that its structure stands in, at least: an edge on empty ground looks
like any other."""

MOST_BYTES = 400_000
"""Of small versions on one card."""

PREFIX = "look:"


def band(picture: NDArray[Any], first: tuple[int, int] = (0, 0)) -> Floats:
    """Return the structure of a picture (Y, X), small, from its pixel ``first`` on, in units of its spread.

    What is not finite counts as the mean.
    """
    values = np.asarray(picture[first[0] :, first[1] :], np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].mean() if finite.any() else 0)
    rows, columns = (n // FACTOR for n in values.shape)
    small = values[: rows * FACTOR, : columns * FACTOR].reshape(rows, FACTOR, columns, FACTOR).mean((1, 3))
    found = ndimage.gaussian_filter(small, FINE) - ndimage.gaussian_filter(small, COARSE)
    spread = float(found.std())
    return np.asarray(np.clip(found / spread, -CLIP, CLIP) if spread > 0 else np.zeros_like(found), np.float32)


def look_of(picture: NDArray[Any]) -> str:
    """Write a picture's structure as text: its look; empty where it is smaller than a crop.

    Parameters
    ----------
    picture : array, shape (Y, X)

    Returns
    -------
    str
        ``look:<height> <width> <packed levels>``, some 6 kB for 1024 x 1024 px.
    """
    if min(picture.shape) < CROP_PX:
        return ""
    found = band(picture)
    levels = np.round(found * (LEVELS / CLIP)).astype(np.int8) + LEVELS
    packed = zlib.compress(levels.tobytes(), 9)
    return f"{PREFIX}{found.shape[0]} {found.shape[1]} {base64.b85encode(packed).decode()}"


def read_look(text: str) -> Floats:
    """Read a look back, shape (h, w).

    Raises
    ------
    ValueError
        If it is none.
    """
    height, width, packed = text.removeprefix(PREFIX).split(" ", 2)
    try:
        raw = zlib.decompress(base64.b85decode(packed))
    except zlib.error as error:
        raise ValueError("the look of a picture is damaged") from error
    levels = np.frombuffer(raw, np.int8).reshape(int(height), int(width))
    return np.asarray((levels.astype(np.float32) - LEVELS) * (CLIP / LEVELS))


def likeness(crop: NDArray[Any], looks: Iterable[Floats]) -> float:
    """Return the highest correlation of a crop with any place of any of some pictures.

    Parameters
    ----------
    crop : array, shape (Y, X), each side at least :data:`CROP_PX`
        At the scale of the pictures, turned as they are.
    looks : iterable of array, each (h, w)

    Returns
    -------
    float, -1 to 1
        0 where no picture is as large as the crop, or the crop shows nothing.
    """
    half = FACTOR // 2  # a crop may begin anywhere; a quarter of a small pixel does not matter
    inner = (slice(RIM, -RIM), slice(RIM, -RIM))
    parts = [band(crop, (y, x))[inner] for y in (0, half) for x in (0, half)]
    if not all(_tells(part) for part in parts):
        return 0.0
    return max([0.0, *(_best(part, look) for look in looks for part in parts)])


def _tells(part: Floats) -> bool:
    """Whether a part's structure stands in many pixels, rows and columns, not in an edge or a spot."""
    squares = (part - part.mean()).astype(np.float64) ** 2
    sums = (squares.ravel(), squares.sum(0), squares.sum(1))
    least = (LEAST_PLACES, LEAST_LINES, LEAST_LINES)
    return all(_count(values) >= n for values, n in zip(sums, least, strict=True))


def _count(values: NDArray[np.float64]) -> float:
    """Return over how many of some numbers their sum is spread: all of them where they are alike."""
    total = float(values.sum())
    return total**2 / float((values**2).sum()) if total > 0 else 0.0


def _best(part: Floats, look: Floats) -> float:
    """Return the highest correlation of a part with the places of a look that hold all of it."""
    if any(m > n for m, n in zip(part.shape, look.shape, strict=True)) or not part.std() > 0:
        return 0.0
    from scipy import fft  # takes long to import, and most models have no looks

    part = part - part.mean()
    shape = [fft.next_fast_len(n, real=True) for n in look.shape]
    spectrum = fft.rfft2(look, shape)
    rows, columns = (n - m + 1 for m, n in zip(part.shape, look.shape, strict=True))
    shared = fft.irfft2(spectrum * np.conj(fft.rfft2(part, shape)), shape)[:rows, :columns]
    sums, squares = (_box(values, part.shape) for values in (look, look**2))
    spread = np.sqrt(np.maximum(squares - sums**2 / part.size, 0.1 * part.size / CLIP**2))
    return float((shared / (spread * np.linalg.norm(part))).max())


def _box(values: Floats, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sums over all windows of a shape that lie inside."""
    total = np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = shape
    return np.asarray(total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w])


def crops_of(plane: Any) -> list[NDArray[Any]]:
    """Return crops of a plane (Y, X), numpy or dask, that stand for it: its middle, then four about it."""
    if min(plane.shape) < CROP_PX:
        return []
    places = [(0.5, 0.5), (0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8)]
    starts = {tuple(int((n - CROP_PX) * f) for n, f in zip(plane.shape, place, strict=True)): None for place in places}
    return [np.asarray(plane[y : y + CROP_PX, x : x + CROP_PX]) for y, x in starts]


def kept_looks(texts: Sequence[str]) -> list[str]:
    """Return as many looks as a card holds, spread over all."""
    found = list(dict.fromkeys(t for t in texts if t))
    while found and sum(map(len, found)) > MOST_BYTES:
        found = found[::2] if len(found) > 1 else []
    return found
