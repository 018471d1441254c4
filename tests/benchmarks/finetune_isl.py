"""Fine-tuning on two crops of a shifted copy of the ISL field: how much of the gap to training on all of it comes back?

The copy: contrast inverted, halved and bent, enlarged by 1.3, blurred; the twin trained on rows 0-575 is fine-tuned on two crops
of 512 px of those rows, and read on rows 640-767. ``finetune_isl [--epochs N] [--first]``, the second
for the first layers alone; the reference, trained from scratch on the three
planes of all of rows 0-575 of the copy, lies beside the twins; ``--reference`` trains it anew where it does not (half an hour).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from tests.benchmarks.isl import RECIPES, TWINS, predictor
from tests.benchmarks.machine import describe

from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.preprocess import prepare_picture
from vitascope.io.images.read import read_image
from vitascope.recipes.finetune import FineTuneParams, TrainingPair
from vitascope.recipes.recipe import Recipe, find_data, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.tasks.registry import find_task
from vitascope.training.finetune import set_up_pairs

SCALE, BLUR_PX = 1.3, 1.5
CROPS = ((60, 100), (200, 700))
SIDE = 512
KEPT = ("nothing", "all but the first layers")
TRAINED, READ = 576, (640, 768)
START, REFERENCE = TWINS / "nuclei-phase-twin-seed0.json", TWINS / "nuclei-phase-shifted-all.json"


def shifted(picture: np.ndarray, label_free: bool) -> np.ndarray:
    big = ndimage.zoom(picture.astype(np.float32), SCALE, order=1)
    if not label_free:
        return big
    low, high = np.percentile(big, (0.1, 99.9))
    bent = np.clip((high - big) / (high - low), 0, None) ** 1.5
    return ndimage.gaussian_filter(8000 + 12000 * bent, BLUR_PX)


def run(recipe: Recipe, folder: str, out: Path) -> Path:
    """Train, telling how far it is."""
    steps = find_task("stain").load_training().run_training(recipe, Path(folder), out, None, "cpu")
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return end.value
        if getattr(progress, "preview", False):
            print(f"{recipe.id}: {progress.stage}, loss {progress.loss:.4f}, {dict(progress.metrics)}", file=sys.stderr)


def train_reference(planes: list[np.ndarray], dapi: np.ndarray) -> None:
    rows = round(TRAINED * SCALE)
    pairs = [
        TrainingPair(
            f"plane {number}",
            Micrograph.from_array(np.rint(plane[:rows]).astype(np.uint16), name=f"plane {number}"),
            {"DAPI": dapi[:rows]},
        )
        for number, plane in enumerate(planes)
    ]
    params = FineTuneParams(length="full", last="no more")
    ready = run_to_end(set_up_pairs(REFERENCE.stem, START.stem, pairs, params, scratch=True))
    split = {"by": "region", "train_rows": [[0, rows]]}
    run(Recipe.model_validate({**ready.recipe.model_dump(), "split": split}), ready.folder, TWINS)


def main(arguments: list[str]) -> None:
    epochs = int(arguments[arguments.index("--epochs") + 1]) if "--epochs" in arguments else None
    asked = [KEPT[1]] if "--first" in arguments else KEPT
    print(describe())
    recipe = read_recipe(RECIPES / "nuclei-phase-twin.yaml")
    folder = find_data(recipe.data[0], RECIPES)
    raw = [np.asarray(read_image(str(folder / pair.image)).plane()) for pair in recipe.data[0].pairs]
    stain = np.asarray(read_image(str(folder / recipe.data[0].pairs[1].targets["DAPI"])).plane())
    planes, dapi = [shifted(plane, True) for plane in raw], shifted(stain, False)
    phase = planes[1]
    rows = slice(round(READ[0] * SCALE), round(READ[1] * SCALE))

    def score(card: Path, image: np.ndarray, truth: np.ndarray, where: slice) -> float:
        prepared = run_to_end(prepare_picture([image], recipe.input, 1.0))
        whole = prepared.read((slice(0, image.shape[0]), slice(0, image.shape[1])))
        return float(pcc(predictor(card, False)(whole)[0, where], truth[where].astype(np.float32)))

    print(f"starting model on the field itself   PCC {score(START, raw[1], stain, slice(*READ)):.3f}")
    before = score(START, phase, dapi, rows)
    print(f"starting model on the shifted copy   PCC {before:.3f}")
    with tempfile.TemporaryDirectory() as name:
        os.environ["VITASCOPE_MODELS"] = os.pathsep.join([str(Path(name) / "models"), str(TWINS)])
        if "--reference" in arguments and not REFERENCE.exists():
            train_reference(planes, dapi)
        pairs = []
        for number, (y, x) in enumerate(CROPS):
            part = (slice(y, y + SIDE), slice(x, x + SIDE))
            image = Micrograph.from_array(np.rint(phase[part]).astype(np.uint16), name=f"crop {number}")
            pairs.append(TrainingPair(f"crop {number}", image, {"DAPI": dapi[part]}))
        found = {}
        for number, kept in enumerate(asked):
            params = FineTuneParams(epochs=epochs, last="all", freeze=kept)
            ready = run_to_end(set_up_pairs(f"fine{number}", START.stem, pairs, params))
            begin, processor = time.perf_counter(), time.process_time()
            card = run(ready.recipe, ready.folder, Path(name) / "models")
            seconds, processor = time.perf_counter() - begin, time.process_time() - processor
            found[kept] = score(card, phase, dapi, rows)
            print(
                f"two crops, kept as it is: {kept:25} PCC {found[kept]:.3f}, {seconds:.0f} s ({processor:.0f} s of CPU)"
            )
        print(ready.description)
    if REFERENCE.exists():
        best = score(REFERENCE, phase, dapi, rows)
        shares = ", ".join(f"{(after - before) / (best - before):.0%} ({kept})" for kept, after in found.items())
        print(f"trained on all of rows 0-575         PCC {best:.3f}; share of the gap {shares}")
    print(describe())
