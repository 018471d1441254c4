"""The dock of models, on a viewer without a window; everything happens at once."""

import csv

import numpy as np
import pandas as pd
import pytest

from gui_support import at_once, settle
from tests_support import make_model, make_recipe, save_model
from vitascope.core.paths import BUNDLED_MODELS, run_records, training_folder, user_models
from vitascope.core.progress import Progress, run_to_end
from vitascope.core.training_params import Preview
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.models_dock import SURE, ModelsDock
from vitascope.gui.run.model_box import card_html
from vitascope.gui.train import stability_box
from vitascope.gui.train.compare_box import draw_comparison
from vitascope.gui.train.import_dialog import SAID, ImportQuestion
from vitascope.io.models.cards import find_cards, find_model
from vitascope.io.models.training_log import RunRecord, put_record
from vitascope.recipes.recipe import parse_recipe
from vitascope.tasks.stability import Stability
from vitascope.training.compare_models import compare
from vitascope.training.tasks.stain import run_evaluation


@pytest.fixture
def dock(tmp_path, monkeypatch, viewer, qtbot):
    monkeypatch.setenv("VITASCOPE_MODELS", f"{tmp_path / 'mine'}:{tmp_path / 'lab'}")
    for seed, (name, folder) in enumerate((("one", "mine"), ("two", "mine"), ("theirs", "lab"))):
        save_model(make_model(seed, model_id=name, width=0.25), tmp_path / folder)
    dock = ModelsDock(viewer, Runner(at_once, activity=False))
    yield dock
    if dock._open:
        dock.close_down()
    settle()


def listed(dock):
    table = dock.list.table
    return {table.item(r, 0).text(): table.item(r, 2).text() for r in range(table.rowCount())}


def test_models_are_listed_with_whose_they_are(dock):
    found = listed(dock)
    assert (found["one"], found["theirs"], found["nuclei-phase"]) == ("yours", "shared", "bundled")
    dock.list.choose("nuclei-phase")
    assert not dock.list.delete_button.isEnabled()
    assert not dock.list.rename_button.isEnabled()
    dock.list.choose("theirs")
    assert not dock.list.delete_button.isEnabled()
    dock.list.choose("one")
    assert dock.list.delete_button.isEnabled()
    assert "Random weights" in dock.list.card().summary


def test_a_model_is_renamed_and_never_over_another(dock):
    dock.list.choose("one")
    dock.list.name.setText("two")
    dock.list.rename()
    assert "There is a model 'two' already" in dock.note.text()
    dock.list.name.setText("first")
    dock.list.rename()
    assert dock.note.text() == "Renamed to 'first'."
    assert {"first", "two"} <= set(listed(dock))
    names = {f"{model}.{kind}" for model in ("first", "two") for kind in ("json", "safetensors")}
    assert {p.name for p in user_models().iterdir()} == names


def test_a_model_is_deleted_at_the_second_click_only(dock):
    dock.list.choose("one")
    dock.list.delete_button.click()
    assert dock.list.delete_button.text() == SURE
    dock.list.choose("two")
    assert dock.list.delete_button.text() != SURE
    dock.list.choose("one")
    dock.list.delete_button.click()
    dock.list.delete_button.click()
    assert "one" not in find_cards()
    assert "one" not in listed(dock)


@pytest.mark.parametrize("name", ["give.vitascope", "give.zip"])
def test_a_model_goes_out_and_comes_back(dock, tmp_path, name):
    dock.list.choose("one")
    dock.list.export(tmp_path / name)
    assert dock.note.text() == f"'one' was written to {name}."
    dock.list.import_file(tmp_path / name)
    assert "There is a model 'one' already" in dock.note.text()
    dock.list.delete()
    dock.list.delete()
    dock.list.import_file(tmp_path / name)
    assert dock.note.text() == "Imported 'one' (CC0-1.0)."
    assert listed(dock)["one"] == "yours"


def ask(dock, qtbot, path):
    """Choose a file to import; returns the question that is asked."""
    dock.list.ask_import(path)
    question = dock.list.findChild(ImportQuestion)
    qtbot.addWidget(question)
    return question


def test_of_weights_of_others_the_network_and_a_name_are_asked(dock, tmp_path, qtbot):
    dock.list.choose("two")
    path = tmp_path / "Their weights.safetensors"
    path.write_bytes((tmp_path / "mine" / "one.safetensors").read_bytes())
    question = ask(dock, qtbot, path)
    assert (question.like.currentData(), question.name.text()) == ("two", "their-weights")
    question.accept()
    assert dock.note.text() == "Imported 'their-weights' (of whoever made the weights)."
    assert find_model("their-weights")[0].weights.sha256 == find_model("one")[0].weights.sha256
    assert listed(dock)["their-weights"] == "yours"
    dock.list.choose("their-weights")
    assert "No figure was measured here." in card_html(dock.list.card())


def test_of_a_package_the_file_is_asked_first(dock, tmp_path, qtbot):
    dock.list.choose("one")
    dock.list.export(tmp_path / "give.zip")
    question = ask(dock, qtbot, tmp_path / "give.zip")
    assert (question.like.currentText(), question.name.text()) == (SAID, "")
    question.name.setText("third")
    question.accept()
    assert dock.note.text() == "Imported 'third' (CC0-1.0)."
    (tmp_path / "net.onnx").write_bytes(b"none")
    question = ask(dock, qtbot, tmp_path / "net.onnx")
    question.reject()
    assert dock.note.text() == "Imported 'third' (CC0-1.0)."


def test_training_runs_are_listed_with_their_curves_and_saved(dock, tmp_path):
    record = RunRecord("k", "one", "stain", "finished", "nuclei-phase 00", "2026-01-01T00:00:00", "cpu", "{}")
    put_record(run_records(), record.now("finished"), [{"epoch": n, "loss": 1 / n, "pcc_DNA": n / 4} for n in (1, 2)])
    dock.runs.reload()
    assert [dock.runs.table.item(0, c).text() for c in range(4)] == [
        "one",
        "Predict nuclei",
        "nuclei-phase",
        "finished",
    ]
    dock.runs.table.selectRow(0)
    loss, figure = dock.runs.figure.canvas.figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [1, 0.5])
    np.testing.assert_allclose(figure.lines[0].get_ydata(), [0.25, 0.5])
    dock.runs.save(tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert (rows[0]["model"], rows[0]["pcc_DNA"]) == ("one", "0.5")


def test_two_models_are_compared_on_the_test_part(dock):
    folder = training_folder("data")
    tree = make_recipe(folder)
    recipe = parse_recipe(tree, "recipe")
    (folder / "recipe.yaml").write_text(recipe.model_dump_json())
    dock.compare.reload()
    for box, name in ((dock.compare.first, "one"), (dock.compare.second, "two")):
        box.setCurrentIndex(box.findData(name))
    dock.compare.compare_button.click()
    assert dock.note.text() == ""
    expected = [run_to_end(run_evaluation(m, recipe, folder, "cpu"))[0].value for m in ("one", "two")]
    found = run_to_end(compare("one", "two", recipe, folder))
    assert found.table.loc[0, ["first", "second"]].tolist() == pytest.approx(expected, abs=1e-3)
    assert found.table.loc[0, "difference"] == pytest.approx(expected[1] - expected[0], abs=2e-3)
    assert dock.compare.table.item(0, 0).text() == "PCC DNA"
    assert float(dock.compare.table.item(0, 1).text().split()[0]) == pytest.approx(expected[0], abs=1e-3)
    first, second = found.pictures[0]
    assert first.truth.shape == (48, 96)
    np.testing.assert_array_equal(first.truth, second.truth)
    assert not np.array_equal(first.predicted, second.predicted)


def test_models_of_other_targets_are_not_compared(dock):
    save_model(make_model(model_id="actin", targets=("actin",), width=0.25), user_models())
    folder = training_folder("data")
    (folder / "x").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(parse_recipe(make_recipe(folder), "recipe").model_dump_json())
    dock.list.reload()
    dock.compare.reload()
    dock.compare.second.setCurrentIndex(dock.compare.second.findData("actin"))
    dock.compare.first.setCurrentIndex(dock.compare.first.findData("one"))
    dock.compare.compare()
    assert "predicts actin, the recipe measures DNA" in dock.note.text()


def test_the_difference_picture_is_second_less_first():
    from matplotlib.figure import Figure

    real, a, b = np.eye(6), np.full((6, 6), 0.25), np.full((6, 6), 0.75)
    figure = Figure()
    draw_comparison(figure, Preview("DNA", real, a, real), Preview("DNA", real, b, real), ("one", "two"))
    titles = {axes.get_title(): axes for axes in figure.axes}
    np.testing.assert_array_equal(titles["difference"].images[0].get_array(), b - a)
    numbers = [Preview("ATP", np.arange(3.0), np.arange(3.0) * k) for k in (1, 2)]
    figure = Figure()
    draw_comparison(figure, *numbers, ("one", "two"))
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(), [0, 2, 4])


def test_a_stability_study_is_asked_for_and_drawn_by_severity(dock, tmp_path, monkeypatch):
    rows = [("none", 0, 0.0, "", "pcc", 0.9)]
    for where, worse in (("before", 0.0), ("after", 0.1)):
        rows += [(f"contrast {where} normalisation", s, 1.0, "gain", "pcc", 0.9 - worse * s) for s in (1, 2, 4)]
    rows.append(("contrast before normalisation", 1, 1.0, "gain", "input_change", 0.001))
    table = pd.DataFrame(rows, columns=["corruption", "severity", "value", "unit", "metric", "mean"])
    table = table.assign(low=table["mean"] - 0.05, high=table["mean"] + 0.05, images=3)
    asked = {}

    class Module:
        def run_stability(self, model, recipe, folder, out=None, **settings):
            asked.update(model=model, recipe=recipe.id, **settings)
            yield Progress(1, 1, "working")
            return Stability(model, table, ("contrast before normalisation, severity 1",), False)

    monkeypatch.setattr(stability_box, "load_stability", Module)
    box = dock.stability
    assert not box.run_button.isEnabled()
    box.take_recipe(BUNDLED_MODELS / "recipes" / "nuclei-phase.yaml")
    box.model.setCurrentIndex(box.model.findData("one"))
    box.what.setCurrentIndex(box.what.findData("contrast"))
    box.images.setValue(3)
    box.run_button.click()
    assert asked == {"model": "one", "recipe": "nuclei-phase", "corruptions": ["contrast"], "most": 3}
    assert "Taken back by normalisation" in box.words.text()
    assert [box.metric.itemData(i) for i in range(box.metric.count())] == ["pcc"]
    axes = box.plot.canvas.figure.axes[0]
    assert {line.get_label() for line in axes.get_lines()} >= {
        f"contrast {w} normalisation" for w in ("before", "after")
    }
    box.reload()
    assert box.on.currentText() == "nuclei-phase"  # a recipe that was brought stays
