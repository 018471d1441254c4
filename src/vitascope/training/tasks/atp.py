"""Train and evaluate models of the task ``atp`` from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitascope.core.card import Intervals, Metric
from vitascope.core.errors import ParameterError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.eight_views import EIGHT
from vitascope.networks.ins_atp import InsAtp
from vitascope.ops.wells.binary_code import bits_needed, round_top
from vitascope.recipes.labelled_images import find_labelled_images
from vitascope.recipes.measured_images import find_amounts
from vitascope.recipes.recipe import DataSet, Recipe, find_data
from vitascope.stats.conformal import INTERVAL_LEVEL, calibrate, interval
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.samples import LabelledCorpus
from vitascope.training.data.simulated import source_folders, truths
from vitascope.training.loop.batches import Batch
from vitascope.training.loop.head_fit import fit_head
from vitascope.training.losses.atp import AtpLoss, atp_loss, places_loss
from vitascope.training.make_model import make_model
from vitascope.training.tasks.regression import AmountJob, Floats, evaluate, truth_of
from vitascope.training.training_task import TrainingTask

HEAD_PULL = 0.01


class AtpJob(AmountJob):
    """What training needs to know of the task ``atp``."""

    views = EIGHT

    def __init__(self, recipe: Recipe, corpus: LabelledCorpus, network: nn.Module) -> None:
        assert isinstance(network, InsAtp)
        balanced = recipe.amounts.sampling == "balanced"
        super().__init__(recipe, corpus, network, network.bin_width if balanced else 0.0)
        self._loss = AtpLoss.from_recipe(recipe.loss)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return equation 2, and the loss of single places where a recipe asks for it and they are known."""
        assert isinstance(network, InsAtp)
        output = network(batch["image"])
        loss = atp_loss(output, network, batch["numbers"][:, 0], float(batch["epoch"][0]), self._loss)
        if self._loss.places and batch["target"].shape[1] and network.has_contribution:
            loss = loss + self._loss.places * places_loss(output, network, batch["target"])
        return loss

    def fit_head(self, network: nn.Module) -> bool:
        """Fit what reads amounts from features to the training wells, as they lie."""
        assert isinstance(network, InsAtp)
        pairs = self.corpus.pairs["train"]
        truth = torch.from_numpy(truth_of(pairs)).float()
        with torch.no_grad():
            images = [torch.from_numpy(p.image)[None] for p in pairs]
            encoding = torch.cat([network.encode(x) for x in images])
        spread = 1.0 if network.head == "code" else float(truth.std()) / network.top

        def loss() -> Tensor:
            return atp_loss(network.answer(encoding), network, truth, 0.0, self._loss) / spread**2

        fit_head(network.head_parameters(), loss, HEAD_PULL)
        return True

    def calibrated(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> Intervals | None:
        """Calibrate as a difference or a factor, whichever is narrower."""
        return narrowest(truth, predicted, groups)


def narrowest(
    truth: Floats, predicted: Floats, groups: Sequence[str], on: str = "validation wells"
) -> Intervals | None:
    """Calibrate intervals as differences, and as factors where all numbers are above 0; keep the narrower ones.

    None where there are too few wells to calibrate on.
    """
    if len(truth) < INTERVAL_LEVEL * (len(truth) + 1) - 1e-9:
        return None
    found = [calibrate(truth, predicted, groups, INTERVAL_LEVEL, "linear", on)]
    if (truth > 0).all() and (predicted > 0).all():
        found.append(calibrate(truth, predicted, groups, INTERVAL_LEVEL, "log", on))
    widths = []
    for one in found:
        low, high = interval(predicted, one)
        widths.append(float((high - np.maximum(low, 0)).mean()))
    return found[int(np.argmin(widths))]


def prepare(recipe: Recipe, recipe_folder: Path, network: nn.Module) -> ProgressGenerator[TrainingTask]:
    """Read the wells of a recipe."""
    return AtpJob(recipe, (yield from load_labelled_images(recipe, recipe_folder)), network)


def fitted(recipe: Recipe, recipe_folder: Path) -> Recipe:
    """Fit the range of the amounts to the data set: its top, the width of a bin, and as many bits as that needs.

    Raises
    ------
    ParameterError
        If the recipe is not one for wells.
    """
    if recipe.network.name != "ins_atp" or recipe.input.crop_to == "none":
        raise ParameterError(
            "ATP is estimated by the network 'ins_atp' from wells that are found first.",
            "Set the recipe's network, and 'find: well' and 'side_px' of its input.",
        )
    if recipe.split.by != "group":
        raise ParameterError("Wells are split by group, such as the plate, not by rows.", "Set 'by: group'.")
    return fitted_to(recipe, [v for one in recipe.data for v in amounts_of(one, recipe.targets[0].name, recipe_folder)])


def fitted_to(recipe: Recipe, values: Sequence[float]) -> Recipe:
    """Fit the range of the amounts to these values."""
    top = round_top(max(values))
    width = recipe.amounts.bin_width or float(f"{top / recipe.amounts.bins:.12g}")
    arguments = {**recipe.network.arguments, "top": top, "bin_width": width, "bits": bits_needed(top, width)}
    return recipe.model_copy(update={"network": recipe.network.model_copy(update={"arguments": arguments})})


def amounts_of(data: DataSet, target: str, recipe_folder: Path) -> list[float]:
    """Return the amounts of a data set without reading its images."""
    if data.simulated is not None:
        return truths(data.simulated, source_folders(data, recipe_folder))
    folder = find_data(data, recipe_folder)
    if data.amounts is not None:
        labelled_images = list(find_amounts(data.amounts, target, folder, data.axes).labelled_images)
    else:
        labelled_images = find_labelled_images(data, (target,), folder)
    return [labelled.labels[target] for labelled in labelled_images]


def run_training(
    recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
) -> ProgressGenerator[Path]:
    """Train a model and write its card and weights; see :func:`vitascope.training.make_model.make_model`."""
    yield Progress(0, 1, "reading the amounts")
    recipe = fitted(recipe, recipe_folder)
    return (yield from make_model(recipe, recipe_folder, out, prepare, start_from, device))


def run_evaluation(
    model: str, recipe: Recipe, recipe_folder: Path, device: str = "auto"
) -> ProgressGenerator[list[Metric]]:
    """Measure a model on the test part of a recipe's data (32 bit).

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or the model does not fit the recipe's input.
    """
    return (yield from evaluate(model, recipe, recipe_folder, prepare, device))
