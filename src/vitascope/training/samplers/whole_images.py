"""Batches of whole images with a number each, drawn evenly over the range of the numbers.

Drawing is a pure function of (seed, step): the same step gives the same batch whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitascope.core.errors import TrainingError
from vitascope.core.training_params import AugmentParams
from vitascope.training.samplers.crops import Pair, augment, random_matrix


class BagSampler:
    """Draws batches of whole images.

    Parameters
    ----------
    pairs : sequence of Pair
        Squares of one size, each with one number; within a bin drawn by their chance. Where each has a target, the
        amount of each pixel, it is moved with its image.
    bin_width : float, > 0
        Of the bins that are drawn from equally often; 0 draws images equally often.
    augment : AugmentParams
        Flips, rotation and changes of brightness; zooms would change the number.
    seed, steps_per_epoch : int
    nothing : float, 0 to 1
        Share of the drawn images whose number is 0; 0 leaves them to their bin.

    References
    ----------
    Ins-ATP (seed 000), section 3.3. There, batch // bins images of each bin make a batch, which is none for batches of
    15 and 20 bins; here the bins that hold images are taken in turn.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        bin_width: float,
        augment: AugmentParams,
        seed: int,
        steps_per_epoch: int,
        nothing: float = 0.0,
    ) -> None:
        if not pairs:
            raise TrainingError("There is no image with a number to train on.", "Check the table of values.")
        numbers = np.array([p.numbers[0] for p in pairs], np.float64)
        keys = np.floor(numbers / bin_width) if bin_width else np.zeros(len(pairs))
        apart = (numbers == 0) if nothing and (numbers > 0).any() else np.zeros(len(pairs), bool)
        self._empty, self._nothing = np.flatnonzero(apart), nothing if apart.any() else 0.0
        self.bins: list[NDArray[np.intp]] = [np.flatnonzero((keys == k) & ~apart) for k in np.unique(keys[~apart])]
        self._pairs, self._augment, self._seed, self._epoch = pairs, augment, seed, steps_per_epoch
        self._chances = np.array([p.chance for p in pairs], np.float64)
        self._mapped = all(len(p.target) for p in pairs)

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """Return ``image`` (B, C, side, side), ``numbers`` (B, L), ``epoch`` (B,), ``target`` (B, T, side, side)."""
        drawn = [self._made(step * size + i, np.random.default_rng((self._seed, step, i))) for i in range(size)]
        images, numbers, targets = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        epoch = torch.full((size,), float(step // self._epoch))
        ordered = images.contiguous(memory_format=torch.channels_last)
        return {"image": ordered, "numbers": numbers, "epoch": epoch, "target": targets}

    def _made(self, turn: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one image, and lay another over it by chance: as two wells in one beam."""
        image, numbers, target = self.draw(turn, rng)
        if self._augment.overlay and rng.random() < self._augment.overlay:
            over, more, added = self.draw(int(rng.integers(len(self.bins))), rng)
            return (1 + image) * (1 + over) - 1, numbers + more, target + added
        return image, numbers, target

    def draw(self, turn: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one image of the bin whose turn it is: (C, side, side), its numbers (L,), and its target."""
        chosen = self.bins[turn % len(self.bins)]
        if self._nothing and rng.random() < self._nothing:
            chosen = self._empty
        pair = self._pairs[self._one_of(chosen, rng)]
        matrix = random_matrix(self._augment, pair.image.shape[-1], rng)
        channels = len(pair.image)
        kept = pair.target if self._mapped else pair.target[:0]
        moved = rotate(np.concatenate([pair.image, kept]), matrix)
        image = augment(coarser(moved[:channels], self._augment, rng), self._augment, rng)
        return image, torch.from_numpy(pair.numbers), moved[channels:]

    def _one_of(self, chosen: NDArray[np.intp], rng: np.random.Generator) -> int:
        chances = self._chances[chosen]
        if (chances == chances[0]).all():
            return int(chosen[rng.integers(len(chosen))])
        return int(rng.choice(chosen, p=chances / chances.sum()))


def coarser(image: Tensor, settings: AugmentParams, rng: np.random.Generator) -> Tensor:
    """Show an image (C, side, side) as a camera with fewer pixels would, by chance: averaged, pixels repeated."""
    if not settings.coarse or rng.random() >= settings.coarse:
        return image
    side = image.shape[-1]
    few = F.adaptive_avg_pool2d(image, max(1, round(side * rng.uniform(settings.coarse_least, 1))))
    return F.adaptive_avg_pool2d(few, side)


def rotate(image: NDArray[np.float32], matrix: NDArray[np.float64]) -> Tensor:
    """Turn and flip an image (C, side, side) about its middle; what comes in at the corners is the edge continued."""
    side = image.shape[-1]
    offsets = (np.arange(side) + 0.5) / side * 2 - 1
    grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1) @ matrix.T  # (side, side, 2) as y, x
    coordinates = torch.from_numpy(np.ascontiguousarray(grid[None, :, :, ::-1], np.float32))
    found: Tensor = F.grid_sample(
        torch.from_numpy(image)[None], coordinates, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[0]
