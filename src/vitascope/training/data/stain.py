"""Training data of the task ``stain``: from a recipe to pairs in network units, split without leakage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.denoising import DenoiseParams
from vitascope.core.errors import InputError, ReaderError, TrainingError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.load_model import find_family
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.select_planes import select_pictures
from vitascope.io.images.read import read_image
from vitascope.ops.geometry.duplicates import join_duplicates
from vitascope.ops.geometry.field_overlap import join_overlaps, overlapping_fields
from vitascope.ops.geometry.pair_check import check_pair, refuse
from vitascope.ops.intensity.fingerprint import marks
from vitascope.ops.intensity.histogram import histogram
from vitascope.ops.intensity.target_preparation import prepare_target
from vitascope.ops.wells.montage import cut_montage, distinct_cells, draw_cells, lay_out
from vitascope.recipes.recipe import DataSet, ImagePair, Recipe, Split, check_files, find_data
from vitascope.training.data.leakage import leak_words, refuse_leak
from vitascope.training.data.split_rows import check_gaps, describe_rows
from vitascope.training.noise2void import denoise_picture
from vitascope.training.samplers.crops import Area, Pair

MOSAIC_COLUMNS = 8
TRAINING_MOSAICS = 48


@dataclass(frozen=True)
class Corpus:
    """Pairs for training, validation and test; no pixel and no group stands in two of them.

    ``scales`` holds, for each target, the grey values that became 0 and 1; ``test_cells`` the group of every test cell
    of montages, in the order that they are laid out; ``warnings`` what looks wrong with a pair; ``hashes`` the files,
    by data set, that a recipe found and did not list.
    """

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    scales: list[tuple[float, float]]
    groups: list[str]
    description: str
    test_cells: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Loaded:
    image: NDArray[np.float32]
    stains: NDArray[np.float32]
    weight: NDArray[np.float32]
    source: ImagePair
    name: str
    warnings: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    well: tuple[str, str] = ("", "")
    place_um: tuple[float, float, float, float] | None = None


def load_corpus(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[Corpus]:
    """Read, check, normalise and split the data of a recipe.

    Raises
    ------
    ReaderError
        If data are absent, altered, or not listed with their hash.
    InputError
        If image and truth do not fit each other.
    TrainingError
        If the split leaves nothing to train on or lets it leak, or a stain is constant where the model is measured.
    """
    loaded: list[_Loaded] = []
    for data in recipe.data:
        folder = find_data(data, recipe_folder)
        check_files(data, folder)
        for number, pair in enumerate(data.listed):
            yield Progress(number, len(data.listed), f"reading {data.name}")
            loaded.append((yield from _load(recipe, data, pair, folder)))
    scales = target_scales([one.stains[:, one.weight[0] > 0] for one in loaded], recipe.target_percentiles)
    split = split_rows if recipe.split.by == "region" else split_groups
    corpus = split(recipe, loaded, scales)
    for part, pairs in (("validation", corpus.validation), ("test", corpus.test)):
        for k, target in enumerate(recipe.targets):
            seen = np.concatenate([np.zeros(0, np.float32), *(counted(p, k) for p in pairs)])
            if pairs and (not seen.size or seen.max() == seen.min()):
                raise TrainingError(
                    f"The stain '{target.name}' is constant in the {part} part: no figure can be had from it.",
                    "Keep another part apart.",
                )
    kept = {id(pair.image) for pair in (*corpus.train, *corpus.validation)}
    trained_on = [
        f for one in loaded for f in one.fingerprints if id(one.image) in kept or one.source.montage is not None
    ]
    return replace(
        corpus, warnings=tuple(w for one in loaded for w in one.warnings), fingerprints=tuple(dict.fromkeys(trained_on))
    )


def _load(recipe: Recipe, data: DataSet, pair: ImagePair, folder: Path) -> ProgressGenerator[_Loaded]:
    image = read_listed(data, pair.image, folder)
    pictures, _ = select_pictures(image, recipe.input, None, None)
    if len(pictures) != 1:
        raise InputError(f"{pair.image} holds {len(pictures)} pictures, not one.", "Name the file of one plane.")
    prepared = yield from prepare_picture(pictures[0].planes, recipe.input, 1.0)
    height, width = prepared.shape_yx
    pixels = prepared.read((slice(0, height), slice(0, width)))
    stains = []
    for target in recipe.targets:
        if target.name not in pair.targets:
            raise InputError(
                f"{pair.image} has no stain '{target.name}' in the recipe.", "Name a file for each target."
            )
        stain = read_listed(data, pair.targets[target.name], folder)
        if stain.shape_yx != prepared.shape_yx:
            raise InputError(
                f"{pair.targets[target.name]} is {stain.shape_yx[0]} x {stain.shape_yx[1]} px, its image {height} x "
                f"{width} px.",
                "Image and stain must lie on the same pixels.",
            )
        plane = np.asarray(stain.plane()).astype(np.float32)
        if not np.isfinite(plane).all():
            raise InputError(
                f"{pair.targets[target.name]} holds pixels that are no numbers.", "Crop or replace the image."
            )
        if recipe.target_preparation.denoise == "n2v":
            plane = (yield from denoise_picture(plane, DenoiseParams(seed=recipe.training.seed))).picture
        stains.append(prepare_target(plane, recipe.target_preparation))
    weight = np.ones((1, height, width), np.float32)
    if pair.regions:
        weight = _painted(read_listed(data, pair.regions, folder), (height, width), pair)
    weight = without_rectangles(weight, pair)
    warnings = () if pair.montage else _look(pair, pictures[0].planes, recipe, stains)
    return _Loaded(
        image=pixels,
        stains=np.stack(stains),
        weight=weight,
        source=pair,
        name=f"{data.name}/{pair.image}",
        warnings=warnings,
        fingerprints=marks(pictures[0].planes, look=pair.montage is None),
        well=(image.place.plate, image.place.well),
        place_um=image.stage_rectangle_um,
    )


def _look(
    pair: ImagePair, planes: Sequence[NDArray[Any]], recipe: Recipe, stains: Sequence[NDArray[np.float32]]
) -> tuple[str, ...]:
    """Return what looks wrong with a pair; a stain that is empty in one image may not be so in others.

    Raises
    ------
    InputError
        If the image is empty.
    """
    seen = [np.asarray(p) for p in planes]
    refuse(pair.image, check_pair(seen, {}))
    painted = bool(pair.regions)  # then the truth is a mask, not a stain
    named = {} if painted else {t.name: stain for t, stain in zip(recipe.targets, stains, strict=True)}
    return tuple(f"{pair.image}: {p.text}" for p in check_pair(seen, named))


def _painted(regions: Micrograph, shape_yx: tuple[int, int], pair: ImagePair) -> NDArray[np.float32]:
    """Return 1 where something was painted, (1, H, W)."""
    if regions.shape_yx != shape_yx:
        raise InputError(f"{pair.regions} and {pair.image} differ in size.", "They must lie on the same pixels.")
    weight = np.asarray(np.asarray(regions.plane()) != 0, np.float32)[None]
    if not weight.any():
        raise InputError(f"Nothing is painted in {pair.regions}: all labels are 0.", "Paint what counts.")
    return weight


def without_rectangles(weight: NDArray[np.float32], pair: ImagePair) -> NDArray[np.float32]:
    """Return a weight (1, H, W) with 0 in the rectangles that the recipe leaves out of a pair.

    Raises
    ------
    InputError
        If a rectangle holds no pixel of the image, or the rectangles leave none.
    """
    found = weight.copy()
    for top, bottom, left, right in pair.left_out:
        part = found[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        if not part.size:
            raise InputError(
                f"The rectangle rows {top}-{bottom}, columns {left}-{right} holds no pixel of {pair.image}.",
                "Name rows and columns of the image, from 0, the last ones not counted.",
            )
        part[:] = 0
    if not found.any():
        raise InputError(f"The rectangles left out of {pair.image} leave nothing.", "Name smaller ones.")
    return found


def counted(pair: Pair, k: int) -> NDArray[np.float32]:
    """Return the truth of one target where it counts, within the pair's areas, flat."""
    parts = [(slice(a.top, a.bottom), slice(a.left, a.right)) for a in pair.training_areas()]
    return np.concatenate([pair.target[k][part][pair.weight[0][part] > 0] for part in parts])


def read_listed(data: DataSet, name: str, folder: Path) -> Micrograph:
    """Read an image all of whose files the recipe lists with their hash."""
    image = read_image(str(folder / name), fallback_axes=data.axes)
    for source in image.sources:
        file = Path(source).relative_to(folder).as_posix()
        if file not in data.sha256:
            raise ReaderError(
                f"{file} of the data set '{data.name}' has no SHA-256 in the recipe.",
                "List every file that is used, so that an altered one is noticed.",
            )
    return image


def target_scales(stains: Sequence[NDArray[np.float32]], percentiles: tuple[float, float]) -> list[tuple[float, float]]:
    """Return, for each target, the grey values that become 0 and 1: percentiles over all images together.

    Raises
    ------
    TrainingError
        If a stain is constant.
    """
    scales = []
    for k in range(len(stains[0])):
        low, high = histogram(np.concatenate([s[k].ravel() for s in stains])).percentiles(*percentiles)
        if high <= low:
            raise TrainingError("A stain is constant: there is nothing to learn.", "Check the files of the target.")
        scales.append((low, high))
    return scales


def scale_targets(stains: NDArray[np.float32], scales: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Map stains (K, H, W) to [0, 1]."""
    low, high = (np.array(v, np.float32)[:, None, None] for v in zip(*scales, strict=True))
    return np.clip((stains - low) / (high - low), 0, 1)


def split_rows(recipe: Recipe, loaded: Sequence[_Loaded], scales: list[tuple[float, float]]) -> Corpus:
    """Split every image by rows.

    Rows of two parts never overlap, and between training rows and those kept apart lies a gap. A gap as wide as the
    network's reach keeps every pixel seen in training out of what the kept rows are predicted from. A narrower one is
    allowed, for small images: true stains never leak through it, only the label-free pixels beside them; the card's
    words on the split then say how wide gap and reach are.

    Raises
    ------
    TrainingError
        If training rows touch test or validation rows, test and validation rows overlap, or no rows are left.
    """
    split = recipe.split
    forced: list[str] = []
    gap = check_gaps(split, forced)
    refuse_shared_rows(split, loaded, forced)

    def pairs(rows: Sequence[tuple[int, int]]) -> list[Pair]:
        found = []
        for one in loaded:
            height, width = one.image.shape[1:]
            areas = tuple(Area(a, min(b, height), 0, width) for a, b in rows if a < height)
            if areas:
                found.append(
                    Pair(image=one.image, target=scale_targets(one.stains, scales), weight=one.weight, areas=areas)
                )
        if rows and not found:
            raise TrainingError(
                f"No image has rows {rows[0][0]}-{rows[0][1] - 1} of the split.", "Name rows that the images have."
            )
        return found

    description = describe_rows(split, gap, find_family(recipe.network).halo_px, forced)
    train, validation, test = (pairs(r) for r in (split.train_rows, split.validation_rows, split.test_rows))
    return Corpus(
        train=train,
        validation=validation,
        test=test,
        scales=scales,
        groups=[o.name for o in loaded],
        description=description,
    )


def refuse_shared_rows(split: Split, loaded: Sequence[_Loaded], forced: list[str]) -> None:
    """Refuse rows that are kept apart in one image and trained on in another one that shows the same place.

    Raises
    ------
    TrainingError
    """
    kept = (*split.validation_rows, *split.test_rows)
    if not kept:
        return
    for (i, j), found in overlapping_fields([one.image[0] for one in loaded], lambda _i, _j: True).items():
        moved = round(found.y_px)  # row r of the second lies on row r + moved of the first
        sides = [(split.train_rows, kept), (kept, split.train_rows)]
        if any(a < d + moved and c + moved < b for one, other in sides for a, b in one for c, d in other):
            refuse_leak(
                split,
                f"{loaded[i].name} and {loaded[j].name} overlap by {found.share:.0%}: rows that are kept apart in one "
                "are trained on in the other.",
                "Split by group: fields that overlap then stay on one side.",
                forced,
            )


def split_groups(recipe: Recipe, loaded: Sequence[_Loaded], scales: list[tuple[float, float]]) -> Corpus:
    """Split by group: montages by cell, whole images by the group that the recipe names for them.

    Raises
    ------
    TrainingError
        If the data mix both kinds, a picture stands in two groups, or nothing is left to train on.
    """
    montages = [one.source.montage is not None for one in loaded]
    if all(montages):
        return split_cells(recipe, loaded, scales)
    if any(montages):
        raise TrainingError(
            f"{loaded[montages.index(False)].name} is no montage of cells, others are.", "Train on one kind of picture."
        )
    return split_images(recipe, loaded, scales)


def split_images(recipe: Recipe, loaded: Sequence[_Loaded], scales: list[tuple[float, float]]) -> Corpus:
    """Split whole images by group (well, plate, patient …; an image without one is a group of its own).

    Of the groups, a share drawn by the split's seed is kept apart, at least one where the share is not 0.

    Raises
    ------
    TrainingError
        If no group is left to train on, or the same picture stands in two groups.
    """
    pairs: dict[str, list[Pair]] = {}
    owner: dict[bytes, str] = {}
    forced: list[str] = []
    groups = [one.source.group or one.name for one in loaded]
    if recipe.split.near_duplicates:
        groups = join_duplicates([one.image[0] for one in loaded], groups, recipe.split.near_duplicates)
    if not recipe.split.force_leak:
        wells, places = ([one.well for one in loaded], [one.place_um for one in loaded])
        groups = join_overlaps([one.image[0] for one in loaded], groups, wells, places)
    for one, group in zip(loaded, groups, strict=True):
        if owner.setdefault(hashlib.sha256(one.image.tobytes()).digest(), group) != group:
            description = f"{one.name} is the picture of another group too."
            refuse_leak(recipe.split, description, "Name one group for both.", forced)
        pairs.setdefault(group, []).append(
            Pair(image=one.image, target=scale_targets(one.stains, scales), weight=one.weight)
        )
    order = [list(pairs)[i] for i in np.random.default_rng(recipe.split.seed).permutation(len(pairs))]
    test, validation = (
        max(round(share * len(order)), 1 if share else 0)
        for share in (recipe.split.test_fraction, recipe.split.validation_fraction)
    )
    parts = {
        "tested on": order[:test],
        "validated on": order[test : test + validation],
        "trained on": order[test + validation :],
    }
    if not parts["trained on"]:
        raise TrainingError(
            f"{len(order)} group(s) are too few: none is left to train on.",
            "Add images of other groups, or split by region.",
        )
    description = "by group: " + "; ".join(
        f"{what} {', '.join(sorted(named))}" for what, named in reversed(parts.items()) if named
    )
    description += leak_words(forced)
    kept = {what: [pair for group in named for pair in pairs[group]] for what, named in parts.items()}
    names = [o.name for o in loaded]
    return Corpus(
        train=kept["trained on"],
        validation=kept["validated on"],
        test=kept["tested on"],
        scales=scales,
        groups=names,
        description=description,
    )


def split_cells(recipe: Recipe, loaded: Sequence[_Loaded], scales: list[tuple[float, float]]) -> Corpus:
    """Split montages by cell, in each group the same shares, and lay the cells of each part out as mosaics.

    Repeats and padding are dropped by hash before the split, so that no cell stands on both sides.

    Raises
    ------
    TrainingError
        If no cell is left to train on.
    """
    parts: dict[str, list[NDArray[np.float32]]] = {"train": [], "validation": [], "test": []}
    rng = np.random.default_rng(recipe.split.seed)
    seen: set[bytes] = set()
    test_cells: list[str] = []
    for one in loaded:
        cells = _cells(one, scales, seen)
        order = rng.permutation(len(cells))
        test = round(recipe.split.test_fraction * len(cells))
        validation = round(recipe.split.validation_fraction * len(cells))
        parts["test"].append(cells[order[:test]])
        test_cells += [one.source.group] * test
        parts["validation"].append(cells[order[test : test + validation]])
        parts["train"].append(cells[order[test + validation :]])
    targets = len(recipe.targets)
    pool = np.concatenate(parts["train"])
    if not len(pool):
        raise TrainingError("The split leaves no cells to train on.", "Lower the shares kept apart.")
    train = [_mosaic(draw_cells(pool, MOSAIC_COLUMNS**2, rng), targets) for _ in range(TRAINING_MOSAICS)]
    kept = {part: _each_once(np.concatenate(parts[part]), targets) for part in ("validation", "test")}
    counts = {part: sum(map(len, groups)) for part, groups in parts.items()}
    description = "by cell, repeats and padding dropped: " + ", ".join(f"{n} {part}" for part, n in counts.items())
    names = [o.name for o in loaded]
    return Corpus(
        train=train,
        validation=kept["validation"],
        test=kept["test"],
        scales=scales,
        groups=names,
        description=description,
        test_cells=tuple(test_cells),
    )


def _cells(one: _Loaded, scales: Sequence[tuple[float, float]], seen: set[bytes]) -> NDArray[np.float32]:
    assert one.source.montage is not None
    rows, columns, side = one.source.montage
    stack = np.concatenate([one.image, scale_targets(one.stains, scales)])
    tiles = np.stack([cut_montage(channel, rows, columns, side) for channel in stack], axis=1)
    cells = tiles[distinct_cells(tiles[:, 0])]
    fresh = [i for i, cell in enumerate(cells) if cell[0].tobytes() not in seen]
    seen.update(cell[0].tobytes() for cell in cells)
    return cells[fresh].astype(np.float32)


def _mosaic(cells: NDArray[np.float32], targets: int, real: int | None = None) -> Pair:
    mosaic = lay_out(cells, MOSAIC_COLUMNS)
    counted = np.zeros((len(cells), 1, *cells.shape[2:]), np.float32)
    counted[:real] = 1
    return Pair(image=mosaic[:-targets], target=mosaic[-targets:], weight=lay_out(counted, MOSAIC_COLUMNS))


def _each_once(cells: NDArray[np.float32], targets: int) -> list[Pair]:
    """Lay every cell out once; what fills up the last mosaic does not count."""
    size = MOSAIC_COLUMNS**2
    pairs = []
    for start in range(0, len(cells), size):
        part = cells[start : start + size]
        pairs.append(_mosaic(np.resize(part, (size, *part.shape[1:])), targets, len(part)))
    return pairs
