"""Which instances of a network's map count, by where they are centred in the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def centres_px(length: int, step_px: int) -> NDArray[np.int64]:
    """Return where the instances along an axis of ``length`` px are centred: 0, step, 2 step … within it."""
    return np.arange(0, length, step_px)


def counted(weight: NDArray[Any], step_px: int) -> NDArray[np.float32]:
    """Return the mask of instances (h, w), 1 where the pixel at the centre counts.

    Parameters
    ----------
    weight : array, shape (H, W)
        Above 0 where a pixel counts: within the well, the image, the region.
    step_px : int
        Distance of two instances.
    """
    return np.asarray(weight[::step_px, ::step_px] > 0, np.float32)


def central(shape_yx: tuple[int, int], cell_px: float, step_px: int) -> NDArray[np.float32]:
    """Return the mask of the instances of a single-cell crop: those centred within the cell in its middle.

    Parameters
    ----------
    shape_yx : tuple of int
        Of the crop.
    cell_px : float, > 0
        Diameter of a cell.
    step_px : int
        Distance of two instances.

    Returns
    -------
    array, shape (h, w), float32
        1 within the cell; where none is, for the instance nearest to the middle.
    """
    offsets = [centres_px(n, step_px) - (n - 1) / 2 for n in shape_yx]
    distance = np.hypot(offsets[0][:, None], offsets[1][None, :])
    return np.asarray(distance <= max(cell_px / 2, float(distance.min())), np.float32)


def is_single_cell(shape_yx: tuple[int, int], cell_px: float | None) -> bool:
    """Tell whether a picture is a crop of one cell: no side is longer than two and a half cells."""
    return cell_px is not None and max(shape_yx) <= 2.5 * cell_px
