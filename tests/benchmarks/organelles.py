"""Five stains from one bright-field plane: correlation on rows kept apart, whole and inside cells, against ridge.

``organelles`` measures the twins that lie under ``tests/benchmarks/models``; ``organelles --train`` trains those that
are missing first (about 10 minutes each on one core), ``--figure`` draws the one of the page "Every stain".
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
from vitascope.engine.execution_plan import Plan
from vitascope.engine.flip_doubt import open_doubting
from vitascope.engine.load_model import load_model
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.intensity.doubt import error_by_doubt
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


def draw(path: Path, recipe: Recipe, corpus, predict) -> None:
    """Save the figure of the page "Every stain": rows kept apart, real and predicted."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    (pair,) = corpus.test
    (area,) = pair.areas
    window = (slice(area.top, area.bottom), slice(None))
    found = predict(pair.image)
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(6, 2)
    for side, title in zip(axes[0], ("bright-field", ""), strict=True):
        side.set_axis_off()
        side.set_title(title, fontsize="small")
    axes[0, 0].imshow(pair.image[0][window], cmap="gray", vmin=-0.6, vmax=1.6)
    colours = {"nuclei": "#5599ff", "er": "red", "agp": "lime", "mito": "magenta", "rna": "cyan"}
    for row, target in enumerate(recipe.targets, 1):
        for side, what, picture in zip(
            axes[row], ("real", "predicted"), (pair.target[row - 1], found[row - 1]), strict=True
        ):
            shades = LinearSegmentedColormap.from_list(target.name, ["black", colours[target.name]])
            side.imshow(picture[window], cmap=shades, vmin=0, vmax=0.8)
            side.set_title(f"{what} {target.name}", fontsize="small")
            side.set_axis_off()
    figure.savefig(path, dpi=110)


def doubt_table(recipe: Recipe, corpus, card: Path) -> None:
    """Print how the error on rows kept apart grows with the doubt: a fifth of the pixels in each bin."""
    model = load_model(str(card), "stain")
    (pair,) = corpus.test
    (area,) = pair.areas
    window = (slice(area.top, area.bottom), slice(None))
    count, shape = len(recipe.targets), pair.image.shape[1:]
    out = np.zeros((2 * count, *shape), np.float32)

    def sink(where, piece) -> None:
        out[(slice(None), *where)] = piece

    plan = Plan("cpu", "f32", 1024, 1)
    run_to_end(predict_picture(model, array_reader(pair.image), shape, plan, sink, open_with=open_doubting))
    for k, target in enumerate(recipe.targets):
        table = error_by_doubt(pair.target[k][window], out[k][window], out[count + k][window], 5)
        steps = ", ".join(f"{row.doubt:.4f} -> {row.error:.4f}" for row in table.itertuples())
        print(f"  {target.name:7} doubt -> mean absolute error: {steps}")


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
        doubt_table(recipe, corpus, card)
        if "--figure" in arguments and stem == SPLITS[0]:
            draw(Path("docs/images/every_stain.png"), recipe, corpus, predictor(card, flips=False))
        print("  flips averaged:")
        show([r for r in measure(recipe, corpus, predictor(card, flips=True), floor) if r["region"] == "all"])
