"""The network of section 4.2: sizes, what an instance sees, masks, the joint loss, the last layer."""

import numpy as np
import pytest
import torch

from vitascope.networks.mil_cnn import MilCnn, joint_loss
from vitascope.networks.pooling import Pooling


@pytest.mark.parametrize("stride0", [1, 2, 3])
def test_the_layers_are_the_papers(stride0):
    network = MilCnn(3, 12, stride0=stride0)
    shapes = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert shapes == [
        (32, 3, 3, 3), (64, 32, 3, 3), (64, 64, 5, 5), (128, 64, 3, 3), (128, 128, 3, 3), (1000, 128, 1, 1),
        (12, 1000, 1, 1),
    ]  # fmt: skip
    out = network.eval()(torch.zeros(1, 3, 48 * stride0, 16 * stride0))
    assert out.logits.shape == (1, 12, 3, 1)
    assert out.scores.shape == (1, 12)


@pytest.mark.parametrize("stride0", [1, 2])
def test_an_instance_is_centred_on_its_pixel_and_sees_33_strides_and_one(stride0):
    torch.manual_seed(0)
    network = MilCnn(1, 1, width=0.2, stride0=stride0).double().eval()
    step, reach = 16 * stride0, 33 * stride0 + 1
    x = torch.rand(1, 1, 10 * step, 10 * step, dtype=torch.float64, requires_grad=True)
    # Averages for maxima: the maximum's derivative leaves most of what is seen out.
    for name, layer in list(network.features.named_children()):
        if isinstance(layer, torch.nn.MaxPool2d):
            setattr(network.features, name, torch.nn.AvgPool2d(3, 2, 1))
        elif isinstance(layer, torch.nn.ReLU):
            setattr(network.features, name, torch.nn.Identity())
    network(x).logits[0, 0, 5, 4].backward()
    seen = np.argwhere(x.grad[0, 0].abs().numpy() > 0)
    assert seen.min(0).tolist() == [5 * step - reach, 4 * step - reach]
    assert seen.max(0).tolist() == [5 * step + reach, 4 * step + reach]


def test_masked_instances_change_nothing():
    torch.manual_seed(0)
    network = MilCnn(1, 2, width=0.2).eval()
    x = torch.randn(1, 1, 64, 64)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :] = 1
    out = network(x, mask)
    alone = network.pooling(out.logits[:, :, :2])
    assert torch.allclose(out.pooled.log_p, alone.log_p, atol=1e-6)


def test_the_joint_loss_is_equation_2():
    torch.manual_seed(0)
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    for last in ("softmax", "sigmoid"):
        network = MilCnn(1, 3, width=0.2, last=last).eval()
        out = network(torch.randn(2, 1, 32, 32))
        p, y = torch.exp(out.pooled.log_p).detach(), network.probabilities(out.scores).detach()
        expected = 0.0
        for n in range(2):
            for i in range(3):
                t = float(target[n, i])
                expected -= float(t * p[n, i].log() + (1 - t) * (1 - p[n, i]).log())
                if last == "softmax":
                    expected -= float(t * y[n, i].log())
                else:
                    expected -= float(t * y[n, i].log() + (1 - t) * (1 - y[n, i]).log())
        assert joint_loss(out, target, last).item() == pytest.approx(expected / 2, rel=1e-4)


def test_log_odds_keep_their_digits_where_probabilities_are_all_0_or_1():
    network = MilCnn(1, 3)
    scores = torch.tensor([[200.0, 0.0, -1.0]])
    expected = [200 - np.log(1 + np.exp(-1)), -200.0, -201.0]
    assert network.log_odds(scores)[0].tolist() == pytest.approx(expected, rel=1e-6)
    assert network.probabilities(scores)[0].tolist() == pytest.approx([1, 0, 0])
    network.last = "sigmoid"
    assert torch.equal(network.log_odds(scores), scores)


def test_it_learns_which_images_hold_bright_spots():
    torch.manual_seed(0)
    network = MilCnn(1, 2, width=0.1, dropout_features=0.0, dropout_pool=0.0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    x = torch.randn(16, 1, 48, 48) * 0.1
    x[::2, :, 10:40:10, 10:40:10] += 3
    target = torch.eye(2)[[0, 1] * 8]
    for _ in range(60):
        loss = joint_loss(network(x), target, "softmax")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network.eval()(x).scores.argmax(1) == target.argmax(1)).all()


@pytest.mark.parametrize(
    "arguments",
    [{"stride0": 4}, {"last": "none"}, {"width": 0.001}, {"out_channels": 0}, {"pooling": "median"}],
)
def test_arguments_that_make_no_network_are_refused(arguments):
    with pytest.raises(ValueError, match=r"."):
        MilCnn(**arguments)


def test_every_pooling_trains():
    x, target = torch.randn(2, 1, 32, 32), torch.eye(2)
    for name in Pooling.NAMES:
        network = MilCnn(1, 2, width=0.1, pooling=name, sharpness=2.5)
        joint_loss(network(x), target, "softmax").backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
