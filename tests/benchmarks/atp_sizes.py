"""Size of the picture, Ins-ATP's Table 2 and Fig. 10: 128 to 512², whole image and instances, at equal epochs and time.

A short budget, so that an arm takes minutes on one core: 200 wells of 40 plates drawn at each size, 8 epochs of 15
batches of 8, one seed. Equal time: as many pixels are seen as at 384² (15 batches an epoch; 135 at 128², 8 at 512²).
``python -m tests.benchmarks atp_sizes`` prints what was run, from ``results/atp_sizes.json``; ``atp_sizes run [SIDE ...]``
runs what is missing there.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tests.benchmarks.atp import RECIPE, WHOLE, Cell, sized, train_on
from tests.benchmarks.machine import describe

from vitascope.core.progress import run_to_end
from vitascope.stats.bootstrap import group_interval
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.samples import LabelledCorpus
from vitascope.training.tasks.regression import truth_of

RESULTS = Path(__file__).parent / "results" / "atp_sizes.json"
SIDES, MIDDLE = (128, 256, 384, 512), 384
ARMS = {"whole image, residual extractor": WHOLE, "DeepIns, additive": {"fusion": "additive"}}
WELLS = {"count": 200, "groups": 40}
EPOCHS, STEPS, BATCH = 8, 15, 8
BUDGETS = ("epochs", "time")


def steps(side: int, budget: str) -> int:
    """Batches an epoch."""
    return STEPS if budget == "epochs" else round(STEPS * (MIDDLE / side) ** 2)


@lru_cache(maxsize=1)
def corpus(side: int) -> LabelledCorpus:
    """The wells of a size, drawn once."""
    return run_to_end(load_labelled_images(sized(side, WELLS), RECIPE.parent))


def read() -> dict[str, object]:
    """Cells that were run by the budget and the recipe as they stand."""
    budget = hashlib.sha256(RECIPE.read_bytes() + repr((WELLS, EPOCHS, STEPS, BATCH)).encode()).hexdigest()[:16]
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return kept if kept.get("budget") == budget else {"budget": budget, "cells": {}}


def run(sides: list[int]) -> None:
    """Run the cells that are missing, and keep each when it is done; at 384² both budgets are one."""
    for side in sides:
        for budget in BUDGETS:
            for arm, arguments in ARMS.items():
                key = f"{arm} | {side} | {steps(side, budget)} batches"
                if key in read()["cells"]:
                    continue
                wells, clock = corpus(side), time.process_time()
                changes = {
                    "training.epochs": EPOCHS,
                    "training.steps_per_epoch": steps(side, budget),
                    "training.batch_size": BATCH,
                }
                predicted = train_on(sized(side, WELLS), wells, arguments, changes)
                seconds = time.process_time() - clock
                kept = read()  # another run may have added cells
                kept["truth"] = truth_of(wells.pairs["test"]).round(1).tolist()
                kept["groups"] = [s.labelled.group for s in wells.samples["test"]]
                kept["cells"][key] = {"predicted": predicted, "seconds": round(seconds)}
                RESULTS.write_text(json.dumps(kept, indent=0))
                print(f"{key}: {seconds:.0f} s of processor time", flush=True)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if arguments[:1] == ["run"]:
        run([int(a) for a in arguments[1:]] or list(SIDES))
    kept = read()
    if not kept["cells"]:
        sys.exit("Nothing was run by this budget: atp_sizes run")
    print(describe())
    truth, groups = np.array(kept["truth"]), kept["groups"]
    print(f"{len(truth)} test wells; always their median {np.abs(truth - np.median(truth)).mean():,.0f}")
    for budget in BUDGETS:
        print(f"Equal {budget}")
        for arm in ARMS:
            found: dict[int, Cell] = {}
            for side in SIDES:
                one = kept["cells"].get(f"{arm} | {side} | {steps(side, budget)} batches")
                if one is None:
                    print(f"  {arm} {side}²: not run")
                    continue
                found[side] = Cell(truth, groups, [np.array(one["predicted"])])
                print(f"  {found[side].line(f'{arm} {side}²', 'see the paper')}  {one['seconds']} s")
            if {MIDDLE, SIDES[-1]} <= found.keys():
                gain = found[MIDDLE].error - found[SIDES[-1]].error
                told = group_interval(groups, lambda r, gain=gain: float(gain[r].mean()))
                print(
                    f"  {arm}: from {MIDDLE}² to {SIDES[-1]}² the MAE falls by {told.value:,.0f} "
                    f"({told.low:,.0f} to {told.high:,.0f})"
                )
