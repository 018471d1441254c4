import numpy as np
import openpyxl
import pytest
import tifffile
import torch

from vitascope.core.errors import InputError, ParameterError, TrainingError
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import build_network, load_model
from vitascope.io.models.cards import read_card
from vitascope.pipelines.atp import run
from vitascope.recipes.recipe import parse_recipe
from vitascope.simulate.wells import draw_truth, make_well
from vitascope.tasks.atp import AtpParams
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.simulated import lot_of
from vitascope.training.data.split_groups import merge_near_duplicates
from vitascope.training.losses.atp import SOFT
from vitascope.training.tasks.atp import AtpJob, fitted, run_evaluation, run_training
from vitascope.training.tasks.regression import amount_metrics, within_groups

BASE = {
    "task": "atp",
    "id": "atp-test",
    "title": "t",
    "summary": "s",
    "limitations": "all",
    "licence": "BSD-3-Clause",
    "credit": "c",
    "split": {"by": "group", "validation_fraction": 0.4, "test_fraction": 0.2},
    "input": {
        "modality": "bright-field",
        "channels": ["bright-field"],
        "crop_to": "well",
        "side_px": 32,
        "normalisation": {"method": "background"},
    },
    "targets": [{"name": "ATP", "unit": "RLU"}],
    "network": {"name": "ins_atp", "arguments": {"fusion": "additive", "grid": 4, "width": 4, "stages": 2}},
    "augment": {"zoom": "none", "contrast": 0, "defocus": 0},
    "training": {"epochs": 2, "steps_per_epoch": 3, "batch_size": 4, "precision": "f32"},
}
ABOUT = {"name": "d", "url": "u", "licence": "l", "credit": "c", "folder": "."}
SIMULATED = {**ABOUT, "simulated": {"kind": "wells", "count": 30, "seed": 1, "side_px": 48, "groups": 10}}


def recipe(data=SIMULATED, **changes):
    return parse_recipe({**BASE, "data": [data], **changes}, "test")


def write_plates(folder, names=("0747-2", "0811-1", "0900-1"), side=48):
    """Plates as the authors of Ins-ATP lay them out; the well is the second field of the name."""
    for plate, name in enumerate(names):
        (folder / name).mkdir()
        book = openpyxl.Workbook()
        book.active.append([None, 1, 2, 3, 4])
        amounts = []
        for column in range(4):
            number = plate * 5 + column
            image = make_well(0, number, plate, side).image
            tifffile.imwrite(folder / name / f"ZProj[Stitched[Bright Field]]_A{column + 1}_1_001.tif", image)
            amounts.append(draw_truth(0, number, plate) / 100)
        book.active.append(["A", *amounts])
        book.save(folder / name / f"ATP_{name[:4]}.xlsx")


def test_the_range_is_that_of_the_data_set():
    values = [draw_truth(1, n, n * 10 // 30) for n in range(30)]
    found = fitted(recipe(), None).network.arguments
    assert max(values) <= found["top"] <= 1.1 * max(values)
    assert found["bin_width"] == pytest.approx(found["top"] / 20)
    assert found["bits"] == 5
    narrow = fitted(recipe(amounts={"bin_width": 1000.0}), None).network.arguments
    assert 2 ** (narrow["bits"] - 1) <= found["top"] / 1000 < 2 ** narrow["bits"]


def test_a_recipe_without_wells_is_refused():
    with pytest.raises(ParameterError, match="ins_atp"):
        fitted(recipe(network={"name": "unet", "arguments": {}}), None)


def test_a_model_is_made_from_simulated_wells_and_runs(tmp_path):
    path = run_to_end(run_training(recipe(), tmp_path, tmp_path))
    card = read_card(path)
    assert card.intervals is not None
    assert card.intervals.half_width > 0
    assert {"MAE", "Pearson", "MAE of the best constant"} <= {m.name for m in card.metrics}
    assert card.domain is not None
    assert card.architecture.arguments["top"] > 0
    image = Micrograph.from_array(make_well(1, 0, 0, 48).image)
    result = run_to_end(run({"image": image}, AtpParams.make(model=str(path), abstain=False)))
    assert result.rows[0]["atp_low"] <= result.rows[0]["atp"] <= result.rows[0]["atp_high"]
    again = run_to_end(run_evaluation(str(path), recipe(), tmp_path))
    mae = {m.name: m.value for m in card.metrics}["MAE"]
    assert {m.name: m.value for m in again}["MAE"] == pytest.approx(mae, rel=0.02)  # float16 weights


def test_plates_on_disk_train_and_a_model_is_tuned_to_their_range(tmp_path):
    write_plates(tmp_path)
    data = {**ABOUT, "amounts": {"table": "*/ATP_*.xlsx"}}
    split = {"by": "group", "train_groups": ["0747-2", "0811-1"], "test_groups": ["0900-1"]}
    parent = run_to_end(run_training(recipe(), tmp_path, tmp_path))
    own = recipe(data, id="atp-own", split=split, training={**BASE["training"], "epochs": 1})
    card = read_card(run_to_end(run_training(own, tmp_path, tmp_path, str(parent))))
    assert card.parent.startswith("atp-test ")
    largest = max(draw_truth(0, 5 * p + c, p) / 100 for p in range(3) for c in range(4))
    assert largest <= card.architecture.arguments["top"] <= 1.1 * largest
    assert card.architecture.arguments["top"] != read_card(parent).architecture.arguments["top"]
    assert "tested on 0900-1" in card.split
    assert len(card.data[0].sha256) == 12
    assert load_model(str(tmp_path / "atp-own.json"), "atp").network.top == card.architecture.arguments["top"]


def test_images_that_are_nearly_one_stay_together(tmp_path):
    write_plates(tmp_path)
    data = {**ABOUT, "amounts": {"table": "*/ATP_*.xlsx"}}
    first = tmp_path / "0747-2" / "ZProj[Stitched[Bright Field]]_A1_1_001.tif"
    noise = np.random.default_rng(0).integers(0, 9, (48, 48)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "0900-1" / first.name, tifffile.imread(first) + noise)
    split = {"by": "group", "train_groups": ["0747-2", "0811-1"], "test_groups": ["0900-1"]}
    with pytest.raises(TrainingError):  # the plate has gone: it stays with the one that shares a picture
        run_to_end(load_labelled_images(recipe(data, split={**split, "near_duplicates": 0.98}), tmp_path))
    corpus = run_to_end(load_labelled_images(recipe(data, split=split), tmp_path))
    together = merge_near_duplicates([s for part in corpus.samples.values() for s in part], 0.98)
    assert {s.labelled.group for s in together} == {"0747-2", "0811-1"}


def test_figures_are_those_of_the_paper():
    truth = np.array([10.0, 20, 30, 40, 50, 5, 4, 3, 2, 1])
    predicted = truth * 2
    groups = ["a"] * 5 + ["b"] * 5
    found = {m.name: m.value for m in amount_metrics(truth, predicted, groups, "RLU")}
    assert found["MAE"] == pytest.approx(truth.mean())
    assert found["Pearson"] == pytest.approx(1)
    assert found["Pearson within groups of 5"] == pytest.approx(1)
    predicted[:5] = predicted[:5][::-1]
    assert within_groups(truth, predicted, groups) == pytest.approx(0)


@pytest.mark.fault("F01")
def test_wells_of_one_value_are_nothing_to_learn(tmp_path):
    write_plates(tmp_path, names=("0747-2",))
    (tmp_path / "0747-2" / "same.csv").write_text("well,atp\n" + "".join(f"A{n},5\n" for n in range(1, 5)))
    alike = recipe({**ABOUT, "amounts": {"table": "0747-2/same.csv", "by": "well"}}, split={"by": "group"})
    with pytest.raises(
        TrainingError, match=r"All 4 training images have the value 5 \(ATP\): there is nothing to learn"
    ):
        run_to_end(run_training(alike, tmp_path, tmp_path / "out"))


def test_a_table_without_matching_wells_is_said(tmp_path):
    write_plates(tmp_path, names=("0747-2",))
    (tmp_path / "0747-2" / "other.csv").write_text("well,atp\nH12,5\n")
    with pytest.raises(InputError, match="No image"):
        run_to_end(
            run_training(recipe({**ABOUT, "amounts": {"table": "0747-2/other.csv"}}), tmp_path, tmp_path / "out")
        )
    assert not (tmp_path / "out").exists()


COMPOSED = {
    "name": "composed",
    "url": "u",
    "licence": "MIT",
    "credit": "c",
    "folder": ".",
    "simulated": {
        "kind": "composed",
        "count": 6,
        "groups": 6,
        "side_px": 96,
        "folds": 12,
        "lots": [0, 1, 2],
        "composed_of": [{"folder": "plate23997_rowA"}],
    },
}


def test_wells_composed_of_one_lot_of_real_wells_stay_together_and_train_place_by_place(monkeypatch):
    monkeypatch.delenv("VITASCOPE_DATA", raising=False)
    split = {"by": "group", "validation_groups": ["sources1"], "test_groups": ["sources2"]}
    recipe = parse_recipe({**BASE, "data": [COMPOSED], "split": split, "loss": {"places": 0.1}}, "r")
    recipe = fitted(recipe, SAMPLES)
    corpus = run_to_end(load_labelled_images(recipe, SAMPLES))
    groups = {part: {s.labelled.group for s in samples} for part, samples in corpus.samples.items()}
    assert groups == {"train": {"sources0"}, "validation": {"sources1"}, "test": {"sources2"}}
    assert len(corpus.hashes["composed"]) == 24
    pair = corpus.pairs["train"][0]
    assert pair.target.sum() == pytest.approx(float(pair.numbers[0]), rel=1e-4)
    network = build_network(recipe.network)
    job = AtpJob(recipe, corpus, network)
    batch = job.batch(0, 3)
    assert batch["target"].shape == (3, 1, 32, 32)
    with_places = float(job.loss(network.eval(), batch).detach())
    with torch.no_grad():
        output = network(batch["image"])
    even = network.top / 16
    truth = batch["target"].reshape(3, 4, 8, 4, 8).sum((2, 4)).numpy() / even
    own = output.contribution[:, 0].numpy() / even
    places = ((np.sqrt(own + SOFT) - np.sqrt(truth + SOFT)) ** 2).mean()
    number = float((((output.value[:, 0] - batch["numbers"][:, 0]) / network.top) ** 2).mean())
    assert with_places == pytest.approx(number + 0.1 * places, rel=1e-4)


def test_few_wells_of_a_folder_are_dealt_to_the_last_lots_too():
    for count in (1, 3, 4, 6, 9, 10, 24):
        lots = [lot_of(n, count, 5) for n in range(count)]
        assert set(lots) <= set(range(5))
        assert 4 in lots
        assert len(set(lots)) == min(count, 5)


def test_composed_wells_without_real_ones_are_refused():
    without = {**COMPOSED, "simulated": {**COMPOSED["simulated"], "composed_of": []}}
    with pytest.raises(InputError, match="composed_of"):
        parse_recipe({**BASE, "data": [without]}, "r")
