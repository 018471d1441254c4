"""Labelled stacks, each read by a twin of ``spheroid-live-dead`` that was trained without it, beside Otsu's masks.

``python -m tests.benchmarks stacks train FOLDER`` makes the start (simulated spheroids alone) and three twins by the bundled
recipe, each without a third of the stacks: about 6 minutes of one core. ``stacks FOLDER`` prints the bars. ``stacks FOLDER
write`` puts what the twins tell of compositions, both sources left out, into the bundled card: figures and intervals.
"""

from __future__ import annotations

import dataclasses
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
from skimage.filters import threshold_otsu
from tests.benchmarks.machine import describe
from tests.benchmarks.spheroid import interval, near_labels

from vitascope.core.card import Metric, ModelCard
from vitascope.core.errors import VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import find_model, write_card
from vitascope.ops.intensity.median import median_filter
from vitascope.pipelines.spheroid import run
from vitascope.recipes.recipe import Recipe, read_recipe
from vitascope.simulate.spheroids import DEAD, LIVE
from vitascope.stats.conformal import INTERVAL_LEVEL, calibrate
from vitascope.stats.conformal import interval as ends
from vitascope.stats.overlap import count_overlap
from vitascope.tasks.spheroid import SPEC
from vitascope.training.data.spheroid import OneColour, Stack, compose, read_singles, without_dead
from vitascope.training.tasks.spheroid import run_training

MODEL, START = "spheroid-live-dead", "spheroid-simulated"
RECIPES = BUNDLED_MODELS / "recipes"
FOLDS = (
    ("EGFP_d0_108", "mCherry_d4_1", "embryo_8"),
    ("EGFP_d0_39", "Hoechst_d4_120", "embryo_16"),
    ("mCherry_d0_16", "Hoechst_d4_39", "EGFP_d4_112", "stardist"),
)
"""Sources that a twin is trained without. Any two of a fold make a composition that its twin knows neither part of."""

BETTER, MEAN_DICE, INSIDE = 8, 0.70, 0.85
"""Bars: stacks better than Otsu, mean Dice near labels of compositions, share of truths inside their intervals."""


def twin_id(number: int) -> str:
    return f"spheroid-twin-{number}"


def twin_recipe(number: int) -> Recipe:
    """The bundled recipe without the stacks of a fold."""
    recipe = read_recipe(RECIPES / f"{MODEL}.yaml")
    data = tuple(
        d.model_copy(update={"pairs": tuple(p for p in d.listed if p.group not in FOLDS[number])}) for d in recipe.data
    )
    volumes = recipe.volumes.model_copy(update={"simulated": (recipe.volumes.simulated[0], 0, 0)})
    kept = tuple(d for d in data if d.pairs)
    return recipe.model_copy(update={"id": twin_id(number), "data": kept, "volumes": volumes, "start_from": ""})


def train(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    start = folder / f"{START}.json"
    if not start.is_file():
        run_to_end(run_training(read_recipe(RECIPES / f"{START}.yaml"), RECIPES, folder, device="cpu"))
        print("start made", flush=True)
    for number in range(len(FOLDS)):
        if not (folder / f"{twin_id(number)}.json").is_file():
            run_to_end(run_training(twin_recipe(number), RECIPES, folder, str(start), device="cpu"))
            print(f"twin {number} made", flush=True)


def main(arguments: list[str]) -> None:
    """Arguments: ``train FOLDER``, or ``FOLDER [write]``."""
    print(describe())
    if not arguments:
        print("skipped: name the folder of the twins, see the docstring")
    elif arguments[0] == "train":
        train(Path(arguments[1]))
