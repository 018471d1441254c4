"""Feature extractors: the residual one of Ins-ATP, and small relatives of VGG and Inception for comparison.

All take (B, C, H, W) and give (B, F, H / stride, W / stride), each stage half the side and twice the filters.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.resnet import ResNet18
from vitascope.networks.strided_conv import SubsampledConv


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Build a convolution with batch normalisation and ReLU, padded by half its kernel."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class ResidualBlock(nn.Module):
    """Two convolutions around which the input is led (He 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.around = nn.Sequential(SubsampledConv(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return F.relu(self.second(self.first(x)) + self.around(x))


class InceptionBlock(nn.Module):
    """Four ways side by side: 1 x 1, 3 x 3, two of 3 x 3 (as 5 x 5), and pooling (Szegedy 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        part = outputs // 4
        self.ways = nn.ModuleList(
            [
                convolution(inputs, part, 1),
                nn.Sequential(convolution(inputs, part, 1), convolution(part, part, 3)),
                nn.Sequential(convolution(inputs, part, 1), convolution(part, part, 3), convolution(part, part, 3)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), convolution(inputs, outputs - 3 * part, 1)),
            ]
        )
        self.shrink: nn.Module = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return torch.cat([way(self.shrink(x)) for way in self.ways], 1)


class _VggBlock(nn.Sequential):
    """Two plain convolutions and max-pooling (Simonyan 2015), batch-normalised."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        shrink: nn.Module = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        super().__init__(convolution(inputs, outputs, 3), convolution(outputs, outputs, 3), shrink)


BLOCKS: dict[str, type[nn.Module]] = {"residual": ResidualBlock, "vgg": _VggBlock, "inception": InceptionBlock}


class ResnetBackbone(ResNet18):
    """ResNet18 as an extractor, of stride 32."""

    stride = 32

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(in_channels, width / 64)
        self.features = self.filters


def make_backbone(kind: str, in_channels: int, width: int, stages: int) -> Backbone | ResnetBackbone:
    """Build an extractor by name; ``resnet18`` has stages of its own."""
    return ResnetBackbone(in_channels, width) if kind == "resnet18" else Backbone(kind, in_channels, width, stages)


class Backbone(nn.Sequential):
    """A stem of stride 2, then stages that each halve the side and double the filters.

    Parameters
    ----------
    kind : {"residual", "vgg", "inception"}
    in_channels : int, >= 1
    width : int, >= 4
        Filters of the stem and the first stage.
    stages : int, 1 to 5
        The stride is ``2 ** stages``.
    """

    def __init__(self, kind: str, in_channels: int, width: int, stages: int) -> None:
        if kind not in BLOCKS:
            raise ValueError(f"'{kind}' is none of {', '.join(BLOCKS)}, resnet18")
        if not 1 <= stages <= 5 or width < 4 or in_channels < 1:
            raise ValueError("stages are 1 to 5, filters at least 4, channels at least 1")
        filters = [width * 2**n for n in range(stages)]
        ends = [width, *filters]
        blocks = [BLOCKS[kind](ends[n], ends[n + 1], 1 if n == 0 else 2) for n in range(stages)]
        super().__init__(convolution(in_channels, width, 3, 2), *blocks)
        self.features, self.stride = filters[-1], 2**stages
