"""The 3-D U-Net of SIM-spheroid (seed 003), section 2.3: residual blocks, deep supervision, two decoder branches.

The paper gives neither depth, filters nor poolings. Here there are three levels of w, 2 w and 4 w filters; the first
pooling halves y and x only, the second all three sides, because a voxel is about four times as deep as it is wide. The
segmentation branch answers at every stage of its decoder (the deepest level counts as the first); the density branch
stops at half the resolution, since a density is smooth, and is enlarged linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.reach import UNET3D

MULTIPLE_ZYX = (UNET3D.multiple_z, UNET3D.multiple_px, UNET3D.multiple_px)
"""Sides of the input are multiples of these."""

HALO_ZYX = (UNET3D.halo_z, UNET3D.halo_px, UNET3D.halo_px)
"""Reach of an output voxel, from an edge on a multiple."""

POOLINGS = ((1, 2, 2), (2, 2, 2))
SLABS = 8
"""Slabs of depth that the viability head takes the live voxels of (SIM-spheroid, section 2.5)."""

STAGE_WEIGHTS = (1.0, 0.5, 0.25)
"""Weights of the losses of the stages, the finest first; scaled to add up to 1."""

MERGE_WEIGHTS = (0.8, 0.15, 0.05)
"""Shares of the stages in the merged probabilities (section 2.7), the finest first."""


class VolumeOutput(NamedTuple):
    """What the network answers: probabilities of the classes and the density (B, K, D, H, W), and deepest features."""

    image: Tensor
    encoding: Tensor


class Stages(NamedTuple):
    """What training sees.

    ``logits``: of background and classes, at each stage, the finest first, each on its own grid; ``density``:
    (B, 1, D, H, W); ``encoding``: the deepest features.
    """

    logits: list[Tensor]
    density: Tensor
    encoding: Tensor


class UNet3d(nn.Module):
    """Residual 3-D U-Net with deep supervision and two decoder branches.

    Parameters
    ----------
    in_channels : int, >= 1
    out_channels : int, >= 2
        Answers: a probability for each class but the background, and the density last. 3 for live, dead and density, 2
        for the paper's live and density.
    width : int, >= 1
        Filters w of the first level.
    residual, deep_supervision : bool
        Off for ablations.
    planar : bool
        Look at each plane on its own: the slice-wise 2-D baseline of section 3.1.

    References
    ----------
    SIM-spheroid (seed 003), sections 2.3 and 2.7.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 3,
        width: int = 8,
        residual: bool = True,
        deep_supervision: bool = True,
        planar: bool = False,
    ) -> None:
        super().__init__()
        if in_channels < 1 or out_channels < 2 or width < 1:
            raise ValueError("a channel, two answers and a filter are the least")
        widths = [width, 2 * width, 4 * width]
        kernel = (1, 3, 3) if planar else (3, 3, 3)
        self.poolings = [(1, 2, 2), (1, 2, 2)] if planar else list(POOLINGS)
        self.merge_weights = MERGE_WEIGHTS if deep_supervision else MERGE_WEIGHTS[:1]
        ends = [in_channels, *widths]
        self.encoder = nn.ModuleList(_block(a, b, kernel, residual) for a, b in zip(ends, widths, strict=False))
        self.up, self.decoder = _decoder(widths, self.poolings, kernel, residual)
        self.density_up, self.density_decoder = _decoder(widths[1:], self.poolings[1:], kernel, residual)
        self.heads = nn.ModuleList(nn.Conv3d(w, out_channels, 1) for w in widths[: len(self.merge_weights)])
        self.density_head = nn.Conv3d(widths[1], 1, 1)
        self.viability = ViabilityHead()

    @property
    def answers(self) -> tuple[nn.Module, ...]:
        """The last layers, which no ReLU follows; see :func:`vitascope.networks.unet.initialise`."""
        return (*self.heads, self.density_head)

    def stages(self, x: Tensor) -> Stages:
        """Return the logits of every stage and the density.

        Parameters
        ----------
        x : Tensor, shape (B, C, D, H, W)
            Sides multiples of :data:`MULTIPLE_ZYX`.
        """
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool3d(x, self.poolings[level - 1]) if level else x)
            skips.append(x)  # (B, w 2^level, ...)
        encoding = skips.pop()
        deepest_first = [encoding, *_climb(encoding, skips, self.up, self.decoder)]
        logits = [head(y) for head, y in zip(self.heads, reversed(deepest_first), strict=False)]
        coarse = _climb(encoding, skips[1:], self.density_up, self.density_decoder)[-1]  # (B, 2 w, D, H / 2, W / 2)
        density = F.softplus(self.density_head(coarse))
        return Stages(logits, _enlarge(density, self.poolings[:1]), encoding)

    def forward(self, x: Tensor) -> VolumeOutput:
        """Segment volumes; the stages are merged by a weighted average of their probabilities (section 2.7)."""
        found = self.stages(x)
        total = sum(self.merge_weights)
        shares: list[Tensor] = []
        for stage, (weight, logits) in enumerate(zip(self.merge_weights, found.logits, strict=True)):
            p = torch.softmax(logits, 1)[:, 1:]
            shares.append(weight / total * _enlarge(p, self.poolings[:stage]))
        return VolumeOutput(torch.cat([torch.stack(shares).sum(0), found.density], 1), found.encoding)


class ViabilityHead(nn.Module):
    """Viability from live-voxel counts: a 1-D convolution along depth, then a fully connected layer (section 2.5).

    The paper counts the live voxels of a stack, which leaves a 1-D convolution nothing to run along. Here they are
    counted by slabs of depth, each divided by the live voxels of the whole untreated control, so that the answer is
    relative to the control (section 2.7). It starts as the plain quotient.
    """

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, features, 3, padding=1)
        self.connected = nn.Linear(features, 1)
        with torch.no_grad():
            tilt = torch.linspace(-0.1, 0.1, features)[:, None]
            self.conv.weight.copy_((torch.tensor([[0.0, 1.0, 0.0]]) + tilt * torch.tensor([[1.0, 0.0, -1.0]]))[:, None])
            self.conv.bias.zero_()  # type: ignore[union-attr]
            self.connected.weight.fill_(1 / features)
            self.connected.bias.zero_()

    def forward(self, counts: Tensor) -> Tensor:
        """Return viability (B,), 1 for that of the control.

        Parameters
        ----------
        counts : Tensor, shape (B, L)
            Live voxels of each slab over those of the whole control.
        """
        features = F.relu(self.conv(counts[:, None]))  # (B, features, L)
        viability: Tensor = self.connected(features.sum(2))[:, 0]
        return viability


def _block(inputs: int, outputs: int, kernel: Sequence[int], residual: bool) -> nn.Module:
    """Build two convolutions with batch normalisation and ReLU, and a skip connection around them."""
    from monai.networks.blocks import Convolution, ResidualUnit  # brings matplotlib along: loaded for 3-D only

    how = {"kernel_size": kernel, "adn_ordering": "NA", "act": "RELU", "norm": "BATCH"}
    if residual:
        block: nn.Module = ResidualUnit(3, inputs, outputs, subunits=2, **how)
        return block
    return nn.Sequential(Convolution(3, inputs, outputs, **how), Convolution(3, outputs, outputs, **how))


def _decoder(
    widths: Sequence[int], poolings: Sequence[Sequence[int]], kernel: Sequence[int], residual: bool
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Build a branch from the widest level to the narrowest: what enlarges, and the blocks after it."""
    levels = list(zip(widths[1:], widths, poolings, strict=False))[::-1]
    ups = [nn.ConvTranspose3d(wide, narrow, tuple(p), tuple(p)) for wide, narrow, p in levels]  # type: ignore[arg-type]
    return nn.ModuleList(ups), nn.ModuleList(_block(2 * n, n, kernel, residual) for _, n, _ in levels)


def _climb(x: Tensor, skips: Sequence[Tensor], ups: nn.ModuleList, blocks: nn.ModuleList) -> list[Tensor]:
    found = []
    for up, block, skip in zip(ups, blocks, reversed(skips), strict=True):
        x = block(torch.cat([skip, up(x)], 1))
        found.append(x)
    return found


def _enlarge(x: Tensor, poolings: Sequence[Sequence[int]]) -> Tensor:
    """Undo poolings by linear interpolation."""
    if not poolings:
        return x
    factors = [1.0, 1.0, 1.0]
    for pooling in poolings:
        factors = [f * p for f, p in zip(factors, pooling, strict=True)]
    return F.interpolate(x, scale_factor=factors, mode="trilinear", align_corners=False)
