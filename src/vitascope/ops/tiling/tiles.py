"""Cut a large picture into tiles that overlap by what the network sees, so that stitching equals one pass.

A tile is a window that the network reads and a core that is kept of its answer. Windows of one plan have one size
(networks compiled for one shape serve all), start on multiples of ``multiple`` (the max-poolings of every window
then fall on the same pixels as those of the whole image), and keep ``halo_px`` between core and window edge except
where the window ends with the image: there the network meets the same border as in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError


@dataclass(frozen=True)
class Tile:
    """One tile; all in pixels of the padded image, (y, x), or voxels of the padded volume, (z, y, x).

    Parameters
    ----------
    window : tuple of slices
        What the network reads.
    core : tuple of slices
        What is kept; the cores of a plan cover the padded image once.
    """

    window: tuple[slice, ...]
    core: tuple[slice, ...]

    @property
    def core_in_window(self) -> tuple[slice, ...]:
        """The core, counted from the window's corner."""
        return tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(self.core, self.window, strict=True))


def padded_length(length: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``length`` (px)."""
    return -(-length // multiple) * multiple


def plan_axis(length: int, tile_px: int, halo_px: int, multiple: int) -> list[tuple[int, int, int, int]]:
    """Plan one axis: (window start, window stop, core start, core stop) for each tile.

    Parameters
    ----------
    length : int, a multiple of ``multiple``, px
    tile_px : int, a multiple of ``multiple``, px
        Window length; an axis no longer than it is one tile.
    halo_px : int, >= 0, px
        Reach of the network, counted from a core edge that lies on a multiple of ``multiple``.
    multiple : int, px

    Returns
    -------
    list of tuple
        In order; cores touch and cover the axis once.

    Raises
    ------
    ParameterError
        If the halo leaves no core.
    """
    count = count_windows(length, tile_px, halo_px, multiple)
    if count == 1:
        return [(0, length, 0, length)]
    halo = padded_length(halo_px, multiple)
    starts = [round(i * (length - tile_px) / (count - 1) / multiple) * multiple for i in range(count)]
    # Halve each overlap on a multiple: both sides keep at least the halo, since steps never exceed `step`.
    edges = [0]
    for left, right in pairwise(starts):
        middle = (right + left + tile_px) / 2
        edge = int(middle // multiple) * multiple
        edges.append(min(max(edge, right + halo), left + tile_px - halo))
    edges.append(length)
    return [(s, s + tile_px, edges[i], edges[i + 1]) for i, s in enumerate(starts)]


def count_windows(length: int, tile_px: int, halo_px: int, multiple: int) -> int:
    """Return how many windows :func:`plan_axis` puts along an axis.

    Raises
    ------
    ParameterError
        If the halo leaves no core.
    """
    if length <= tile_px:
        return 1
    halo = padded_length(halo_px, multiple)
    step = tile_px - 2 * halo
    if step <= 0:
        raise ParameterError(
            f"A tile of {tile_px} px leaves nothing of itself: the network sees {halo_px} px around each pixel.",
            f"Take tiles of at least {2 * halo + multiple} px.",
        )
    return 1 + -(-(length - tile_px) // step)


def fit_sides(
    shape: tuple[int, ...], largest: tuple[int, ...], halo_px: tuple[int, ...], multiple: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the sides of windows that cover a picture or volume with the least overlap, none larger than a given one.

    Parameters
    ----------
    shape : tuple of int, px
    largest : tuple of int, px
        Sides of a window; those that are returned span no more pixels.
    halo_px, multiple : tuple of int, px
        See :func:`plan_axis`, for each axis.

    Examples
    --------
    >>> fit_sides((200, 512, 512), (96, 192, 192), (12, 24, 24), (2, 4, 4))
    (84, 204, 204)
    >>> fit_sides((2136, 2136), (1344, 1344), (96, 96), (16, 16))
    (1168, 1168)
    """
    sides, counts = [], []
    for n, t, h, m in zip(shape, largest, halo_px, multiple, strict=True):
        length, overlap = padded_length(n, m), 2 * padded_length(h, m)
        even = {padded_length(-(-(length + (k - 1) * overlap) // k), m) for k in range(1, -(-length // m) + 1)}
        possible = sorted({t, *(side for side in even if side > overlap or side >= length)})
        sides.append(np.array(possible))
        counts.append(np.array([count_windows(length, side, h, m) for side in possible]))
    spans, numbers = (reduce(np.multiply.outer, axes) for axes in (sides, counts))
    work = np.where(spans <= np.prod(largest), spans * numbers, np.iinfo(np.int64).max)
    best = np.unravel_index(int(work.argmin()), work.shape)
    return tuple(int(own[at]) for own, at in zip(sides, best, strict=True))


Sides = int | tuple[int, ...]
"""A length for all axes, or one for each."""


def plan_tiles(shape: tuple[int, ...], tile_px: Sides, halo_px: Sides, multiple: Sides = 16) -> list[Tile]:
    """Plan tiles over a picture, row by row, or over a volume.

    Parameters
    ----------
    shape : tuple of int, px
        Of the picture; it is thought padded at the far edges to multiples of ``multiple``.
    tile_px, halo_px, multiple : int, or tuple of int, px
        See :func:`plan_axis`.

    Returns
    -------
    list of Tile

    Examples
    --------
    >>> [t.core[0].stop for t in plan_tiles((100, 40), 64, 16)]
    [48, 64, 112]
    """
    sides = [(s,) * len(shape) if isinstance(s, int) else s for s in (tile_px, halo_px, multiple)]
    axes = [plan_axis(padded_length(n, m), t, h, m) for n, t, h, m in zip(shape, *sides, strict=True)]
    return [
        Tile(tuple(slice(a[0], a[1]) for a in way), tuple(slice(a[2], a[3]) for a in way)) for way in product(*axes)
    ]


def plan_border(shape_yx: tuple[int, ...], window_px: int, border_px: int, multiple: int = 16) -> list[Tile]:
    """Plan the thesis's sliding window: step s = w - 2 b, of each window only the centre is kept.

    Windows at the image border keep their outer edge; the last ones are moved back into the image.

    Raises
    ------
    ParameterError
        If the border leaves no centre.

    References
    ----------
    Pankova 2022 (seed 004), section 2.3.2.2, equation 25.
    """
    return plan_tiles(shape_yx, window_px, border_px, multiple)


def reflect_index(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Return source indices for ``start:stop`` of an axis of ``length`` continued by reflection.

    The edge pixel is not repeated (numpy's ``reflect``), also where the padding exceeds the length.

    Examples
    --------
    >>> reflect_index(2, 7, 4).tolist()
    [2, 3, 2, 1, 0]
    """
    index = np.arange(start, stop)
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    index = np.mod(index, period)
    return np.where(index < length, index, period - index)


def crop_to(tile: Tile, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Cut the padding off a core: slices in the picture, and the matching slices in the window.

    Returns
    -------
    tuple
        Slices of the unpadded picture and of the window's answer.
    """
    in_picture = tuple(slice(c.start, min(c.stop, n)) for c, n in zip(tile.core, shape, strict=True))
    in_window = tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(in_picture, tile.window, strict=True))
    return in_picture, in_window


def gaussian_window(window_px: tuple[int, int], sigma_fraction: float = 0.125) -> NDArray[np.float32]:
    """Weights that fade towards a window's edges, for blending overlapping windows.

    Parameters
    ----------
    window_px : tuple of int
        Height and width.
    sigma_fraction : float, > 0
        Standard deviation as a fraction of each side (0.125 as in MONAI's sliding window).

    Returns
    -------
    array, shape ``window_px``, float32, in (0, 1]
    """
    profiles = []
    for n in window_px:
        x = np.arange(n) - (n - 1) / 2
        profiles.append(np.exp(-0.5 * (x / (sigma_fraction * n)) ** 2))
    weights = np.outer(*profiles)
    return np.asarray(np.maximum(weights / weights.max(), 1e-3), np.float32)
