"""Training of the task: splits without leakage, mosaics, one tiny model of each kind, and what is refused."""

import dataclasses

import numpy as np
import pytest
import tifffile
import torch

from phenotype_support import cells, make_cell_recipe, make_plate, make_recipe
from vitascope.core.errors import InputError, ParameterError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import AugmentParams
from vitascope.engine.load_model import build_network, load_model
from vitascope.io.models.cards import read_card
from vitascope.ops.objects.map_regions import RegionParams, foreground, map_scales
from vitascope.ops.wells.cell_views import cell_centre, phases_sheet
from vitascope.recipes.labelled_images import LabelledImage
from vitascope.recipes.recipe import ImagePair, Split, parse_recipe
from vitascope.stats.classification import mean_iou
from vitascope.tasks.run import start
from vitascope.training.data.labelled_images import balanced, labelled_bags, load_labelled_images, measured_input
from vitascope.training.data.single_cells import load_cells
from vitascope.training.data.split_groups import drawn_parts
from vitascope.training.samplers.crops import Pair
from vitascope.training.samplers.mosaics import MosaicSampler, padded_pair
from vitascope.training.tasks.phenotype import (
    ImageJob,
    MosaicJob,
    check_recipe,
    run_evaluation,
    run_training,
    score,
)
from vitascope.training.tasks.phenotype_map_calibration import THRESHOLDS, choose_settings, class_maps, otsu_mask


def recipe(tmp_path, **changes):
    return parse_recipe(make_recipe(tmp_path, **changes), "recipe")


def cell_recipe(tmp_path, **changes):
    return parse_recipe(make_cell_recipe(tmp_path, **changes), "recipe")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    training = {"epochs": 3, "steps_per_epoch": 15, "batch_size": 4, "precision": "f32", "learning_rate": 0.005}
    read = recipe(folder, training=training, map_truth="GFP")
    return folder, read, run_to_end(run_training(read, folder, folder / "models"))


def test_a_plate_and_its_labels_make_a_model_that_tells_wells_apart(tiny):
    folder, read, path = tiny
    card = read_card(path)
    assert card.split == "by group: trained on A01, A02, A03, A04; tested on A05, A06, A07, A08"
    metrics = {m.name: m for m in card.metrics}
    assert metrics["accuracy"].value == 1.0
    assert metrics["accuracy"].n == 4
    assert metrics["accuracy, median over replicates"].n == 2
    assert set(card.default_params) == {"threshold", "smoothing", "map_scale_negative", "map_scale_positive"}
    assert len(card.data[0].sha256) == 16
    assert len(card.domain.feature_mean) == 100
    again = run_to_end(run_evaluation(str(path), read, folder))
    assert [(m.name, m.value) for m in again] == [(m.name, m.value) for m in card.metrics]


def test_the_normalisation_is_that_of_the_training_wells(tiny):
    _, _, path = tiny
    how = read_card(path).input.normalisation
    images = [cells(i % 2 == 0, seed=i - 1) for i in (1, 2, 3, 4)]
    for c in range(2):
        values = np.concatenate([i[c].ravel() for i in images]).astype(float)
        assert how.means[c] == pytest.approx(values.mean(), rel=1e-4)
        assert how.stds[c] == pytest.approx(values.std(), rel=1e-4)
    network = load_model(str(path), "phenotype")
    assert network.family.multiple_px == 16


def test_named_groups_stand_where_they_are_named(tmp_path):
    read = recipe(tmp_path, split={"by": "group", "test_groups": ["A03", "A04"], "validation_groups": ["A05", "A06"]})
    corpus = run_to_end(load_labelled_images(read, tmp_path))
    assert {p: [s.labelled.group for s in corpus.samples[p]] for p in corpus.samples} == {
        "train": ["A01", "A02", "A07", "A08"],
        "validation": ["A05", "A06"],
        "test": ["A03", "A04"],
    }
    with pytest.raises(TrainingError, match="no group 'Z09'"):
        run_to_end(load_labelled_images(recipe(tmp_path, split={"by": "group", "test_groups": ["Z09"]}), tmp_path))


def test_a_replicate_on_both_sides_of_a_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="A01 stands on both sides"):
        recipe(tmp_path, split={"by": "group", "train_groups": ["A01", "A02"], "test_groups": ["A01"]})
    make_recipe(tmp_path)
    for c in (1, 2):
        source = tmp_path / "plate" / f"Channel{c}-01-A-01.tif"
        (tmp_path / "plate" / f"Channel{c}-01-A-07.tif").write_bytes(source.read_bytes())
    with pytest.raises(TrainingError, match="A07 is the picture of the group A01 too"):
        run_to_end(load_labelled_images(recipe(tmp_path), tmp_path))


def test_a_drawn_split_keeps_the_shares_of_the_classes():
    classes = {f"w{i}": (1.0, 0.0) if i < 12 else (0.0, 1.0) for i in range(16)}
    parts = drawn_parts(Split(by="group", test_fraction=0.5, validation_fraction=0.25, seed=3), classes)
    for part, counts in (("test", (6, 2)), ("validation", (3, 1)), ("train", (3, 1))):
        own = [g for g, p in parts.items() if p == part]
        assert (sum(int(g[1:]) < 12 for g in own), sum(int(g[1:]) >= 12 for g in own)) == counts
    assert parts != drawn_parts(Split(by="group", test_fraction=0.5, validation_fraction=0.25, seed=4), classes)


@pytest.mark.fault("F01")
def test_one_class_only_is_refused_with_the_count_of_each(tmp_path):
    read = recipe(tmp_path, split={"by": "group", "train_groups": ["A01", "A03"], "test_groups": ["A02"]})
    corpus = run_to_end(load_labelled_images(read, tmp_path))
    with pytest.raises(TrainingError, match="2 negative, 0 positive"):
        ImageJob(read, corpus, build_network(read.network))


def test_rare_classes_are_drawn_as_often(tmp_path):
    make_plate(tmp_path / "plate", {f"A0{i}": i == 1 for i in range(1, 9)})
    groups = {"by": "group", "train_groups": [f"A0{i}" for i in range(1, 9)]}
    read = recipe(tmp_path, split=groups)
    corpus = run_to_end(load_labelled_images(read, tmp_path))
    assert [p.chance for p in balanced(corpus.pairs["train"])] == [1.0] + [1 / 7] * 7
    job = ImageJob(read, corpus, build_network(read.network))
    positive = np.mean([job.batch(step, 8)["numbers"][:, 1].mean() for step in range(40)])
    assert positive == pytest.approx(0.5, abs=0.08)


def test_a_step_is_the_same_whenever_it_is_asked_for(tmp_path):
    read = recipe(tmp_path)
    job = ImageJob(read, run_to_end(load_labelled_images(read, tmp_path)), build_network(read.network))
    first, again = job.batch(5, 3), job.batch(5, 3)
    assert all((first[k] == again[k]).all() for k in first)
    assert first["image"].shape == (3, 2, 64, 64)
    assert (first["numbers"].sum(1) == 1).all()


def test_painted_regions_are_bags():
    planes = [np.arange(12.0).reshape(3, 4)]
    regions = np.array([[1, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2]])
    bag = LabelledImage(None, {}, "g", source=ImagePair(image="i", regions="r"))  # type: ignore[arg-type]
    found = labelled_bags(planes, regions, bag, ("a", "b"))
    assert [(s.numbers.tolist(), s.weight.sum()) for s in found] == [([1.0, 0.0], 2.0), ([0.0, 1.0], 2.0)]
    (whole,) = labelled_bags(planes, regions, dataclasses.replace(bag, labels={"a": 0.0, "b": 1.0}), ("a", "b"))
    assert (whole.numbers.tolist(), whole.weight.sum()) == ([0.0, 1.0], 4.0)


@pytest.mark.parametrize(
    ("regions", "description"), [([[0, 0]], "Nothing is labelled"), ([[3, 1]], "there are 2 classes")]
)
def test_regions_that_mean_nothing_are_refused(tmp_path, regions, description):
    read = recipe(tmp_path)
    corpus = run_to_end(load_labelled_images(read, tmp_path))
    bag = dataclasses.replace(corpus.samples["train"][0].labelled, labels={})
    with pytest.raises(InputError, match=description):
        labelled_bags([np.ones((1, 2))], np.array(regions), bag, ("a", "b"))


def test_regions_of_a_recipe_are_read_and_only_they_count(tmp_path):
    make_recipe(tmp_path)
    painted = np.zeros((96, 96), np.uint8)
    painted[:, :40], painted[:, 60:] = 1, 2
    tifffile.imwrite(tmp_path / "plate" / "painted.tif", painted)
    tree = make_recipe(tmp_path, split={"by": "group", "train_groups": ["A01"]})
    hashes = {}
    from vitascope.io.models.weights import sha256_of_bytes

    for name in ("Channel1-01-A-01.tif", "Channel2-01-A-01.tif", "painted.tif"):
        hashes[name] = sha256_of_bytes((tmp_path / "plate" / name).read_bytes())
    del tree["data"][0]["bags"]
    tree["data"][0] |= {"sha256": hashes, "pairs": [{"image": "Channel?-01-A-01.tif", "regions": "painted.tif"}]}
    corpus = run_to_end(load_labelled_images(parse_recipe(tree, "r"), tmp_path))
    assert [p.weight.mean() for p in corpus.pairs["train"]] == pytest.approx([40 / 96, 36 / 96])


def test_mosaics_hold_each_cell_once_and_their_labels_follow_from_the_shares():
    cells_of = [
        np.full((n, 1, 16, 16), k, np.float32) + np.arange(n)[:, None, None, None] / 1000 for k, n in ((1, 40), (2, 12))
    ]
    sampler = MosaicSampler(cells_of, (0.5, 0.3), (4, 6), 16, 0)
    seen = set()
    for i in range(30):
        mosaic = sampler.draw(np.random.default_rng(i))
        rows, columns = mosaic.classes.shape
        seen.add((rows, columns))
        tiles = mosaic.pair.image[0].reshape(rows, 16, columns, 16).transpose(0, 2, 1, 3).reshape(-1, 256)
        assert len({tuple(t) for t in tiles.round(4).tolist()}) == rows * columns
        assert np.array_equal(np.floor(tiles[:, 0]).reshape(rows, columns), mosaic.classes + 1)
        shares = [(mosaic.classes == k).mean() for k in range(2)]
        assert mosaic.pair.numbers.tolist() == [float(shares[0] > 0.5), float(shares[1] > 0.3)]
    assert {r for r, _ in seen} == {4, 5, 6}
    with pytest.raises(TrainingError, match="too few for a mosaic"):
        MosaicSampler([c[:10] for c in cells_of], (0.5, 0.3), (4, 6), 16, 0)


def test_a_padded_bag_counts_only_what_is_its_own():
    pair = padded_pair(np.ones((1, 20, 16), np.float32), np.ones((1, 20, 16), np.float32), np.zeros(2, np.float32), 16)
    assert pair.image.shape == (1, 32, 16)
    assert pair.weight.sum() == 320


def test_batches_of_mosaics_have_one_size_and_repeat():
    cells_of = [np.random.default_rng(k).normal(size=(40, 1, 16, 16)).astype(np.float32) for k in range(2)]
    sampler = MosaicSampler(cells_of, (0.5, 0.3), (3, 5), 32, 7, AugmentParams(noise=0.1, contrast=0, defocus=0))
    first, again = sampler.batch(2, 4), sampler.batch(2, 4)
    assert all((first[k] == again[k]).all() for k in first)
    assert first["image"].shape[2] % 32 == 0
    one = MosaicSampler(cells_of, (0.5, 0.3), (3, 5), 16, 7, one_cell=True).batch(2, 4)
    assert one["image"].shape == (4, 1, 16, 16)


def test_cells_are_split_once_and_train_a_model(tmp_path):
    read = cell_recipe(tmp_path)
    corpus = run_to_end(load_cells(read, tmp_path))
    assert [[len(c) for c in corpus.cells[p]] for p in ("train", "validation", "test")] == [[15, 14], [6, 6], [9, 8]]
    everything = [c.tobytes() for part in corpus.cells.values() for kind in part for c in kind]
    assert len(set(everything)) == len(everything) == 58
    assert np.concatenate(corpus.cells["train"]).mean() == pytest.approx(0, abs=1e-3)
    path = run_to_end(run_training(read, tmp_path, tmp_path / "models"))
    card = read_card(path)
    assert card.split.startswith("by cell, repeats and padding dropped: train 15 small, 14 large")
    names = [m.name for m in card.metrics]
    assert names[:3] == ["mean average precision", "average precision small", "average precision large"]
    assert card.metrics[-1].n == 17


def test_only_the_middle_of_a_cells_tile_is_laid_out_where_a_recipe_says_so(tmp_path):
    mosaic = {**make_cell_recipe(tmp_path)["mosaic"], "cell_px": 12}
    corpus = run_to_end(load_cells(cell_recipe(tmp_path, mosaic=mosaic), tmp_path))
    assert corpus.cells["train"][0].shape[1:] == (1, 12, 12)


def test_single_cells_are_judged_by_their_middle(tmp_path):
    read = cell_recipe(tmp_path)
    corpus = run_to_end(load_cells(read, tmp_path))
    job = MosaicJob(read, corpus, build_network(read.network).eval())
    truth, scores = job.score_cells(job.network, "test")
    assert truth.sum(0).tolist() == [9, 8]
    assert scores.shape == (17, 2)
    tile, step = corpus.tiles["test"][0][0], 16 * job.network.stride0
    sheet, counts = phases_sheet(tile, cell_centre(tile, job.cell_px), step, job.cell_px, 4)
    one = Pair(sheet, np.zeros((0, *sheet.shape[1:]), np.float32), np.ones((1, *sheet.shape[1:]), np.float32))
    expected = score(job.network, [one], lambda p: counts).pooled
    assert scores[0] == pytest.approx(expected[0], abs=1e-6)
    moved = job.score_cells(job.network, "test", moved_px=(5, 11))[1]
    assert np.abs(moved - scores).max() < 0.02


def test_mosaics_lie_anywhere_against_the_grid_and_only_their_own_pixels_count():
    cells_of = [np.random.default_rng(k).normal(size=(40, 1, 16, 16)).astype(np.float32) for k in range(2)]
    drawn = [MosaicSampler(cells_of, (0.5, 0.3), (3, 5), 32, 7, phases=True).batch(s, 2) for s in range(6)]
    corners = {tuple(int(n) for n in np.argwhere(b["weight"][0, 0].numpy() > 0)[0]) for b in drawn}
    assert len(corners) > 3
    assert all(0 <= y < 32 and 0 <= x < 32 for y, x in corners)
    for batch in drawn:
        assert batch["weight"][0].sum() % 256 == 0
        assert batch["image"].shape[2] % 32 == batch["image"].shape[3] % 32 == 0


def test_tiles_of_one_cell_are_trained_on_under_their_class(tmp_path):
    tree = make_cell_recipe(tmp_path)
    mosaic = {**tree["mosaic"], "phases": True, "alone": 0.5, "alone_cells": 5, "merged": {"any": ["small", "large"]}}
    read = cell_recipe(tmp_path, mosaic=mosaic)
    job = MosaicJob(read, run_to_end(load_cells(read, tmp_path)), build_network(read.network).eval())
    lone = [b for b in (job.batch(step, 2) for step in range(12)) if len(b["image"]) == 5]
    assert 2 < len(lone) < 10
    assert all((b["numbers"].sum(1) == 1).all() and (b["weight"].flatten(1).sum(1) > 0).all() for b in lone)
    assert torch.equal(job.batch(3, 2)["image"], job.batch(3, 2)["image"])
    assert {"mean_average_precision", "mean_average_precision_of_cells", "score"} == set(job.validate(job.network))
    assert "mean class accuracy over any" in [m.name for m in job.metrics(job.network)]


def test_scales_threshold_and_smoothing_are_those_of_the_best_overlap(tiny):
    folder, read, path = tiny
    corpus = run_to_end(load_labelled_images(read, folder))
    network = load_model(str(path), "phenotype").network
    pairs, names = corpus.pairs["train"], ("negative", "positive")
    truths = [otsu_mask(p.image[0]) for p in pairs]
    maps = [class_maps(network, p) for p in pairs]

    def overlap(sums, threshold, smoothing=0.0):
        params = RegionParams(threshold, smoothing)
        return np.mean([mean_iou(foreground(m, params), t) for m, t in zip(sums, truths, strict=True)])

    plain = choose_settings(network, pairs, 0, names, per_class=False)
    assert (plain["map_scale_negative"], plain["map_scale_positive"]) == (1.0, 1.0)
    sums = [m.sum(0) for m in maps]
    assert overlap(sums, plain["threshold"]) == pytest.approx(max(overlap(sums, t) for t in THRESHOLDS), abs=1e-3)
    single = ImageJob(read.changed({"map_threshold": "single"}), corpus, network)
    assert single.default_params(network) == plain
    found = choose_settings(network, pairs, 0, names)
    assert ImageJob(read, corpus, network).default_params(network) == found
    assert found.keys() == read_card(path).default_params.keys()
    scales = np.array(map_scales(found, names))
    assert np.log(scales).sum() == pytest.approx(0, abs=1e-3)  # only their ratio counts
    scaled = [(m / scales[:, None, None]).sum(0) for m in maps]
    assert overlap(scaled, found["threshold"]) >= overlap(sums, plain["threshold"]) - 1e-3
    smoothed = {s: overlap(scaled, found["threshold"], s) for s in (0.8, 3.5)}
    assert overlap(scaled, found["threshold"], found["smoothing"]) >= max(smoothed.values()) - 1e-3


def test_maps_of_a_class_are_divided_by_its_scale(tiny, tmp_path):
    folder, read, path = tiny
    card = read_card(path)
    image = run_to_end(load_labelled_images(read, folder)).pairs["train"][0].image  # any picture of two channels
    pixels = np.clip(image * 20 + 60, 0, 255).astype(np.uint8)
    other = tmp_path / path.name
    scales = {"map_scale_negative": 4.0, "map_scale_positive": 0.5}
    other.write_text(card.model_copy(update={"default_params": {**card.default_params, **scales}}).model_dump_json())
    other.with_suffix(".safetensors").write_bytes(path.with_suffix(".safetensors").read_bytes())
    own, changed = (
        run_to_end(start("phenotype", pixels, model=str(p), axes="CYX", channels=(0, 1))).output("maps").array[:]
        for p in (path, other)
    )
    before = np.array(map_scales(card.default_params, ("negative", "positive")))
    assert own.max() > 0
    np.testing.assert_allclose(changed * np.array([4.0, 0.5])[:, None, None], own * before[:, None, None], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"crop_px": 80, "network": {"name": "mil_cnn", "arguments": {"stride0": 2}}}, "do not fit the network"),
        ({"split": {"by": "region", "train_rows": [[0, 50]]}}, "split by group"),
        ({"map_truth": "red"}, "no channel 'red'"),
        ({"mosaic": {"thresholds": {"negative": 0.5}}}, "'positive' has no threshold"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(tmp_path, changes, description):
    with pytest.raises(ParameterError, match=description):
        check_recipe(recipe(tmp_path, **changes))


def test_a_crop_larger_than_the_images_is_refused(tmp_path):
    read = recipe(tmp_path, crop_px=128)
    corpus = run_to_end(load_labelled_images(read, tmp_path))
    with pytest.raises(TrainingError, match="as large as a crop"):
        ImageJob(read, corpus, build_network(read.network))


def test_a_constant_channel_cannot_be_standardised(tmp_path):
    with pytest.raises(TrainingError, match="'DNA' is constant"):
        measured_input(recipe(tmp_path).input, [[np.arange(9.0).reshape(3, 3), np.ones((3, 3))]])
