"""Fine-tuning on two crops of a shifted copy of the ISL field: how much of the gap to training on all of it comes back?

The copy: contrast inverted, halved and bent, enlarged by 1.3, blurred; the twin trained on rows 0-575 is fine-tuned on two crops
of 320 px of those rows, and read on rows 640-767. ``finetune_isl [--epochs N] [--all]``; ``--all`` trains the model on
all of rows 0-575 of the copy too (an hour), without which no share of the gap can be told.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from tests.benchmarks.isl import RECIPES, TWINS, predictor
from tests.benchmarks.machine import describe

from vitascope.core.micrograph import Micrograph
from vitascope.core.steps import finish
from vitascope.engine.prepare import prepare_picture
from vitascope.io.images import read_image
from vitascope.pipelines.finetune import set_up_pairs
from vitascope.stats.agreement import pcc
from vitascope.tasks.finetune import FineTuneParams, TrainingPair
from vitascope.tasks.recipe import find_data, read_recipe
from vitascope.tasks.registry import find_task

SCALE, BLUR_PX = 1.3, 1.5
CROPS = ((60, 100), (380, 700))
SIDE = 320
TRAINED, READ = 576, (640, 768)


def shifted(picture: np.ndarray, label_free: bool) -> np.ndarray:
    big = ndimage.zoom(picture.astype(np.float32), SCALE, order=1)
    if not label_free:
        return big
    low, high = np.percentile(big, (0.1, 99.9))
    bent = np.clip((high - big) / (high - low), 0, None) ** 1.5
    return ndimage.gaussian_filter(8000 + 12000 * bent, BLUR_PX)


def main(arguments: list[str]) -> None:
    epochs = int(arguments[arguments.index("--epochs") + 1]) if "--epochs" in arguments else None
    print(describe())
    recipe = read_recipe(RECIPES / "nuclei-phase-twin.yaml")
    folder = find_data(recipe.data[0], RECIPES)
    source = recipe.data[0].pairs[1]
    raw = np.asarray(read_image(str(folder / source.image)).plane())
    phase = shifted(raw, True)
    dapi = shifted(np.asarray(read_image(str(folder / source.targets["DAPI"])).plane()), False)
    rows = slice(round(READ[0] * SCALE), round(READ[1] * SCALE))

    def score(card: Path, image: np.ndarray, truth: np.ndarray, where: slice) -> float:
        prepared = finish(prepare_picture([image], recipe.input, 1.0))
        whole = prepared.read((slice(0, image.shape[0]), slice(0, image.shape[1])))
        return float(pcc(predictor(card, False)(whole)[0, where], truth[where].astype(np.float32)))

    start = TWINS / "nuclei-phase-twin-seed0.json"
    stain = np.asarray(read_image(str(folder / source.targets["DAPI"])).plane())
    print(f"starting model on the field itself   PCC {score(start, raw, stain, slice(*READ)):.3f}")
    before = score(start, phase, dapi, rows)
    print(f"starting model on the shifted copy   PCC {before:.3f}")
    with tempfile.TemporaryDirectory() as name:
        os.environ["VITASCOPE_MODELS"] = os.pathsep.join([str(Path(name) / "models"), str(TWINS)])
        pairs = []
        for number, (y, x) in enumerate(CROPS):
            part = (slice(y, y + SIDE), slice(x, x + SIDE))
            image = Micrograph.from_array(np.rint(phase[part]).astype(np.uint16), name=f"crop {number}")
            pairs.append(TrainingPair(f"crop {number}", image, {"DAPI": dapi[part]}))
        ready = finish(set_up_pairs("fine", start.stem, pairs, FineTuneParams(epochs=epochs)))
        begin = time.perf_counter()
        run = find_task("stain").load_training().run_training
        card = finish(run(ready.recipe, Path(ready.folder), Path(name) / "models", None, "cpu"))
        seconds = time.perf_counter() - begin
        after = score(card, phase, dapi, rows)
        print(f"fine-tuned on two crops              PCC {after:.3f}, {seconds:.0f} s, split {ready.words}")
        if "--all" in arguments:
            every = Micrograph.from_array(np.rint(phase[: round(TRAINED * SCALE)]).astype(np.uint16), name="all")
            pair = TrainingPair("all", every, {"DAPI": dapi[: round(TRAINED * SCALE)]})
            ready = finish(set_up_pairs("all", start.stem, [pair], FineTuneParams(length="full"), scratch=True))
            whole = ready.recipe.changed(
                {
                    "split.train_rows": [[0, every.shape_yx[0]]],
                    "split.validation_rows": [],
                    "split.test_rows": [],
                }
            )
            best = score(finish(run(whole, Path(ready.folder), Path(name) / "models", None, "cpu")), phase, dapi, rows)
            print(
                f"trained on all of rows 0-575         PCC {best:.3f}; share of the gap {(after - before) / (best - before):.0%}"
            )
