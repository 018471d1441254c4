import json

import numpy as np
import pytest
import torch

from tests_support import make_card, make_model, save_model
from vitascope.core.card import Architecture
from vitascope.core.errors import ModelError, ParameterError
from vitascope.engine import load_model as load
from vitascope.engine.load_model import (
    build_network,
    check_channels,
    export_tensors,
    find_family,
    load_files,
    load_model,
)
from vitascope.io.models.cards import write_card
from vitascope.io.models.weights import read_weights, write_weights
from vitascope.networks.unet import UNet


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path))
    monkeypatch.setattr(load, "_loaded", load.OrderedDict())
    return tmp_path


@pytest.fixture
def saved(folder):
    model = make_model(width=0.25)
    return model, save_model(model, folder)


def rewritten(path, **changes):
    """Write other tensors for a card, its hash put right."""
    card = load.find_model(str(path))[0]
    tensors = {**read_weights(path.with_suffix(".safetensors"), None), **changes}
    tensors = {k: v for k, v in tensors.items() if v is not None}
    sha256 = write_weights(path.with_suffix(".safetensors"), tensors)
    return write_card(
        card.model_copy(update={"weights": card.weights.model_copy(update={"sha256": sha256})}), path.parent
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_saved_network_answers_as_before(folder, dtype):
    """In float16 as the network does whose weights are rounded so, statistics of batches left as they are."""
    model = make_model(width=0.25, targets=("DNA", "actin"), planes=2)
    save_model(model, folder, dtype)
    loaded = load_model("test-model", "stain")
    for parameter in model.network.parameters():
        parameter.copy_(parameter.to(getattr(torch, dtype)))
    x = torch.randn(1, 2, 32, 48)
    assert torch.equal(loaded.network(x).image, model.network(x).image)
    assert not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    assert loaded.family is find_family(loaded.card.architecture)


def test_a_model_stays_in_memory_as_long_as_its_card_is_the_same(saved):
    first = load_model("test-model", "stain")
    assert load_model("test-model", "stain") is first
    rewritten(saved[1], **{"last.bias": np.array([9.0], np.float32)})
    other = load_model("test-model", "stain")
    assert other is not first
    assert other.network.last.bias.item() == 9


def test_only_the_last_few_stay(folder):
    for i in range(6):
        save_model(make_model(model_id=f"m{i}", width=0.25), folder)
    models = [load_model(f"m{i}", "stain") for i in range(6)]
    assert load_model("m5", "stain") is models[5]
    assert load_model("m0", "stain") is not models[0]


@pytest.mark.fault("D12")
def test_tensors_that_are_missing_left_over_or_misshapen_are_named_the_first_three(saved):
    names = sorted(read_weights(saved[1].with_suffix(".safetensors"), None))
    path = rewritten(
        saved[1],
        **dict.fromkeys(names[:5]),
        **{"extra": np.zeros(1, np.float32), "last.bias": np.zeros(7, np.float32)},
    )
    with pytest.raises(ModelError, match="do not fit its architecture") as caught:
        load_model(str(path), "stain")
    message = caught.value.message
    assert f"missing: {', '.join(names[:3])}…" in message
    assert names[3] not in message
    assert "not expected: extra;" in message
    assert "of another shape: last.bias" in message


@pytest.mark.fault("D13")
def test_weights_that_are_no_numbers_are_refused(saved):
    path = rewritten(saved[1], **{"last.bias": np.array([np.nan], np.float32)})
    with pytest.raises(ModelError, match="NaN or infinity"):
        load_model(str(path), "stain")


@pytest.mark.fault("D09")
@pytest.mark.fault("D11")
def test_altered_and_cut_weights_are_refused(saved):
    weights = saved[1].with_suffix(".safetensors")
    good = weights.read_bytes()
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-10], b""):
        weights.write_bytes(bad)
        with pytest.raises(ModelError, match="SHA-256 differs"):
            load_model("test-model", "stain")
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_model("test-model", "stain")


@pytest.mark.fault("D14")
def test_weights_of_another_network_are_refused(folder, saved):
    other = make_model(model_id="wide", width=0.5)
    save_model(other, folder)
    (folder / "wide.safetensors").replace(folder / "test-model.safetensors")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_model("test-model", "stain")
    path = rewritten(saved[1])
    with pytest.raises(ModelError, match="of another shape"):
        load_model(str(path), "stain")


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 1000.0},
        {"width": 1e12},
        {"width": 0.01},
        {"width": -1},
        {"width": "wide"},
        {"width": None},
        {"dropout": 2},
        {"in_channels": 0},
        {"code": "import os"},
    ],
)
@pytest.mark.fault("D12")
@pytest.mark.fault("D06")
def test_arguments_that_make_no_such_network_are_refused_without_its_memory(saved, folder, arguments):
    """A card may ask for any size; the weights beside it tell what there is, before anything is allocated."""
    card = json.loads(saved[1].read_text())
    card["architecture"]["arguments"].update(arguments)
    saved[1].write_text(json.dumps(card))
    with pytest.raises(ModelError):
        load_model("test-model", "stain")


@pytest.mark.fault("D18")
def test_an_architecture_that_is_not_ours_is_refused_whatever_it_points_to(saved):
    card = json.loads(saved[1].read_text())
    card["architecture"] = {"name": "os.system", "arguments": {"source": "file:///tmp/evil.py"}}
    saved[1].write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"'os\.system' is not known"):
        load_model("test-model", "stain")


@pytest.mark.parametrize(
    ("kwargs", "words"), [({"planes": 3}, "in_channels = 3"), ({"targets": ("a", "b")}, "out_channels = 2")]
)
@pytest.mark.fault("D14")
@pytest.mark.fault("A16")
def test_a_card_whose_network_takes_or_gives_another_number_is_refused(kwargs, words):
    built, said = make_card(**kwargs), make_card()
    with pytest.raises(ModelError, match=words):
        check_channels(built.architecture, said.input, said.targets)
    check_channels(Architecture(name="unet"), said.input, said.targets)


def test_a_model_that_is_not_there_is_no_crash():
    with pytest.raises(ParameterError, match="no model 'nothing'"):
        load_model("nothing", "stain")


def test_statistics_of_batches_stay_exact_in_float16():
    network = build_network(make_card(width=0.25).architecture)
    with torch.no_grad():
        network.encoder[1].norm.running_var.fill_(1e-9)
    found = export_tensors(network, "float16")
    assert found["encoder.1.norm.running_var"].dtype == np.float32
    assert found["encoder.1.norm.running_var"][0] == np.float32(1e-9)
    assert found["last.weight"].dtype == np.float16
    assert not any("num_batches_tracked" in name for name in found)


def test_loading_draws_no_random_numbers_that_anyone_could_miss(saved):
    """The result does not depend on the state of the caller's random numbers."""
    torch.manual_seed(1)
    first = load_files(*load.find_model("test-model"))
    torch.manual_seed(2)
    second = load_files(*load.find_model("test-model"))
    for a, b in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_largest_model_of_the_thesis_can_be_built():
    with torch.device("meta"):
        network = build_network(Architecture(name="unet", arguments={"width": 4.0}))
    assert isinstance(network, UNet)
    assert network.encoder[4].second.out_channels == 1024
