"""Training data of several laboratories: drawn evenly, each stain on its own scale, split by laboratory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.preprocess import prepare_picture
from vitascope.ops.intensity.fingerprint import marks
from vitascope.ops.intensity.target_preparation import prepare_target
from vitascope.ops.wells.montage import cut_montage, distinct_cells, draw_cells, lay_out
from vitascope.recipes.found_pairs import list_pairs
from vitascope.recipes.recipe import DataSet, ImagePair, Recipe, check_files, find_data
from vitascope.simulate.transmitted import draw_light
from vitascope.training.data.split_groups import named_parts
from vitascope.training.data.stain import Corpus, load_corpus, read_listed, scale_targets, target_scales
from vitascope.training.samplers.crops import Pair

MOSAIC_COLUMNS = 8
TRAINING_MOSAICS = 12


@dataclass(frozen=True)
class _Field:
    """One image of a laboratory: (1, H, W), its stains in grey values (K, H, W), and what counts (1, H, W)."""

    image: NDArray[np.float32]
    stains: NDArray[np.float32]
    weight: NDArray[np.float32]
    source: ImagePair
    raw: tuple[str, ...]


def load_stains(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[Corpus]:
    """Read, check, normalise and split the data of a recipe, of one laboratory or of several.

    Raises
    ------
    ReaderError, InputError, TrainingError
        As :func:`~vitascope.training.data.stain.load_corpus`; also if some data sets name a laboratory and others not.
    """
    named_before = {data.name: data.sha256 for data in recipe.data}
    recipe, unmatched = list_pairs(recipe, recipe_folder)
    found = {d.name: d.sha256 for d in recipe.data if d.sha256 != named_before[d.name]}
    corpus = yield from _load_listed(recipe, recipe_folder)
    return replace(corpus, warnings=(*unmatched, *corpus.warnings), hashes=found)


def _load_listed(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[Corpus]:
    """Read the data of a recipe that lists its pairs."""
    named = [bool(data.laboratory) for data in recipe.data]
    if not any(named):
        return (yield from load_corpus(recipe, recipe_folder))
    if not all(named) or recipe.split.by != "group":
        raise TrainingError(
            "Some data sets name a laboratory, others none, or the split is not by group.",
            "Name the laboratory of every data set, and split by group.",
        )
    laboratories = list(dict.fromkeys(data.laboratory for data in recipe.data))
    part_of = named_parts(recipe.split, laboratories)
    parts: dict[str, list[Pair]] = {"train": [], "validation": [], "test": [], "": []}
    raw: list[str] = []
    names: list[str] = []
    for data in recipe.data:
        folder = find_data(data, recipe_folder)
        check_files(data, folder)
        fields: list[_Field] = []
        for number, pair in enumerate(data.listed):
            yield Progress(number, len(data.listed), f"reading {data.name}")
            fields += yield from _read(recipe, data, pair, folder)
        part = part_of[data.laboratory]
        scales = target_scales([f.stains[:, f.weight[0] > 0] for f in fields], recipe.target_percentiles)
        pairs = _pairs(recipe, fields, scales, test=part != "train")
        parts[part] += [replace(p, chance=p.chance * data.share) for p in pairs]
        names += [f"{data.name}/{f.source.image}" for f in fields]
        if part in ("train", "validation"):
            raw += [one for f in fields for one in f.raw]
    if not parts["train"]:
        raise TrainingError("No laboratory is left to train on.", "Keep fewer apart.")
    told = {what: sorted(one for one in laboratories if part_of[one] == what) for what in ("train", "test")}
    description = "by laboratory: trained on " + ", ".join(told["train"])
    if told["test"]:
        description += "; tested on " + ", ".join(told["test"])
    return Corpus(
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        scales=[(0.0, 1.0)] * len(recipe.targets),
        groups=names,
        description=description,
        fingerprints=tuple(dict.fromkeys(raw)),
    )


def _read(recipe: Recipe, data: DataSet, pair: ImagePair, folder: Path) -> ProgressGenerator[list[_Field]]:
    """Read one pair; several pictures are drawn of a rendered one."""
    stains = []
    for target in recipe.targets:
        if target.name not in pair.targets:
            raise InputError(
                f"{pair.image} has no stain '{target.name}' in the recipe.", "Name a file for each target."
            )
        stain = read_listed(data, pair.targets[target.name], folder)
        plane = np.asarray(stain.plane(0, pair.target_channel or 0, 0)).astype(np.float32)
        moved = ndimage.shift(plane, pair.target_shift_px, order=0, mode="nearest")
        stains.append(prepare_target(moved, recipe.target_preparation))
    image = read_listed(data, pair.image, folder)
    if image.shape_yx != stains[0].shape:
        raise InputError(f"{pair.image} and its stain differ in size.", "They must lie on the same pixels.")
    weight = _counted(pair, image.shape_yx)
    planes = [np.asarray(image.plane(0, c, 0)) for c in range(image.sizes["C"])]
    if data.rendered is None:
        chosen = planes[pair.channel or 0]
        prepared = yield from prepare_picture([chosen], recipe.input, 1.0)
        whole = prepared.read((slice(0, image.shape_yx[0]), slice(0, image.shape_yx[1])))
        return [_Field(whole, np.stack(stains), weight, pair, marks([chosen], look=pair.montage is None))]
    cytoplasm = np.mean([_unit(p) for p in planes], axis=0)
    drawn = []
    for view in range(data.rendered.views):
        rng = np.random.default_rng((data.rendered.seed, view))
        light = draw_light(cytoplasm, _unit(stains[0]), data.rendered.nucleus_px, rng)
        prepared = yield from prepare_picture([light], recipe.input, 1.0)
        whole = prepared.read((slice(0, image.shape_yx[0]), slice(0, image.shape_yx[1])))
        drawn.append(_Field(whole, np.stack(stains), weight, pair, ()))
    return drawn


def _unit(plane: NDArray[np.floating]) -> NDArray[np.float32]:
    low, high = np.percentile(plane, (1.0, 99.9))
    return np.asarray(np.clip((plane - low) / max(high - low, 1e-6), 0, 1), np.float32)


def _counted(pair: ImagePair, shape_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Return 1 where a pixel counts: not in rectangles to ignore, nor where a moved truth leaves nothing."""
    weight = np.ones((1, *shape_yx), np.float32)
    for top, bottom, left, right in pair.ignore:
        weight[:, top:bottom, left:right] = 0
    for axis, by in enumerate(pair.target_shift_px, 1):
        gone = slice(0, by) if by > 0 else slice(shape_yx[axis - 1] + by, None)
        if by:
            weight[(slice(None),) * axis + (gone,)] = 0
    return weight


def _pairs(recipe: Recipe, fields: Sequence[_Field], scales: list[tuple[float, float]], *, test: bool) -> list[Pair]:
    """Return the pairs of a laboratory, whose areas add up to 1; cells of montages are laid out anew for training."""
    whole = [f for f in fields if f.source.montage is None]
    found = [Pair(image=f.image, target=scale_targets(f.stains, scales), weight=f.weight) for f in whole]
    montages = [f for f in fields if f.source.montage is not None]
    if montages:
        rng = np.random.default_rng(recipe.split.seed)
        pools = []
        for field in montages:
            assert field.source.montage is not None
            rows, columns, side = field.source.montage
            stack = np.concatenate([field.image, scale_targets(field.stains, scales)])
            tiles = np.stack([cut_montage(channel, rows, columns, side) for channel in stack], axis=1)
            pools.append(tiles[distinct_cells(tiles[:, 0])])
        cells = np.concatenate(pools).astype(np.float32)
        count = 4 if test else TRAINING_MOSAICS
        for _ in range(count):
            mosaic = lay_out(draw_cells(cells, MOSAIC_COLUMNS**2, rng), MOSAIC_COLUMNS)
            targets = len(recipe.targets)
            ones = np.ones((1, *mosaic.shape[1:]), np.float32)
            found.append(Pair(image=mosaic[:-targets], target=mosaic[-targets:], weight=ones))
    area = sum(p.image[0].size for p in found)
    return [replace(p, chance=1.0 / area) for p in found]
