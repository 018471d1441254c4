"""Where graphs run: chosen from a list of devices, with a stand-in for onnxruntime-gpu."""

import importlib.machinery
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from graph_support import SmallUNet, seeded, to_onnx, torch_answer
from vitascope import run
from vitascope.core.micrograph import Micrograph
from vitascope.engine.device import Device
from vitascope.engine.graphs import device as graph_device
from vitascope.engine.graphs.device import pick_graph_device
from vitascope.engine.openvino_backend import run_onnx
from vitascope.exchange.graph_import import import_graph

pytest.importorskip("onnx")
CPU, CARD = Device("cpu", "processor", 1, ("f32",)), Device("cuda:0", "card", 1, ("f32",))


class Session:
    """What onnxruntime would open: it computes on the processor, and fails when it is told to."""

    failing = ""

    def __init__(self, data, options, providers):
        self.data, self.providers = data, providers

    def get_providers(self):
        return [p[0] if isinstance(p, tuple) else p for p in self.providers]

    def get_outputs(self):
        return [SimpleNamespace(name="y")]

    def run(self, names, given):
        if self.failing:
            raise Exception(self.failing)
        (x,) = given.values()
        return [run_onnx(self.data, [x])[0][name] for name in names]


@pytest.fixture
def onnxruntime(monkeypatch):
    fake = ModuleType("onnxruntime")
    fake.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
    fake.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    fake.SessionOptions = SimpleNamespace
    fake.InferenceSession = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(Session, "failing", "")
    return fake


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(graph_device, "list_devices", lambda: [CARD, CPU])


def test_a_card_is_taken_where_onnxruntime_can_use_it(onnxruntime):
    assert pick_graph_device("auto", [CARD, CPU]) == ("cuda:0", False)
    assert pick_graph_device("cpu", [CARD, CPU]) == ("cpu", False)
    assert pick_graph_device("cuda", [CPU]) == ("cpu", True)
    onnxruntime.get_available_providers = lambda: ["CPUExecutionProvider"]
    assert pick_graph_device("auto", [CARD, CPU]) == ("cpu", True)


def test_a_card_of_intel_is_taken_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(graph_device, "has_intel_card", lambda: True)
    assert pick_graph_device("gpu", [CPU]) == ("gpu", False)
    assert pick_graph_device("auto", [CPU]) == ("cpu", False)
    monkeypatch.setattr(graph_device, "has_intel_card", lambda: False)
    assert pick_graph_device("gpu", [CPU]) == ("cpu", True)


@pytest.mark.parametrize("failing", ["", "CUDA error: an illegal memory access"])
def test_a_graph_runs_on_a_card_or_falls_back(onnxruntime, card, tmp_path, monkeypatch, failing):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    network = seeded(SmallUNet, levels=1)
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 1, 32, 32), free=(2, 3)))
    import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="none")
    monkeypatch.setattr(Session, "failing", failing)
    image = np.random.default_rng(0).random((64, 60)).astype(np.float32)
    found = run("stain", Micrograph(image, "YX"), model="theirs")
    assert found.provenance.device == ("cpu" if failing else "cuda:0")
    assert ("device_fallback" in found.flags) == bool(failing)
    wanted = torch_answer(network, image[None])
    np.testing.assert_allclose(found.outputs[0].array, wanted, atol=2e-5 * np.ptp(wanted))
