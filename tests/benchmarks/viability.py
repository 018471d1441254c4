"""Viability of simulated spheroids: NViR against a constant, simple features and the classic measures.

``python -m tests.benchmarks viability``: the bundled model on the test part of its recipe, with the bias by bin; of real
cells see ``viability_folds``. The pair variant, which sees the control too, is trained by the recipe with nothing else
changed: ``viability run`` trains it and keeps its predictions in ``results/viability.json``. ImageNet weights are not on
the machine of these figures: no such line.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import yaml
from scipy import ndimage

import vitascope
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import build_network, load_model
from vitascope.networks.unet import initialise
from vitascope.ops.objects.contour import measure_contour
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.bootstrap import group_interval
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.simulated import draw_control
from vitascope.training.loop.loop import train
from vitascope.training.tasks.regression import predict, truth_of
from vitascope.training.tasks.viability import ViabilityJob, r2

RECIPES = Path(vitascope.__file__).parent / "zoo" / "recipes"
RESULTS = Path(__file__).parent / "results" / "viability.json"
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
BINS = (0, 0.1, 0.3, 0.6, 0.9, np.inf)


def simple_features(image):
    """Intensity and texture of a picture (side, side) in network units."""
    slope = ndimage.gaussian_gradient_magnitude(image, 1)
    bend = ndimage.laplace(ndimage.gaussian_filter(image, 1))
    skewness = ((image - image.mean()) ** 3).mean() / max(image.std(), 1e-9) ** 3
    spread = [*np.percentile(image, [1, 5, 25, 75, 95, 99]), image.min(), image.max()]
    texture = [slope.mean(), slope.std(), bend.std(), np.abs(bend).max(), (image > 0.1).mean(), (image < -0.1).mean()]
    return np.array([image.mean(), image.std(), skewness, *spread, *texture])


def regress(features, truth):
    """Ridge regression on the training part, its strength by the validation part; predictions of the test part."""
    middle, spread = features["train"].mean(0), features["train"].std(0) + 1e-9
    x = {part: (f - middle) / spread for part, f in features.items()}
    best = None
    for strength in STRENGTHS:
        y = truth["train"] - truth["train"].mean()
        w = np.linalg.solve(x["train"].T @ x["train"] + strength * np.eye(x["train"].shape[1]), x["train"].T @ y)
        error = np.abs(x["validation"] @ w + truth["train"].mean() - truth["validation"]).mean()
        if best is None or error < best[0]:
            best = error, w
    return np.maximum(x["test"] @ best[1] + truth["train"].mean(), 0)


def classic_features(corpus, recipe, part):
    """The three classic measures of each spheroid over those of its control, (N, 3)."""
    source = recipe.data[0].simulated
    rows = []
    for sample in corpus.samples[part]:
        number = int(sample.labelled.images.name.split("_")[-1])
        one, control = measure_contour(sample.planes[0]), measure_contour(draw_control(source, number))
        rows.append(np.ones(3) if one is None or control is None else np.array(one) / np.array(control))
    return np.array(rows)


def tell(name, truth, predicted, groups):
    """Print the error with an interval over groups, and the explained share."""
    error = np.abs(truth - predicted)
    found = group_interval(groups, lambda rows: float(error[rows].mean()), resamples=1000, level=0.95)
    print(f"{name:28} MAE {found.value:.4f} ({found.low:.4f} to {found.high:.4f})  R2 {r2(truth, predicted):.3f}")


def compare(model):
    """Compare a bundled model with simpler means on the test part of its recipe."""
    recipe = read_recipe(RECIPES / f"{model}.yaml")
    corpus = run_to_end(load_labelled_images(recipe, RECIPES))
    truth = {part: truth_of(pairs) for part, pairs in corpus.pairs.items()}
    groups = [s.labelled.group for s in corpus.samples["test"]]
    print(f"{model}: {', '.join(f'{len(t)} {part}' for part, t in truth.items())}, {len(set(groups))} test groups")
    tell("constant (training median)", truth["test"], np.full(len(truth["test"]), np.median(truth["train"])), groups)
    simple = {
        part: np.array([simple_features(p.image[0].astype(float)) for p in pairs])
        for part, pairs in corpus.pairs.items()
    }
    tell("intensity and texture", truth["test"], regress(simple, truth), groups)
    classic = {part: classic_features(corpus, recipe, part) for part in corpus.pairs}
    tell("CVE (classic, with control)", truth["test"], regress(classic, truth), groups)
    loaded = load_model(model, "viability")
    alone = predict(loaded.network, corpus.pairs["test"])[0]
    tell("NViR", truth["test"], alone, groups)
    for low, high in pairwise(BINS):
        rows = (truth["test"] >= low) & (truth["test"] < high)
        off = (alone - truth["test"])[rows]
        if off.size:
            print(f"  bias from {low:g} to below {high:g}: {off.mean():+.3f} ± {off.std():.3f} (n {off.size})")
    if (pair := kept_pair()) is None:
        print("NViR, pair                   not run")
        return
    tell("NViR, pair", truth["test"], pair, groups)
    gain = np.abs(alone - truth["test"]) - np.abs(pair - truth["test"])
    found = group_interval(groups, lambda rows: float(gain[rows].mean()), resamples=1000, level=0.95)
    print(f"pair against alone: MAE lower by {found.value:.4f} ({found.low:.4f} to {found.high:.4f})")


def pair_recipe():
    """The recipe of the simulated spheroids, for a network that sees the control too."""
    recipe = read_recipe(RECIPES / "viability-spheroid-sim.yaml")
    arguments = {**recipe.network.arguments, "pair": True, "in_channels": 2}
    return recipe.changed({"network.arguments": arguments, "input.channels": ("bright-field", "control")})


def train_pair():
    """Train the pair variant and keep its predictions of the test part."""
    torch.set_num_threads(1)
    recipe = pair_recipe()
    corpus, network = run_to_end(load_labelled_images(recipe, RECIPES)), build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(recipe.training.seed))
    trained = run_to_end(train(ViabilityJob(recipe, corpus, network), recipe.training))
    found = predict(trained.network, corpus.pairs["test"])[0]
    RESULTS.write_text(
        json.dumps(
            {"recipe": recipe_hash("viability-spheroid-sim"), "pair": [float(f"{v:.6g}") for v in found]}, indent=0
        )
    )


def recipe_hash(model):
    """Hash of a bundled recipe as it is written, without its words: new settings at their defaults change no figure."""
    tree = yaml.safe_load((RECIPES / f"{model}.yaml").read_text("utf-8"))
    told = {k: v for k, v in tree.items() if k not in ("title", "summary", "limitations", "licence", "credit")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def kept_pair():
    """Predictions of the pair variant, if it was trained by the recipe as it stands."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return np.array(kept["pair"]) if kept.get("recipe") == recipe_hash("viability-spheroid-sim") else None


def main(arguments):
    if arguments == ["run"]:
        train_pair()
    compare("viability-spheroid-sim")
