"""The bright perinuclear part (Golgi) by every loss and preparation of section 3.4 of the thesis: one table.

``golgi_losses [STEPS]`` trains one network of half the width for each row (150 steps by default, 15 s of one core each) on
rows 0-543 of the five-stain field, and reads rows 640-809: correlation inside cells, share of black crops, spots found.
All rows see the same crops, in the same order, from the same start.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe
from tests.benchmarks.organelles import cells

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.ops.objects.golgi import clip_level, find_golgi
from vitascope.recipes.recipe import Recipe, parse_recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.training.loop.loop import train
from vitascope.training.tasks.stain import StainJob, prepare, torch_predict

NUCLEUS_PX = 40.0
STEPS = 150
WIDTH = 0.5
TRAINED_PX = 128
CROP_PX = 85
BLACK = 0.05
"""A crop whose brightest predicted pixel stays below this shows nothing."""

PREPARATIONS = {
    "raw": {},
    "rolling ball + clip": {"rolling_ball_px": NUCLEUS_PX / 2, "clip_percentile": 90.0},
    "clip alone": {"clip_percentile": 90.0},
}
LOSSES = {
    "mse": {"mse": 1.0},
    "pcc": {"pcc": 1.0},
    "asymmetry 1": {"asymmetric_under": 1.0},
    "asymmetry 2": {"asymmetric_over": 1.0},
    "asymmetry 3": {"asymmetric_strong": 1.0},
    "mse + brightness": {"mse": 1.0, "brightness_ratio": 1.0},
    "mse + brightness reversed": {"mse": 1.0, "brightness_ratio_reversed": 1.0},
    "mse x prediction": {"mse_predicted": 1.0},
    "mse x truth": {"mse_bright": 1.0},
    "mse x (1 - truth)": {"mse_dark": 1.0},
    "approach 5": {"mse_bright": 1.0, "brightness_ratio_reversed": 0.1},
    "mse + sobel": {"mse": 1.0, "gradient": 0.1},
}


def arm(preparation: dict[str, float], loss: dict[str, float]) -> Recipe:
    """Return the twin's recipe for the one target, prepared and learnt otherwise."""
    tree = read_recipe(RECIPES / "organelles-brightfield-twin.yaml").model_dump(mode="json")
    tree["targets"] = [t for t in tree["targets"] if t["name"] == "agp"]
    tree["network"]["arguments"] |= {"out_channels": 1, "width": WIDTH}
    tree["crop_px"] = TRAINED_PX
    tree["target_preparation"] |= preparation
    return parse_recipe({**tree, "loss": loss}, "golgi")


def fit(recipe: Recipe, steps: int) -> tuple[StainJob, torch.nn.Module, str]:
    network = build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(0))
    job = run_to_end(prepare(recipe, RECIPES, network))
    how = {**recipe.training.model_dump(), "epochs": 1, "steps_per_epoch": steps, "warmup_steps": 20}
    trained = run_to_end(train(job, TrainingParams(**how), precision="bf16"))
    return job, trained.network, trained.stopped


def measure(job: StainJob, network: torch.nn.Module, inside: np.ndarray) -> str:
    (pair,) = job._corpus.test
    (area,) = pair.areas
    rows = slice(area.top, area.bottom)
    predicted, truth = torch_predict(network, pair.image)[0][rows], pair.target[0][rows]
    here = inside[rows]
    found = pcc(np.where(here, truth, np.nan), predicted)
    whole = predicted[:, : predicted.shape[1] // CROP_PX * CROP_PX][: predicted.shape[0] // CROP_PX * CROP_PX]
    crops = whole.reshape(whole.shape[0] // CROP_PX, CROP_PX, -1, CROP_PX).max((1, 3))
    spots = []
    for picture in (truth, predicted):
        level = clip_level([(picture, here)])
        spots.append(int(find_golgi(picture.astype(np.float32), here, level, NUCLEUS_PX).spots.max()))
    told = "  -  " if math.isnan(found) else f"{found:.3f}"
    return f"PCC inside cells {told}, black crops {np.mean(crops < BLACK):.2f}, spots {spots[1]} of {spots[0]}"


def main(arguments: list[str]) -> None:
    print(describe())
    steps = int(arguments[0]) if arguments else STEPS
    try:
        inside = cells(read_recipe(RECIPES / "organelles-brightfield-twin.yaml"))
        arms = [(p, "pcc") for p in PREPARATIONS] + [("rolling ball + clip", loss) for loss in LOSSES if loss != "pcc"]
        for preparation, loss in arms:
            job, network, stopped = fit(arm(PREPARATIONS[preparation], LOSSES[loss]), steps)
            ended = "" if stopped == "finished" else f" ({stopped})"
            print(f"{preparation:20} {loss:26} {measure(job, network, inside)}{ended}", flush=True)
    except ReaderError as error:
        print(f"skipped: {error}")
