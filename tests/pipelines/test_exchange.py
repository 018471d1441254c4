import importlib.util
import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pydantic
import pytest
import torch

from tests_support import make_model, save_model
from vitascope.core.card import Normalisation
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.folders import user_models
from vitascope.engine.load import load_model
from vitascope.io.models import find_cards
from vitascope.pipelines.exchange import CARD, export_bioimageio, import_bioimageio, import_weights


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


def test_the_test_of_bioimageio_core_passes(tmp_path):
    if importlib.util.find_spec("bioimageio") is None or PYDANTIC >= (2, 13):
        pytest.skip("bioimageio.core is not installed, or pydantic is newer than it works with (extra 'bioimageio')")
    path = export_bioimageio("test-model", tmp_path)
    done = subprocess.run(  # it leaves files open, and has a log of its own
        [sys.executable, "-c", CORE_TEST, str(path)], capture_output=True, text=True, timeout=200, check=False
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


def test_nothing_in_a_package_is_code_of_ours(tmp_path):
    with zipfile.ZipFile(export_bioimageio("test-model", tmp_path)) as package:
        assert sorted(package.namelist()) == sorted(
            ["README.md", "rdf.yaml", "test_input.npy", "test_output.npy", CARD, "weights.pt"]
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
    evil = text.replace("import_from: vitascope.models.plain", "import_from: evil_module_of_a_stranger")
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
