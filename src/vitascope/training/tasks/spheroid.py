"""Train and evaluate models of the task ``spheroid`` from a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.card import Domain, Intervals, Metric
from vitascope.core.errors import ParameterError
from vitascope.core.progress import ProgressGenerator
from vitascope.core.training_params import PLAIN, Preview
from vitascope.engine.domain import make_domain
from vitascope.engine.load_model import check_channels, load_model
from vitascope.engine.volume_domain import CROP_ZYX, volume_statistics
from vitascope.networks.unet3d import MULTIPLE_ZYX, SLABS, STAGE_WEIGHTS, UNet3d
from vitascope.ops.geometry.resample import volume_reader
from vitascope.ops.objects.light_odds import (
    Sample,
    around,
    find_weights,
    light_above,
    refined,
    sample,
    weights_of,
)
from vitascope.ops.objects.spheroids import viability_percent
from vitascope.ops.tiling.tiles import padded_length
from vitascope.recipes.recipe import Recipe
from vitascope.stats.conformal import INTERVAL_LEVEL, TINY, calibrate
from vitascope.stats.overlap import Overlap, count_overlap
from vitascope.training.data.spheroid import describe_split, load_volumes
from vitascope.training.data.split_rows import ONE_IMAGE
from vitascope.training.loop.batches import Batch
from vitascope.training.losses.volumes import density_loss, segmentation_loss, slab_counts
from vitascope.training.make_model import make_model, measure_model
from vitascope.training.samplers.volume_crops import LabelledVolume, VolumeSampler
from vitascope.training.training_task import TrainingTask

LOSSES = ("log_dice", "focal", "density", "viability")
"""Names of a recipe's ``loss``; the paper's shares are 0.5, 0.5, none told, and 0.1 (sections 2.4 and 2.5)."""

VALIDATION_CROPS = 16
LEAST_CELL_VOXELS = 200
"""A crop with fewer voxels of cells has no viability."""


class SpheroidJob(TrainingTask):
    """Training on crops of labelled volumes."""

    def __init__(self, recipe: Recipe, volumes: dict[str, list[LabelledVolume]], network: nn.Module) -> None:
        assert isinstance(network, UNet3d)
        assert recipe.volumes is not None
        super().__init__(recipe, network, recipe.input, describe_split(dict(volumes), recipe))
        self._tested_on = "test rows of {} volumes" if recipe.split.by == "region" else "{} test volumes"
        self.notes = (ONE_IMAGE,) if recipe.split.by == "region" else ()
        self.counts = {f"{part} volumes": len(found) for part, found in volumes.items()}
        self._seen: Preview | None = None
        self.volumes, self._gamma = volumes, recipe.volumes.gamma
        self.fingerprints = tuple(f for part in ("train", "validation") for v in volumes[part] for f in v.fingerprints)
        self._found: tuple[nn.Module, dict[str, float]] | None = None
        self._shares = {name: recipe.loss.get(name, 0.0) for name in LOSSES}
        self._crop = (recipe.volumes.crop_planes, recipe.crop_px, recipe.crop_px)
        self._sampler = VolumeSampler(volumes["train"], self._crop, recipe.augment, recipe.training.seed)
        self._plain = VolumeSampler(volumes["train"], self._crop, PLAIN, recipe.training.seed)
        kept = volumes["validation"]
        self._validation = VolumeSampler(kept, self._crop, PLAIN, 1).batch(0, VALIDATION_CROPS) if kept else None

    def batch(self, step: int, size: int) -> Batch:
        """Return the crops of a step."""
        return self._sampler.batch(step, size)

    def plain_batch(self, step: int, size: int) -> Batch:
        """Return crops as they are, without augmentation."""
        return self._plain.batch(step, size)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the joint loss of segmentation, density and viability (sections 2.4 and 2.5)."""
        assert isinstance(network, UNet3d)
        shares, truth = self._shares, batch["truth"]
        found = network.stages(batch["image"])
        total = segmentation_loss(
            found.logits,
            truth,
            STAGE_WEIGHTS,
            dice_share=shares["log_dice"],
            focal_share=shares["focal"],
            gamma=self._gamma,
        )
        total = total + shares["density"] * density_loss(found.density, batch["density"], batch["density_weight"])
        if len(self.targets) < 3:
            return total
        live = torch.softmax(found.logits[0].float(), 1)[:, 1]
        return total + shares["viability"] * viability_loss(network, live, truth)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the Dice coefficient of each class over crops of the validation volumes."""
        if self._validation is None:
            return {}
        device = next(network.parameters()).device
        image, truth = self._validation["image"].to(device), self._validation["truth"].numpy()
        found = np.concatenate([classify(network(image[i : i + 4]).image) for i in range(0, len(image), 4)])
        shown = fullest_plane(truth)
        seen = image[shown[0], 0, shown[1]].float().cpu().numpy()
        self._seen = Preview("classes", truth[shown].astype(np.float32), found[shown].astype(np.float32), seen)
        names = [t.name for t in self.targets[:-1]]
        dice = {f"dice_{n}": count_overlap(found, truth, k + 2).dice for k, n in enumerate(names)}
        known = [v for v in dice.values() if np.isfinite(v)]
        return {**dice, "score": float(np.mean(known)) if known else 0.0}

    def preview(self, network: nn.Module) -> Preview | None:
        """Return a plane of a validation crop as it was last measured."""
        return self._seen

    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure whole test volumes: Dice, IoU, precision and recall of each class, for each kind of volume."""
        found: list[Metric] = []
        for kind in dict.fromkeys(v.kind for v in self.volumes["test"]):
            volumes = [v for v in self.volumes["test"] if v.kind == kind]
            weights = self.default_params(network)
            overlaps = [volume_overlaps(network, v, len(self.targets) - 1, weights) for v in volumes]
            for k, target in enumerate(self.targets[:-1]):
                found += overlap_metrics([o[k] for o in overlaps], target.name, self._tested_on.format(kind))
        return found

    def intervals(self, network: nn.Module) -> Intervals | None:
        """Calibrate the viability on the validation volumes; None where they are too few, or nothing tells dead."""
        if len(self.targets) < 3:
            return None
        kept = self.volumes["validation"]
        weights = self.default_params(network)
        pairs = np.array([viabilities(network, v, weights) for v in kept]).reshape(-1, 2)
        known = np.isfinite(pairs).all(1)
        if known.sum() < INTERVAL_LEVEL / (1 - INTERVAL_LEVEL) - TINY:
            return None
        kinds = " and ".join(dict.fromkeys(v.kind for v, k in zip(kept, known, strict=True) if k))
        groups = [v.group for v, k in zip(kept, known, strict=True) if k]
        true, found = pairs[known].T
        return calibrate(true, found, groups, INTERVAL_LEVEL, on=f"{kinds} validation volumes")

    def default_params(self, network: nn.Module) -> dict[str, float]:
        """Find how light tells where cells end, see :mod:`vitascope.ops.objects.light_odds`."""
        if self._found is None or self._found[0] is not network:
            self._found = (network, find_weights(light_samples(network, self.volumes["train"])))
        return self._found[1]

    def domain(self, network: nn.Module) -> Domain:
        """Describe the training volumes; groups left out in turn give the distance."""

        def encode(crop: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                found = network(torch.from_numpy(crop)[None].to(next(network.parameters()).device))
            return np.asarray(found.encoding[0].float().cpu().numpy())

        statistics, features, groups = [], [], []
        for volume in self.volumes["train"]:
            own, deepest = volume_statistics(volume_reader(volume.image), volume.classes.shape, encode)
            statistics += own
            features.append(deepest)
            groups += [volume.group] * len(own)
        return make_domain(CROP_ZYX[1], statistics, np.concatenate(features), groups)


def fullest_plane(truth: NDArray[np.int64]) -> tuple[int, int]:
    """Return the crop and the plane with the most voxels of cells: where few planes are painted, others show nothing.

    Parameters
    ----------
    truth : array of int, shape (B, D, H, W)
        Above 1 in cells.

    Examples
    --------
    >>> truth = np.zeros((2, 3, 4, 4), int)
    >>> truth[1, 2] = 2
    >>> fullest_plane(truth)
    (1, 2)
    """
    cells = np.count_nonzero(truth > 1, axis=(2, 3))
    crop, plane = np.unravel_index(int(cells.argmax()), cells.shape)
    return int(crop), int(plane)


def viability_loss(network: UNet3d, live: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error of the viability head on crops, whose cells stand for those of the control.

    Parameters
    ----------
    network : UNet3d
    live : Tensor, shape (B, D, H, W)
        Probability of live.
    truth : Tensor of int, shape (B, D, H, W)
        See :class:`vitascope.training.samplers.volume_crops.LabelledVolume`.
    """
    cells = (truth > 1).float().sum((1, 2, 3))
    enough = cells >= LEAST_CELL_VOXELS
    if not enough.any():
        return live.sum() * 0.0
    reference = (truth == 2).float().sum((1, 2, 3)) / cells.clamp_min(1)
    counts = slab_counts(live, (truth > 0).float(), SLABS) / cells.clamp_min(1)[:, None]
    with torch.autocast(live.device.type, enabled=False):
        found = network.viability(counts.float())
    loss: Tensor = (((found - reference) ** 2) * enough).sum() / enough.sum()
    return loss


def classify(image: Tensor) -> NDArray[np.uint8]:
    """Return the class of each voxel of a network's answer: 1 background, 2 live, 3 dead; shape (B, D, H, W)."""
    p = image[:, :-1].float()
    background = 1 - p.sum(1, keepdim=True)
    return np.asarray((torch.cat([background, p], 1).argmax(1) + 1).cpu().numpy(), np.uint8)


def predict_whole(network: nn.Module, volume: LabelledVolume) -> NDArray[np.float32]:
    """Return the network's answer for a volume (K + 1, D, H, W), which is seen in one piece."""
    shape = volume.classes.shape
    missing = [(0, padded_length(n, m) - n) for n, m in zip(shape, MULTIPLE_ZYX, strict=True)]
    image = torch.from_numpy(np.pad(volume.image, [(0, 0), *missing], mode="reflect"))[None]
    with torch.inference_mode():
        answer = network(image.to(next(network.parameters()).device)).image[0].float().cpu().numpy()
    return np.asarray(answer[(slice(None), *(slice(0, n) for n in shape))], np.float32)


def lights(volume: LabelledVolume) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return the light of each dye of a volume above Otsu's threshold, and around each voxel."""
    own = [light_above(dye, *level) for dye, level in zip(volume.image, volume.levels, strict=True)]
    return own, [around(light, volume.voxel_um) for light in own]


def light_samples(network: nn.Module, volumes: Sequence[LabelledVolume]) -> Iterator[Sample]:
    """Give voxels of each class of volumes, see :func:`vitascope.ops.objects.light_odds.sample`.

    Sparsely labelled ones are left out: which of their voxels count was chosen by the light that is asked about.
    """
    rng = np.random.default_rng(0)
    for volume in (v for v in volumes if not v.sparse):
        p, (own, near) = predict_whole(network, volume)[:-1], lights(volume)
        for k, probability in enumerate(p):
            inside = volume.classes == k + 2
            known = inside | (volume.classes == 1)
            yield sample(probability, 1 - p.sum(0), own[k], near[k], inside, known, rng)


def segment_whole(
    network: nn.Module, volume: LabelledVolume, weights: Mapping[str, float] | None = None
) -> NDArray[np.uint8]:
    """Return the class of each voxel of a volume, see :func:`classify`; with weights, refined by its light."""
    answer, found = predict_whole(network, volume), weights_of(weights or {})
    if found is not None:
        own, near = lights(volume)
        classes = len(answer) - 1
        answer[:-1] = refined(answer[:-1], own[:classes], near[:classes], found)
    return np.asarray(classify(torch.from_numpy(answer)[None])[0], np.uint8)


def volume_overlaps(
    network: nn.Module, volume: LabelledVolume, classes: int, weights: Mapping[str, float] | None = None
) -> list[Overlap]:
    """Compare a whole volume with its truth: the overlap of each class but the background."""
    found = segment_whole(network, volume, weights)
    return [count_overlap(found, volume.classes, k + 2) for k in range(classes)]


def viabilities(
    network: nn.Module, volume: LabelledVolume, weights: Mapping[str, float] | None = None
) -> tuple[float, float]:
    """Return the true and the found viability of a volume in percent, over labelled voxels; NaN without cells."""
    labelled, segmented = volume.classes > 0, segment_whole(network, volume, weights)
    true, found = (np.bincount(c[labelled], minlength=4) for c in (volume.classes, segmented))
    return viability_percent(true[2], true[3]), viability_percent(found[2], found[3])


def overlap_metrics(overlaps: Sequence[Overlap], name: str, on: str) -> list[Metric]:
    """Return mean Dice, IoU, precision and recall over volumes."""
    found = []
    for what in ("dice", "iou", "precision", "recall"):
        values = np.array([getattr(o, what) for o in overlaps])
        values = values[np.isfinite(values)]
        if len(values):
            found.append(Metric(name=f"{what} {name}", value=round(float(values.mean()), 4), on=on, n=len(values)))
    return found


def prepare(recipe: Recipe, recipe_folder: Path, network: nn.Module) -> ProgressGenerator[TrainingTask]:
    """Make the volumes of a recipe ready.

    Raises
    ------
    ParameterError
        If the recipe does not say what volumes it trains on, names other losses, or is no recipe for volumes.
    """
    if recipe.volumes is None:
        raise ParameterError("The recipe does not say what volumes to train on.", "Give it a part 'volumes'.")
    if recipe.input.spatial_dims != 3:
        raise ParameterError("Spheroids are volumes.", "Set spatial_dims: 3.")
    if recipe.split.by == "region" and any(recipe.volumes.simulated):
        raise ParameterError(
            "Simulated spheroids are kept apart whole, by group.", "Set 'by: group', or leave them out."
        )
    if unknown := sorted(set(recipe.loss) - set(LOSSES)):
        raise ParameterError(f"There is no loss '{unknown[0]}' for volumes.", f"Known: {', '.join(LOSSES)}.")
    return SpheroidJob(recipe, (yield from load_volumes(recipe, recipe_folder)), network)


def run_training(
    recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
) -> ProgressGenerator[Path]:
    """Train a model and write its card and weights; see :func:`vitascope.training.make_model.make_model`."""
    return (yield from make_model(recipe, recipe_folder, out, prepare, start_from, device))


def run_evaluation(
    model: str, recipe: Recipe, recipe_folder: Path, device: str = "auto"
) -> ProgressGenerator[list[Metric]]:
    """Measure a model on the test part of a recipe's volumes (32 bit).

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or the model does not fit the recipe's input.
    """
    loaded = load_model(model, recipe.task)
    check_channels(loaded.card.architecture, recipe.input, recipe.targets)
    recipe = recipe.model_copy(update={"input": loaded.card.input})
    hint = "Name simulated or other volumes to test on."
    return (yield from measure_model(loaded, recipe, recipe_folder, prepare, device, hint))
