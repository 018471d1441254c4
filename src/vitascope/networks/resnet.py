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
MIN_FILTERS, STAGES = 4, 4
START = 3.0
"""Shifts counts so that training starts with next to nothing at a place."""

NONE = 0.1
"""Cells at a place below which there are none there: not one in ten."""

UNSEEN = 0.01
"""Cells of either kind that are taken for granted: without any, the share is one half."""


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
    stages : int, 1 to 4
        How many of its four stages there are; each but the first halves the side.

    References
    ----------
    He et al. 2016, "Deep residual learning for image recognition", table 1.
    """

    def __init__(self, in_channels: int = 1, width: float = 1.0, stages: int = STAGES) -> None:
        super().__init__()
        filters = [round(n * width) for n in (64, 128, 256, 512)][:stages]
        if in_channels < 1 or not 1 <= stages <= STAGES or filters[0] < MIN_FILTERS:
            raise ValueError(
                f"channels are at least 1, stages 1 to {STAGES}, filters of the first layer at least {MIN_FILTERS}"
            )
        self.conv1 = nn.Conv2d(in_channels, filters[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(filters[0])
        ends = [filters[0], *filters]
        for number in range(stages):
            first = BasicBlock(ends[number], ends[number + 1], 1 if number == 0 else 2)
            stage = nn.Sequential(first, BasicBlock(ends[number + 1], ends[number + 1], 1))
            self.add_module(f"layer{number + 1}", stage)
        self.filters, self.stages = filters[-1], stages

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to features (B, F, H / 2^(stages + 1), W / 2^(stages + 1)), rounded up."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1)  # (B, 64 w, H / 4, W / 4)
        for number in range(1, self.stages + 1):
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

    With ``counts`` the number is a share of cells instead: of each place the network says how many living and how many
    dead cells are there, and adds both up over the image, as multiple-instance learning does. The image's share is
    enough to learn it; where the cells are known, counts themselves are learned.

    Parameters
    ----------
    in_channels : int
        Channels of an image; with ``pair`` twice as many, those of the control behind those of the image.
    width : float, > 0
        Factor on the filters of the extractor.
    pair : bool
        Whether the image stands beside its control: both go through the same extractor.
    dropout : float, 0 to below 1
        Of the four layers.
    counts : bool
        Whether cells are counted place by place; there are no four layers then, and no control.
    stages : int, 1 to 4
        Of the extractor; with two of them, places are 8 px apart.
    saturation : float, >= 0, in units of the input
        Deviation of which the network sees half: x becomes x / (1 + |x| / saturation); 0 leaves x as it is.

    References
    ----------
    NViR (seed 001); the sizes of the head and dropout are those of its public code. Counting is not in it: Lempitsky
    and Zisserman 2010, "Learning to count objects in images", for sums over places.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: float = 1.0,
        pair: bool = False,
        dropout: float = 0.3,
        counts: bool = False,
        stages: int = STAGES,
        saturation: float = 0.0,
    ) -> None:
        super().__init__()
        if out_channels != 1:
            raise ValueError("viability is one number")
        if pair and (in_channels % 2 or counts):
            raise ValueError("an image beside its control has an even number of channels; its cells are not counted")
        if not 0 <= dropout < 1 or saturation < 0:
            raise ValueError("dropout lies between 0 and 1, saturation not below 0")
        self.pair, self.counts, self.saturation = pair, counts, saturation
        self.trunk = ResNet18(in_channels // 2 if pair else in_channels, width, stages)
        if counts:
            self.head: nn.Module = nn.Conv2d(self.trunk.filters, 2, 1)
            return
        ends = [self.trunk.filters * (2 if pair else 1), *HEAD]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(ends):
            # fully connected layers, as convolutions of one place
            layers += [nn.Conv2d(inputs, outputs, 1), nn.ReLU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*layers, nn.Conv2d(ends[-1], 1, 1))

    def forward(self, x: Tensor) -> NvirOutput:
        """Estimate the viability of images (B, C, H, W)."""
        if self.saturation:
            x = x / (1 + x.abs() / self.saturation)
        if self.pair:
            image, control = x.chunk(2, 1)  # (B, C / 2, H, W) each
            encoding = torch.cat([self.trunk(image), self.trunk(control)], 1)  # (B, 2 F, h, w)
        else:
            encoding = self.trunk(x)  # (B, F, h, w)
        if self.counts:
            cells = self.cells(encoding).sum((2, 3)) + UNSEEN  # (B, 2)
            return NvirOutput(cells[:, :1] / cells.sum(1, keepdim=True), encoding)
        return NvirOutput(self.head(encoding.mean((2, 3), keepdim=True))[:, :, 0, 0], encoding)  # (B, 1)

    def cells(self, encoding: Tensor) -> Tensor:
        """Return the living and the dead cells of each place, (B, 2, h, w), >= 0; for ``counts``.

        Where only images' shares teach it, only the ratio means something. Gradients pass as though nothing were cut
        off.
        """
        own = self.expected_cells(encoding)
        above = F.relu(own - NONE)
        return own + (above - own).detach() if self.training else above

    def expected_cells(self, encoding: Tensor) -> Tensor:
        """Return the same before next to none is cut off, (B, 2, h, w), > 0: what is expected at each place."""
        return F.softplus(self.head(encoding).float() - START)


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
