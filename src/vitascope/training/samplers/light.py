"""Crops as another microscope would show them: polarity, gamma, halo, shading, a scale of their own."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from vitascope.core.training_params import AugmentParams

HALO_PX = (4.0, 24.0)
"""Widths of halos: from a quarter of a small nucleus to a cell."""
OUTER, LIMITS = (0.02, 0.98), (-0.25, 1.25)
"""Quantiles of a crop brought to its own scale that become 0 and 1, and where it is cut off: those of ``nuclei-any``.
Debris that covers a few hundredths of an image then takes no contrast from the cells."""


def other_light(image: Tensor, augment: AugmentParams, rng: np.random.Generator) -> Tensor:
    """Change gamma, halo, shading and polarity of a crop (C, h, w); what is 0 in ``augment`` draws no number."""
    if augment.gamma:
        image = power(image, math.exp(rng.normal() * augment.gamma))
    if augment.halo:
        share = rng.uniform(-augment.halo / 2, augment.halo)
        width = math.exp(rng.uniform(math.log(HALO_PX[0]), math.log(HALO_PX[1])))
        image = image - share * smooth(image, width)
    if augment.shading:
        image = image + slope(image.shape[1:], rng) * (image.std() * augment.shading * abs(rng.normal()))
    if augment.invert and rng.random() < augment.invert:
        image = image.amax() + image.amin() - image
    return image


def power(image: Tensor, gamma: float) -> Tensor:
    """Raise an image, brought to [0, 1] by its extremes, to a power; its extremes stay."""
    low, high = image.min(), image.max()
    span = (high - low).clamp_min(1e-6)
    return low + span * ((image - low) / span).clamp(0, 1) ** gamma


def slope(shape_yx: torch.Size, rng: np.random.Generator) -> Tensor:
    """Draw a smooth slope (1, h, w) of unit standard deviation: linear and quadratic."""
    y, x = (torch.linspace(-1, 1, n) for n in shape_yx)
    factors = [float(f) for f in rng.normal(size=5)]
    terms = (y[:, None] + 0 * x, x[None] + 0 * y[:, None], y[:, None] * x[None], y[:, None] ** 2 + 0 * x,
             x[None] ** 2 + 0 * y[:, None])  # fmt: skip
    drawn = sum((f * t for f, t in zip(factors, terms, strict=True)), torch.zeros(1))
    return ((drawn - drawn.mean()) / drawn.std().clamp_min(1e-6))[None]


def smooth(image: Tensor, sigma_px: float) -> Tensor:
    """Blur (C, h, w) widely: three box filters come close to a Gaussian of ``sigma_px``."""
    side = max(3, 2 * round(sigma_px) + 1)
    found = image.numpy()
    for _ in range(3):
        found = ndimage.uniform_filter(found, (0, side, side), mode="nearest")
    return torch.from_numpy(found)


def by_itself(image: Tensor) -> Tensor:
    """Bring a crop (C, h, w) to the scale that it would have as an image: its 2 and 98 % quantiles to 0 and 1."""
    ordered = image.flatten().sort().values
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in OUTER)
    return ((image - low) / (high - low).clamp_min(1e-6)).clamp(*LIMITS)


def blur(image: Tensor, kernel: NDArray[np.float32]) -> Tensor:
    """Convolve each channel of (C, h, w) with a square odd kernel, edges reflected."""
    reach = kernel.shape[0] // 2
    padded = F.pad(image[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(padded, torch.from_numpy(kernel.astype(np.float32))[None, None])[:, 0]
