"""Bags made of single cells, for training and for tests with known instances.

Drawing is a pure function of (seed, step), as in :mod:`vitascope.training.samplers.crops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitascope.core.errors import TrainingError
from vitascope.core.training_params import AugmentParams
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.tiling.tiles import padded_length
from vitascope.training.samplers.crops import Pair, augment

SPARSENESS = 0.6
"""Shape of the gamma distribution that shares are drawn from: below 1, a few classes dominate each bag."""


@dataclass(frozen=True)
class Mosaic:
    """One bag: its picture with labels, and the class of each cell, (rows, columns)."""

    pair: Pair
    classes: NDArray[np.int64]


class MosaicSampler:
    """Draws mosaics of cells.

    Parameters
    ----------
    cells : sequence of array, each (n, C, side, side), float32
        Those of each class, in the order of the targets.
    thresholds : sequence of float
        A bag has a class when the share of its cells exceeds its threshold.
    rows : tuple of int
        Least and greatest rows, and columns, of a mosaic.
    multiple_px : int
        Sides are continued by reflection to a multiple of it; what is added does not count.
    seed : int
    augment : AugmentParams, optional
        How the look of a mosaic is varied; cells are turned and mirrored in any case.
    one_cell : bool
        Whether a batch holds one cell of each bag, under the bag's labels, instead of the bag.
    phases : bool
        Whether bags lie anywhere against the grid of instances; otherwise their corner lies on one.

    Raises
    ------
    TrainingError
        If there are fewer cells than the largest mosaic takes.
    """

    def __init__(
        self,
        cells: Sequence[NDArray[np.float32]],
        thresholds: Sequence[float],
        rows: tuple[int, int],
        multiple_px: int,
        seed: int,
        augment: AugmentParams | None = None,
        one_cell: bool = False,
        phases: bool = False,
    ) -> None:
        self._cells, self._thresholds = cells, np.array(thresholds)
        self._counts = np.array([len(c) for c in cells])
        if self._counts.sum() < rows[1] ** 2:
            raise TrainingError(
                f"{self._counts.sum()} cells are too few for a mosaic of {rows[1]} x {rows[1]} different ones.",
                "Add cells, or take smaller mosaics.",
            )
        self._rows, self._multiple, self._seed = rows, multiple_px, seed
        self._augment, self._one_cell, self._phases = augment, one_cell, phases

    def batch(self, step: int, size: int) -> Mapping[str, Tensor]:
        """Return ``image`` (B, C, h, w), ``weight`` (B, 1, h, w) and ``numbers`` (B, K) of a step; one size a batch."""
        rng = np.random.default_rng((self._seed, step))
        rows, columns = (int(n) for n in rng.integers(self._rows[0], self._rows[1] + 1, 2))
        first = self._phase(rng)
        drawn = [np.random.default_rng((self._seed, step, i + 1)) for i in range(size)]
        pairs = [self._one(one, rows, columns, first) for one in drawn]
        images = [torch.from_numpy(p.image) for p in pairs]
        if self._augment is not None:
            images = [augment(i, self._augment, one) for i, one in zip(images, drawn, strict=True)]
        return {
            "image": torch.stack(images).contiguous(memory_format=torch.channels_last),
            "weight": torch.from_numpy(np.stack([p.weight for p in pairs])),
            "numbers": torch.from_numpy(np.stack([p.numbers for p in pairs])),
        }

    def draw(self, rng: np.random.Generator) -> Mosaic:
        """Draw one bag of any of the sizes."""
        rows, columns = (int(n) for n in rng.integers(self._rows[0], self._rows[1] + 1, 2))
        return self._bag(rng, rows, columns, self._phase(rng))

    def _phase(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw where the first pixel of bags lies on the grid of instances."""
        y, x = rng.integers(0, self._multiple, 2) if self._phases else (0, 0)
        return int(y), int(x)

    def _one(self, rng: np.random.Generator, rows: int, columns: int, first: tuple[int, int]) -> Pair:
        if not self._one_cell:
            return self._bag(rng, rows, columns, first).pair
        classes, numbers = self._composition(rng, rows * columns)
        return self.laid_out(self._picked(rng, classes)[:1], 1, 1, numbers, first)

    def _bag(self, rng: np.random.Generator, rows: int, columns: int, first: tuple[int, int]) -> Mosaic:
        classes, numbers = self._composition(rng, rows * columns)
        pair = self.laid_out(self._picked(rng, classes), rows, columns, numbers, first)
        return Mosaic(pair, classes.reshape(rows, columns))

    def _composition(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Draw the class of each cell (count,), and the labels that follow (K,)."""
        shares = rng.gamma(SPARSENESS, size=len(self._cells)) * self._thresholds
        wanted = np.floor(shares / shares.sum() * count).astype(int)
        numbers = np.minimum(wanted, self._counts)
        while numbers.sum() < count:  # what is left goes where there are cells, by their number
            room = self._counts - numbers
            numbers[rng.choice(len(room), p=room / room.sum())] += 1
        classes = rng.permutation(np.repeat(np.arange(len(numbers)), numbers))
        return classes, (numbers / count > self._thresholds).astype(np.float32)

    def _picked(self, rng: np.random.Generator, classes: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        order = {k: list(rng.permutation(self._counts[k])) for k in np.unique(classes)}
        picked = []
        for k in classes:
            cell = np.rot90(self._cells[k][order[k].pop()], int(rng.integers(4)), axes=(1, 2))
            picked.append(cell[:, ::-1] if rng.random() < 0.5 else cell)
        return picked

    def laid_out(
        self,
        cells: Sequence[NDArray[np.float32]],
        rows: int,
        columns: int,
        numbers: NDArray[np.float32],
        first: tuple[int, int] = (0, 0),
    ) -> Pair:
        """Lay cells (C, side, side) out row by row, as a pair for the network."""
        picture = np.concatenate(
            [np.concatenate(cells[r * columns : (r + 1) * columns], axis=2) for r in range(rows)], axis=1
        )
        return padded_pair(picture, np.ones((1, *picture.shape[1:]), np.float32), numbers, self._multiple, first)


def padded_pair(
    image: NDArray[np.float32],
    weight: NDArray[np.float32],
    numbers: NDArray[np.float32],
    multiple_px: int,
    first: tuple[int, int] = (0, 0),
) -> Pair:
    """Continue an image (C, H, W) by reflection to a multiple at its far edges; what is added does not count.

    ``first`` is where its first pixel comes to lie: as much is added before it.
    """
    height, width = image.shape[1:]
    sides = [padded_length(n + f, multiple_px) for n, f in zip((height, width), first, strict=True)]
    window = (slice(-first[0], sides[0] - first[0]), slice(-first[1], sides[1] - first[1]))
    padded = np.zeros((1, *sides), np.float32)
    padded[:, first[0] : first[0] + height, first[1] : first[1] + width] = weight
    whole = np.ascontiguousarray(array_reader(image)(window), np.float32)
    return Pair(
        image=whole, target=np.zeros((0, *padded.shape[1:]), np.float32), weight=padded, areas=(), numbers=numbers
    )
