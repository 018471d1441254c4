"""Accuracy of ``dna-brightfield`` on cells kept apart: inside the cell, integrated DNA, G2/G1; against ridge regression."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from tests.benchmarks.isl import RECIPES, predictor, ridge
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.recipes.recipe import read_recipe
from vitascope.stats.agreement import pcc, spearman
from vitascope.stats.bootstrap import group_interval
from vitascope.training.data.stain import load_corpus

SIDE = 40


def cells(picture: np.ndarray) -> np.ndarray:
    """Cut a mosaic (C, H, W) into its cells (n, C, 40, 40)."""
    c, h, w = picture.shape
    return picture.reshape(c, h // SIDE, SIDE, w // SIDE, SIDE).transpose(1, 3, 0, 2, 4).reshape(-1, c, SIDE, SIDE)


def cell_mask(image: np.ndarray) -> np.ndarray:
    """Where the cell is, from bright-field alone: texture above the background, filled, the largest piece."""
    texture = ndimage.gaussian_filter(np.abs(image), 1.5)
    border = np.concatenate([texture[0], texture[-1], texture[:, 0], texture[:, -1]])
    mask = ndimage.binary_fill_holes(texture > max(0.25, 2 * np.median(border)))
    pieces, count = ndimage.label(mask)
    return mask if count == 0 else pieces == 1 + np.argmax(ndimage.sum(mask, pieces, range(1, count + 1)))


def integrated(pictures: np.ndarray) -> np.ndarray:
    """Signal above the background at the border of each cell's picture, summed."""
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    return (pictures - np.percentile(border, 20, axis=1)[:, None, None]).sum((1, 2))


def measure(name: str, corpus, predict, scale: float) -> None:
    predicted, truth, images = [], [], []
    for pair in corpus.test:
        counted = cells(pair.weight)[:, 0, 0, 0] > 0
        predicted.append(cells(predict(pair.image))[counted, 0])
        truth.append(cells(pair.target)[counted, 0])
        images.append(cells(pair.image)[counted, 0])
    predicted, truth, images = map(np.concatenate, (predicted, truth, images))
    groups = np.array(corpus.test_cells)
    masks = np.stack([cell_mask(i) for i in images])
    whole = pcc(truth, predicted)
    inside = pcc(truth[masks], predicted[masks])
    per_cell = [pcc(t[m], p[m]) for t, p, m in zip(truth, predicted, masks, strict=True) if m.sum() > 20]
    total_true, total = integrated(truth) * scale, integrated(predicted) * scale

    def ratio(rows: np.ndarray) -> float:
        g, v = groups[rows], total[rows]
        return float(np.median(v[g == "G2"]) / np.median(v[g == "G1"]))

    interval = group_interval(list(range(len(total))), lambda r: spearman(total_true[r], total[r]), resamples=500)
    ratios = group_interval(list(range(len(total))), ratio, resamples=500)
    truth_ratio = np.median(total_true[groups == "G2"]) / np.median(total_true[groups == "G1"])
    print(f"{name}: {len(total)} test cells")
    print(
        f"  PCC over the crop {whole:.4f}; inside the cell, all pixels {inside:.4f}; median within a cell {np.nanmedian(per_cell):.4f}"
    )
    print(f"  integrated DNA, Spearman {interval.value:.4f} ({interval.low:.3f} to {interval.high:.3f})")
    print(
        f"  G2/G1 of integrated DNA {ratios.value:.3f} ({ratios.low:.3f} to {ratios.high:.3f}); truth {truth_ratio:.3f}"
    )


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "dna-brightfield.yaml")
    try:
        corpus = run_to_end(load_corpus(recipe, RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    low, high = corpus.scales[0]
    print(corpus.description)
    measure("ridge regression", corpus, ridge(corpus), high - low)
    card = BUNDLED_MODELS / "dna-brightfield.json"
    measure("dna-brightfield", corpus, predictor(card, flips=False), high - low)
    print(describe())
