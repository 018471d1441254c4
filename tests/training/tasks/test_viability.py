"""Training of viability models: from simulated spheroids, from tables with controls, from given weights."""

import hashlib

import numpy as np
import pytest
import tifffile
import torch
from safetensors.numpy import save_file

from vitascope.core.errors import InputError, ModelError, ParameterError, ReaderError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import build_network, load_model
from vitascope.io.models.cards import read_card
from vitascope.networks.resnet import ResNet18
from vitascope.recipes.labelled_images import find_labelled_images
from vitascope.recipes.recipe import TrunkWeights, parse_recipe
from vitascope.simulate.spheroid_series import DAYS, Setting, make_spheroid
from vitascope.training.data.labelled_images import load_labelled_images, mixed, plan_split
from vitascope.training.data.simulated import draw, draw_control, truths
from vitascope.training.tasks.regression import predict
from vitascope.training.tasks.viability import (
    check_recipe,
    fill_trunk,
    places_loss,
    r2,
    run_evaluation,
    run_training,
    share_of,
)

BASE = {
    "task": "viability",
    "id": "viability-test",
    "title": "t",
    "summary": "s",
    "limitations": "all",
    "licence": "BSD-3-Clause",
    "credit": "c",
    "split": {"by": "group", "validation_fraction": 0.4, "test_fraction": 0.2},
    "input": {
        "modality": "bright-field",
        "channels": ["bright-field"],
        "crop_to": "spheroid",
        "side_px": 32,
        "normalisation": {"method": "background"},
    },
    "targets": [{"name": "viability", "unit": "of control"}],
    "network": {"name": "nvir", "arguments": {"width": 0.0625}},
    "loss": {"mse": 1.0},
    "augment": {"zoom": "none", "contrast": 0, "defocus": 0},
    "training": {"epochs": 2, "steps_per_epoch": 3, "batch_size": 4, "precision": "f32"},
}
ABOUT = {"name": "d", "url": "u", "licence": "l", "credit": "c", "folder": "."}
SPHEROIDS = {"kind": "spheroids", "count": 40, "seed": 1, "side_px": 48, "groups": 10}


def recipe(data=None, **changes):
    return parse_recipe({**BASE, "data": [data or {**ABOUT, "simulated": SPHEROIDS}], **changes}, "test")


def test_a_model_is_trained_measured_and_the_same_again(tmp_path):
    cards = [read_card(run_to_end(run_training(recipe(), tmp_path, tmp_path / n, device="cpu"))) for n in "ab"]
    assert cards[0].weights.sha256 == cards[1].weights.sha256
    card = cards[0]
    assert {m.name for m in card.metrics} >= {"MAE", "R2", "MAE of the best constant"}
    assert card.intervals is not None
    assert card.intervals.level is None  # of too few groups to know it
    assert card.domain.distance_99 is not None
    # What training started from is no matter to what was made of it: a file that is not there is not asked for.
    started = recipe(trunk={"file": "none.safetensors", "sha256": "0" * 64})
    again = run_to_end(run_evaluation(str(tmp_path / "a" / "viability-test.json"), started, tmp_path, "cpu"))
    assert {m.name: m.value for m in again} == pytest.approx(
        {m.name: m.value for m in card.metrics}, rel=0.02, abs=0.01
    )


def test_the_pair_variant_sees_the_control_of_its_plate_and_day(tmp_path):
    pair = {
        "input": {**BASE["input"], "channels": ["bright-field", "control"], "crop_to": "centre", "side_px": 48},
        "network": {"name": "nvir", "arguments": {"width": 0.0625, "in_channels": 2, "pair": True}},
    }
    corpus = run_to_end(load_labelled_images(recipe(**pair), tmp_path))
    sample = corpus.samples["train"][0]
    number = int(sample.labelled.images.name.split("_")[1])
    plate = int(sample.labelled.group.removeprefix("plate"))
    control = make_spheroid(1, Setting(plate, 100_000, DAYS[number % 4], 0), 48).image
    np.testing.assert_array_equal(draw_control(recipe().data[0].simulated, number), control)
    np.testing.assert_allclose(sample.planes[1], control)
    np.testing.assert_allclose(sample.planes[0], draw(recipe().data[0].simulated, number)[0])
    path = run_to_end(run_training(recipe(**pair), tmp_path, tmp_path / "pair", device="cpu"))
    model = load_model(str(path), "viability")
    assert predict(model.network, corpus.pairs["test"])[0].shape == (len(corpus.pairs["test"]),)


def test_truths_are_those_of_the_drawn_spheroids():
    source = recipe().data[0].simulated
    assert truths(source)[7] == draw(source, 7)[1]


def write_table(folder, roles=("medium", "medium", "drug", "medium", "drug", "drug")):
    atp = (100, 300, 50, 10, 5, 20)
    lines = ["file,plate,role,viability"]
    for number, (role, amount) in enumerate(zip(roles, atp, strict=True)):
        image = np.random.default_rng(number).integers(0, 255, (32, 32)).astype(np.uint8)
        tifffile.imwrite(folder / f"spheroid{number}.tif", image)
        lines.append(f"spheroid{number}.tif,p{number // 3},{role},{amount}")
    (folder / "map.csv").write_text("\n".join(lines))
    return {**ABOUT, "bags": {"table": "map.csv", "image": "file", "group": ["plate"], "control": {"role": "medium"}}}


def test_numbers_of_a_table_are_divided_by_the_median_of_their_plates_controls(tmp_path):
    data = recipe(write_table(tmp_path)).data[0]
    found = {b.images.name: b.labels["viability"] for b in find_labelled_images(data, ("viability",), tmp_path)}
    expected = [100 / 200, 300 / 200, 50 / 200, 1.0, 0.5, 2.0]
    assert [found[f"spheroid{n}"] for n in range(6)] == pytest.approx(expected)


def test_a_plate_without_a_control_is_named(tmp_path):
    data = recipe(write_table(tmp_path, ("medium", "medium", "drug", "drug", "drug", "drug"))).data[0]
    with pytest.raises(InputError, match="'p1' has no control"):
        find_labelled_images(data, ("viability",), tmp_path)


def test_a_pair_network_sees_each_image_beside_the_median_control_of_its_plate(tmp_path):
    made = recipe(
        write_table(tmp_path, ("medium", "medium", "medium", "drug", "medium", "drug")),
        network={"name": "nvir", "arguments": {"width": 0.0625, "in_channels": 2, "pair": True}},
        input={**BASE["input"], "channels": ["bright-field", "control"]},
        split={"by": "group"},
    )
    corpus = run_to_end(load_labelled_images(made, tmp_path))
    own = {s.labelled.images.name: s for part in corpus.samples.values() for s in part}
    # plate p0: 100, 300 and 50, the median is 100: the others stand beside spheroid0, and that beside the next nearest
    expected = {"spheroid0": "spheroid2", "spheroid1": "spheroid0", "spheroid2": "spheroid0"}
    # plate p1 has one control, which has none but itself
    expected |= {"spheroid3": "spheroid4", "spheroid4": "spheroid4", "spheroid5": "spheroid4"}
    for name, control in expected.items():
        assert len(own[name].planes) == 2
        np.testing.assert_array_equal(own[name].planes[1], own[control].planes[0])
    pairs = [pair for part in corpus.pairs.values() for pair in part]
    assert {pair.image.shape[0] for pair in pairs} == {2}


def test_a_pair_network_without_controls_is_told_so(tmp_path):
    source = write_table(tmp_path)
    made = recipe(
        {**source, "bags": {**source["bags"], "control": {}}},
        network={"name": "nvir", "arguments": {"width": 0.0625, "in_channels": 2, "pair": True}},
        input={**BASE["input"], "channels": ["bright-field", "control"]},
    )
    with pytest.raises(InputError, match="'p0' has no control to put beside"):
        run_to_end(load_labelled_images(made, tmp_path))


def colour_file(folder, drop=""):
    tensors = {k: v.numpy() for k, v in ResNet18(3).state_dict().items() if v.ndim and k != drop}
    save_file(tensors, folder / "resnet18.safetensors")
    return hashlib.sha256((folder / "resnet18.safetensors").read_bytes()).hexdigest(), tensors


def test_the_extractor_starts_from_given_weights_summed_over_colours(tmp_path):
    sha256, tensors = colour_file(tmp_path)
    network = build_network(recipe(network={"name": "nvir", "arguments": {"width": 1.0}}).network)
    fill_trunk(network, TrunkWeights(file="resnet18.safetensors", sha256=sha256), tmp_path)
    np.testing.assert_allclose(
        network.trunk.conv1.weight.detach().numpy(), tensors["conv1.weight"].sum(1, keepdims=True), rtol=1e-5, atol=1e-6
    )
    found = network.trunk.state_dict()["layer4.1.conv2.weight"].numpy()
    np.testing.assert_array_equal(found, tensors["layer4.1.conv2.weight"])


def test_training_starts_from_the_weights_given_and_trains_them_end_to_end(tmp_path):
    """A stand-in for ImageNet's: a file of the layout of torchvision's resnet18."""
    sha256, tensors = colour_file(tmp_path)
    made = recipe(
        network={"name": "nvir", "arguments": {"width": 1.0}},
        trunk={"file": "resnet18.safetensors", "sha256": sha256},
        training={**BASE["training"], "epochs": 1, "steps_per_epoch": 2, "learning_rate": 1e-4},
    )
    path = run_to_end(run_training(made, tmp_path, tmp_path / "out", device="cpu"))
    trained = load_model(str(path), "viability").network.trunk.state_dict()
    deepest = "layer4.1.conv2.weight"
    moved = np.abs(trained[deepest].float().numpy() - tensors[deepest])
    assert moved.max() > 0  # no layer stands still …
    assert moved.mean() < 0.2 * np.abs(tensors[deepest]).mean()  # … and it began where the file says
    first = np.abs(trained["conv1.weight"].float().numpy() - tensors["conv1.weight"].sum(1, keepdims=True))
    assert 0 < first.max() < 0.05


def write_days(folder, days, seed=0):
    lines = ["file,plate,day,viability"]
    for number, day in enumerate(days):
        image = np.random.default_rng((seed, number)).integers(0, 255, (32, 32)).astype(np.uint8)
        tifffile.imwrite(folder / f"spheroid{number}.tif", image)
        lines.append(f"spheroid{number}.tif,p{number},{day},{0.1 * number:.1f}")
    (folder / "map.csv").write_text("\n".join(lines))
    return {**ABOUT, "labelled_images": {"table": "map.csv", "image": "file", "group": ["plate"], "taken": "day"}}


def test_a_split_along_time_tests_on_what_was_taken_last(tmp_path):
    days = (2, 10, 1, 3, 10, 9, 4, 2)
    split = {"by": "group", "along": "time", "validation_fraction": 0.25, "test_fraction": 0.25}
    made = recipe(write_days(tmp_path, days), split=split)
    corpus = run_to_end(load_labelled_images(made, tmp_path))
    found = {part: sorted(days[int(s.labelled.group[1:])] for s in own) for part, own in corpus.samples.items()}
    assert found == {"train": [1, 2, 2, 3], "validation": [4, 9], "test": [10, 10]}
    assert plan_split(made, tmp_path).groups == {"train": 4, "validation": 2, "test": 2}


def test_a_split_along_time_wants_to_know_when(tmp_path):
    data = write_days(tmp_path, (1, 2, 3, 4))
    data["labelled_images"].pop("taken")
    made = recipe(data, split={"by": "group", "along": "time", "test_fraction": 0.25})
    with pytest.raises(TrainingError, match="Nothing tells when"):
        run_to_end(load_labelled_images(made, tmp_path))


def test_a_split_along_laboratories_keeps_them_whole(tmp_path):
    sets = []
    for name in ("Trondheim", "Boston"):
        (tmp_path / name).mkdir()
        sets.append(
            {**write_days(tmp_path / name, (1, 2, 3), len(name)), "name": name, "folder": name, "laboratory": name}
        )
    split = {"by": "group", "along": "laboratory", "test_groups": ["Boston"]}
    made = parse_recipe({**BASE, "data": sets, "split": split}, "test")
    corpus = run_to_end(load_labelled_images(made, tmp_path))
    assert {part: {s.labelled.group for s in own} for part, own in corpus.samples.items()} == {
        "train": {"Trondheim"}, "validation": set(), "test": {"Boston"},
    }  # fmt: skip
    unnamed = parse_recipe({**BASE, "data": [{**one, "laboratory": ""} for one in sets], "split": split}, "test")
    with pytest.raises(TrainingError, match="names no laboratory"):
        run_to_end(load_labelled_images(unnamed, tmp_path))


def test_weights_that_are_absent_altered_or_others_are_refused(tmp_path):
    network = build_network(recipe().network)
    with pytest.raises(ReaderError, match="not on this machine"):
        fill_trunk(network, TrunkWeights(file="none.safetensors", sha256="0" * 64), tmp_path)
    sha256, _ = colour_file(tmp_path, drop="bn1.weight")
    with pytest.raises(ModelError):
        fill_trunk(network, TrunkWeights(file="resnet18.safetensors", sha256="0" * 64), tmp_path)
    with pytest.raises(ModelError, match=r"bn1\.weight"):
        fill_trunk(network, TrunkWeights(file="resnet18.safetensors", sha256=sha256), tmp_path)


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"network": {"name": "unet", "arguments": {}}}, "'nvir'"),
        ({"split": {"by": "region", "train_rows": [[0, 10]]}}, "by group"),
        ({"loss": {"pcc": 1.0}}, "no loss 'pcc'"),
    ],
)
def test_a_recipe_of_another_task_is_refused(changes, description):
    with pytest.raises(ParameterError, match=description):
        check_recipe(recipe(**changes))


def test_the_mean_explains_nothing():
    truth = np.array([0.1, 0.5, 0.9])
    assert r2(truth, truth) == 1
    assert r2(truth, np.full(3, 0.5)) == pytest.approx(0)


def test_the_mix_of_the_source_weighs_kinds_not_pictures():
    weights = mixed([0.0, 0.5, 0.8, 1.0, 1.0], [(0, 0.1), (0.999, 0.6), (1, 0.3)])
    assert weights.tolist() == pytest.approx([0.5, 1.5, 1.5, 0.75, 0.75])
    with pytest.raises(TrainingError, match=r"ends at 0\.9"):
        mixed([0.2, 1.0], [(0.9, 1.0)])


def test_a_mix_whose_numbers_fall_or_whose_shares_are_nothing_is_refused():
    for mix in ([[1, 0.5], [0, 0.5]], [[0, 0.0], [1, 1.0]]):
        with pytest.raises(InputError, match="numbers of a mix rise"):
            recipe(mix=mix)


def boxed(folder, count=6):
    """Pictures of a living cell left and as many dead ones right as the number of the picture, with their boxes."""
    lines = ["file,viability"]
    for number in range(count):
        dead = [(20 + 5 * k, 8 * k) for k in range(number)]
        picture = np.full((48, 48), 100, np.uint8)
        picture[20:26, 4:10] = 250
        cells = [("Living Cell", 4, 20)] + [("Dead Cell", x, y) for x, y in dead]
        for _, x, y in cells[1:]:
            picture[y : y + 6, x : x + 6] = 30
        boxes = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + 6}</xmax>"
            f"<ymax>{y + 6}</ymax></bndbox></object>"
            for name, x, y in cells
        )
        tifffile.imwrite(folder / f"p{number}.tif", picture)
        (folder / f"p{number}.xml").write_text(f"<annotation>{boxes}</annotation>")
        lines.append(f"p{number}.tif,{1 / (1 + number):.6f}")
    (folder / "map.csv").write_text("\n".join(lines))
    return {**ABOUT, "labelled_images": {"table": "map.csv", "image": "file", "boxes": ["Living Cell", "Dead Cell"]}}


COUNTING = {
    "split": {"by": "group"},
    "input": {**BASE["input"], "crop_to": "centre", "side_px": 48},
    "targets": [{"name": "viability", "unit": "living share"}],
    "network": {"name": "nvir", "arguments": {"width": 0.0625, "counts": True, "stages": 2}},
    "loss": {"l1": 1.0, "places": 0.25},
}


def test_boxed_cells_are_laid_where_they_are_and_teach_a_network_that_counts(tmp_path):
    made = recipe(boxed(tmp_path), **COUNTING)
    pairs = run_to_end(load_labelled_images(made, tmp_path)).pairs["train"]
    for pair in pairs:
        living, dead = pair.target.sum((1, 2))
        assert pair.numbers[0] == pytest.approx(living / (living + dead), abs=1e-4)
    assert pairs[2].target[0, :, :14].sum() == pytest.approx(1, abs=0.01)  # the living one lies left
    card = read_card(run_to_end(run_training(made, tmp_path, tmp_path / "out", device="cpu")))
    assert card.architecture.arguments["counts"]


def test_the_loss_of_places_is_least_where_as_many_are_expected_as_there_are():
    cells = torch.zeros(2, 2, 16, 16)
    cells[0, 0, 1:3, 9:11] = 0.25  # one living cell, in the second place of the first row
    there = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]] * 2], [[[0.0, 0.0]] * 2] * 2])
    right = places_loss(there + 1e-4, cells)
    wrong = [there + 0.1, there.flip(3) + 1e-4, there.flip(1) + 1e-4, 2 * there + 1e-4]
    assert all(places_loss(other, cells) > right for other in wrong)


def test_the_share_is_that_of_the_cells_shown_and_of_too_few_what_is_said_anyway():
    cells = torch.zeros(3, 2, 4, 4)
    cells[0, 0, 0, 0], cells[0, 1, 2, 2] = 3.0, 1.0
    cells[1, 1, 2, 2] = 2.0
    cells[2, 1, 2, 2] = 0.2
    assert share_of(cells, torch.tensor([0.3, 0.3, 0.3])).tolist() == pytest.approx([0.75, 0.0, 0.3])


def test_the_loss_of_places_is_refused_where_nothing_tells_the_places_or_counts_them(tmp_path):
    data = boxed(tmp_path)
    check_recipe(recipe(data, **COUNTING))
    without = {**data, "labelled_images": {**data["labelled_images"], "boxes": []}}
    with pytest.raises(InputError, match="'boxes' names two kinds"):
        recipe({**data, "labelled_images": {**data["labelled_images"], "boxes": ["Cell"]}}, **COUNTING)
    uncounted = {**COUNTING, "network": BASE["network"]}
    for wrong in (recipe(without, **COUNTING), recipe(data, **uncounted), recipe(**COUNTING)):
        with pytest.raises(ParameterError, match="network that counts where"):
            check_recipe(wrong)
