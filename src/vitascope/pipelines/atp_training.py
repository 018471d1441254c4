"""Train and evaluate models of the task ``atp`` from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.card import Domain, Intervals, Metric
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.steps import Progress, Steps
from vitascope.core.training import Preview
from vitascope.engine.atp_loss import AtpLoss, atp_loss
from vitascope.engine.bags import BagSampler
from vitascope.engine.crops import Pair
from vitascope.engine.domain import image_statistics, make_domain
from vitascope.engine.head_fit import fit_head
from vitascope.engine.load import check_channels, load_model
from vitascope.engine.train import Batch
from vitascope.models.ins_atp import InsAtp
from vitascope.ops.atp_code import bits_needed, round_top
from vitascope.ops.geometry import array_reader
from vitascope.pipelines.bag_data import BagCorpus, load_bags
from vitascope.pipelines.simulated import truths
from vitascope.pipelines.training import Trainee, choose_device, make_model
from vitascope.stats.agreement import pearson
from vitascope.stats.bootstrap import group_interval
from vitascope.stats.conformal import calibrate, interval
from vitascope.tasks.amounts import find_amounts
from vitascope.tasks.bags import find_bags
from vitascope.tasks.recipe import DataSet, Recipe, find_data

LEVEL, INTERVAL_LEVEL, RESAMPLES = 0.95, 0.9, 1000
AT_ONCE = 16
HEAD_PULL = 0.01
GROUP_OF = 5
"""Wells of a drug series that the paper compares with each other (section 4.1)."""

Floats = NDArray[np.float64]


class AtpJob:
    """What training needs to know of the task ``atp``, see :class:`vitascope.pipelines.training.Trainee`."""

    def __init__(self, recipe: Recipe, corpus: BagCorpus, network: nn.Module) -> None:
        assert isinstance(network, InsAtp)
        self.network: nn.Module = network
        self.corpus, self.input, self.targets = corpus, corpus.input, recipe.targets
        self.words, self.hashes, self.counts = corpus.words, corpus.hashes, corpus.counts
        self._seen: Preview | None = None
        self._net, self._loss = network, AtpLoss.from_recipe(recipe.loss)
        balanced = recipe.amounts.sampling == "balanced"
        training = recipe.training
        self._sampler = BagSampler(
            corpus.pairs["train"],
            network.bin_width if balanced else 0.0,
            recipe.augment,
            training.seed,
            training.steps_per_epoch,
        )

    def batch(self, step: int, size: int) -> Batch:
        """Return the wells of a step."""
        return self._sampler.batch(step, size)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return equation 2."""
        assert isinstance(network, InsAtp)
        return atp_loss(network(batch["image"]), network, batch["numbers"][:, 0], float(batch["epoch"][0]), self._loss)

    def fit_head(self, network: nn.Module) -> None:
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

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return mean absolute error and Pearson correlation over the validation wells."""
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
        return [Preview(self.targets[0].name, truth_of(pairs), predict(network, pairs)[0])] if pairs else []

    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure the test wells; intervals over groups."""
        pairs, samples = self.corpus.pairs["test"], self.corpus.samples["test"]
        if not pairs:
            return []
        found = amount_metrics(
            truth_of(pairs), predict(network, pairs)[0], [s.bag.group for s in samples], self.targets[0].unit
        )
        return found

    def domain(self, network: nn.Module) -> Domain:
        """Describe the training wells; groups left out in turn give the distance."""
        pairs, samples = self.corpus.pairs["train"], self.corpus.samples["train"]
        side = pairs[0].image.shape[-1]
        statistics = [image_statistics(array_reader(p.image), (side, side), side)[0] for p in pairs]
        return make_domain(side, statistics, predict(network, pairs)[1], [s.bag.group for s in samples])

    def settings(self, network: nn.Module) -> dict[str, float]:
        """Return nothing: the parameters' own defaults hold for all models."""
        return {}

    def intervals(self, network: nn.Module) -> Intervals | None:
        """Calibrate on the validation wells, plate by plate: as a difference or a factor, whichever is narrower."""
        pairs, samples = self.corpus.pairs["validation"], self.corpus.samples["validation"]
        if not pairs:
            return None
        truth, predicted = truth_of(pairs), predict(network, pairs)[0]
        return narrowest(truth, predicted, [s.bag.group for s in samples])


def narrowest(truth: Floats, predicted: Floats, groups: Sequence[str]) -> Intervals | None:
    """Calibrate intervals as differences, and as factors where all numbers are above 0; keep the narrower ones.

    None where there are too few wells to calibrate on.
    """
    if len(truth) * (1 - INTERVAL_LEVEL) < INTERVAL_LEVEL:
        return None
    on = "validation wells"
    found = [calibrate(truth, predicted, groups, INTERVAL_LEVEL, "linear", on)]
    if (truth > 0).all() and (predicted > 0).all():
        found.append(calibrate(truth, predicted, groups, INTERVAL_LEVEL, "log", on))
    widths = []
    for one in found:
        low, high = interval(predicted, one)
        widths.append(float((high - np.maximum(low, 0)).mean()))
    return found[int(np.argmin(widths))]


def truth_of(pairs: Sequence[Pair]) -> Floats:
    """Return the amount of each well, (N,)."""
    return np.array([p.numbers[0] for p in pairs], np.float64)


def predict(network: nn.Module, pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Return the estimated amount of each well (N,), and its mean features (N, F)."""
    weight = next(network.parameters())
    values, features = [], []
    with torch.inference_mode():
        for first in range(0, len(pairs), AT_ONCE):
            images = np.stack([p.image for p in pairs[first : first + AT_ONCE]])
            output = network(torch.from_numpy(images).to(weight.device, memory_format=torch.channels_last))
            values.append(output.value[:, 0].double().cpu().numpy())
            features.append(output.encoding.double().mean((2, 3)).cpu().numpy())
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
        interval = group_interval(groups, statistic, resamples=RESAMPLES, level=LEVEL)
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


def prepare(recipe: Recipe, recipe_folder: Path, network: nn.Module) -> Steps[Trainee]:
    """Read the wells of a recipe."""
    return AtpJob(recipe, (yield from load_bags(recipe, recipe_folder)), network)


def fitted(recipe: Recipe, recipe_folder: Path) -> Recipe:
    """Fit the range of the amounts to the data set: its top, the width of a bin, and as many bits as that needs.

    Raises
    ------
    ParameterError
        If the recipe is not one for wells.
    """
    if recipe.network.name != "ins_atp" or recipe.input.find == "none":
        raise ParameterError(
            "ATP is estimated by the network 'ins_atp' from wells that are found first.",
            "Set the recipe's network, and 'find: well' and 'side_px' of its input.",
        )
    if recipe.split.by != "group":
        raise ParameterError("Wells are split by group, such as the plate, not by rows.", "Set 'by: group'.")
    values = [v for data in recipe.data for v in amounts_of(data, recipe.targets[0].name, recipe_folder)]
    top = round_top(max(values))
    width = recipe.amounts.bin_width or float(f"{top / recipe.amounts.bins:.12g}")
    arguments = {**recipe.network.arguments, "top": top, "bin_width": width, "bits": bits_needed(top, width)}
    return recipe.model_copy(update={"network": recipe.network.model_copy(update={"arguments": arguments})})


def amounts_of(data: DataSet, target: str, recipe_folder: Path) -> list[float]:
    """Return the amounts of a data set without reading its images."""
    if data.simulated is not None:
        return truths(data.simulated)
    folder = find_data(data, recipe_folder)
    if data.amounts is not None:
        bags = list(find_amounts(data.amounts, target, folder).bags)
    else:
        bags = find_bags(data, (target,), folder)
    return [bag.labels[target] for bag in bags]


def run_training(
    recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
) -> Steps[Path]:
    """Train a model and write its card and weights; see :func:`vitascope.pipelines.training.make_model`."""
    yield Progress(0, 1, "reading the amounts")
    recipe = fitted(recipe, recipe_folder)
    return (yield from make_model(recipe, recipe_folder, out, prepare, start_from, device))


def run_evaluation(model: str, recipe: Recipe, recipe_folder: Path, device: str = "auto") -> Steps[list[Metric]]:
    """Measure a model on the test part of a recipe's data (32 bit).

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or the model does not fit the recipe's input.
    """
    loaded = load_model(model, recipe.task)
    check_channels(loaded.card.architecture, recipe.input, recipe.targets)
    chosen, _ = choose_device(recipe, device)
    # Wells are cut out and normalised as the model's card says.
    recipe = recipe.model_copy(update={"input": loaded.card.input, "network": loaded.card.architecture})
    trainee = yield from prepare(recipe, recipe_folder, loaded.network)
    yield Progress(0, 1, "measuring the model")
    metrics = trainee.metrics(loaded.network.to(chosen.id))
    loaded.network.cpu()
    if not metrics:
        raise ModelError(f"The recipe {recipe.id} keeps no test part.", "Name groups or a share to test on.")
    yield Progress(1, 1, "measuring the model")
    return metrics
