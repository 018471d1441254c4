"""Ins-ATP: a well as a bag of instances, and its ATP as a code, a number, or a sum of contributions.

MeshIns cuts the image into a grid of patches, each through a shared extractor; DeepIns takes the whole image through
the extractor and the cells of its feature map as instances. ``whole`` has no instances: plain regression, to compare.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.backbones import make_backbone

INSTANCES = ("deep", "mesh", "whole")
FUSIONS = ("attention", "gated", "sum", "concat", "additive")
HEADS = ("code", "value")
CONCAT_FEATURES = 8
MAX_BITS = 32
START = 2.0
"""Shifts contributions so that training starts at about an eighth of the range, where most wells lie."""


class AtpOutput(NamedTuple):
    """What the network answers.

    ``value``: ATP in target units, (B, 1), >= 0; ``encoding``: features of the instances, (B, F, g, g); ``attention``:
    weights a_n that sum to 1, (B, 1, g, g), uniform where there is no attention; ``contribution``: of each instance in
    target units, (B, 1, g, g), summing to ``value``: its own where the fusion is additive, its weight times what the
    head reads from it alone where there is attention (exact for a head without hidden units, else scaled to the sum), 0
    for other fusions; ``code``: logits of the bits and the fraction (B, n_bits + 1), or for a value head the number in
    shares of the range (B, 1).
    """

    value: Tensor
    encoding: Tensor
    attention: Tensor
    contribution: Tensor
    code: Tensor


class InsAtp(nn.Module):
    """Organoid ATP from a well image.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the image; one number out.
    instances : {"deep", "mesh", "whole"}
    grid : int, >= 1
        Instances along a side: g x g in all.
    fusion : {"attention", "gated", "sum", "concat", "additive"}
        How instances become a bag; ``additive`` gives each a scalar head and adds up.
    head : {"code", "value"}
        Bits and fraction (section 3.2.3), or a plain number. Additive bags have a plain number.
    bits : int, >= 1
        Of the code.
    bin_width, top : float, > 0, target units
        Width R of a bin, and the largest value of the range the network was fitted to.
    decode : {"soft", "hard"}
        Whether bits count by their probability, or by being above a half.
    backbone : {"residual", "vgg", "inception", "resnet18"}
    width, stages : int
        Of the extractor.
    floor : float, >= 0, even shares
        For ``additive``: what an instance contributes below this many even shares of the range is nothing, so that
        empty ground has exactly none. Gradients pass as though there were no floor.
    saturation : float, >= 0, in units of the input
        Deviation from the ground of which the network sees half: x becomes x / (1 + |x| / saturation), so that what is
        dark enough looks alike whatever the contrast, as glare, blur and few pixels change it. 0 leaves x as it is.
    squeeze : int, >= 0
        Features that each instance keeps before they are put side by side (``concat``); 0 keeps all of them.
    hidden : int
        Of attention and regression network.
    dropout : float, in [0, 1)

    References
    ----------
    Ins-ATP (seed 000), sections 3.2.1 to 3.2.3; gated attention: Ilse 2018, equation 9.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        instances: str = "deep",
        grid: int = 8,
        fusion: str = "attention",
        head: str = "code",
        bits: int = 5,
        bin_width: float = 20_000.0,
        top: float = 400_000.0,
        decode: str = "soft",
        backbone: str = "residual",
        width: int = 16,
        stages: int = 3,
        hidden: int = 64,
        dropout: float = 0.0,
        squeeze: int = CONCAT_FEATURES,
        floor: float = 0.0,
        saturation: float = 0.0,
    ) -> None:
        super().__init__()
        for value, known in ((instances, INSTANCES), (fusion, FUSIONS), (head, HEADS), (decode, ("soft", "hard"))):
            if value not in known:
                raise ValueError(f"'{value}' is none of {', '.join(known)}")
        if out_channels != 1 or grid < 1 or not 1 <= bits <= MAX_BITS or min(bin_width, top) <= 0:
            raise ValueError("one number out; grid, bits, bin width and top above 0")
        if min(squeeze, floor, saturation) < 0:
            raise ValueError("squeeze, floor and saturation are not below 0")
        self.instances, self.fusion, self.head = instances, fusion, "value" if fusion == "additive" else head
        self.grid, self.bits, self.bin_width, self.top = 1 if instances == "whole" else grid, bits, bin_width, top
        self.decode, self.floor, self.saturation = decode, floor, saturation
        self.extractor = make_backbone(backbone, in_channels, width, stages)
        features = self.extractor.features
        if fusion == "additive":
            self.share = nn.Conv2d(features, 1, 1)
            return
        if fusion in ("attention", "gated"):
            self.v = nn.Conv2d(features, hidden, 1)
            self.u = nn.Conv2d(features, hidden, 1) if fusion == "gated" else None
            self.w = nn.Conv2d(hidden, 1, 1, bias=False)
        if fusion == "concat":
            self.squeeze: nn.Module = nn.Conv2d(features, squeeze, 1) if squeeze else nn.Identity()
            features = (squeeze or features) * self.grid**2
        self.regression = nn.Sequential(
            nn.Linear(features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, bits + 1 if self.head == "code" else 1),
        )

    @property
    def has_attention(self) -> bool:
        """Whether the weights of the instances are learned."""
        return self.fusion in ("attention", "gated") and self.grid > 1

    @property
    def has_contribution(self) -> bool:
        """Whether there is a contribution of each instance to the number."""
        return self.adds_up or self.has_attention

    @property
    def adds_up(self) -> bool:
        """Whether the number is nothing but the sum of what instances contribute."""
        return self.fusion == "additive"

    def forward(self, x: Tensor) -> AtpOutput:
        """Estimate the ATP of wells (B, C, H, W); H and W are multiples of the grid and of the extractor's stride."""
        return self.answer(self.encode(x))

    def answer(self, encoding: Tensor) -> AtpOutput:
        """Estimate the ATP from the features of the instances, (B, F, g, g)."""
        if self.fusion == "additive":
            contribution = self.shares(encoding) * (self.top / self.grid**2)  # (B, 1, g, g)
            value = contribution.flatten(1).sum(1, keepdim=True)
            return AtpOutput(value, encoding, self._uniform(encoding), contribution, value / self.top)
        attention = self.attention(encoding)
        code = self.regression(self.fuse(encoding, attention))
        value = self.value(code)
        if not self.has_attention:
            return AtpOutput(value, encoding, attention, torch.zeros_like(attention), code)
        return AtpOutput(value, encoding, attention, self.attributed(value, encoding, attention), code)

    def shares(self, encoding: Tensor) -> Tensor:
        """Return what each instance contributes in even shares of the range, (B, 1, g, g); for ``additive``."""
        own = F.softplus(self.share(encoding) - START)
        if not self.floor:
            return own
        above = F.relu(own - self.floor)
        return own + (above - own).detach() if self.training else above

    def attributed(self, value: Tensor, encoding: Tensor, attention: Tensor) -> Tensor:
        """Deal the number out to the instances, (B, 1, g, g): attention times what the head reads from each alone."""
        alone = self.regression(encoding.permute(0, 2, 3, 1))  # (B, g, g, bits + 1)
        read = self.value(alone.reshape(-1, alone.shape[-1])).view(-1, 1, self.grid, self.grid)
        shares = attention * (read.clamp(min=0) + 1e-6 * self.top)
        return value.clamp(min=0)[:, :, None, None] * shares / shares.sum((2, 3), keepdim=True)

    def head_parameters(self) -> list[nn.Parameter]:
        """Return what turns the features of the instances into an amount."""
        return [p for name, p in self.named_parameters() if not name.startswith("extractor.")]

    def encode(self, x: Tensor) -> Tensor:
        """Return the features of the instances, (B, F, g, g)."""
        if self.saturation:
            x = x / (1 + x.abs() / self.saturation)
        if self.instances != "mesh":
            return F.adaptive_avg_pool2d(self.extractor(x), self.grid)
        g = self.grid
        rows = torch.cat(torch.chunk(x, g, 2), 0)  # (g B, C, H / g, W), the row of patches outermost
        patches = torch.cat(torch.chunk(rows, g, 3), 0)  # (g g B, C, H / g, W / g), column, then row outermost
        features: Tensor = self.extractor(patches).mean((2, 3))  # (g g B, F)
        return features.view(g, g, -1, features.shape[1]).permute(2, 3, 1, 0)  # (B, F, row, column)

    def attention(self, encoding: Tensor) -> Tensor:
        """Return the weights of the instances, (B, 1, g, g), equation 1; uniform without attention."""
        if self.fusion not in ("attention", "gated"):
            return self._uniform(encoding)
        hidden = torch.tanh(self.v(encoding))
        if self.u is not None:
            hidden = hidden * torch.sigmoid(self.u(encoding))
        scores = self.w(hidden)
        return torch.softmax(scores.flatten(1), 1).view_as(scores)

    def fuse(self, encoding: Tensor, attention: Tensor) -> Tensor:
        """Put instances together: weighted sum z of equation 1, plain sum, or side by side."""
        if self.fusion == "concat":
            squeezed: Tensor = self.squeeze(encoding)
            return squeezed.flatten(1)
        if self.fusion == "sum":
            return encoding.sum((2, 3))
        return (attention * encoding).sum((2, 3))

    def value(self, code: Tensor) -> Tensor:
        """Decode to target units, (B, 1)."""
        if self.head == "value":
            return F.relu(code) * self.top if not self.training else code * self.top
        shares = torch.sigmoid(code)
        bits, fraction = shares[:, :-1], shares[:, -1:]
        if self.decode == "hard" and not self.training:
            bits = (bits > 0.5).to(fraction.dtype)
        powers = torch.tensor([2.0**n for n in range(self.bits - 1, -1, -1)], device=code.device, dtype=code.dtype)
        return ((bits * powers).sum(1, keepdim=True) + fraction) * self.bin_width

    def _uniform(self, encoding: Tensor) -> Tensor:
        return torch.full_like(encoding[:, :1], 1 / self.grid**2)
