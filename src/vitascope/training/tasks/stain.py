"""Train and evaluate models of the task ``stain`` from a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.card import Domain, Metric, Target
from vitascope.core.errors import ModelError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.training_params import PLAIN, Preview
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import LoadedModel, check_channels, load_model
from vitascope.engine.open_backends import open_backend
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.networks.unet import UNet
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.intensity.mask import CUT, cut_for_area
from vitascope.recipes.recipe import Recipe
from vitascope.stats.agreement import pcc
from vitascope.stats.bootstrap import Interval, pcc_interval
from vitascope.training.data.laboratories import load_stains
from vitascope.training.data.split_rows import ONE_IMAGE
from vitascope.training.data.stain import Corpus
from vitascope.training.loop.batches import Batch
from vitascope.training.losses.images import check_losses, weighted_sum
from vitascope.training.make_model import choose_device, describe_pairs, make_model
from vitascope.training.quick_ridge import ridge_network
from vitascope.training.samplers.crops import CropSampler, Pair
from vitascope.training.samplers.light import by_itself
from vitascope.training.training_task import TrainingTask

BOOTSTRAP_BLOCK_PX = 64
BOOTSTRAP_LEVEL = 0.95

QUICK_PX, MOST_QUICK = 3_000_000, 40
"""Pixels of crops that a quick answer is fitted to, a few seconds' work, and the most batches of them."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps a whole prepared image (C, H, W) to its prediction (K, H, W)."""


@dataclass(frozen=True)
class Compared:
    """Prediction and truth of one pair, cut to one of its areas: (K, h, w), and what counts (1, h, w)."""

    prediction: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]


class StainJob(TrainingTask):
    """What training needs to know of the task ``stain``."""

    def __init__(self, recipe: Recipe, corpus: Corpus, network: nn.Module) -> None:
        super().__init__(recipe, network, recipe.input, corpus.description)
        self.notes = (*((ONE_IMAGE,) if recipe.split.by == "region" else ()), *corpus.warnings)
        self.targets = tuple(
            Target(**{**t.model_dump(), "source_low": low, "source_high": high})
            for t, (low, high) in zip(recipe.targets, corpus.scales, strict=True)
        )
        self._recipe, self._corpus = recipe, corpus
        self.fingerprints, self.hashes = corpus.fingerprints, corpus.hashes
        self._validation = corpus.validation
        self.counts = {"images": len(corpus.groups)} | {
            part: len(pairs)
            for part, pairs in (("training", corpus.train), ("validation", corpus.validation), ("test", corpus.test))
        }
        self._seen: Preview | None = None
        self._sampler, self._plain = (
            CropSampler(corpus.train, recipe.crop_px, augment, recipe.keep, recipe.training.seed)
            for augment in (recipe.augment, PLAIN)
        )

    def batch(self, step: int, size: int) -> Batch:
        """Return the crops of a step."""
        return self._sampler.batch(step, size)

    def plain_batch(self, step: int, size: int) -> Batch:
        """Return crops as they lie in the images."""
        return self._plain.batch(step, size)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the weighted sum of the recipe's losses."""
        return weighted_sum(self._recipe.loss, network(batch["image"]).image, batch["target"], batch["weight"])

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the correlation of each target over all validation pixels, and their mean as the score."""
        if not self._validation:
            return {}
        compared = compare(self._validation, lambda image: torch_predict(network, image))
        area = self._validation[0].training_areas()[0]
        seen = self._validation[0].image[:, area.top : area.bottom, area.left : area.right]
        first = compared[0]
        self._seen = Preview(self.targets[0].name, first.target[0], first.prediction[0], seen[len(seen) // 2])
        found = {f"pcc_{t.name}": correlation(compared, k) for k, t in enumerate(self._recipe.targets)}
        return {**found, "score": float(np.mean(list(found.values())))}

    def preview(self, network: nn.Module) -> Preview | None:
        """Return the first validation area as it was last measured."""
        return self._seen

    def held_out(self, network: nn.Module) -> list[Preview]:
        """Return every area of the test part as the network predicts it; NaN where nothing counts."""
        found = []
        areas = [(pair, area) for pair in self._corpus.test for area in pair.training_areas()]
        compared = compare(self._corpus.test, lambda image: torch_predict(network, image))
        for (pair, area), one in zip(areas, compared, strict=True):
            image = pair.image[len(pair.image) // 2, area.top : area.bottom, area.left : area.right]
            for k, target in enumerate(self.targets):
                truth = np.where(one.weight[0] > 0, one.target[k], np.nan)
                found.append(Preview(target.name, truth, one.prediction[k], image))
        return found

    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure the correlation of each target on the test part."""
        return test_metrics(self._recipe, self._corpus.test, lambda image: torch_predict(network, image))

    def quick_answer(self, network: nn.Module) -> nn.Module | None:
        """Return a ridge regression on the features of a U-Net, where a validation part tells what it is worth."""
        if not isinstance(network, UNet) or network.columns or not self._validation:
            return None
        side, size = self._recipe.crop_px, self._recipe.training.batch_size
        count = max(2, min(MOST_QUICK, round(QUICK_PX / (size * side**2))))
        return ridge_network(network, (self.plain_batch(step, size) for step in range(count)))

    def default_params(self, network: nn.Module) -> dict[str, float]:
        """Cut predicted masks for area bias 0 on the validation part; on the training part where there is none."""
        if not self._recipe.target_preparation.mask:
            return {}
        compared = compare(self._validation or self._corpus.train, lambda image: torch_predict(network, image))
        cuts = {f"{CUT}{t.name}": cut_for_area(*pooled(compared, k)) for k, t in enumerate(self.targets)}
        return {name: cut for name, cut in cuts.items() if math.isfinite(cut)}

    def domain(self, network: nn.Module) -> Domain:
        """Describe the training images."""
        return measure_domain(self._corpus, network, several=any(d.laboratory for d in self._recipe.data))


def torch_predict(network: nn.Module, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict a whole prepared image (C, H, W) in one pass; returns (K, H, W)."""
    answer = _whole_pass(network, image).image[0].float().cpu().numpy()
    return answer[:, : image.shape[1], : image.shape[2]]  # type: ignore[no-any-return]


def torch_encode(network: nn.Module, image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean deepest features (F,) of a prepared crop (C, H, W)."""
    return _whole_pass(network, image).encoding[0].double().mean((1, 2)).cpu().numpy()  # type: ignore[no-any-return]


def _whole_pass(network: nn.Module, image: NDArray[np.float32]) -> Any:
    """Run a network on an image padded once by reflection to a multiple of 16."""
    height, width = image.shape[1:]
    padded = array_reader(image)((slice(0, height + -height % 16), slice(0, width + -width % 16)))
    weight = next(network.parameters())
    tensor = torch.from_numpy(np.ascontiguousarray(padded))[None].to(weight.device, memory_format=torch.channels_last)
    with torch.inference_mode():
        return network(tensor)


def compare(pairs: list[Pair], predict: Predict) -> list[Compared]:
    """Predict pairs whole and cut prediction and truth to their areas."""
    found = []
    for pair in pairs:
        prediction = predict(pair.image)
        for area in pair.training_areas():
            window = (slice(None), slice(area.top, area.bottom), slice(area.left, area.right))
            found.append(Compared(prediction[window], pair.target[window], pair.weight[window]))
    return found


def pooled(compared: list[Compared], k: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return all pixels of one target that count: prediction and truth, flat."""
    counts = [c.weight[0] > 0 for c in compared]
    return (
        np.concatenate([c.prediction[k][m] for c, m in zip(compared, counts, strict=True)]),
        np.concatenate([c.target[k][m] for c, m in zip(compared, counts, strict=True)]),
    )


def run_training(
    recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
) -> ProgressGenerator[Path]:
    """Train a model and write its card and weights.

    Parameters
    ----------
    recipe : Recipe
    recipe_folder : Path
        Where relative data folders start.
    out : Path
        Folder that gets ``<id>.json`` and ``<id>.safetensors``; checkpoints lie in ``<id>.training`` until it ends.
    start_from : str, optional
        Model whose weights training starts from.
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    Path
        Of the card.

    Raises
    ------
    VitascopeError
        If data, recipe or folder cannot be used, or there is a model of this id: models are never replaced.
    """
    check_losses(recipe.loss)
    return (yield from make_model(recipe, recipe_folder, out, prepare, start_from, device))


def prepare(recipe: Recipe, recipe_folder: Path, network: nn.Module) -> ProgressGenerator[StainJob]:
    """Read the data of a recipe."""
    return StainJob(recipe, (yield from load_stains(recipe, recipe_folder)), network)


def test_metrics(recipe: Recipe, pairs: list[Pair], predict: Predict) -> list[Metric]:
    """Measure the correlation of each target on pairs, with a block-bootstrap interval over squares of 64 px."""
    if not pairs:
        return []
    compared = compare(pairs, predict)
    metrics = []
    for k, target in enumerate(recipe.targets):
        interval = correlation_interval(compared, k)
        low, high = (round(end, 4) if math.isfinite(end) else None for end in (interval.low, interval.high))
        metrics.append(
            Metric(
                name=f"PCC {target.name}",
                value=round(correlation(compared, k), 4),
                low=low,
                high=high,
                level=BOOTSTRAP_LEVEL if low is not None else None,
                on="test part of the split",
                n=pooled(compared, k)[0].size,
            )
        )
    return metrics


def correlation(compared: list[Compared], k: int) -> float:
    """Return the correlation of one target over all pixels that count; 0 for a flat prediction, as in the loss."""
    return float(np.nan_to_num(pcc(*pooled(compared, k))))


def correlation_interval(compared: list[Compared], k: int) -> Interval:
    """Bootstrap the correlation of one target over squares of 64 px, those of all pairs side by side.

    A test part too small for that is cut into squares of 32 px, still wider than a nucleus.
    """
    rows = max(c.target.shape[1] for c in compared)

    def side_by_side(pictures: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(
            [np.pad(p, ((0, rows - len(p)), (0, 0)), constant_values=np.nan) for p in pictures], axis=1
        )

    counted = [np.where(c.weight[0] > 0, c.target[k], np.nan).astype(np.float32) for c in compared]
    predicted = side_by_side([c.prediction[k] for c in compared])
    real = side_by_side(counted)
    found = pcc_interval(real, predicted, block_px=BOOTSTRAP_BLOCK_PX, level=BOOTSTRAP_LEVEL)
    if math.isfinite(found.low):
        return found
    return pcc_interval(real, predicted, block_px=BOOTSTRAP_BLOCK_PX // 2, level=BOOTSTRAP_LEVEL)


def measure_domain(corpus: Corpus, network: nn.Module, *, several: bool = False) -> Domain:
    """Describe the training images for the card; those of several laboratories by views on a scale of their own."""

    def alone(view: NDArray[np.float32]) -> NDArray[np.float32]:
        return by_itself(torch.from_numpy(np.ascontiguousarray(view))).numpy()  # type: ignore[no-any-return]

    return describe_pairs(corpus.train, lambda crop: torch_encode(network, crop), alone if several else None)


def run_evaluation(
    model: str, recipe: Recipe, recipe_folder: Path, device: str = "auto"
) -> ProgressGenerator[list[Metric]]:
    """Measure a model on the test part of a recipe's data, as users run it (32 bit).

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or the model does not fit the recipe's input or targets.
    """
    loaded = load_model(model, recipe.task)
    check_channels(loaded.card.architecture, recipe.input, recipe.targets)
    names, wanted = ([t.name for t in targets] for targets in (loaded.card.targets, recipe.targets))
    if names != wanted:
        raise ModelError(
            f"The model {loaded.card.id} predicts {', '.join(names)}, the recipe measures {', '.join(wanted)}.",
            "Take the recipe that the model was made with.",
        )
    corpus = yield from load_stains(recipe, recipe_folder)
    if not corpus.test:
        raise ModelError(
            f"The recipe {recipe.id} keeps no test part.", "Name test rows or a test fraction in its split."
        )
    chosen, _ = choose_device(recipe, device)
    yield Progress(0, 1, "measuring the model")
    metrics = test_metrics(recipe, corpus.test, lambda image: _run_time_predict(loaded, image, chosen.id))
    yield Progress(1, 1, "measuring the model")
    return metrics


def _run_time_predict(model: LoadedModel, image: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    shape = (image.shape[1], image.shape[2])
    out = np.zeros((len(model.card.targets), *shape), np.float32)

    def sink(where: tuple[slice, slice], piece: NDArray[np.float32]) -> None:
        out[(slice(None), *where)] = piece

    for _ in predict_picture(
        model,
        array_reader(image),
        shape,
        Plan(device=device, precision="f32", tile_px=1024, threads=1),
        sink,
        open_with=open_backend,
    ):
        pass
    return out
