"""Accuracy on the ISL field: twins trained on rows 0-575, read on rows 640-767, three seeds, against ridge regression.

``isl`` measures the twins that lie beside; ``isl --train`` trains them anew first (an hour or more).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import load_model
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.ops.geometry.resample import array_reader
from vitascope.recipes.recipe import Recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.training.data.stain import load_corpus
from vitascope.training.tasks.stain import compare, correlation_interval, pooled, run_training

RECIPES = BUNDLED_MODELS / "recipes"
TWINS = Path(__file__).parent / "models"
SEEDS = (0, 1, 2)
BARS = {"DAPI": 0.83, "MAP2": 0.88, "NFH": 0.63}


def twin_name(recipe: Recipe, seed: int) -> str:
    return f"{recipe.id}-seed{seed}"


def train(recipe: Recipe, seed: int) -> None:
    seeded = recipe.changed({"id": twin_name(recipe, seed), "training.seed": seed})
    for progress in run_training(seeded, RECIPES, TWINS):
        if getattr(progress, "preview", False):
            print(f"\r{seeded.id}: {progress.stage}, loss {progress.loss:.4f}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def predictor(card: Path, flips: bool):
    model = load_model(str(card), "stain")

    def predict(image: np.ndarray) -> np.ndarray:
        out = np.zeros((len(model.card.targets), *image.shape[1:]), np.float32)

        def sink(where, piece) -> None:
            out[(slice(None), *where)] = piece

        run_to_end(
            predict_picture(model, array_reader(image), image.shape[1:], Plan("cpu", "f32", 1024, 2), sink, flip=flips)
        )
        return out

    return predict


def ridge(corpus, alpha: float = 10.0):
    """Linear regression on Gaussian derivatives of every plane at five scales: the floor."""

    def features(image: np.ndarray) -> np.ndarray:
        found = []
        for plane in image:
            for sigma in (1, 2, 4, 8, 16):
                smooth = ndimage.gaussian_filter(plane, sigma)
                found += [
                    smooth,
                    ndimage.gaussian_gradient_magnitude(plane, sigma),
                    ndimage.gaussian_laplace(plane, sigma),
                ]
                found += [np.sqrt(ndimage.gaussian_filter((plane - smooth) ** 2, sigma))]
        return np.stack(found, -1)

    parts, truths = [], []
    for pair in corpus.train[:12]:
        area = pair.training_areas()[0]
        x = features(pair.image)
        parts.append(x[area.top : area.bottom].reshape(-1, x.shape[-1]))
        truths.append(pair.target[:, area.top : area.bottom].reshape(len(pair.target), -1).T)
    rows, y = np.concatenate(parts), np.concatenate(truths)
    mean, spread = rows.mean(0), rows.std(0)
    rows = np.c_[(rows - mean) / spread, np.ones(len(rows))]
    weights = np.linalg.solve(rows.T @ rows + alpha * np.eye(rows.shape[1]), rows.T @ y)

    def predict(image: np.ndarray) -> np.ndarray:
        z = (features(image) - mean) / spread
        flat = np.c_[z.reshape(-1, z.shape[-1]), np.ones(z[..., 0].size)]
        return (flat @ weights).T.reshape(-1, *image.shape[1:]).astype(np.float32)

    return predict


def report(name: str, recipe: Recipe, corpus, predict) -> dict[str, float]:
    compared = compare(corpus.test, predict)
    found = {}
    for k, target in enumerate(recipe.targets):
        interval = correlation_interval(compared, k)
        found[target.name] = pcc(*pooled(compared, k))
        print(f"{name:44} {target.name}: PCC {found[target.name]:.4f} ({interval.low:.3f} to {interval.high:.3f})")
    return found


def main(arguments: list[str]) -> None:
    print(describe())
    for stem in ("nuclei-phase-stack-twin", "nuclei-phase-twin", "neurites-phase-stack-twin"):
        recipe = read_recipe(RECIPES / f"{stem}.yaml")
        try:
            corpus = run_to_end(load_corpus(recipe, RECIPES))
        except ReaderError as error:
            print(f"skipped: {error}")
            return
        print(f"\n{stem}: {corpus.description}")
        report("ridge regression", recipe, corpus, ridge(corpus))
        seeds: list[dict[str, float]] = []
        for seed in SEEDS:
            card = TWINS / f"{twin_name(recipe, seed)}.json"
            if "--train" in arguments and not card.exists():
                train(recipe, seed)
            if not card.exists():
                print(f"{card.name} is not there: run with --train")
                continue
            seeds.append(report(card.stem, recipe, corpus, predictor(card, flips=False)))
            report(f"{card.stem}, flips averaged", recipe, corpus, predictor(card, flips=True))
        for target in recipe.targets:
            values = [s[target.name] for s in seeds]
            if values:
                bar = BARS[target.name] if "stack" in stem else float("nan")
                print(
                    f"{'mean of ' + str(len(values)) + ' seeds':44} {target.name}: {np.mean(values):.4f}, "
                    f"{min(values):.4f} to {max(values):.4f}; bar {bar}"
                )
    print(describe())
