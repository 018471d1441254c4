"""Tiles of one cell, drawn so that the cell lies anywhere against the grid of a network's instances.

Drawing is a pure function of (seed, step), as in :mod:`vitascope.training.samplers.crops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitascope.core.training_params import AugmentParams
from vitascope.ops.wells.cell_views import (
    VIEW_STEPS,
    cell_centre,
    instances_in_cell,
    turned,
    turned_offset,
    view_at,
)
from vitascope.training.samplers.crops import augment

CUT_PX = 6
"""Rows and columns that are cut off a tile at most, on each side: a cell does not lie in the middle of any crop."""


class LoneCellSampler:
    """Draws tiles of one cell.

    Parameters
    ----------
    tiles : sequence of array, each (n, C, side, side), float32
        Those of each class, in the order of the targets. Classes are drawn by the root of how many there are.
    cell_px : float, > 0
        Typical diameter of a cell.
    step_px : int
        Distance of two instances.
    seed : int
    augment : AugmentParams
        How the look of a tile is varied; it is turned and mirrored in any case.
    """

    def __init__(
        self,
        tiles: Sequence[NDArray[np.float32]],
        cell_px: float,
        step_px: int,
        seed: int,
        augment: AugmentParams,
    ) -> None:
        self._tiles, self._cell, self._step, self._seed, self._augment = tiles, cell_px, step_px, seed, augment
        self._centres = [[cell_centre(tile, cell_px) for tile in each] for each in tiles]
        often = np.sqrt([len(each) for each in tiles])
        self._chances = often / often.sum()

    def batch(self, step: int, size: int) -> Mapping[str, Tensor]:
        """Return ``image`` (B, C, side, side), ``weight`` (B, 1, side, side) and ``numbers`` (B, K) of a step."""
        drawn = [self._draw(np.random.default_rng((self._seed, step, i + 1))) for i in range(size)]
        images, weights, numbers = zip(*drawn, strict=True)
        return {
            "image": torch.stack(images).contiguous(memory_format=torch.channels_last),
            "weight": torch.from_numpy(np.stack(weights)),
            "numbers": torch.from_numpy(np.stack(numbers)),
        }

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.float32], NDArray[np.float32]]:
        k = int(rng.choice(len(self._tiles), p=self._chances))
        number = int(rng.integers(len(self._tiles[k])))
        top, left, bottom, right = (int(n) for n in rng.integers(0, CUT_PX + 1, 4))
        tile = self._tiles[k][number]
        tile = tile[:, top : tile.shape[1] - bottom, left : tile.shape[2] - right]
        y, x = self._centres[k][number]
        moved = tuple(int(n) for n in rng.integers(-(self._step // 2), self._step // 2 + 1, 2))
        side, way = VIEW_STEPS * self._step, int(rng.integers(8))
        view = turned(view_at(tile, (y - top + moved[0], x - left + moved[1]), side + 1), way)[:, :side, :side]
        image = augment(torch.from_numpy(np.ascontiguousarray(view)), self._augment, rng)
        counts = instances_in_cell(turned_offset((moved[0], moved[1]), way), self._step, self._cell)
        weight = np.repeat(np.repeat(counts, self._step, 0), self._step, 1)[None]
        return image, weight, np.eye(len(self._tiles), dtype=np.float32)[k]
