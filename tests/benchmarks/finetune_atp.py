"""Fine-tuning on 48 wells of another simulated laboratory, against recalibration and against training from scratch.

The other laboratory: organoids 1.35 times as wide, contrast to the power 0.6, luminescence in units 1000 times smaller.
``finetune_atp [--epochs N]``; read on 120 wells of other plates.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import tifffile
from tests.benchmarks.machine import describe

from vitascope.core.steps import finish
from vitascope.engine.load import load_model
from vitascope.io.models import read_card
from vitascope.pipelines.amount_training import predict, truth_of
from vitascope.pipelines.atp_training import prepare
from vitascope.pipelines.finetune import set_up_table
from vitascope.simulate import wells
from vitascope.tasks.finetune import FineTuneParams, TableData
from vitascope.tasks.recipe import AmountSource, Recipe
from vitascope.tasks.registry import find_task

START, SEED, SIDE_PX, PER_PLATE = "atp-organoid-sim", 77, 128, 4
WIDER, CONTRAST, LABELS = 1.35, 0.6, 1000.0
TRAIN, TEST = 48, 120


def laboratory(folder: Path, first: int, count: int) -> None:
    folder.mkdir(parents=True)
    rows = []
    with mock.patch.object(wells, "RADIUS", wells.RADIUS * WIDER):
        for number in range(first, first + count):
            well = wells.make_well(SEED, number, number // PER_PLATE, SIDE_PX)
            middle = float(np.median(well.image))
            image = middle * (well.image / middle) ** CONTRAST
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
            **{k: getattr(loaded.card, k) for k in ("task", "id", "title", "summary", "distrust", "licence", "credit")},
            "data": [data],
            "split": {"by": "group"},
            "input": loaded.card.input.model_dump(),
            "targets": [t.model_dump() for t in loaded.card.targets],
            "network": loaded.card.architecture.model_dump(),
            "loss": {"beta": 0.5, "decay": 0.9},
        }
    )
    pairs = finish(prepare(recipe, folder, loaded.network)).corpus.pairs["train"]
    return truth_of(pairs), predict(loaded.network, pairs)[0]


def train(name: str, folder: Path, params: FineTuneParams, scratch: bool) -> tuple[Path, float]:
    data = TableData(str(folder), AmountSource(table="atp.csv", by="well"), "laboratory")
    ready = set_up_table(name, START, data, params, scratch)
    recipe = ready.recipe.changed({"split.test_fraction": 0.0})
    begin = time.perf_counter()
    run = find_task("atp").load_training().run_training
    path = finish(run(recipe, Path(ready.folder), folder.parent / "models", None, "cpu"))
    return path, time.perf_counter() - begin


def main(arguments: list[str]) -> None:
    epochs = int(arguments[arguments.index("--epochs") + 1]) if "--epochs" in arguments else None
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["VITASCOPE_MODELS"] = str(folder / "models")
        laboratory(folder / "train", 0, TRAIN)
        laboratory(folder / "test", 400, TEST)
        known, guessed = read(START, folder / "train")
        truth, estimate = read(START, folder / "test")
        slope, offset = np.polyfit(guessed, known, 1)
        errors = {"starting model, straight-line recalibration": np.abs(slope * estimate + offset - truth).mean()}
        told = {}
        for label, scratch, params in (
            ("fine-tuned", False, FineTuneParams(epochs=epochs)),
            ("from scratch, same rounds", True, FineTuneParams(epochs=epochs)),
            ("from scratch, full recipe", True, FineTuneParams(length="full", epochs=epochs)),
        ):
            path, seconds = train(label.replace(" ", "-").replace(",", ""), folder / "train", params, scratch)
            truth, estimate = read(str(path), folder / "test")
            errors[label] = np.abs(estimate - truth).mean()
            told[label] = f"{seconds:.0f} s, best epoch {read_card(path).training['best_epoch']}"
        base = errors["starting model, straight-line recalibration"]
        for label, error in errors.items():
            print(f"{label:45} MAE {error:.4g} ({error / base - 1:+.0%})  {told.get(label, '')}")
        print(f"mean amount {truth.mean():.4g}, {TEST} wells", file=sys.stderr)
