"""Training crops out of labelled volumes; drawing is a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitascope.core.errors import TrainingError
from vitascope.core.training_params import AugmentParams

ON_CELLS = 0.8
"""Share of crops that are centred on a labelled cell or its rim; the others lie anywhere."""


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A volume and its truth, on the network's grid.

    Parameters
    ----------
    image : array, shape (C, Z, Y, X), float32
        In network units.
    classes : array, shape (Z, Y, X), uint8
        0 where a voxel is not labelled, 1 for background, 2 for live, 3 for dead.
    density : array, shape (Z, Y, X), float32, or None
        Cells per 1000 µm³; None where cells were not told apart.
    group : str
        Patient or source: what must not stand on both sides of a split.
    kind : str
        Such as ``simulated`` or ``composed``.
    fingerprints : tuple of str
        Of the middle planes of its file; none for what is in no file.
    levels : tuple of tuple of float
        Ground and Otsu's threshold of each channel, in network units.
    voxel_um : tuple of float
        Voxel (z, y, x) of the network.
    sparse : bool
        Whether what counts was chosen by its brightness.
    """

    image: NDArray[np.float32]
    classes: NDArray[np.uint8]
    density: NDArray[np.float32] | None
    group: str
    kind: str
    fingerprints: tuple[str, ...] = ()
    levels: tuple[tuple[float, float], ...] = ()
    voxel_um: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sparse: bool = False


class VolumeSampler:
    """Draws crops, each volume as often as the others.

    Parameters
    ----------
    volumes : sequence of LabelledVolume
    crop_zyx : tuple of int
        Volumes smaller than this are continued by reflection; what is added is not labelled.
    augment : AugmentParams
        Flips, quarter turns in the plane (where rotation is wanted), ``gain`` and ``brightness`` of each channel, and
        ``noise``; the rest is for pictures.
    seed : int

    Raises
    ------
    TrainingError
        If there is no volume, or none has a labelled voxel.
    """

    def __init__(
        self, volumes: Sequence[LabelledVolume], crop_zyx: tuple[int, int, int], augment: AugmentParams, seed: int
    ) -> None:
        self._volumes = [_padded(v, crop_zyx) for v in volumes if (v.classes > 0).any()]
        if not self._volumes:
            raise TrainingError("There is no volume with labelled voxels to train on.", "Label a few slices.")
        self._crop, self._augment, self._seed = crop_zyx, augment, seed
        self._cells = [np.flatnonzero(v.classes > 1).astype(np.uint32) for v in self._volumes]
        self._labelled = [np.flatnonzero(v.classes > 0).astype(np.uint32) for v in self._volumes]

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """Return ``image`` (B, C, d, h, w), ``truth`` (B, d, h, w), ``density``, ``density_weight`` (B, 1, d, h, w)."""
        crops = [self._draw(np.random.default_rng((self._seed, step, i))) for i in range(size)]
        names = ("image", "truth", "density", "density_weight")
        return {n: torch.from_numpy(np.stack(parts)) for n, parts in zip(names, zip(*crops, strict=True), strict=True)}

    def _draw(self, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        number = int(rng.integers(len(self._volumes)))
        volume = self._volumes[number]
        where = self._place(number, rng)
        image = volume.image[(slice(None), *where)].copy()
        truth = volume.classes[where].astype(np.int64)
        known = volume.density is not None
        density = volume.density[where] if volume.density is not None else np.zeros(self._crop, np.float32)
        weight = ((truth > 0) & known).astype(np.float32)
        parts = self._turn([image, truth[None], density[None], weight[None]], rng)
        self._vary(parts[0], rng)
        image, truth, density, weight = (np.ascontiguousarray(p) for p in parts)
        return image, truth[0], density, weight

    def _place(self, number: int, rng: np.random.Generator) -> tuple[slice, ...]:
        shape, cells = self._volumes[number].classes.shape, self._cells[number]
        pool = cells if len(cells) and rng.random() < ON_CELLS else self._labelled[number]
        centre = np.unravel_index(int(pool[rng.integers(len(pool))]), shape)
        starts = [
            int(np.clip(c - n // 2 + rng.integers(-n // 4, n // 4 + 1), 0, side - n))
            for c, n, side in zip(centre, self._crop, shape, strict=True)
        ]
        return tuple(slice(a, a + n) for a, n in zip(starts, self._crop, strict=True))

    def _turn(self, parts: list[NDArray[Any]], rng: np.random.Generator) -> list[NDArray[Any]]:
        chances = rng.random(3)
        if chances[0] < self._augment.flip_vertical:
            parts = [p[:, :, ::-1] for p in parts]
        if chances[1] < self._augment.flip_horizontal:
            parts = [p[:, :, :, ::-1] for p in parts]
        if self._augment.rotation_degrees >= 90 and chances[2] < 0.5:
            parts = [p.swapaxes(2, 3) for p in parts]
        return parts

    def _vary(self, image: NDArray[Any], rng: np.random.Generator) -> None:
        augment, channels = self._augment, (len(image), 1, 1, 1)
        gain = np.exp(rng.normal(0, augment.gain, channels)) if augment.gain else 1.0
        shift = rng.normal(0, augment.brightness, channels) if augment.brightness else 0.0
        image[...] = image * gain + shift
        if augment.noise:
            image += rng.normal(0, rng.uniform(0, augment.noise), image.shape).astype(np.float32)


def _padded(volume: LabelledVolume, crop: tuple[int, int, int]) -> LabelledVolume:
    missing = [(0, max(0, n - side)) for n, side in zip(crop, volume.classes.shape, strict=True)]
    if not any(m[1] for m in missing):
        return volume
    return LabelledVolume(
        image=np.pad(volume.image, [(0, 0), *missing], mode="symmetric"),
        classes=np.pad(volume.classes, missing),
        density=None if volume.density is None else np.pad(volume.density, missing),
        group=volume.group,
        kind=volume.kind,
        fingerprints=volume.fingerprints,
    )
