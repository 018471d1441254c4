"""ResNet18 against the published counts and names, and the regression on it."""

import pytest
import torch
import torch.nn.functional as F

from vitascope.networks.resnet import Nvir, ResNet18, grey_weights
from vitascope.networks.unet import initialise


def colour_weights(generator):
    """Weights with torchvision's names for colour pictures."""
    weights = {k: torch.rand(v.shape, generator=generator) for k, v in ResNet18(1).state_dict().items() if v.ndim}
    weights["conv1.weight"] = torch.rand(64, 3, 7, 7, generator=generator)
    return {**weights, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def test_it_has_the_published_number_of_parameters_and_torchvisions_names():
    network = ResNet18(in_channels=3)
    assert sum(p.numel() for p in network.parameters()) == 11_689_512 - 513_000  # all of torchvision's, less its fc
    names = set(network.state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.1.bias"} <= names
    assert len([n for n in names if ".downsample." in n and n.endswith("0.weight")]) == 3


def test_a_grey_picture_gives_what_three_equal_channels_give():
    weights = colour_weights(torch.Generator().manual_seed(0))
    grey = torch.rand(1, 1, 16, 16)
    expected = F.conv2d(grey.expand(-1, 3, -1, -1), weights["conv1.weight"], stride=2, padding=3)
    found = F.conv2d(grey, grey_weights(weights)["conv1.weight"], stride=2, padding=3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_weights_fill_the_network_and_others_are_refused_by_name():
    weights = colour_weights(torch.Generator().manual_seed(0))
    ResNet18(1).load_state_dict(grey_weights(weights))
    del weights["layer3.1.bn2.bias"]
    with pytest.raises(ValueError, match=r"layer3\.1\.bn2\.bias"):
        grey_weights(weights)


def test_the_number_is_the_head_of_the_mean_features():
    network = Nvir(width=0.125).eval()
    initialise(network, torch.Generator().manual_seed(0))
    x = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        output = network(x)
        mean = output.encoding.mean((2, 3))
        for layer in network.head:
            if isinstance(layer, torch.nn.Conv2d):
                mean = mean @ layer.weight[:, :, 0, 0].T + layer.bias
            elif isinstance(layer, torch.nn.ReLU):
                mean = mean.clamp_min(0)
    torch.testing.assert_close(output.value, mean)
    assert [m.out_channels for m in network.head if isinstance(m, torch.nn.Conv2d)] == [32, 32, 32, 32, 1]


def test_the_pair_sees_image_and_control_through_one_extractor():
    network = Nvir(in_channels=2, width=0.125, pair=True).eval()
    x = torch.rand(1, 2, 64, 64)
    with torch.no_grad():
        first, swapped = network(x).encoding, network(x.flip(1)).encoding
    half = first.shape[1] // 2
    torch.testing.assert_close(first[:, :half], swapped[:, half:])
    torch.testing.assert_close(first[:, half:], swapped[:, :half])


@pytest.mark.parametrize(
    "wrong", [{"out_channels": 2}, {"in_channels": 3, "pair": True}, {"dropout": 1.0}, {"width": 0}]
)
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(ValueError, match="number|channels" if "dropout" not in wrong else "dropout"):
        Nvir(**wrong)


def test_counted_cells_add_up_to_their_share_wherever_they_lie():
    network = Nvir(width=0.125, counts=True, stages=2).eval()
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.head.weight.mul_(20)
        output = network(torch.rand(2, 1, 64, 64))
        cells = network.cells(output.encoding)
    assert cells.shape == (2, 2, 8, 8)
    assert cells.min() >= 0
    assert cells.max() > 0
    living, dead = cells.sum((2, 3)).T
    torch.testing.assert_close(output.value[:, 0], (living + 0.01) / (living + dead + 0.02))


def test_a_picture_in_which_no_cell_is_seen_reads_one_half_and_still_teaches():
    network = Nvir(width=0.125, counts=True, stages=2)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(-5)
    assert network.eval()(torch.rand(1, 1, 64, 64)).value.item() == 0.5
    network.train()(torch.rand(2, 1, 64, 64)).value.sum().backward()
    assert network.head.bias.grad.abs().min() > 0


def test_cells_beside_a_control_are_not_counted():
    with pytest.raises(ValueError, match="not counted"):
        Nvir(in_channels=2, pair=True, counts=True)
