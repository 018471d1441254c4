import importlib.util
import json

import pytest
from typer.testing import CliRunner

from tests_support import make_model, make_recipe, save_model
from vitascope.cli.main import app
from vitascope.core.paths import user_models
from vitascope.io.models.cards import find_cards, read_card
from vitascope.recipes.recipe import read_recipe
from vitascope.training.tasks.stain import run_training


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(model_id="mother", width=0.25), user_models())


def vitascope(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def recipe(tmp_path, **changes):
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(make_recipe(tmp_path, **changes)))
    return path


def test_the_recipe_says_which_model_training_starts_from(tmp_path):
    path = recipe(tmp_path, start_from="mother")
    done = vitascope("train", "stain", "--recipe", path, "-o", "child", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert read_card(find_cards()["child"]).parent.startswith("mother ")
    listed = vitascope("models", "runs").output
    assert "child" in listed
    assert "from mother" in listed
    assert "finished" in listed
    assert vitascope("models", "runs", "--csv", tmp_path / "runs.csv").exit_code == 0
    assert (tmp_path / "runs.csv").read_text().count("\n") == 2
    if importlib.util.find_spec("tensorboard") is not None:
        assert vitascope("models", "runs", "--tensorboard", tmp_path / "events").exit_code == 0
        assert len(list((tmp_path / "events").glob("child-*/events.out.tfevents.*"))) == 1


def test_an_interrupted_run_becomes_a_model_when_asked(tmp_path):
    path = recipe(tmp_path, training={"epochs": 40, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32"})
    steps = run_training(read_recipe(path).changed({"id": "child"}), tmp_path, user_models(), None, "cpu")
    while getattr(next(steps), "done", 0) != 3:
        pass
    steps.close()
    assert "child" not in find_cards()
    done = vitascope("train", "stain", "--recipe", path, "-o", "child", "--device", "cpu", "--finish-now")
    assert done.exit_code == 0, done.output
    assert read_card(find_cards()["child"]).training["stopped"] == "stopped"


def test_models_are_renamed_exported_and_imported(tmp_path):
    assert vitascope("models", "rename", "mother", "mum").output == "Renamed to mum\n"
    package = tmp_path / "mum.zip"
    assert vitascope("models", "export", "mum", "-o", package, "--format", "bioimageio").exit_code == 0
    assert vitascope("models", "import", package, "--name", "again").output == "Imported again (CC0-1.0).\n"
    refused = vitascope("models", "rename", "nuclei-phase", "mine")
    assert (refused.exit_code, "it keeps its name" in refused.output) == (2, True)
    weights = user_models() / "mum.safetensors"
    assert "--like MODEL" in vitascope("models", "import", weights).output
    assert vitascope("models", "import", weights, "--like", "mum", "--name", "third").exit_code == 0
    assert {"mum", "again", "third"} <= set(find_cards())


def test_a_network_is_written_as_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    done = vitascope("models", "export", "mother", "-o", tmp_path / "net.onnx", "--format", "onnx")
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "net.onnx"))
    assert (tmp_path / "net.onnx").stat().st_size > 10_000
    assert "'mother' already" in vitascope("models", "import", tmp_path / "net.onnx").output
    back = vitascope("models", "import", tmp_path / "net.onnx", "--name", "back")
    assert (back.exit_code, back.output) == (0, "Imported back (CC0-1.0).\n")
    like = vitascope("models", "import", tmp_path / "net.onnx", "--like", "mother", "--name", "alike")
    assert like.exit_code == 0, like.output
    told = vitascope("models", "show", "alike").output
    assert "Imported from net.onnx (SHA-256 " in told
    assert "No figure was measured here." in told


def test_two_models_are_compared(tmp_path):
    save_model(make_model(model_id="other", width=0.25), user_models())
    done = vitascope("models", "compare", "mother", "other", "--recipe", recipe(tmp_path))
    assert done.exit_code == 0, done.output
    assert "PCC DNA" in done.output
    assert "difference" in done.output
