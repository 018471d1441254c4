"""Every pooling trained alike on mosaics of Jurkat cells: bags, single cells, ranks; three seeds.

``python -m tests.benchmarks phenotype_jurkat [SEEDS] [EPOCHS] [POOLING...]``
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.steps import finish
from vitascope.engine.device import list_devices
from vitascope.engine.load import build_network
from vitascope.engine.train import train
from vitascope.models.unet import initialise
from vitascope.pipelines.cell_data import load_cells
from vitascope.pipelines.phenotype_training import FEW_CELLS, MosaicJob, score
from vitascope.stats.agreement import spearman
from vitascope.stats.bootstrap import resample_interval
from vitascope.stats.classification import accuracy, average_precision, mean_average_precision, mean_class_accuracy
from vitascope.tasks.recipe import read_recipe

POOLINGS = {
    "NAND a5": ("noisy_and", 5.0),
    "NAND a7.5": ("noisy_and", 7.5),
    "NAND a10": ("noisy_and", 10.0),
    "LSE r1": ("lse", 1.0),
    "LSE r2.5": ("lse", 2.5),
    "LSE r5": ("lse", 5.0),
    "GM r1": ("generalised_mean", 1.0),
    "GM r2.5": ("generalised_mean", 2.5),
    "GM r5": ("generalised_mean", 5.0),
    "max": ("max", 1.0),
    "noisy-or": ("noisy_or", 1.0),
    "ISR": ("isr", 1.0),
    "one cell": ("mean", 1.0),
}
"""The rows of the paper's Table 1; ``one cell`` is the network trained on single cells under the labels of their bags."""

PAPER = {
    "NAND a5": (0.921, 0.750), "NAND a7.5": (0.920, 0.757), "NAND a10": (0.950, 0.738), "LSE r1": (0.925, 0.763),
    "LSE r2.5": (0.925, 0.762), "LSE r5": (0.933, 0.728), "GM r1": (0.915, 0.741), "GM r2.5": (0.888, 0.691),
    "GM r5": (0.405, 0.258), "max": (0.125, 0.070), "one cell": (float("nan"), 0.742),
}  # fmt: skip


def fit(recipe, corpus, name: str, seed: int):
    """Train one network; returns it with its job."""
    pooling, sharpness = POOLINGS[name]
    arguments = {**recipe.network.arguments, "pooling": pooling, "sharpness": sharpness}
    changes = {"network.arguments": arguments, "training.seed": seed, "mosaic.one_cell": name == "one cell"}
    own = recipe.changed(changes)
    network = build_network(own.network)
    import torch

    initialise(network, torch.Generator().manual_seed(seed))
    job = MosaicJob(own, corpus, network)
    precision = "bf16" if "bf16" in list_devices()[-1].precisions else "f32"
    return finish(train(job, own.training, precision=precision)).network, job


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "cell-cycle-brightfield.yaml")
    seeds = int(arguments[0]) if arguments else 3
    if len(arguments) > 1:
        recipe = recipe.changed({"training.epochs": int(arguments[1])})
    wanted = arguments[2:] or list(POOLINGS)
    try:
        corpus = finish(load_cells(recipe, RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    print(corpus.words)
    names = [t.name for t in recipe.targets]
    thresholds = [recipe.mosaic.thresholds[n] for n in names]
    enough = [k for k, c in enumerate(corpus.cells["test"]) if len(c) >= FEW_CELLS]
    print(f"thresholds {dict(zip(names, thresholds, strict=True))}; the mean is over {[names[k] for k in enough]}")
    print(f"{recipe.training.epochs * recipe.training.steps_per_epoch} steps of {recipe.training.batch_size} bags")
    scores: dict[str, list[np.ndarray]] = {}
    truth = None
    for seed in range(seeds):
        for name in wanted:
            started = time.perf_counter()
            network, job = fit(recipe, corpus, name, seed)
            pairs = [m.pair for m in job.bags("test")]
            truth = np.array([p.numbers for p in pairs], float)
            bags = score(network, pairs).last
            cell_truth, cells = job.score_cells(network, "test")
            scores.setdefault(name, []).append(bags)
            line = {
                "pooling": name,
                "seed": seed,
                "bag_map": round(mean_average_precision(truth[:, enough], bags[:, enough]), 4),
                "cell_accuracy": round(accuracy(cell_truth, cells), 4),
                "cell_mean_accuracy": round(mean_class_accuracy(cell_truth, cells), 4),
                "cell_map": round(mean_average_precision(cell_truth, cells), 4),
                "each": {n: round(average_precision(truth[:, k], bags[:, k]), 3) for k, n in enumerate(names)},
                "seconds": round(time.perf_counter() - started),
            }
            if POOLINGS[name][0] == "noisy_and":
                b = network.pooling.b.detach().numpy()
                line["b"] = {n: round(float(v), 3) for n, v in zip(names, b, strict=True)}
                line["b_against_thresholds"] = round(spearman(thresholds, b), 3)
            print(json.dumps(line), flush=True)
        print(f"over {seed + 1} seed(s)")
        rank(scores, truth, enough)
    print(describe())


def rank(scores: dict[str, list[np.ndarray]], truth: np.ndarray, enough: list[int]) -> None:
    """Rank by the mean over seeds; intervals, and differences to the best, over the same bags drawn anew."""

    def value(name: str, rows: np.ndarray) -> float:
        return float(
            np.mean(
                [mean_average_precision(truth[np.ix_(rows, enough)], s[np.ix_(rows, enough)]) for s in scores[name]]
            )
        )

    every = np.arange(len(truth))
    order = sorted(scores, key=lambda name: -value(name, every))
    best = order[0]
    print(f"{'pooling':10} {'mAP':>6} {'95 % interval':>16} {'behind the best':>18}   paper: full image, manual cells")
    for name in order:
        own = resample_interval(len(truth), lambda r, name=name: value(name, r), resamples=300)
        behind = resample_interval(len(truth), lambda r, name=name: value(best, r) - value(name, r), resamples=300)
        told = "" if name == best else f"{behind.low:.3f} to {behind.high:.3f}"
        print(f"{name:10} {own.value:6.3f} {own.low:7.3f} to {own.high:.3f} {told:>18}   {PAPER.get(name, '')}")


if __name__ == "__main__":
    main(sys.argv[1:])
