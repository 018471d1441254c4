"""Coverage of the 90 % intervals over many splits by group, of bundled models on data they were not trained on.

On plates drawn anew, 1,200 numbers or more; of ``viability-ldc``, which is trained on all there is, see
``viability_folds``. ``conformal write`` puts intervals calibrated on those into the cards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import vitascope
from vitascope.core.errors import ReaderError
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.eight_views import EIGHT
from vitascope.engine.load_model import load_model
from vitascope.io.models.cards import find_model, write_card
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.conformal import calibrate, interval
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.simulated import plate_of
from vitascope.training.tasks.regression import predict, truth_of

RECIPES = Path(vitascope.__file__).parent / "zoo" / "recipes"
MODELS = {
    "viability-spheroid-sim": "viability",
    "atp-organoid": "atp",
    "atp-organoid-attention": "atp",
}
VIEWS = {"atp": EIGHT, "viability": 1}
SPLITS, LEVEL = 100, 0.9
LEAST, SEED, COMPOSED_PLATES = 1200, 1000, 40


def held_out(recipe):
    """Return the recipe, and the parts of its data that the model has never seen; simulated data are made anew.

    Composed wells are made of the real wells of the lot that the recipe tests on.
    """
    anew = []
    for data in recipe.data:
        source = data.simulated
        if source.alive is not None:  # the same wells, all dead or all alive, are for training alone
            continue
        each = source.count // source.groups
        plates = max(60, -(-LEAST // each))
        made = {"seed": SEED, "groups": plates, "count": plates * each}
        if source.kind == "composed":
            lots = tuple(n for n in range(source.folds) if f"sources{n}" in recipe.split.test_groups)
            made |= {"groups": COMPOSED_PLATES, "count": COMPOSED_PLATES * each, "lots": lots}
        anew.append(data.model_copy(update={"simulated": source.model_copy(update=made)}))
    split = recipe.split.model_copy(update={"train_groups": (), "validation_groups": (), "test_groups": ()})
    return recipe.model_copy(update={"data": tuple(anew), "split": split}), ("train", "validation", "test")


def plates(recipe, sample):
    """The plate of a sample: composed ones of one lot are of many plates."""
    group = str(sample.labelled.group)
    if not group.startswith("sources"):
        return group
    source = next(d.simulated for d in recipe.data if d.simulated.kind == "composed")
    return f"{group} plate {plate_of(source, int(sample.labelled.images.name.rsplit('_', 1)[1]))}"


def coverage(truth, predicted, groups, rng):
    """Calibrate on two thirds of the groups; the shares of the others' numbers covered, and the widths, by third.

    The thirds are those of the predicted numbers, and then those of the true ones.
    """
    names = rng.permutation(sorted(set(groups)))
    kept = np.isin(groups, names[: 2 * len(names) // 3])
    own = calibrate(truth[kept], predicted[kept], list(np.array(groups)[kept]), LEVEL)
    low, high = interval(predicted[~kept], own)
    low = np.maximum(low, 0)
    inside = (low <= truth[~kept]) & (truth[~kept] <= high)
    thirds = [np.array_split(np.argsort(values[~kept], kind="stable"), 3) for values in (predicted, truth)]
    return (
        float(inside.mean()),
        [[float(inside[part].mean()) for part in parts] for parts in thirds],
        [float((high - low)[part].mean()) for part in thirds[0]],
    )


def report(model, truth, predicted, groups):
    rng = np.random.default_rng(0)
    overall, thirds, widths = zip(*(coverage(truth, predicted, groups, rng) for _ in range(SPLITS)), strict=True)
    low, high = np.quantile(overall, (0.025, 0.975))
    by_predicted, by_truth = np.mean(thirds, axis=0)
    print(
        f"{model}: nominal {LEVEL:.0%}, mean coverage {np.mean(overall):.1%} ({low:.1%} to {high:.1%} of {SPLITS} splits) "
        f"of {len(set(groups))} groups ({len(truth)} numbers)"
    )
    for what, found in (("predicted", by_predicted), ("true", by_truth)):
        print(f"  by third of the {what} numbers: {', '.join(f'{one:.1%}' for one in found)}")
    print(
        f"  mean width by third of the predicted numbers: {', '.join(f'{one:,.4g}' for one in np.mean(widths, axis=0))}"
    )


def write(model, truth, predicted, groups):
    """Calibrate the bundled card anew on data drawn anew, which chose neither weights nor epoch."""
    card = find_model(model)[0]
    what = {"atp": "wells", "viability": "spheroids"}[card.task]
    on = f"{len(truth):,} simulated {what} of {len(set(groups))} plates that chose nothing"
    intervals = calibrate(truth, predicted, groups, LEVEL, on=on)
    print(write_card(card.model_copy(update={"intervals": intervals}), BUNDLED_MODELS))


def main(arguments):
    """Print the coverage of all or of named models; ``write`` first puts new intervals into cards of simulated data."""
    anew = "write" in arguments
    for model in [name for name in arguments if name != "write"] or list(MODELS):
        recipe, parts = held_out(read_recipe(RECIPES / f"{model}.yaml"))
        try:
            corpus = run_to_end(load_labelled_images(recipe, RECIPES))
            network = load_model(model, MODELS[model]).network
        except Exception as error:
            print(f"{model}: skipped. {error if isinstance(error, ReaderError) else str(error)}")
            continue
        pairs = [pair for part in parts for pair in corpus.pairs[part]]
        groups = [plates(recipe, s) for part in parts for s in corpus.samples[part]]
        truth, predicted = truth_of(pairs), predict(network, pairs, VIEWS[MODELS[model]])[0]
        report(model, truth, predicted, groups)
        if anew:
            write(model, truth, predicted, groups)
