"""Networks that add up whole pictures give torch's numbers in large windows too, against float64."""

import numpy as np
import pytest
import torch
from torch import nn

from graph_support import SmallUNet, seeded, to_onnx
from vitascope.engine.graphs import steady_sums
from vitascope.engine.graphs.network import GraphNetwork

pytest.importorskip("onnx")

CLOSE = 2e-6
"""Of the range of the answer: torch's own float32 departs from float64 by 5e-7."""


class Normalised(nn.Module):
    """Convolutions with a normalisation of the whole picture between them."""

    def __init__(self, norm, conv=nn.Conv2d):
        super().__init__()
        self.layers = nn.Sequential(
            conv(1, 16, 3, padding=1), norm(16), nn.ReLU(), conv(16, 16, 3, padding=1), norm(16), conv(16, 1, 1)
        )

    def forward(self, x):
        return self.layers(x)


class Response(nn.Module):
    """Global response normalisation (ConvNeXt V2) and channels weighed by their mean."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

    def forward(self, x):
        y = self.a(x)
        size = y.norm(p=2, dim=(2, 3), keepdim=True)
        y = y * (size / (size.mean(1, keepdim=True) + 1e-6)) + y
        return self.b(y * torch.sigmoid(y.mean((2, 3), keepdim=True)) * y.abs().sum((2, 3))[:, :, None, None] ** 0.1)


class Ends(nn.Module):
    """Ends with the normalisation: its answer bears the name of the graph's output."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.InstanceNorm2d(4)

    def forward(self, x):
        return self.norm(self.a(x))


def picture(sides, offset=0.5):
    """An uneven picture with fine noise, (C, D, h, w)."""
    rng = np.random.default_rng(0)
    wave = 0.3 * np.sin(np.arange(sides[-1]) / 50) + 0.2 * (np.arange(sides[-1]) > sides[-1] // 2)
    return (rng.random((1, *sides)) * 0.2 + wave + offset).astype(np.float32)


def departs(network, sides, axes="bcyx", offset=0.5):
    """Largest difference to torch in float64, in shares of its range."""
    free = tuple(range(2, len(axes)))
    data = to_onnx(network, (1, 1, *[32] * len(free)), free=free)
    x = picture(sides, offset)
    graph = GraphNetwork(data, "x", axes, 1)
    found = graph.pictures(x, [("y", axes)])
    given = x[None] if "z" in axes else x[None, :, 0]
    with torch.no_grad():
        wanted = network.double()(torch.from_numpy(given).double()).numpy()[0]
    wanted = wanted if "z" in axes else wanted[:, None]
    return float(np.abs(found - wanted).max() / np.ptp(wanted))


def instance(channels):
    return nn.InstanceNorm2d(channels, affine=True)


@pytest.mark.parametrize("sides", [(1, 1024, 1024), (1, 1031, 997)], ids=["1024", "primes"])
@pytest.mark.parametrize("make", [instance, lambda c: nn.GroupNorm(4, c)], ids=["instance", "group"])
def test_a_normalised_picture_is_that_of_float64(make, sides):
    assert departs(seeded(Normalised, norm=make), sides) < CLOSE


def test_a_network_of_levels_agrees_in_a_large_window():
    assert departs(seeded(SmallUNet, levels=2, width=8, norm="instance"), (1, 1024, 1024)) < CLOSE


def test_responses_and_weights_of_channels_are_added_in_stages_too():
    assert departs(seeded(Response), (1, 1024, 1000)) < CLOSE


def test_volumes_are_normalised_alike():
    network = seeded(Normalised, norm=lambda c: nn.InstanceNorm3d(c, affine=True), conv=nn.Conv3d)
    assert departs(network, (6, 384, 400), "bczyx") < CLOSE


def test_a_mean_far_above_the_spread_is_taken_off_whole():
    # Grey values of a camera: pixels of 0.2 about 100. Taken once, the mean would be 1e-5 of itself off.
    network = seeded(Ends)
    nn.init.constant_(network.a.weight, 1 / 9)
    assert departs(network, (1, 512, 512), offset=100) < 2e-4  # float32 itself has 8e-6 of 100 left of 0.7


def test_an_output_keeps_its_name():
    data = to_onnx(seeded(Ends), (1, 1, 64, 64), free=(2, 3))
    answers = GraphNetwork(data, "x", "bcyx", 1).answers(picture((1, 128, 128)))
    assert set(answers) == {"y"}
    assert answers["y"].shape == (1, 4, 128, 128)
    assert np.abs(answers["y"].mean((2, 3))).max() < 1e-5


def test_one_network_takes_windows_of_several_shapes():
    graph = GraphNetwork(to_onnx(seeded(Ends), (1, 1, 64, 64), free=(2, 3)), "x", "bcyx", 1)
    for side in (128, 96, 160, 128):
        answer = graph.pictures(picture((1, side, side)), [("y", "bcyx")])
        assert answer.shape == (4, 1, side, side)
        assert abs(float(answer.std()) - 1) < 0.01


def test_small_windows_and_plain_networks_are_left_as_they_are(monkeypatch):
    counts = []
    plain = steady_sums.steady
    monkeypatch.setattr("vitascope.engine.graphs.network.steady", lambda m, ops: counts.append(plain(m, ops)))
    GraphNetwork(to_onnx(seeded(Ends), (1, 1, 64, 64), free=(2, 3)), "x", "bcyx", 1).answers(picture((1, 64, 64)))
    GraphNetwork(to_onnx(seeded(SmallUNet), (1, 1, 64, 64), free=(2, 3)), "x", "bcyx", 1).answers(
        picture((1, 128, 128))
    )
    GraphNetwork(to_onnx(seeded(Ends), (1, 1, 64, 64), free=(2, 3)), "x", "bcyx", 1).answers(picture((1, 65, 65)))
    assert counts == [0, 0, 1]
