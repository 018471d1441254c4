"""One network for five stains against five networks for one each, at equal steps on the same crops.

``single_targets [STEPS]`` trains six networks of half the width (150 steps by default, 15 s of one core each) on rows
0-543 of the five-stain field and reads rows 640-809: correlation, whole and inside cells. One seed: differences below
about 0.02 are of the start and the order of crops.
"""

from __future__ import annotations

import numpy as np
import torch
from tests.benchmarks.golgi_losses import STEPS, TRAINED_PX, WIDTH, fit
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe
from tests.benchmarks.organelles import cells

from vitascope.core.errors import ReaderError
from vitascope.recipes.recipe import Recipe, parse_recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.training.tasks.stain import StainJob, torch_predict


def arm(names: list[str]) -> Recipe:
    """Return the twin's recipe for some of its targets, smaller and for small crops."""
    tree = read_recipe(RECIPES / "organelles-brightfield-twin.yaml").model_dump(mode="json")
    tree["targets"] = [t for t in tree["targets"] if t["name"] in names]
    tree["network"] = {
        "name": "unet",
        "arguments": {"in_channels": 1, "out_channels": len(names), "width": WIDTH},
    }
    return parse_recipe({**tree, "crop_px": TRAINED_PX}, "single-targets")


def read(job: StainJob, network: torch.nn.Module, inside: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the correlation of each target in the test rows, whole and inside cells."""
    (pair,) = job._corpus.test
    (area,) = pair.areas
    rows = slice(area.top, area.bottom)
    predicted = torch_predict(network, pair.image)[:, rows]
    found = {}
    for k, target in enumerate(job.targets):
        truth = pair.target[k][rows]
        found[target.name] = pcc(truth, predicted[k]), pcc(np.where(inside[rows], truth, np.nan), predicted[k])
    return found


def main(arguments: list[str]) -> None:
    print(describe())
    steps = int(arguments[0]) if arguments else STEPS
    names = [t.name for t in read_recipe(RECIPES / "organelles-brightfield-twin.yaml").targets]
    try:
        inside = cells(arm(names))
        job, network, _ = fit(arm(names), steps)
        together = read(job, network, inside)
        print(f"{steps} steps; PCC whole / inside cells: one network for all, a network of its own")
        for name in names:
            job, network, _ = fit(arm([name]), steps)
            alone = read(job, network, inside)[name]
            one = together[name]
            print(f"  {name:8} {one[0]:.3f} / {one[1]:.3f}   {alone[0]:.3f} / {alone[1]:.3f}", flush=True)
    except ReaderError as error:
        print(f"skipped: {error}")
