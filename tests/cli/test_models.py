from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests_support import make_model, save_model
from vitascope.cli.main import app
from vitascope.cli.model_text import describe
from vitascope.core.card import Metric
from vitascope.io.models.cards import find_cards, find_model, read_card, write_card
from vitascope.io.models.yaml import read_yaml
from vitascope.recipes.recipe import parse_recipe


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    save_model(make_model(width=0.25, object_diameter_px=18), tmp_path / "models")
    return tmp_path / "models"


def invoke(*words):
    return CliRunner().invoke(app, ["models", *words], env={"COLUMNS": "200"})


def test_models_are_listed_one_line_each():
    done = invoke("list")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert len(lines) == len(find_cards())
    assert any(line.split() == ["test-model", "stain", "Random", "weights."] for line in lines)
    of_stain = [line for line in lines if line.split()[1] == "stain"]
    assert invoke("list", "--task", "stain").output.splitlines() == of_stain


def test_a_broken_card_does_not_break_the_list(folder):
    (folder / "bad.json").write_text("{")
    assert "test-model" in invoke("list").output


def test_a_card_is_shown_with_all_that_matters(folder):
    path = folder / "test-model.json"
    card = read_card(path)
    metrics = (
        Metric(
            name="PCC DNA",
            value=0.81,
            low=0.78,
            high=0.84,
            level=0.95,
            on="test part of the split",
            from_holdout_model=True,
        ),
        Metric(name="PCC all", value=0.7, on="elsewhere"),
    )
    write_card(card.model_copy(update={"metrics": metrics, "parent": "older 00ff"}), folder)
    text = invoke("show", "test-model").output
    for word in (
        card.title,
        "phase contrast, 1 plane(s) of phase; pixel size unknown",
        "DNA (normalised)",
        "0.81 (0.78 to 0.84)",
        "twin trained without the test part",
        "PCC all 0.7 , elsewhere",
        card.limitations,
        "CC0-1.0",
        card.weights.sha256,
        "older 00ff",
    ):
        assert word in text, word


def test_a_known_pixel_size_is_shown(folder):
    save_model(make_model(model_id="sized", width=0.25, pixel_size_um=0.325), folder)
    assert "pixel size 0.325 µm" in describe(find_model("sized")[0])


def test_a_model_goes_out_and_comes_back(folder, tmp_path):
    done = invoke("export", "test-model", "-o", str(tmp_path))
    assert done.exit_code == 0
    assert done.output.strip().endswith("test-model.vitascope")
    assert invoke("delete", "test-model").exit_code == 0
    assert "test-model" not in find_cards()
    done = invoke("import", str(tmp_path / "test-model.vitascope"))
    assert done.output == "Imported test-model (CC0-1.0).\n"
    assert "test-model" in find_cards()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "nothing"], "no model 'nothing'"),
        (["delete", "nothing"], "no model 'nothing'"),
        (["export", "nothing"], "no model 'nothing'"),
        (["import", "gone.vitascope"], "is no model package"),
        (["list", "--task", "nothing"], "no task 'nothing'"),
        (["show"], "Missing argument"),
        (["eat"], "No such command"),
    ],
)
@pytest.mark.fault("I11")
def test_wrong_usage_ends_with_code_2_and_a_sentence(words, told):
    done = invoke(*words)
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


def test_the_recipe_of_a_bundled_model_is_shown_to_start_from(folder):
    for name in ("atp-organoid", "atp-organoid-sim"):  # the second is what it was called
        text = invoke("show", name, "--recipe").output
        assert parse_recipe(read_yaml(text), "shown").id == "atp-organoid"
    assert invoke("show", "test-model", "--recipe").exit_code == 2


def test_a_file_of_a_model_at_hand_comes_in_under_another_name(folder, tmp_path):
    assert invoke("export", "test-model", "-o", "m.vitascope").exit_code == 0
    refused = invoke("import", "m.vitascope")
    assert refused.exit_code == 2
    assert "--name" in refused.output
    assert invoke("import", "m.vitascope", "--name", "twin").exit_code == 0
    card, weights = find_model("twin")
    assert card.id == "twin"
    assert weights.read_bytes() == find_model("test-model")[1].read_bytes()
    assert invoke("import", "m.vitascope", "--name", "no name").exit_code == 2


@pytest.mark.parametrize(("file", "kind"), [("m.onnx", "export_onnx"), ("m.zip", "export_bioimageio")])
def test_the_ending_tells_what_is_written(monkeypatch, file, kind):
    asked = []
    exchange = SimpleNamespace(**{kind: lambda model, out: asked.append((model, out.name))})
    monkeypatch.setattr("vitascope.cli.models.load_exchange", lambda: exchange)
    assert invoke("export", "test-model", "-o", file).exit_code == 0
    assert asked == [("test-model", file)]


def test_nothing_is_replaced(folder, tmp_path):
    assert invoke("export", "test-model", "-o", str(tmp_path / "a.vitascope")).exit_code == 0
    assert "exists already" in invoke("export", "test-model", "-o", str(tmp_path / "a.vitascope")).output
    done = invoke("import", str(tmp_path / "a.vitascope"))
    assert done.exit_code == 2
    assert "already" in done.output


@pytest.mark.parametrize("verb", ["list", "show", "export", "import", "delete"])
def test_every_verb_has_help(verb):
    assert verb in invoke("--help").output
    done = invoke(verb, "--help")
    assert done.exit_code == 0
    assert "Usage: " in done.output
