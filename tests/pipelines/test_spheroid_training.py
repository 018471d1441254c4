import numpy as np
import pytest
import tifffile
import torch

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.steps import finish
from vitascope.engine.load import load_files
from vitascope.engine.train import train
from vitascope.io.models import read_card
from vitascope.models.unet3d import UNet3d
from vitascope.pipelines.spheroid_data import compose, load_volumes, unlabelled_cells
from vitascope.pipelines.spheroid_training import classify, prepare, run_training, viability_loss
from vitascope.simulate.spheroids import BACKGROUND, DEAD, LIVE, UNLABELLED
from vitascope.tasks.recipe import ImagePair, VolumeTraining, parse_recipe


def make_recipe(**changes):
    recipe = {
        "task": "spheroid",
        "id": "tiny",
        "title": "Tiny",
        "summary": "Simulated",
        "distrust": "Always.",
        "licence": "CC0-1.0",
        "credit": "nobody",
        "split": {"by": "group"},
        "input": {
            "modality": "fluorescence",
            "channels": ["live", "dead"],
            "spatial_dims": 3,
            "pixel_size_um": 2.0,
            "z_step_um": 4.0,
            "normalisation": {"method": "zscore", "low": 2, "high": 99.8},
        },
        "targets": [{"name": "live"}, {"name": "dead"}, {"name": "density"}],
        "network": {"name": "unet3d", "arguments": {"in_channels": 2, "out_channels": 3, "width": 2}},
        "volumes": {"simulated": [2, 1, 1], "diameters_um": [40, 50], "crop_planes": 4},
        "loss": {"log_dice": 0.5, "focal": 0.5, "density": 0.1, "viability": 0.1},
        "crop_px": 32,
        "training": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32", "learning_rate": 0.01},
    }
    return parse_recipe({**recipe, **changes}, "tiny")


def test_a_recipe_makes_a_model_that_loads(tmp_path):
    card_path = finish(run_training(make_recipe(), tmp_path, tmp_path, None, "cpu"))
    card = read_card(card_path)
    loaded = load_files(card, tmp_path / card.weights.file)
    assert {m.name for m in card.metrics} >= {"dice live", "recall dead"}
    assert "2 simulated" in card.split
    with torch.no_grad():
        assert loaded.network(torch.zeros(1, 2, 4, 8, 8)).image.shape == (1, 3, 4, 8, 8)


def test_training_lowers_the_loss(tmp_path):
    recipe = make_recipe(
        training={"epochs": 1, "steps_per_epoch": 30, "batch_size": 2, "precision": "f32", "learning_rate": 0.01}
    )
    network = UNet3d(width=2)
    job = finish(prepare(recipe, tmp_path, network))
    batch = job.batch(1000, 4)
    with torch.no_grad():
        before = job.loss(network.train(), batch).item()
    trained = finish(train(job, recipe.training)).network
    with torch.no_grad():
        assert job.loss(trained.train(), batch).item() < 0.9 * before


def test_the_papers_form_has_no_dead_class(tmp_path):
    recipe = make_recipe(
        targets=[{"name": "live"}, {"name": "density"}],
        network={"name": "unet3d", "arguments": {"in_channels": 2, "out_channels": 2, "width": 2}},
    )
    volumes = finish(load_volumes(recipe, tmp_path))
    assert set(np.unique(volumes["train"][0].classes)) <= {BACKGROUND, LIVE}


def test_parts_share_no_spheroid(tmp_path):
    volumes = finish(load_volumes(make_recipe(), tmp_path))
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
    (volume,) = finish(load_volumes(painted("painted.ome.tif"), tmp_path))["train"]
    np.testing.assert_array_equal(volume.classes, classes)
    assert volume.density is None
    write_stack(folder, "wrong.ome.tif", classes[:, :30], "ZYX")
    with pytest.raises(InputError, match="shape"):
        finish(load_volumes(painted("wrong.ome.tif"), tmp_path))


def test_two_colours_are_laid_into_one_volume():
    rng = np.random.default_rng(0)
    green, red = rng.random((5, 20, 24)), rng.random((7, 18, 30))
    live, dead = np.zeros(green.shape, int), np.zeros(red.shape, int)
    live[1:3, 2:8, 2:8], dead[2:5, 3:9, 8:12] = 4, 7
    sources = [ImagePair(image=n, targets={c: n}, group=n) for n, c in (("g", "live"), ("r", "dead"))]
    stack = compose((sources[0], green, live), (sources[1], red, dead), VolumeTraining())
    assert stack.classes.shape == (5, 18, 24)
    both = (live[:, 1:19] > 0) & (dead[1:6, :, 3:27] > 0)
    np.testing.assert_array_equal(stack.classes == UNLABELLED, both)
    np.testing.assert_array_equal(stack.classes == LIVE, (live[:, 1:19] > 0) & ~both)
    np.testing.assert_array_equal(stack.classes == DEAD, (dead[1:6, :, 3:27] > 0) & ~both)
    np.testing.assert_array_equal(stack.channels[0], green[:, 1:19])


def test_what_is_as_bright_as_a_label_and_has_none_is_found():
    image = np.zeros((6, 30, 30))
    image[1:5, 3:10, 3:10], image[1:5, 18:26, 18:26] = 100, 100
    truth = np.zeros(image.shape, int)
    truth[2:4, 4:9, 4:9] = 1
    found = unlabelled_cells(image, truth)
    assert found[2, 22, 22]
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
        finish(prepare(make_recipe(**changes), tmp_path, UNet3d(width=1)))
