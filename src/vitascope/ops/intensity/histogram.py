"""Grey values of a whole image, counted block by block: one histogram, whatever its size and chunks.

Everything global about an image is read off here: normalisation, percentiles, global thresholds, saturation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.core.progress import Progress, ProgressGenerator, run_to_end
from vitascope.ops.tiling.chunks import PIXELS_AT_ONCE, chunk_slices, read_piece

BINS = 65536
PILE, PILE_NEIGHBOURS = 3, 5
"""Pixels at an end pile up when they are so many times those of any of so many values beside it. The tail of a picture
that was not cut off grows towards its middle, so that the ratio stays below 1; noise of few pixels seldom reaches 2."""
EXACT_FLOAT_INTEGERS = 2**53


@dataclass(frozen=True)
class ValueRange:
    """Extremes of the finite pixels, and how many pixels are not finite.

    Parameters
    ----------
    minimum, maximum : float
        NaN where no pixel is finite.
    pixels : int
        All pixels.
    nan, infinite : int
        Pixels that are NaN, and that are plus or minus infinity.
    """

    minimum: float
    maximum: float
    pixels: int
    nan: int
    infinite: int

    @property
    def finite(self) -> int:
        """Number of finite pixels."""
        return self.pixels - self.nan - self.infinite

    @property
    def not_finite_fraction(self) -> float:
        """Share of the pixels that are NaN or infinite, 0 to 1; 0 for an array without pixels."""
        return (self.nan + self.infinite) / self.pixels if self.pixels else 0.0

    @property
    def constant(self) -> bool:
        """Whether there are finite pixels and all of them are equal."""
        return self.finite > 0 and self.minimum == self.maximum


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often each grey value occurs among the finite pixels.

    Parameters
    ----------
    counts : array, shape (K,), int64
        Integers (``exact``): one bin per value from ``minimum`` to ``maximum``. Otherwise K = 65,536 bins of equal
        width between the finite minimum and maximum; the maximum belongs to the last bin. One bin if constant.
    range : ValueRange
    exact : bool
        Whether every bin is one grey value.
    at_low, at_high : int
        Pixels equal to minimum and maximum where they pile up there, see :func:`piled_up`; else 0. A minimum above 0
        is no end of a scale: many pictures have an even ground. The same whatever type of number the picture is stored
        as.
    integers : bool
        Whether the pixels are integers.
    """

    counts: NDArray[np.int64]
    range: ValueRange
    exact: bool
    at_low: int
    at_high: int
    integers: bool

    @property
    def width(self) -> float:
        """Width of a bin, in grey values; 0 for a constant float image."""
        if self.exact:
            return 1.0
        return self.range.maximum / len(self.counts) - self.range.minimum / len(self.counts)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centre of every bin, shape (K,), in grey values."""
        steps = np.arange(len(self.counts)) + (0.0 if self.exact else 0.5)
        return np.asarray(self.range.minimum + steps * self.width, np.float64)

    @property
    def saturated_fraction(self) -> float:
        """Share of the finite pixels that pile up at the ends of the values, 0 to 1."""
        return (self.at_low + self.at_high) / self.range.finite if self.range.finite else 0.0

    def coarse(self, bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Merge neighbouring bins until there are at most so many.

        Parameters
        ----------
        bins : int, >= 1

        Returns
        -------
        tuple of array
            Counts (int64) and centres (grey values) of the merged bins.
        """
        group = -(-len(self.counts) // bins)
        padded = np.pad(self.counts, (0, -len(self.counts) % group))
        counts = padded.reshape(-1, group).sum(1)
        first = self.range.minimum + (0.0 if self.exact else 0.5 * self.width)
        centres = first + (np.arange(len(counts)) * group + (group - 1) / 2) * self.width
        return counts, np.asarray(centres, np.float64)

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return percentiles of the finite pixels, interpolated linearly between ranks.

        Exact for integers of one bin per value. For floats a rank stands for the centre of its bin (the first and the
        last rank for minimum and maximum), so the error is at most half a bin: (maximum - minimum) / 131,072.

        Parameters
        ----------
        *percents : float, 0 to 100

        Returns
        -------
        tuple of float
            Grey values.

        Raises
        ------
        InputError
            If no pixel is finite.
        """
        if not self.range.finite:
            raise InputError(
                "No pixel of the image is a finite number.", "Check how it was saved.", flag="no_finite_pixels"
            )
        ranks = np.asarray(percents, np.float64) / 100 * (self.range.finite - 1)
        lower = np.floor(ranks).astype(np.int64)
        low, high = self._ranked(lower), self._ranked(np.ceil(ranks).astype(np.int64))
        return tuple(float(v) for v in low + (high - low) * (ranks - lower))

    def _ranked(self, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        bins = np.searchsorted(np.cumsum(self.counts), ranks, side="right")
        values = self.centres[bins]
        values = np.where(ranks == 0, self.range.minimum, values)
        return np.where(ranks == self.range.finite - 1, self.range.maximum, values)


def count_values(
    array: Any, *, max_pixels: int = PIXELS_AT_ONCE, stage: str = "Counting grey values"
) -> ProgressGenerator[Histogram]:
    """Count the grey values of an array of any size, block by block.

    The result does not depend on chunks or block size. Integers whose values span no more than 65,536 (all 8- and
    16-bit images) are counted exactly; wider integers as 64-bit floats.

    Parameters
    ----------
    array : numpy, dask or zarr array of real numbers, any dimensions and byte order
    max_pixels : int, >= 1
        Pixels held in memory at once.
    stage : str
        What the progress is called.

    Yields
    ------
    Progress

    Returns
    -------
    Histogram
    """
    dtype = np.dtype(array.dtype)
    pieces = chunk_slices(array, max_pixels)
    passes = 1 if _is_narrow(dtype) else 2
    scan = _RangeScan()
    if passes == 2:
        for done, piece in enumerate(pieces, 1):
            scan.add(read_piece(array, piece))
            yield Progress(done, 2 * len(pieces), stage)
    tally = _Tally(dtype, *_bounds(dtype, scan))
    for done, piece in enumerate(pieces, 1 + (passes - 1) * len(pieces)):
        tally.add(read_piece(array, piece))
        yield Progress(done, passes * len(pieces), stage)
    return tally.histogram(scan)


def histogram(array: Any, *, max_pixels: int = PIXELS_AT_ONCE) -> Histogram:
    """Count the grey values of an array and wait for the result; see :func:`count_values`.

    Examples
    --------
    >>> counted = histogram(np.array([[3, 5], [5, 9]], np.uint16))
    >>> counted.counts.tolist(), counted.percentiles(50)
    ([1, 0, 2, 0, 0, 0, 1], (5.0,))
    """
    return run_to_end(count_values(array, max_pixels=max_pixels))


def scan_range(
    array: Any, *, max_pixels: int = PIXELS_AT_ONCE, stage: str = "Reading the range of values"
) -> ProgressGenerator[ValueRange]:
    """Find the extremes of an array and count what is not finite, in one pass.

    Parameters
    ----------
    array : numpy, dask or zarr array of real numbers, any dimensions and byte order
    max_pixels : int, >= 1
    stage : str

    Yields
    ------
    Progress

    Returns
    -------
    ValueRange
    """
    pieces = chunk_slices(array, max_pixels)
    scan = _RangeScan()
    for done, piece in enumerate(pieces, 1):
        scan.add(read_piece(array, piece))
        yield Progress(done, len(pieces), stage)
    return scan.value_range()


class _RangeScan:
    """Extremes so far, as Python numbers, so that 64-bit integers stay exact."""

    def __init__(self) -> None:
        self.low: int | float | None = None
        self.high: int | float | None = None
        self.pixels = self.nan = self.infinite = 0

    def add(self, block: NDArray[Any]) -> None:
        self.pixels += block.size
        if block.dtype.kind == "f":
            finite = np.isfinite(block)
            if not finite.all():
                nan = int(np.isnan(block).sum())
                self.nan += nan
                self.infinite += block.size - nan - int(finite.sum())
                block = block[finite]
        if block.size:
            low, high = block.min().item(), block.max().item()
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)

    def value_range(self) -> ValueRange:
        low = np.nan if self.low is None else float(self.low)
        high = np.nan if self.high is None else float(self.high)
        return ValueRange(low, high, self.pixels, self.nan, self.infinite)


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """Tell whether each value of the type can have its own bin, so that one pass will do."""
    return dtype.kind in "biu" and dtype.itemsize <= 2


def _bounds(dtype: np.dtype[Any], scan: _RangeScan) -> tuple[int | float, int | float]:
    if dtype.kind == "b":
        return 0, 1
    if _is_narrow(dtype):
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return (0, 0) if scan.low is None or scan.high is None else (scan.low, scan.high)


class _Tally:
    """Counts in bins that are fixed beforehand."""

    def __init__(self, dtype: np.dtype[Any], low: int | float, high: int | float) -> None:
        self.dtype, self.low, self.high = dtype, low, high
        small = max(abs(low), abs(high)) <= EXACT_FLOAT_INTEGERS
        self.exact = dtype.kind in "biu" and high - low < BINS and small
        bins = int(high - low) + 1 if self.exact else (1 if low == high else BINS)
        self.counts = np.zeros(bins, np.int64)
        self.at_low = self.at_high = 0

    def add(self, block: NDArray[Any]) -> None:
        if block.dtype.kind == "f" and not (finite := np.isfinite(block)).all():
            block = block[finite]
        block = block.ravel()
        if self.exact:
            bins = block.astype(np.intp)
            if self.low:
                bins -= int(self.low)
        else:
            self.at_low += int(np.count_nonzero(block == self.low))
            self.at_high += int(np.count_nonzero(block == self.high))
            bins = bin_index(block, float(self.low), float(self.high), len(self.counts))
        self.counts += np.bincount(bins, minlength=len(self.counts))

    def histogram(self, scan: _RangeScan) -> Histogram:
        used, integers = np.flatnonzero(self.counts), self.dtype.kind in "iu"
        if not len(used):
            return Histogram(
                counts=self.counts[:0],
                range=scan.value_range(),
                exact=self.exact,
                at_low=0,
                at_high=0,
                integers=integers,
            )
        if not self.exact:
            at_low, at_high = piled_up(self.counts, self.at_low if self.low <= 0 else 0, self.at_high)
            return Histogram(
                counts=self.counts,
                range=scan.value_range(),
                exact=False,
                at_low=at_low,
                at_high=at_high,
                integers=integers,
            )
        counts = self.counts[used[0] : used[-1] + 1]
        low, high = int(self.low) + int(used[0]), int(self.low) + int(used[-1])
        at_low, at_high = piled_up(counts, int(counts[0]) if low <= 0 else 0, int(counts[-1]))
        values = ValueRange(float(low), float(high), int(counts.sum()), 0, 0)
        return Histogram(counts=counts, range=values, exact=True, at_low=at_low, at_high=at_high, integers=integers)


def piled_up(counts: NDArray[np.int64], at_low: int, at_high: int) -> tuple[int, int]:
    """Return the pixels at minimum and maximum that were cut off there by a camera or a program.

    Grey values thin out towards both ends; where they were cut off, those beyond the end lie on it. They count when
    they are more than :data:`PILE` times as many as on any of the :data:`PILE_NEIGHBOURS` values (bins) beside them.
    Where the scale ends, by the type of number or the camera's bits, plays no part: 12-bit images in 16 bits, and
    pictures stored as floats, are saturated like any other.

    Parameters
    ----------
    counts : array, shape (K,), int64
        Pixels of each grey value, or bin, in order.
    at_low, at_high : int
        Pixels equal to minimum and maximum.

    Returns
    -------
    tuple of int
        ``at_low`` and ``at_high``, each 0 where its pixels do not pile up, or all pixels are equal.

    Examples
    --------
    >>> piled_up(np.array([1, 5, 9, 5, 2, 40]), 1, 40)
    (0, 40)
    """
    used = counts[counts > 0]
    if len(used) < 2:
        return 0, 0
    low = at_low if at_low > PILE * used[1 : 1 + PILE_NEIGHBOURS].max() else 0
    high = at_high if at_high > PILE * used[-1 - PILE_NEIGHBOURS : -1].max() else 0
    return low, high


def bin_index(values: NDArray[Any], low: float, high: float, bins: int) -> NDArray[np.intp]:
    """Return the bin of each value among bins of equal width from ``low`` to ``high``.

    Parameters
    ----------
    values : array of finite numbers
    low, high : float
        Outer edges; values beyond fall into the outer bins.
    bins : int, >= 1

    Returns
    -------
    array of intp, shape of ``values``, 0 to ``bins`` - 1
    """
    if low == high:
        return np.zeros(values.shape, np.intp)
    # halves, because the span of the largest floats is infinite; in place, because pictures are large
    place = values.astype(np.float64)
    place /= 2
    place -= low / 2
    place /= high / 2 - low / 2
    place *= bins
    index = place.astype(np.intp)
    return np.clip(index, 0, bins - 1, out=index)
