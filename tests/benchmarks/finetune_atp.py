"""Fine-tuning on 48 wells of another simulated laboratory, against recalibration and against training from scratch.

Laboratories differ in the size of organoids and in contrast (a power of the light that is left); their luminescence is
in units 1000 times smaller. ``finetune_atp [LABORATORY ...] [--seed N]``: one model for each way, read on 120 wells of
other plates. What is chosen (rates, augmentation, pulls) is chosen on laboratories of other sizes, contrasts and seeds.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import tifffile
from tests.benchmarks.machine import describe

from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import load_model
from vitascope.io.models.cards import read_card
from vitascope.recipes.finetune import FineTuneParams, TableData
from vitascope.recipes.recipe import AmountSource, Recipe
from vitascope.simulate import wells
from vitascope.tasks.registry import find_task
from vitascope.training.finetune import set_up_table
from vitascope.training.tasks.atp import prepare
from vitascope.training.tasks.regression import predict, truth_of

START, SEED, SIDE_PX, PER_PLATE = "atp-organoid", 77, 128, 4
LABELS = 1000.0
LABORATORIES = {"larger-fainter": (1.35, 0.6), "smaller-stronger": (0.75, 1.5)}
"""Width of organoids against those the starting model knows, and power of the contrast."""

TRAIN, TEST = 48, 120


def make_wells(folder: Path, lab: tuple[float, float], seed: int, first: int, count: int) -> None:
    wider, contrast = lab
    folder.mkdir(parents=True)
    rows = []
    with mock.patch.object(wells, "RADIUS", wells.RADIUS * wider):
        for number in range(first, first + count):
            well = wells.make_well(seed, number, number // PER_PLATE, SIDE_PX)
            middle = float(np.median(well.image))
            image = middle * (well.image / middle) ** contrast
            name = f"well{number:04d}.tif"
            tifffile.imwrite(folder / name, np.clip(np.rint(image), 0, 65535).astype(np.uint16))
            rows.append({"image": name, "atp": well.atp_rlu * LABELS})
    pd.DataFrame(rows).to_csv(folder / "atp.csv", index=False)


def read(model: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Truth and estimate of all wells of a folder, as a run of this model prepares them."""
    loaded = load_model(model, "atp")
    tree = {"amounts": AmountSource(table="atp.csv", by="image").model_dump()}
    data = {"name": "wells", "url": "", "licence": "CC0-1.0", "credit": "", "folder": str(folder), **tree}
    recipe = Recipe.model_validate(
        {
            **{
                k: getattr(loaded.card, k)
                for k in ("task", "id", "title", "summary", "limitations", "licence", "credit")
            },
            "data": [data],
            "split": {"by": "group"},
            "input": loaded.card.input.model_dump(),
            "targets": [t.model_dump() for t in loaded.card.targets],
            "network": loaded.card.architecture.model_dump(),
            "loss": {"beta": 0.5, "decay": 0.9},
        }
    )
    pairs = run_to_end(prepare(recipe, folder, loaded.network)).corpus.pairs["train"]
    return truth_of(pairs), predict(loaded.network, pairs)[0]


def train(name: str, folder: Path, params: FineTuneParams, scratch: bool) -> tuple[Path, float, float]:
    data = TableData(str(folder), AmountSource(table="atp.csv", by="well"), "laboratory")
    ready = set_up_table(name, START, data, params, scratch)
    recipe = ready.recipe.changed({"split.test_fraction": 0.0})
    begin, processor = time.perf_counter(), time.process_time()
    run = find_task("atp").load_training().run_training
    path = run_to_end(run(recipe, Path(ready.folder), folder.parent / "models", None, "cpu"))
    return path, time.perf_counter() - begin, time.process_time() - processor


def measure(lab: str, seed: int, folder: Path) -> None:
    os.environ["VITASCOPE_MODELS"] = str(folder / "models")
    make_wells(folder / "train", LABORATORIES[lab], seed, 0, TRAIN)
    make_wells(folder / "test", LABORATORIES[lab], seed, 400, TEST)
    known, guessed = read(START, folder / "train")
    truth, estimate = read(START, folder / "test")
    slope, offset = np.polyfit(guessed, known, 1)
    base = np.abs(slope * estimate + offset - truth).mean()
    print(f"{lab}, seed {seed}: mean amount of {TEST} wells {truth.mean():.3g}")
    print(f"  {'starting model, straight-line recalibration':45} MAE {base:.4g}", flush=True)
    for label, scratch, params in (
        ("fine-tuned, quick recipe", False, FineTuneParams(last="all")),
        ("from scratch, full recipe", True, FineTuneParams(length="full", last="all")),
    ):
        path, seconds, processor = train(label.replace(" ", "-").replace(",", ""), folder / "train", params, scratch)
        truth, estimate = read(str(path), folder / "test")
        error = np.abs(estimate - truth).mean()
        told = f"{seconds:.0f} s ({processor:.0f} s of processor), rounds {read_card(path).training['best_epoch']}"
        print(f"  {label:45} MAE {error:.4g} ({error / base - 1:+.0%})  {told}", flush=True)


def main(arguments: list[str]) -> None:
    seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else SEED
    print(describe())
    for lab in [a for a in arguments if a in LABORATORIES] or LABORATORIES:
        with tempfile.TemporaryDirectory() as name:
            measure(lab, seed, Path(name))
    print(describe())
