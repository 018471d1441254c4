"""What training needs to know of images with an amount each: the shared part of ATP and viability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.card import Domain, Intervals, Metric, Target
from vitascope.core.errors import TrainingError
from vitascope.core.progress import ProgressGenerator
from vitascope.core.training_params import Preview
from vitascope.engine.domain import image_statistics, make_domain
from vitascope.engine.eight_views import averaged
from vitascope.engine.load_model import check_channels, load_model
from vitascope.ops.geometry.resample import array_reader
from vitascope.recipes.recipe import Recipe
from vitascope.stats.agreement import pearson
from vitascope.stats.bootstrap import CARD_RESAMPLES, LEVEL, group_interval
from vitascope.training.data.samples import LabelledCorpus
from vitascope.training.loop.batches import Batch
from vitascope.training.make_model import Prepare, measure_model
from vitascope.training.samplers.crops import Pair
from vitascope.training.samplers.whole_images import BagSampler
from vitascope.training.training_task import TrainingTask

AT_ONCE = 16
GROUP_OF = 5
"""Wells of a drug series that the paper compares with each other (section 4.1)."""

Floats = NDArray[np.float64]


class AmountJob(TrainingTask):
    """What training on amounts needs to know, whatever is measured.

    Subclasses add the loss, what they measure and how they calibrate.

    Parameters
    ----------
    recipe : Recipe
    corpus : LabelledCorpus
    network : nn.Module
    bin_width : float, >= 0
        Of the bins that are drawn from equally often; 0 draws images equally often.
    """

    views: ClassVar[int] = 1
    """Ways to lay an image down that a run averages over; epochs are compared by one."""

    def __init__(self, recipe: Recipe, corpus: LabelledCorpus, network: nn.Module, bin_width: float) -> None:
        super().__init__(recipe, network, corpus.input, corpus.description)
        self.corpus, self.hashes, self.counts = corpus, corpus.hashes, corpus.counts
        self.fingerprints = corpus.fingerprints
        self._seen: Preview | None = None
        check_values(corpus.pairs["train"], recipe.targets[0])
        training = recipe.training
        self._sampler = BagSampler(
            corpus.pairs["train"],
            bin_width,
            recipe.augment,
            training.seed,
            training.steps_per_epoch,
            recipe.amounts.nothing,
        )

    def batch(self, step: int, size: int) -> Batch:
        """Return the images of a step."""
        return self._sampler.batch(step, size)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return mean absolute error and Pearson correlation over the validation images."""
        pairs = self.corpus.pairs["validation"]
        if not pairs:
            return {}
        truth, predicted = truth_of(pairs), predict(network, pairs)[0]
        self._seen = Preview(self.targets[0].name, truth, predicted)
        error = float(np.abs(predicted - truth).mean())
        return {"mae": error, "pearson": pearson(truth, predicted), "score": -error}

    def preview(self, network: nn.Module) -> Preview | None:
        """Return the numbers of the validation part as they were last measured."""
        return self._seen

    def held_out(self, network: nn.Module) -> list[Preview]:
        """Return the numbers of the test part."""
        pairs = self.corpus.pairs["test"]
        return [Preview(self.targets[0].name, truth_of(pairs), predict(network, pairs, self.views)[0])] if pairs else []

    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure the test images; intervals over groups."""
        pairs = self.corpus.pairs["test"]
        if not pairs:
            return []
        return self.measured(truth_of(pairs), predict(network, pairs, self.views)[0], self.groups("test"))

    def measured(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> list[Metric]:
        """Return what the card says of the test images."""
        return amount_metrics(truth, predicted, groups, self.targets[0].unit)

    def domain(self, network: nn.Module) -> Domain:
        """Describe the training images; groups left out in turn give the distance."""
        pairs = self.corpus.pairs["train"]
        side = pairs[0].image.shape[-1]
        # The first channel: the second of a pair is the control.
        statistics = [image_statistics(array_reader(p.image[:1]), (side, side), side)[0] for p in pairs]
        return make_domain(side, statistics, predict(network, pairs, self.views)[1], self.groups("train"))

    def intervals(self, network: nn.Module) -> Intervals | None:
        """Calibrate on the validation images, group by group."""
        pairs = self.corpus.pairs["validation"]
        if not pairs:
            return None
        return self.calibrated(truth_of(pairs), predict(network, pairs, self.views)[0], self.groups("validation"))

    @abstractmethod
    def calibrated(self, truth: Floats, predicted: Floats, groups: Sequence[str]) -> Intervals | None:
        """Return the intervals that hold on these images; of each task its own."""

    def groups(self, part: str) -> list[str]:
        """Return the group of each image of a part."""
        return [s.labelled.group for s in self.corpus.samples[part]]


def check_values(pairs: Sequence[Pair], target: Target) -> None:
    """Refuse images that all have one value.

    Raises
    ------
    TrainingError
    """
    values = {float(p.numbers[0]) for p in pairs if p.numbers is not None}
    if len(values) == 1 and len(pairs) > 1:
        raise TrainingError(
            f"All {len(pairs)} training images have the value {values.pop():g} ({target.name}): there is nothing to "
            "learn.",
            "Check the column of values.",
        )


def truth_of(pairs: Sequence[Pair]) -> Floats:
    """Return the amount of each well, (N,)."""
    return np.array([p.numbers[0] for p in pairs], np.float64)


def predict(network: nn.Module, pairs: Sequence[Pair], views: int = 1) -> tuple[Floats, Floats]:
    """Return the estimated amounts (N,) and mean features (N, F), averaged over ``views`` ways to lay a well down."""
    weight = next(network.parameters())

    def run(laid: Sequence[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        for images in laid:
            output = network(torch.from_numpy(images).to(weight.device, memory_format=torch.channels_last))
            yield output.value.float().cpu().numpy(), output.encoding.float().cpu().numpy()

    values, features = [], []
    with torch.inference_mode():
        for first in range(0, len(pairs), AT_ONCE):
            images = np.stack([p.image for p in pairs[first : first + AT_ONCE]])
            value, encoding = averaged(run, images, views)
            values.append(value[:, 0].astype(np.float64))
            features.append(encoding.mean((2, 3), dtype=np.float64))
    return np.concatenate(values), np.concatenate(features)


def amount_metrics(truth: Floats, predicted: Floats, groups: Sequence[str], unit: str) -> list[Metric]:
    """Measure estimates: mean absolute error (equation 8), Pearson (equation 9), and within groups of five.

    Parameters
    ----------
    truth, predicted : array, shape (N,)
    groups : sequence of str
        Plate of each well; intervals draw whole plates.
    unit : str

    References
    ----------
    Ins-ATP (seed 000), equations 8 and 9, section 4.1.
    """

    def one(name: str, unit: str, statistic: Callable[[NDArray[np.intp]], float]) -> list[Metric]:
        interval = group_interval(groups, statistic, resamples=CARD_RESAMPLES, level=LEVEL)
        low, high = (float(f"{v:.5g}") if np.isfinite(v) else None for v in (interval.low, interval.high))
        value = float(f"{interval.value:.5g}")
        level = LEVEL if low is not None else None
        if not np.isfinite(value):  # no correlation of one well
            return []
        how = {"level": level, "unit": unit, "on": "test wells", "n": len(truth)}
        return [Metric(name=name, value=value, low=low, high=high, **how)]

    found = [
        *one("MAE", unit, lambda r: float(np.abs(predicted[r] - truth[r]).mean())),
        *one("Pearson", "", lambda r: pearson(truth[r], predicted[r])),
    ]
    within = within_groups(truth, predicted, groups)
    if np.isfinite(within):
        found.append(
            Metric(
                name=f"Pearson within groups of {GROUP_OF}",
                value=float(f"{within:.5g}"),
                on="test wells, mean over groups of one plate",
                n=len(truth) // GROUP_OF,
            )
        )
    constant = float(np.abs(truth - np.median(truth)).mean())
    found.append(Metric(name="MAE of the best constant", value=float(f"{constant:.5g}"), unit=unit, on="test wells"))
    return found


def within_groups(truth: Floats, predicted: Floats, groups: Sequence[str]) -> float:
    """Return the mean Pearson correlation within groups of five wells of one plate, in the order they come."""
    found = []
    for name in dict.fromkeys(groups):
        own = [i for i, g in enumerate(groups) if g == name]
        for first in range(0, len(own) - GROUP_OF + 1, GROUP_OF):
            rows = own[first : first + GROUP_OF]
            found.append(pearson(truth[rows], predicted[rows]))
    kept = [r for r in found if np.isfinite(r)]
    return float(np.mean(kept)) if kept else float("nan")


def evaluate(
    model: str, recipe: Recipe, recipe_folder: Path, prepare: Prepare, device: str = "auto"
) -> ProgressGenerator[list[Metric]]:
    """Measure a model on the test part of a recipe's data (32 bit).

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or the model does not fit the recipe's input.
    """
    loaded = load_model(model, recipe.task)
    check_channels(loaded.card.architecture, recipe.input, recipe.targets)
    # Images are cut out and normalised as the model's card says, and its weights are those it has.
    as_made = {"input": loaded.card.input, "network": loaded.card.architecture, "trunk": None}
    recipe = recipe.model_copy(update=as_made)
    hint = "Name groups or a share to test on."
    return (yield from measure_model(loaded, recipe, recipe_folder, prepare, device, hint))
