"""One network for five stains against five networks for one each, at equal steps on the same crops.

``single_targets [STEPS]`` trains six networks of half the width (150 steps by default, 15 s of one core each) on rows
0-543 of the five-stain field and reads rows 640-809: correlation, whole and inside cells, and how much more the network
for all has, with its interval at 95 % over blocks of 85 px. One seed: differences below about 0.02 are of the start and
the order of crops, which no interval holds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from tests.benchmarks.golgi_losses import STEPS, TRAINED_PX, WIDTH
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe
from tests.benchmarks.organelles import BLOCK_PX, cells

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import Recipe, parse_recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.stats.bootstrap import pcc_gain_interval
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


def read(recipe: Recipe, corpus: Corpus, network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return each target as predicted in the test rows."""
    (pair,) = corpus.test
    (area,) = pair.areas
    predicted = torch_predict(network, pair.image)[:, area.top : area.bottom]
    return {target.name: predicted[k] for k, target in enumerate(recipe.targets)}


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
    (pair,) = corpus.test
    (area,) = pair.areas
    rows = slice(area.top, area.bottom)
    together = read(recipe, corpus, fit(recipe, corpus, steps))
    print(f"{steps} steps; PCC whole and inside cells: one network for all, a network of its own, gain of the first")
    for k, name in enumerate(names):
        alone = arm([name])
        own = part(corpus, alone, names)
        one = read(alone, own, fit(alone, own, steps))[name]
        said = []
        for counted in (np.ones_like(inside), inside):
            truth = np.where(counted & (pair.weight[0] > 0), pair.target[k], np.nan)[rows]
            gain = pcc_gain_interval(truth, together[name], one, block_px=BLOCK_PX)
            said.append(
                f"{pcc(truth, together[name]):.3f}, {pcc(truth, one):.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            )
        print(f"  {name:8} {'   '.join(said)}", flush=True)
