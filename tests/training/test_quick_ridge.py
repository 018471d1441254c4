"""The quick answer is the ridge regression it says it is, and is kept where training does no better."""

import json

import numpy as np
import pytest
import torch

from tests_support import make_recipe
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import EpochProgress
from vitascope.engine.load_model import load_model
from vitascope.engine.openvino_backend import OpenVinoBackend
from vitascope.io.models.cards import read_card
from vitascope.networks.unet import UNet, enumerate_levels
from vitascope.recipes.recipe import parse_recipe
from vitascope.training.quick_ridge import PULLS, Moments, ridge_network
from vitascope.training.tasks.stain import run_training


@pytest.fixture
def network():
    torch.manual_seed(0)
    return UNet(width=0.25).eval()


def crops(network, count=4, side=48):
    """Crops whose stain is the network's own answer, read from a middle level, and noise."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        image = torch.randn(2, 1, side, side, generator=generator)
        with torch.no_grad():
            maps = network.maps(image)
        stain = torch.nn.functional.interpolate(maps[2].mean(1, keepdim=True), scale_factor=4.0)
        noise = 0.01 * torch.randn(stain.shape, generator=generator)
        yield {"image": image, "target": stain + noise, "weight": torch.ones(2, 1, side, side)}


def test_moments_give_the_ridge_regression_of_the_rows(network):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6)) * [1, 10, 0.1, 1, 1, 0] + 3
    y = x[:, :2] @ [[0.5], [-0.2]] + rng.normal(size=(500, 1))
    moments = Moments()
    moments.add(torch.tensor(np.hstack([x, y])[:200]))
    more = Moments()
    more.add(torch.tensor(np.hstack([x, y])[200:]))
    found = (moments + more).ridge(6, 0.3).numpy()
    spread = np.where(x.std(0) > 1e-6, x.std(0), 1)
    z = (x - x.mean(0)) / spread
    wanted = np.linalg.solve(z.T @ z / 500 + 0.3 * np.eye(6), z.T @ (y - y.mean()) / 500) / spread[:, None]
    np.testing.assert_allclose(found[:-1], wanted, atol=1e-9)
    np.testing.assert_allclose(found[-1], y.mean(0) - x.mean(0) @ wanted)
    whole = moments + more
    residual = y - x @ found[:-1] - found[-1]
    assert whole.error(torch.tensor(found)) == pytest.approx(float((residual**2).sum()))


def test_what_any_level_knows_is_read_and_the_start_is_not_changed(network):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    quick = ridge_network(network, crops(network))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    new = next(crops(network, 1))
    with torch.no_grad():
        answer = quick(new["image"]).image
        own = network(new["image"]).image
    assert np.corrcoef(answer.flatten(), new["target"].flatten())[0, 1] > 0.99
    assert np.corrcoef(own.flatten(), new["target"].flatten())[0, 1] < 0.9


def test_columns_are_the_features_of_all_levels_at_a_pixel(network):
    quick = ridge_network(network, crops(network))
    x = torch.randn(1, 1, 32, 48)
    with torch.no_grad():
        maps = quick.maps(x)
        assert [level for level, _ in enumerate_levels(maps)] == [0, 1, 2, 3, 4, 3, 2, 1, 0]
        columns = torch.cat(
            [m.repeat_interleave(2**n, 2).repeat_interleave(2**n, 3) for n, m in enumerate_levels(maps)], 1
        )
        weights = torch.cat([r.weight[:, :, 0, 0] for r in (*quick.readers, quick.last)], 1)
        wanted = torch.einsum("kf,bfhw->bkhw", weights, columns) + quick.last.bias[:, None, None]
        answer = quick(x).image
    assert torch.allclose(answer, wanted, atol=1e-4)
    compiled = OpenVinoBackend(quick, 1, "f32", 1)
    assert np.allclose(compiled(x[0].numpy())[0], answer[0].numpy(), atol=1e-4)


def test_a_strong_pull_is_chosen_where_there_is_nothing_to_learn(network):
    def noise():
        generator = torch.Generator().manual_seed(2)
        for _ in range(4):
            image, stain = (torch.randn(2, 1, 32, 32, generator=generator) for _ in range(2))
            yield {"image": image, "target": stain, "weight": torch.ones(2, 1, 32, 32)}

    quick = ridge_network(network, noise())
    with torch.no_grad():
        assert float(quick(torch.randn(2, 1, 32, 32)).image.std()) < 0.5
    assert max(PULLS) == 0.1


def test_it_is_told_from_the_first_step_and_kept_where_no_epoch_does_better(tmp_path):
    short = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32"}
    tree = make_recipe(tmp_path, training=short)
    run_to_end(run_training(parse_recipe(tree, "recipe"), tmp_path, tmp_path / "models"))
    tree |= {"id": "tuned", "training": {**short, "learning_rate": 1e-9}}
    start = str(tmp_path / "models" / "tiny.json")
    told = []
    steps = run_training(parse_recipe(tree, "recipe"), tmp_path, tmp_path / "models", start)
    try:
        while True:
            progress = next(steps)
            if isinstance(progress, EpochProgress):
                told.append(dict(progress.quick))
    except StopIteration as stop:
        path = stop.value
    card = read_card(path)
    assert told[0] == card.training["quick"] == told[-1]
    assert card.training["quick"]["score"] > card.training["start"]["score"]
    assert card.training["validated"] == card.training["quick"]
    assert card.architecture.arguments["columns"] is True
    assert any("ridge" in note for note in card.training["notes"])
    model = load_model(str(path), "stain")
    assert isinstance(model.network, UNet)
    assert model.network.columns
    assert json.loads(card.recipe)["network"]["arguments"]["columns"] is True
