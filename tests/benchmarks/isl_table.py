"""Start, optimiser, width and number of crops on the ISL field, three seeds, all by one short schedule.

``isl_table`` prints the table of the arms in results/isl_table.json; ``isl_table ARM SEED [ARM SEED …]`` trains those
that are not there yet (one of width 1 takes a minute of one core), ``isl_table --arms`` names them. Trained on
rows 0-511 of three planes of phase contrast, validated on rows 528-623 of the middle one, read at the end on rows
640-767. Cf. Pankova 2022 (seed 004), Fig. 8 (start), 9 (optimisers), 12 (crops), 15 and 17 (width).
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.benchmarks.isl import RECIPES, SEEDS
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import Recipe, parse_recipe, read_recipe
from vitascope.training.data.stain import Corpus, load_corpus
from vitascope.training.loop.loop import train
from vitascope.training.samplers.crops import Area, Pair
from vitascope.training.tasks.stain import StainJob, compare, correlation, torch_predict

RESULTS = Path(__file__).parent / "results" / "isl_table.json"
TRAINED, VALIDATED, READ = (0, 512), (528, 624), (640, 768)
MIDDLE = 1
CONTEXT_PX = 64
"""Rows on either side that the network sees of a picture it is read on."""
CROP_PX = 256
"""Side of the crops that are counted, as in the thesis; the field's training rows hold eight."""
DRAWN_PX = 64
SCHEDULE = {
    "epochs": 10, "steps_per_epoch": 100, "batch_size": 4, "weight_decay": 0.0, "schedule": "cosine", "warmup_steps": 50,
    "average_decay": 0.98, "bn_stats_steps": 10,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Arm:
    """What differs from Adam at 0.001 from He's start, width 1, all crops that hold nuclei, the recipe's loss."""

    optimizer: str = "adam"
    learning_rate: float = 0.001
    start: str = "he"
    width: int = 1
    crops: int | None = None
    loss: str = "pcc_image"
    nuclei: float = 0.05
    """Least share of a crop that nuclei fill, half a nucleus; four of five crops of 64 px hold less otherwise."""


ARMS = {
    "adam": Arm(),
    "default-start": Arm(start="default"),
    "adam-0.0001": Arm(learning_rate=0.0001),
    "adadelta": Arm(optimizer="adadelta", learning_rate=1.0),
    "sgd": Arm(optimizer="sgd", learning_rate=0.01),
    "sgd-0.1": Arm(optimizer="sgd", learning_rate=0.1),
    "crops-1": Arm(crops=1),
    "crops-2": Arm(crops=2),
    "crops-4": Arm(crops=4),
    "mse": Arm(loss="mse"),
    "mse-default-start": Arm(loss="mse", start="default"),
    "width-2": Arm(width=2),
    "width-4": Arm(width=4),
    "any-crop": Arm(nuclei=0.0),
    "any-crop-default-start": Arm(start="default", nuclei=0.0),
    "any-crop-adadelta": Arm(optimizer="adadelta", learning_rate=1.0, nuclei=0.0),
    "any-crop-sgd": Arm(optimizer="sgd", learning_rate=0.01, nuclei=0.0),
    "any-crop-crops-1": Arm(crops=1, nuclei=0.0),
}


def table_recipe(arm: Arm) -> Recipe:
    """Return the recipe of the twin that sees one plane, with the arm's network and loss."""
    tree = read_recipe(RECIPES / "nuclei-phase-twin.yaml").model_dump(mode="json")
    tree["split"] = {"by": "region", "train_rows": [TRAINED], "validation_rows": [VALIDATED], "test_rows": [READ]}
    tree["network"]["arguments"]["width"] = float(arm.width)
    how = {"loss": {arm.loss: 1.0}, "crop_px": DRAWN_PX, "keep": {"min_foreground": arm.nuclei}}
    return parse_recipe({**tree, **how}, "isl-table")


def chosen_crops(count: int | None, seed: int) -> tuple[Area, ...]:
    """Return the squares that may be trained on: one, two and four of a seed lie within one another; empty for all."""
    if count is None:
        return ()
    tops, lefts = range(0, TRAINED[1], CROP_PX), range(0, 1024, CROP_PX)
    squares = [Area(top, top + CROP_PX, left, left + CROP_PX) for top in tops for left in lefts]
    order = np.random.default_rng(seed).permutation(len(squares))
    return tuple(squares[k] for k in order[:count])


def cut(pair: Pair) -> Pair:
    """Keep of a picture the rows that it is read on and some on either side."""
    (area,) = pair.areas
    top, bottom = max(0, area.top - CONTEXT_PX), min(pair.image.shape[1], area.bottom + CONTEXT_PX)
    own = dataclasses.replace(area, top=area.top - top, bottom=area.bottom - top)
    parts = {name: getattr(pair, name)[:, top:bottom] for name in ("image", "target", "weight")}
    return dataclasses.replace(pair, **parts, areas=(own,))


def rows_for(corpus: Corpus, arm: Arm, seed: int) -> Corpus:
    """Return the corpus with the arm's crops, and the middle plane alone to read on."""
    squares = chosen_crops(arm.crops, seed)
    return dataclasses.replace(
        corpus,
        train=[dataclasses.replace(pair, areas=squares or pair.areas) for pair in corpus.train],
        validation=[cut(corpus.validation[MIDDLE])],
        test=[cut(corpus.test[MIDDLE])],
    )


def started(recipe: Recipe, arm: Arm, seed: int) -> torch.nn.Module:
    """Return the network at He's start, or at that of PyTorch's layers (uniform, biases too)."""
    network = build_network(recipe.network)
    if arm.start == "he":
        initialise(network, torch.Generator().manual_seed(seed))
        return network
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.reset_parameters()
    return network


def fit(corpus: Corpus, arm: Arm, seed: int) -> dict[str, Any]:
    """Train an arm, and return its curve and its correlations, at the best validation."""
    recipe = table_recipe(arm)
    params = TrainingParams(**SCHEDULE, optimizer=arm.optimizer, learning_rate=arm.learning_rate, seed=seed)
    recipe = recipe.model_copy(update={"training": params})
    rows = rows_for(corpus, arm, seed)
    begin = time.process_time()
    found = run_to_end(train(StainJob(recipe, rows, started(recipe, arm, seed)), params, precision="bf16"))
    seconds = time.process_time() - begin
    read = correlation(compare(rows.test, lambda image: torch_predict(found.network, image)), 0)
    return {
        "validation": found.history[found.best_epoch - 1]["score"],
        "test": read,
        "processor_s": round(seconds, 1),
        "curve": [round(epoch["score"], 4) for epoch in found.history],
        "losses": [round(epoch["loss"], 5) for epoch in found.history],
    }


def stored() -> dict[str, Any]:
    """Return the runs that were kept, by arm and seed."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def spread(values: list[float]) -> str:
    """Return the mean, and lowest and highest, in words."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(arguments: list[str]) -> None:
    if "--arms" in arguments:
        print("\n".join(ARMS))
        return
    kept = stored()
    asked = [f"{name} {seed}" for name, seed in zip(arguments[::2], arguments[1::2], strict=True)]
    if missing := [one for one in asked if one not in kept]:
        print(describe())
        try:
            corpus = run_to_end(load_corpus(table_recipe(Arm()), RECIPES))
        except ReaderError as error:
            print(f"skipped: {error}")
            return
        for one in missing:
            name, seed = one.split()
            kept = {**stored(), one: fit(corpus, ARMS[name], int(seed))}
            RESULTS.write_text(json.dumps(kept, indent=0))
            print(f"{one}: {kept[one]}", file=sys.stderr, flush=True)
    print(f"{'arm':24} seeds  validation                 rows 640-767               after 300 steps  processor s")
    for name in ARMS:
        runs = [kept[f"{name} {seed}"] for seed in SEEDS if f"{name} {seed}" in kept]
        if runs:
            early = np.mean([run["curve"][2] for run in runs])
            print(
                f"{name:24} {len(runs)}      {spread([r['validation'] for r in runs]):26} "
                f"{spread([r['test'] for r in runs]):26} {early:.3f}            {np.mean([r['processor_s'] for r in runs]):.0f}"
            )
