"""One network for five stains against five networks for one each, at equal steps on the same crops.

``single_targets [STEPS]`` trains six networks of half the width (150 steps by default, 15 s of one core each) on rows
0-543 of the five-stain field and reads rows 640-809: correlation, whole and inside cells. One seed: differences below
about 0.02 are of the start and the order of crops.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from tests.benchmarks.golgi_losses import STEPS, TRAINED_PX, WIDTH
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe
from tests.benchmarks.organelles import cells

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import Recipe, parse_recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.training.data.stain import Corpus, load_corpus
from vitascope.training.loop.loop import train
from vitascope.training.samplers.crops import Pair
from vitascope.training.tasks.stain import StainJob, torch_predict


def arm(names: list[str]) -> Recipe:
    """Return the twin's recipe for some of its targets, smaller and for small crops."""
    tree = read_recipe(RECIPES / "organelles-brightfield-twin.yaml").model_dump(mode="json")
    tree["targets"] = [t for t in tree["targets"] if t["name"] in names]
    tree["network"] = {
        "name": "unet",
        "arguments": {"in_channels": 1, "out_channels": len(names), "width": WIDTH},
    }
    return parse_recipe({**tree, "crop_px": TRAINED_PX}, "single-targets")


def part(corpus: Corpus, recipe: Recipe, names: list[str]) -> Corpus:
    """Return the corpus with some of its targets."""
    chosen = [names.index(target.name) for target in recipe.targets]

    def cut(pairs: list[Pair]) -> list[Pair]:
        return [dataclasses.replace(pair, target=pair.target[chosen]) for pair in pairs]

    scales = [corpus.scales[k] for k in chosen]
    return dataclasses.replace(corpus, train=cut(corpus.train), test=cut(corpus.test), scales=scales)


def fit(recipe: Recipe, corpus: Corpus, steps: int) -> torch.nn.Module:
    network = build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(0))
    how = {**recipe.training.model_dump(), "epochs": 1, "steps_per_epoch": steps, "warmup_steps": 10}
    params = TrainingParams(**{**how, "bn_stats_steps": 10, "average_decay": 0.95})
    return run_to_end(train(StainJob(recipe, corpus, network), params, precision="bf16")).network


def read(
    recipe: Recipe, corpus: Corpus, network: torch.nn.Module, inside: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return the correlation of each target in the test rows, whole and inside cells."""
    (pair,) = corpus.test
    (area,) = pair.areas
    rows = slice(area.top, area.bottom)
    predicted = torch_predict(network, pair.image)[:, rows]
    found = {}
    for k, target in enumerate(recipe.targets):
        truth = pair.target[k][rows]
        found[target.name] = pcc(truth, predicted[k]), pcc(np.where(inside[rows], truth, np.nan), predicted[k])
    return found


def main(arguments: list[str]) -> None:
    print(describe())
    steps = int(arguments[0]) if arguments else STEPS
    names = [t.name for t in read_recipe(RECIPES / "organelles-brightfield-twin.yaml").targets]
    recipe = arm(names)
    try:
        corpus = run_to_end(load_corpus(recipe, RECIPES))
        inside = cells(recipe)
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    together = read(recipe, corpus, fit(recipe, corpus, steps), inside)
    print(f"{steps} steps; PCC whole / inside cells: one network for all, a network of its own")
    for name in names:
        alone = arm([name])
        own = part(corpus, alone, names)
        found, one = read(alone, own, fit(alone, own, steps), inside)[name], together[name]
        print(f"  {name:8} {one[0]:.3f} / {one[1]:.3f}   {found[0]:.3f} / {found[1]:.3f}", flush=True)
