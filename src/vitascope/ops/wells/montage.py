"""Pictures that are grids of single cells, as imaging flow cytometers export them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError

LEAST_CONTRAST = 0.25
"""A tile whose standard deviation is below this share of the median tile's is padding, not a cell."""


def cut_montage(picture: NDArray[Any], rows: int, columns: int, side_px: int) -> NDArray[Any]:
    """Cut a montage into its tiles.

    Parameters
    ----------
    picture : array, shape (rows * side_px, columns * side_px)
    rows, columns, side_px : int

    Returns
    -------
    array, shape (rows * columns, side_px, side_px)

    Raises
    ------
    InputError
        If the picture is no grid of that many tiles.
    """
    if picture.shape != (rows * side_px, columns * side_px):
        raise InputError(
            f"A montage of {rows} x {columns} tiles of {side_px} px is {rows * side_px} x {columns * side_px} px, "
            f"not {picture.shape[0]} x {picture.shape[1]}.",
            "Check rows, columns and side.",
        )
    tiles = picture.reshape(rows, side_px, columns, side_px).transpose(0, 2, 1, 3)
    return tiles.reshape(-1, side_px, side_px)


def distinct_cells(tiles: NDArray[Any]) -> NDArray[np.intp]:
    """Return the tiles that are cells, each once: repeats (same hash) and padding (noise only) are left out.

    Parameters
    ----------
    tiles : array, shape (N, side, side)

    Returns
    -------
    array of int
        Indices in order of first appearance.
    """
    spread = tiles.std(axis=(1, 2))
    least = LEAST_CONTRAST * np.median(spread)
    first: dict[bytes, int] = {}
    for i, tile in enumerate(tiles):
        first.setdefault(hashlib.sha256(np.ascontiguousarray(tile).tobytes()).digest(), i)
    return np.array(sorted(i for i in first.values() if spread[i] >= least), np.intp)


def draw_cells(cells: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw cells (N, C, side, side) at random, each at most once if there are enough, mirrored and turned at random."""
    chosen = cells[rng.choice(len(cells), count, replace=count > len(cells))].copy()
    for i in range(count):
        cell = np.rot90(chosen[i], int(rng.integers(4)), axes=(1, 2))
        chosen[i] = cell[:, ::-1] if rng.random() < 0.5 else cell
    return chosen


def lay_out(cells: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Lay cells out as a square montage, row by row.

    Parameters
    ----------
    cells : array, shape (columns ** 2, C, side, side)
    columns : int

    Returns
    -------
    array, shape (C, columns * side, columns * side), float32
    """
    side = cells.shape[-1]
    grid = cells.reshape(columns, columns, -1, side, side).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(grid.reshape(-1, columns * side, columns * side), np.float32)
