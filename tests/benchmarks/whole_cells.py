"""Whole cells from a predicted mask and from a predicted stain, against the outlines that came with the five-stain field.

``whole_cells --train`` first trains the model of masks that lies beside (half a minute of one quiet core): nuclei and cell
bodies made black and white by a local threshold and an opening, learnt by cross-entropy on rows 0-399, the cuts chosen
on rows 432-543, masks read on rows 640-809; cells are those of the whole field whose middle lies below row 543, which
neither model was trained on. Cells of all ways but the last grow from the same predicted nuclei.
"""

from __future__ import annotations

import sys

import numpy as np
import tifffile
from scipy import ndimage
from tests.benchmarks.isl import RECIPES, TWINS, predictor
from tests.benchmarks.machine import describe
from tests.benchmarks.organelle_objects import NUCLEUS_PX, TEST_FROM, without_border

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import read_card
from vitascope.ops.intensity.mask import THESIS_CUT
from vitascope.ops.objects.filled_outlines import fill_outlines
from vitascope.ops.objects.segment import SegmentParams, segment
from vitascope.ops.objects.whole_cells import cell_foreground, grow_cells
from vitascope.pipelines.stain_tiers import without_stain
from vitascope.recipes.recipe import Recipe, find_data, parse_recipe, read_recipe
from vitascope.stats.object_match import Matched, match_objects
from vitascope.training.data.stain import load_corpus
from vitascope.training.tasks.stain import run_training

ID = "whole-cells-twin"
UNSEEN_FROM = 544
STEPS, BLOCK_PX = 400, 301
"""Twice a cell and more: of the blocks tried on the outlined cells of rows 20-519 (111, 181, 301, 501 px) the first whose
mask covers most of them (0.69, 0.79, 0.89, 0.94) while its area stays near what Li's threshold takes."""


def mask_recipe() -> Recipe:
    """Return the recipe of the twin for two masks, with rows of its own to choose the cuts on."""
    twin = read_recipe(RECIPES / "organelles-brightfield-twin.yaml").model_dump(mode="json")
    (data,) = twin["data"]
    (pair,) = data["pairs"]
    stains = pair["targets"]
    pair["targets"] = {"nuclei": stains["nuclei"], "cells": stains["agp"]}
    changes = {
        "id": ID,
        "title": "Masks of nuclei and whole cells from bright-field (rows 0-399)",
        "summary": "one bright-field plane to masks of nuclei and cells; one field of fixed cells",
        "split": {"by": "region", "train_rows": [[0, 400]], "validation_rows": [[432, 544]], "test_rows": [[640, 810]]},
        "targets": [
            {"name": "nuclei", "masks": True, "colormap": "bop blue"},
            {"name": "cells", "colormap": "green"},
        ],
        "target_preparation": {"mask": True, "mask_block_px": BLOCK_PX},
        "loss": {"bce": 1.0},
        "training": {**twin["training"], "epochs": 8, "steps_per_epoch": STEPS // 8},
    }
    twin["network"] = {"name": "unet", "arguments": {"in_channels": 1, "out_channels": 2, "width": 0.5}}
    return parse_recipe({**twin, **changes}, ID)


def train(recipe: Recipe) -> None:
    for progress in run_training(recipe, RECIPES, TWINS):
        if getattr(progress, "preview", False):
            print(f"\r{progress.stage}, loss {progress.loss:.4f}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def below(labels: np.ndarray) -> np.ndarray:
    """Keep whole objects whose middle lies in rows that nothing was trained on."""
    labels = without_border(labels)
    numbers = np.unique(labels[labels > 0])
    middles = ndimage.center_of_mass(labels > 0, labels, numbers)
    kept = [number for number, (y, _) in zip(numbers, middles, strict=True) if y >= UNSEEN_FROM]
    return np.where(np.isin(labels, kept), labels, 0)


def score(matched: Matched) -> str:
    interval = matched.f1_interval()
    return f"{matched.f1:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def told(name: str, outlined: np.ndarray, found: np.ndarray, bodies: np.ndarray) -> None:
    """Print how cells agree with the outlines, those without any real stain listed apart."""
    found = below(found)
    matched = match_objects(outlined, found)
    empty = without_stain(matched, found, outlined, bodies)
    rest = Matched(matched.truth, matched.found, matched.missed, np.setdiff1d(matched.invented, empty))
    there, seen = (np.bincount(labels.ravel().astype(int)) for labels in (outlined, found))
    areas = np.median(seen[matched.found] / there[matched.truth]) - 1 if len(matched.found) else np.nan
    print(
        f"  {name:42} F1 {score(matched)}; {len(matched.found) + len(matched.invented)} found, {len(empty)} of them where "
        f"the real stain is empty (dead, or wrong), without these F1 {score(rest)}; area of matched cells {areas:+.2f}"
    )


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = mask_recipe()
    try:
        corpus = run_to_end(load_corpus(recipe, RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    card = TWINS / f"{ID}.json"
    if "--train" in arguments and not card.is_file():
        train(recipe)
    if not card.is_file():
        print("there is no such model yet: whole_cells --train")
        return
    cuts = read_card(card).default_params
    print("cuts chosen on rows 432-543:", ", ".join(f"{name} {value:.3f}" for name, value in cuts.items()))
    rows = slice(TEST_FROM, None)
    folder = find_data(recipe.data[0], RECIPES)
    outlined = below(fill_outlines(tifffile.imread(folder / "cells_outlines.tif")))
    bodies = tifffile.imread(folder / recipe.data[0].pairs[0].targets["cells"]).astype(np.float32)
    (pair,) = corpus.test
    twin = read_recipe(RECIPES / "organelles-brightfield-twin.yaml")
    names = [target.name for target in twin.targets]
    stains = dict(zip(names, predictor(TWINS / f"{twin.id}.json", flips=False)(pair.image), strict=True))
    masks = predictor(card, flips=False)(pair.image)
    truth = pair.target > 0
    print(f"masks against those of the real stains, rows {TEST_FROM}-809 (no pixel of them was learnt from)")
    for k, name in enumerate(("nuclei", "cells")):
        for word, cut in (("card", cuts[f"cut_{name}"]), ("thesis", THESIS_CUT)):
            seen, there = masks[k][rows] > cut, truth[k][rows]
            iou = (seen & there).sum() / (seen | there).sum()
            print(f"  {name}, cut {word} {cut:.2f}: IoU {iou:.3f}, area bias {seen.sum() / there.sum() - 1:+.3f}")
    seeds = segment(stains["nuclei"], SegmentParams(diameter_px=NUCLEUS_PX)).labels
    own = segment(masks[0], SegmentParams(diameter_px=NUCLEUS_PX, cut=cuts["cut_nuclei"])).labels
    print(
        f"whole cells against {len(np.unique(outlined)) - 1} outlines with their middle below row 543, those at the border left out"
    )
    told(
        "intensity: Li's threshold of predicted AGP",
        outlined,
        grow_cells(seeds, stains["agp"], cell_foreground(stains["agp"], NUCLEUS_PX)),
        bodies,
    )
    for word, cut in (("card", cuts["cut_cells"]), ("thesis", THESIS_CUT)):
        told(f"mask: cut {word} {cut:.2f}", outlined, grow_cells(seeds, stains["agp"], masks[1] > cut), bodies)
    told("mask alone, nuclei from it too", outlined, grow_cells(own, masks[1], masks[1] > cuts["cut_cells"]), bodies)
