"""The convolutional multiple-instance network of Kraus, Ba and Frey 2016 (seed 002), section 4.2.

``ave_pool0 3x3, conv1 3x3 32, conv2 3x3 64, pool1 3x3, conv3 5x5 64, pool2 3x3, conv4 3x3 128, pool3 3x3,
conv5 3x3 128, pool4 3x3, conv6 1x1 1000, conv7 1x1 K, MIL pool, fully connected K``, ReLU after conv1 to conv6.

The paper gives neither strides nor padding. Here every layer pads by half its kernel ("same"), pool1 to pool4 have
stride 2 and ave_pool0 has a stride of 1 to 3, so that instance (i, j) is centred on pixel (16 s i, 16 s j), s the
stride of ave_pool0, and sees 33 s + 1 px to every side. Any image gives a map: its sides are padded to multiples of
16 s.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.pooling import LogProbability, Pooling
from vitascope.networks.reach import MIL_CNN

HALO_PX, MULTIPLE_PX = MIL_CNN.halo_px, MIL_CNN.multiple_px
"""How far a pixel of a Jacobian map reaches, and the distance of two instances; times the stride of ave_pool0."""

FILTERS = (32, 64, 64, 128, 128, 1000)


class MilOutput(NamedTuple):
    """What the network answers.

    ``logits``: z_ij of every instance, (B, K, h, w); ``encoding``: conv6 after its ReLU, (B, F, h, w); ``pooled``: the
    MIL layer's P_i; ``scores``: the last layer before softmax or sigmoid, (B, K).
    """

    logits: Tensor
    encoding: Tensor
    pooled: LogProbability
    scores: Tensor


class MilCnn(nn.Module):
    """Convolutional multiple-instance network.

    Parameters
    ----------
    in_channels : int, >= 1
    out_channels : int, >= 1
        Classes K.
    width : float, > 0
        Factor on the filters of conv1 to conv6; 1 is the paper's network.
    stride0 : int, 1 to 3
        Stride of ave_pool0.
    pooling : str
        Of :class:`vitascope.networks.pooling.Pooling`.
    sharpness : float, > 0
        a of Noisy-AND, r of LSE and the generalised mean.
    last : {"softmax", "sigmoid"}
        One class an image, or any number of them.
    dropout_pool, dropout_features : float, in [0, 1)
        After pool1 to pool4, and after conv6 (section 4.3: 0.2 and 0.5).

    References
    ----------
    Kraus 2016 (seed 002), sections 3.1, 4.2, 4.3.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        width: float = 1.0,
        stride0: int = 1,
        pooling: str = "noisy_and",
        sharpness: float = 10.0,
        last: str = "softmax",
        dropout_pool: float = 0.2,
        dropout_features: float = 0.5,
    ) -> None:
        super().__init__()
        filters = [round(n * width) for n in FILTERS]
        if min(in_channels, out_channels, *filters) < 1:
            raise ValueError("inputs, classes and filters must each be at least one")
        if stride0 not in (1, 2, 3):
            raise ValueError("the stride of ave_pool0 is 1, 2 or 3")
        if last not in ("softmax", "sigmoid"):
            raise ValueError("the last layer is softmax or sigmoid")
        self.last, self.stride0 = last, stride0
        self.features = _features(in_channels, filters, stride0, dropout_pool)
        self.dropout = nn.Dropout(dropout_features)
        self.classes = nn.Conv2d(filters[5], out_channels, 1)  # conv7
        self.pooling = Pooling(pooling, out_channels, sharpness)
        self.connected = nn.Linear(out_channels, out_channels)
        with torch.no_grad():  # the last layer starts as a copy of the MIL layer
            self.connected.weight.copy_(4 * torch.eye(out_channels))
            self.connected.bias.fill_(-2.0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> MilOutput:
        """Classify images.

        Parameters
        ----------
        x : Tensor, shape (B, C, H, W)
            H and W multiples of 16 times the stride of ave_pool0.
        mask : Tensor, shape (B, 1, h, w), optional
            1 where an instance counts.

        Returns
        -------
        MilOutput
        """
        encoding = self.features(x)  # (B, F, H / 16 s, W / 16 s)
        logits = self.classes(self.dropout(encoding))
        pooled, scores = self.head(logits, mask)
        return MilOutput(logits, encoding, pooled, scores)

    def head(self, logits: Tensor, mask: Tensor | None = None) -> tuple[LogProbability, Tensor]:
        """Pool instance logits (B, K, h, w) and apply the last layer: P of the MIL layer, and scores (B, K)."""
        with torch.autocast(logits.device.type, enabled=False):  # the logarithms want 32 bit
            pooled = self.pooling(logits.float(), mask)
            return pooled, self.connected(torch.exp(pooled.log_p))

    def log_odds(self, scores: Tensor) -> Tensor:
        """Return log(y / (1 - y)) of the last layer's probabilities y, (B, K), without computing y."""
        if self.last == "sigmoid" or scores.shape[1] == 1:
            return scores
        own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
        others = scores[:, None, :].masked_fill(own, -math.inf).logsumexp(2)
        return scores - others

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the last layer's probabilities y, (B, K)."""
        return torch.sigmoid(scores) if self.last == "sigmoid" else torch.softmax(scores, 1)


def joint_loss(output: MilOutput, target: Tensor, last: str, weight: Tensor | None = None) -> Tensor:
    """Return the joint cross-entropy at the MIL layer and at the last layer, averaged over the batch.

    Parameters
    ----------
    output : MilOutput
    target : Tensor, shape (B, K), 0 or 1
    last : {"softmax", "sigmoid"}
    weight : Tensor, shape (K,), optional
        Of each class, against imbalance.

    References
    ----------
    Kraus 2016 (seed 002), equation 2.
    """
    least = -100.0  # a bag cannot be wrong by more, as in torch's own cross-entropy
    log_p, log_not = output.pooled.log_p.clamp_min(least), output.pooled.log_not.clamp_min(least)
    at_pool = -(target * log_p + (1 - target) * log_not)
    if last == "softmax":
        at_last = -target * F.log_softmax(output.scores, 1)
    else:
        at_last = F.binary_cross_entropy_with_logits(output.scores, target, reduction="none")
    both = at_pool + at_last
    return (both if weight is None else both * weight).sum(1).mean()


def _features(in_channels: int, filters: list[int], stride0: int, dropout: float) -> nn.Sequential:
    """Build ave_pool0 to conv6 with its ReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(ave_pool0=nn.AvgPool2d(3, stride0, 1))
    ends = [in_channels, *filters]
    for number, kernel in enumerate((3, 3, 5, 3, 3, 1), start=1):
        layers[f"conv{number}"] = nn.Conv2d(ends[number - 1], ends[number], kernel, padding=kernel // 2)
        layers[f"relu{number}"] = nn.ReLU()
        if 2 <= number <= 5:
            layers[f"pool{number - 1}"] = nn.MaxPool2d(3, 2, 1)
            layers[f"dropout{number - 1}"] = nn.Dropout(dropout)
    return nn.Sequential(layers)
