"""The two convolutional autoencoders of Pankova 2022 (seed 004), section 4.2.2: crops of 256 px as 3528 or 200 numbers.

Figure 52, which drew them, is not preserved. Our reading: four times a 3 x 3 convolution without padding and 2 x 2
max-pooling leave 14 x 14 pixels of 256, so that 18 filters in the last make 14 x 14 x 18 = 3528; a 5 x 5 convolution
and pooling more leave 5 x 5, of 8 filters 200. The decoder doubles the side four times, from 16. No skip connections.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CROP_PX = 256
Code = Literal[3528, 200]
FILTERS = (16, 32, 32, 18)
SMALL_FILTERS = 8
START_PX = 16


class Coded(NamedTuple):
    """What the network answers: ``image`` (B, 1, 256, 256), and ``code`` (B, 3528) or (B, 200)."""

    image: Tensor
    code: Tensor


class Autoencoder(nn.Module):
    """Crops in, the same crops out, through few numbers.

    Parameters
    ----------
    code : {3528, 200}
        Numbers that a crop becomes.
    """

    def __init__(self, code: Code = 3528) -> None:
        super().__init__()
        sides = (1, *FILTERS)
        self.down = nn.ModuleList(nn.Conv2d(sides[k], sides[k + 1], 3) for k in range(len(FILTERS)))
        self.last = nn.Conv2d(FILTERS[-1], SMALL_FILTERS, 5) if code == 200 else None
        back = (SMALL_FILTERS if code == 200 else FILTERS[-1], *FILTERS[-2::-1], FILTERS[0])
        self.up = nn.ModuleList(nn.Conv2d(back[k], back[k + 1], 3, padding=1) for k in range(len(FILTERS)))
        self.out = nn.Conv2d(FILTERS[0], 1, 3, padding=1)

    def encode(self, x: Tensor) -> Tensor:
        """Map crops (B, 1, 256, 256) to maps of few numbers, (B, 18, 14, 14) or (B, 8, 5, 5)."""
        for layer in self.down:
            x = F.max_pool2d(F.elu(layer(x)), 2)
        if self.last is not None:
            x = F.max_pool2d(F.elu(self.last(x)), 2)
        return x

    def forward(self, x: Tensor) -> Coded:
        """Map crops (B, 1, 256, 256) to themselves and their codes."""
        code = self.encode(x)
        y = F.interpolate(code, size=(START_PX, START_PX), mode="bilinear", align_corners=False)
        for layer in self.up:
            y = F.interpolate(F.elu(layer(y)), scale_factor=2.0, mode="nearest")
        return Coded(self.out(y), code.flatten(1))


def make_autoencoder(code: Code, seed: int) -> Autoencoder:
    """Return an autoencoder with weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Autoencoder(code)
