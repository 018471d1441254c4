import math

import numpy as np
import pytest
import torch
from scipy import stats

from vitascope.networks.unet import HALO_PX, MULTIPLE_PX, UNet, fan_in, he_normal_


def test_filters_and_layers_are_those_of_the_thesis():
    net = UNet(in_channels=7, out_channels=2)
    pairs = [(p.first.out_channels, p.second.out_channels) for p in net.encoder]
    assert pairs == [(16, 16), (32, 32), (64, 64), (128, 128), (256, 256)]
    norms = [isinstance(p.norm, torch.nn.BatchNorm2d) for p in [*net.encoder, *net.decoder]]
    assert norms == [False, True, True, True, True, False, False, False, False]
    assert net.last.kernel_size == (1, 1)
    assert all(u.kernel_size == (2, 2) and u.stride == (2, 2) for u in net.up)


def test_width_four_is_the_larger_model():
    assert [p.first.out_channels for p in UNet(width=4).encoder] == [64, 128, 256, 512, 1024]


def test_encoding_of_256_px_is_16_by_16_by_256():
    out = UNet().eval()(torch.zeros(1, 1, 256, 256))
    assert out.encoding.shape == (1, 256, 16, 16)
    assert out.image.shape == (1, 1, 256, 256)


def test_start_weights_follow_the_truncated_normal_of_equation_26():
    fan = 50
    weights = he_normal_(torch.empty(200_000), fan, torch.Generator().manual_seed(0)).numpy()
    parent = math.sqrt(2 / fan) / stats.truncnorm.std(-2, 2)
    assert np.abs(weights).max() <= 2 * parent
    assert weights.std() == pytest.approx(math.sqrt(2 / fan), rel=0.01)
    assert stats.kstest(weights[:20_000] / parent, stats.truncnorm(-2, 2).cdf).pvalue > 0.01


@pytest.mark.parametrize(("layer", "fan"), [(torch.nn.Conv2d(3, 8, 3), 27), (torch.nn.ConvTranspose2d(6, 2, 2, 2), 6)])
def test_fan_in_counts_what_one_output_adds_up(layer, fan):
    """Set all weights to one: an output of an all-one input then equals the fan."""
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    out = layer(torch.ones(1, layer.in_channels, 8, 8))
    assert fan_in(layer) == fan
    assert out[0, 0, 4, 4].item() == pytest.approx(fan)


def test_halo_covers_all_that_a_pixel_sees():
    """The gradient of a pixel on a multiple of 16 reaches no farther than the halo, and nearly as far."""
    net = UNet(final_sigmoid=False).eval()
    for p in net.parameters():
        torch.nn.init.constant_(p, 0.01)
    x = torch.rand(1, 1, 512, 512, requires_grad=True)
    net(x).image[0, 0, 256:272, 256:272].sum().backward()
    rows = torch.nonzero(x.grad[0, 0].abs().sum(1)).flatten()
    reach = max(256 - int(rows.min()), int(rows.max()) - 271)
    assert HALO_PX - MULTIPLE_PX < reach <= HALO_PX


def test_learns_a_simple_map():
    torch.manual_seed(0)
    net = UNet(width=0.25)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    x = torch.rand(4, 1, 32, 32)
    y = (x > 0.5).float()
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy(net(x).image, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
