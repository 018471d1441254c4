import json
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from tests_support import make_model, make_recipe, save_model
from vitascope.core.errors import ModelError, OutputError, ParameterError, ReaderError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import load_model
from vitascope.io.models.cards import read_card
from vitascope.io.models.weights import read_weights
from vitascope.recipes.recipe import parse_recipe
from vitascope.training import make_model as training
from vitascope.training.data.stain import load_corpus
from vitascope.training.tasks.stain import (
    StainJob,
    compare,
    correlation,
    measure_domain,
    pooled,
    run_evaluation,
    run_training,
    torch_encode,
    torch_predict,
)
from vitascope.training.tasks.stain import (
    test_metrics as metrics_of,
)


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))


def recipe(tmp_path, **changes):
    return parse_recipe(make_recipe(tmp_path, **changes), "recipe")


def trained(tmp_path, read, name="models", **kwargs):
    return run_to_end(run_training(read, tmp_path, tmp_path / name, **kwargs))


def weights(path):
    return (path.parent / read_card(path).weights.file).read_bytes()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One tiny recipe, trained once."""
    folder = tmp_path_factory.mktemp("tiny")
    tree = make_recipe(folder, training={"epochs": 2, "steps_per_epoch": 3, "batch_size": 2, "precision": "f32"})
    read = parse_recipe(tree, "recipe")
    return folder, read, run_to_end(run_training(read, folder, folder / "models"))


def test_a_model_is_a_card_and_weights_that_load(tiny):
    _, read, path = tiny
    assert {p.name for p in path.parent.iterdir()} == {"tiny.json", "tiny.safetensors"}
    card = read_card(path)
    loaded = load_model(str(path), "stain")
    assert (card.id, card.task, card.architecture, card.input) == ("tiny", "stain", read.network, read.input)
    assert card.split == (
        "trained on rows 0-63; validated on rows 72-103; tested on rows 112-159; only 8 rows lie between training rows "
        "and those kept apart, an output pixel sees 96"
    )
    assert card.weights.parameters == sum(p.numel() for p in loaded.network.parameters())
    assert card.training["stopped"] == "finished"
    assert card.training["loss"] == {"pcc": 1.0}
    assert card.targets[0].source_high > card.targets[0].source_low
    assert card.data[0].sha256 == read.data[0].sha256
    assert card.versions["torch"]


@pytest.mark.fault("D26")
def test_no_folder_of_this_machine_is_on_the_card(tiny):
    folder, _, path = tiny
    assert str(folder) not in path.read_text()


def test_the_figures_on_the_card_are_those_of_the_weights_on_the_test_rows(tiny):
    folder, read, path = tiny
    corpus = run_to_end(load_corpus(read, folder))
    pair = corpus.test[0]
    predicted = torch_predict(load_model(str(path), "stain").network, pair.image)
    expected = np.corrcoef(predicted[0, 112:160].ravel(), pair.target[0, 112:160].ravel())[0, 1]
    card = read_card(path)
    assert [m.name for m in card.metrics] == ["PCC DNA"]
    assert card.metrics[0].value == pytest.approx(expected, abs=2e-3)
    assert card.metrics[0].n == 48 * 96


def test_evaluating_gives_the_same_figures_as_users_would_see(tiny):
    folder, read, path = tiny
    found = run_to_end(run_evaluation(str(path), read, folder))
    assert found[0].value == pytest.approx(read_card(path).metrics[0].value, abs=2e-3)


def test_training_learns(tmp_path):
    """Well above the network before training, on rows it has not seen."""
    read = recipe(
        tmp_path,
        shape=(224, 128),
        split={"by": "region", "train_rows": [[0, 128]], "test_rows": [[144, 224]]},
        training={"epochs": 3, "steps_per_epoch": 20, "batch_size": 4, "precision": "f32", "learning_rate": 0.02},
    )
    card = read_card(trained(tmp_path, read))
    corpus = run_to_end(load_corpus(read, tmp_path))
    untrained = make_model(width=0.25).network
    before = correlation(compare(corpus.test, lambda image: torch_predict(untrained, image)), 0)
    assert card.metrics[0].value > max(0.3, before + 0.2)


@pytest.mark.fault("F17")
def test_a_stain_that_can_be_read_off_the_image_is_learnt_by_heart(tmp_path):
    read = recipe(
        tmp_path,
        shape=(64, 64),
        split={"by": "region", "train_rows": [[0, 64]]},
        training={"epochs": 1, "steps_per_epoch": 80, "batch_size": 4, "precision": "f32", "learning_rate": 0.02},
        augment={"zoom": "none", "defocus": 0.0, "contrast": 0.0, "rotation_degrees": 0},
    )
    network = load_model(str(trained(tmp_path, read)), "stain").network
    corpus = run_to_end(load_corpus(read, tmp_path))
    assert correlation(compare(corpus.train, lambda image: torch_predict(network, image)), 0) > 0.95


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path, tiny):
    folder, read, path = tiny
    again = run_to_end(run_training(read, folder, tmp_path / "again"))
    assert weights(again) == weights(path)
    other = run_to_end(run_training(read.changed({"training.seed": 1}), folder, tmp_path / "other"))
    assert weights(other) != weights(path)


def test_an_existing_model_is_never_replaced(tiny):
    folder, read, path = tiny
    before = path.read_bytes(), weights(path)
    with pytest.raises(ParameterError, match="a model 'tiny' already"):
        run_to_end(run_training(read, folder, path.parent))
    assert (path.read_bytes(), weights(path)) == before
    assert {p.name for p in path.parent.iterdir()} == {"tiny.json", "tiny.safetensors"}


def test_a_model_that_came_while_training_ran_is_not_replaced_either(tmp_path, tiny):
    folder, read, _ = tiny
    out = tmp_path / "out"
    steps = run_training(read, folder, out)
    while not (out / "tiny.training").exists():
        next(steps)
    (out / "tiny.json").write_text("mine")
    with pytest.raises(ParameterError, match="already"):
        run_to_end(steps)
    assert (out / "tiny.json").read_text() == "mine"


@pytest.mark.parametrize("stop_after", [1, 2, 4, 5])
@pytest.mark.fault("F08")
@pytest.mark.fault("F11")
def test_cancelled_training_goes_on_where_it_was_to_the_bit(tmp_path, tiny, stop_after):
    folder, read, path = tiny
    out = tmp_path / "out"
    steps = run_training(read, folder, out)
    while getattr(progress := next(steps), "epoch", None) is None or progress.done < stop_after:
        pass
    steps.close()
    assert not (out / "tiny.json").exists()
    assert (out / "tiny.training" / "latest.pt").exists()
    resumed = run_to_end(run_training(read, folder, out))
    assert weights(resumed) == weights(path)
    assert {p.name for p in out.iterdir()} == {"tiny.json", "tiny.safetensors"}


KILLED = """
import sys
from pathlib import Path
from vitascope.training.tasks.stain import run_training
from vitascope.recipes.recipe import read_recipe
path = Path(sys.argv[1])
steps = run_training(read_recipe(path), path.parent, Path(sys.argv[2]))
for progress in steps:
    if getattr(progress, "epoch", 0) and progress.done == 5:
        print("five steps", flush=True)
        sys.stdin.read()
"""


@pytest.mark.fault("F07")
@pytest.mark.fault("F08")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_training_killed_within_an_epoch_goes_on_to_the_same_weights(tmp_path, tiny):
    folder, read, path = tiny
    recipe_file = folder / "recipe.yaml"
    recipe_file.write_text(yaml.safe_dump(json.loads(read.model_dump_json()), sort_keys=False))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(recipe_file), str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert process.stdout.readline() == "five steps\n"
    process.kill()
    process.communicate()
    assert not (out / "tiny.json").exists()
    resumed = run_to_end(run_training(read, folder, out))
    assert weights(resumed) == weights(path)


def test_another_recipe_does_not_go_on_from_a_checkpoint_that_is_not_its_own(tmp_path, tiny):
    folder, read, path = tiny
    out = tmp_path / "out"
    begun = run_training(read, folder, out)
    while getattr(next(begun), "epoch", 0) < 1:
        pass
    begun.close()
    changed = read.changed({"training.seed": 9, "augment.noise": 0.25})
    with pytest.raises(TrainingError, match="begun with another recipe") as caught:
        run_to_end(run_training(changed, folder, out))
    assert f"augment.noise: {read.augment.noise}, now 0.25; training.seed: {read.training.seed}, now 9" in str(
        caught.value
    )
    with pytest.raises(TrainingError, match=r"starting model: none, now tiny [0-9a-f]{64}"):
        run_to_end(run_training(read, folder, out, start_from=str(path)))
    (out / "tiny.training" / "recipe.json").unlink()  # as an older version left it
    with pytest.raises(TrainingError, match="another training run"):
        run_to_end(run_training(changed, folder, out))


def test_training_can_start_from_a_model_which_the_card_then_names(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(StainJob, "quick_answer", lambda job, network: None)
    folder, read, path = tiny
    child = read.changed({"id": "child", "training.learning_rate": 1e-12, "training.epochs": 1})
    card = read_card(run_to_end(run_training(child, folder, tmp_path / "out", start_from=str(path))))
    parent = read_card(path)
    assert card.parent == f"tiny {parent.weights.sha256}"
    ours = read_weights(tmp_path / "out" / "child.safetensors", card.weights.sha256)
    theirs = read_weights(path.parent / "tiny.safetensors", parent.weights.sha256)
    for name, tensor in theirs.items():
        if "running" not in name:
            np.testing.assert_allclose(ours[name], tensor, atol=1e-6)


def test_a_parent_built_otherwise_is_refused_before_anything_is_read(tmp_path, tiny):
    _, read, path = tiny
    wide = read.changed({"network.arguments": {"in_channels": 1, "out_channels": 1, "width": 0.5}, "id": "wide"})
    with pytest.raises(ModelError, match="built otherwise"):
        next(run_training(wide, tmp_path / "nowhere", tmp_path / "out", start_from=str(path)))


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"loss": {"pcc": 1.0, "dice": 1.0}}, ParameterError, "no loss 'dice'"),
        ({"loss": {"pcc": 0.0}}, ParameterError, "No loss is named"),
        ({"network.arguments": {"in_channels": 3}}, ModelError, "in_channels = 3"),
        ({"network.arguments": {"out_channels": 2}}, ModelError, "out_channels = 2"),
        ({"network.arguments": {"depth": 9}}, ModelError, "does not take the arguments"),
        ({"network.name": "transformer"}, ModelError, "is not known"),
        ({"training.precision": "f16"}, ParameterError, "does not compute in f16"),
        ({"crop_px": 96}, TrainingError, "No training image is as large as a crop"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused_before_the_first_step(tmp_path, changes, error, description):
    read = recipe(tmp_path).changed(changes)

    def watch(progress):
        assert getattr(progress, "epoch", None) is None, "training began"

    with pytest.raises(error, match=description):
        run_to_end(run_training(read, tmp_path, tmp_path / "models", device="cpu"), watch)


def test_absent_data_is_a_sentence(tmp_path, no_network):
    read = recipe(tmp_path)
    with pytest.raises(ReaderError, match="not on this machine"):
        run_to_end(run_training(read, tmp_path / "elsewhere", tmp_path / "models"))


@pytest.mark.fault("E11")
def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path):
    read = recipe(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        next(run_training(read, tmp_path, tmp_path / "file" / "models"))


@pytest.mark.fault("E04")
def test_a_missing_gpu_is_told_once_and_the_processor_trains(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        card = read_card(trained(tmp_path, recipe(tmp_path, id="small"), device="cuda"))
    assert card.training["precision"] == "f32"
    assert caplog.text.count("no device 'cuda' here") == 1


def test_without_a_test_part_there_are_no_figures_unless_a_twin_has_them(tmp_path):
    split = {"by": "region", "train_rows": [[0, 160]]}
    path = trained(tmp_path, recipe(tmp_path, split=split, twin_metrics="twin", id="alone"))
    assert read_card(path).metrics == ()
    twin = read_card(trained(tmp_path, recipe(tmp_path, id="twin")))
    card = read_card(trained(tmp_path, recipe(tmp_path, split=split, twin_metrics="twin", id="with-twin")))
    assert [(m.value, m.from_holdout_model) for m in card.metrics] == [(m.value, True) for m in twin.metrics]
    with pytest.raises(ModelError, match="keeps no test part"):
        run_to_end(run_evaluation(str(path), recipe(tmp_path, split=split), tmp_path))


def test_a_model_of_other_targets_or_planes_is_not_measured(tmp_path):
    read = recipe(tmp_path)
    other = save_model(make_model(model_id="other", targets=("actin",), width=0.25), tmp_path / "models")
    with pytest.raises(ModelError, match="predicts actin, the recipe measures DNA"):
        run_to_end(run_evaluation(str(other), read, tmp_path))
    stack = save_model(make_model(model_id="stack", planes=3, width=0.25), tmp_path / "models")
    with pytest.raises(ModelError, match="in_channels = 3"):
        run_to_end(run_evaluation(str(stack), read, tmp_path))


@pytest.mark.parametrize("rows", [40, 100, 131])
def test_training_rows_of_any_number_end_in_a_card(tmp_path, rows):
    """Pictures smaller than a crop of the domain, and no multiple of what the network halves."""
    split = {"by": "region", "train_rows": [[0, rows]]}
    card = read_card(trained(tmp_path, recipe(tmp_path, split=split, shape=(150, 70), id="odd")))
    assert card.domain.crops >= 1
    assert len(card.domain.feature_mean) == 64


def test_the_domain_is_that_of_the_training_rows(tiny):
    folder, read, path = tiny
    corpus = run_to_end(load_corpus(read, folder))
    domain = read_card(path).domain
    pixels = corpus.train[0].image[0, 0:64]
    assert domain.statistics["mean"][1] == pytest.approx(pixels.mean(), abs=0.02)
    assert domain.statistics["contrast"][1] == pytest.approx(pixels.std(), rel=0.02)
    measured = measure_domain(corpus, load_model(str(path), "stain").network)
    np.testing.assert_allclose(measured.feature_mean, domain.feature_mean, rtol=0.05, atol=0.01)


def test_predicting_and_encoding_pad_by_reflection_to_a_multiple_of_16():
    network = make_model(width=0.25).network
    image = np.random.default_rng(0).standard_normal((1, 37, 50), np.float32)
    padded = np.pad(image, ((0, 0), (0, 11), (0, 14)), mode="reflect")
    with torch.no_grad():
        whole = network(torch.from_numpy(padded)[None])
    np.testing.assert_allclose(torch_predict(network, image), whole.image[0, :, :37, :50], atol=1e-4)
    np.testing.assert_allclose(torch_encode(network, image), whole.encoding[0].mean((1, 2)), rtol=1e-3, atol=1e-4)


def test_only_pixels_that_count_are_pooled(tiny):
    folder, read, _ = tiny
    pair = run_to_end(load_corpus(read, folder)).test[0]
    weight = pair.weight.copy()
    weight[0, :, ::2] = 0
    halved = type(pair)(pair.image, pair.target, weight, pair.areas)
    prediction, truth = pooled(compare([halved], lambda image: image * 2), 0)
    np.testing.assert_array_equal(truth, pair.target[0, 112:160, 1::2].ravel())
    np.testing.assert_array_equal(prediction, 2 * pair.image[0, 112:160, 1::2].ravel())


def test_a_flat_prediction_scores_nothing_and_still_makes_a_card(tiny):
    folder, read, _ = tiny
    corpus = run_to_end(load_corpus(read, folder))
    found = metrics_of(read, corpus.test, lambda image: np.full((1, *image.shape[1:]), 0.5, np.float32))
    assert (found[0].value, found[0].low, found[0].level) == (0.0, None, None)


@pytest.mark.fault("F13")
def test_a_full_disk_at_the_end_leaves_no_half_model_and_the_next_run_finishes(tmp_path, tiny, monkeypatch):
    folder, read, path = tiny
    out = tmp_path / "out"

    def full(card, where):
        raise OutputError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(training, "write_card", full)
        with pytest.raises(OutputError):
            run_to_end(run_training(read, folder, out))
    assert {p.name for p in out.iterdir()} == {"tiny.training"}
    assert weights(run_to_end(run_training(read, folder, out))) == weights(path)


def test_progress_names_the_epochs_and_counts_every_step(tmp_path, tiny):
    folder, read, _ = tiny
    seen = [p for p in run_training(read, folder, tmp_path / "out") if hasattr(p, "epoch")]
    assert [p.done for p in seen] == list(range(1, 7))
    assert {p.total for p in seen} == {6}
    assert seen[0].stage == "epoch 1 of 2"
    assert [p.preview for p in seen] == [False, False, True] * 2
    assert set(seen[-1].metrics) >= {"loss", "score", "pcc_DNA"}


def mask_recipe(tmp_path, **changes):
    """A recipe that learns a mask of the stain."""
    tree = make_recipe(tmp_path)
    training = {"epochs": 4, "steps_per_epoch": 10, "batch_size": 4, "precision": "f32", "learning_rate": 0.01}
    how = {"target_preparation": {"mask": True, "mask_block_px": 31}, "loss": {"bce": 1.0}, "training": training}
    return parse_recipe({**tree, **how, **changes}, "recipe")


def test_the_cut_of_a_mask_is_chosen_on_validation_for_the_true_area(tmp_path):
    read = mask_recipe(tmp_path)
    path = trained(tmp_path, read)
    cut = read_card(path).default_params["cut_DNA"]
    corpus = run_to_end(load_corpus(read, tmp_path))
    network = load_model(str(path), "stain").network
    for part, most in ((corpus.validation, 0.02), (corpus.test, 1.0)):
        predicted, truth = pooled(compare(part, lambda image: torch_predict(network, image)), 0)
        assert set(np.unique(truth)) == {0, 1}
        bias = np.count_nonzero(predicted > cut) / np.count_nonzero(truth) - 1
        assert abs(bias) <= most  # weights are rounded to 16 bit


def test_a_model_trained_anew_on_all_keeps_the_cut_of_rows_it_had_not_seen(tmp_path):
    read = mask_recipe(tmp_path)
    alone = read_card(trained(tmp_path, read)).default_params
    again = mask_recipe(tmp_path, refit={"on": "all"})
    assert read_card(trained(tmp_path, again, "refit")).default_params == pytest.approx(alone)


def test_stains_have_no_cut(tiny):
    assert read_card(tiny[2]).default_params == {}
