"""Can the accuracy of a cell's class be told without its label? Tiles that were held out, whole and made worse.

``python -m tests.benchmarks phenotype_expected``: how well confidence, agreement between shifts and distance to the training
images rank right before wrong answers of ``cell-cycle-brightfield`` (area under the ROC curve; 0.5 is chance).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage
from scipy.stats import rankdata
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.progress import run_to_end
from vitascope.engine.domain import feature_distances
from vitascope.engine.load_model import load_model
from vitascope.ops.intensity.quality import crop_statistics
from vitascope.ops.wells.cell_views import PHASES, VIEW_STEPS, cell_centre, phases_sheet
from vitascope.recipes.recipe import read_recipe
from vitascope.training.data.single_cells import load_cells
from vitascope.training.tasks.phenotype import MosaicJob

EACH = 16
"""Cells of a class, of each part."""
WATCHED = ("mean", "contrast", "focus", "skewness")


def worse(tile: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """A tile (C, side, side) in network units, whole and corrupted."""
    spread = tile.std()
    yield "none", tile
    for radius in (0.7, 1.3, 2.2):
        yield "blur", ndimage.gaussian_filter(tile, (0, radius, radius))
    for sigma in (0.15, 0.4, 0.9):
        yield "noise", tile + rng.standard_normal(tile.shape).astype(np.float32) * sigma * spread
    yield "inverted", 2 * np.median(tile) - tile
    for gain in (0.7, 1.4, 0.4):
        yield "gain", tile * gain
    for more in (0.5, -1.0):
        yield "bright", tile + more
    for factor in (0.8, 1.25, 1.6, 0.6):
        yield "zoom", ndimage.zoom(tile, (1, factor, factor), order=1)
    y, x = np.mgrid[-1 : 1 : tile.shape[1] * 1j, -1 : 1 : tile.shape[2] * 1j]
    yield "shading", tile + 1.5 * spread * (x + 0.5 * y)


def collect() -> list[dict]:
    """What the model says of each tile, view by view, and how far the tile lies from the training images."""
    recipe = read_recipe(RECIPES / "cell-cycle-brightfield.yaml")
    model = load_model("cell-cycle-brightfield", "phenotype")
    recipe = recipe.changed({"network.arguments": model.card.architecture.arguments, "input": model.card.input})
    corpus = run_to_end(load_cells(recipe, RECIPES))
    job, domain = MosaicJob(recipe, corpus, model.network), model.card.domain
    step, cell, net = model.family.multiple_px, job.cell_px, model.network
    mean, spread = np.array(domain.feature_mean), np.array(domain.feature_std)
    rows, rng, side = [], np.random.default_rng(0), VIEW_STEPS * step
    for part in ("validation", "test"):
        for label, tiles in enumerate(corpus.tiles[part]):
            for number in rng.permutation(len(tiles))[:EACH]:
                for corruption, made in worse(tiles[number], rng):
                    tile = np.clip(np.asarray(made, np.float32), -5, 10)
                    sheet, counts = phases_sheet(tile, cell_centre(tile, cell), step, cell, PHASES)
                    views = cut(torch.from_numpy(np.ascontiguousarray(sheet)), side)
                    weight = cut(torch.from_numpy(np.ascontiguousarray(counts))[None], VIEW_STEPS)
                    with torch.inference_mode():
                        by_view = torch.exp(net(views, weight).pooled.log_p).numpy()
                        pooled = net.features(views[5:6])[0].double().mean((1, 2)).numpy()
                    far = float(feature_distances(pooled[None], mean, spread)[0])
                    fits = far <= domain.distance_99 and all(
                        not np.isfinite(value) or domain.statistics[name][0] <= value <= domain.statistics[name][2]
                        for name, value in crop_statistics(tile[0]).items()
                        if name in WATCHED
                    )
                    rows.append(
                        {"label": label, "corruption": corruption, "by_view": by_view, "far": far, "fits": fits}
                    )
    return rows


def cut(sheet: torch.Tensor, side: int) -> torch.Tensor:
    """Cut a sheet (C, H, W) into its views, (PHASES**2, C, side, side)."""
    places = [(i * side, k * side) for i in range(PHASES) for k in range(PHASES)]
    return torch.stack([sheet[:, y : y + side, x : x + side] for y, x in places])


def area(score: np.ndarray, right: np.ndarray) -> float:
    """Area under the ROC curve."""
    ranks, hits = rankdata(score), int(right.sum())
    if not 0 < hits < len(right):
        return float("nan")
    return float((ranks[right].sum() - hits * (hits + 1) / 2) / (hits * (len(right) - hits)))


def report(rows: list[dict]) -> None:
    by_view = np.array([r["by_view"] for r in rows])
    told = by_view.mean(axis=1)
    right = told.argmax(1) == np.array([r["label"] for r in rows])
    share = told / told.sum(1, keepdims=True)
    ordered = np.sort(share, axis=1)
    scores = {
        "margin": ordered[:, -1] - ordered[:, -2],
        "entropy": (share * np.log(share + 1e-9)).sum(1),
        "agreement between shifts": (by_view.argmax(2) == told.argmax(1)[:, None]).mean(1),
        "feature distance": -np.array([r["far"] for r in rows]),
    }
    corruption, fits = np.array([r["corruption"] for r in rows]), np.array([r["fits"] for r in rows], bool)
    parts = {"whole": corruption == "none", "all": np.ones(len(rows), bool), "all that fit": fits}
    print(f"{len(rows)} tiles; right: " + ", ".join(f"{n} {right[p].mean():.2f}" for n, p in parts.items()))
    for name, score in scores.items():
        print(f"{name:26} " + ", ".join(f"{n} {area(score[p], right[p]):.2f}" for n, p in parts.items()))
    for name in np.unique(corruption):
        part = corruption == name
        print(
            f"{name:9} fit {fits[part].mean():.2f}; right {right[part].mean():.2f}, of those that fit "
            f"{right[part & fits].mean() if (part & fits).any() else float('nan'):.2f}; area by margin "
            f"{area(scores['margin'][part], right[part]):.2f}; mean margin {scores['margin'][part].mean():.2f}"
        )


def main(arguments: list[str]) -> None:
    print(describe())
    torch.set_num_threads(1)
    report(collect())
