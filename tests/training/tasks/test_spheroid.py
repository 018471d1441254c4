import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch

from spheroid_support import make_recipe
from vitascope.core.errors import InputError, ParameterError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import load_files
from vitascope.io.models.cards import read_card
from vitascope.networks.unet import initialise
from vitascope.networks.unet3d import UNet3d
from vitascope.recipes.recipe import ImagePair
from vitascope.simulate.spheroids import BACKGROUND, DEAD, LIVE, UNLABELLED
from vitascope.training.data.spheroid import (
    FIRST_SEED,
    OneColour,
    compose,
    load_volumes,
    make_volume,
    read_stacks,
    simulated_stack,
    unlabelled_cells,
    without_dead,
)
from vitascope.training.loop.loop import train
from vitascope.training.losses.volumes import density_loss
from vitascope.training.tasks import spheroid as spheroid_training
from vitascope.training.tasks.spheroid import (
    SpheroidJob,
    classify,
    prepare,
    run_training,
    segment_whole,
    viabilities,
    viability_loss,
)


def test_a_recipe_makes_a_model_that_loads(tmp_path):
    card_path = run_to_end(run_training(make_recipe(), tmp_path, tmp_path, None, "cpu"))
    card = read_card(card_path)
    loaded = load_files(card, tmp_path / card.weights.file)
    assert {m.name for m in card.metrics} >= {"dice live", "recall dead"}
    assert "2 simulated" in card.split
    assert card.domain is not None
    assert card.intervals is None  # one validation volume is too few
    assert all(name.startswith("outline_") for name in card.default_params)
    with torch.no_grad():
        assert loaded.network(torch.zeros(1, 2, 4, 8, 8)).image.shape == (1, 3, 4, 8, 8)


def test_the_interval_is_the_conformal_one_of_the_validation_volumes(monkeypatch):
    values = [(50.0, 50.0 + error) for error in (1, -2, 3, -4, 5, -6, 7, -8, 9)] + [(np.nan, 40.0)]
    kept = [SimpleNamespace(group=str(i), kind="simulated", numbers=v) for i, v in enumerate(values)]
    monkeypatch.setattr(spheroid_training, "viabilities", lambda network, volume, weights: volume.numbers)
    job = SimpleNamespace(targets=(1, 2, 3), volumes={"validation": kept}, default_params=lambda network: {})
    found = SpheroidJob.intervals(job, None)
    assert (found.half_width, found.groups, found.level) == (9.0, 9, 0.9)
    job.volumes["validation"] = kept[1:]
    assert SpheroidJob.intervals(job, None) is None


def test_what_no_relu_follows_starts_flat():
    """He normal weights there would answer in the tens, where softplus has no slope: a branch that never learns."""
    network = UNet3d(width=4)
    initialise(network, torch.Generator().manual_seed(0))
    found = network.train().stages(torch.randn(1, 2, 4, 16, 16))
    assert all(torch.equal(y, torch.zeros_like(y)) for y in found.logits)
    torch.testing.assert_close(found.density, torch.full_like(found.density, float(np.log(2))))


def test_the_density_is_learnt(tmp_path):
    network = UNet3d(width=2)
    initialise(network, torch.Generator().manual_seed(1))
    batch = run_to_end(prepare(make_recipe(), tmp_path, network)).batch(0, 2)
    optimizer = torch.optim.AdamW(network.train().parameters(), 3e-3)
    for _ in range(120):
        loss = density_loss(network.stages(batch["image"]).density, batch["density"], batch["density_weight"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * batch["density"].var().item()


def test_training_lowers_the_loss(tmp_path):
    recipe = make_recipe(
        training={"epochs": 1, "steps_per_epoch": 30, "batch_size": 2, "precision": "f32", "learning_rate": 0.01}
    )
    network = UNet3d(width=2)
    job = run_to_end(prepare(recipe, tmp_path, network))
    batch = job.batch(1000, 4)
    with torch.no_grad():
        before = job.loss(network.train(), batch).item()
    trained = run_to_end(train(job, recipe.training)).network
    with torch.no_grad():
        assert job.loss(trained.train(), batch).item() < 0.9 * before


def test_the_papers_form_has_no_dead_class(tmp_path):
    recipe = make_recipe(
        targets=[{"name": "live"}, {"name": "density"}],
        network={"name": "unet3d", "arguments": {"in_channels": 2, "out_channels": 2, "width": 2}},
    )
    volumes = run_to_end(load_volumes(recipe, tmp_path))
    assert set(np.unique(volumes["train"][0].classes)) <= {BACKGROUND, LIVE}


def test_parts_share_no_spheroid(tmp_path):
    volumes = run_to_end(load_volumes(make_recipe(), tmp_path))
    groups = [v.group for part in volumes.values() for v in part]
    assert len(groups) == len(set(groups)) == 4


def write_stack(folder, name, array, axes):
    metadata = {"axes": axes, "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0, "PhysicalSizeZ": 4.0}
    metadata |= {f"PhysicalSize{a}Unit": "µm" for a in "XYZ"}
    if axes[0] == "C":
        metadata["Channel"] = {"Name": ["live", "dead"]}
    tifffile.imwrite(folder / name, array, ome=True, metadata=metadata)


def painted(classes):
    return make_recipe(
        volumes={"crop_planes": 4},
        data=[
            {
                "name": "own",
                "url": "file",
                "licence": "CC0-1.0",
                "credit": "nobody",
                "folder": "data",
                "pairs": [{"image": "a.ome.tif", "targets": {"classes": classes}}],
            }
        ],
    )


def test_a_few_painted_planes_are_enough_and_the_rest_is_ignored(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    classes = np.zeros((6, 40, 40), np.uint8)
    classes[3] = 1
    classes[3, 10:20, 10:20] = 2
    write_stack(folder, "a.ome.tif", rng.integers(0, 500, (2, 6, 40, 40)).astype(np.uint16), "CZYX")
    write_stack(folder, "painted.ome.tif", classes, "ZYX")
    (volume,) = run_to_end(load_volumes(painted("painted.ome.tif"), tmp_path))["train"]
    np.testing.assert_array_equal(volume.classes, classes)
    assert volume.density is None
    write_stack(folder, "wrong.ome.tif", classes[:, :30], "ZYX")
    with pytest.raises(InputError, match="shape"):
        run_to_end(load_volumes(painted("wrong.ome.tif"), tmp_path))


def cubes(folder):
    """A stack of two painted cubes, and its recipe."""
    folder.mkdir()
    classes = np.ones((6, 64, 40), np.uint8)
    classes[2:4, 4:28, 10:30], classes[2:4, 54:62, 10:30] = 2, 3
    image = np.random.default_rng(0).integers(0, 500, (2, *classes.shape)).astype(np.uint16)
    write_stack(folder, "a.ome.tif", image, "CZYX")
    write_stack(folder, "painted.ome.tif", classes, "ZYX")
    return classes


def by_rows(**rows):
    return painted("painted.ome.tif").changed({"split": {"by": "region", **rows}})


def test_rows_of_a_volume_are_cut_out_and_the_band_between_is_left_out(tmp_path):
    classes = cubes(tmp_path / "data")
    recipe = by_rows(train_rows=[[0, 30]], validation_rows=[[54, 58]], test_rows=[[58, 64]])
    volumes = run_to_end(load_volumes(recipe, tmp_path))
    for part, rows in (("train", slice(0, 30)), ("validation", slice(54, 58)), ("test", slice(58, 64))):
        (volume,) = volumes[part]
        np.testing.assert_array_equal(volume.classes, classes[:, rows])
    job = run_to_end(prepare(recipe, tmp_path, UNet3d(width=1)))
    assert job.description.startswith(
        "Rows of volumes: trained on rows 0-29; validated on rows 54-57; tested on rows 58-63."
    )
    assert "trained on and kept apart" in job.notes[0]
    narrow = by_rows(train_rows=[[0, 40]], test_rows=[[54, 64]])
    assert "only 14 rows lie between" in run_to_end(prepare(narrow, tmp_path, UNet3d(width=1))).description


@pytest.mark.fault("F01")
def test_splits_of_volumes_that_cannot_be_are_refused(tmp_path):
    classes = cubes(tmp_path / "data")
    with pytest.raises(TrainingError, match="overlap or touch training rows 0-39"):
        run_to_end(prepare(by_rows(train_rows=[[0, 40]], test_rows=[[30, 64]]), tmp_path, UNet3d(width=1)))
    with pytest.raises(TrainingError, match="No volume has rows 90-99"):
        run_to_end(load_volumes(by_rows(train_rows=[[0, 40]], test_rows=[[90, 100]]), tmp_path))
    with pytest.raises(TrainingError, match="There is no group 'b'"):
        run_to_end(load_volumes(painted("painted.ome.tif").changed({"split.test_groups": ["b"]}), tmp_path))
    write_stack(tmp_path / "data", "painted.ome.tif", (classes > 1).astype(np.uint8), "ZYX")
    with pytest.raises(TrainingError, match=r"Less than two classes are labelled .* of background, 0 voxels of live"):
        run_to_end(load_volumes(painted("painted.ome.tif"), tmp_path))
    write_stack(tmp_path / "data", "painted.ome.tif", 0 * classes, "ZYX")
    with pytest.raises(InputError, match="Nothing is painted"):
        run_to_end(load_volumes(painted("painted.ome.tif"), tmp_path))


def test_two_colours_are_laid_into_one_volume():
    rng = np.random.default_rng(0)
    green, red = rng.random((5, 20, 24)), rng.random((7, 18, 30))
    live, dead = np.zeros(green.shape, int), np.zeros(red.shape, int)
    live[1:3, 2:8, 2:8], dead[2:5, 3:9, 8:12] = 4, 7
    sources = [ImagePair(image=n, targets={c: n}, group=n) for n, c in (("g", "live"), ("r", "dead"))]
    singles = [
        OneColour(source, image, cells.astype(np.int32), None, sparse=False)
        for source, image, cells in zip(sources, (green, red), (live, dead), strict=True)
    ]
    stack = compose(*singles)
    assert stack.classes.shape == (5, 18, 24)
    both = (live[:, 1:19] > 0) & (dead[1:6, :, 3:27] > 0)
    np.testing.assert_array_equal(stack.classes == UNLABELLED, both)
    np.testing.assert_array_equal(stack.classes == LIVE, (live[:, 1:19] > 0) & ~both)
    np.testing.assert_array_equal(stack.classes == DEAD, (dead[1:6, :, 3:27] > 0) & ~both)
    np.testing.assert_array_equal(stack.channels[0], green[:, 1:19])


def a_source(name, colour, voxel, cells):
    rng = np.random.default_rng(len(name))
    pair = ImagePair(image=name, targets={colour: name}, group=name)
    return OneColour(pair, rng.random(cells.shape) + 5.0 * (cells > 0), cells.astype(np.int32), voxel, sparse=False)


def test_a_dead_stack_of_other_voxels_is_brought_to_those_of_the_live_one():
    cells = np.zeros((8, 16, 16), int)
    cells[2:6, 4:12, 4:12] = 3
    live = a_source("live", "live", (2.0, 1.0, 1.0), np.zeros((16, 32, 32), int))
    dead = a_source("dead", "dead", (4.0, 2.0, 2.0), cells)
    stack = compose(live, dead)
    assert stack.classes.shape == (16, 32, 32)
    assert (stack.classes == DEAD).sum() == 8 * (cells > 0).sum()
    assert stack.channels[1][stack.classes == DEAD].mean() > 4
    assert stack.voxel_zyx_um == (2.0, 1.0, 1.0)


def test_a_stack_of_one_dye_has_a_dark_dead_one_and_no_dead_cells():
    cells = np.zeros((6, 16, 16), int)
    cells[2:4, 4:12, 4:12] = 3
    stack = without_dead(a_source("live", "live", None, cells))
    assert not stack.channels[1].any()
    assert set(np.unique(stack.classes)) == {BACKGROUND, LIVE}
    assert stack.kind == "one dye"


def test_each_live_stack_is_laid_with_as_many_dead_ones_as_asked_and_once_alone(tmp_path):
    for name in "abcd":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((5, 16, 16), np.float32), metadata={"axes": "ZYX"})
        tifffile.imwrite(tmp_path / f"m_{name}.tif", np.full((5, 16, 16), 255, np.uint8), metadata={"axes": "ZYX"})
    pairs = [{"image": f"{n}.tif", "targets": {c: f"m_{n}.tif"}, "group": n} for n in "abcd" for c in ("live", "dead")]
    data = {"name": "d", "url": "u", "licence": "MIT", "credit": "c", "folder": ".", "pairs": pairs}
    data["sha256"] = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.glob("*.tif")}
    volumes = {"simulated": [0, 0, 0], "crop_planes": 4, "dead_each": 2, "alone": True}
    stacks = run_to_end(read_stacks(make_recipe(data=[data], volumes=volumes), tmp_path))
    assert [s.kind for s in stacks] == ["composed", "composed", "one dye"] * 4
    assert {s.group for s in stacks} == set("abcd")


def test_stacks_are_composed_with_all_but_themselves_and_what_is_kept_apart(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abc":
        tifffile.imwrite(folder / f"{name}.tif", np.zeros((5, 16, 16), np.float32), metadata={"axes": "ZYX"})
        tifffile.imwrite(folder / f"mask_{name}.tif", np.ones((5, 16, 16), np.int32), metadata={"axes": "ZYX"})
    pairs = [
        {"image": f"{n}.tif", "targets": {colour: f"mask_{n}.tif"}, "group": n}
        for colour in ("live", "dead")
        for n in "abc"
    ]
    data = {"name": "own", "url": "file", "licence": "CC0-1.0", "credit": "nobody", "folder": "data", "pairs": pairs}
    recipe = make_recipe(
        data=[data],
        volumes={"crop_planes": 4, "sparse": ["mask_b.tif"], "z_step_um": 4, "pixel_size_um": 2},
        split={"by": "group", "test_groups": ["a"]},
    )
    stacks = run_to_end(read_stacks(recipe, tmp_path))
    assert [s.group for s in stacks] == ["a", "a", "b", "c"]  # a with b and c; b with c; c with b
    assert [s.cells is None for s in stacks] == [False, False, True, False]


def test_of_large_simulated_volumes_the_middle_column_is_kept(tmp_path):
    whole = run_to_end(load_volumes(make_recipe(), tmp_path))["train"]
    kept = {"simulated": [2, 1, 1], "diameters_um": [40, 50], "crop_planes": 4, "keep_px": 32}
    columns = run_to_end(load_volumes(make_recipe(volumes=kept), tmp_path))["train"]
    for all_of_it, column in zip(whole, columns, strict=True):
        start = [(n - 32) // 2 for n in all_of_it.classes.shape[1:]]
        where = (slice(None), *(slice(a, a + 32) for a in start))
        np.testing.assert_array_equal(column.classes, all_of_it.classes[where])
        np.testing.assert_array_equal(column.image, all_of_it.image[(slice(None), *where)])


def test_fields_within_a_spheroid_are_cut_out_before_they_are_normalised():
    recipe = make_recipe(volumes={"simulated": [1, 0, 0], "diameters_um": [140, 150], "crop_planes": 4, "fields": 1.0})
    whole, field = (
        simulated_stack(recipe.changed({"volumes.fields": share}), FIRST_SEED["train"]) for share in (0.0, 1.0)
    )
    assert 2 * field.classes.size < whole.classes.size
    assert (field.classes == 2).any()
    volume = run_to_end(make_volume(field, recipe))
    assert volume.classes.shape == field.classes.shape
    np.testing.assert_allclose(volume.image.mean((1, 2, 3)), 0, atol=1e-2)
    assert np.isin(field.channels[0], whole.channels[0]).all()


def test_the_viability_of_a_volume_is_counted_over_labelled_voxels(tmp_path, monkeypatch):
    volume = run_to_end(load_volumes(make_recipe(), tmp_path))["train"][0]
    network = UNet3d(width=1).eval()
    found = segment_whole(network, volume)
    assert found.shape == volume.classes.shape
    monkeypatch.setattr(spheroid_training, "segment_whole", lambda network, volume, weights: np.full(found.shape, 2))
    true, seen = viabilities(network, volume)
    live, dead = ((volume.classes == k).sum() for k in (2, 3))
    assert true == pytest.approx(100 * live / (live + dead))
    assert seen == 100.0


def test_what_is_as_bright_as_a_label_and_has_none_is_found():
    image = np.zeros((6, 30, 30))
    image[1:5, 3:10, 3:10], image[1:5, 18:26, 18:26] = 100, 100
    truth = np.zeros(image.shape, int)
    truth[2:4, 4:9, 4:9] = 1
    found = unlabelled_cells(image, truth)
    assert found[2, 22, 22]
    assert not found[2, 3, 5]  # the rim of a labelled cell is background
    assert not found[:, 12:16].any()
    assert not found[truth > 0].any()


def test_classes_are_the_likeliest():
    image = torch.tensor([[0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [9.0, 9.0, 9.0]])[None, :, :, None, None]
    assert classify(image).ravel().tolist() == [1, 2, 3]


def test_the_viability_of_a_perfect_segmentation_is_the_quotient():
    truth = torch.ones(1, 8, 12, 12, dtype=torch.int64)
    truth[:, :, :6], truth[:, :, 6:9] = 2, 3
    loss = viability_loss(UNet3d(width=1), (truth == 2).float(), truth)
    assert loss.item() < 1e-3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"volumes": None, "data": []}, "names data"),
        ({"split": {"by": "region", "train_rows": [[0, 5]]}}, "group"),
        ({"loss": {"pcc": 1.0}}, "no loss"),
    ],
)
def test_recipes_that_cannot_be_are_refused(tmp_path, changes, told):
    with pytest.raises((InputError, ParameterError), match=told):
        run_to_end(prepare(make_recipe(**changes), tmp_path, UNet3d(width=1)))
