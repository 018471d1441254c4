"""``viability-ldc``: real cells in a chamber, all 150 pictures: five-fold by near-duplicate group, weighted to the source's own mix.

Each fold is read by a twin that is trained by the recipe on the other four, to the last epoch: nothing is chosen on what
is measured. Intervals of a fold are calibrated on the errors of the other folds' twins. Constants are those of the other
four folds, weighted too. ``viability_folds run [FOLD ...]`` runs the folds that are missing in
``results/viability_folds.json``, a minute or two of processor time each; ``viability_folds`` prints; ``viability_folds
write CARD`` puts figures and interval into the card of a model that was trained by the recipe on all pictures.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tests.benchmarks.machine import describe
from tests.benchmarks.viability import BINS, recipe_hash, simple_features

from vitascope.core.card import Intervals, Metric
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import build_network
from vitascope.io.models.cards import find_model, write_card
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.agreement import pearson
from vitascope.stats.bootstrap import LEVEL, group_interval
from vitascope.stats.conformal import INTERVAL_LEVEL, calibrate, interval
from vitascope.training.data.labelled_images import load_labelled_images, mixed
from vitascope.training.loop.loop import train
from vitascope.training.tasks.regression import predict, truth_of
from vitascope.training.tasks.viability import ViabilityJob

RECIPES = BUNDLED_MODELS / "recipes"
MODEL = "viability-ldc"
RECIPE = RECIPES / f"{MODEL}.yaml"
RESULTS = Path(__file__).parent / "results" / "viability_folds.json"
FOLDS, PULL = 5, 1.0
MIX = ((0, 79 / 2435), (0.999, 957 / 2435), (1, 1399 / 2435))
"""Pictures of the source that hold cells (``all_image_counts.csv``): up to which share of living ones, and how many."""

ENDS = [end for end, _ in MIX]
KINDS = ("all dead", "mixed", "all alive")
ON = "150 pictures, each read by one of five twins that did not see it, weighted to the mix of the source"


def everything():
    """The corpus of the recipe, in which nothing is kept apart."""
    return run_to_end(load_labelled_images(read_recipe(RECIPE), RECIPES))


def fold_of(groups, truth):
    """Fold of each picture, (N,): groups dealt out in turn, those of each kind after those of the one before."""
    kinds = np.searchsorted(ENDS, truth)
    first = {group: int(kind) for group, kind in zip(groups[::-1], kinds[::-1], strict=True)}
    rng = np.random.default_rng(0)
    order = [g for kind in range(len(KINDS)) for g in rng.permutation(sorted(g for g in first if first[g] == kind))]
    dealt = {group: number % FOLDS for number, group in enumerate(order)}
    return np.array([dealt[group] for group in groups])


def read():
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return kept if kept.get("recipe") == recipe_hash(MODEL) else {"recipe": recipe_hash(MODEL), "pictures": {}}


def ridge(features, truth, weights, others):
    """Weighted ridge regression on the others of standardised features (N, F); numbers of all, cut to 0 to 1."""
    middle, spread = features[others].mean(0), features[others].std(0) + 1e-9
    x = np.column_stack([np.ones(len(features)), (features - middle) / spread])
    w = weights[others, None]
    pull = PULL * np.eye(x.shape[1])
    pull[0, 0] = 0
    found = np.linalg.solve(x[others].T @ (w * x[others]) + pull, x[others].T @ (w[:, 0] * truth[others]))
    return np.clip(x @ found, 0, 1)


def weighted_median(values, weights):
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])


def run(folds):
    """Train the twins of the folds that are missing, and keep what each says of its fold."""
    recipe, corpus = read_recipe(RECIPE), everything()
    pairs, samples = corpus.pairs["train"], corpus.samples["train"]
    truth, groups = truth_of(pairs), [s.labelled.group for s in samples]
    fold = fold_of(groups, truth)
    features = np.array([simple_features(p.image[0].astype(float)) for p in pairs])
    for number in folds:
        there = fold == number
        names = [samples[i].labelled.images.name for i in np.flatnonzero(there)]
        if all(name in read()["pictures"] for name in names):
            continue
        clock = time.process_time()
        own = {
            "train": [p for p, out in zip(pairs, there, strict=True) if not out],
            "validation": [],
            "test": [],
        }
        network = build_network(recipe.network)
        initialise(network, torch.Generator().manual_seed(recipe.training.seed))
        twin = corpus.__class__(own, {**corpus.samples, "train": []}, corpus.input, "")
        trained = run_to_end(train(ViabilityJob(recipe, twin, network), recipe.training))
        said = predict(trained.network, [pairs[i] for i in np.flatnonzero(there)])[0]
        weights = mixed(truth[~there], MIX)
        plain = ridge(features, truth, mixed(truth, MIX), ~there)[there]
        mean, median = np.average(truth[~there], weights=weights), weighted_median(truth[~there], weights)
        kept = read()
        for name, i, a, b in zip(names, np.flatnonzero(there), said, plain, strict=True):
            kept["pictures"][name] = {
                "fold": number,
                "group": groups[i],
                "truth": float(truth[i]),
                "network": round(float(a), 5),
                "ridge": round(float(b), 5),
                "mean": round(float(mean), 5),
                "median": median,
            }
        RESULTS.write_text(json.dumps(kept, indent=0))
        print(f"fold {number}: {time.process_time() - clock:.0f} s of processor time", flush=True)


class Found:
    """What the folds gave: columns (N,) by name, and the weights of the mix."""

    def __init__(self):
        rows = list(read()["pictures"].values())
        if not rows:
            sys.exit("No fold was run by this recipe: viability_folds run")
        self.groups = [row["group"] for row in rows]
        self.of = {k: np.array([row[k] for row in rows]) for k in rows[0] if k != "group"}
        self.truth, self.fold = self.of["truth"], self.of["fold"]
        self.weights = mixed(self.truth, MIX)

    def mae(self, name):
        """Weighted mean absolute error, with an interval over groups."""
        error = np.abs(self.of[name] - self.truth)
        return group_interval(self.groups, lambda r: float(np.average(error[r], weights=self.weights[r])))

    def gain(self, name):
        """By how much the network's error is lower than another's, paired."""
        gain = np.abs(self.of[name] - self.truth) - np.abs(self.of["network"] - self.truth)
        return group_interval(self.groups, lambda r: float(np.average(gain[r], weights=self.weights[r])))

    def calibrated(self, rows):
        """Interval calibrated on some pictures."""
        groups = [self.groups[i] for i in np.flatnonzero(rows)]
        return calibrate(
            self.truth[rows], self.of["network"][rows], groups, INTERVAL_LEVEL, on=ON, weights=self.weights[rows]
        )

    def inside(self):
        """Whether each picture lies in the interval calibrated on the other folds, and the intervals' widths."""
        inside, width = np.zeros(len(self.truth), bool), np.zeros(len(self.truth))
        for number in np.unique(self.fold):
            there = self.fold == number
            low, high = interval(self.of["network"][there], self.calibrated(~there))
            low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
            inside[there] = (low <= self.truth[there]) & (self.truth[there] <= high)
            width[there] = high - low
        return inside, width


def told(found):
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"


def report(found):
    print(f"{len(found.truth)} pictures, {len(set(found.groups))} groups, folds {sorted(set(found.fold.tolist()))}")
    for name in ("network", "ridge", "mean", "median"):
        error = np.abs(found.of[name] - found.truth)
        print(f"  {name:8} MAE {told(found.mae(name))}, each picture as often as every other {error.mean():.4f}")
    for name in ("mean", "median"):
        gain = found.gain(name)
        verdict = "met" if gain.low > 0 else "MISSED"
        print(f"  network better than the {name} by {told(gain)}: {verdict}")
    kinds = np.searchsorted(ENDS, found.truth)
    for low, high in pairwise(BINS):
        error = (found.of["network"] - found.truth)[(found.truth >= low) & (found.truth < high)]
        print(f"  from {low:g} to below {high:g}: bias {error.mean():+.3f} ± {error.std():.3f} (n {len(error)})")
    for number, kind in enumerate(KINDS):
        error = (found.of["network"] - found.truth)[kinds == number]
        print(
            f"  {kind:9} bias {error.mean():+.3f} ± {error.std():.3f}, MAE {np.abs(error).mean():.3f} (n {len(error)})"
        )
    r = pearson(found.truth, found.of["network"])
    print(f"  Pearson, unweighted {r:.3f}")
    inside, width = found.inside()
    share = np.average(inside, weights=found.weights)
    verdict = "met" if 0.85 <= share <= 0.95 else "MISSED"
    covered = group_interval(found.groups, lambda rows: float(np.average(inside[rows], weights=found.weights[rows])))
    by_kind = ", ".join(f"{kind} {inside[kinds == n].mean():.0%}" for n, kind in enumerate(KINDS))
    print(
        f"  nominal {INTERVAL_LEVEL:.0%}: {share:.1%} inside ({covered.low:.1%} to {covered.high:.1%}), bar 85 to 95 %: "
        f"{verdict}; {by_kind}; mean width {np.average(width, weights=found.weights):.3f}"
    )


def write(found, path):
    """Put figures and interval of the folds into the card of a model that was trained by the recipe on all pictures."""
    card = find_model(path)[0]
    metrics = []
    for name, words in (("network", "MAE"), ("median", "MAE of the best constant")):
        error = found.mae(name)
        low, high = (float(f"{v:.4g}") for v in (error.low, error.high))
        metrics.append(
            Metric(
                name=words,
                value=float(f"{error.value:.4g}"),
                low=low,
                high=high,
                level=LEVEL,
                unit="living share",
                on=ON,
                n=len(found.truth),
                from_holdout_model=True,
            )
        )
    intervals: Intervals = found.calibrated(np.ones(len(found.truth), bool))
    print(write_card(card.model_copy(update={"metrics": tuple(metrics), "intervals": intervals}), Path(path).parent))


def main(arguments):
    torch.set_num_threads(1)
    if arguments[:1] == ["run"]:
        run([int(a) for a in arguments[1:]] or range(FOLDS))
    print(describe())
    found = Found()
    report(found)
    if arguments[:1] == ["write"]:
        write(found, arguments[1])
