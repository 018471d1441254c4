import re
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from spheroid_support import save_by_brightness
from tests_support import make_recipe
from vitascope.cli.main import app
from vitascope.cli.train import cross_validate
from vitascope.core.card import Metric
from vitascope.core.errors import ParameterError
from vitascope.core.paths import user_models
from vitascope.io.models.cards import find_model, read_card, split_target, write_card


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("VITASCOPE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, make_recipe(tmp_path))
    return tmp_path


def write(folder, tree, name="recipe.yaml"):
    (folder / name).write_text(yaml.safe_dump(tree), encoding="utf-8")


def invoke(*words):
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "200"})


def train(*words, out="mine", recipe="recipe.yaml"):
    return invoke("train", "stain", "--recipe", recipe, "-o", out, *words)


def test_a_recipe_becomes_one_of_the_users_models_and_is_measured(place):
    done = train()
    assert done.exit_code == 0, done.output
    path = place / "models" / "mine.json"
    assert done.stdout.splitlines()[0] == f"Model: {path}"
    assert "Note: Rows of the same images are trained on and kept apart" in done.output
    card, weights = find_model("mine", "stain")
    assert weights.exists()
    measured = invoke("evaluate", "mine", "--recipe", "recipe.yaml")
    assert measured.exit_code == 0, measured.output
    assert measured.output.startswith(f"PCC DNA: {card.metrics[0].value:.2f}"[:-1])
    assert measured.output.rstrip().endswith(", test part of the split, n = 4608")


def test_without_a_terminal_every_epoch_is_a_line_with_its_time_and_figures(place):
    lines = train().stderr.splitlines()
    epochs = [line for line in lines if "epoch" in line]
    figure = r"[\d.,e-]+"
    for number, line in enumerate(epochs, 1):
        assert re.fullmatch(
            rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  epoch {number} of 2: loss {figure}, learning rate {figure}, .+", line
        )
    assert len(epochs) == 2


def test_an_estimate_tells_time_memory_and_price_and_leaves_nothing(place):
    write(place, {**make_recipe(place), "training": {**make_recipe(place)["training"], "epochs": 50}})
    done = train("--estimate", "--price-per-hour", "7.2")
    assert done.exit_code == 0, done.output
    step, measure, epoch_min, steps = re.search(
        r"([\d.e-]+) s a step \(median of \d tried, batches of \d+\) and ([\d.e-]+) s to measure: ([\d.e-]+) min an "
        r"epoch of (\d+) steps",
        done.stdout,
    ).groups()
    assert float(epoch_min) * 60 == pytest.approx(int(steps) * float(step) + float(measure), rel=0.05)
    minutes, start = re.search(r"At most 50 epochs: about ([\d.e-]+) min, ([\d.e-]+) s", done.stdout).groups()
    assert float(minutes) * 60 == pytest.approx(float(start) + 50 * 60 * float(epoch_min), rel=0.1)
    assert float(re.search(r"Memory: ([\d.]+) GiB", done.stdout)[1]) > 0.1
    each, whole = re.search(r"Price: ([\d.e-]+) an epoch, ([\d.e-]+) in all, at 7.2 for an hour", done.stdout).groups()
    assert float(each) == pytest.approx(float(epoch_min) / 60 * 7.2, rel=0.05)
    assert float(whole) == pytest.approx(float(minutes) / 60 * 7.2, rel=0.05)
    assert not list((place / "models").glob("mine*"))
    assert train("--estimate", "--search", "3").exit_code == 2


def test_a_path_names_the_folder_too(place):
    assert train(out="elsewhere/mine").exit_code == 0
    assert {p.name for p in (place / "elsewhere").iterdir()} == {"mine.json", "mine.safetensors"}
    done = invoke("evaluate", "elsewhere/mine.json", "--recipe", "recipe.yaml")
    assert done.exit_code == 0
    again = train(out="elsewhere/mine")
    assert again.exit_code == 2
    assert "a model 'mine' already" in again.output


def test_training_goes_on_from_a_model(place):
    assert train().exit_code == 0
    assert train("--from", "mine", out="child").exit_code == 0
    assert find_model("child")[0].parent.startswith("mine ")


def test_a_model_that_is_there_under_this_name_is_never_replaced_nor_hidden(place):
    assert train().exit_code == 0
    before = (place / "models" / "mine.json").read_bytes()
    done = train()
    assert done.exit_code == 2
    assert "a model 'mine' already" in done.output
    assert (place / "models" / "mine.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "atp"}, "The recipe is for the task 'atp', not 'stain'"),
        ({"colour": "red"}, "colour: extra inputs"),
        ({"split": {"by": "region", "train_rows": [[0, 64]], "test_rows": [[60, 90]]}}, "overlap or touch"),
        ({"loss": {"dice": 1.0}}, "no loss 'dice'"),
    ],
)
@pytest.mark.fault("I11")
def test_recipes_that_cannot_be_used_end_with_code_2_and_nothing_left(place, change, words):
    write(place, {**make_recipe(place), **change})
    done = train()
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "Traceback" not in done.output
    assert not list((place / "models").glob("mine*"))


@pytest.mark.fault("D23")
def test_absent_data_is_one_sentence_naming_where_to_get_it(place, no_network):
    (place / "data").rename(place / "moved")
    done = train()
    assert done.exit_code == 2
    assert done.output.splitlines() == [
        "Error: The data set 'made-up' is not on this machine.",
        "Hint: Get it from https://example.org/data (CC0-1.0), and set VITASCOPE_DATA to the folder that holds 'data'.",
    ]
    assert invoke("evaluate", "mine", "--recipe", "recipe.yaml").exit_code == 2


def test_data_are_found_through_the_environment(place, monkeypatch):
    (place / "far").mkdir()
    (place / "data").rename(place / "far" / "data")
    monkeypatch.setenv("VITASCOPE_DATA", str(place / "far"))
    assert train().exit_code == 0


@pytest.mark.fault("D09")
def test_an_altered_file_is_refused(place):
    path = place / "data" / "phase0.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    done = train()
    assert done.exit_code == 2
    assert "phase0.tif is not the file the recipe was written for (SHA-256 differs)" in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "nothing", "--recipe", "recipe.yaml", "-o", "x"], "no task 'nothing'"),
        (["train", "stain", "--recipe", "gone.yaml", "-o", "x"], "gone.yaml cannot be read"),
        (["train", "stain", "--recipe", "recipe.yaml", "-o", "My Model"], "no name for a model"),
        (["train", "stain", "--recipe", "recipe.yaml", "-o", "x", "--from", "nothing"], "no model 'nothing'"),
        (["train", "stain", "--recipe", "recipe.yaml", "-o", "x", "--device", "tpu"], "is no device"),
        (["train", "stain", "-o", "x"], "Missing option"),
        (["evaluate", "nothing", "--recipe", "recipe.yaml"], "no model 'nothing'"),
    ],
)
@pytest.mark.fault("I11")
def test_wrong_usage_ends_with_code_2_and_a_sentence(place, words, told):
    done = invoke(*words)
    assert done.exit_code == 2, done.output
    assert told in done.output
    assert "Traceback" not in done.output
    assert not (place / "models").exists()


def test_targets_are_split_into_folder_and_name(tmp_path):
    assert split_target("mine") == (user_models(), "mine")
    assert split_target(str(tmp_path / "mine.json")) == (tmp_path, "mine")
    assert split_target("a/mine.safetensors")[1] == "mine"


@pytest.mark.parametrize("out", ["Mine", "a/My Model", "..", ".", "a/ü", "x" * 65])
@pytest.mark.fault("D19")
def test_names_that_no_model_can_have_are_refused_at_once(out):
    with pytest.raises(ParameterError, match="no name for a model"):
        split_target(out)


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_help_shows_every_option(verb):
    done = invoke(verb, "--help")
    assert done.exit_code == 0
    for option in ("--recipe", "--device", *(("--out", "--from") if verb == "train" else ())):
        assert option in done.output


def test_folds_are_made_once_and_put_into_a_table(tmp_path, capsys):
    base = read_card(save_by_brightness(tmp_path))
    recipes = [SimpleNamespace(id=f"cv-fold{k}", split=SimpleNamespace(test_groups=(f"p{k}",))) for k in (1, 2)]
    made = []

    def make(recipe):
        made.append(recipe.id)
        metric = Metric(name="dice live", value=0.2 * len(made), on="test", n=1)
        return write_card(base.model_copy(update={"id": recipe.id, "metrics": (metric,)}), tmp_path)

    for _ in range(2):
        cross_validate(recipes, make, tmp_path, "cv")
    assert made == ["cv-fold1", "cv-fold2"]
    table = pd.read_csv(tmp_path / "cv-folds.csv")
    assert table["fold"].tolist() == ["1", "2", "mean", "sd"]
    assert table["value"][:3].tolist() == pytest.approx([0.2, 0.4, 0.3])
    assert "dice live: 0.3000, test, mean of the folds" in capsys.readouterr().out


def test_folds_and_searches_that_cannot_be_are_told(place):
    assert "whole groups" in train("--folds", "2").output
    assert "no search for the task stain" in train("--search", "2").output
