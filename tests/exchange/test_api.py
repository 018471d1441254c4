import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pydantic
import pytest
import torch
import yaml

from tests_support import make_model, save_model
from vitascope.core.card import Normalisation
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.paths import user_models
from vitascope.engine.load_model import load_model
from vitascope.engine.openvino_backend import run_onnx
from vitascope.exchange.api import export_bioimageio, import_bioimageio, import_foreign, import_weights
from vitascope.exchange.bioimageio_package import CARD, ONNX
from vitascope.exchange.bioimageio_preprocessing import apply_steps
from vitascope.exchange.match_tensors import rename_state
from vitascope.exchange.onnx_export import can_write
from vitascope.io.models.cards import find_cards, find_model


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    how = Normalisation(method="percentile", low=1, high=99, clip=(-1, 2))
    made = make_model(width=0.25, planes=3, targets=("DNA", "actin"), normalisation=how)
    save_model(made, user_models())
    return made


def rewrite(path, out, **changes):
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = changes.get(name, source.read(name))
            if data is not None:
                target.writestr(name, data)
    return out


def same_weights(one, other):
    a, b = (load_model(name, "stain").network.state_dict() for name in (one, other))
    return all(torch.equal(a[k], b[k]) for k in a)


PYDANTIC = tuple(int(n) for n in pydantic.VERSION.split(".")[:2])
CORE_TEST = """
import sys
from pathlib import Path
from bioimageio.core import test_model
summary = test_model(Path(sys.argv[1]))
print(summary.format() if summary.status != "passed" else "")
print(summary.status)
"""


def test_a_package_of_an_earlier_version_is_read(tmp_path, model):
    path = export_bioimageio("test-model", tmp_path)
    with zipfile.ZipFile(path) as package:
        tree, card = yaml.safe_load(package.read("rdf.yaml")), json.loads(package.read(CARD))
    card["distrust"], card["settings"] = card.pop("limitations"), card.pop("default_params")
    data = json.dumps(card).encode()
    entry = next(one for one in tree["attachments"] if one["source"] == CARD)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    tree["weights"]["pytorch_state_dict"]["architecture"]["import_from"] = "vitascope.models.plain"
    old = rewrite(path, tmp_path / "old.zip", **{"rdf.yaml": yaml.safe_dump(tree), CARD: data})
    found = import_bioimageio(old, "again")
    assert found.limitations == model.card.limitations
    assert same_weights("again", "test-model")


def core_test(path):
    """Try a package as bioimageio.core does."""
    if importlib.util.find_spec("bioimageio") is None or PYDANTIC >= (2, 13):
        pytest.skip("bioimageio.core is not installed, or pydantic is newer than it works with (extra 'bioimageio')")
    done = subprocess.run(  # it leaves files open, and has a log of its own
        [sys.executable, "-c", CORE_TEST, str(path)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout.strip().splitlines()[-1:] == ["passed"], done.stdout + done.stderr


def test_the_test_of_bioimageio_core_passes(tmp_path):
    core_test(export_bioimageio("test-model", tmp_path))


BESIDE = "VITASCOPE_BIOIMAGEIO_PYTHON"
"""Interpreter of an environment with bioimageio.core and onnxruntime, but without vitascope and torch."""


def test_volumes_are_packed_with_their_three_axes_and_the_answer_of_their_network(tmp_path):
    pytest.importorskip("onnxscript")
    with zipfile.ZipFile(export_bioimageio("spheroid-live-dead", tmp_path)) as package:
        tree = yaml.safe_load(package.read("rdf.yaml"))
        given, wanted = (np.load(io.BytesIO(package.read(f"test_{kind}.npy"))) for kind in ("input", "output"))
        found = run_onnx(package.read("weights.onnx"), [given])[0]["image"]
    assert [a.get("id") for a in tree["inputs"][0]["axes"]] == [None, None, "z", "y", "x"]
    assert [a["size"]["step"] for a in tree["inputs"][0]["axes"][2:]] == [2, 4, 4]
    assert given.shape[2:] == wanted.shape[2:]
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))


@pytest.mark.parametrize("name", ["test-model", "spheroid-live-dead"])
def test_packages_run_where_there_is_no_vitascope(tmp_path, name):
    other = os.environ.get(BESIDE)
    if not other:
        pytest.skip(f"no other environment is named ({BESIDE})")
    pytest.importorskip("onnxscript")
    path = export_bioimageio(name, tmp_path)
    absent = "import importlib.util as i, sys; sys.exit(any(i.find_spec(n) for n in ('vitascope', 'torch')))"
    code = CORE_TEST.replace("Path(sys.argv[1])", "Path(sys.argv[1]), weight_format='onnx'")
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    assert subprocess.run([other, "-c", absent], env=plain, cwd=tmp_path, check=False).returncode == 0
    done = subprocess.run(
        [other, "-c", code, str(path)],
        capture_output=True,
        text=True,
        env=plain,
        cwd=tmp_path,
        timeout=200,
        check=False,
    )
    assert done.stdout.strip().splitlines()[-1:] == ["passed"], done.stdout + done.stderr


def test_a_package_comes_back_as_the_same_model(tmp_path, no_network):
    path = export_bioimageio("test-model", tmp_path)
    card = import_bioimageio(path, "again")
    assert card.input == load_model("test-model", "stain").card.input
    assert same_weights("test-model", "again")
    with pytest.raises(ParameterError, match="'test-model' already"):
        import_bioimageio(path)
    with pytest.raises(ParameterError, match="exists already"):
        export_bioimageio("test-model", tmp_path)


def test_the_onnx_of_a_package_gives_its_test_answer_without_our_network(tmp_path):
    """A program without vitascope prepares the test picture by the package's own words, and runs its ONNX."""
    pytest.importorskip("onnxscript")
    with zipfile.ZipFile(export_bioimageio("test-model", tmp_path)) as package:
        tree = yaml.safe_load(package.read("rdf.yaml"))
        data = package.read(tree["weights"]["onnx"]["source"])
        given, wanted = (np.load(io.BytesIO(package.read(f"test_{k}.npy"))) for k in ("input", "output"))
    assert hashlib.sha256(data).hexdigest() == tree["weights"]["onnx"]["sha256"]
    prepared = apply_steps(given, tree["inputs"][0]["preprocessing"], "bcyx")
    (answer,) = run_onnx(data, [prepared])
    np.testing.assert_allclose(
        next(iter(answer.values())), wanted, atol=1e-4
    )  # sums of random weights, in another order


def test_nothing_in_a_package_is_code_of_ours(tmp_path):
    with zipfile.ZipFile(export_bioimageio("test-model", tmp_path)) as package:
        assert sorted(package.namelist()) == sorted(
            [
                "README.md",
                "rdf.yaml",
                "test_input.npy",
                "test_output.npy",
                CARD,
                "weights.pt",
                *([ONNX] if can_write() else []),
            ]
        )
        assert str(tmp_path) not in package.read("rdf.yaml").decode() + package.read(CARD).decode()


@pytest.mark.fault("D17")
def test_altered_weights_or_cards_are_refused(tmp_path):
    path = export_bioimageio("test-model", tmp_path)
    for name in ("weights.pt", CARD):
        with zipfile.ZipFile(path) as package:
            data = bytearray(package.read(name))
        data[len(data) // 2] ^= 1
        with pytest.raises(ModelError, match=r"altered \(SHA-256 differs\)"):
            import_bioimageio(rewrite(path, tmp_path / "altered.zip", **{name: bytes(data)}), "x")
    assert "x" not in find_cards()


@pytest.mark.fault("D18")
def test_a_package_with_code_of_its_own_is_not_run(tmp_path):
    path = export_bioimageio("test-model", tmp_path)
    with zipfile.ZipFile(path) as package:
        text = package.read("rdf.yaml").decode()
    evil = text.replace("import_from: vitascope.networks.single_output", "import_from: evil_module_of_a_stranger")
    assert evil != text
    with pytest.raises(ModelError, match="no model of a network that vitascope has"):
        import_bioimageio(rewrite(path, tmp_path / "evil.zip", **{"rdf.yaml": evil.encode()}), "x")
    assert "evil_module_of_a_stranger" not in sys.modules


@pytest.mark.fault("D24")
@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "[1, 2]", "{", ""])
def test_a_description_that_is_none_is_refused(tmp_path, text):
    path = export_bioimageio("test-model", tmp_path)
    with pytest.raises(ModelError, match=r"is no bioimage\.io package"):
        import_bioimageio(rewrite(path, tmp_path / "odd.zip", **{"rdf.yaml": text.encode()}), "x")


def test_only_models_of_pictures_can_be_exported(tmp_path):
    with pytest.raises(ModelError, match=r"which bioimage\.io programs cannot run"):
        export_bioimageio("atp-organoid-sim", tmp_path)
    assert not list(tmp_path.glob("*.zip"))


def test_a_package_of_classes_comes_back_as_the_same_model(tmp_path):
    path = export_bioimageio("translocation-bbbc013", tmp_path)
    with zipfile.ZipFile(path) as package:
        answer = np.load(io.BytesIO(package.read("test_output.npy")))
        tree = yaml.safe_load(package.read("rdf.yaml"))
    card = find_model("translocation-bbbc013")[0]
    assert [a["type"] for a in tree["outputs"][0]["axes"]] == ["batch", "channel"]
    assert answer.shape == (1, len(card.targets))
    np.testing.assert_allclose(answer.sum(), 1, rtol=1e-5)
    import_bioimageio(path, "again")
    one, other = (load_model(n, "phenotype").network.state_dict() for n in ("translocation-bbbc013", "again"))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_the_test_of_bioimageio_core_passes_for_classes(tmp_path):
    core_test(export_bioimageio("translocation-bbbc013", tmp_path))


# -- of other programs ------------------------------------------------------------------------------------------------


def theirs(network, prefix="module.net"):
    """A state dict as another program would have it: names of its own."""
    names = {}
    for key in network.state_dict():
        layer = key.rpartition(".")[0]
        names.setdefault(layer, f"{prefix}.{len(names)}")
    return {f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in network.state_dict().items()}


def other_weights(seed=3):
    torch.manual_seed(seed)
    return make_model(width=0.25, planes=3, targets=("DNA", "actin")).network


def test_weights_under_other_names_are_put_in_place_by_order_and_shape(tmp_path):
    network = other_weights()
    torch.save({"state_dict": theirs(network), "epoch": 3}, tmp_path / "theirs.pt")
    card = import_weights(tmp_path / "theirs.pt", "test-model", "theirs")
    found = load_model("theirs", "stain").network.state_dict()
    wanted = network.state_dict()
    assert all(torch.equal(found[k], wanted[k]) for k in wanted if "num_batches" not in k)
    sha256 = hashlib.sha256((tmp_path / "theirs.pt").read_bytes()).hexdigest()
    assert card.training["imported_from"]["sha256"] == sha256
    assert "by the order and the shapes of layers" in " ".join(card.training["notes"])


def test_a_prefix_of_all_names_does_not_count(tmp_path):
    network = other_weights()
    torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / "theirs.pt")
    card = import_weights(tmp_path / "theirs.pt", "test-model", "theirs")
    found = load_model("theirs", "stain").network.state_dict()
    assert all(torch.equal(found[k], v) for k, v in network.state_dict().items() if "num_batches" not in k)
    assert "the names of ours behind a prefix" in " ".join(card.training["notes"])


class Crossed(torch.nn.Module):
    """Two layers alike, defined in another order than they are computed in."""

    def __init__(self):
        super().__init__()
        self.second, self.first = torch.nn.Conv2d(2, 2, 3, padding=1), torch.nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.second(self.first(x))


def test_what_fits_in_two_ways_or_in_none_is_refused():
    network, x = Crossed(), torch.zeros(1, 2, 8, 8)
    tensors = {k: v.numpy() for k, v in theirs(Crossed()).items()}
    with pytest.raises(ModelError, match="in more than one way"):
        rename_state(network, x, tensors, "theirs.pt", "crossed")
    del tensors["module.net.1.bias"]
    with pytest.raises(ModelError, match=r"left over: 1 layer.*missing: 1 layer\(s\), such as bias 2 and weight 2 x 2"):
        rename_state(network, x, tensors, "theirs.pt", "crossed")
    mixed = make_model(width=0.25).network
    shuffled = dict(reversed(theirs(mixed).items()))
    arrays = {k: v.numpy() for k, v in shuffled.items() if "num_batches" not in k}
    with pytest.raises(ModelError, match="in another order"):
        rename_state(mixed, torch.zeros(1, 1, 16, 16), arrays, "theirs.pt", "test-model")


def foreign_package(path, out, network, **changes):
    """Make a package of ours one of another program: its names, no card of ours, its own test picture."""
    buffer = io.BytesIO()
    torch.save(theirs(network), buffer)
    files = {"weights.pt": buffer.getvalue()}
    with zipfile.ZipFile(path) as package:
        given = np.load(io.BytesIO(package.read("test_input.npy")))
        tree = yaml.safe_load(package.read("rdf.yaml"))
    low, high = (np.percentile(given, p, axis=(1, 2, 3), keepdims=True) for p in (1, 99))
    with torch.no_grad():
        x = torch.from_numpy(np.clip((given - low) / (high - low + 1e-6), -1, 2).astype(np.float32))
        answer = network(x).image.numpy()
    buffer = io.BytesIO()
    np.save(buffer, changes.pop("answer", answer))
    files["test_output.npy"] = buffer.getvalue()
    tree["attachments"] = []
    entry = tree["weights"]["pytorch_state_dict"]
    entry["sha256"] = hashlib.sha256(files["weights.pt"]).hexdigest()
    entry["architecture"] = {"callable": "Net", "source": "net.py", "sha256": "0" * 64}
    tree["outputs"][0]["test_tensor"]["sha256"] = hashlib.sha256(files["test_output.npy"]).hexdigest()
    tree |= changes
    return rewrite(path, out, **files, **{CARD: None, "rdf.yaml": yaml.safe_dump(tree).encode()})


def test_a_package_of_others_is_read_into_a_given_network_and_tried_on_its_picture(tmp_path, no_network):
    network = other_weights()
    path = foreign_package(export_bioimageio("test-model", tmp_path), tmp_path / "theirs.zip", network)
    with pytest.raises(ParameterError, match=r"not made by vitascope.*--like MODEL"):
        import_bioimageio(path)
    card = import_foreign(path, "test-model", "theirs")
    found = load_model("theirs", "stain").network.state_dict()
    wanted = network.state_dict()
    assert all(torch.equal(found[k], wanted[k]) for k in wanted if "num_batches" not in k)
    assert "gives the answer of the package's test picture" in " ".join(card.training["notes"])
    assert (card.title, card.licence) == ("Test (vitascope)", "CC0-1.0")


def test_a_package_of_others_that_answers_otherwise_is_refused(tmp_path):
    path = export_bioimageio("test-model", tmp_path)
    wrong = np.random.default_rng(0).uniform(size=(1, 2, 128, 128)).astype(np.float32)
    odd = foreign_package(path, tmp_path / "odd.zip", other_weights(), answer=wrong)
    with pytest.raises(ModelError, match="do not give the answer of the package's test picture"):
        import_foreign(odd, "test-model", "theirs")
    script = foreign_package(path, tmp_path / "script.zip", other_weights(), weights={"torchscript": {}})
    with pytest.raises(ModelError, match="holds its weights as torchscript"):
        import_foreign(script, "test-model", "theirs")
    assert "theirs" not in find_cards()


def test_weights_of_others_are_taken_for_a_given_network(tmp_path, model):
    torch.save(model.network.state_dict(), tmp_path / "theirs.pt")
    card = import_weights(tmp_path / "theirs.pt", "test-model", "theirs")
    assert same_weights("test-model", "theirs")
    assert card.metrics == ()
    again = import_weights(user_models() / "test-model.safetensors", "test-model", "second")
    assert again.weights.sha256 == card.weights.sha256


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/vitascope-was-run", "w"))


@pytest.mark.fault("D01")
@pytest.mark.fault("D12")
def test_weights_that_do_not_fit_or_would_execute_are_refused(tmp_path, model):
    torch.save(make_model(width=0.5).network.state_dict(), tmp_path / "other.pt")
    with pytest.raises(ModelError, match="do not fit its architecture"):
        import_weights(tmp_path / "other.pt", "test-model", "x")
    torch.save(model.network, tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="holds no plain weights"):
        import_weights(tmp_path / "whole.pt", "test-model", "x")
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="holds no plain weights"):
        import_weights(tmp_path / "evil.pt", "test-model", "x")
    broken = {k: v.clone() for k, v in model.network.state_dict().items()}
    broken["last.bias"][0] = np.nan
    torch.save(broken, tmp_path / "nan.pt")
    with pytest.raises(ModelError, match=r"NaN or infinity in 'last\.bias'"):
        import_weights(tmp_path / "nan.pt", "test-model", "x")
    assert "x" not in find_cards()


def test_the_card_in_a_package_is_the_models_own(tmp_path):
    with zipfile.ZipFile(io.BytesIO(export_bioimageio("test-model", tmp_path).read_bytes())) as package:
        assert json.loads(package.read(CARD))["id"] == "test-model"


def test_weights_changed_together_with_their_hash_are_refused_by_the_card(tmp_path):
    path = export_bioimageio("test-model", tmp_path)
    with zipfile.ZipFile(path) as package:
        state = torch.load(io.BytesIO(package.read("weights.pt")), weights_only=True)
        tree = yaml.safe_load(package.read("rdf.yaml"))
    first = next(key for key, value in state.items() if value.ndim == 4)
    state[first] = state[first] * 1.5
    buffer = io.BytesIO()
    torch.save(state, buffer)
    tree["weights"]["pytorch_state_dict"]["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    changed = {"weights.pt": buffer.getvalue(), "rdf.yaml": yaml.safe_dump(tree).encode()}
    with pytest.raises(ModelError, match="not those its card was written for"):
        import_bioimageio(rewrite(path, tmp_path / "changed.zip", **changed), "x")
    assert "x" not in find_cards()


def test_a_description_that_unfolds_without_end_is_refused_at_once(tmp_path):
    path = export_bioimageio("test-model", tmp_path)
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(ModelError, match="description cannot be read"):
        import_bioimageio(rewrite(path, tmp_path / "bomb.zip", **{"rdf.yaml": bomb.encode()}), "x")


def test_a_package_packed_again_with_a_folder_inside_is_the_same(tmp_path):
    path = export_bioimageio("test-model", tmp_path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "again.zip", "w") as target:
        target.mkdir("test-model")
        for name in source.namelist():
            target.writestr(f"test-model/{name}", source.read(name))
    assert import_bioimageio(tmp_path / "again.zip", "again").id == "again"
    assert same_weights("test-model", "again")


def test_a_bare_file_of_weights_says_that_it_came_without_a_hash_and_gets_one(tmp_path, model):
    path = tmp_path / "weights.pt"
    torch.save(model.network.state_dict(), path)
    card = import_weights(path, "test-model", "bare")
    notes = " ".join(card.training["notes"])
    assert "without a hash" in notes
    assert hashlib.sha256(path.read_bytes()).hexdigest() in notes
    assert card.weights.sha256 == hashlib.sha256((user_models() / "bare.safetensors").read_bytes()).hexdigest()
