"""Images as they were read, with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.recipes.labelled_images import LabelledImage
from vitascope.training.samplers.crops import Pair

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """An image as it was read, and what is known of it.

    Parameters
    ----------
    planes : list of array, each (H, W)
        One per network channel, as they lie in the file.
    weight : array, shape (1, H, W), float32
        0 where a pixel does not count.
    numbers : array, shape (K,), float32
    labelled : LabelledImage
    fingerprints : tuple of str
        Of the raw planes of its file.
    placed : array, shape (T, H, W), float32, optional
        The amount of each pixel, or the cells of each kind in it, where they are known.
    place_um : tuple of float, optional
        Where the field lies on the stage: y, x, height, width.
    """

    planes: list[NDArray[Any]]
    weight: NDArray[np.float32]
    numbers: NDArray[np.float32]
    labelled: LabelledImage
    fingerprints: tuple[str, ...] = ()
    placed: NDArray[np.float32] | None = None
    place_um: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class LabelledCorpus:
    """Images with numbers for training, validation and test; no group stands in two of them.

    ``input`` is the recipe's, with what was measured in the training part; ``samples`` are the images
    behind the pairs.
    """

    pairs: dict[str, list[Pair]]
    samples: dict[str, list[Sample]]
    input: InputSpec
    description: str
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of the raw planes that are trained or validated on."""
        kept = (sample for part in PARTS[:2] for sample in self.samples[part])
        return tuple(dict.fromkeys(f for sample in kept for f in sample.fingerprints))

    @property
    def counts(self) -> dict[str, int]:
        """How many images and groups there are in every part."""
        names = dict(zip(PARTS, ("training", "validation", "test"), strict=True))
        found = {names[part]: len(samples) for part, samples in self.samples.items()}
        groups = {s.labelled.group for samples in self.samples.values() for s in samples}
        return {"images": sum(found.values()), "groups": len(groups), **found}


@dataclass(frozen=True)
class CellCorpus:
    """Single cells of each class, (n, C, side, side) in network units, for training, validation and test.

    ``cells`` are what mosaics are laid out of, the middle of each tile where the recipe says so; ``tiles`` the whole
    tiles.
    """

    cells: dict[str, list[NDArray[np.float32]]]
    tiles: dict[str, list[NDArray[np.float32]]]
    input: InputSpec
    description: str
    fingerprints: tuple[str, ...] = ()
