"""The third way to calibrate: the network fine-tuned on the wells, as the dock would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.card import Architecture
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.load_model import build_network
from vitascope.recipes.finetune import FineTuneParams
from vitascope.recipes.labelled_images import LabelledImage
from vitascope.recipes.recipe import Recipe, parse_recipe
from vitascope.training.calibration.wells import Laboratory, SeenWell
from vitascope.training.data.samples import LabelledCorpus, Sample
from vitascope.training.finetune import private_data, recipe_tree
from vitascope.training.loop.loop import train
from vitascope.training.samplers.crops import Pair
from vitascope.training.tasks.atp import AtpJob, fitted_to
from vitascope.training.tasks.regression import predict

Floats = NDArray[np.float64]


def finetuning_recipe(laboratory: Laboratory, name: str, folder: Path, seed: int) -> Recipe:
    """Return the recipe by which the network is fine-tuned: the dock's quick one, without a second training."""
    card = laboratory.start.card
    target = card.targets[0].name
    tree = recipe_tree(card, name, FineTuneParams(last="no more", seed=seed), card.id)
    entries = [
        {"image": _name(one, folder), "labels": {target: float(value)}, "group": group}
        for one, value, group in zip(laboratory.known, laboratory.wells.truth, laboratory.wells.groups, strict=True)
    ]
    tree["data"] = [{**private_data(folder.name, str(folder)), "pairs": entries}]
    tree["split"] = {"by": "group"}
    return fitted_to(parse_recipe(tree, name), laboratory.wells.truth.tolist())


def finetune_left_out(recipe: Recipe, laboratory: Laboratory, folds: NDArray[np.intp]) -> ProgressGenerator[Floats]:
    """Return the number of each well by a network fine-tuned on all other folds, (N,)."""
    found = np.zeros(len(folds))
    for fold in range(int(folds.max()) + 1):
        there = folds == fold
        network = yield from finetune(recipe, laboratory, np.flatnonzero(~there))
        yield Progress(fold, int(folds.max()) + 1, "fine-tuning, each fold left out in turn")
        found[there] = numbers(network, [laboratory.known[i] for i in np.flatnonzero(there)])
    return found


def finetune(recipe: Recipe, laboratory: Laboratory, rows: NDArray[np.intp]) -> ProgressGenerator[nn.Module]:
    """Fine-tune the start model on some of the wells: its head first, then all of it, then its head again."""
    network = build_network(Architecture(name=recipe.network.name, arguments=recipe.network.arguments))
    network.load_state_dict(laboratory.start.network.state_dict())
    job = AtpJob(recipe, _corpus(recipe, laboratory, rows), network)
    job.fit_head(network)
    trained = yield from train(job, recipe.training)
    job.fit_head(trained.network)
    return trained.network.eval()


def numbers(network: nn.Module, wells: Sequence[SeenWell]) -> Floats:
    """Return what a network says of wells, (N,)."""
    with torch.inference_mode():
        return predict(network, [pair_of(one) for one in wells])[0]


def _corpus(recipe: Recipe, laboratory: Laboratory, rows: NDArray[np.intp]) -> LabelledCorpus:
    wells, target = laboratory.wells, recipe.targets[0].name
    pairs = [pair_of(laboratory.known[i], float(wells.truth[i])) for i in rows]
    samples = [
        Sample(
            list(pair.image),
            pair.weight,
            pair.numbers,
            LabelledImage(
                images=laboratory.known[i].images, labels={target: float(wells.truth[i])}, group=wells.groups[i]
            ),
            laboratory.known[i].seen,
        )
        for i, pair in zip(rows, pairs, strict=True)
    ]
    empty: dict[str, list[Pair]] = {"train": pairs, "validation": [], "test": []}
    return LabelledCorpus(empty, {"train": samples, "validation": [], "test": []}, recipe.input, "")


def pair_of(well: SeenWell, value: float = 0.0) -> Pair:
    """Return a well as training takes it."""
    height, width = well.pixels.shape[1:]
    return Pair(
        image=well.pixels,
        target=np.zeros((0, height, width), np.float32),
        weight=np.ones((1, height, width), np.float32),
        areas=(),
        numbers=np.array([value], np.float32),
    )


def _name(well: SeenWell, folder: Path) -> str:
    path = well.images.paths[0]
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
