"""Tiles of one Jurkat cell as the instrument delivers them, at all shifts against the grid of instances.

``python -m tests.benchmarks cell_tiles [MODEL] [--part test|validation] [--shifts N]``: mean class accuracy over G1, S/G2
and mitosis of the cells that ``cell-cycle-brightfield`` was not trained on, and over its seven classes, for each of N
shifts from 0 to the distance of two instances; and what a run of the task says of some tiles.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import load_model
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.bootstrap import group_interval
from vitascope.stats.classification import accuracy, mean_class_accuracy
from vitascope.training.data.single_cells import load_cells
from vitascope.training.tasks.phenotype import MosaicJob
from vitascope.training.tasks.phenotype_metrics import merge_classes

MERGED = {"S/G2": ("S", "G2"), "mitosis": ("Prophase", "Metaphase", "Anaphase", "Telophase")}
BAR, BAND = 0.65, 0.03


def shifts_of(step_px: int, count: int) -> list[tuple[int, int]]:
    """Return shifts along the diagonal, from none to the grid, and half of it along each side."""
    along = [round(i * step_px / (count - 1)) for i in range(count)]
    half = step_px // 2
    return [*((n, n) for n in along), (half, 0), (0, half)]


def interval_of(truth: np.ndarray, scores: np.ndarray) -> None:
    """Print the interval of the mean class accuracy over cells."""
    interval = group_interval(list(range(len(truth))), lambda r: mean_class_accuracy(truth[r], scores[r]))
    print(f"95 % interval {interval.low:.3f} to {interval.high:.3f} over {len(truth)} cells")


def confusion(truth: np.ndarray, scores: np.ndarray, names: list[str]) -> None:
    """Print how many cells of each class (rows) are called what."""
    called = scores.argmax(1)
    print(f"{'':10}" + "".join(f"{n[:9]:>10}" for n in names))
    for k, name in enumerate(names):
        counts = np.bincount(called[truth[:, k] > 0], minlength=len(names))
        print(f"{name:10}" + "".join(f"{c:10d}" for c in counts))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="cell_tiles")
    parser.add_argument("model", nargs="?", default="cell-cycle-brightfield")
    parser.add_argument("--part", default="test", choices=("test", "validation"))
    parser.add_argument("--shifts", type=int, default=5)
    asked = parser.parse_args(arguments)
    print(describe())
    recipe = read_recipe(RECIPES / "cell-cycle-brightfield.yaml")
    model = load_model(asked.model, "phenotype")
    recipe = recipe.changed({"network.arguments": model.card.architecture.arguments, "input": model.card.input})
    try:
        corpus = run_to_end(load_cells(recipe, RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    print(corpus.description)
    job = MosaicJob(recipe, corpus, model.network)
    names = [t.name for t in recipe.targets]
    joined, told = merge_classes(names, MERGED)
    found = []
    for shift in shifts_of(model.family.multiple_px, asked.shifts):
        started = time.perf_counter()
        truth, scores = job.score_cells(model.network, asked.part, moved_px=shift)
        own, merged = truth @ joined, scores @ joined
        three, seven = mean_class_accuracy(own, merged), mean_class_accuracy(truth, scores)
        found.append(three)
        print(
            f"shift {shift!s:9} {', '.join(told)}: {three:.3f}   seven classes: {seven:.3f}, accuracy "
            f"{accuracy(truth, scores):.3f}   {time.perf_counter() - started:.0f} s",
            flush=True,
        )
        if shift == (0, 0):
            interval_of(own, merged)
            confusion(own, merged, told)
    spread = max(abs(one - found[0]) for one in found)
    print(f"unmoved {found[0]:.3f} (bar {BAR}); furthest at another shift {spread:.3f} (bar {BAND})")


if __name__ == "__main__":
    main(sys.argv[1:])
