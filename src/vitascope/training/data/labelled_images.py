"""Training data with numbers of the whole image: from a recipe to images in network units, split without leakage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.well import WellPosition
from vitascope.engine.crop_to_object import CroppedObject, crop_to_object
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.select_planes import select_pictures
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.filenames.parse import natural
from vitascope.io.images.read import open_group, read_image
from vitascope.io.results.hashing import sha256_of
from vitascope.ops.intensity.fingerprint import marks
from vitascope.ops.wells.squares import Region, Squares, cut_square
from vitascope.recipes.labelled_images import LabelledImage, find_labelled_images, one_class
from vitascope.recipes.measured_images import find_amounts
from vitascope.recipes.recipe import DataSet, Recipe, SimulatedSource, check_files, find_data
from vitascope.training.data.cell_boxes import cells_map, read_cell_boxes
from vitascope.training.data.control_pairs import pair_with_control
from vitascope.training.data.leakage import leak_words
from vitascope.training.data.samples import PARTS, LabelledCorpus, Sample
from vitascope.training.data.simulated import Folders, draw, draw_control, source_files, source_folders
from vitascope.training.data.split_groups import (
    PlannedSplit,
    describe_split,
    merge_near_duplicates,
    merge_overlaps,
    planned_parts,
    split_samples,
)
from vitascope.training.samplers.crops import Pair


def load_labelled_images(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[LabelledCorpus]:
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
            folders = source_folders(data, recipe_folder)
            samples += yield from simulate_samples(recipe, data.simulated, data.name, folders)
            files = source_files(data.simulated, folders)
            if files:
                hashes[data.name] = {p.name: one["sha256"] for p, one in zip(files, sha256_of(files), strict=True)}
            continue
        folder = find_data(data, recipe_folder)
        check_files(data, folder)
        labelled_images, _ = labelled_images_of(data, names, folder)
        own: list[Sample] = []
        kinds = data.labelled_images.boxes if data.labelled_images is not None else ()
        for number, labelled in enumerate(labelled_images):
            yield Progress(number, len(labelled_images), f"reading {data.name}")
            own += read_labelled_image(recipe, labelled, names, folder, kinds)
        own = pair_with_control(own) if recipe.network.arguments.get("pair") else own
        samples += of_laboratory(own, data) if recipe.split.along == "laboratory" else own
        if not data.pairs and not data.sha256:
            files = [p for labelled in labelled_images for p in labelled.images.paths]
            names_there = [p.relative_to(folder).as_posix() if p.is_relative_to(folder) else p.name for p in files]
            found = zip(names_there, sha256_of(files), strict=True)
            hashes[data.name] = {name: one["sha256"] for name, one in found}
    if recipe.split.near_duplicates:
        samples = merge_near_duplicates(samples, recipe.split.near_duplicates)
    if recipe.input.crop_to == "none" and not recipe.split.force_leak and not is_drawn(recipe):
        samples = merge_overlaps(samples)
    forced: list[str] = []
    parts = split_samples(samples, recipe.split, forced)
    spec = measured_input(recipe.input, [s.planes for s in parts["train"]])
    pairs: dict[str, list[Pair]] = {}
    for part in PARTS:
        pairs[part] = []
        for sample in parts[part]:
            pairs[part].append((yield from _pair(sample, spec)))
    if recipe.mix:
        chances = mixed([float(p.numbers[0]) for p in pairs["train"]], recipe.mix)
        pairs["train"] = [replace(p, chance=float(c)) for p, c in zip(pairs["train"], chances, strict=True)]
    return LabelledCorpus(pairs, parts, spec, describe_split(parts) + leak_words(forced), hashes)


def of_laboratory(samples: Sequence[Sample], data: DataSet) -> list[Sample]:
    """Give all samples of a data set the group of its laboratory.

    Raises
    ------
    TrainingError
        If it names none.
    """
    if not data.laboratory:
        raise TrainingError(
            f"The data set '{data.name}' names no laboratory, and the split keeps laboratories together.",
            "Name the laboratory of every data set.",
        )
    return [replace(s, labelled=replace(s.labelled, group=data.laboratory)) for s in samples]


def is_drawn(recipe: Recipe) -> bool:
    """Tell whether all images of a recipe are simulated: these share nothing."""
    return all(data.simulated is not None for data in recipe.data)


def labelled_images_of(
    data: DataSet, names: tuple[str, ...], folder: Path
) -> tuple[list[LabelledImage], tuple[str, ...]]:
    """Return the labelled images of a data set, their images not read, and what is wrong with its table."""
    if data.amounts is None:
        return find_labelled_images(data, names, folder), ()
    found = find_amounts(data.amounts, names[0], folder, data.axes)
    return list(found.labelled_images), found.problems


def plan_split(recipe: Recipe, recipe_folder: Path) -> PlannedSplit:
    """Count what a drawn split will give, without reading an image; near-duplicates are not looked for yet.

    Raises
    ------
    VitascopeError
        If a table cannot be read, or nothing is left to train on.
    """
    names = tuple(t.name for t in recipe.targets)
    labelled_images: list[LabelledImage] = []
    problems: list[str] = []
    for data in recipe.data:
        found, told = labelled_images_of(data, names, find_data(data, recipe_folder))
        if recipe.split.along == "laboratory":
            found = [replace(b, group=data.laboratory) for b in found]
        labelled_images, problems = labelled_images + found, problems + list(told)
    classes = {b.group: tuple(b.labels.get(n, 0.0) for n in names) for b in labelled_images}
    taken = {b.group: b.taken for b in sorted(labelled_images, key=lambda b: natural(b.taken))}
    part_of = planned_parts(recipe.split, classes, taken)
    groups, images = (
        dict.fromkeys(PARTS, 0) | Counter(kinds)
        for kinds in (part_of.values(), (part_of[b.group] for b in labelled_images))
    )
    if not groups["train"]:
        raise TrainingError(f"{len(part_of)} group(s) are too few: none is left to train on.", "Add groups.")
    return PlannedSplit(groups, images, tuple(problems))


def read_labelled_image(
    recipe: Recipe, labelled: LabelledImage, names: tuple[str, ...], folder: Path, kinds: tuple[str, ...] = ()
) -> list[Sample]:
    """Read a labelled image; one with painted regions counts once for each class that was painted in it.

    ``kinds`` are the names of the boxes that tell where its cells lie.
    """
    image = open_group(labelled.images)
    spec = recipe.input
    if recipe.network.arguments.get("pair"):  # the second channel is that of the control
        spec = spec.model_copy(update={"channels": spec.channels[:1]})
    pictures, _ = select_pictures(image, spec, None, None)
    if len(pictures) != 1:
        raise InputError(
            f"{labelled.images.name} holds {len(pictures)} pictures, not one.", "Name the file of one plane."
        )
    raw = [np.asarray(p) for p in pictures[0].planes]
    framed = _cropped(raw, recipe)
    found = _samples_of(list(framed.planes), recipe, labelled, names, folder)
    if kinds:
        boxed = cells_map(read_cell_boxes(labelled.images.paths[0], kinds), len(kinds), raw[0].shape)
        placed = np.stack([_amount_map(one, framed) for one in boxed])
        found = [replace(sample, placed=placed) for sample in found]
    seen, place_um = marks(raw, look=labelled.source.montage is None), image.stage_rectangle_um
    return [replace(sample, fingerprints=seen, place_um=place_um) for sample in found]


def _samples_of(
    planes: list[NDArray[Any]], recipe: Recipe, labelled: LabelledImage, names: tuple[str, ...], folder: Path
) -> list[Sample]:
    if not labelled.source.regions:
        whole = np.ones((1, *planes[0].shape), np.float32)
        return [Sample(planes=planes, weight=whole, numbers=_numbers(labelled, names), labelled=labelled)]
    regions = np.asarray(read_image(folder / labelled.source.regions).plane())
    if regions.shape != planes[0].shape:
        raise InputError(
            f"{labelled.source.regions} is {regions.shape[0]} x {regions.shape[1]} px, its image "
            f"{planes[0].shape[0]} x {planes[0].shape[1]} px.",
            "Image and regions must lie on the same pixels.",
        )
    return labelled_bags(planes, regions, labelled, names)


def simulate_samples(
    recipe: Recipe, source: SimulatedSource, name: str, folders: Folders = ()
) -> ProgressGenerator[list[Sample]]:
    """Draw the images of a simulated data set; the plate, or the lot of real wells it is composed of, is the group."""
    samples = []
    target = recipe.targets[0].name
    for number in range(source.count):
        if number % 10 == 0:
            yield Progress(number, source.count, f"drawing {name}")
        plane, amount, plate, living = draw(source, number, folders)
        group = ImageGroup(
            name=f"{plate}_{number:05d}", grid=((Path(f"{plate}_{number:05d}.tif"),),), place=WellPosition(plate=plate)
        )
        shown = [plane, draw_control(source, number)] if recipe.network.arguments.get("pair") else [plane]
        framed = [_cropped([s], recipe) for s in shown]
        planes = [p for one in framed for p in one.planes]
        shown_living = None
        if living is not None and recipe.loss.get("places"):
            shown_living = _amount_map(living, framed[0])
            amount = float(shown_living.sum())  # what was cut out, also where the well was found wrongly
        weight = np.ones((1, *planes[0].shape), np.float32)
        samples.append(
            Sample(
                planes=planes,
                weight=weight,
                numbers=np.array([amount], np.float32),
                labelled=LabelledImage(images=group, labels={target: amount}, group=plate),
                placed=None if shown_living is None else shown_living[None],
            )
        )
    return samples


def _cropped(planes: list[NDArray[Any]], recipe: Recipe) -> CroppedObject:
    """Cut out what the recipe says is found in an image; all of it where nothing is."""
    if recipe.input.crop_to != "none":
        return crop_to_object(planes, recipe.input)
    whole = Region(0.0, 0.0, float(min(planes[0].shape)))
    return CroppedObject(planes, Squares(planes[0], whole, (1,)), np.ones(planes[0].shape, bool), ())


def _amount_map(living: NDArray[np.float32], framed: CroppedObject) -> NDArray[np.float32]:
    """Cut the amounts of pixels out as their image was; what lies in the square keeps its sum."""
    side = len(framed.planes[0])
    cut = cut_square(living, framed.region, side) * np.float32((framed.region.side / side) ** 2)
    return np.where(np.isfinite(cut), cut, np.float32(0))


def labelled_bags(
    planes: list[NDArray[Any]], regions: NDArray[Any], labelled: LabelledImage, names: tuple[str, ...]
) -> list[Sample]:
    """Turn a labels layer into labelled images.

    Parameters
    ----------
    planes : list of array, each (H, W)
    regions : array, shape (H, W), integer
        Where the image has numbers of its own, all that is not 0 counts for it. Where it has none, k stands for the
        k-th class: each class that occurs makes a labelled image, of which only its region counts.
    labelled : LabelledImage
    names : tuple of str
        Of the targets.

    Raises
    ------
    InputError
        If nothing is labelled, or a label stands for no class.
    """
    values = [int(v) for v in np.unique(regions) if v != 0]
    if not values:
        raise InputError(
            f"Nothing is labelled in the regions of {labelled.images.name}.", "Paint the regions that count."
        )
    if labelled.labels:
        painted = (regions != 0)[None].astype(np.float32)
        return [Sample(planes=planes, weight=painted, numbers=_numbers(labelled, names), labelled=labelled)]
    if not 1 <= min(values) <= max(values) <= len(names):
        raise InputError(
            f"The regions of {labelled.images.name} hold the labels {values}; there are {len(names)} classes.",
            f"Paint with {', '.join(f'{k} for {n}' for k, n in enumerate(names, 1))}.",
        )
    found = []
    for k in values:
        own = replace(labelled, labels=one_class(names[k - 1], names))
        painted = (regions == k)[None].astype(np.float32)
        found.append(Sample(planes=planes, weight=painted, numbers=_numbers(own, names), labelled=own))
    return found


def _numbers(labelled: LabelledImage, names: tuple[str, ...]) -> NDArray[np.float32]:
    missing = [n for n in names if n not in labelled.labels]
    if missing:
        raise InputError(f"{labelled.images.name} has no number for '{missing[0]}'.", "Name one for each target.")
    return np.array([labelled.labels[n] for n in names], np.float32)


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
    stds = np.sqrt(second / count - (first / count) ** 2)
    if not (stds > 0).all():
        channel = spec.channels[int(np.argmin(stds > 0))]
        raise TrainingError(f"The channel '{channel}' is constant: there is nothing to learn.", "Check its files.")
    means = tuple(float(f"{v:.6g}") for v in first / count)
    how = spec.normalisation.model_copy(update={"means": means, "stds": tuple(float(f"{v:.6g}") for v in stds)})
    return spec.model_copy(update={"normalisation": how})


def _moments(plane: NDArray[Any]) -> tuple[float, float, float]:
    values = plane[np.isfinite(plane)].astype(np.float64)
    return float(values.size), float(values.sum()), float(values @ values)


def _pair(sample: Sample, spec: InputSpec) -> ProgressGenerator[Pair]:
    prepared = yield from prepare_picture(list(sample.planes), spec, 1.0)
    height, width = prepared.shape_yx
    pixels = prepared.read((slice(0, height), slice(0, width)))
    return Pair(
        image=pixels,
        target=np.zeros((0, height, width), np.float32) if sample.placed is None else sample.placed,
        weight=sample.weight,
        areas=(),
        numbers=sample.numbers,
    )


def balanced(pairs: Sequence[Pair]) -> list[Pair]:
    """Let images of each combination of labels be drawn equally often, however many there are."""
    kinds = Counter(p.numbers.tobytes() for p in pairs)
    return [replace(p, chance=1 / kinds[p.numbers.tobytes()]) for p in pairs]


def mixed(numbers: Sequence[float], mix: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return how much each image counts so that numbers occur as where the images come from, (N,), mean 1.

    Parameters
    ----------
    numbers : sequence of float, shape (N,)
    mix : sequence of (float, float)
        Number and share: of images up to the first number, above it up to the second, and so on.

    Raises
    ------
    TrainingError
        If a number lies above the last of the mix.

    Examples
    --------
    >>> mixed([0.0, 1.0, 1.0, 1.0], [(0, 0.1), (1, 0.9)]).round(2).tolist()
    [0.4, 1.2, 1.2, 1.2]
    """
    kinds = np.searchsorted([end for end, _ in mix], numbers)
    if kinds.max(initial=0) >= len(mix):
        raise TrainingError(
            f"The mix ends at {mix[-1][0]:g}, and an image has the number {max(numbers):g}.",
            "Let the last number of the mix be the largest there is.",
        )
    counts = np.bincount(kinds, minlength=len(mix))
    weights = np.array([share for _, share in mix])[kinds] / counts[kinds]
    return np.asarray(weights / weights.mean())
