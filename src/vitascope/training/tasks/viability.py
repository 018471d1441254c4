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

PLACES = "places"
LEAST_CELLS = 0.5
"""Cells that a picture shows for its living share to mean something."""

SOFT = 0.001
"""Cells added before the logarithm, so that an unexpected one does not outweigh all others."""

LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.smooth_l1_loss}


class ViabilityJob(AmountJob):
    """What training needs to know of the task ``viability``."""

    def __init__(self, recipe: Recipe, corpus: LabelledCorpus, network: nn.Module) -> None:
        super().__init__(recipe, corpus, network, 0.0)
        self._losses = recipe.loss

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the weighted sum of the recipe's losses."""
        output = network(batch["image"])
        value, truth, places = output.value[:, 0].float(), batch["numbers"][:, 0], batch["target"]
        if places.shape[1]:
            truth = share_of(places, value.detach())
        found = sum((w * LOSSES[k](value, truth) for k, w in self._losses.items() if k != PLACES), value.new_zeros(()))
        if PLACES in self._losses:
            assert isinstance(network, Nvir)
            found = found + self._losses[PLACES] * places_loss(network.expected_cells(output.encoding), places)
        return found

    def measured(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> list[Metric]:
        """Return error, correlation and the explained share."""
        found = amount_metrics(truth, predicted, groups, self.targets[0].unit)
        found = [m.model_copy(update={"on": "test images"}) for m in found if not m.name.startswith("Pearson within")]
        return [*found, Metric(name="R2", value=r2(truth, predicted), on="test images", n=len(truth))]

    def calibrated(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> Intervals | None:
        """Calibrate as a difference."""
        return calibrate(truth, predicted, groups, INTERVAL_LEVEL, on="validation images")


def share_of(cells: Tensor, otherwise: Tensor) -> Tensor:
    """Return the living share of the cells that pictures show as they were drawn: zoomed, or laid over each other.

    Parameters
    ----------
    cells : Tensor, shape (B, 2, H, W)
        Living and dead cells in each pixel.
    otherwise : Tensor, shape (B,)
        Numbers of pictures that show less than half a cell.
    """
    living, dead = cells.float().sum((2, 3)).unbind(1)
    return torch.where(living + dead < LEAST_CELLS, otherwise, living / (living + dead).clamp(min=LEAST_CELLS))


def places_loss(expected: Tensor, cells: Tensor) -> Tensor:
    """Return how unlikely the cells are where so many are expected, by Poisson, summed over places; the mean of images.

    Parameters
    ----------
    expected : Tensor, shape (B, 2, h, w), > 0
    cells : Tensor, shape (B, 2, H, W)
        In each pixel.
    """
    pixels = cells.shape[2] * cells.shape[3] / (expected.shape[2] * expected.shape[3])
    there = F.adaptive_avg_pool2d(cells.float(), (expected.shape[2], expected.shape[3])) * pixels
    return F.poisson_nll_loss(expected, there, log_input=False, eps=SOFT, reduction="sum") / len(cells)


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
    unknown = sorted(set(recipe.loss) - {*LOSSES, PLACES})
    if unknown:
        raise ParameterError(
            f"There is no loss '{unknown[0]}' for viability.", f"Known: {', '.join([*LOSSES, PLACES])}."
        )
    boxed = all(data.labelled_images is not None and data.labelled_images.boxes for data in recipe.data)
    if PLACES in recipe.loss and not (boxed and recipe.network.arguments.get("counts")):
        raise ParameterError(
            "The loss 'places' teaches a network that counts where living and dead cells lie.",
            "Set 'counts: true' of the network and 'boxes' of all labelled images, or leave the loss out.",
        )


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
