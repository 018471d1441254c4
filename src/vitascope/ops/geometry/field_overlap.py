"""Do two pictures show some of the same place? Where one lies on the other, by phase correlation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float32]

WORK_PX = 384
"""Longest side that pictures are compared at: a strip of 5 % of it still holds thousands of pixels."""

LEAST_OVERLAP = 0.04
"""Share of the smaller picture from which two fields count as overlapping: 5 %, less what rounding takes off."""

LEAST_CORRELATION = 0.5
"""Of the shared part. Strips of pictures that share nothing reach 0.35."""

LEAST_SHIFT = 0.02
"""Share of the side below which two pictures are one field twice, not two fields that overlap: marks that belong to
the camera or to the rim of a well lie there."""

LEAST_PX = 1000
"""Pixels of the small pictures that must be shared: fewer agree by chance."""

PEAKS = 10

WHITENING = 0.75
"""1 for phase correlation, 0 for plain correlation; in between noise counts for less."""

FINE, COARSE = 1.0, 8.0
"""Standard deviations of the two Gaussians between which structure is compared, px of the small picture."""

CLIP = 3.0


@dataclass(frozen=True)
class Overlap:
    """How two fields lie on each other.

    Parameters
    ----------
    share : float, 0 to 1
        Of the smaller field that the other shows too; 0 where none is found.
    y_px, x_px : float
        Where the second field's first pixel lies on the first field, px.
    correlation : float
        Of the shared part.
    """

    share: float = 0.0
    y_px: float = 0.0
    x_px: float = 0.0
    correlation: float = 0.0


@dataclass(frozen=True, eq=False)
class SmallField:
    """A picture made ready to be compared: small, without slow changes, in units of its own spread.

    Parameters
    ----------
    values : array, shape (h, w), float32
    factor : int
        Pixels of the picture in one of it.
    """

    values: Floats
    factor: int


def small_field(picture: NDArray[Any], factor: int) -> SmallField:
    """Make a picture (Y, X) ready; ``factor`` of its pixels become one, along each side.

    What is not finite counts as the mean.
    """
    values = np.asarray(picture, np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].mean() if finite.any() else 0)
    sides = [n // factor for n in values.shape]
    values = values[: sides[0] * factor, : sides[1] * factor]
    small = values.reshape(sides[0], factor, sides[1], factor).mean((1, 3))
    band = ndimage.gaussian_filter(small, FINE, mode="reflect") - ndimage.gaussian_filter(small, COARSE, mode="reflect")
    spread = float(band.std())
    band = np.clip(band / spread, -CLIP, CLIP) if spread > 0 else np.zeros_like(band)
    return SmallField(np.asarray(band, np.float32), factor)


def common_factor(shapes: list[tuple[int, ...]]) -> int:
    """Return the factor that brings the longest side of all pictures to :data:`WORK_PX` or less."""
    return max(1, -(-max(max(shape) for shape in shapes) // WORK_PX))


def find_overlap(first: SmallField, second: SmallField) -> Overlap:
    """Find how a field lies on another one, by the peaks of their phase correlation.

    Parameters
    ----------
    first, second : SmallField
        Made by the same factor.

    Returns
    -------
    Overlap
        ``share`` is 0 where no shift lays at least :data:`LEAST_OVERLAP` of the smaller field on the other so that
        they correlate.
    """
    a, b = first.values, second.values
    if min(*a.shape, *b.shape) < 8 or not (a.any() and b.any()):
        return Overlap()
    shape = [fft.next_fast_len(m + n, real=True) for m, n in zip(a.shape, b.shape, strict=True)]
    spectrum = fft.rfft2(a, shape) * np.conj(fft.rfft2(b, shape))
    size = np.abs(spectrum)
    plane = fft.irfft2(spectrum / np.maximum(size, 1e-6 * float(size.max())) ** WHITENING, shape)
    best = Overlap()
    for y, x in _peaks(plane, shape, a.shape):
        found = _judged(a, b, y, x, first.factor)
        if found.correlation > best.correlation:
            best = found
    return best


def _peaks(plane: Floats, shape: list[int], first: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the shifts of the highest peaks, each apart from the others."""
    left = plane.copy()
    found = []
    for _ in range(PEAKS):
        at = np.unravel_index(int(left.argmax()), left.shape)
        rows, columns = (np.arange(int(n) - 2, int(n) + 3) % length for n, length in zip(at, shape, strict=True))
        left[np.ix_(rows, columns)] = -np.inf
        y, x = (int(n) if n < side else int(n) - length for n, side, length in zip(at, first, shape, strict=True))
        found.append((y, x))
    return found


def _judged(a: Floats, b: Floats, y: int, x: int, factor: int) -> Overlap:
    """Lay ``b`` on ``a`` with its first pixel at (y, x), and correlate what they share."""
    if np.hypot(y, x) < LEAST_SHIFT * min(*a.shape, *b.shape):
        return Overlap()
    rows, columns = ((max(0, s), min(m, n + s)) for s, m, n in zip((y, x), a.shape, b.shape, strict=True))
    area = max(0, rows[1] - rows[0]) * max(0, columns[1] - columns[0])
    share = area / min(a.size, b.size)
    if share < LEAST_OVERLAP or area < LEAST_PX:
        return Overlap()
    one = a[rows[0] : rows[1], columns[0] : columns[1]]
    other = b[rows[0] - y : rows[1] - y, columns[0] - x : columns[1] - x]
    if not one.std() > 0 or not other.std() > 0:
        return Overlap()
    r = float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    return Overlap(share, y * factor, x * factor, r) if r >= LEAST_CORRELATION else Overlap()


def overlapping_fields(
    pictures: Sequence[NDArray[Any]], may: Callable[[int, int], bool]
) -> dict[tuple[int, int], Overlap]:
    """Return the overlaps of all pairs of pictures.

    Parameters
    ----------
    pictures : sequence of array, each (Y, X)
    may : callable
        Tells of two numbers whether these pictures may overlap at all; others are not looked at.
    """
    if len(pictures) < 2:
        return {}
    factor = common_factor([p.shape for p in pictures])
    fields = [small_field(p, factor) for p in pictures]
    found = {}
    for i, j in combinations(range(len(fields)), 2):
        if may(i, j) and (one := find_overlap(fields[i], fields[j])).share > 0:
            found[i, j] = one
    return found


Rectangle = tuple[float, float, float, float]
"""Where a field lies on the stage: y, x, height and width, µm."""


def shared_on_stage(first: Rectangle, second: Rectangle) -> float:
    """Return the share of the smaller of two fields that the other covers, as their stage positions tell.

    Examples
    --------
    >>> shared_on_stage((0, 0, 100, 200), (0, 180, 100, 200)), shared_on_stage((0, 0, 10, 10), (0, 10, 10, 10))
    (0.1, 0.0)
    """
    corners = zip(first[:2], second[:2], first[2:], second[2:], strict=True)
    sides = [min(a + m, b + n) - max(a, b) for a, b, m, n in corners]
    if min(sides) <= 0:
        return 0.0
    return sides[0] * sides[1] / min(first[2] * first[3], second[2] * second[3])


def join_overlaps(
    pictures: Sequence[NDArray[Any]],
    groups: Sequence[str],
    wells: Sequence[tuple[str, str]] = (),
    places: Sequence[Rectangle | None] = (),
) -> list[str]:
    """Give fields that overlap in part the group of the first of them.

    They do where the positions of the stage say so, and where a shift lays what one shows on the other.

    Parameters
    ----------
    pictures : sequence of array, each (Y, X)
    groups : sequence of str
    wells : sequence of tuple, optional
        Plate and well of each; fields of two wells that are known do not overlap.
    places : sequence of tuple or None, optional
        Where each lies on the stage.

    Returns
    -------
    list of str
        Groups; those that share a piece of the sample have become one.

    References
    ----------
    Pankova 2022 (seed 004), section 2.3.2.1: neighbouring fields overlap, and must not stand on both sides of a split.
    """

    def may(i: int, j: int) -> bool:
        apart = bool(wells) and bool(wells[i][1] and wells[j][1]) and wells[i] != wells[j]
        return groups[i] != groups[j] and not apart

    def on_stage(i: int, j: int) -> bool:
        one, other = places[i], places[j]
        return one is not None and other is not None and shared_on_stage(one, other) >= LEAST_OVERLAP

    pairs = combinations(range(len(places)), 2)
    told = [(i, j) for i, j in pairs if may(i, j) and on_stage(i, j)]
    names = list(groups)
    for i, j in (*told, *overlapping_fields(pictures, lambda i, j: may(i, j) and (i, j) not in told)):
        first, other = names[i], names[j]
        names = [first if n == other else n for n in names]
    return names
