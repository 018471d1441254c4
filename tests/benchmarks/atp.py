"""Ins-ATP on simulated wells: whole image, Mesh, Deep, additive (Table 1), sizes, one factor at a time; paired by plate.

One frozen budget: 300 wells of 60 plates, 128 px, 12 epochs of 24 batches of 15; two seeds a cell in Table 1, one in
Tables 2 and 3. ``python -m tests.benchmarks atp`` prints what was run, from ``results/atp.json``; cells that were not
run print "not run". ``atp run table1 [even] [table2] [table3] [widths]`` runs the cells that are missing there.
``atp before`` prints the whole comparison as it was run before the simulated wells had vacuoles.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tests.benchmarks.machine import describe

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import Recipe, read_recipe
from vitascope.simulate.wells import make_well
from vitascope.stats.agreement import pearson
from vitascope.stats.bootstrap import group_interval
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.samples import LabelledCorpus
from vitascope.training.loop.loop import train
from vitascope.training.tasks.atp import AtpJob, fitted
from vitascope.training.tasks.regression import predict, truth_of, within_groups

RECIPE = BUNDLED_MODELS / "recipes" / "atp-organoid-sim.yaml"
ATTENDS = {"fusion": "attention"}
RESULTS = Path(__file__).parent / "results" / "atp.json"
BEFORE = RESULTS.with_name("atp_without_vacuoles.json")
WHOLE = {"instances": "whole", "head": "value", "fusion": "attention"}
TABLE1 = {
    "ResNet (residual), whole image": (WHOLE, "25166 / 0.593"),
    "ResNet18, whole image": ({**WHOLE, "backbone": "resnet18", "width": 8}, "25166 / 0.593"),
    "VGG, whole image": ({**WHOLE, "backbone": "vgg"}, "30470 / 0.499"),
    "Inception-like, whole image": ({**WHOLE, "backbone": "inception"}, "26271 / 0.611"),
    "MeshIns": ({**ATTENDS, "instances": "mesh", "grid": 8}, "14784 / 0.792"),
    "DeepIns": (ATTENDS, "10149 / 0.898"),
    "DeepIns, additive": ({"fusion": "additive"}, "-"),
    "DeepIns, additive, VGG": ({"fusion": "additive", "backbone": "vgg"}, "-"),
}
EVENLY = {"amounts.sampling": "random"}
EVEN = {
    "ResNet (residual), whole image, even": (WHOLE, EVENLY),
    "DeepIns, no code, even": ({**ATTENDS, "head": "value"}, EVENLY),
    "DeepIns, additive, even": ({"fusion": "additive"}, EVENLY),
}
TABLE3 = {
    "DeepIns, sum": ({"fusion": "sum"}, {}),
    "DeepIns, concatenation": ({"fusion": "concat"}, {}),
    "DeepIns, concatenation without squeeze": ({"fusion": "concat", "squeeze": 0}, {}),
    "DeepIns, gated attention": ({"fusion": "gated"}, {}),
    "DeepIns, no code": ({**ATTENDS, "head": "value"}, {}),
    "DeepIns, no resampling": (ATTENDS, EVENLY),
    "DeepIns, 4 x 4 instances": ({**ATTENDS, "grid": 4}, {}),
    "DeepIns, 8 x 8 instances": ({**ATTENDS, "grid": 8}, {}),
    "MeshIns, 4 x 4 instances": ({**ATTENDS, "instances": "mesh", "grid": 4}, {}),
    "MeshIns, 16 x 16 instances": ({**ATTENDS, "instances": "mesh", "grid": 16}, {}),
}
WIDTHS = {
    f"DeepIns, range / {bins}, {how}": (ATTENDS, {"amounts.bins": bins, "amounts.sampling": sampling})
    for bins in (5, 10, 20, 40)
    for how, sampling in (("resampled", "balanced"), ("not resampled", "random"))
}
PAPER3 = "one factor at a time; the paper's best 10926 to 19152"
SIDES = (128, 192, 256)
TABLE2 = ("ResNet (residual), whole image", "DeepIns")
BASELINES = (
    "ResNet18, whole image",
    "ResNet (residual), whole image",
    "ResNet (residual), whole image, even",
    "VGG, whole image",
)


def sized(side: int, wells: dict[str, int] | None = None) -> Recipe:
    """The frozen recipe with wells of another size, and of another number of them and of plates."""
    recipe = read_recipe(RECIPE)
    data = recipe.data[0].model_dump()
    data["simulated"] |= {"side_px": side, **(wells or {})}
    return recipe.changed({"data": (data,), "input.side_px": side})


@lru_cache(maxsize=1)
def corpus(side: int) -> LabelledCorpus:
    """The wells of a size, drawn once."""
    return run_to_end(load_labelled_images(sized(side), RECIPE.parent))


def train_cell(arguments: dict[str, object], changes: dict[str, object], seed: int, side: int) -> list[float]:
    """Train one network and return its predictions of the test wells, the same wells in every cell."""
    return train_on(sized(side), corpus(side), arguments, {**changes, "training.seed": seed})


def train_on(
    recipe: Recipe, wells: LabelledCorpus, arguments: dict[str, object], changes: dict[str, object]
) -> list[float]:
    """Train one network on given wells, and return its predictions of their test part."""
    recipe = recipe.changed({"network.arguments": {**recipe.network.arguments, **arguments}, **changes})
    own = fitted(recipe, RECIPE.parent)
    seed, network = own.training.seed, build_network(own.network)
    initialise(network, torch.Generator().manual_seed(seed))
    trained = run_to_end(train(AtpJob(own, wells, network), own.training))
    return [float(f"{v:.6g}") for v in predict(trained.network, wells.pairs["test"])[0]]


class Store:
    """Predictions of the cells that were run, under the hashes of their recipe and of a well as it was drawn then."""

    def __init__(self, path: Path = RESULTS) -> None:
        drawn = hashlib.sha256(make_well(0, 0, 0, SIDES[0]).image.tobytes()).hexdigest()[:16]
        # The recipe as it is written: new settings at their defaults change no figure.
        self.path, self.recipe = path, f"{hashlib.sha256(RECIPE.read_bytes()).hexdigest()} {drawn}"
        kept = json.loads(path.read_text()) if path.exists() else {}
        valid = path == BEFORE or kept.get("recipe") == self.recipe
        self.kept = kept if valid else {"recipe": self.recipe, "cells": {}}

    def add(self, key: str, predicted: list[float]) -> None:
        if "truth" not in self.kept:
            wells = corpus(SIDES[0])
            self.kept["truth"] = truth_of(wells.pairs["test"]).round(1).tolist()
            self.kept["groups"] = [s.labelled.group for s in wells.samples["test"]]
        self.kept["cells"][key] = predicted
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.kept, indent=0))

    def cell(self, name: str, seeds: int, side: int = SIDES[0]) -> Cell | None:
        """What was run of a cell; None for nothing."""
        found = [self.kept["cells"].get(key_of(name, seed, side)) for seed in range(seeds)]
        known = [np.array(f) for f in found if f is not None]
        return Cell(np.array(self.kept["truth"]), self.kept["groups"], known) if known else None


def key_of(name: str, seed: int, side: int) -> str:
    return f"{name} | seed {seed} | {side} px"


class Cell:
    """One network, one or several seeds: errors of the test wells are those of single networks, averaged."""

    def __init__(self, truth: np.ndarray, groups: list[str], predicted: list[np.ndarray]) -> None:
        self.truth, self.groups, self.predicted = truth, groups, predicted
        self.error = np.mean([np.abs(p - truth) for p in predicted], 0)

    def line(self, name: str, paper: str) -> str:
        mae = group_interval(self.groups, lambda r: float(self.error[r].mean()))
        within = np.mean([within_groups(self.truth, p, self.groups) for p in self.predicted])
        r = np.mean([pearson(self.truth, p) for p in self.predicted])
        return (
            f"{name:40} MAE {mae.value:8,.0f} ({mae.low:,.0f} to {mae.high:,.0f})  Pearson {r:.3f}  "
            f"within groups {within:.3f}  {len(self.predicted)} seed(s)  paper {paper}"
        )

    def bins(self) -> str:
        top = [0, 25_000, 50_000, 100_000, 200_000, np.inf]
        parts = []
        for low, high in pairwise(top):
            rows = (self.truth >= low) & (self.truth < high)
            if rows.any():
                error = self.error[rows]
                parts.append(f"{low / 1e3:.0f}k+: {error.mean():,.0f} ± {error.std():,.0f} (n {rows.sum()})")
        return "    by ATP: " + "; ".join(parts)


def plan(tables: list[str]) -> list[tuple[str, dict[str, object], dict[str, object], int, int]]:
    """List the cells of tables: name, changed arguments, changed recipe, seed, side."""
    cells: list[tuple[str, dict[str, object], dict[str, object], int, int]] = []
    if "table1" in tables:
        cells += [(n, changed, {}, seed, SIDES[0]) for seed in (0, 1) for n, (changed, _) in TABLE1.items()]
    if "even" in tables:
        cells += [(n, *cell, seed, SIDES[0]) for seed in (0, 1) for n, cell in EVEN.items()]
    if "table3" in tables:
        cells += [(n, changed, changes, 0, SIDES[0]) for n, (changed, changes) in TABLE3.items()]
    if "widths" in tables:
        cells += [(n, *cell, 0, SIDES[0]) for n, cell in WIDTHS.items()]
    if "table2" in tables:
        cells += [(n, TABLE1[n][0], {}, 0, side) for side in SIDES for n in TABLE2]
    return cells


def run(tables: list[str], store: Store) -> None:
    """Run the cells that are missing, and keep each when it is done."""
    for name, changed, changes, seed, side in plan(tables):
        key = key_of(name, seed, side)
        if key not in store.kept["cells"]:
            clock = time.process_time()
            store.add(key, train_cell(changed, changes, seed, side))
            print(f"{key}: {time.process_time() - clock:.0f} s of processor time", flush=True)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    store = Store(BEFORE if arguments == ["before"] else RESULTS)
    if arguments[:1] == ["run"]:
        run(arguments[1:], store)
    print(describe())
    print(f"Budget: recipe {RECIPE.name} as it stands; MAE in RLU, 95 % intervals over plates.")
    print("Table 1")
    cells = {name: store.cell(name, 2) for name in TABLE1}
    for name, (_, paper) in TABLE1.items():
        tell(name, cells[name], paper)
        if (cell := cells[name]) is not None:
            print(cell.bins())
    print("The same, every well drawn as often as every other")
    for name in EVEN:
        cells[name] = store.cell(name, 2)
        tell(name, cells[name], "-")
    compare({name: cell for name, cell in cells.items() if cell is not None})
    print("Table 2, by size")
    for side in SIDES:
        for name in TABLE2:
            tell(f"{name} {side}²", store.cell(name, 1, side), "see the paper")
    print("Table 3, one factor at a time from DeepIns with attention, code and resampling (one seed)")
    for name in ("DeepIns", *TABLE3):
        tell(name, store.cell(name, 1), PAPER3)
    print("Width of a bin, section 5")
    for name in WIDTHS:
        tell(name, cell := store.cell(name, 1), "-")
        if cell is not None:
            print(cell.bins())


def tell(name: str, cell: Cell | None, paper: str) -> None:
    print(f"{name:40} not run" if cell is None else cell.line(name, paper))


def compare(cells: dict[str, Cell]) -> None:
    """Print the bar: the best network of instances against whole-image ones, paired, whole plates drawn."""
    bags = {n: c for n, c in cells.items() if n.startswith(("Mesh", "Deep"))}
    if not bags:
        return
    best = min(bags, key=lambda n: float(bags[n].error.mean()))
    for name in BASELINES:
        if (base := cells.get(name)) is None:
            continue
        gain = base.error - bags[best].error
        found = group_interval(base.groups, lambda r, gain=gain: float(gain[r].mean()))
        print(f"{best} against {name}: MAE lower by {found.value:,.0f} ({found.low:,.0f} to {found.high:,.0f})")
