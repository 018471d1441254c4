"""Training crops drawn from whole images, so that rotation and zoom fill their corners with real pixels.

Drawing is a pure function of (seed, step): the same step gives the same batch whenever it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitascope.core.errors import TrainingError
from vitascope.core.training_params import AugmentParams, CropFilter
from vitascope.ops.intensity.corruption import PRINTED, SEVERITIES, corrupt, defocus_kernel
from vitascope.training.samplers.light import blur, by_itself, other_light

TRIES = 60


@dataclass(frozen=True)
class Area:
    """A rectangle that crops must stay within: rows ``top:bottom``, columns ``left:right``, px."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class Pair:
    """An image and its truth, ready for a network.

    Parameters
    ----------
    image : array, shape (C, H, W), float32
        In network units.
    target : array, shape (K, H, W), float32
    weight : array, shape (1, H, W), float32
        0 where a pixel is to be ignored.
    areas : tuple of Area
        Where crops may lie; empty for all of the image.
    numbers : array, shape (L,), float32
        Truth of the image as a whole, such as its classes; empty where the truth is a picture.
    chance : float, > 0
        How often crops are drawn from it, against others of the same size.
    """

    image: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    areas: tuple[Area, ...] = ()
    numbers: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    chance: float = 1.0

    def training_areas(self) -> tuple[Area, ...]:
        """Return the areas, or the whole image where none is named."""
        return self.areas or (Area(0, self.image.shape[1], 0, self.image.shape[2]),)


class CropSampler:
    """Draws augmented crops.

    Parameters
    ----------
    pairs : sequence of Pair
    crop_px : int, a multiple of 16
    augment : AugmentParams
    keep : CropFilter
    seed : int

    Raises
    ------
    TrainingError
        If no area is as large as a crop.
    """

    def __init__(
        self, pairs: Sequence[Pair], crop_px: int, augment: AugmentParams, keep: CropFilter, seed: int
    ) -> None:
        self._places = [(p, a) for p in pairs for a in p.training_areas()]
        self._places = [(p, a) for p, a in self._places if min(a.bottom - a.top, a.right - a.left) >= crop_px]
        if not self._places:
            raise TrainingError(
                f"No training image is as large as a crop ({crop_px} px).", "Take smaller crops or larger images."
            )
        sizes = np.array([a.size * p.chance for p, a in self._places], float)
        self._chances = sizes / sizes.sum()
        self._crop_px, self._augment, self._keep, self._seed = crop_px, augment, keep, seed

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """Return ``image`` (B, C, h, w), ``target`` (B, K, h, w), ``weight`` (B, 1, h, w), ``numbers`` (B, L)."""
        crops = [self.draw(np.random.default_rng((self._seed, step, i))) for i in range(size)]
        stacked = [torch.stack(parts) for parts in zip(*crops, strict=True)]
        image = stacked[0].contiguous(memory_format=torch.channels_last)
        drawn = {"image": image, "target": stacked[1], "weight": stacked[2], "numbers": stacked[3]}
        if not self._augment.mixup:
            return drawn
        return mixed(drawn, self._augment.mixup, np.random.default_rng((self._seed, step, size)))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw one crop: image (C, h, w), target (K, h, w), weight (1, h, w), numbers (L,)."""
        for _ in range(TRIES):
            pair, area = self._places[rng.choice(len(self._places), p=self._chances)]
            image, target, weight = self._cut(pair, area, rng)
            if self._worth(target, weight) or rng.random() < self._keep.keep_anyway:
                break
        return augment(image, self._augment, rng), target, weight, torch.from_numpy(pair.numbers)

    def _worth(self, target: Tensor, weight: Tensor) -> bool:
        keep = self._keep
        counted = target[:, weight[0] > 0]
        if not len(target):
            return bool(weight.any())
        if counted.numel() == 0:
            return False
        foreground = float((counted > keep.foreground_above).float().mean())
        saturated = float((counted >= 1.0).float().mean())
        return (
            foreground >= keep.min_foreground
            and saturated <= keep.max_saturated
            and float(counted.max()) >= keep.min_peak
        )

    def _cut(self, pair: Pair, area: Area, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        for attempt in range(TRIES):
            matrix = random_matrix(self._augment, self._crop_px, rng) if attempt + 1 < TRIES else np.eye(2)
            half = np.abs(matrix).sum(axis=1) * self._crop_px / 2
            room = np.array([area.bottom - area.top, area.right - area.left]) - 2 * half
            if (room >= 0).all():
                break
        moved = rng.random(2) * room
        centre = np.array([area.top, area.left]) + half + (np.floor(moved) if self._augment.whole_pixels else moved)
        grid = self._grid(matrix, rng)
        return sample(pair, area, centre, grid)

    def _grid(self, matrix: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        offsets = np.arange(self._crop_px) - (self._crop_px - 1) / 2
        grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1) @ matrix.T  # (h, w, 2)
        if self._augment.elastic_px:
            knots = torch.from_numpy(rng.standard_normal((1, 2, 7, 7)))
            bend = F.interpolate(knots, size=grid.shape[:2], mode="bicubic", align_corners=True)
            grid = grid + bend[0].permute(1, 2, 0).numpy() * self._augment.elastic_px * rng.random()
        return grid


def random_matrix(augment: AugmentParams, crop_px: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the (2, 2) matrix that maps crop offsets (y, x) to image offsets: flips, rotation, zoom."""
    angle = math.radians(rng.uniform(-augment.rotation_degrees, augment.rotation_degrees))
    if augment.quarter_turns:
        angle = round(angle / (math.pi / 2)) * (math.pi / 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mirror = np.where(rng.random(2) < (augment.flip_vertical, augment.flip_horizontal), -1.0, 1.0)
    return turn * mirror[None, :] / draw_zoom(augment, crop_px, rng)


def draw_zoom(augment: AugmentParams, crop_px: int, rng: np.random.Generator) -> float:
    """Draw an enlargement; "thesis" takes 100, 50 or 20 px off each side with chances 20, 20 and 60 %."""
    if augment.zoom == "range":
        return math.exp(rng.uniform(math.log(augment.zoom_low), math.log(augment.zoom_high)))
    if augment.zoom == "thesis":
        # The thesis's numbers are for crops of 256 px; other crops lose the same share.
        taken = rng.choice([100, 50, 20], p=[0.2, 0.2, 0.6]) / 256
        return float(1 / (1 - 2 * taken))
    return 1.0


def sample(
    pair: Pair, area: Area, centre: NDArray[np.float64], grid: NDArray[np.float64]
) -> tuple[Tensor, Tensor, Tensor]:
    """Interpolate a pair at image coordinates ``centre + grid`` (h, w, 2), never beyond the area."""
    points = grid + centre - 0.5
    low = np.maximum(np.floor(points.min(axis=(0, 1))).astype(int), (area.top, area.left))
    high = np.minimum(np.ceil(points.max(axis=(0, 1))).astype(int) + 1, (area.bottom, area.right))
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    size = high - low
    scaled = (points - low + 0.5) / size * 2 - 1
    coordinates = torch.from_numpy(scaled[None, :, :, ::-1].astype(np.float32))  # x before y
    stack = np.concatenate([part[:, window[0], window[1]] for part in (pair.image, pair.target, pair.weight)])
    out = F.grid_sample(
        torch.from_numpy(stack)[None], coordinates, mode="bilinear", padding_mode="reflection", align_corners=False
    )[0]
    targets = len(pair.image) + len(pair.target)
    return out[: len(pair.image)], out[len(pair.image) : targets], (out[targets:] > 0.999).float()


def augment(image: Tensor, augment: AugmentParams, rng: np.random.Generator) -> Tensor:
    """Change the look of an image (C, h, w), not its geometry; returns a new tensor."""
    if augment.contrast and rng.random() < augment.contrast:
        image = image * (0.5 if rng.random() < 0.5 else 3.0)
    if augment.defocus and rng.random() < augment.defocus:
        radius = augment.defocus_radius_px * (rng.random() if augment.defocus_any else 1.0)
        image = blur(image, defocus_kernel(radius))
    if augment.corruption and rng.random() < augment.corruption:
        image = corrupted(image, augment.corruption_levels, rng)
    image = other_light(image, augment, rng)
    channels = (len(image), 1, 1)
    if augment.gain or augment.brightness:
        image = image * math.exp(rng.normal() * augment.gain) + rng.normal() * augment.brightness
    if augment.plane_gain:
        factors = torch.from_numpy(rng.normal(size=(2, *channels)).astype(np.float32)) * augment.plane_gain
        image = image * factors[0].exp() + factors[1]
    if augment.noise:
        sigma = abs(rng.normal()) * augment.noise
        image = image + torch.from_numpy(rng.standard_normal(image.shape, np.float32)) * sigma
    if augment.normalise and rng.random() < augment.normalise:
        image = by_itself(image)
    if augment.plane_dropout:
        image = image * torch.from_numpy((rng.random(channels) >= augment.plane_dropout).astype(np.float32))
    if augment.cutout and rng.random() < 0.5:
        image = cut_out(image, augment, rng)
    return image


def corrupted(image: Tensor, levels: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Change a crop (C, h, w) on the scale from 0 to 1 by defocus, contrast or brightness of some level."""
    known = {name: [level for level in levels if level in SEVERITIES[name]] for name in PRINTED}
    names = [name for name, some in known.items() if some]
    if not names:
        return image
    name = names[int(rng.integers(len(names)))]
    level = known[name][int(rng.integers(len(known[name])))]
    return torch.from_numpy(corrupt(image.numpy(), name, level)) if level else image


def mixed(batch: dict[str, Tensor], shape: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """Add each crop of a batch to another one, and their truths likewise; a pixel counts where it counts in both.

    Parameters
    ----------
    batch : dict
        ``image``, ``target``, ``weight``, ``numbers``, each (B, ...).
    shape : float, > 0
        Both parameters of the Beta distribution that shares are drawn from: 1 for any share alike, less for shares
        that are close to 0 or 1.
    rng : Generator

    References
    ----------
    Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, equation 1.
    """
    count = len(batch["image"])
    shares = torch.from_numpy(rng.beta(shape, shape, count).astype(np.float32))
    other = torch.from_numpy(rng.permutation(count))

    def added(values: Tensor) -> Tensor:
        own = shares.view(-1, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[other]

    found = {name: added(batch[name]) for name in ("image", "target", "numbers")}
    return {**found, "weight": torch.minimum(batch["weight"], batch["weight"][other])}


def cut_out(image: Tensor, augment: AugmentParams, rng: np.random.Generator) -> Tensor:
    """Blank some rectangles of (C, h, w)."""
    image = image.clone()
    for _ in range(augment.cutout):
        size = rng.integers(4, augment.cutout_px + 1, 2)
        top, left = (rng.integers(0, max(1, n - s)) for n, s in zip(image.shape[1:], size, strict=True))
        image[:, top : top + size[0], left : left + size[1]] = 0
    return image
