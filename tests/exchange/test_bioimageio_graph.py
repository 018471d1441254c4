"""Networks of other programs as bioimage.io packages: what is said is what is run, where there is no vitascope too."""

import io
import os
import subprocess
import warnings
import zipfile

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from graph_support import Centre, Sheets, SmallUNet, seeded, to_onnx
from vitascope.core.errors import ModelError, ParameterError
from vitascope.engine.graphs.network import GraphNetwork
from vitascope.exchange.bioimageio_export import export_bioimageio
from vitascope.exchange.bioimageio_preprocessing import apply_steps
from vitascope.exchange.graph_import import import_graph
from vitascope.io.models.cards import find_model
from vitascope.io.models.onnx_file import check_onnx
from vitascope.io.models.onnx_outputs import with_outputs

pytest.importorskip("onnx")

BESIDE = "VITASCOPE_BIOIMAGEIO_PYTHON"
"""Interpreter of an environment with bioimageio.core and onnxruntime, but without vitascope and torch."""

CORE_TEST = """
import importlib.util, sys
from pathlib import Path
assert not any(importlib.util.find_spec(n) for n in ("vitascope", "torch"))
from bioimageio.core import test_model
summary = test_model(Path(sys.argv[1]), weight_format="onnx")
print(summary.format() if summary.status != "passed" else "")
print(summary.status)
"""


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


class Several(nn.Module):
    """Two pictures and a number between them."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 1, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.a(x)[:, 0], x.mean((2, 3)), self.b(x)


class Squeezed(nn.Module):
    """Five planes taken as channels, one answer."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(5, 1, 3, padding=1)

    def forward(self, x):
        return self.a(x)


def several():
    buffer = io.BytesIO()
    free = {n: {2: "h", 3: "w"} for n in ("x", "b")} | {"a": {1: "h", 2: "w"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            seeded(Several),
            (torch.zeros(1, 2, 32, 32),),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["a", "number", "b"],
            dynamic_axes=free,
        )
    return buffer.getvalue()


NETWORKS = {
    "plain": lambda: (to_onnx(seeded(SmallUNet), (1, 1, 32, 32), free=(0, 2, 3)), {"normalise": "percentile:1:99"}),
    "instance": lambda: (
        to_onnx(seeded(SmallUNet, norm="instance"), (1, 1, 32, 32), free=(2, 3)),
        {"normalise": "zscore", "licence": "MIT", "credit": "A. Maker; a paper"},
    ),
    "volume": lambda: (to_onnx(seeded(Sheets), (1, 1, 5, 32, 32), free=(2, 3, 4)), {"normalise": "minmax"}),
    "sheets": lambda: (to_onnx(seeded(Sheets), (1, 1, 5, 32, 32), free=(3, 4)), {"normalise": "fixed:900:150"}),
    "planes": lambda: (
        to_onnx(seeded(Squeezed), (1, 5, 32, 32), free=(2, 3)),
        {"axes": "bzyx", "normalise": "median_iqr"},
    ),
    "one plane of five": lambda: (
        to_onnx(seeded(Centre), (1, 1, 5, 32, 32), free=(3, 4)),
        {"normalise": "minmax", "outputs": "nuclei, membrane"},
    ),
    "fixed size": lambda: (to_onnx(seeded(SmallUNet), (1, 1, 96, 80)), {"normalise": "none"}),
    "several": lambda: (
        several(),
        {"channels": "phase, dic", "outputs": "nuclei, cells, actin", "normalise": "zscore", "pixel_size_um": 0.325},
    ),
}


def packed(name, tmp_path):
    data, answers = NETWORKS[name]()
    (tmp_path / "net.onnx").write_bytes(data)
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", answers=answers)
    return card, export_bioimageio("theirs", tmp_path)


def unpacked(path):
    with zipfile.ZipFile(path) as package:
        files = {n: package.read(n) for n in package.namelist()}
    return yaml.safe_load(files["rdf.yaml"]), files


@pytest.mark.parametrize("name", NETWORKS)
def test_the_test_picture_prepared_by_the_packages_words_gives_its_answers(tmp_path, name):
    card, path = packed(name, tmp_path)
    tree, files = unpacked(path)
    given = np.load(io.BytesIO(files["test_input.npy"]))
    (told,) = tree["inputs"]
    prepared = apply_steps(given, told["preprocessing"], card.graph.axes)
    network = GraphNetwork(files["weights.onnx"], card.graph.input, card.graph.axes, 1)
    answers = list(network.answers_to(prepared).values())
    assert len(answers) == len(tree["outputs"]) == len(card.graph.outputs)
    for answer, output in zip(answers, tree["outputs"], strict=True):
        wanted = np.load(io.BytesIO(files[output["test_tensor"]["source"]]))
        assert np.ptp(wanted) > 0.1
        np.testing.assert_allclose(answer, wanted, atol=1e-5 * np.ptp(wanted))
        assert len(output["axes"]) == wanted.ndim
    assert sorted(tree["weights"]) == ["onnx"]


@pytest.mark.parametrize("name", NETWORKS)
def test_packages_run_where_there_is_no_vitascope(tmp_path, name):
    other = os.environ.get(BESIDE)
    if not other:
        pytest.skip(f"no other environment is named ({BESIDE})")
    _, path = packed(name, tmp_path)
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [other, "-c", CORE_TEST, str(path)],
        capture_output=True, text=True, env=plain, cwd=tmp_path, timeout=200, check=False,
    )  # fmt: skip
    assert done.stdout.strip().splitlines()[-1:] == ["passed"], done.stdout + done.stderr


@pytest.mark.parametrize("name", ["plain", "sheets", "several"])
def test_a_package_comes_back_as_the_same_model(tmp_path, name):
    card, path = packed(name, tmp_path)
    again = import_graph(path, "stain", "again")
    assert again.graph.axes == card.graph.axes
    assert again.graph.sides == card.graph.sides
    assert again.graph.divisor == card.graph.divisor
    assert [t.name for t in again.targets] == [t.name for t in card.targets]
    assert again.input.channels == card.input.channels
    assert again.input.normalisation.model_copy(update={"clip": None, "per": "image"}) == card.input.normalisation
    assert again.input.pixel_size_um == card.input.pixel_size_um


def test_what_is_no_picture_is_left_out_of_the_package(tmp_path):
    _, path = packed("several", tmp_path)
    tree, files = unpacked(path)
    assert [p.name for p in check_onnx(files["weights.onnx"], "n").outputs] == ["a", "b"]
    assert [o["id"] for o in tree["outputs"]] == ["nuclei", "output_2"]
    assert tree["outputs"][1]["axes"][1]["channel_names"] == ["cells", "actin"]
    assert tree["inputs"][0]["axes"][2] == {
        "type": "space", "id": "y", "scale": 0.325, "unit": "micrometer", "size": {"min": 64, "step": 1},
    }  # fmt: skip


def test_leaving_out_nothing_changes_nothing():
    data = several()
    assert with_outputs(data, {"a", "number", "b"}) == data


def test_what_the_format_cannot_say_is_said_in_words(tmp_path):
    _, path = packed("planes", tmp_path)
    tree, files = unpacked(path)
    assert tree["inputs"][0]["preprocessing"] == []
    assert b"must be prepared first (`median_iqr`" in files["README.md"]
    assert "license" not in tree  # nobody told it
    (tmp_path / "b.onnx").write_bytes(NETWORKS["plain"]()[0])
    import_graph(tmp_path / "b.onnx", "stain", "plates", answers={"per": "plate", "normalise": "minmax"})
    tree, files = unpacked(export_bioimageio("plates", tmp_path))
    assert tree["inputs"][0]["preprocessing"] == []
    assert b"by plate" in files["README.md"]


def test_licence_and_maker_are_those_that_were_told(tmp_path):
    _, path = packed("instance", tmp_path)
    tree, _ = unpacked(path)
    assert tree["license"] == "MIT"
    assert tree["authors"] == [{"name": "A  Maker"}]


def test_nothing_is_replaced_and_a_changed_network_is_not_packed(tmp_path):
    packed("plain", tmp_path)
    with pytest.raises(ParameterError, match="exists already"):
        export_bioimageio("theirs", tmp_path)
    file = find_model("theirs")[1]
    file.write_bytes(file.read_bytes() + b"\x00")
    with pytest.raises(ModelError, match="SHA-256"):
        export_bioimageio("theirs", tmp_path / "again.zip")
    assert not (tmp_path / "again.zip").exists()
