"""A square part of a picture, cut out at the sizes that it is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class Region:
    """A square part of a picture, which may reach beyond it.

    Parameters
    ----------
    top, left : float
        Corner, px of the picture; may be negative.
    side : float, > 0, px
    flags : tuple of str
        Words of :data:`vitascope.core.flags.FLAGS`.
    """

    top: float
    left: float
    side: float
    flags: tuple[str, ...] = ()


class Squares:
    """A square of a picture at several sizes, which are read in one pass over the picture.

    The edges of the cells of all sizes cut the square into strips. The picture is summed up in these once; the cells of
    each size are put together from them.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    region : Region
    sides_px : sequence of int, >= 1
        Sizes that will be asked for; any other is a pass of its own.

    Attributes
    ----------
    picture, region
        As they were given.
    """

    def __init__(self, picture: NDArray[Any], region: Region, sides_px: Sequence[int]) -> None:
        self.picture, self.region = picture, region
        self._finest = math.lcm(*sides_px)
        self._edges = np.unique(np.concatenate([_edges(side, self._finest) for side in sides_px]))

    @cached_property
    def _sums(self) -> NDArray[np.float32]:
        """Sums over the strips, (strips, strips), those of columns first."""
        (rows, window_y, _), (columns, window_x, _) = (
            shares(start + self.region.side * self._edges / self._finest, length) for start, length in self._along()
        )
        block = np.asarray(self.picture[window_y, window_x], np.float32)
        return np.asarray(columns @ np.ascontiguousarray((rows @ block).T))

    def at(self, side_px: int) -> NDArray[np.float32]:
        """Return the square at a size, (side_px, side_px), averaged; what lies outside the picture is NaN.

        Enlarged squares are interpolated by the nearest pixel's share, as any average over areas is.
        """
        places = np.searchsorted(self._edges, _edges(side_px, self._finest)) if not self._finest % side_px else None
        if places is None or not np.array_equal(self._edges[places], _edges(side_px, self._finest)):
            return Squares(self.picture, self.region, (side_px,)).at(side_px)
        sums = self._sums
        if side_px + 1 < len(self._edges):
            shape = (side_px, len(self._edges) - 1)
            strips = sparse.csr_array((np.ones(shape[1], np.float32), np.arange(shape[1]), places), shape)
            sums = (strips @ np.ascontiguousarray((strips @ sums).T)).T
        steps = self.region.side * np.arange(side_px + 1) / side_px
        heights, widths = (np.diff(np.clip(start + steps, 0, length)) for start, length in self._along())
        with np.errstate(invalid="ignore", divide="ignore"):
            down, across = (np.where(one > 1e-9, 1 / one, np.nan).astype(np.float32) for one in (heights, widths))
        return np.asarray((sums * across[:, None]).T * down[:, None])

    def _along(self) -> tuple[tuple[float, int], tuple[float, int]]:
        """Return where the square starts, and the length of the picture, along both axes."""
        return (self.region.top, self.picture.shape[0]), (self.region.left, self.picture.shape[1])


def cut_square(picture: NDArray[Any], region: Region, side_px: int) -> NDArray[np.float32]:
    """Cut a square out at one size; see :meth:`Squares.at`."""
    return Squares(picture, region, (side_px,)).at(side_px)


def _edges(side_px: int, finest: int) -> NDArray[np.int64]:
    """Return the edges of the cells of one size, (side_px + 1,), the square's side being ``finest``."""
    return np.arange(side_px + 1) * (finest // side_px)


def shares(edges: NDArray[np.float64], length: int) -> tuple[sparse.csr_array, slice, NDArray[np.float64]]:
    """Return how much of each pixel along an axis lies in each cell, the pixels it is about, and the cells' lengths.

    Only few pixels touch a cell: as a sparse matrix, summing up is one pass over the picture.

    Parameters
    ----------
    edges : array, shape (cells + 1,), px
        Rising; they may lie beyond the picture.
    length : int, px
        Of the picture.
    """
    edges = np.clip(edges, 0, length)
    cells = len(edges) - 1
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    window = slice(min(int(first[0]), length - 1), max(int(last[-1]), min(int(first[0]), length - 1) + 1))
    counts = np.maximum(last - first, 0)
    ends = np.concatenate([[0], np.cumsum(counts)])
    cell = np.repeat(np.arange(cells), counts)
    pixel = np.arange(ends[-1]) - np.repeat(ends[:-1] - first, counts)
    share = np.minimum(pixel + 1, edges[1:][cell]) - np.maximum(pixel, edges[:-1][cell])
    shape = (cells, window.stop - window.start)
    return sparse.csr_array((share.astype(np.float32), pixel - window.start, ends), shape), window, np.diff(edges)


@lru_cache(maxsize=16)
def well_mask(side_px: int, roundness: float = 4.0) -> NDArray[np.bool_]:
    """Return the inside of a well within its square, shape (side_px, side_px), read-only: a square with round corners.

    Points with ``|y|^p + |x|^p <= 1``, p being the roundness: 2 is a circle; wells of 384 plates are nearer to 4.
    """
    at = np.abs((np.arange(side_px) + 0.5) / side_px * 2 - 1) ** roundness
    inside: NDArray[np.bool_] = at[:, None] + at[None] <= 1
    inside.flags.writeable = False
    return inside
