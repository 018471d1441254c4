import importlib.util
import sys

import numpy as np
import pytest
import torch

from tests_support import make_model, save_model
from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.paths import user_models
from vitascope.engine.load_model import load_model
from vitascope.exchange.onnx_export import CARD_KEY, export_onnx
from vitascope.io.models.cards import find_model

needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="needs the extra 'onnx'")


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(width=0.25, planes=3, targets=("DNA", "actin")), user_models())


def read(path):
    sys.modules["openvino_telemetry"] = None  # it would start processes
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    return model, core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})


@needs_onnx
def test_another_program_computes_the_same_from_the_file_at_any_size(tmp_path):
    model, compiled = read(export_onnx("test-model", tmp_path))
    assert [t.get_any_name() for t in (*model.inputs, *model.outputs)] == ["input", "image"]
    network = load_model("test-model", "stain").network
    rng = np.random.default_rng(0)
    for batch, height, width in ((1, 64, 64), (2, 48, 112)):
        x = rng.normal(size=(batch, 3, height, width)).astype(np.float32)
        with torch.no_grad():
            wanted = network(torch.from_numpy(x)).image.numpy()
        found = compiled([x])[0]
        assert found.shape == (batch, 2, height, width)
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=2e-4)


@needs_onnx
def test_volumes_are_written_too(tmp_path):
    _, compiled = read(export_onnx("spheroid-live-dead", tmp_path))
    network = load_model("spheroid-live-dead", "spheroid").network
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 32, 48)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).image.numpy()
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(compiled([x])[0], wanted, atol=1e-3 * float(np.abs(wanted).max()))


@needs_onnx
@pytest.mark.parametrize("name", ["atp-organoid-sim", "viability-spheroid-sim"])
def test_models_of_amounts_are_written_for_squares_of_their_side(name, tmp_path):
    card, _ = find_model(name)
    _, compiled = read(export_onnx(name, tmp_path))
    network = load_model(name, card.task).network
    x = 0.1 * np.random.default_rng(0).normal(size=(3, 1, card.input.side_px, card.input.side_px)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(x)).value.numpy()
    found = compiled([x])[0]
    assert found.shape == wanted.shape == (3, 1)
    assert np.ptp(wanted) > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


@needs_onnx
def test_the_card_is_in_the_file_and_files_are_never_replaced(tmp_path):
    path = export_onnx("test-model", tmp_path)
    import onnx

    found = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert ModelCard.from_json(found[CARD_KEY].encode(), "card") == load_model("test-model", "stain").card
    with pytest.raises(ParameterError, match=r"test-model\.onnx exists already"):
        export_onnx("test-model", tmp_path)


@needs_onnx
def test_networks_of_classes_are_written_with_their_instances(tmp_path):
    model, compiled = read(export_onnx("translocation-bbbc013", tmp_path))
    assert [t.get_any_name() for t in (*model.inputs, *model.outputs)] == ["input", "probabilities", "instances"]
    card, _ = find_model("translocation-bbbc013")
    network = load_model(card.id, "phenotype").network
    rng = np.random.default_rng(0)
    step = 16 * card.architecture.arguments.get("stride0", 1)
    for batch, rows, columns in ((1, 4, 4), (3, 2, 5)):
        x = 2 * rng.normal(size=(batch, card.network_channels, rows * step, columns * step)).astype(np.float32)
        with torch.no_grad():
            wanted = network(torch.from_numpy(x))
        found = compiled([x])
        np.testing.assert_allclose(found[0], torch.softmax(wanted.scores, 1).numpy(), atol=1e-4)
        assert found[1].shape == (batch, len(card.targets), rows, columns)
        np.testing.assert_allclose(found[1], torch.sigmoid(wanted.logits).numpy(), atol=1e-4)
        assert np.ptp(found[1]) > 0.01


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'vitascope\[onnx\]'"):
        export_onnx("test-model", tmp_path)
    assert not list(tmp_path.glob("*.onnx"))
