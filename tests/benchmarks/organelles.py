"""Five stains from one bright-field plane: correlation on rows kept apart, whole and inside cells, against ridge.

``organelles`` measures the twins that lie under ``tests/benchmarks/models``; ``organelles --train`` trains those that
are missing first (about 10 minutes each on one core).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile
from tests.benchmarks.isl import RECIPES, TWINS, predictor, ridge
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.ops.objects.filled_outlines import fill_outlines
from vitascope.recipes.recipe import Recipe, find_data, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.stats.bootstrap import pcc_gain_interval, pcc_interval
from vitascope.training.data.stain import load_corpus
from vitascope.training.tasks.stain import run_training

SPLITS = ("organelles-brightfield-twin", "organelles-brightfield-mirror")
BARS = {"nuclei": 0.78, "er": 0.91, "agp": 0.89, "mito": 0.92, "rna": 0.92}
BLOCK_PX = 85
"""Half the height of the strip, and about a cell: pixels of one cell are no independent witnesses."""


def train(recipe: Recipe) -> None:
    for progress in run_training(recipe, RECIPES, TWINS):
        if getattr(progress, "preview", False):
            print(f"\r{recipe.id}: {progress.stage}, loss {progress.loss:.4f}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def cells(recipe: Recipe) -> np.ndarray:
    """Return where cells are, by the outlines that came with the field; cells at its border have none."""
    folder = find_data(recipe.data[0], RECIPES)
    return fill_outlines(tifffile.imread(folder / "cells_outlines.tif")) > 0


def measure(recipe: Recipe, corpus, predict, floor) -> list[dict[str, object]]:
    """Return a row for each target and region: correlation, ridge's, and the gain, each with its interval."""
    (pair,) = corpus.test
    (area,) = pair.areas
    window = (slice(area.top, area.bottom), slice(area.left, area.right))
    found, baseline = predict(pair.image), floor(pair.image)
    inside = cells(recipe)
    rows = []
    for k, target in enumerate(recipe.targets):
        for region, counted in (("all", np.ones_like(inside)), ("inside cells", inside)):
            counted = counted & (pair.weight[0] > 0)
            truth = np.where(counted, pair.target[k], np.nan)[window]
            mine, other = found[k][window], baseline[k][window]
            own, gain = (
                pcc_interval(truth, mine, block_px=BLOCK_PX),
                pcc_gain_interval(truth, mine, other, block_px=BLOCK_PX),
            )
            rows.append(
                {
                    "target": target.name,
                    "region": region,
                    "pixels": int(np.isfinite(truth).sum()),
                    "pcc": pcc(truth, mine),
                    "low": own.low,
                    "high": own.high,
                    "ridge": pcc(truth, other),
                    "gain_low": gain.low,
                    "gain_high": gain.high,
                }
            )
    return rows


def show(rows: list[dict[str, object]]) -> None:
    for row in rows:
        bar = BARS.get(str(row["target"])) if row["region"] == "all" else None
        print(
            "  {target:7} {region:13} PCC {pcc:.3f} ({low:.3f} to {high:.3f}); ridge {ridge:.3f}; gain "
            "({gain_low:.3f} to {gain_high:.3f}); {pixels} px".format(**row)
            + (f"; bar {bar}: {'met' if row['pcc'] >= bar else 'missed'}" if bar else "")
        )


def main(arguments: list[str]) -> None:
    print(describe())
    folder = Path(arguments[-1]) if arguments and not arguments[-1].startswith("--") else TWINS
    for stem in SPLITS:
        recipe = read_recipe(RECIPES / f"{stem}.yaml")
        try:
            corpus = run_to_end(load_corpus(recipe, RECIPES))
        except ReaderError as error:
            print(f"skipped: {error}")
            return
        card = folder / f"{stem}.json"
        if not card.is_file() and "--train" in arguments:
            train(recipe)
        if not card.is_file():
            print(f"{card.name} is not there: run with --train")
            continue
        print(f"\n{stem}: {corpus.description}; blocks of {BLOCK_PX} px drawn, 95 %")
        floor = ridge(corpus)
        show(measure(recipe, corpus, predictor(card, flips=False), floor))
        print("  flips averaged:")
        show([r for r in measure(recipe, corpus, predictor(card, flips=True), floor) if r["region"] == "all"])
