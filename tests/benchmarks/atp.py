"""Ins-ATP on simulated wells: whole image, Mesh, Deep, additive (Table 1), sizes, one factor at a time; paired by plate.

One frozen budget: 300 wells of 60 plates, 128 px, 12 epochs of 24 batches of 15, one seed a cell; ``--seeds 2`` for two.
Cells that are not asked for print "not run": ``python -m tests.benchmarks atp table1 table3``.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tests.benchmarks.machine import describe

from vitascope.core.folders import BUNDLED_MODELS
from vitascope.core.steps import finish
from vitascope.engine.load import build_network
from vitascope.engine.train import train
from vitascope.models.unet import initialise
from vitascope.pipelines.atp_training import AtpJob, fitted, predict, truth_of, within_groups
from vitascope.pipelines.bag_data import BagCorpus, load_bags
from vitascope.stats.agreement import pearson
from vitascope.stats.bootstrap import group_interval
from vitascope.tasks.recipe import Recipe, read_recipe

RECIPE = BUNDLED_MODELS / "recipes" / "atp-organoid-sim.yaml"
ATTENDS = {"fusion": "attention"}
WHOLE = {"instances": "whole", "head": "value", "fusion": "attention"}
TABLE1 = {
    "ResNet (residual), whole image": (WHOLE, "25166 / 0.593"),
    "ResNet18, whole image": ({**WHOLE, "backbone": "resnet18", "width": 8}, "25166 / 0.593"),
    "VGG, whole image": ({**WHOLE, "backbone": "vgg"}, "30470 / 0.499"),
    "Inception-like, whole image": ({**WHOLE, "backbone": "inception"}, "26271 / 0.611"),
    "MeshIns": ({**ATTENDS, "instances": "mesh", "grid": 8}, "14784 / 0.792"),
    "DeepIns": (ATTENDS, "10149 / 0.898"),
    "DeepIns, additive": ({"fusion": "additive"}, "-"),
}
TABLE3 = {
    "DeepIns, sum": ({"fusion": "sum"}, {}),
    "DeepIns, concatenation": ({"fusion": "concat"}, {}),
    "DeepIns, gated attention": ({"fusion": "gated"}, {}),
    "DeepIns, no code": ({**ATTENDS, "head": "value"}, {}),
    "DeepIns, no resampling": (ATTENDS, {"amounts.sampling": "random"}),
    "DeepIns, 4 x 4 instances": ({**ATTENDS, "grid": 4}, {}),
    "DeepIns, 8 x 8 instances": ({**ATTENDS, "grid": 8}, {}),
}
PAPER3 = "one factor at a time; the paper's best 10926 to 19152"


def sized(side: int) -> Recipe:
    """The frozen recipe with wells of another size."""
    recipe = read_recipe(RECIPE)
    data = recipe.data[0].model_dump()
    data["simulated"]["side_px"] = side
    return recipe.changed({"data": (data,), "input.side_px": side})


@lru_cache(maxsize=1)
def corpus(side: int) -> BagCorpus:
    """The wells of a size, drawn once."""
    return finish(load_bags(sized(side), RECIPE.parent))


class Cell:
    """One network trained and tested: predictions of the test wells, the same wells in every cell."""

    def __init__(self, arguments: dict[str, object], changes: dict[str, object], seeds: int, side: int = 128) -> None:
        recipe = sized(side)
        merged = {**recipe.network.arguments, **arguments}
        recipe = recipe.changed({"network.arguments": merged, **changes})
        wells, found = corpus(side), []
        for seed in range(seeds):
            own = fitted(recipe.changed({"training.seed": seed}), RECIPE.parent)
            network = build_network(own.network)
            initialise(network, torch.Generator().manual_seed(seed))
            trained = finish(train(AtpJob(own, wells, network), own.training))
            found.append(predict(trained.network, wells.pairs["test"])[0])
        self.truth = truth_of(wells.pairs["test"])
        self.groups = [s.bag.group for s in wells.samples["test"]]
        self.predicted = np.mean(found, 0)
        self.error = np.mean([np.abs(p - self.truth) for p in found], 0)

    def line(self, name: str, paper: str) -> str:
        mae = group_interval(self.groups, lambda r: float(self.error[r].mean()))
        within = within_groups(self.truth, self.predicted, self.groups)
        r = pearson(self.truth, self.predicted)
        return (
            f"{name:32} MAE {mae.value:8,.0f} ({mae.low:,.0f} to {mae.high:,.0f})  Pearson {r:.3f}  "
            f"within groups {within:.3f}  paper {paper}"
        )

    def bins(self) -> str:
        top = [0, 25_000, 50_000, 100_000, 200_000, np.inf]
        parts = []
        for low, high in pairwise(top):
            rows = (self.truth >= low) & (self.truth < high)
            if rows.any():
                parts.append(f"{low / 1e3:.0f}k+: {self.error[rows].mean():,.0f} (n {rows.sum()})")
        return "    by ATP: " + "; ".join(parts)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    seeds = int(arguments[arguments.index("--seeds") + 1]) if "--seeds" in arguments else 1
    wanted = [a for a in arguments if a.startswith("table")] or ["table1"]
    print(describe())
    print(f"Budget: recipe {Path(RECIPE).name} as it stands, {seeds} seed(s); MAE in RLU, 95 % intervals over plates.")
    print("Table 1")
    cells: dict[str, Cell] = {}
    for name, (changed, paper) in TABLE1.items():
        if "table1" not in wanted:
            print(f"{name:32} not run")
            continue
        cells[name] = Cell(changed, {}, seeds)
        print(cells[name].line(name, paper), flush=True)
        print(cells[name].bins())
    compare(cells)
    print("Table 2, by size")
    for side in (128, 192, 256):
        for name in ("ResNet (residual), whole image", "DeepIns"):
            if "table2" in wanted:
                print(Cell(TABLE1[name][0], {}, seeds, side).line(f"{name} {side}²", "see the paper"), flush=True)
            else:
                print(f"{name} {side}²: not run")
    print("Table 3, one factor at a time from DeepIns with attention, code and resampling")
    for name, (changed, changes) in TABLE3.items():
        if "table3" in wanted:
            print(Cell(changed, changes, seeds).line(name, PAPER3), flush=True)
        else:
            print(f"{name:32} not run")


def compare(cells: dict[str, Cell]) -> None:
    """Print the bar: the best network of instances against the whole-image ResNet, paired, whole plates drawn."""
    if not cells:
        return
    base = cells["ResNet (residual), whole image"]
    bags = {n: c for n, c in cells.items() if n.startswith(("Mesh", "Deep"))}
    best = min(bags, key=lambda n: float(bags[n].error.mean()))
    gain = base.error - bags[best].error
    found = group_interval(base.groups, lambda r: float(gain[r].mean()))
    print(f"{best} against the whole image: MAE lower by {found.value:,.0f} ({found.low:,.0f} to {found.high:,.0f})")
