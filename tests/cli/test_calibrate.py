import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

import vitascope
from vitascope.cli.main import app
from vitascope.core.errors import InputError, ModelError, ParameterError
from vitascope.core.training_params import TrainingParams
from vitascope.io.models.cards import find_model, read_card
from vitascope.recipes.finetune import FineTuneParams
from vitascope.recipes.recipe import parse_recipe
from vitascope.simulate.wells import make_well
from vitascope.training.finetune import recipe_tree, with_start_defaults

START = "atp-organoid"


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Fourteen wells in two rows, ten of them with a value in another unit."""
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "images").mkdir()
    rows = []
    for number in range(14):
        well = make_well(5, number, number // 5, 96)
        name = f"{'AB'[number // 7]}{number % 7 + 1:02d}"
        tifffile.imwrite(folder / "images" / f"P1_{name}.tif", well.image)
        if number % 7 < 5:
            rows.append({"well": name, "atp": round(well.atp_rlu / 1000, 3)})
    pd.DataFrame(rows).to_csv(folder / "sheet.csv", index=False)
    pd.DataFrame(rows[:8]).to_csv(folder / "eight.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def calibrate(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_a_sheet_and_images_become_a_model_that_runs_as_any_other(laboratory, models):
    done = calibrate(
        "atp", "--images", laboratory / "images", "--values", laboratory / "sheet.csv", "-o", "mine", "--unit", "nM"
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(models / "mine.calibration" / "calibration.csv")
    assert table.columns.tolist() == ["method", "mae", "low", "high", "wells", "chosen"]
    assert table["method"].tolist() == ["line", "features", "blend", "constant"]
    assert table["chosen"].sum() == 1
    assert set(table["wells"]) == {10}
    assert (table["low"] <= table["mae"]).all()
    following = pd.read_csv(models / "mine.calibration" / "next_wells.csv")
    assert set(following["well"]) == {"A06", "A07", "B06", "B07"}
    card, weights = find_model("mine")
    assert card.card_version == 3
    assert card.readout.method == table.loc[table["chosen"], "method"].item()
    assert weights.suffix == ".safetensors"
    assert card.parent.startswith(f"{START} ")
    assert card.metrics[0].value == pytest.approx(table.loc[table["chosen"], "mae"].item(), rel=1e-4)
    assert not card.data_is_simulated
    wells = pd.read_csv(models / "mine.calibration" / "wells.csv")
    result = vitascope.run("atp", laboratory / "images" / "P1_A01.tif", model="mine", maps=True)
    row = result.rows[0]
    assert result.unit == "nM"
    assert result.provenance.model == "mine"
    assert row["atp"] < 3 * wells["measured"].max()
    assert row["atp_low"] <= row["atp"] <= row["atp_high"]
    assert {"trained_on_this", "interval_unknown"} <= set(result.flags)
    contribution = next(one for one in result.outputs if one.title == "contribution")
    assert row["atp"] > 0
    assert np.asarray(contribution.array, np.float64).sum() == pytest.approx(row["atp"], rel=1e-3)
    fresh = vitascope.run("atp", laboratory / "images" / "P1_B07.tif", model="mine", maps=False)
    assert "outside_model" not in fresh.flags


def test_each_method_can_be_asked_for_and_reads_what_its_fit_says(laboratory):
    found = vitascope.calibrate("atp", laboratory / "images", laboratory / "sheet.csv", "line-alone", method="line")
    assert found.chosen == found.card.readout.method == "line"
    term = found.card.readout.terms[0]
    image = laboratory / "images" / "P1_B06.tif"
    raw = vitascope.run("atp", image, model=START, maps=False, abstain=False).rows[0]["atp"]
    own = vitascope.run("atp", image, model="line-alone", maps=False, abstain=False).rows[0]["atp"]
    expected = found.card.readout.offset + term.weight * (raw / term.spread) ** term.power
    assert own == pytest.approx(max(0.0, expected), rel=1e-6)


def test_eight_wells_are_enough_to_begin_and_give_no_interval(laboratory):
    found = vitascope.calibrate("atp", laboratory / "images", laboratory / "eight.csv", "eight")
    assert found.card.intervals is None
    assert "no interval" in " ".join(found.sentences)
    result = vitascope.run("atp", laboratory / "images" / "P1_B07.tif", model="eight", maps=False, abstain=False)
    assert "interval_unknown" in result.flags
    assert np.isnan(result.rows[0]["atp_low"])


def test_a_fine_tuned_network_is_the_third_way(laboratory, monkeypatch):
    from vitascope.training.calibration import network

    original = network.recipe_tree

    def short(*arguments):
        tree = original(*arguments)
        return {**tree, "training": {**tree["training"], "epochs": 1, "steps_per_epoch": 1, "batch_size": 4}}

    monkeypatch.setattr(network, "recipe_tree", short)
    found = vitascope.calibrate("atp", laboratory / "images", laboratory / "sheet.csv", "tuned", method="network")
    assert found.chosen == "network"
    assert "network" in found.errors["method"].tolist()
    assert found.card.readout is None
    assert found.card.card_version == 1
    result = vitascope.run("atp", laboratory / "images" / "P1_B06.tif", model="tuned", maps=False, abstain=False)
    assert np.isfinite(result.rows[0]["atp"])


def test_what_cannot_be_calibrated_is_told(laboratory, tmp_path, models):
    images = laboratory / "images"
    few = tmp_path / "few.csv"
    few.write_text("well,atp\nA01,1\nA02,2\nA03,3\n")
    with pytest.raises(InputError, match="8 are the least"):
        vitascope.calibrate("atp", images, few, "few")
    with pytest.raises(ParameterError, match="not calibrated"):
        vitascope.calibrate("stain", images, few, "few")
    vitascope.calibrate("atp", images, laboratory / "sheet.csv", "once")
    with pytest.raises(ParameterError, match="already"):
        vitascope.calibrate("atp", images, laboratory / "sheet.csv", "once")
    with pytest.raises(ModelError, match="calibrated itself"):
        vitascope.calibrate("atp", images, laboratory / "sheet.csv", "twice", start="once")
    assert not (models / "few.json").exists()
    done = calibrate("atp", "--images", images, "--values", few, "-o", "few")
    assert done.exit_code == 2


def test_a_card_of_version_3_has_a_readout_and_others_have_none(laboratory):
    found = vitascope.calibrate("atp", laboratory / "images", laboratory / "sheet.csv", "card")
    tree = json.loads(found.path.read_text())
    found.path.write_text(json.dumps({**tree, "card_version": 1}))
    with pytest.raises(ModelError, match="version 3"):
        read_card(found.path)
    plain, _ = find_model(START)
    assert "readout" not in json.loads(plain.model_dump_json())


def test_training_from_a_model_takes_what_the_dock_takes_unless_the_recipe_says_otherwise():
    tree = json.loads(find_model(START)[0].model_dump_json())
    said = {
        **{key: tree[key] for key in ("task", "title", "summary", "limitations", "licence", "credit", "targets")},
        "id": "child",
        "data": [{"name": "d", "url": "", "licence": "l", "credit": "c", "folder": ".", "amounts": {"table": "t.csv"}}],
        "split": {"by": "group", "test_fraction": 0.3},
        "input": tree["input"],
        "network": tree["architecture"],
        "training": {"epochs": 3},
    }
    full = with_start_defaults(parse_recipe(said, "r"), START)
    assert full.training.epochs == 3  # said
    dock = recipe_tree(find_model(START)[0], "child", FineTuneParams(), START)
    assert full.training.model_dump() == {**TrainingParams(**dock["training"]).model_dump(), "epochs": 3}
    assert full.training.steps_per_epoch == 25
    assert full.augment.overlay == 0.5
    assert full.amounts.sampling == "random"
    assert full.loss == dock["loss"] == {"beta": 0.5, "decay": 0.9, "places": 0.5}
    assert full.refit.on == "but_test"
    assert full.split.test_fraction == 0.3
    other = with_start_defaults(parse_recipe({**said, "amounts": {"sampling": "balanced"}}, "r"), START)
    assert other.amounts.sampling == "balanced"
