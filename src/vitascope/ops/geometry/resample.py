"""Bring a picture to another pixel size, window by window, with the same answer whatever the windows.

Each output pixel is a fixed weighted sum of input pixels: linear interpolation, preceded by a Gaussian when shrinking
so that detail finer than the new grid does not alias. Pixel centres lie at half-integers and the outer edges of both
grids coincide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.tiling.tiles import reflect_index


@dataclass(frozen=True)
class AxisMap:
    """How one axis of ``length_in`` pixels becomes one of ``length_out``; both >= 1."""

    length_in: int
    length_out: int

    @property
    def step(self) -> float:
        """Input pixels per output pixel."""
        return self.length_in / self.length_out

    @property
    def sigma_px(self) -> float:
        """Standard deviation of the smoothing, in input pixels: (step - 1) / 2 when shrinking, else 0."""
        return max(0.0, (self.step - 1) / 2)

    @property
    def reach_px(self) -> int:
        """How many input pixels on each side of its centre an output pixel draws from."""
        return int(np.ceil(4 * self.sigma_px)) + 1

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the input range that output pixels ``start:stop`` draw from; may lie outside the image."""
        first = int(np.floor((start + 0.5) * self.step - 0.5)) - self.reach_px
        last = int(np.floor((stop - 0.5) * self.step - 0.5)) + 1 + self.reach_px
        return first, last + 1

    def taps(self, start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return, for each output pixel, input indices counted from ``span``'s start, and weights that sum to 1.

        Returns
        -------
        tuple
            Indices (n, taps) and weights (n, taps).
        """
        first, _ = self.span(start, stop)
        centre = (np.arange(start, stop) + 0.5) * self.step - 0.5
        base = np.floor(centre).astype(np.intp)
        offsets = np.arange(-self.reach_px, self.reach_px + 2)
        distance = base[:, None] + offsets[None] - centre[:, None]
        if self.sigma_px > 0:
            weights = np.exp(-0.5 * (distance / self.sigma_px) ** 2)
            weights[np.abs(distance) > 4 * self.sigma_px] = 0
            weights += 1e-12 * np.maximum(0, 1 - np.abs(distance))
        else:
            weights = np.maximum(0.0, 1.0 - np.abs(distance))
        weights /= weights.sum(axis=1, keepdims=True)
        return base[:, None] + offsets[None] - first, weights.astype(np.float32)


def resample_axis(
    block: NDArray[np.float32], mapping: AxisMap, start: int, stop: int, axis: int
) -> NDArray[np.float32]:
    """Resample one axis of a block that holds ``mapping.span(start, stop)`` of it."""
    index, weights = mapping.taps(start, stop)
    moved = np.moveaxis(block, axis, 0)
    out = np.zeros((stop - start, *moved.shape[1:]), np.float32)
    for tap in range(index.shape[1]):
        column = weights[:, tap].reshape(-1, *([1] * (moved.ndim - 1)))
        if column.any():
            out += column * moved[index[:, tap]]
    return np.moveaxis(out, 0, axis)


Window = tuple[slice, ...]
"""Slices (y, x) of a picture or (z, y, x) of a volume; may reach beyond it."""

Reader = Callable[[Any], NDArray[np.float32]]
"""Reads a :data:`Window`, as (C, h, w) or (C, d, h, w) float32."""


def resampled_reader(read: Reader, shape_in: tuple[int, ...], shape_out: tuple[int, ...]) -> Reader:
    """Wrap a reader of a picture or volume so that it reads it at another size.

    Parameters
    ----------
    read : Reader
        Of the picture of ``shape_in``; continues by reflection beyond its edges.
    shape_in, shape_out : tuple of int
        (Depth,) height and width before and after.

    Returns
    -------
    Reader
    """
    if shape_in == shape_out:
        return read
    maps = [AxisMap(a, b) for a, b in zip(shape_in, shape_out, strict=True)]

    def read_resampled(window: Window) -> NDArray[np.float32]:
        inside = [(reflect_index(w.start, w.stop, m.length_out), m) for w, m in zip(window, maps, strict=True)]
        ranges = [(int(i.min()), int(i.max()) + 1) for i, _ in inside]
        spans = [m.span(*r) for r, (_, m) in zip(ranges, inside, strict=True)]
        block = read(tuple(slice(*s) for s in spans))
        for axis, (r, (_, m)) in enumerate(zip(ranges, inside, strict=True)):
            if m.length_in == m.length_out:
                block = block[(slice(None),) * (axis + 1) + (slice(r[0] - spans[axis][0], r[1] - spans[axis][0]),)]
            else:
                block = resample_axis(block, m, r[0], r[1], axis + 1)
        return _take(block, [i - r[0] for r, (i, _) in zip(ranges, inside, strict=True)])

    return read_resampled


def array_reader(array: NDArray[np.float32]) -> Reader:
    """Read windows of a (C, H, W) array, lazy or not, continued by reflection."""
    return _reader(array, tuple(array.shape[-2:]))


def volume_reader(array: Any) -> Reader:
    """Read windows of a (C, D, H, W) array, lazy or not, continued by reflection."""
    return _reader(array, tuple(array.shape[-3:]))


def _reader(array: Any, shape: tuple[int, ...]) -> Reader:
    def fetch(window: Window) -> NDArray[np.float32]:
        return np.asarray(array[(slice(None), *window)])

    def read(window: Window) -> NDArray[np.float32]:
        return read_reflected(fetch, shape, window)

    return read


def read_reflected(fetch: Reader, shape: tuple[int, ...], window: Window) -> NDArray[np.float32]:
    """Fetch a window of a picture or volume, reflecting at its edges what lies outside.

    Parameters
    ----------
    fetch : Reader
        Called once, for slices inside the picture.
    shape : tuple of int
        (Depth,) height and width of the picture.
    window : tuple of slices
        May reach beyond the picture on any side.
    """
    index = [reflect_index(w.start, w.stop, n) for w, n in zip(window, shape, strict=True)]
    low = [int(i.min()) for i in index]
    block = fetch(tuple(slice(a, int(i.max()) + 1) for a, i in zip(low, index, strict=True)))
    if all(w.start >= 0 and w.stop <= n for w, n in zip(window, shape, strict=True)):
        return block
    return _take(block, [i - a for a, i in zip(low, index, strict=True)])


def _take(block: NDArray[np.float32], index: list[NDArray[np.intp]]) -> NDArray[np.float32]:
    """Take places along the last axes, one list for each."""
    for axis, places in enumerate(index, start=block.ndim - len(index)):
        block = block[(slice(None),) * axis + (places,)]
    return block
