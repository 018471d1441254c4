"""The network of Ounkomol 2018 for pictures and volumes, with the names of tensors of its public implementation.

Each level has two convolutions of 3 along each side with batch normalisation and ReLU on the way down and two on the
way up, a strided convolution of 2 between levels and a transposed one back; the filters double from level to level; a
convolution of 3 ends it. Unlike the U-Net it halves by convolution, normalises everywhere and ends without a sigmoid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_LEVELS = 4
"""Of the paper; the reach and the multiple of 16 that tiles are planned by are of so many."""


CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class FNetOutput(NamedTuple):
    """What the network answers.

    ``image``: (B, K, H, W), or (B, K, D, H, W) of volumes, any number; ``encoding``: (B, 16 filters, H/16, W/16), or
    with D/16.
    """

    image: Tensor
    encoding: Tensor


class ConvNormPair(nn.Module):
    """Two convolutions of 3, each with batch normalisation and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, dims: int = 2) -> None:
        super().__init__()
        self.conv1 = CONVOLUTIONS[dims](channels_in, channels_out, 3, padding=1)
        self.bn1 = NORMS[dims](channels_out)
        self.conv2 = CONVOLUTIONS[dims](channels_out, channels_out, 3, padding=1)
        self.bn2 = NORMS[dims](channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, ...) to (B, C_out, ...)."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Level(nn.Module):
    """One level with all below it; the deepest has a pair of convolutions only."""

    def __init__(self, channels_in: int, filters: int, below: int, dims: int = 2) -> None:
        super().__init__()
        self.below = below
        self.sub_2conv_more = ConvNormPair(channels_in, filters, dims)  # parts stand in the order of computation
        if below:
            self.conv_down = CONVOLUTIONS[dims](filters, filters, 2, stride=2)
            self.bn0 = NORMS[dims](filters)
            self.sub_u = Level(filters, 2 * filters, below - 1, dims)
            self.convt = TRANSPOSED[dims](2 * filters, filters, 2, stride=2)
            self.bn1 = NORMS[dims](filters)
            self.sub_2conv_less = ConvNormPair(2 * filters, filters, dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, ...) to (B, filters, ...), and give the deepest features."""
        kept = self.sub_2conv_more(x)
        if not self.below:
            return kept, kept
        deep, encoding = self.sub_u(F.relu(self.bn0(self.conv_down(kept))))
        back = F.relu(self.bn1(self.convt(deep)))
        return self.sub_2conv_less(torch.cat([kept, back], dim=1)), encoding


class FNet(nn.Module):
    """Label-free picture in, fluorescence out.

    Parameters
    ----------
    in_channels : int, >= 1
        Planes and channels of the input, stacked.
    out_channels : int, >= 1
        Targets.
    filters : int, >= 1
        Of the first level; 32 in the paper.

    References
    ----------
    Ounkomol et al. 2018, Nature Methods 15, 917, doi:10.1038/s41592-018-0111-2, methods, "Model architecture".
    """

    dims = 2

    def __init__(self, in_channels: int = 1, out_channels: int = 1, filters: int = 32) -> None:
        super().__init__()
        if min(in_channels, out_channels, filters) < 1:
            raise ValueError("inputs, targets and filters must each be at least one")
        self.net_recurse = Level(in_channels, filters, MOST_LEVELS, self.dims)
        self.conv_out = CONVOLUTIONS[self.dims](filters, out_channels, 3, padding=1)

    @property
    def answers(self) -> tuple[nn.Module, ...]:
        """The layer that no ReLU follows: training starts from 0 everywhere, not from noise ten times the stain."""
        return (self.conv_out,)

    def forward(self, x: Tensor) -> FNetOutput:
        """Predict fluorescence.

        Parameters
        ----------
        x : Tensor, shape (B, C, H, W), float
            H and W multiples of 16.

        Returns
        -------
        FNetOutput
        """
        found, encoding = self.net_recurse(x)
        return FNetOutput(self.conv_out(found), encoding)


class FNet3d(FNet):
    """The same for volumes: (B, C, D, H, W), sides multiples of 16, to (B, K, D, H, W).

    The paper trains on 32 x 64 x 64 voxels, normalised to mean 0 and standard deviation 1 by image.
    """

    dims = 3
