"""Equation 5 against torch's own derivative of every layer, against its closed form, and without seams."""

import numpy as np
import pytest
import torch
from torch import nn

from vitascope.networks.jacobian import InstanceMaps, JacobianMaps, backward, rectified_backward, run_layers
from vitascope.networks.mil_cnn import HALO_PX, MilCnn
from vitascope.ops.tiling.tiles import plan_tiles


def network(classes=3, stride0=1, channels=2, seed=0):
    torch.manual_seed(seed)
    made = MilCnn(channels, classes, width=0.1, stride0=stride0).double().eval().requires_grad_(False)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(1.5)
            layer.bias.normal_(0, 0.1)
    return made


def derivative(layer, x, g):
    """What autograd makes of one layer."""
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(layer(x), x, g)[0]


LAYERS = {
    "conv3": nn.Conv2d(4, 5, 3, padding=1),
    "conv5": nn.Conv2d(4, 5, 5, padding=2),
    "conv1": nn.Conv2d(4, 6, 1),
    "max": nn.MaxPool2d(3, 2, 1),
    "mean 1": nn.AvgPool2d(3, 1, 1),
    "mean 2": nn.AvgPool2d(3, 2, 1),
    "mean 3": nn.AvgPool2d(3, 3, 1),
    "relu": nn.ReLU(),
    "elu": nn.ELU(1.3),
    "norm": nn.BatchNorm2d(4),
    "dropout": nn.Dropout(0.3),
}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_gone_back_through_by_its_derivative(name, ties):
    torch.manual_seed(1)
    layer = LAYERS[name].double().eval()
    if name == "norm":
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        layer.weight.data.normal_()
    x = torch.randn(2, 4, 18, 24, dtype=torch.float64)
    if ties:
        x = x.round()
    x[x == 0] = -0.1  # where the derivative of ReLU is a matter of taste
    g = torch.randn_like(layer(x))
    assert torch.allclose(backward(layer, x, g), derivative(layer, x, g), atol=1e-12)


def test_maps_are_the_recursion_of_equation_5_for_each_class():
    made = network()
    x = torch.randn(1, 2, 64, 96, dtype=torch.float64)
    encoding, inputs = run_layers(made.features, x)
    logits = made.classes(encoding)
    p = torch.sigmoid(logits)
    found = JacobianMaps(made)(x)
    for k in range(3):
        a = torch.zeros_like(p)
        a[:, k] = p[:, k]
        for layer, given in zip([made.classes, *reversed(made.features)], [encoding, *reversed(inputs)], strict=True):
            a = derivative(layer, given, a).clamp_min(0)
        assert torch.allclose(found.maps[0, k], a[0].sum(0), atol=1e-12)
        assert float(a.abs().max()) > 1e-6
    assert torch.equal(found.encoding[:, -3:], logits)
    assert torch.equal(found.encoding[:, :-3], encoding)


def test_two_images_at_once_are_two_images():
    made = network()
    x = torch.randn(2, 2, 32, 32, dtype=torch.float64)
    both = JacobianMaps(made)(x).maps
    assert torch.allclose(both[1], JacobianMaps(made)(x[1:]).maps[0], atol=1e-12)


def test_the_map_of_a_linear_model_is_its_positive_weights_times_the_activation():
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 1, 5, padding=2).double()
    start = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    start[0, 0, 4, 4] = 0.37
    found = rectified_backward([layer], [torch.randn(1, 2, 9, 9, dtype=torch.float64)], start)
    expected = torch.zeros(2, 9, 9, dtype=torch.float64)
    expected[:, 2:7, 2:7] = layer.weight[0].clamp_min(0) * 0.37
    assert torch.allclose(found[0], expected, atol=1e-15)


def test_a_map_scales_with_what_it_starts_from():
    made = network()
    x = torch.randn(1, 2, 48, 48, dtype=torch.float64)
    encoding, inputs = run_layers(made.features, x)
    layers = [*made.features, made.classes]
    start = torch.rand(1, 3, 3, 3, dtype=torch.float64)
    one = rectified_backward(layers, [*inputs, encoding], start)
    assert torch.allclose(rectified_backward(layers, [*inputs, encoding], 0.2 * start), 0.2 * one, atol=1e-14)


def test_a_normalisation_behind_a_convolution_is_part_of_it():
    torch.manual_seed(2)
    conv, norm = nn.Conv2d(1, 3, 3, padding=1).double(), nn.BatchNorm2d(3).double().eval()
    norm.weight.data = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    g = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    together = derivative(nn.Sequential(conv, norm), x, g).clamp_min(0)
    assert torch.allclose(rectified_backward([conv, norm], [x, conv(x)], g), together, atol=1e-12)


@pytest.mark.parametrize("stride0", [1, 2])
def test_tiles_have_no_seams(stride0):
    made, step, halo = network(stride0=stride0), 16 * stride0, HALO_PX * stride0
    x = torch.randn(1, 2, 20 * step, 16 * step, dtype=torch.float64)
    whole = JacobianMaps(made)(x)
    maps, z = torch.zeros_like(whole.maps), torch.zeros_like(whole.encoding)
    tiles = plan_tiles((20 * step, 16 * step), 12 * step, halo, step)
    assert len(tiles) > 2
    for tile in tiles:
        part = JacobianMaps(made)(x[:, :, tile.window[0], tile.window[1]])
        inner = tile.core_in_window
        maps[:, :, tile.core[0], tile.core[1]] = part.maps[:, :, inner[0], inner[1]]
        coarse = [slice(s.start // step, s.stop // step) for s in (*tile.core, *inner)]
        z[:, :, coarse[0], coarse[1]] = part.encoding[:, :, coarse[2], coarse[3]]
    assert torch.allclose(maps, whole.maps, atol=1e-12)
    assert torch.allclose(z, whole.encoding, atol=1e-12)


def test_instances_lie_in_their_squares():
    made = network(stride0=2)
    x = torch.randn(1, 2, 64, 96, dtype=torch.float64)
    found = InstanceMaps(made)(x)
    assert found.maps.shape == (1, 3, 64, 96)
    assert torch.allclose(found.maps[0, :, ::32, ::32], torch.sigmoid(made(x).logits)[0])
    assert np.ptp(found.maps[0, 0, 32:64, 64:96].numpy()) == 0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Conv2d(1, 1, 3, stride=2, padding=1), "strided"),
        (nn.Conv2d(1, 1, 3), "same"),
        (nn.MaxPool2d(2), "max-pooling"),
        (nn.AvgPool2d(2), "average"),
        (nn.Softmax(1), "Softmax"),
    ],
)
def test_a_layer_without_a_rule_is_refused(layer, words):
    with pytest.raises(TypeError, match=words):
        backward(layer, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
