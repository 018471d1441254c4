"""Train and evaluate models of the task ``phenotype`` from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.card import Domain, InputSpec, Metric
from vitascope.core.errors import ModelError, ParameterError, TrainingError
from vitascope.core.progress import ProgressGenerator
from vitascope.core.training_params import PLAIN, AugmentParams, Preview
from vitascope.engine.load_model import check_channels, find_family, load_model
from vitascope.networks.mil_cnn import MilCnn, joint_loss
from vitascope.ops.wells import instances
from vitascope.ops.wells.cell_views import PHASES, cell_centre, phases_sheet, with_ground_before
from vitascope.recipes.recipe import Recipe
from vitascope.stats.classification import (
    accuracy,
    mean_average_precision,
)
from vitascope.training.data.labelled_images import balanced, load_labelled_images
from vitascope.training.data.samples import CellCorpus, LabelledCorpus
from vitascope.training.data.single_cells import load_cells
from vitascope.training.loop.batches import Batch
from vitascope.training.make_model import describe_pairs, make_model, measure_model
from vitascope.training.samplers.crops import CropSampler, Pair
from vitascope.training.samplers.lone_cells import LoneCellSampler
from vitascope.training.samplers.mosaics import Mosaic, MosaicSampler, padded_pair
from vitascope.training.tasks.phenotype_map_calibration import choose_settings
from vitascope.training.tasks.phenotype_metrics import bag_metrics, cell_metrics, image_metrics, truth_of_classes
from vitascope.training.training_task import TrainingTask

DOMAIN_MOSAICS, DOMAIN_TILES = 24, 200

VALIDATION_PHASES = 1
"""Between epochs tiles are seen at one phase only: it is enough to tell which epoch is best."""


class Scored(NamedTuple):
    """What a network says of images: probabilities of the last layer and of the MIL layer, (N, K) each."""

    last: NDArray[np.float64]
    pooled: NDArray[np.float64]


def score(
    network: nn.Module, pairs: Sequence[Pair], mask: Callable[[Pair], NDArray[np.float32]] | None = None
) -> Scored:
    """Classify whole images, each continued by reflection to the network's multiple.

    Parameters
    ----------
    network : MilCnn
    pairs : sequence of Pair
    mask : callable, optional
        Gives the instances (h, w) that count; by default those whose centre's weight is above 0.
    """
    assert isinstance(network, MilCnn)
    step = 16 * network.stride0
    weight_like = next(network.parameters())
    last, pooled = [], []
    for pair in pairs:
        whole = padded_pair(pair.image, pair.weight, pair.numbers, step)
        counts = instances.counted(whole.weight[0], step) if mask is None else mask(pair)
        image = torch.from_numpy(whole.image)[None].to(weight_like.device, memory_format=torch.channels_last)
        with torch.inference_mode():
            output = network(image, torch.from_numpy(counts)[None, None].to(weight_like.device))
        last.append(network.probabilities(output.scores)[0].cpu().numpy())
        pooled.append(torch.exp(output.pooled.log_p[0]).cpu().numpy())
    return Scored(np.array(last, np.float64), np.array(pooled, np.float64))


def encode(network: nn.Module, image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean deepest features (F,) of a prepared crop (C, H, W)."""
    assert isinstance(network, MilCnn)
    whole = padded_pair(
        image, np.ones((1, *image.shape[1:]), np.float32), np.zeros(0, np.float32), 16 * network.stride0
    )
    with torch.inference_mode():
        found = network.features(torch.from_numpy(whole.image)[None])
    return np.asarray(found[0].double().mean((1, 2)).numpy())


class _Job(TrainingTask):
    """What image and mosaic training share."""

    def __init__(self, recipe: Recipe, spec: InputSpec, description: str, network: nn.Module) -> None:
        assert isinstance(network, MilCnn)
        super().__init__(recipe, network, spec, description)
        self.recipe = recipe
        self._last, self._step = network.last, 16 * network.stride0
        self._names = [t.name for t in recipe.targets]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the joint loss, equation 2, over the instances whose centres count."""
        mask = (batch["weight"][:, :, :: self._step, :: self._step] > 0).float()
        return joint_loss(network(batch["image"], mask), batch["numbers"], self._last)


class ImageJob(_Job):
    """Training on crops of whole images, each under the labels of its image."""

    def __init__(self, recipe: Recipe, corpus: LabelledCorpus, network: nn.Module) -> None:
        super().__init__(recipe, corpus.input, corpus.description, network)
        self.corpus, self.hashes, self.counts = corpus, corpus.hashes, corpus.counts
        self.fingerprints = corpus.fingerprints
        check_classes(corpus.pairs["train"], self._names)
        pairs = balanced(corpus.pairs["train"])
        self._sampler, self._plain = (
            CropSampler(pairs, recipe.crop_px, augment, recipe.keep, recipe.training.seed)
            for augment in (recipe.augment, PLAIN)
        )

    def batch(self, step: int, size: int) -> Batch:
        """Return the crops of a step."""
        return self._sampler.batch(step, size)

    def plain_batch(self, step: int, size: int) -> Batch:
        """Return crops as they lie in the images."""
        return self._plain.batch(step, size)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return mean average precision and accuracy over the validation images."""
        pairs = self.corpus.pairs["validation"]
        if not pairs:
            return {}
        truth, scores = truth_of_classes(pairs), score(network, pairs).last
        found = {"mean_average_precision": mean_average_precision(truth, scores), "accuracy": accuracy(truth, scores)}
        return {**found, "score": found["mean_average_precision"]}

    def held_out(self, network: nn.Module) -> list[Preview]:
        """Return the probabilities of each class over the test images."""
        pairs = self.corpus.pairs["test"]
        if not pairs:
            return []
        truth, scores = truth_of_classes(pairs), score(network, pairs).last
        return [Preview(name, truth[:, k], scores[:, k]) for k, name in enumerate(self._names)]

    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure the test images: accuracy, mean class accuracy, mean average precision, and over treatments."""
        return image_metrics(self.corpus, score(network, self.corpus.pairs["test"]).last)

    def default_params(self, network: nn.Module) -> dict[str, float]:
        """Choose the maps' scales, threshold and smoothing on the training images, where the recipe names a channel."""
        if not self.recipe.map_truth:
            return {}
        assert isinstance(network, MilCnn)
        channel = self.input.channels.index(self.recipe.map_truth)
        per_class = self.recipe.map_threshold == "per_class"
        return choose_settings(network, self.corpus.pairs["train"], channel, self._names, per_class=per_class)

    def domain(self, network: nn.Module) -> Domain:
        """Describe the training images."""
        return describe_pairs(self.corpus.pairs["train"], lambda crop: encode(network, crop))


class MosaicJob(_Job):
    """Training on bags made of single cells."""

    def __init__(self, recipe: Recipe, corpus: CellCorpus, network: nn.Module) -> None:
        super().__init__(recipe, corpus.input, corpus.description, network)
        self.corpus, self.fingerprints = corpus, corpus.fingerprints
        self.counts = {f"{part} cells": sum(map(len, cells)) for part, cells in corpus.cells.items()}
        self._sampler = self.sampler("train", recipe.training.seed, recipe.augment, one_cell=True)
        self._plain = self.sampler("train", recipe.training.seed)
        self._validation = [m.pair for m in self.bags("validation")]
        self._alone: LoneCellSampler | None = None
        assert recipe.mosaic is not None
        if recipe.mosaic.alone:
            self._alone = LoneCellSampler(
                corpus.tiles["train"], self.cell_px, self._step, recipe.training.seed, recipe.augment
            )

    @property
    def cell_px(self) -> float:
        """Diameter of a cell: the card's, else the side of its tile."""
        return self.input.object_diameter_px or float(self.corpus.tiles["train"][0].shape[-1])

    def sampler(
        self, part: str, seed: int, augment: AugmentParams | None = None, one_cell: bool = False
    ) -> MosaicSampler:
        """Return what draws the bags of a part."""
        bags = self.recipe.mosaic
        assert bags is not None
        rows = bags.rows
        cells = self.corpus.cells[part]
        if part != "train":  # a small part may not fill the largest bag
            rows = (rows[0], max(rows[0], min(rows[1], int(sum(map(len, cells)) ** 0.5))))
        return MosaicSampler(
            cells,
            [bags.thresholds[n] for n in self._names],
            rows,
            self._step,
            seed,
            augment,
            one_cell and bags.one_cell,
            bags.phases,
        )

    def bags(self, part: str) -> list[Mosaic]:
        """Draw the bags that a part is measured on: always the same ones."""
        assert self.recipe.mosaic is not None
        count = self.recipe.mosaic.validation_bags if part == "validation" else self.recipe.mosaic.test_bags
        if not sum(map(len, self.corpus.cells[part])):
            return []
        sampler = self.sampler(part, self.recipe.split.seed)
        return [sampler.draw(np.random.default_rng((self.recipe.split.seed, i))) for i in range(count)]

    def batch(self, step: int, size: int) -> Batch:
        """Return the bags of a step, or tiles of one cell."""
        bags = self.recipe.mosaic
        assert bags is not None
        if (
            self._alone is not None
            and np.random.default_rng((self.recipe.training.seed, step, 0)).random() < bags.alone
        ):
            return self._alone.batch(step, bags.alone_cells)
        return self._sampler.batch(step, size)

    def plain_batch(self, step: int, size: int) -> Batch:
        """Return bags of cells as they are."""
        return self._plain.batch(step, size)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return mean average precision over the validation bags, and over tiles where they are trained on too."""
        if not self._validation:
            return {}
        value = mean_average_precision(truth_of_classes(self._validation), score(network, self._validation).last)
        found = {"mean_average_precision": value}
        if self._alone is None:
            return {**found, "score": value}
        alone = mean_average_precision(*self.score_cells(network, "validation", VALIDATION_PHASES))
        return {**found, "mean_average_precision_of_cells": alone, "score": (value + alone) / 2}

    def score_cells(
        self, network: nn.Module, part: str, phases: int = PHASES, moved_px: tuple[int, int] = (0, 0)
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Classify tiles of one cell, each seen at all phases; truth and probabilities of the MIL layer (N, K).

        ``moved_px`` are rows and columns of ground that are put before each tile.
        """
        eye = np.eye(len(self._names), dtype=np.float32)
        truth, pairs, counts = [], [], []
        for k, tiles in enumerate(self.corpus.tiles[part]):
            for tile in tiles:
                picture = with_ground_before(tile, moved_px)
                centre = cell_centre(picture, self.cell_px)
                sheet, own = phases_sheet(picture, centre, self._step, self.cell_px, phases)
                weight = np.ones((1, *sheet.shape[1:]), np.float32)
                pairs.append(padded_pair(sheet, weight, eye[k], self._step))
                truth.append(eye[k])
                counts.append(own)
        waiting = iter(counts)
        return np.array(truth, np.float64), score(network, pairs, lambda _: next(waiting)).pooled

    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure test bags, and test cells one by one."""
        assert self.recipe.mosaic is not None
        pairs = [m.pair for m in self.bags("test")]
        if not pairs:
            return []
        return [
            *bag_metrics(truth_of_classes(pairs), score(network, pairs).last, self._names, self.test_counts()),
            *cell_metrics(*self.score_cells(network, "test"), self._names, self.recipe.mosaic.merged),
        ]

    def _some_tiles(self) -> list[Pair]:
        """Return some training tiles as pictures of their own, classes by the root of how many there are."""
        rng = np.random.default_rng(0)
        tiles = self.corpus.tiles["train"]
        often = np.sqrt([len(each) for each in tiles])
        found = []
        for k in rng.choice(len(tiles), DOMAIN_TILES, p=often / often.sum()):
            tile = tiles[k][int(rng.integers(len(tiles[k])))]
            weight = np.ones((1, *tile.shape[1:]), np.float32)
            found.append(Pair(image=tile, target=np.zeros((0, *tile.shape[1:]), np.float32), weight=weight))
        return found

    def test_counts(self) -> list[int]:
        """Return how many test cells there are of each class."""
        return [len(c) for c in self.corpus.cells["test"]]

    def domain(self, network: nn.Module) -> Domain:
        """Describe the training bags, and tiles of one cell where they are trained on too."""
        sampler = self.sampler("train", 0)
        pairs = [sampler.draw(np.random.default_rng((1, i))).pair for i in range(DOMAIN_MOSAICS)]
        if self._alone is not None:
            pairs += self._some_tiles()
        return describe_pairs(pairs, lambda crop: encode(network, crop))


def check_classes(pairs: Sequence[Pair], names: Sequence[str]) -> None:
    """Refuse training data in which a class does not occur, or is all there is.

    Raises
    ------
    TrainingError
        With the number of images of each class.
    """
    truth = truth_of_classes(pairs) > 0
    counts = ", ".join(f"{int(n)} {name}" for n, name in zip(truth.sum(0), names, strict=True))
    if len(names) < 2 or (truth.any(0) & ~truth.all(0)).sum() < len(names):
        raise TrainingError(
            f"There is nothing to tell apart: the {len(pairs)} training images are {counts}.",
            "Add images with and without each class, or keep other groups apart.",
        )


def prepare(recipe: Recipe, recipe_folder: Path, network: nn.Module) -> ProgressGenerator[TrainingTask]:
    """Read the data of a recipe: images, or montages of cells that mosaics are made of."""
    check_recipe(recipe)
    if recipe.mosaic is None:
        return ImageJob(recipe, (yield from load_labelled_images(recipe, recipe_folder)), network)
    return MosaicJob(recipe, (yield from load_cells(recipe, recipe_folder)), network)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that the network cannot be trained by.

    Raises
    ------
    ParameterError
    """
    step = find_family(recipe.network).multiple_px
    if recipe.mosaic is None and recipe.crop_px % step:
        raise ParameterError(f"Crops of {recipe.crop_px} px do not fit the network.", f"Take a multiple of {step} px.")
    if recipe.map_truth and recipe.map_truth not in recipe.input.channels:
        raise ParameterError(
            f"There is no channel '{recipe.map_truth}' to choose the maps' threshold by.",
            f"Channels: {', '.join(recipe.input.channels)}.",
        )
    if recipe.split.by != "group":
        raise ParameterError("Images under one label are split by group, not by rows.", "Set 'by: group'.")
    if recipe.mosaic is not None:
        missing = [t.name for t in recipe.targets if t.name not in recipe.mosaic.thresholds]
        if missing:
            raise ParameterError(f"The class '{missing[0]}' has no threshold.", "Name one for each target.")


def run_training(
    recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
) -> ProgressGenerator[Path]:
    """Train a model and write its card and weights; see :func:`vitascope.training.make_model.make_model`."""
    return (yield from make_model(recipe, recipe_folder, out, prepare, start_from, device))


def run_evaluation(
    model: str, recipe: Recipe, recipe_folder: Path, device: str = "auto"
) -> ProgressGenerator[list[Metric]]:
    """Measure a model on the test part of a recipe's data (32 bit).

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or the model does not fit the recipe's input or classes.
    """
    loaded = load_model(model, recipe.task)
    check_channels(loaded.card.architecture, recipe.input, recipe.targets)
    names, wanted = ([t.name for t in targets] for targets in (loaded.card.targets, recipe.targets))
    if names != wanted:
        raise ModelError(
            f"The model {loaded.card.id} tells {', '.join(names)}, the recipe measures {', '.join(wanted)}.",
            "Take the recipe that the model was made with.",
        )
    # The images are normalised as the model's card says, not as this data set would have it.
    recipe = recipe.model_copy(update={"input": loaded.card.input})
    hint = "Name groups or a share to test on."
    return (yield from measure_model(loaded, recipe, recipe_folder, prepare, device, hint))
