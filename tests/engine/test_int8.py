from types import ModuleType

import numpy as np
import pytest
import torch

from vitascope.core.card import Int8, RoundedLayer
from vitascope.core.errors import ModelError
from vitascope.core.late_import import import_late
from vitascope.engine.int8 import EXACT_LAST, convolutions, round_graph
from vitascope.engine.openvino_backend import OPERATIONS, OpenVinoBackend, _trace, adds_int8_exactly, rounding_of
from vitascope.networks.unet import UNet

pytestmark = pytest.mark.skipif(not adds_int8_exactly(), reason="this processor does not add 8-bit numbers exactly")
SIDE = 64


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = UNet(width=0.5, final_sigmoid=False).eval().requires_grad_(False)
    with torch.no_grad():  # channels of very unlike width, which one range for all would flatten
        network.encoder[0].first.weight *= torch.logspace(-2, 1, 8)[:, None, None, None]
        network.encoder[0].first.bias += torch.linspace(-1, 1, 8)
    return network


def pictures(seed, count):
    rng = np.random.default_rng(seed)
    return [rng.random((1, SIDE, SIDE)).astype(np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def layers(network):
    return rounding_of(network, pictures(0, 4), 1)


def answers(network, precision, layers=()):
    backend = OpenVinoBackend(network, 1, precision, 1, rounding=layers)
    return np.stack([backend(x)[0][0].copy() for x in pictures(7, 3)])


def test_answers_in_8_bit_are_near_those_in_32(network, layers):
    exact, short = answers(network, "f32"), answers(network, "int8", layers)
    assert not np.array_equal(exact, short)
    assert np.corrcoef(exact.ravel(), short.ravel())[0, 1] > 0.995
    assert abs(short.mean() - exact.mean()) < 0.02 * exact.std()


def test_wide_channels_do_not_flatten_the_narrow_ones(network, layers):
    plain = [
        RoundedLayer(
            scale=RoundedLayer.packed(np.ones_like(factors)),
            low=min(0.0, one.low * factors.max()),
            high=one.high * factors.max(),
            shift=one.shift,
        )
        for one, factors in ((one, RoundedLayer.unpacked(one.scale)) for one in layers)
    ]
    exact = answers(network, "f32")
    off = [np.abs(answers(network, "int8", how) - exact).mean() for how in (layers, plain)]
    assert off[0] < 0.7 * off[1]


def test_means_are_kept_layer_by_layer(network, layers):
    bare = [
        one.model_copy(update={"shift": RoundedLayer.packed(np.zeros_like(RoundedLayer.unpacked(one.shift)))})
        for one in layers
    ]
    exact = answers(network, "f32").mean()
    assert abs(answers(network, "int8", layers).mean() - exact) < abs(answers(network, "int8", bare).mean() - exact)


def test_the_last_convolution_stays_in_32_bit(network, layers):
    graph = _trace(network, (1, 1, SIDE, SIDE))
    assert len(layers) == len(convolutions(graph)) - EXACT_LAST
    rounded = convolutions(round_graph(graph, layers, import_late(OPERATIONS, ModuleType)))
    kinds = [c.input_value(1).get_node().get_type_name() for c in rounded]
    assert kinds == ["FakeQuantize"] * len(layers) + ["Constant"] * EXACT_LAST


def test_layers_of_another_network_are_refused(network, layers):
    other = UNet(width=1).eval().requires_grad_(False)
    with pytest.raises(ModelError, match="another network"):
        OpenVinoBackend(other, 1, "int8", 1, rounding=layers)(pictures(0, 1)[0])
    with pytest.raises(ModelError, match="another network"):
        OpenVinoBackend(network, 1, "int8", 1, rounding=[*layers, layers[0]])(pictures(0, 1)[0])


def test_numbers_are_kept_as_text():
    values = np.array([1e-3, 1.0, -2.5, 1e9])
    assert np.allclose(RoundedLayer.unpacked(RoundedLayer.packed(values)), [1e-3, 1.0, -2.5, 65504], rtol=1e-3)


@pytest.mark.parametrize("text", ["no base64!", "AAA", RoundedLayer.packed(np.array([0.0])), "AHw="])
def test_broken_numbers_in_a_card_are_refused(text):
    with pytest.raises(ValueError, match="scale"):
        RoundedLayer(scale=text, low=0.0, high=1.0, shift="")


@pytest.mark.parametrize(
    ("pcc", "change", "agrees"), [(0.9995, 0.004, True), (0.9985, 0.004, False), (0.9995, 0.011, False)]
)
def test_8_bit_stands_for_32_only_where_it_agrees(layers, pcc, change, agrees):
    found = Int8(layers=layers, pcc=pcc, change=change, changed_most="mean_area_px", images=3, on="fields")
    assert found.agrees is agrees
    assert ("Taken by itself" in found.text) is agrees
    assert "mean_area_px" in found.text
