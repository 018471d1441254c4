"""Grey values of many images counted as if they were one: a histogram for each channel, one image in hand at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.progress import Progress, run_to_end
from vitascope.ops.intensity.histogram import BINS, Histogram, ValueRange, bin_index, count_values, scan_range
from vitascope.ops.tiling.chunks import chunk_slices, read_piece

Arrays = Sequence[Any]
"""Arrays of one image, one for each channel."""


@dataclass(frozen=True)
class Pooled:
    """What was counted.

    Parameters
    ----------
    histograms : list of Histogram
        Of each channel; without pixels where no image could be read.
    images : int
        Images that were counted.
    unread : tuple of str
        Names of those that could not be read.
    """

    histograms: list[Histogram]
    images: int
    unread: tuple[str, ...] = ()


def pool_values(
    images: Sequence[tuple[str, Callable[[], Arrays]]],
    channels: int,
    broken: tuple[type[Exception], ...] = (),
    stage: str = "Counting grey values of all images",
) -> Generator[Progress, None, Pooled]:
    """Count the grey values of many images.

    Nothing is sampled. Integers of 8 and 16 bits are counted exactly, in one pass. As soon as an image is of another
    type, all are read twice: for the extremes, then into 65,536 bins of equal width between them, so that a percentile
    is known to (maximum - minimum) / 131,072. Memory: one image's pieces, and one histogram for each channel.

    Parameters
    ----------
    images : sequence of (str, callable)
        Name of an image, and what opens its channels.
    channels : int
    broken : tuple of exception types
        Of images that are left out; by default none is.
    stage : str
        What the progress is called.

    Yields
    ------
    Progress
        One for each image.

    Returns
    -------
    Pooled
    """
    found: list[Histogram | None] = [None] * channels
    ranges: list[ValueRange | None] = [None] * channels
    unread: list[str] = []
    exact = True
    for number, (name, open_image) in enumerate(images):
        yield Progress(number, len(images), stage)
        try:
            arrays = open_image()
            exact = exact and all(_is_narrow(array) for array in arrays)
            if exact:
                counted = [run_to_end(count_values(array)) for array in arrays]
                found = [_together(a, b) for a, b in zip(found, counted, strict=True)]
            spans = [h.range for h in counted] if exact else [run_to_end(scan_range(array)) for array in arrays]
        except broken:
            unread.append(name)
            continue
        ranges = [_widest(a, b) for a, b in zip(ranges, spans, strict=True)]
    if not exact:
        found = [_empty(span) for span in ranges]
        for number, (name, open_image) in enumerate(images):
            yield Progress(number, len(images), stage)
            if name in unread:
                continue
            try:
                counts = [_binned(a, h.range) for a, h in zip(open_image(), found, strict=True) if h is not None]
            except broken:
                unread.append(name)
                continue
            found = [replace(h, counts=h.counts + c) for h, c in zip(found, counts, strict=True) if h is not None]
    yield Progress(len(images), len(images), stage)
    return Pooled([h or _empty(None) for h in found], len(images) - len(unread), tuple(unread))


def _is_narrow(array: Any) -> bool:
    dtype = np.dtype(array.dtype)
    return dtype.kind in "biu" and dtype.itemsize <= 2


def _together(one: Histogram | None, other: Histogram) -> Histogram:
    """Add counts of one bin for each value."""
    if one is None or not other.range.finite:
        return replace(other, at_low=0, at_high=0) if one is None else one
    if not one.range.finite:
        return replace(other, at_low=0, at_high=0)
    span = _widest(one.range, other.range)
    counts = np.zeros(int(span.maximum - span.minimum) + 1, np.int64)
    for part in (one, other):
        start = int(part.range.minimum - span.minimum)
        counts[start : start + len(part.counts)] += part.counts
    return replace(one, counts=counts, range=span)


def _widest(one: ValueRange | None, other: ValueRange) -> ValueRange:
    if one is None:
        return other
    return ValueRange(
        float(np.fmin(one.minimum, other.minimum)),
        float(np.fmax(one.maximum, other.maximum)),
        one.pixels + other.pixels,
        one.nan + other.nan,
        one.infinite + other.infinite,
    )


def _empty(span: ValueRange | None) -> Histogram:
    known = span or ValueRange(np.nan, np.nan, 0, 0, 0)
    bins = 0 if not known.finite else 1 if known.constant else BINS
    return Histogram(counts=np.zeros(bins, np.int64), range=known, exact=False, at_low=0, at_high=0, integers=False)


def _binned(array: Any, span: ValueRange) -> NDArray[np.int64]:
    """Count an image in the bins of all."""
    bins = 1 if span.constant else BINS
    counts = np.zeros(bins, np.int64)
    for piece in chunk_slices(array):
        block = read_piece(array, piece).ravel()
        if block.dtype.kind == "f":
            block = block[np.isfinite(block)]
        counts += np.bincount(bin_index(block, span.minimum, span.maximum, bins), minlength=bins)
    return counts
