"""How a picture or a stack is cut for a network that is run as it is, and with which weight each piece counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitascope.core.graph_spec import GraphSpec
from vitascope.ops.tiling.tiles import padded_length, plan_axis, reflect_index

OVERLAP = 4
"""Windows that are blended overlap by a fourth of their side, as MONAI's do by default."""

DEPTH_STEPS = 4
"""Windows along z begin a fourth of their depth apart."""

MOST_DEPTH, WINDOW_DEPTH = 64, 32
"""Stacks up to the first are read whole by networks that take any depth; deeper ones in windows of the second."""

LEAST_TILE_PX, MOST_TILE_PX = 256, 8192
"""Sides of windows that are chosen by themselves: those that can be told, too."""

UNKNOWN_BYTES_PER_PX = 512.0
"""What is taken where a trial told nothing: four pictures of 16 features in float32, twice."""


@dataclass(frozen=True)
class Piece:
    """A window along one axis.

    Parameters
    ----------
    start, stop : int
        What the network reads; beyond the picture it is reflected.
    keep : slice
        What is written of the answer, in pixels of the picture.
    weight : array, shape (keep.stop - keep.start,), float32, or None
        How much each pixel of it counts; the weights of all windows add up to 1. None where nothing else is written
        there.
    """

    start: int
    stop: int
    keep: slice
    weight: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Cut:
    """Windows along each axis.

    Parameters
    ----------
    z, y, x : list of Piece
    centre : bool
        Whether the network answers with one plane, which belongs to the middle of the window.
    exact : bool
        Whether the answer is that of one pass over the whole picture.
    """

    z: list[Piece]
    y: list[Piece]
    x: list[Piece]
    centre: bool = False
    exact: bool = True

    @property
    def count(self) -> int:
        """How many windows there are."""
        return len(self.z) * len(self.y) * len(self.x)

    @property
    def adds_up(self) -> bool:
        """Whether pieces are added to what is there."""
        return any(p.weight is not None for axis in (self.z, self.y, self.x) for p in axis)


def whole(length: int, stop: int) -> list[Piece]:
    """Return the one window of an axis that is read at once, up to ``stop``."""
    return [Piece(0, stop, slice(0, length))]


def blended(length: int, window: int, step: int) -> list[Piece]:
    """Cut an axis into windows of one length that overlap, with weights that fade towards their ends.

    Parameters
    ----------
    length : int
        Of the picture.
    window : int
    step : int
        Most between the starts of two windows.

    Examples
    --------
    >>> [(p.start, p.keep.stop) for p in blended(10, 4, 3)]
    [(0, 4), (3, 7), (6, 10)]
    """
    if length <= window:
        return whole(length, window)
    count = 1 + -(-(length - window) // step)
    starts = [round(n * (length - window) / (count - 1)) for n in range(count)]
    fade = np.minimum(np.arange(1, window + 1), np.arange(window, 0, -1)).astype(np.float64)
    fade = np.minimum(fade, max(1, window - step))  # flat in the middle, where no other window reaches
    total = np.zeros(length)
    for start in starts:
        total[start : start + window] += fade
    return [
        Piece(s, s + window, slice(s, s + window), (fade / total[s : s + window]).astype(np.float32)) for s in starts
    ]


def cut_depth(spec: GraphSpec, planes: int) -> tuple[list[Piece], bool, bool]:
    """Return the windows along z, whether the answer is one plane of the middle, and whether nothing is cut."""
    depth = spec.sides[0]
    if not spec.has_depth:
        return [Piece(z, z + 1, slice(z, z + 1)) for z in range(planes)], False, True
    if depth is None:
        if not spec.gives_depth:
            return [Piece(0, padded_length(planes, spec.divisor[0]), slice(0, 1))], True, True
        if planes <= MOST_DEPTH:
            return whole(planes, padded_length(planes, spec.divisor[0])), False, True
        window = padded_length(WINDOW_DEPTH, spec.divisor[0])
        return blended(planes, window, window // 2), False, False
    if spec.gives_depth:
        return blended(planes, depth, max(1, depth // DEPTH_STEPS)), False, True
    if planes <= depth:
        start = (planes - depth) // 2
        return [Piece(start, start + depth, slice(0, 1))], True, True
    return [Piece(z - depth // 2, z - depth // 2 + depth, slice(z, z + 1)) for z in range(planes)], True, True


def cut(spec: GraphSpec, shape: tuple[int, int, int], most_bytes: int, tile_px: int | None = None) -> Cut:
    """Cut a picture for a network.

    Parameters
    ----------
    spec : GraphSpec
    shape : tuple of int
        (Z, Y, X) on the network's grid.
    most_bytes : int
        What a window may take.
    tile_px : int, optional
        Longest side of a window, where it is told.
    """
    z, centre, exact = cut_depth(spec, shape[0])
    depth = max(p.stop - p.start for p in z)
    if tile_px is None:
        per_px = (spec.bytes_per_px or UNKNOWN_BYTES_PER_PX) * depth
        tile_px = min(max(LEAST_TILE_PX, math.isqrt(int(most_bytes / per_px)) // 16 * 16), MOST_TILE_PX)
        wholly = padded_length(shape[1], spec.divisor[1]) * padded_length(shape[2], spec.divisor[2]) <= tile_px**2
    else:
        wholly = max(shape[1:]) <= tile_px
    axes = []
    for n in (1, 2):
        pieces, same = _across(spec, n, shape[n], tile_px, wholly=wholly)
        axes.append(pieces)
        exact = exact and same
    return Cut(z, axes[0], axes[1], centre, exact)


def _across(spec: GraphSpec, axis: int, length: int, tile_px: int, *, wholly: bool) -> tuple[list[Piece], bool]:
    """Cut height or width; the windows, and whether they give what one pass would."""
    side, divisor, step = spec.sides[axis], spec.divisor[axis], spec.step[axis]
    if side is not None:
        return blended(length, side, side - side // OVERLAP), length <= side
    if wholly or length <= divisor:
        return whole(length, padded_length(length, divisor)), True
    if spec.reach is None:
        window = max(divisor, tile_px // divisor * divisor)
        pieces = blended(length, window, window - window // OVERLAP)
        return pieces, len(pieces) == 1 and length == window
    halo = padded_length(spec.reach[axis], step)
    window = padded_length(max(tile_px, 2 * halo + step), step)
    pieces = []
    for start, stop, first, last in plan_axis(padded_length(length, step), window, halo, step):
        # windows end where one pass over the whole picture would
        pieces.append(Piece(start, min(stop, padded_length(length, divisor)), slice(first, min(last, length))))
    return [p for p in pieces if p.keep.stop > p.keep.start], True


def planes_of(piece: Piece, planes: int) -> NDArray[np.intp]:
    """Return the planes that a window along z reads, reflected beyond the stack."""
    return reflect_index(piece.start, piece.stop, planes)
