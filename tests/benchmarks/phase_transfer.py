"""Does a network predict a phenotype that it has never seen? Phases of the cell cycle are the nearest thing at hand.

Section 3.2.6 of the thesis leaves the question open ("train the model on one phenotype and predict on the other"). No
public pair of phenotypes with a stain is at hand; Jurkat cells sorted into seven phases by hand are the nearest thing.
``phase_transfer [STEPS]`` trains eight networks of half the width (100 steps by default, 10 s of one quiet core each):
on all phases, and on all but one. Each phase's cells that were kept apart are read by both: correlation inside the
cell, mean over cells, and the rank correlation of integrated DNA.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from tests.benchmarks.dna import cell_mask, cells, integrated
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import Recipe, parse_recipe, read_recipe
from vitascope.stats.agreement import pcc, spearman
from vitascope.stats.bootstrap import group_interval
from vitascope.training.data.stain import Corpus, load_corpus
from vitascope.training.loop.loop import train
from vitascope.training.tasks.stain import StainJob, torch_predict

STEPS, WIDTH, TRAINED_PX = 100, 0.5, 80
LEAST_PX = 20


def arm(without: str = "") -> Recipe:
    """Return the recipe of the bundled model, smaller, without the cells of one phase."""
    tree = read_recipe(RECIPES / "dna-brightfield.yaml").model_dump(mode="json")
    (data,) = tree["data"]
    data["pairs"] = [pair for pair in data["pairs"] if pair["group"] != without]
    tree["network"]["arguments"]["width"] = WIDTH
    return parse_recipe({**tree, "crop_px": TRAINED_PX}, "phase-transfer")


def fit(recipe: Recipe, corpus: Corpus, steps: int) -> torch.nn.Module:
    network = build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(0))
    job = StainJob(recipe, dataclasses.replace(corpus, validation=[], test=[]), network)
    how = {**recipe.training.model_dump(), "epochs": 1, "steps_per_epoch": steps, "warmup_steps": 10}
    return run_to_end(train(job, TrainingParams(**{**how, "average_decay": 0.95}), precision="bf16")).network


@dataclasses.dataclass(frozen=True)
class Kept:
    """Cells kept apart: true stain and mask, each (N, 40, 40), and the phase of each (N,)."""

    truth: np.ndarray
    masks: np.ndarray
    phases: np.ndarray


def kept_apart(corpus: Corpus) -> Kept:
    counted = [cells(pair.weight)[:, 0, 0, 0] > 0 for pair in corpus.test]
    images, truth = (
        np.concatenate([cells(getattr(p, name))[there, 0] for p, there in zip(corpus.test, counted, strict=True)])
        for name in ("image", "target")
    )
    return Kept(truth, np.stack([cell_mask(image) for image in images]), np.array(corpus.test_cells))


def read(network: torch.nn.Module, corpus: Corpus) -> np.ndarray:
    """Return the predicted stain of all cells kept apart, (N, 40, 40)."""
    found = []
    for pair in corpus.test:
        there = cells(pair.weight)[:, 0, 0, 0] > 0
        found.append(cells(torch_predict(network, pair.image))[there, 0])
    return np.concatenate(found)


def inside(kept: Kept, predicted: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the correlation inside each chosen cell, (n,); cells without an outline are left out."""
    counted = [i for i in np.flatnonzero(chosen) if kept.masks[i].sum() > LEAST_PX]
    return np.array([pcc(kept.truth[i][kept.masks[i]], predicted[i][kept.masks[i]]) for i in counted])


def main(arguments: list[str]) -> None:
    print(describe())
    steps = int(arguments[0]) if arguments else STEPS
    try:
        corpus = run_to_end(load_corpus(arm(), RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    kept = kept_apart(corpus)
    everything = read(fit(arm(), corpus, steps), corpus)
    print(f"{steps} steps; cells kept apart: PCC inside the cell, and rank correlation of integrated DNA")
    for phase in dict.fromkeys(kept.phases):
        recipe = arm(phase)
        predicted = read(fit(recipe, run_to_end(load_corpus(recipe, RECIPES)), steps), corpus)
        chosen = kept.phases == phase
        seen, unseen = (inside(kept, p, chosen) for p in (everything, predicted))
        loss = unseen - seen
        interval = group_interval(range(len(loss)), lambda rows, loss=loss: float(loss[rows].mean()))
        ranks = [spearman(integrated(kept.truth[chosen]), integrated(p[chosen])) for p in (everything, predicted)]
        print(
            f"  {phase:10} {len(loss):3} cells: trained with it {np.mean(seen):.3f}, without {np.mean(unseen):.3f} "
            f"({np.mean(loss):+.3f}, {interval.low:+.3f} to {interval.high:+.3f}); DNA {ranks[0]:.2f}, {ranks[1]:.2f}",
            flush=True,
        )
