"""One cell in a picture: where its centre lies, and views in which it lies where a network looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

FRAME_PX = 2
"""Width of the frame of a picture that tells the grey value of the ground."""

NOISE = 2.0
"""Deviations from the ground below this many of its spreads are noise."""

VIEW_STEPS = 4
"""Side of a view of one cell, in steps of the grid of instances: the instance in its middle sees no more."""

PHASES = 4
"""Views of a cell along each side of the grid of instances, in a run."""

STEPS = 8
"""Of the mean shift: it stands still after three or four."""


def cell_centre(picture: NDArray[np.floating], cell_px: float) -> tuple[float, float]:
    """Find the middle of the cell that lies nearest to the middle of a picture.

    A cell is what differs from the ground, brighter or darker; the ground is the median of the frame. The search
    starts where most of that lies within a cell's size, the middle counting for more, and moves to its centre of mass
    until it stands still (mean shift).

    Parameters
    ----------
    picture : array, shape (C, H, W)
        In units of about the spread of each channel.
    cell_px : float, > 0
        Typical diameter of a cell.

    Returns
    -------
    tuple of float
        Row and column of the centre, px; the middle of the picture where nothing stands out.

    Examples
    --------
    >>> picture = np.zeros((1, 40, 40), np.float32)
    >>> picture[0, 10:19, 20:29] = 5.0
    >>> cell_centre(picture, 9.0)
    (14.0, 24.0)
    """
    height, width = picture.shape[1:]
    middle = ((height - 1) / 2, (width - 1) / 2)
    found = sum(_deviation(channel) for channel in np.asarray(picture, np.float64))
    assert isinstance(found, np.ndarray)
    if not found.any():
        return middle
    rows, columns = np.mgrid[:height, :width]
    near = np.hypot(rows - middle[0], columns - middle[1]) / (max(height, width) / 2)
    dense = ndimage.gaussian_filter(found, cell_px / 4, mode="constant") * np.exp(-0.5 * near**2)
    y, x = (float(n) for n in np.unravel_index(int(dense.argmax()), dense.shape))
    for _ in range(STEPS):
        within = found * (np.hypot(rows - y, columns - x) <= 0.6 * cell_px)
        total = float(within.sum())
        moved = float((within * rows).sum()) / total, float((within * columns).sum()) / total
        still = np.hypot(moved[0] - y, moved[1] - x) < 0.05
        y, x = moved
        if still:
            break
    return round(y, 2), round(x, 2)


def _frame(channel: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the pixels (N,) of the frame of a channel (H, W): its ground, where a cell lies in the middle."""
    frame = np.ones(channel.shape, bool)
    frame[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = min(channel.shape) <= 2 * FRAME_PX
    return channel[frame]


def _deviation(channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the pixels of a channel (H, W) lie from its ground, beyond the noise."""
    ground = _frame(channel)
    level = float(np.median(ground))
    noise = 1.4826 * float(np.median(np.abs(ground - level)))
    return np.asarray(np.maximum(0.0, np.abs(channel - level) - NOISE * noise))


def view_at(picture: Floats, centre_yx: tuple[float, float], side_px: int) -> Floats:
    """Return a square in whose pixel ``side_px // 2`` a place lies, along both sides.

    Parameters
    ----------
    picture : array, shape (C, H, W), float32
    centre_yx : tuple of float
        Rounded to whole pixels: between them the finest texture would be lost.
    side_px : int

    Returns
    -------
    array, shape (C, side_px, side_px), float32
        Beyond the picture lies its ground, the median of its frame: reflection would show the cell twice.
    """
    found = np.empty((len(picture), side_px, side_px), np.float32)
    found[:] = np.array([np.median(_frame(channel)) for channel in picture])[:, None, None]
    rows, columns = (
        _shared(round(c) - side_px // 2, side_px, n) for c, n in zip(centre_yx, picture.shape[1:], strict=True)
    )
    found[:, rows[0], columns[0]] = picture[:, rows[1], columns[1]]
    return found


def with_ground_before(picture: Floats, rows_columns: tuple[int, int]) -> Floats:
    """Put rows and columns of ground before a picture (C, H, W): the same cell at another place."""
    if rows_columns == (0, 0):
        return picture
    y, x = rows_columns
    found = np.empty((len(picture), picture.shape[1] + y, picture.shape[2] + x), np.float32)
    found[:] = np.array([np.median(_frame(channel)) for channel in picture])[:, None, None]
    found[:, y:, x:] = picture
    return found


def _shared(first: int, side: int, length: int) -> tuple[slice, slice]:
    """Return which of ``side`` pixels from ``first`` on lie in the picture, counted in the view and in the picture."""
    start, stop = max(0, first), max(0, min(length, first + side), first)
    start = min(start, stop)
    return slice(start - first, stop - first), slice(start, stop)


def turned(view: Floats, number: int) -> Floats:
    """Turn a view (C, side, side) by quarters and mirror it: one of the eight ways it can lie on its pixels."""
    found = np.rot90(view, number % 4, axes=(1, 2))
    return found[:, ::-1] if number % 8 >= 4 else found


def phases_sheet(
    picture: Floats, centre_yx: tuple[float, float], step_px: int, cell_px: float, phases: int
) -> tuple[Floats, Floats]:
    """Lay a cell out as a network sees it at all phases of its grid of instances, one view beside the other.

    Each view is turned or mirrored in another way.

    Parameters
    ----------
    picture : array, shape (C, H, W), float32
    centre_yx : tuple of float
        Of the cell.
    step_px : int
        Distance of two instances.
    cell_px : float
        Diameter of the cell.
    phases : int, >= 1
        Along each side of the grid.

    Returns
    -------
    sheet : array, shape (C, phases * side, phases * side), float32
        The side of a view is :data:`VIEW_STEPS` steps.
    counts : array, shape (phases * VIEW_STEPS,) * 2, float32
        1 for the instances centred within the cell of their view, and at least for the nearest one of each.
    """
    side = VIEW_STEPS * step_px
    moves = [round((i + 0.5) * step_px / phases - step_px / 2) for i in range(phases)]
    rows = []
    for i, y in enumerate(moves):
        # a pixel more than the side, so that turning leaves the middle where it is
        views = [view_at(picture, (centre_yx[0] + y, centre_yx[1] + x), side + 1) for x in moves]
        rows.append(np.concatenate([turned(v, 3 * i + k)[:, :side, :side] for k, v in enumerate(views)], axis=2))
    counts = np.concatenate(
        [
            np.concatenate(
                [instances_in_cell(turned_offset((y, x), 3 * i + k), step_px, cell_px) for k, x in enumerate(moves)],
                axis=1,
            )
            for i, y in enumerate(moves)
        ]
    )
    return np.concatenate(rows, axis=1), counts


def turned_offset(offset_yx: tuple[float, float], number: int) -> tuple[float, float]:
    """Return where an offset from the middle of a view lies after :func:`turned`.

    Examples
    --------
    >>> turned_offset((3, 1), 1), turned_offset((3, 1), 4)
    ((-1, 3), (-3, 1))
    """
    y, x = offset_yx
    for _ in range(number % 4):
        y, x = -x, y
    return (-y, x) if number % 8 >= 4 else (y, x)


def instances_in_cell(moved_yx: tuple[float, float], step_px: int, cell_px: float) -> Floats:
    """Return which instances of a view (h, w) are centred within its cell, 1 or 0; at least the nearest one.

    Parameters
    ----------
    moved_yx : tuple of float
        From the cell's centre to the middle of the view, px.
    step_px : int
    cell_px : float
    """
    grid = np.arange(VIEW_STEPS) * step_px - VIEW_STEPS * step_px // 2
    distance = np.hypot((grid + moved_yx[0])[:, None], (grid + moved_yx[1])[None, :])
    return np.asarray(distance <= max(cell_px / 2, float(distance.min())), np.float32)
