"""ER by three arms of section 3.3.1 of the thesis: plain, augmented, with dropout and weight decay; early stopping.

``er_arms [EPOCHS]``: all train on rows 0-351 of the five-stain field and stop by the same validation rows 448-543.
"""

from __future__ import annotations

import torch
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import PLAIN, TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import parse_recipe, read_recipe
from vitascope.training.loop.loop import train
from vitascope.training.tasks.stain import prepare

EPOCHS, STEPS, PATIENCE = 16, 25, 5
ARMS = {
    "plain": {"augment": PLAIN.model_dump(), "dropout": 0.0, "weight_decay": 0.0},
    "augmented": {"dropout": 0.0, "weight_decay": 0.0},
    "augmented, dropout 0.1, weight decay": {"dropout": 0.1, "weight_decay": 0.01},
}


def main(arguments: list[str]) -> None:
    print(describe())
    epochs = int(arguments[0]) if arguments else EPOCHS
    for name, how in ARMS.items():
        tree = read_recipe(RECIPES / "organelles-brightfield-twin.yaml").model_dump(mode="json")
        tree["targets"] = [t for t in tree["targets"] if t["name"] == "er"]
        tree["network"]["arguments"] = {"in_channels": 1, "out_channels": 1, "width": 1.0, "dropout": how["dropout"]}
        tree["split"] |= {"train_rows": [[0, 352]], "validation_rows": [[448, 544]], "test_rows": []}
        tree["augment"] = how.get("augment", tree["augment"])
        tree["loss"] = {"pcc": 1.0}
        recipe = parse_recipe(tree, name)
        network = build_network(recipe.network)
        initialise(network, torch.Generator().manual_seed(0))
        try:
            job = run_to_end(prepare(recipe, RECIPES, network))
        except ReaderError as error:
            print(f"skipped: {error}")
            return
        params = {
            **recipe.training.model_dump(),
            "epochs": epochs,
            "steps_per_epoch": STEPS,
            "patience": PATIENCE,
            "weight_decay": how["weight_decay"],
            "schedule": "constant",
            "bn_stats_steps": 0,
        }
        trained = run_to_end(train(job, TrainingParams(**params), precision="bf16"))
        best = max(trained.history, key=lambda row: row["score"])
        print(
            f"{name:38} best epoch {best['epoch']:.0f} of {len(trained.history)}: PCC {best['score']:.4f} (loss "
            f"{(1 - best['score']) / 2:.4f}), last {trained.history[-1]['score']:.4f}; {trained.stopped}",
            flush=True,
        )
