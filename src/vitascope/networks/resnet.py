"""ResNet18 with the names of torchvision's weights, and the regression of viability on it (NViR)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.reach import RESNET
from vitascope.networks.strided_conv import SubsampledConv

STRIDE = RESNET.multiple_px
HEAD = (32, 32, 32, 32)
MIN_FILTERS = 4


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is led (He 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(SubsampledConv(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    """The residual network of 18 layers, without its last, fully connected one.

    Parameters and buffers have the names of torchvision's ``resnet18``, so that its weights fit at ``width`` 1.

    Parameters
    ----------
    in_channels : int, >= 1
    width : float, > 0
        Factor on the number of filters; 1 for the network of the paper (64 in the first layer).

    References
    ----------
    He et al. 2016, "Deep residual learning for image recognition", table 1.
    """

    def __init__(self, in_channels: int = 1, width: float = 1.0) -> None:
        super().__init__()
        filters = [round(n * width) for n in (64, 128, 256, 512)]
        if in_channels < 1 or filters[0] < MIN_FILTERS:
            raise ValueError(f"channels are at least 1, filters of the first layer at least {MIN_FILTERS}")
        self.conv1 = nn.Conv2d(in_channels, filters[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(filters[0])
        ends = [filters[0], *filters]
        for number in range(4):
            first = BasicBlock(ends[number], ends[number + 1], 1 if number == 0 else 2)
            stage = nn.Sequential(first, BasicBlock(ends[number + 1], ends[number + 1], 1))
            self.add_module(f"layer{number + 1}", stage)
        self.filters = filters[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to features (B, F, H / 32, W / 32), rounded up."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1)  # (B, 64 w, H / 4, W / 4)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x


class NvirOutput(NamedTuple):
    """What the network gives.

    Parameters
    ----------
    value : Tensor, shape (B, 1)
        Viability; 1 is that of the control.
    encoding : Tensor, shape (B, F, h, w)
        Deepest features.
    """

    value: Tensor
    encoding: Tensor


class Nvir(nn.Module):
    """Neural viability regression: ResNet18, mean over places, four layers of 32 with dropout, one number.

    Parameters
    ----------
    in_channels : int, >= 1
        Channels of an image; with ``pair`` twice as many, those of the control behind those of the image.
    width : float, > 0
        Factor on the filters of the extractor.
    pair : bool
        Whether the image stands beside its control: both go through the same extractor.
    dropout : float, 0 to below 1

    References
    ----------
    NViR (seed 001); the sizes of the head and dropout are those of its public code.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: float = 1.0,
        pair: bool = False,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if out_channels != 1:
            raise ValueError("viability is one number")
        if pair and in_channels % 2:
            raise ValueError("an image beside its control has an even number of channels")
        if not 0 <= dropout < 1:
            raise ValueError("dropout lies between 0 and 1")
        self.pair = pair
        self.trunk = ResNet18(in_channels // 2 if pair else in_channels, width)
        ends = [self.trunk.filters * (2 if pair else 1), *HEAD]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(ends):
            # fully connected layers, as convolutions of one place
            layers += [nn.Conv2d(inputs, outputs, 1), nn.ReLU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*layers, nn.Conv2d(ends[-1], 1, 1))

    def forward(self, x: Tensor) -> NvirOutput:
        """Estimate the viability of images (B, C, H, W)."""
        if self.pair:
            image, control = x.chunk(2, 1)  # (B, C / 2, H, W) each
            encoding = torch.cat([self.trunk(image), self.trunk(control)], 1)  # (B, 2 F, h, w)
        else:
            encoding = self.trunk(x)  # (B, F, h, w)
        return NvirOutput(self.head(encoding.mean((2, 3), keepdim=True))[:, :, 0, 0], encoding)  # (B, 1)


def grey_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn torchvision's weights for colour pictures into those of :class:`ResNet18` for grey ones.

    The first convolution is summed over red, green and blue: a grey picture gives what it would as a colour picture
    with three equal channels. The last, fully connected layer is left out.

    Parameters
    ----------
    weights : mapping of name to Tensor
        As in torchvision's ``resnet18``.

    Raises
    ------
    ValueError
        Naming what is missing or of another shape.
    """
    wanted = ResNet18(1).state_dict()
    found = {k: v for k, v in weights.items() if not k.startswith("fc.")}
    first = found.get("conv1.weight")
    if first is not None and first.ndim == 4 and first.shape[1] == 3:
        found["conv1.weight"] = first.sum(1, keepdim=True)
    for key, value in wanted.items():
        if key.endswith("num_batches_tracked"):
            found.setdefault(key, value)
    wrong = sorted(
        k for k in {*wanted, *found} if k not in wanted or k not in found or wanted[k].shape != found[k].shape
    )
    if wrong:
        raise ValueError(f"these are not the weights of a ResNet18: {', '.join(wrong[:3])}")
    return found
