"""Train and evaluate models of the task ``viability`` from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.card import Intervals, Metric
from vitascope.core.errors import ModelError, ParameterError, ReaderError
from vitascope.core.paths import training_data
from vitascope.core.progress import ProgressGenerator
from vitascope.io.models.weights import read_weights
from vitascope.networks.resnet import Nvir, grey_weights
from vitascope.recipes.recipe import Recipe, TrunkWeights
from vitascope.stats.conformal import INTERVAL_LEVEL, calibrate
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.data.samples import LabelledCorpus
from vitascope.training.loop.batches import Batch
from vitascope.training.make_model import make_model
from vitascope.training.tasks.regression import AmountJob, Floats, amount_metrics, evaluate
from vitascope.training.training_task import TrainingTask

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.smooth_l1_loss}


class ViabilityJob(AmountJob):
    """What training needs to know of the task ``viability``."""

    def __init__(self, recipe: Recipe, corpus: LabelledCorpus, network: nn.Module) -> None:
        super().__init__(recipe, corpus, network, 0.0)
        self._losses = recipe.loss

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the weighted sum of the recipe's losses."""
        value = network(batch["image"]).value[:, 0].float()
        return sum((w * LOSSES[k](value, batch["numbers"][:, 0]) for k, w in self._losses.items()), value.new_zeros(()))

    def measured(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> list[Metric]:
        """Return error, correlation and the explained share."""
        found = amount_metrics(truth, predicted, groups, self.targets[0].unit)
        found = [m.model_copy(update={"on": "test images"}) for m in found if not m.name.startswith("Pearson within")]
        return [*found, Metric(name="R2", value=r2(truth, predicted), on="test images", n=len(truth))]

    def calibrated(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> Intervals | None:
        """Calibrate as a difference."""
        return calibrate(truth, predicted, groups, INTERVAL_LEVEL, on="validation images")


def r2(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the coefficient of determination; negative where the mean would do better.

    Examples
    --------
    >>> r2(np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    0.0
    """
    rest = float(((truth - predicted) ** 2).sum())
    total = float(((truth - truth.mean()) ** 2).sum())
    return float(f"{1 - rest / total:.4g}") if total > 0 else 0.0


def prepare(recipe: Recipe, recipe_folder: Path, network: nn.Module) -> ProgressGenerator[TrainingTask]:
    """Read the images of a recipe, and the weights its extractor starts from."""
    if recipe.trunk is not None:
        fill_trunk(network, recipe.trunk, recipe_folder)
    return ViabilityJob(recipe, (yield from load_labelled_images(recipe, recipe_folder)), network)


def fill_trunk(network: nn.Module, weights: TrunkWeights, recipe_folder: Path) -> None:
    """Fill the extractor with weights made for colour pictures; the first convolution is summed over the colours.

    Raises
    ------
    ReaderError
        If the file is not there.
    ModelError
        If it is altered, or holds other weights than those of a ResNet18 of full width.
    """
    assert isinstance(network, Nvir)
    places = [p / weights.file for p in (training_data(), recipe_folder) if p is not None]
    path = next((p for p in places if p.is_file()), None)
    if path is None:
        raise ReaderError(
            f"The weights {weights.file} that training starts from are not on this machine.",
            "Put the file beside the recipe or under VITASCOPE_DATA, or leave 'trunk' out.",
        )
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in read_weights(path, weights.sha256).items()}
    try:
        network.trunk.load_state_dict(grey_weights(tensors))
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"The weights {weights.file} do not fit the network: {error}".splitlines()[0],
            "They are those of torchvision's resnet18, for one channel and 'width: 1'.",
        ) from error


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that is not one for this task.

    Raises
    ------
    ParameterError
    """
    if recipe.network.name != "nvir" or recipe.input.crop_to == "none":
        raise ParameterError(
            "Viability is estimated by the network 'nvir' from a square that is cut out first.",
            "Set the recipe's network, and 'find: spheroid' or 'find: centre' and 'side_px' of its input.",
        )
    if recipe.split.by != "group":
        raise ParameterError("Images are split by group, such as the plate, not by rows.", "Set 'by: group'.")
    unknown = sorted(set(recipe.loss) - set(LOSSES))
    if unknown:
        raise ParameterError(f"There is no loss '{unknown[0]}' for viability.", f"Known: {', '.join(LOSSES)}.")


def run_training(
    recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
) -> ProgressGenerator[Path]:
    """Train a model and write its card and weights; see :func:`vitascope.training.make_model.make_model`."""
    check_recipe(recipe)
    if start_from is not None and recipe.trunk is not None:
        raise ParameterError(
            "Training starts from a model or from the weights of an extractor, not from both.", "Leave one out."
        )
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
