"""Training data with numbers of the whole image: from a recipe to images in network units, split without leakage."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import Progress, Steps
from vitascope.core.well import Place
from vitascope.engine.crop_to_object import frame_picture
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.select_planes import select_pictures
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.images.read import open_group, read_image
from vitascope.io.results.hashing import sha256_of
from vitascope.ops.geometry.duplicates import join_duplicates
from vitascope.recipes.labelled_images import Bag, find_bags, one_class
from vitascope.recipes.measured_images import find_amounts
from vitascope.recipes.recipe import DataSet, Recipe, SimulatedSource, Split, check_files, find_data
from vitascope.training.data.control_pairs import beside_controls
from vitascope.training.data.leakage import leak_words, refuse_leak
from vitascope.training.data.simulated import draw, draw_control
from vitascope.training.samplers.crops import Pair

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """An image as it was read, and what is known of it.

    Parameters
    ----------
    planes : list of array, each (H, W)
        One per network channel, as they lie in the file.
    weight : array, shape (1, H, W), float32
        0 where a pixel does not count.
    numbers : array, shape (K,), float32
    bag : Bag
    """

    planes: list[NDArray[Any]]
    weight: NDArray[np.float32]
    numbers: NDArray[np.float32]
    bag: Bag


@dataclass(frozen=True)
class BagCorpus:
    """Images with numbers for training, validation and test; no group stands in two of them.

    ``input`` is the recipe's, with what was measured in the training part; ``samples`` are the bags behind the pairs.
    """

    pairs: dict[str, list[Pair]]
    samples: dict[str, list[Sample]]
    input: InputSpec
    words: str
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many images and groups there are in every part."""
        names = dict(zip(PARTS, ("training", "validation", "test"), strict=True))
        found = {names[part]: len(samples) for part, samples in self.samples.items()}
        groups = {s.bag.group for samples in self.samples.values() for s in samples}
        return {"images": sum(found.values()), "groups": len(groups), **found}


@dataclass(frozen=True)
class CellCorpus:
    """Single cells of each class, (n, C, side, side) in network units, for training, validation and test."""

    cells: dict[str, list[NDArray[np.float32]]]
    input: InputSpec
    words: str


def load_bags(recipe: Recipe, recipe_folder: Path) -> Steps[BagCorpus]:
    """Read, check, split and normalise images with numbers.

    Raises
    ------
    ReaderError
        If data are absent or altered.
    InputError
        If an image does not fit the recipe's input, or has no number of a target.
    TrainingError
        If the split leaves nothing to train on or lets it leak.
    """
    samples: list[Sample] = []
    hashes: dict[str, dict[str, str]] = {}
    names = tuple(t.name for t in recipe.targets)
    for data in recipe.data:
        if data.simulated is not None:
            samples += yield from simulate_samples(recipe, data.simulated, data.name)
            continue
        folder = find_data(data, recipe_folder)
        check_files(data, folder)
        bags, _ = bags_of(data, names, folder)
        own: list[Sample] = []
        for number, bag in enumerate(bags):
            yield Progress(number, len(bags), f"reading {data.name}")
            own += read_bag(recipe, bag, names, folder)
        samples += beside_controls(own) if recipe.network.arguments.get("pair") else own
        if not data.pairs and not data.sha256:
            files = [p for bag in bags for p in bag.images.paths]
            names_there = [p.relative_to(folder).as_posix() if p.is_relative_to(folder) else p.name for p in files]
            found = zip(names_there, sha256_of(files), strict=True)
            hashes[data.name] = {name: one["sha256"] for name, one in found}
    if recipe.split.near_duplicates:
        samples = keep_together(samples, recipe.split.near_duplicates)
    forced: list[str] = []
    parts = split_samples(samples, recipe.split, forced)
    spec = measured_input(recipe.input, [s.planes for s in parts["train"]])
    pairs: dict[str, list[Pair]] = {}
    for part in PARTS:
        pairs[part] = []
        for sample in parts[part]:
            pairs[part].append((yield from _pair(sample, spec)))
    return BagCorpus(pairs, parts, spec, words_of_split(parts) + leak_words(forced), hashes)


def bags_of(data: DataSet, names: tuple[str, ...], folder: Path) -> tuple[list[Bag], tuple[str, ...]]:
    """Return the bags of a data set, their images not read, and what is wrong with its table."""
    if data.amounts is None:
        return find_bags(data, names, folder), ()
    found = find_amounts(data.amounts, names[0], folder)
    return list(found.bags), found.problems


@dataclass(frozen=True)
class PlannedSplit:
    """How the images of a recipe's tables will be split.

    Parameters
    ----------
    groups, images : dict of str to int
        In each part: train, validation, test.
    problems : tuple of str
        What is wrong with the tables.
    """

    groups: dict[str, int]
    images: dict[str, int]
    problems: tuple[str, ...]


def plan_split(recipe: Recipe, recipe_folder: Path) -> PlannedSplit:
    """Count what a drawn split will give, without reading an image; near-duplicates are not looked for yet.

    Raises
    ------
    VitascopeError
        If a table cannot be read, or nothing is left to train on.
    """
    names = tuple(t.name for t in recipe.targets)
    bags: list[Bag] = []
    problems: list[str] = []
    for data in recipe.data:
        found, told = bags_of(data, names, find_data(data, recipe_folder))
        bags, problems = bags + found, problems + list(told)
    part_of = drawn_parts(recipe.split, {b.group: tuple(b.labels.get(n, 0.0) for n in names) for b in bags})
    groups, images = (
        dict.fromkeys(PARTS, 0) | Counter(kinds) for kinds in (part_of.values(), (part_of[b.group] for b in bags))
    )
    if not groups["train"]:
        raise TrainingError(f"{len(part_of)} group(s) are too few: none is left to train on.", "Add groups.")
    return PlannedSplit(groups, images, tuple(problems))


def read_bag(recipe: Recipe, bag: Bag, names: tuple[str, ...], folder: Path) -> list[Sample]:
    """Read the image of a bag; one with labelled regions is a bag for each class that was painted in it."""
    image = open_group(bag.images)
    spec = recipe.input
    if recipe.network.arguments.get("pair"):  # the second channel is that of the control
        spec = spec.model_copy(update={"channels": spec.channels[:1]})
    pictures, _ = select_pictures(image, spec, None, None)
    if len(pictures) != 1:
        raise InputError(f"{bag.images.name} holds {len(pictures)} pictures, not one.", "Name the file of one plane.")
    planes = [np.asarray(p) for p in pictures[0].planes]
    planes = _framed(planes, recipe)
    if not bag.source.regions:
        return [Sample(planes, np.ones((1, *planes[0].shape), np.float32), _numbers(bag, names), bag)]
    regions = np.asarray(read_image(folder / bag.source.regions).plane())
    if regions.shape != planes[0].shape:
        raise InputError(
            f"{bag.source.regions} is {regions.shape[0]} x {regions.shape[1]} px, its image {planes[0].shape[0]} x "
            f"{planes[0].shape[1]} px.",
            "Image and regions must lie on the same pixels.",
        )
    return labelled_bags(planes, regions, bag, names)


def simulate_samples(recipe: Recipe, source: SimulatedSource, name: str) -> Steps[list[Sample]]:
    """Draw the images of a simulated data set; the plate is the group."""
    samples = []
    target = recipe.targets[0].name
    for number in range(source.count):
        if number % 10 == 0:
            yield Progress(number, source.count, f"drawing {name}")
        plane, amount, plate = draw(source, number)
        group = ImageGroup(f"{plate}_{number:05d}", ((Path(f"{plate}_{number:05d}.tif"),),), place=Place(plate=plate))
        shown = [plane, draw_control(source, number)] if recipe.network.arguments.get("pair") else [plane]
        planes = [p for s in shown for p in _framed([s], recipe)]
        weight = np.ones((1, *planes[0].shape), np.float32)
        samples.append(Sample(planes, weight, np.array([amount], np.float32), Bag(group, {target: amount}, plate)))
    return samples


def _framed(planes: list[NDArray[Any]], recipe: Recipe) -> list[NDArray[Any]]:
    """Cut out what the recipe says is found in an image."""
    return list(frame_picture(planes, recipe.input).planes) if recipe.input.find != "none" else planes


def keep_together(samples: Sequence[Sample], r: float) -> list[Sample]:
    """Give images that nearly are one picture the group of the first of them.

    Parameters
    ----------
    samples : sequence of Sample
        Squares of one size.
    r : float
        Correlation above which two are one.
    """
    names = join_duplicates([np.asarray(s.planes[0], np.float64) for s in samples], [s.bag.group for s in samples], r)
    return [replace(s, bag=replace(s.bag, group=n)) for s, n in zip(samples, names, strict=True)]


def labelled_bags(planes: list[NDArray[Any]], regions: NDArray[Any], bag: Bag, names: tuple[str, ...]) -> list[Sample]:
    """Turn a labels layer into bags.

    Parameters
    ----------
    planes : list of array, each (H, W)
    regions : array, shape (H, W), integer
        Where the bag has numbers of its own, all that is not 0 counts for it. Where it has none, k stands for the k-th
        class: each class that occurs makes a bag of the image, of which only its region counts.
    bag : Bag
    names : tuple of str
        Of the targets.

    Raises
    ------
    InputError
        If nothing is labelled, or a label stands for no class.
    """
    values = [int(v) for v in np.unique(regions) if v != 0]
    if not values:
        raise InputError(f"Nothing is labelled in the regions of {bag.images.name}.", "Paint the regions that count.")
    if bag.labels:
        return [Sample(planes, (regions != 0)[None].astype(np.float32), _numbers(bag, names), bag)]
    if not 1 <= min(values) <= max(values) <= len(names):
        raise InputError(
            f"The regions of {bag.images.name} hold the labels {values}; there are {len(names)} classes.",
            f"Paint with {', '.join(f'{k} for {n}' for k, n in enumerate(names, 1))}.",
        )
    found = []
    for k in values:
        own = replace(bag, labels=one_class(names[k - 1], names))
        found.append(Sample(planes, (regions == k)[None].astype(np.float32), _numbers(own, names), own))
    return found


def _numbers(bag: Bag, names: tuple[str, ...]) -> NDArray[np.float32]:
    missing = [n for n in names if n not in bag.labels]
    if missing:
        raise InputError(f"{bag.images.name} has no number for '{missing[0]}'.", "Name one for each target.")
    return np.array([bag.labels[n] for n in names], np.float32)


def split_samples(samples: Sequence[Sample], split: Split, forced: list[str] | None = None) -> dict[str, list[Sample]]:
    """Split by group: those named, else a share of the groups of each class, drawn by the split's seed.

    Leaks that the split forces are put down in ``forced``.

    Raises
    ------
    TrainingError
        If a group is named that is not there, the same picture stands in two groups, or nothing is left to train on.
    """
    owner: dict[bytes, str] = {}
    for sample in samples:
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in sample.planes)).digest()
        if owner.setdefault(digest, sample.bag.group) != sample.bag.group:
            refuse_leak(
                split,
                f"{sample.bag.images.name} is the picture of the group {owner[digest]} too.",
                "A replicate must not stand on both sides of a split: name one group for both.",
                forced if forced is not None else [],
            )
    classes = {s.bag.group: tuple(s.numbers.tolist()) for s in samples}
    part_of = (
        named_parts(split, list(classes)) if split.train_groups or split.test_groups else drawn_parts(split, classes)
    )
    parts = {part: [s for s in samples if part_of.get(s.bag.group) == part] for part in PARTS}
    if not parts["train"]:
        raise TrainingError(f"{len(classes)} group(s) are too few: none is left to train on.", "Add groups.")
    return parts


def named_parts(split: Split, groups: Sequence[str]) -> dict[str, str]:
    """Return the part of each group that the split names; those not named are trained on, if none is named for it."""
    named = {
        g: part
        for part, names in zip(PARTS, (split.train_groups, split.validation_groups, split.test_groups), strict=True)
        for g in names
    }
    missing = sorted(set(named) - set(groups))
    if missing:
        raise TrainingError(f"There is no group '{missing[0]}'.", f"Groups: {', '.join(groups)}.")
    rest = "" if split.train_groups else "train"
    return {g: named.get(g, rest) for g in groups}


def drawn_parts(split: Split, classes: dict[str, tuple[float, ...]]) -> dict[str, str]:
    """Draw the groups kept apart, the same share of each class (at least one where the share is not 0)."""
    rng = np.random.default_rng(split.seed)
    found: dict[str, str] = {}
    kinds = dict.fromkeys(classes.values())
    together = len(kinds) > len(classes) / 2  # numbers, not classes: there is nothing to keep the shares of
    for kind in [None] if together else kinds:
        own = [g for g, k in classes.items() if kind is None or k == kind]
        order = [own[i] for i in rng.permutation(len(own))]
        test, validation = (
            max(round(share * len(order)), 1 if share else 0)
            for share in (split.test_fraction, split.validation_fraction)
        )
        for i, g in enumerate(order):
            found[g] = "test" if i < test else "validation" if i < test + validation else "train"
    return found


def words_of_split(parts: dict[str, list[Sample]]) -> str:
    """Say in words which groups stand where."""
    verbs = dict(zip(PARTS, ("trained on", "validated on", "tested on"), strict=True))
    told = []
    for part in PARTS:
        groups = sorted({s.bag.group for s in parts[part]})
        if groups:
            told.append(f"{verbs[part]} {', '.join(groups)}")
    return "by group: " + "; ".join(told)


def measured_input(spec: InputSpec, images: Iterable[Sequence[NDArray[Any]]]) -> InputSpec:
    """Complete a normalisation by data set: mean and standard deviation of each channel over the training images."""
    if spec.normalisation.method != "dataset" or spec.normalisation.means:
        return spec
    sums: NDArray[np.float64] | None = None
    for planes in images:
        found = np.array([_moments(p) for p in planes])  # (C, 3)
        sums = found if sums is None else sums + found
    assert sums is not None
    count, first, second = sums.T
    spreads = np.sqrt(second / count - (first / count) ** 2)
    if not (spreads > 0).all():
        channel = spec.channels[int(np.argmin(spreads > 0))]
        raise TrainingError(f"The channel '{channel}' is constant: there is nothing to learn.", "Check its files.")
    means = tuple(float(f"{v:.6g}") for v in first / count)
    how = spec.normalisation.model_copy(update={"means": means, "spreads": tuple(float(f"{v:.6g}") for v in spreads)})
    return spec.model_copy(update={"normalisation": how})


def _moments(plane: NDArray[Any]) -> tuple[float, float, float]:
    values = plane[np.isfinite(plane)].astype(np.float64)
    return float(values.size), float(values.sum()), float(values @ values)


def _pair(sample: Sample, spec: InputSpec) -> Steps[Pair]:
    prepared = yield from prepare_picture(list(sample.planes), spec, 1.0)
    height, width = prepared.shape_yx
    pixels = prepared.read((slice(0, height), slice(0, width)))
    return Pair(pixels, np.zeros((0, height, width), np.float32), sample.weight, (), sample.numbers)


def balanced(pairs: Sequence[Pair]) -> list[Pair]:
    """Let images of each combination of labels be drawn equally often, however many there are."""
    kinds = Counter(p.numbers.tobytes() for p in pairs)
    return [replace(p, chance=1 / kinds[p.numbers.tobytes()]) for p in pairs]
