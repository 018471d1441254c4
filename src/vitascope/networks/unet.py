"""The U-Net of in-silico labelling.

Read from Pankova 2022 (seed 004), section 3.1.1, Definitions 2.19 and 2.22 and section 3.2.2.2: five levels with 16,
32, 64, 128 and 256 filters (Definition 2.22: a 16 x 16 x 256 encoding of 256 x 256 pixels), two 3 x 3 convolutions a
level, ELU, 2 x 2 max-pooling, 2 x 2 transposed convolutions, skip connections, a 1 x 1 last convolution and a sigmoid.
Batch normalisation stands after the first convolution that follows each max-pooling (encoder levels 2 to 5) and nowhere
else. Definition 2.19 names ReLU in the decoder; section 2.2.1 says ELU is used throughout, which is taken here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.reach import UNET

HALO_PX, MULTIPLE_PX = UNET.halo_px, UNET.multiple_px
"""How far an output pixel sees, and what sides of the input are multiples of."""


LEVELS = 5


class UNetOutput(NamedTuple):
    """What the network answers.

    ``image``: (B, K, H, W) in (0, 1) with the sigmoid; ``encoding``: (B, 16 width, H/16, W/16), the deepest features.
    """

    image: Tensor
    encoding: Tensor


class ConvPair(nn.Module):
    """Two 3 x 3 convolutions with ELU; optional batch normalisation after the first, dropout after the second."""

    def __init__(self, channels_in: int, channels_out: int, *, norm: bool, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels_out) if norm else nn.Identity()
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H, W)."""
        x = F.elu(self.norm(self.first(x)))
        return self.dropout(F.elu(self.second(x)))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Five-level U-Net, label-free planes in, fluorescence out.

    Parameters
    ----------
    in_channels : int, >= 1
        Planes and channels of the input, stacked.
    out_channels : int, >= 1
        Targets.
    width : float, > 0
        Factor on the filters 16, 32, 64, 128, 256; 4 is the thesis's larger model (section 3.2.2.2).
    dropout : float, in [0, 1)
        Chance to drop a feature map after each pair of convolutions (section 3.1.5.2 uses 0.1); 0 is the default
        architecture.
    final_sigmoid : bool
        Whether ``image`` is squashed to (0, 1); the thesis does.
    columns : bool
        Whether the last convolution reads the features of all levels at a pixel (its "hypercolumn", Hariharan 2015)
        and not those of the last decoder level alone: what a ridge regression is fitted on.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.1; Ronneberger et al. 2015.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: float = 1.0,
        dropout: float = 0.0,
        final_sigmoid: bool = True,
        columns: bool = False,
    ) -> None:
        super().__init__()
        filters = [round(16 * width) * 2**level for level in range(5)]
        if min(in_channels, out_channels, filters[0]) < 1:
            raise ValueError("inputs, targets and filters must each be at least one")
        self.final_sigmoid, self.columns = final_sigmoid, columns
        ends = [in_channels, *filters]
        self.encoder = nn.ModuleList(ConvPair(ends[k], ends[k + 1], norm=k > 0, dropout=dropout) for k in range(5))
        self.up = nn.ModuleList(nn.ConvTranspose2d(filters[k], filters[k - 1], 2, stride=2) for k in (4, 3, 2, 1))
        self.decoder = nn.ModuleList(
            ConvPair(2 * filters[k], filters[k], norm=False, dropout=dropout) for k in (3, 2, 1, 0)
        )
        self.last = nn.Conv2d(filters[0], out_channels, 1)
        others = [*filters, *filters[3:0:-1]] if columns else []  # in the order of `maps`
        self.readers = nn.ModuleList(nn.Conv2d(n, out_channels, 1, bias=False) for n in others)
        initialise(self)

    def forward(self, x: Tensor) -> UNetOutput:
        """Predict fluorescence.

        Parameters
        ----------
        x : Tensor, shape (B, C, H, W), float
            H and W multiples of 16.

        Returns
        -------
        UNetOutput
        """
        maps = self.maps(x)
        image = self.last(maps[-1])  # (B, K, H, W)
        for reader, (level, read) in zip(self.readers, enumerate_levels(maps[:-1]), strict=False):  # no readers: none
            part = reader(read)
            image = image + (F.interpolate(part, scale_factor=float(2**level)) if level else part)
        return UNetOutput(torch.sigmoid(image) if self.final_sigmoid else image, maps[LEVELS - 1])

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the features of all levels: down the encoder, then up the decoder.

        Parameters
        ----------
        x : Tensor, shape (B, C, H, W), float

        Returns
        -------
        list of Tensor
            Nine, each (B, 16 width 2^level, H/2^level, W/2^level); the fifth is the deepest.
        """
        found: list[Tensor] = []
        for level, pair in enumerate(self.encoder):
            x = pair(F.max_pool2d(x, 2) if level else x)
            found.append(x)
        skips = found[: LEVELS - 1]
        for up, pair in zip(self.up, self.decoder, strict=True):
            x = pair(torch.cat([skips.pop(), up(x)], dim=1))
            found.append(x)
        return found


def enumerate_levels(maps: Sequence[Tensor]) -> list[tuple[int, Tensor]]:
    """Return maps of :meth:`UNet.maps` with their levels: 0 1 2 3 4, then 3 2 1 0."""
    return [(n if n < LEVELS else 2 * (LEVELS - 1) - n, one) for n, one in enumerate(maps)]


Convolution = nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d | nn.ConvTranspose3d


def fan_in(layer: Convolution) -> int:
    """Return how many inputs one output of a convolution adds up.

    A transposed convolution whose stride equals its kernel adds one pixel of each input channel.
    """
    weight = layer.weight
    if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
        taps = [max(1, k // s) for k, s in zip(layer.kernel_size, layer.stride, strict=True)]
        return int(weight.shape[0] * math.prod(taps))
    return int(weight[0].numel())


def he_normal_(weight: Tensor, fan: int, generator: torch.Generator | None = None) -> Tensor:
    """Fill a tensor from a normal distribution truncated at two standard deviations, of variance 2 / fan.

    Cutting at two standard deviations shrinks the spread to 0.8796 of the parent's; the parent is widened by as much,
    so that the variance is that of the equation, truly.

    Parameters
    ----------
    weight : Tensor
        Filled in place.
    fan : int, >= 1
        Inputs that one output adds up.
    generator : torch.Generator, optional

    References
    ----------
    Pankova 2022 (seed 004), equation 26; He et al. 2015.
    """
    std = math.sqrt(2.0 / fan) / 0.87962566103423978
    return nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std, generator=generator)


def initialise(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Start all convolutions by truncated He normal weights and zero biases, in place.

    Layers that a network calls its ``answers`` start by zeros: what no ReLU follows would else answer in the tens,
    where softmax and softplus hardly have a slope.
    """
    for layer in network.modules():
        if isinstance(layer, Convolution):
            he_normal_(layer.weight, fan_in(layer), generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in getattr(network, "answers", ()):
        nn.init.zeros_(layer.weight)
