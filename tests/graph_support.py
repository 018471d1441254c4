"""Networks of other programs, made on the spot and written as ONNX."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class SmallUNet(nn.Module):
    """One or two levels, with an answer far from 0 to 1."""

    def __init__(self, channels=1, outputs=2, levels=2, width=4, norm="batch"):
        super().__init__()
        make = {"batch": nn.BatchNorm2d, "instance": lambda c: nn.InstanceNorm2d(c, affine=True)}[norm]
        widths = [width * 2**k for k in range(levels + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), make(b), nn.ReLU())
            for a, b in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in widths[-2::-1])
        self.merge = nn.ModuleList(nn.Conv2d(2 * c, c, 3, padding=1) for c in widths[-2::-1])
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(self, x):
        """(B, C, H, W) to (B, K, H, W)."""
        kept = []
        for n, down in enumerate(self.down):
            x = down(x if n == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for up, merge, skip in zip(self.up, self.merge, kept[-2::-1], strict=True):
            x = torch.relu(merge(torch.cat([up(x), skip], 1)))
        return self.last(x) * 40 - 7


class Sheets(nn.Module):
    """Like a 2.5-D network: 1 x 1 x D x Y x X to 1 x K x D x Y x X."""

    def __init__(self, outputs=2):
        super().__init__()
        self.a = nn.Conv3d(1, 4, (5, 3, 3), padding=(2, 1, 1))
        self.b = nn.Conv3d(4, outputs, 3, padding=1)

    def forward(self, x):
        """Two convolutions."""
        return self.b(torch.relu(self.a(x))) * 9


class Centre(nn.Module):
    """Answers with the middle one of five planes: 1 x 1 x 5 x Y x X to 1 x 2 x 1 x Y x X."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv3d(1, 2, (5, 3, 3), padding=(0, 1, 1))

    def forward(self, x):
        """One convolution over all planes."""
        return self.a(x)


class Turned(nn.Module):
    """A network with its axes in another order."""

    def __init__(self, network, before, after):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x):
        """Axes in the order of the network, and back."""
        return self.network(x.permute(self.before)).permute(self.after)


def seeded(make, seed=0, **options):
    """A network with random weights, ready to run."""
    torch.manual_seed(seed)
    network = make(**options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def to_onnx(network, shape, free=(), opset=17):
    """Bytes of a network as ONNX; ``free`` are the axes of any length."""
    buffer = io.BytesIO()
    axes = {port: {n: f"{port}{n}" for n in free} for port in "xy"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(shape),),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes if free else None,
        )
    return buffer.getvalue()


def torch_answer(network, x):
    """What torch computes, without the batch axis."""
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None])[0].numpy()
