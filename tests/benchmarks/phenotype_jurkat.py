"""Every pooling trained alike on mosaics of Jurkat cells: bags, single cells, ranks; three seeds.

``python -m tests.benchmarks phenotype_jurkat [SEEDS] [EPOCHS] [POOLING...] [--keep FOLDER] [--workers N]``; networks are
trained side by side on one thread each, and what is measured is kept in the folder, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.engine.device import core_count, list_devices
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.agreement import spearman
from vitascope.stats.classification import accuracy, average_precision, mean_average_precision, mean_class_accuracy
from vitascope.training.data.single_cells import load_cells
from vitascope.training.loop.loop import train
from vitascope.training.tasks.phenotype import MosaicJob, score
from vitascope.training.tasks.phenotype_metrics import FEW_CELLS

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


RESAMPLES = 300
LOADED: dict = {}


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
    return run_to_end(train(job, own.training, precision=precision)).network, job


def corpus_of(recipe):
    """The cells, loaded once in each process."""
    if recipe.id not in LOADED:
        LOADED[recipe.id] = run_to_end(load_cells(recipe, RECIPES))
    return LOADED[recipe.id]


def measure(recipe, name: str, seed: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """Train one network on one thread; what it is worth, and truth and scores of the test bags."""
    import torch

    torch.set_num_threads(1)
    started = time.perf_counter()
    corpus = corpus_of(recipe)
    network, job = fit(recipe, corpus, name, seed)
    pairs = [m.pair for m in job.bags("test")]
    truth = np.array([p.numbers for p in pairs], float)
    bags = score(network, pairs).last
    cell_truth, cells = job.score_cells(network, "test")
    names, enough = [t.name for t in recipe.targets], classes_enough(corpus)
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
        line["b_against_thresholds"] = round(spearman([recipe.mosaic.thresholds[n] for n in names], b), 3)
    return line, truth, bags


def kept(folder: Path, recipe, name: str, seed: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """As :func:`measure`; what was measured before is read from the folder, so that a stopped run goes on."""
    path = folder / f"{name.replace(' ', '_')}-{seed}-{recipe.training.epochs}.npz"
    if path.is_file():
        with np.load(path) as found:
            return json.loads(str(found["line"])), found["truth"], found["scores"]
    line, truth, scores = measure(recipe, name, seed)
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, line=json.dumps(line), truth=truth, scores=scores)
    temporary.replace(path)
    return line, truth, scores


def classes_enough(corpus) -> list[int]:
    return [k for k, c in enumerate(corpus.cells["test"]) if len(c) >= FEW_CELLS]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="phenotype_jurkat")
    parser.add_argument("seeds", nargs="?", type=int, default=3)
    parser.add_argument("epochs", nargs="?", type=int)
    parser.add_argument("poolings", nargs="*", default=list(POOLINGS))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "vitascope-jurkat")
    parser.add_argument("--workers", type=int, default=core_count())
    asked = parser.parse_args(arguments)
    print(describe())
    recipe = read_recipe(RECIPES / "cell-cycle-brightfield.yaml")
    if asked.epochs is not None:
        recipe = recipe.changed({"training.epochs": asked.epochs})
    try:
        corpus = corpus_of(recipe)
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    names, enough = [t.name for t in recipe.targets], classes_enough(corpus)
    print(corpus.description)
    print(f"thresholds {recipe.mosaic.thresholds}; the mean is over {[names[k] for k in enough]}")
    print(f"{recipe.training.epochs * recipe.training.steps_per_epoch} steps of {recipe.training.batch_size} bags")
    asked.keep.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list[np.ndarray]] = {}
    runs = [(name, seed) for seed in range(asked.seeds) for name in asked.poolings]
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(kept, asked.keep, recipe, *run) for run in runs]
        for (name, _), one in zip(runs, waiting, strict=True):
            line, truth, found = one.result()
            print(json.dumps(line), flush=True)
            scores.setdefault(name, []).append(found)
    rank(scores, truth, enough)
    print(describe())


def rank(scores: dict[str, list[np.ndarray]], truth: np.ndarray, enough: list[int]) -> None:
    """Rank by the mean over seeds; 95 % intervals, and distances to the best, over bags and seeds drawn anew."""
    rng = np.random.default_rng(0)

    def drawn() -> dict[str, float]:
        rows = rng.integers(len(truth), size=len(truth))
        part = np.ix_(rows, enough)
        return {
            name: float(np.mean([mean_average_precision(truth[part], own[i][part]) for i in chosen]))
            for name, own in scores.items()
            for chosen in [rng.integers(len(own), size=len(own))]
        }

    found = {
        name: float(np.mean([mean_average_precision(truth[:, enough], s[:, enough]) for s in own]))
        for name, own in scores.items()
    }
    again = [drawn() for _ in range(RESAMPLES)]
    order = sorted(found, key=lambda name: -found[name])
    print(f"{'pooling':10} {'mAP':>6} {'95 % interval':>16} {'behind the best':>18}   paper: full image, manual cells")
    for name in order:
        low, high = np.percentile([a[name] for a in again], (2.5, 97.5))
        near, far = np.percentile([a[order[0]] - a[name] for a in again], (2.5, 97.5))
        told = "" if name == order[0] else f"{near:.3f} to {far:.3f}"
        print(f"{name:10} {found[name]:6.3f} {low:7.3f} to {high:.3f} {told:>18}   {PAPER.get(name, '')}")


if __name__ == "__main__":
    main(sys.argv[1:])
