import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from tests_support import blobs, make_model, make_recipe, save_model
from vitascope.core.errors import ModelError, ParameterError, TrainingError
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import run_records, training_folder, user_models
from vitascope.core.progress import StopEarly, run_to_end
from vitascope.core.training_params import EpochProgress
from vitascope.engine.load_model import build_network, load_model
from vitascope.io.images.read import read_image
from vitascope.io.models.cards import find_cards, read_card
from vitascope.io.models.training_log import list_records, read_curve
from vitascope.io.models.weights import read_weights
from vitascope.networks.unet import HALO_PX
from vitascope.networks.unet3d import HALO_ZYX
from vitascope.recipes.finetune import FineTuneParams, TableData, TrainingPair, free_name
from vitascope.recipes.recipe import AmountSource, find_data, parse_recipe, read_recipe
from vitascope.simulate.spheroids import StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.simulate.wells import make_well
from vitascope.training import finetune
from vitascope.training import make_model as training
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.spheroid import load_volumes
from vitascope.training.data.split_rows import plan_rows
from vitascope.training.data.stain import load_corpus
from vitascope.training.loop import loop
from vitascope.training.loop.loop import Trained
from vitascope.training.tasks import atp as atp_training
from vitascope.training.tasks import regression as amount_training
from vitascope.training.tasks.spheroid import run_training as run_spheroid_training
from vitascope.training.tasks.stain import StainJob, run_evaluation, run_training

SHORT = FineTuneParams(epochs=2, steps_per_epoch=2, last="no more")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A tiny model of the user's, trained once."""
    folder = tmp_path_factory.mktemp("parent")
    tree = make_recipe(folder, training={"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32"})
    return run_to_end(run_training(parse_recipe(tree, "recipe"), folder, folder / "models")).parent


@pytest.fixture(autouse=True)
def models(parent, tmp_path, monkeypatch):
    """The user's folder is empty; the parent lies in a shared one. Nothing is kept but what was trained."""
    monkeypatch.setenv("VITASCOPE_MODELS", f"{tmp_path / 'mine'}:{parent}")
    monkeypatch.setattr(StainJob, "quick_answer", lambda job, network: None)


def make_pair(name="a", shape=(256, 96), seed=0, **changes):
    rng = np.random.default_rng(seed)
    stain = (1000 * blobs(shape, rng.uniform(8, np.array(shape) - 8, (40, 2)), 6.0, seed=seed)).astype(np.uint16)
    phase = (500 + 0.3 * stain + rng.normal(0, 20, shape)).astype(np.uint16)
    values = {"targets": {"DNA": stain}, **changes}
    return TrainingPair(name, Micrograph.from_array(phase, pixel_size_um=0.5, name=name), **values)


def set_up(pairs, name="mine", params=SHORT, **more):
    return run_to_end(finetune.set_up_pairs(name, "tiny", pairs, params, **more))


def train(ready, out=None):
    return run_training(ready.recipe, user_models() / "training" / ready.recipe.id, out or user_models(), device="cpu")


def test_one_image_is_split_by_rows_with_a_band_as_wide_as_the_network_sees():
    ready = set_up([make_pair()])
    split = ready.recipe.split
    assert split.validation_rows[0][0] - split.train_rows[0][1] == HALO_PX
    assert (split.train_rows[0][0], split.test_rows[0][1]) == (0, 256)
    assert "a guard band of 96" in ready.description
    assert "the figures will hold for this image, not for others" in ready.warnings[0]


@pytest.mark.fault("F02")
def test_an_image_too_small_for_the_band_is_refused_unless_one_insists():
    with pytest.raises(TrainingError, match="150 rows; 96 lie between"):
        set_up([make_pair(shape=(150, 96))])
    forced = set_up([make_pair(shape=(150, 96))], params=SHORT.changed(force_leak=True))
    assert "The guard band is 54 rows wide, a pixel sees 96" in forced.warnings[1]


@pytest.mark.parametrize("height", [192, 193, 200, 511, 2048])
def test_rows_of_the_parts_are_never_shared_and_none_is_lost(height):
    plan = plan_rows(height, height, 96)
    (a, b), (c, d), (e, f) = (plan.split[k][0] for k in ("train_rows", "validation_rows", "test_rows"))
    assert a == 0 < b
    assert c - b == 96
    assert (d, f) == (e, height)
    assert d > c
    assert b >= 32


def test_three_images_are_split_by_group_and_the_same_picture_stays_on_one_side(parent):
    pairs = [make_pair(n, seed=s) for n, s in (("a", 0), ("b", 1), ("c", 2), ("a again", 0))]
    ready = set_up(pairs)
    assert ready.recipe.split.by == "group"
    card = read_card(run_to_end(train(ready)))
    sides = {verb: names.split(", ") for verb, names in (s.split(" on ") for s in card.split[10:].split("; "))}
    together = [names for names in sides.values() if "a" in names]
    assert len(sides) == 3
    assert len(together) == 1
    assert not any("a again" in names for names in sides.values())
    assert card.training["counts"]["images"] == 4


def test_a_fine_tuned_model_is_new_and_its_card_is_measured(parent):
    before = {p.name: p.read_bytes() for p in parent.iterdir()}
    ready = set_up([make_pair(shape=(320, 256))])
    card = read_card(run_to_end(train(ready)))
    mother = read_card(parent / "tiny.json")
    assert card.parent == f"tiny {mother.weights.sha256}"
    assert card.input.pixel_size_um == 0.5
    assert card.metrics[0].name == "PCC DNA"
    assert card.metrics[0].low < card.metrics[0].value < card.metrics[0].high
    assert card.domain.feature_mean
    assert card.training["start"]["pcc_DNA"] == pytest.approx(card.training["start"]["score"])
    assert card.training["counts"] == {"images": 1, "training": 1, "validation": 1, "test": 1}
    assert card.training["seed"] == 0
    assert str(user_models()) not in card.model_dump_json()
    assert "mine" in find_cards("stain")
    assert {p.name: p.read_bytes() for p in parent.iterdir()} == before
    record = list_records(run_records())[0]
    assert (record.model, record.status, record.parent) == ("mine", "finished", card.parent)
    assert read_curve(run_records(), record.key)["epoch"].tolist() == [1, 2]


def test_the_data_of_a_dock_are_found_though_others_lie_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("VITASCOPE_DATA", str(tmp_path / "elsewhere"))
    ready = set_up([make_pair()])
    assert find_data(ready.recipe.data[0], training_folder("mine")) == training_folder("mine")


def test_a_name_is_never_given_twice():
    set_up([make_pair()])
    assert free_name("mine") == "mine-2"
    assert free_name("tiny") == "tiny-2"
    with pytest.raises(ParameterError, match="'mine' already"):
        set_up([make_pair()])
    with pytest.raises(ParameterError, match="no name for a model"):
        free_name("../evil")


@pytest.mark.fault("F14")
def test_what_is_painted_on_later_is_not_trained_on():
    pair = make_pair()
    kept = pair.targets["DNA"].copy()
    ready = set_up([pair])
    pair.targets["DNA"][:] = 0
    folder = user_models() / "training" / ready.recipe.id
    (target,) = folder.glob("pair001-*-target0.ome.tif")
    np.testing.assert_array_equal(read_image(str(target)).plane(), kept)
    assert read_recipe(folder / "recipe.yaml") == ready.recipe


def test_files_of_a_pair_bear_its_name_so_that_warnings_say_which():
    pair = make_pair("day 3: B07/[2]", seed=1)
    pair.targets["DNA"][:] = 100 * (pair.targets["DNA"] > 500)
    (data,) = set_up([make_pair(), pair]).recipe.data
    (odd,) = (one.image for one in data.pairs if "day_3_B07_2_" in one.image)
    again = set_up([make_pair(), pair], name="again").recipe
    loaded = run_to_end(load_corpus(again, training_folder("again")))
    assert [w for w in loaded.warnings if w.startswith(odd) and "looks like a mask" in w]


def test_scribbles_become_a_target_and_what_is_not_painted_does_not_count():
    pair = make_pair(targets={})
    painted = np.zeros(pair.image.shape_yx, np.uint8)
    painted[::2] = np.where(pair.image.array[::2] > 560, 2, 1)
    pair = make_pair(targets={}, painted=painted, classes=("background", "foreground"))
    ready = set_up([pair])
    assert [t.name for t in ready.recipe.targets] == ["painted"]
    card = read_card(run_to_end(train(ready)))
    rows = ready.recipe.split.test_rows[0]
    assert card.metrics[0].n == int((painted[rows[0] : rows[1]] > 0).sum())


def test_pairs_that_cannot_be_trained_on_are_refused_by_name():
    with pytest.raises(TrainingError, match="'empty' cannot be trained on: All pixels of 'DNA' are 0"):
        set_up([make_pair("empty", targets={"DNA": np.zeros((256, 96), np.uint16)})])
    stain = make_pair().targets["DNA"]
    with pytest.raises(TrainingError, match=r"predicts 1 stain\(s\), the pairs have 2"):
        set_up([make_pair(targets={"DNA": stain, "actin": stain})])
    with pytest.raises(TrainingError, match="nothing to train on"):
        set_up([])
    assert not (user_models() / "training").exists()


def test_stopping_keeps_the_best_and_says_so():
    ready = set_up([make_pair()], params=FineTuneParams(epochs=50, steps_per_epoch=2))
    steps = train(ready)
    progress = next(steps)
    while not (isinstance(progress, EpochProgress) and progress.done == 3):
        progress = next(steps)
    rest = steps.throw(StopEarly())
    assert not isinstance(rest, EpochProgress)
    card = read_card(run_to_end(steps))
    assert card.training["stopped"] == "stopped"
    assert card.training["best_epoch"] in (1, 2)
    assert list_records(run_records())[0].status == "stopped"


def test_stopping_before_the_first_step_makes_no_model():
    steps = train(set_up([make_pair()]))
    while not isinstance(next(steps), EpochProgress):
        pass
    with pytest.raises(TrainingError, match="before its first step"):
        steps.throw(StopEarly())
    assert "mine" not in find_cards()


def test_a_paused_run_goes_on_to_the_same_weights_though_the_parent_was_measured():
    ready = set_up([make_pair()])
    whole = read_card(run_to_end(train(ready, user_models() / "whole")))
    steps = train(ready)
    while not (isinstance(progress := next(steps), EpochProgress) and progress.done == 3):
        pass
    steps.close()
    assert list_records(run_records())[0].status == "paused"
    resumed = train(ready)
    first = next(p for p in resumed if isinstance(p, EpochProgress))
    assert (first.done, len(first.history)) == (3, 1)
    assert read_card(run_to_end(resumed)).weights.sha256 == whole.weights.sha256


def test_once_measured_it_is_trained_anew_on_the_validation_part_too_and_measured_as_it_is():
    ready = set_up([make_pair(shape=(320, 256))], params=SHORT.changed(last="all but the test part"))
    assert ready.recipe.refit.train_rows == ((0, ready.recipe.split.test_rows[0][0] - HALO_PX),)
    card = read_card(run_to_end(train(ready)))
    epochs = card.training["best_epoch"]
    assert card.training["refit"] == "but_test"
    assert card.split.endswith(f". Then trained anew on the validation part too, for {epochs} epochs")
    assert not any(m.from_holdout_model for m in card.metrics)
    again = run_to_end(run_evaluation("mine", ready.recipe, training_folder("mine"), "cpu"))
    assert again[0].value == pytest.approx(card.metrics[0].value, abs=2e-3)
    alone = set_up([make_pair(shape=(320, 256))], "alone", SHORT)
    assert read_card(run_to_end(train(alone))).weights.sha256 != card.weights.sha256


def test_trained_anew_on_all_the_figures_are_those_of_the_first_training():
    first = read_card(run_to_end(train(set_up([make_pair(shape=(320, 256))], "first", SHORT))))
    ready = set_up([make_pair(shape=(320, 256))], params=SHORT.changed(last="all"))
    assert ready.recipe.refit.train_rows == ((0, 320),)
    card = read_card(run_to_end(train(ready)))
    assert all(m.from_holdout_model for m in card.metrics)
    assert [m.value for m in card.metrics] == [m.value for m in first.metrics]
    assert card.weights.sha256 != first.weights.sha256


def test_a_run_paused_while_it_trains_anew_goes_on_to_the_same_weights():
    ready = set_up([make_pair()], params=SHORT.changed(last="all", epochs=3))
    whole = read_card(run_to_end(train(ready, user_models() / "whole")))
    steps = train(ready)
    while (progress := next(steps)).stage != training.AGAIN or progress.done != 1:
        pass
    steps.close()
    assert list_records(run_records())[0].status == "paused"
    assert read_card(run_to_end(train(ready))).weights.sha256 == whole.weights.sha256
    assert list_records(run_records())[0].status == "finished"


def test_a_run_that_was_stopped_or_got_no_better_is_not_trained_anew():
    ready = set_up([make_pair()], params=SHORT.changed(last="all"))
    better = [{"epoch": 1, "score": 0.2}]
    trained = Trained(None, better, 1, "finished", (), {"score": 0.1})
    assert training.refit_recipe(ready.recipe, trained).training.epochs == 1
    assert training.refit_recipe(ready.recipe, replace(trained, stopped="stopped")) is None
    assert training.improved(trained)
    assert not training.improved(replace(trained, start={"score": 0.3}))
    assert training.refit_recipe(set_up([make_pair()], "other").recipe, trained) is None


def test_where_no_epoch_helps_the_model_is_the_starting_one_with_its_head_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "improved", lambda trained: False)
    rows = ["image,atp"]
    for number in range(8):
        well = make_well(0, number, number, 128)
        tifffile.imwrite(tmp_path / f"w{number}.tif", well.image)
        rows.append(f"w{number}.tif,{well.atp_rlu * 1000:.0f}")
    (tmp_path / "atp.csv").write_text("\n".join(rows))
    data = TableData(str(tmp_path), AmountSource(table="atp.csv", by="image"), "plate")
    params = FineTuneParams(epochs=1, steps_per_epoch=1, learning_rate=0.1)
    ready = finetune.set_up_table("wells", "atp-organoid", data, params)
    assert ready.recipe.training.precision == "auto"  # the bundled one was trained in bf16, which not all have
    card = read_card(
        run_to_end(atp_training.run_training(ready.recipe, Path(ready.folder), user_models(), None, "cpu"))
    )
    assert card.training["best_epoch"] == 0
    assert training.HEAD_ALONE in card.training["notes"]
    ours, theirs = load_model("wells", "atp").network, load_model("atp-organoid", "atp").network
    for a, b in zip(ours.extractor.parameters(), theirs.extractor.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.allclose(ours.share.weight, theirs.share.weight)
    figures = {m.name: m.value for m in card.metrics}
    assert set(figures) == {"MAE", "MAE of the best constant"}  # two wells have no correlation


def test_wells_of_another_laboratory_start_from_a_head_that_fits_their_unit(tmp_path):
    rows = ["well,atp"]
    for number in range(8):
        well = make_well(0, number, number, 128)
        tifffile.imwrite(tmp_path / f"p1_A{number + 1:02d}.tif", well.image)
        rows.append(f"A{number + 1:02d},{well.atp_rlu * 1000:.0f}")
    (tmp_path / "atp.csv").write_text("\n".join(rows))
    data = TableData(str(tmp_path), AmountSource(table="atp.csv", by="well"), "plate")
    recipe = finetune.set_up_table("wells", "atp-organoid", data, SHORT).recipe
    assert (recipe.augment.quarter_turns, recipe.augment.overlay, recipe.amounts.sampling) == (True, 0.5, "random")
    recipe = atp_training.fitted(recipe, tmp_path)
    network = build_network(recipe.network)
    network.load_state_dict(load_model("atp-organoid", "atp").network.state_dict())
    network.top *= 3.0  # as if the range had been fitted otherwise
    job = run_to_end(atp_training.prepare(recipe, tmp_path, network.eval()))
    pairs = job.corpus.pairs["train"]
    truth = amount_training.truth_of(pairs)
    extractor = [p.detach().clone() for p in network.extractor.parameters()]
    before = np.abs(amount_training.predict(network, pairs)[0] - truth).mean()
    job.fit_head(network)
    after = np.abs(amount_training.predict(network, pairs)[0] - truth).mean()
    assert after < 0.3 * before
    assert all(torch.equal(a, b) for a, b in zip(extractor, network.extractor.parameters(), strict=True))


def test_frozen_layers_stay_those_of_the_parent(parent):
    ready = set_up([make_pair()], params=SHORT.changed(freeze="the first half", learning_rate=0.01))
    card = read_card(run_to_end(train(ready)))
    ours = read_weights(user_models() / "mine.safetensors", card.weights.sha256)
    theirs = read_weights(parent / "tiny.safetensors", None)
    moved = {k for k in ours if not np.allclose(ours[k], theirs[k], atol=1e-4)}
    assert not any(k.startswith(("encoder.0", "encoder.1")) for k in moved)
    assert any(k.startswith("encoder.4") for k in moved)
    assert any(k.startswith("decoder") for k in moved)


def test_all_but_the_first_layers_stay_those_of_the_parent(parent):
    ready = set_up([make_pair()], params=SHORT.changed(freeze="all but the first layers", learning_rate=0.01))
    assert ready.recipe.training.only_first == 0.4
    card = read_card(run_to_end(train(ready)))
    ours = read_weights(user_models() / "mine.safetensors", card.weights.sha256)
    theirs = read_weights(parent / "tiny.safetensors", None)
    moved = {k for k in ours if not np.allclose(ours[k], theirs[k], atol=1e-4)}
    assert {k for k in moved if ".norm." not in k} == {
        f"encoder.{block}.{layer}.{part}"
        for block in (0, 1)
        for layer in ("first", "second")
        for part in ("weight", "bias")
    }
    assert any(".norm." in k for k in moved)


def test_the_estimate_comes_from_real_steps_and_leaves_nothing():
    ready = set_up([make_pair()], params=FineTuneParams(epochs=20, steps_per_epoch=30))
    found = run_to_end(finetune.estimate(ready.recipe, user_models() / "training" / "mine", "cpu"))
    assert found.total_s == pytest.approx(2 * 20 * (30 * found.step_s + found.round_s))
    assert found.step_s > 0
    assert found.tried == finetune.ESTIMATE_STEPS - 1
    assert found.process_bytes > found.memory_bytes >= 0
    assert "mine" not in find_cards()
    assert list_records(run_records()) == []


def test_the_estimate_of_a_training_from_scratch_knows_what_measuring_a_round_takes(monkeypatch):
    ready = set_up([make_pair()], params=FineTuneParams(epochs=20, steps_per_epoch=30), scratch=True)
    measure = loop._measure

    def slow(*given):
        time.sleep(0.5)
        return measure(*given)

    monkeypatch.setattr(loop, "_measure", slow)
    found = run_to_end(finetune.estimate(ready.recipe, user_models() / "training" / "mine", "cpu"))
    assert found.round_s >= 0.4
    assert found.step_s < found.round_s
    assert found.tried == finetune.ESTIMATE_STEPS - 2
    assert found.total_s >= 20 * found.round_s


def test_from_scratch_there_is_no_parent():
    card = read_card(run_to_end(train(set_up([make_pair()], scratch=True))))
    assert card.parent == ""
    assert card.training["start"] == {}


def test_wells_of_a_table_are_set_up_and_split_by_well(tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    rows = ["well,atp"]
    for number in range(10):
        well = make_well(0, number, number, 64)
        tifffile.imwrite(folder / f"p1_A{number + 1:02d}.tif", well.image)
        rows.append(f"A{number + 1:02d},{well.atp_rlu * 1000:.0f}")
    (folder / "atp.csv").write_text("\n".join(rows))
    data = TableData(str(folder), AmountSource(table="atp.csv", by="well"), "plate")
    ready = finetune.set_up_table("wells", "atp-organoid", data, SHORT)
    assert ready.recipe.start_from == "atp-organoid"
    fitted = atp_training.fitted(ready.recipe, tmp_path)
    assert fitted.network.arguments["top"] > 1000 * 10_000
    corpus = run_to_end(load_labelled_images(fitted, tmp_path))
    assert {part: len(s) for part, s in corpus.samples.items()} == {"train": 6, "validation": 2, "test": 2}
    assert len({s.labelled.group for part in corpus.samples.values() for s in part}) == 10
    assert ready.description == "by well: 6 groups to train on, 2 groups to validate on and 2 groups to test on"


def test_the_split_of_a_table_is_told_in_numbers_and_so_is_what_is_wrong_with_it(tmp_path):
    rows = ["well,atp"]
    for number in range(10):
        well = make_well(0, number, number, 32)
        for field in (1, 2):
            tifffile.imwrite(tmp_path / f"p1_A{number + 1:02d}_s{field}.tif", well.image + field)
        rows.append(f"A{number + 1:02d},{well.atp_rlu:.0f}")
    (tmp_path / "atp.csv").write_text("\n".join([*rows, "H12,5"]))
    data = TableData(str(tmp_path), AmountSource(table="atp.csv", by="well"), "plate")
    ready = finetune.set_up_table("wells", "atp-organoid", data, SHORT)
    told = "6 groups (12 images) to train on, 2 groups (4 images) to validate on and 2 groups (4 images) to test on"
    assert ready.description == f"by well: {told}"
    assert "H12" in " ".join(ready.warnings)
    (tmp_path / "atp.csv").write_text("\n".join(rows[:2]))
    with pytest.raises(TrainingError, match=r"1 group\(s\) are too few"):
        finetune.set_up_table("other", "atp-organoid", data, SHORT)


def test_layers_with_values_are_set_up_like_the_images_of_a_table():
    pairs = []
    for number in range(5):
        well = make_well(0, number, number, 64)
        image = Micrograph.from_array(well.image, pixel_size_um=1.0 + number, name=f"w{number}")
        pairs.append(TrainingPair(f"w{number}", image, values={"ATP": 1000.0 * number}, group=f"P{number // 2 * 2}"))
    ready = run_to_end(finetune.set_up_pairs("wells", "atp-organoid", pairs, SHORT))
    assert ready.description == "by group: 1 to train on, 1 to validate and 1 to test on"
    corpus = run_to_end(
        load_labelled_images(atp_training.fitted(ready.recipe, training_folder("wells")), training_folder("wells"))
    )
    found = {
        s.labelled.images.name: (float(s.numbers[0]), s.labelled.group)
        for part in corpus.samples.values()
        for s in part
    }
    assert sorted(found.values()) == [(1000.0 * n, f"P{n // 2 * 2}") for n in range(5)]
    flat = [replace(pair, values={"ATP": 5.0}) for pair in pairs]
    with pytest.raises(TrainingError, match="All images have the value 5: there is nothing to learn"):
        run_to_end(finetune.set_up_pairs("flat", "atp-organoid", flat, SHORT))
    negative = [replace(pairs[0], values={"ATP": -5.0}), *pairs[1:]]
    with pytest.raises(TrainingError, match="negative, or no number"):
        run_to_end(finetune.set_up_pairs("negative", "atp-organoid", negative, SHORT))


def test_painted_regions_are_classes_of_the_phenotype():
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(4):
        pixels = rng.normal(100, 10, (2, 96, 96)).astype(np.float32)
        painted = np.zeros((96, 96), np.uint8)
        painted[:48], painted[48:, :40] = 1, 2
        image = Micrograph.from_array(pixels, axes="CYX", channel_names=("GFP", "DNA"), name=f"well {number}")
        pairs.append(TrainingPair(f"well {number}", image, {}, painted, ("negative", "positive")))
    ready = run_to_end(finetune.set_up_pairs("mine", "translocation-bbbc013", pairs, SHORT))
    assert ready.recipe.crop_px == 96
    corpus = run_to_end(load_labelled_images(ready.recipe, user_models() / "training" / "mine"))
    assert len(corpus.samples["train"]) == 4
    assert {tuple(s.numbers) for s in corpus.samples["train"]} == {(1.0, 0.0), (0.0, 1.0)}
    assert corpus.samples["train"][0].weight.sum() in (48 * 96, 48 * 40)
    with pytest.raises(TrainingError, match="2 images are too few"):
        run_to_end(finetune.set_up_pairs("other", "translocation-bbbc013", pairs[:2], SHORT))


def of_one_class(number, k, name=""):
    """An image that shows one class only."""
    pixels = np.random.default_rng(number).normal(100, 10, (2, 96, 96)).astype(np.float32)
    name = name or f"well {number}"
    image = Micrograph.from_array(pixels, axes="CYX", channel_names=("GFP", "DNA"), name=name)
    return TrainingPair(name, image, {}, np.full((96, 96), k, np.uint8), ("negative", "positive"))


@pytest.mark.fault("F01")
def test_images_of_one_class_each_are_trained_on_where_there_are_others_of_the_other():
    pairs = [of_one_class(n, 1 + n % 2) for n in range(6)]
    ready = run_to_end(finetune.set_up_pairs("mine", "translocation-bbbc013", pairs, SHORT))
    told = "by group: 2 to train on, 2 to validate and 2 to test on (3 of negative, 3 of positive)"
    assert ready.description == told
    corpus = run_to_end(load_labelled_images(ready.recipe, user_models() / "training" / "mine"))
    for part in ("train", "validation", "test"):
        assert sorted(tuple(s.numbers) for s in corpus.samples[part]) == [(0.0, 1.0), (1.0, 0.0)]
    with pytest.raises(TrainingError, match=r"one class only \(3 of negative, 0 of positive\)"):
        run_to_end(finetune.set_up_pairs("other", "translocation-bbbc013", pairs[::2], SHORT))
    with pytest.raises(TrainingError, match=r"Of 4 images \(2 of negative, 2 of positive\) some are kept apart"):
        run_to_end(finetune.set_up_pairs("other", "translocation-bbbc013", pairs[:4], SHORT))


@pytest.mark.fault("F04")
def test_painted_ids_are_counted_off_and_recipe_and_card_keep_which_was_which():
    image = make_pair().image
    plain = np.where(np.arange(256)[:, None] % 2 == 0, np.where(image.array > 560, 2, 1), 0)
    odd = np.array([0, 7, 200])[plain]
    classes = ("background", "foreground")
    ready = set_up([make_pair(targets={}, painted=odd, classes=classes)])
    assert ready.recipe.data[0].class_ids == {"background": 7, "foreground": 200}
    assert "7 background, 200 foreground" in ready.warnings[0]
    (painted,) = training_folder("mine").glob("pair001-*-painted.ome.tif")
    kept = read_image(str(painted)).plane()
    np.testing.assert_array_equal(kept, plain)
    card = read_card(run_to_end(train(ready)))
    assert card.training["class_ids"] == {"background": 7, "foreground": 200}
    assert "The painted ids are counted off in their order: 7 background, 200 foreground." in card.training["notes"]
    with pytest.raises(TrainingError, match="hold the ids 5, 7, 200; there are 2 classes"):
        set_up([make_pair(targets={}, painted=np.where(plain > 0, odd, 5), classes=classes)], name="other")


def painted_spheroid(number, diameter_um=40.0, pixel_size_um=1.0):
    """A stack of which every second slice is painted."""
    made = simulate_spheroid(StackParams(diameter_um=diameter_um), (4.0, *2 * (pixel_size_um,)), VolumeOptics(), number)
    sparse = np.where(np.arange(made.classes.shape[0])[:, None, None] % 2 == 0, made.classes, 0)
    sizes = {"pixel_size_um": pixel_size_um, "z_step_um": 4.0, "name": f"s{number}"}
    image = Micrograph.from_array(made.image, axes="CZYX", channel_names=("live", "dead"), **sizes)
    return TrainingPair(f"s{number}", image, {}, sparse, ("background", "live", "dead"))


def test_painted_slices_of_spheroids_are_set_up_by_volume():
    pairs = [painted_spheroid(number) for number in range(3)]
    ready = run_to_end(finetune.set_up_pairs("mine", "spheroid-live-dead", pairs, SHORT))
    assert ready.description == "by volume: 1 to train on, 1 to validate, 1 to test on"
    volumes = run_to_end(load_volumes(ready.recipe, user_models() / "training" / "mine"))
    assert {part: len(found) for part, found in volumes.items()} == {"train": 1, "validation": 1, "test": 1}
    np.testing.assert_array_equal(volumes["train"][0].classes, pairs[0].painted)
    two = run_to_end(finetune.set_up_pairs("two", "spheroid-live-dead", pairs[:2], SHORT))
    assert "the card will have no figures" in two.warnings[0]


def test_a_single_spheroid_is_split_by_rows_with_a_band_as_wide_as_the_network_sees():
    pair = painted_spheroid(0, diameter_um=130.0)
    params = FineTuneParams(epochs=1, steps_per_epoch=1)
    ready = run_to_end(finetune.set_up_pairs("mine", "spheroid-live-dead", [pair], params))
    assert "figures will hold for this volume" in ready.warnings[0]
    split = ready.recipe.split
    (start, end), (kept, middle), (test, last) = (
        r[0] for r in (split.train_rows, split.validation_rows, split.test_rows)
    )
    assert (start, kept - end, middle, last) == (0, HALO_ZYX[1], test, pair.painted.shape[1])
    assert f"0-{end - 1} to train on, a guard band of 24, {kept}-{middle - 1} to validate" in ready.description
    volumes = run_to_end(load_volumes(ready.recipe, user_models() / "training" / "mine"))
    for part, first, stop in (("train", 0, end), ("validation", kept, middle), ("test", test, last)):
        (volume,) = volumes[part]
        np.testing.assert_array_equal(volume.classes, pair.painted[:, first:stop])
        assert (volume.classes > 1).any()
        assert volume.image.shape[1:] == volume.classes.shape
    assert ready.recipe.refit.train_rows == ((0, test - HALO_ZYX[1]),)
    card = read_card(
        run_to_end(run_spheroid_training(ready.recipe, user_models() / "training" / "mine", user_models()))
    )
    assert "trained on rows 0-" in card.split
    assert {m.on for m in card.metrics} == {"test rows of labelled volumes"}


def test_a_single_spheroid_that_the_band_leaves_too_little_of_is_refused_with_the_numbers():
    pair = painted_spheroid(0)
    rows = np.flatnonzero((pair.painted > 1).any(axis=(0, 2)))
    told = f"painted lie on {rows[-1] - rows[0] + 1} rows; 24 lie between .* and 96 more are the least"
    with pytest.raises(TrainingError, match=told):
        run_to_end(finetune.set_up_pairs("mine", "spheroid-live-dead", [pair], SHORT))
    large = painted_spheroid(0, diameter_um=130.0)
    rows = np.flatnonzero((large.painted > 1).any(axis=(0, 2)))
    gap = np.where((np.arange(large.painted.shape[1]) > rows[0] + 40)[None, :, None], 0, large.painted)
    gap[:, rows[-1]] = large.painted[:, rows[-1]]
    with pytest.raises(TrainingError, match="kept to validate on, hold no painted cells"):
        run_to_end(finetune.set_up_pairs("mine", "spheroid-live-dead", [replace(large, painted=gap)], SHORT))


def test_a_leak_is_refused_unless_forced_and_the_card_says_so():
    pairs = [make_pair(n, seed=s) for n, s in (("a", 0), ("b", 1), ("c", 2))]
    ready = set_up(pairs)
    leak = {"by": "region", "train_rows": [[0, 200]], "validation_rows": [[150, 200]], "test_rows": [[200, 256]]}
    with pytest.raises(TrainingError, match="kept apart, but overlap or touch"):
        run_to_end(train(ready_with(ready, {**leak, "force_leak": False})))
    card = read_card(run_to_end(train(ready_with(ready, {**leak, "force_leak": True}))))
    assert "LEAKS, as the user insisted: Rows 150-199 are kept apart, but overlap" in card.split
    assert card.training["forced_leak"] is True


def ready_with(ready, split):
    recipe = parse_recipe({**ready.recipe.model_dump(), "split": split}, "forced")
    return replace(ready, recipe=recipe)


def test_the_starting_model_may_go_while_training_runs(tmp_path):
    mother = save_model(make_model(model_id="mother", width=0.25), user_models())
    tree = {**make_recipe(tmp_path), "start_from": "mother", "id": "child"}
    steps = run_training(parse_recipe(tree, "recipe"), tmp_path, user_models(), None, "cpu")
    while not isinstance(next(steps), EpochProgress):
        pass
    sha256 = read_card(mother).weights.sha256
    mother.unlink()
    (user_models() / "mother.safetensors").unlink()
    assert read_card(run_to_end(steps)).parent == f"mother {sha256}"


def test_a_model_of_another_task_is_no_start(tmp_path):
    tree = {**make_recipe(tmp_path), "start_from": "atp-organoid"}
    with pytest.raises(ModelError, match="is for the task 'atp', not 'stain'"):
        run_to_end(run_training(parse_recipe(tree, "recipe"), tmp_path, user_models(), None, "cpu"))


@pytest.mark.parametrize(
    ("model", "recipe"), [("nuclei-phase", "nuclei-phase"), ("nuclei-phase-of-others", "nuclei-phase"), ("x", "")]
)
def test_a_model_whose_card_does_not_tell_is_made_like_its_kin(model, recipe):
    tree = finetune.base_recipe(make_model(model_id=model).card)
    assert tree["network"]["name"] == "unet"
    assert tree["id"].startswith(recipe)
    assert not {"data", "split", "trunk"} & set(tree)
    assert recipe != model or tree["id"] == model
