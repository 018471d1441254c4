"""Coverage of the 90 % intervals over many splits by group, of bundled models on data they were not trained on.

Those of real data on their own validation and test part; those of simulated data on 60 plates drawn anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import vitascope
from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import load_model
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.conformal import calibrate, interval
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.tasks.regression import predict, truth_of

RECIPES = Path(vitascope.__file__).parent / "zoo" / "recipes"
MODELS = {"viability-ldc": "viability", "viability-spheroid-sim": "viability", "atp-organoid-sim": "atp"}
SPLITS, LEVEL = 200, 0.9
PLATES, SEED = 60, 1000


def held_out(recipe):
    """Return the recipe, and the parts of its data that the model has never seen; simulated data are drawn anew."""
    source = recipe.data[0].simulated
    if source is None:
        return recipe, ("validation", "test")
    each = source.count // source.groups
    anew = source.model_copy(update={"seed": SEED, "groups": PLATES, "count": PLATES * each})
    data = recipe.data[0].model_copy(update={"simulated": anew})
    return recipe.model_copy(update={"data": (data,)}), ("train", "validation", "test")


def coverage(truth, predicted, groups, rng):
    """Calibrate on two thirds of the groups and return the share of the others' numbers that is covered."""
    names = rng.permutation(sorted(set(groups)))
    kept = np.isin(groups, names[: 2 * len(names) // 3])
    own = calibrate(truth[kept], predicted[kept], list(np.array(groups)[kept]), LEVEL)
    low, high = interval(predicted[~kept], own)
    return float(((low <= truth[~kept]) & (truth[~kept] <= high)).mean())


def main(arguments):
    for model in arguments or list(MODELS):
        recipe, parts = held_out(read_recipe(RECIPES / f"{model}.yaml"))
        try:
            corpus = run_to_end(load_labelled_images(recipe, RECIPES))
            network = load_model(model, MODELS[model]).network
        except Exception as error:
            print(f"{model}: skipped. {error if isinstance(error, ReaderError) else str(error)}")
            continue
        pairs = [pair for part in parts for pair in corpus.pairs[part]]
        groups = [s.labelled.group for part in parts for s in corpus.samples[part]]
        truth, predicted = truth_of(pairs), predict(network, pairs)[0]
        rng = np.random.default_rng(0)
        found = [coverage(truth, predicted, groups, rng) for _ in range(SPLITS)]
        print(
            f"{model}: nominal {LEVEL:.0%}, mean coverage {np.mean(found):.1%} over {SPLITS} splits of "
            f"{len(set(groups))} groups ({len(truth)} numbers)"
        )
