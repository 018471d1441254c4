import numpy as np
import pytest
import torch

from vitascope.networks.backbones import BLOCKS, Backbone
from vitascope.networks.ins_atp import InsAtp
from vitascope.ops.wells.binary_code import atp_from_code


def small(**changes):
    torch.manual_seed(0)
    return InsAtp(**{"width": 4, "stages": 2, "grid": 4, "hidden": 8, **changes}).eval()


def picture(batch=2, side=32):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((batch, 1, side, side)).astype(np.float32))


@pytest.mark.parametrize("kind", BLOCKS)
def test_backbones_halve_the_side_in_each_stage(kind):
    network = Backbone(kind, 2, 8, 3).eval()
    found = network(torch.zeros(1, 2, 64, 48))
    assert found.shape == (1, network.features, 64 // network.stride, 48 // network.stride)
    assert (network.features, network.stride) == (32, 8)


@pytest.mark.parametrize("fusion", ["attention", "gated"])
def test_attention_is_equation_1(fusion):
    network, x = small(fusion=fusion, instances="mesh"), picture()
    with torch.no_grad():
        out = network(x)
    v = network.v.weight[:, :, 0, 0].detach().numpy()
    w = network.w.weight[0, :, 0, 0].detach().numpy()
    for b in range(2):
        h = out.encoding[b].flatten(1).numpy().T  # (N, F)
        scores = []
        for instance in h:
            part = np.tanh(v @ instance + network.v.bias.detach().numpy())
            if fusion == "gated":
                gate = network.u.weight[:, :, 0, 0].detach().numpy() @ instance + network.u.bias.detach().numpy()
                part = part / (1 + np.exp(-gate))
            scores.append(w @ part)
        expected = np.exp(scores) / np.exp(scores).sum()
        assert np.allclose(out.attention[b].flatten().numpy(), expected, atol=1e-6)
        z = sum(a * f for a, f in zip(expected, h, strict=True))
        with torch.no_grad():
            code = network.regression(torch.from_numpy(z.astype(np.float32))[None])
        assert torch.allclose(code[0], out.code[b], atol=1e-5)


def test_patches_go_through_the_extractor_one_by_one():
    network, x = small(instances="mesh"), picture()
    with torch.no_grad():
        found = network.encode(x)
        for row in range(4):
            for column in range(4):
                patch = x[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                assert torch.allclose(found[:, :, row, column], network.extractor(patch).mean((2, 3)), atol=1e-6)


def test_deep_instances_are_cells_of_the_feature_map():
    network, x = small(instances="deep", grid=8), picture()
    with torch.no_grad():
        assert torch.allclose(network.encode(x), network.extractor(x))


@pytest.mark.parametrize("instances", ["deep", "mesh"])
def test_contributions_sum_to_the_number_and_are_not_negative(instances):
    network = small(fusion="additive", instances=instances, top=1e6)
    with torch.no_grad():
        out = network(picture(5))
    assert (out.contribution >= 0).all()
    assert torch.allclose(out.contribution.flatten(1).sum(1), out.value[:, 0], rtol=1e-5)
    assert network.has_contribution
    assert not network.has_attention


def test_additive_mesh_is_blind_to_where_a_patch_lies():
    network, x = small(fusion="additive", instances="mesh"), picture(1)
    with torch.no_grad():
        out, turned = network(x), network(torch.roll(x, (8, 16), (2, 3)))
    assert torch.allclose(out.value, turned.value, rtol=1e-5)
    assert torch.allclose(torch.roll(out.contribution, (1, 2), (2, 3)), turned.contribution, rtol=1e-5)


@pytest.mark.parametrize("fusion", ["sum", "concat", "attention"])
def test_fusions_see_all_instances(fusion):
    network = small(fusion=fusion)
    encoding = torch.rand(1, 8, 4, 4, requires_grad=True)
    network.regression(network.fuse(encoding, network.attention(encoding))).sum().backward()
    assert (encoding.grad.abs().sum((0, 1)) > 0).all()
    if fusion == "sum":
        assert torch.allclose(network.fuse(encoding, encoding), encoding.sum((2, 3)))


def test_values_are_decoded_as_in_numpy():
    network = small(bits=5, bin_width=2e4)
    code = torch.randn(7, 6)
    shares = torch.sigmoid(code).numpy()
    assert np.allclose(network.value(code)[:, 0].numpy(), atp_from_code(shares, 2e4), rtol=1e-5)
    hard = small(decode="hard", bin_width=2e4)
    shares[:, :-1] = shares[:, :-1] > 0.5
    assert np.allclose(hard.value(code)[:, 0].numpy(), atp_from_code(shares, 2e4), rtol=1e-5)


def test_a_whole_image_network_has_no_maps():
    network = small(instances="whole", fusion="attention", backbone="vgg", head="value", top=10.0)
    with torch.no_grad():
        out = network(picture())
    assert out.attention.shape == (2, 1, 1, 1)
    assert not network.has_attention
    assert torch.allclose(out.value, torch.relu(out.code) * 10)


@pytest.mark.parametrize("wrong", [{"fusion": "mean"}, {"instances": "x"}, {"grid": 0}, {"bits": 40}, {"top": 0.0}])
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(ValueError, match=r"none of|above 0"):
        small(**wrong)


def test_concatenation_can_keep_all_features():
    squeezed, whole = (InsAtp(fusion="concat", grid=4, width=4, stages=2, hidden=8, squeeze=s) for s in (8, 0))
    features = whole.extractor.features
    assert squeezed.regression[0].in_features == 8 * 16
    assert whole.regression[0].in_features == features * 16
    encoding = torch.arange(features * 16.0).view(1, features, 4, 4)
    assert torch.equal(whole.fuse(encoding, encoding)[0], torch.arange(features * 16.0))


def test_contributions_of_an_attention_network_sum_to_the_number_and_are_exact_for_a_plain_head():
    torch.manual_seed(0)
    network = InsAtp(fusion="attention", head="value", grid=4, width=4, stages=2, hidden=8).eval()
    network.regression = torch.nn.Linear(network.extractor.features, 1)
    with torch.no_grad():
        network.regression.weight.abs_()
        output = network(torch.rand(2, 1, 64, 64))
        alone = torch.relu(network.regression(output.encoding.permute(0, 2, 3, 1)))[..., 0] * network.top
    assert torch.allclose(output.contribution.sum((1, 2, 3)), output.value[:, 0], rtol=1e-4)
    torch.testing.assert_close(output.contribution[:, 0], output.attention[:, 0] * alone, rtol=0.02, atol=1.0)


def test_below_the_floor_an_instance_contributes_nothing_and_still_learns():
    x = picture(1)
    plain, floored = small(fusion="additive"), small(fusion="additive", floor=0.05)
    with torch.no_grad():
        for network in (plain, floored):
            network.share.bias -= 1.2
        before, after = plain(x).contribution, floored(x).contribution
    even = plain.top / plain.grid**2
    assert torch.allclose(after, (before - 0.05 * even).clamp(min=0), atol=1e-3)
    assert (after == 0).any()
    assert (after > 0).any()
    floored.train()
    floored.share.bias.grad = None
    floored(x).contribution[after == 0].sum().backward()
    assert float(floored.share.bias.grad) > 0
    with pytest.raises(ValueError, match="floor"):
        small(fusion="additive", floor=-0.1)


def test_what_is_dark_enough_looks_alike_to_a_saturating_network():
    x = torch.full((1, 1, 32, 32), -0.6)
    x[..., 8:16, 8:16] = -0.2
    plain, saturated = small(fusion="additive"), small(fusion="additive", saturation=0.2)
    seen = -0.6 / 4 * torch.ones_like(x)
    seen[..., 8:16, 8:16] = -0.1
    with torch.no_grad():
        assert torch.allclose(saturated(x).value, plain(seen).value, rtol=1e-5)
    with pytest.raises(ValueError, match="saturation"):
        small(saturation=-1.0)
