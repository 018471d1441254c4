"""A quick answer before training: ridge regression of the stain on all features that a U-Net has at a pixel.

It takes seconds, tells what the starting model's features are worth on new images, and is a model like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.unet import UNet, enumerate_levels
from vitascope.training.loop.batches import Batch

PULLS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Tried weights of the penalty, of standardised features."""

PIXELS = 4096
"""Drawn from each batch."""

LEAST_SPREAD = 1e-6


class Moments:
    """Sums of products of features, stains and 1 over pixels, from which a ridge regression follows."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Add pixels, shape (N, F + K)."""
        whole = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
        product = whole.T @ whole
        self.sums = product if self.sums is None else self.sums + product

    def __add__(self, other: Moments) -> Moments:
        both = Moments()
        found = [m.sums for m in (self, other) if m.sums is not None]
        both.sums = torch.stack(found).sum(0) if found else None
        return both

    def ridge(self, features: int, pull: float) -> Tensor:
        """Return weights and bias of the regression, shape (F + 1, K)."""
        assert self.sums is not None
        count = self.sums[-1, -1]
        mean = self.sums[:-1, -1] / count
        covariance = self.sums[:-1, :-1] / count - torch.outer(mean, mean)
        spread = covariance.diagonal()[:features].clamp_min(0).sqrt()
        known = spread > LEAST_SPREAD
        scale = torch.where(known, spread, torch.ones_like(spread))
        shared = covariance[:features, :features] / torch.outer(scale, scale)
        shared = shared + torch.diag(torch.where(known, torch.full_like(scale, pull), torch.ones_like(scale)))
        weights = torch.linalg.solve(shared, covariance[:features, features:] / scale[:, None]) / scale[:, None]
        weights = torch.where(known[:, None], weights, torch.zeros_like(weights))
        bias = mean[features:] - mean[:features] @ weights
        return torch.cat([weights, bias[None]])

    def error(self, found: Tensor) -> float:
        """Return the summed squared error of a regression over these pixels."""
        assert self.sums is not None
        features = len(found) - 1
        order = [*range(features), len(self.sums) - 1]
        stains = range(features, len(self.sums) - 1)
        own, cross = self.sums[order][:, order], self.sums[order][:, list(stains)]
        squares = self.sums.diagonal()[features:-1]
        return float((found * (own @ found)).sum() - 2 * (found * cross).sum() + squares.sum())


def ridge_network(network: UNet, batches: Iterable[Batch], seed: int = 0) -> UNet:
    """Return a network that answers by ridge regression on the features of another.

    Parameters
    ----------
    network : UNet
        In any mode; not changed.
    batches : iterable of Batch
        Crops as they lie in the images: ``image, target, weight``. How strongly weights are pulled to 0 is chosen on
        every other batch.
    seed : int
        Draws the pixels.

    Returns
    -------
    UNet
        With ``columns``, in evaluation mode, on the processor, its last layer rounded to 16 bit as files keep it.
    """
    filters, outputs = network.last.in_channels, network.last.out_channels
    inputs = network.state_dict()["encoder.0.first.weight"].shape[1]
    quick = UNet(inputs, outputs, filters / 16, final_sigmoid=False, columns=True)
    quick.load_state_dict(network.state_dict(), strict=False)
    quick.eval().requires_grad_(False)
    halves = (Moments(), Moments())
    generator = torch.Generator().manual_seed(seed)
    for number, batch in enumerate(batches):
        halves[number % 2].add(_pixels(quick, batch, generator))
    readers = [m for m in (*quick.readers, quick.last) if isinstance(m, nn.Conv2d)]
    features = sum(reader.in_channels for reader in readers)
    kept, tried = halves if halves[1].sums is not None else (halves[0], halves[0])
    pull = min(PULLS, key=lambda one: tried.error(kept.ridge(features, one)))
    found = (halves[0] + halves[1]).ridge(features, pull).half().float()  # (F + 1, K)
    start = 0
    for reader in readers:
        end = start + reader.in_channels
        reader.weight.copy_(found[start:end].T[:, :, None, None])
        start = end
    quick.last.bias.copy_(found[-1])  # type: ignore[union-attr]
    return quick


def _pixels(network: UNet, batch: Batch, generator: torch.Generator) -> Tensor:
    """Return features and stains of some pixels that count, shape (N, F + K), float64."""
    with torch.no_grad():
        maps = network.maps(batch["image"].float().cpu())
        columns = [F.interpolate(m, scale_factor=float(2**n)) if n else m for n, m in enumerate_levels(maps)]
    stains = batch["target"].float().cpu()
    counts = (batch["weight"].cpu() > 0).all(1).flatten().nonzero()[:, 0]
    chosen = counts[torch.randperm(len(counts), generator=generator)[:PIXELS]]
    flat = [one.movedim(1, -1).flatten(0, 2)[chosen].double() for one in (*columns, stains)]
    return torch.cat(flat, 1)
