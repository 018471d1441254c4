"""How far networks see by their operations, against what a gradient or a change of pixels shows."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from graph_support import Sheets, SmallUNet, seeded, to_onnx
from vitascope.engine.graphs.measure import GraphQuestion, explore, told_reach

pytest.importorskip("onnx")


class Enlarging(nn.Module):
    """Halves by a convolution, normalises places alone, enlarges by interpolation, mirrors its edge."""

    def __init__(self, mode="bilinear", align=None, groups=0):
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1, stride=2)
        self.group = nn.GroupNorm(groups, 4) if groups else nn.Identity()
        self.layer = nn.LayerNorm(4)
        self.b = nn.Conv2d(4, 1, 3, padding=1)
        self.mode, self.align = mode, align

    def forward(self, x):
        y = self.layer(self.group(self.a(x)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = F.interpolate(y, size=x.shape[2:], mode=self.mode, align_corners=self.align)
        return self.b(F.gelu(F.pad(y, (1, 1, 1, 1), mode="reflect")))[:, :, 1:-1, 1:-1]


class Shuffle(nn.Module):
    """Pixels are put beside each other by a shuffle."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 2, stride=2), nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        return self.b(F.pixel_shuffle(self.a(x), 2))


class Tokens(nn.Module):
    """Patches as a list, each alone or looking at all others."""

    def __init__(self, attention=False):
        super().__init__()
        self.a, self.line, self.norm = nn.Conv2d(1, 8, 4, stride=4), nn.Linear(8, 8), nn.LayerNorm(8)
        self.b, self.attention = nn.ConvTranspose2d(8, 1, 4, 4), attention

    def forward(self, x):
        y = self.a(x)
        b, c, h, w = y.shape
        t = self.norm(self.line(y.flatten(2).transpose(1, 2)))
        if self.attention:
            t = torch.softmax(t @ t.transpose(1, 2), -1) @ t
        return self.b(t.transpose(1, 2).reshape(b, c, h, w))


class Weighed(nn.Module):
    """Channels weighed by what the whole picture holds."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        y = self.a(x)
        return self.b(y * torch.sigmoid(y.mean((2, 3), keepdim=True)))


class Shut(nn.Module):
    """A wide path that no random picture opens."""

    def __init__(self):
        super().__init__()
        self.a, self.wide = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 61, padding=30)
        nn.init.constant_(self.wide.weight, 1 / 61**2)
        nn.init.constant_(self.wide.bias, -3.0)

    def forward(self, x):
        return self.a(x) + F.relu(self.wide(x))


class SeveralPlanes(nn.Module):
    """Like UNeXt2: planes are folded in at the start and out of channels at the end."""

    def __init__(self, response=False):
        super().__init__()
        self.stem = nn.Conv3d(1, 8, (5, 4, 4), stride=(5, 4, 4))
        self.deep, self.norm = nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.head, self.response = nn.Conv2d(8, 2 * 5 * 16, 3, padding=1), response

    def forward(self, x):
        y = first = self.stem(x)[:, :, 0]
        y = F.gelu(self.up(self.norm(self.deep(y).permute(0, 2, 3, 1))))
        if self.response:
            size = torch.norm(y, dim=(1, 2), keepdim=True)
            y = y * (size / (size.mean(-1, keepdim=True) + 1e-6)) + y
        y = F.pixel_shuffle(self.head(first + self.down(y).permute(0, 3, 1, 2)), 4)
        return y.reshape(y.shape[0], 2, 5, y.shape[2], y.shape[3])


PICTURE, STACK = (1, 1, 32, 32), (1, 1, 5, 32, 32)
LOCAL = {
    "unet": (seeded(SmallUNet), PICTURE),
    "bilinear": (seeded(Enlarging), PICTURE),
    "nearest": (seeded(Enlarging, mode="nearest"), PICTURE),
    "shuffle": (seeded(Shuffle), PICTURE),
    "tokens": (seeded(Tokens), PICTURE),
    "shut": (seeded(Shut), PICTURE),
    "sheets": (seeded(Sheets), STACK),
    "planes": (seeded(SeveralPlanes), STACK),
}
WHOLE = {
    "instance": (seeded(SmallUNet, norm="instance"), PICTURE),
    "group": (seeded(Enlarging, groups=2), PICTURE),
    "corners": (seeded(Enlarging, align=True), PICTURE),
    "attention": (seeded(Tokens, attention=True), PICTURE),
    "weighed": (seeded(Weighed), PICTURE),
    "response": (seeded(SeveralPlanes, response=True), STACK),
}


def told(network, shape):
    axes = "bcyx" if len(shape) == 4 else "bczyx"
    data = to_onnx(network, shape, free=(len(shape) - 2, len(shape) - 1))
    depth = 1 if len(shape) == 4 else shape[2]
    return told_reach(data, GraphQuestion("x", axes, 1, (depth, None, None)), (1, 4, 4), [("y", axes)])


def by_gradient(network, shape, steps):
    """The longest distance to a pixel that an answer depends on, of a network made open everywhere."""
    network = network.double()
    far = 0
    size = 128
    for row in range(size // 2, size // 2 + steps):
        x = torch.randn(*shape[:-2], size, size, dtype=torch.float64).requires_grad_()
        network(x)[..., row, :].sum().backward()
        seen = np.flatnonzero(x.grad.abs().amax(dim=tuple(n for n in range(x.ndim) if n != x.ndim - 2)).numpy())
        far = max(far, row - seen[0], seen[-1] - row)
    network.float()
    return far


@pytest.mark.parametrize("name", LOCAL)
def test_the_reach_holds_all_that_a_gradient_shows_and_little_more(name):
    network, shape = LOCAL[name]
    found = told(network, shape)
    step = found.step_yx[0]
    assert step == {"unet": 4, "bilinear": 2, "nearest": 2, "shuffle": 2, "tokens": 4, "planes": 4}.get(name, 1)
    shown = 30 if name == "shut" else by_gradient(network, shape, step)
    assert shown <= max(found.reach_yx) <= shown + 4 * step


@pytest.mark.parametrize("name", WHOLE)
def test_what_looks_at_the_whole_picture_has_no_reach(name):
    assert told(*WHOLE[name]) is None


def test_a_path_that_noise_does_not_open_is_counted():
    network, shape = LOCAL["shut"]
    found = list(explore(to_onnx(network, shape, free=(2, 3)), GraphQuestion("x", "bcyx", 1, (1, None, None))))
    assert found[-1]["reach"] == [0, 30, 30]
