import json

import numpy as np
import pytest
from typer.testing import CliRunner

import vitascope
from tests_support import make_model, make_recipe, save_model
from vitascope.cli.main import app
from vitascope.core.aliases import TASKS
from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError
from vitascope.io.models.cards import find_model
from vitascope.recipes.recipe import parse_recipe
from vitascope.simulate.wells import make_well
from vitascope.tasks.registry import find_task
from vitascope.tasks.run import start

every_alias = pytest.mark.parametrize(("alias", "name"), TASKS.items())


def call(*words):
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    save_model(make_model(model_id="tiny", planes=1), tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@every_alias
def test_a_task_is_found_by_its_other_name_which_none_has_as_its_own(alias, name):
    assert find_task(alias) is find_task(name)
    assert find_task(name).name == name != alias


@every_alias
def test_python_takes_it_for_runs_and_for_models(alias, name, monkeypatch, folder):
    started = []
    monkeypatch.setattr(
        type(find_task(name)), "start", lambda spec, inputs, params: started.append((spec.name, params))
    )
    start(alias, np.zeros((8, 8), np.uint8), pixel_size_um=0.5, model="tiny")
    assert started == [(name, find_task(name).make_params(model="tiny"))]
    assert [c.id for c in vitascope.list_models(alias)] == [c.id for c in vitascope.list_models(name)]
    assert "tiny" in [c.id for c in vitascope.list_models(alias)]
    assert find_model("tiny", alias)[0].task == name
    with pytest.raises(ModelError, match=f"not '{alias}'"):
        find_model("atp-organoid-sim", alias)


@every_alias
def test_commands_take_it(alias, name, folder):
    assert call("run", alias, "--help-parameters").output == call("run", name, "--help-parameters").output
    assert call("models", "list", "--task", alias).output == call("models", "list", "--task", name).output != ""
    done = call("run", alias, "nowhere.tif", "-o", "out")
    assert done.exit_code == 2
    assert "nowhere.tif" in done.output


@every_alias
@pytest.mark.parametrize("said", ["alias", "name"])
def test_recipes_and_commands_may_each_call_it_as_they_like(alias, name, said, folder):
    short = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "precision": "f32"}
    tree = make_recipe(folder, task=alias, training=short)
    assert parse_recipe(tree, "it").task == name
    (folder / "recipe.yaml").write_text(json.dumps(tree))
    done = call("train", alias if said == "alias" else name, "--recipe", "recipe.yaml", "-o", "mine", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert find_model("mine", name)[0].task == name
    assert call("evaluate", "mine", "--recipe", "recipe.yaml", "--device", "cpu").exit_code == 0


@every_alias
def test_a_card_that_calls_it_so_is_read(alias, name, folder):
    card = find_model("tiny")[0]
    old = json.loads(card.model_dump_json()) | {"task": alias}
    assert ModelCard.model_validate(old) == card
    assert ModelCard.model_validate(old).task == name


def test_a_model_is_found_under_the_name_it_had(folder):
    card, weights = find_model("atp-organoid-sim", "atp")
    assert (card.id, weights.name) == ("atp-organoid", "atp-organoid.safetensors")
    result = vitascope.run("atp", make_well(0, 0, 0, 96).image, model="atp-organoid-sim", threads=1)
    assert result.provenance.model == "atp-organoid"
