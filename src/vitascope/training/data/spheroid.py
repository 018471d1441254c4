"""Volumes to train the task ``spheroid`` on: simulated, composed of one-colour stacks, or labelled by the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.card import InputSpec
from vitascope.core.errors import AxesUnknownError, InputError, TrainingError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.preprocess_volume import prepare_volume
from vitascope.engine.select_planes import find_channels
from vitascope.io.images.read import read_image
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.networks.unet3d import HALO_ZYX
from vitascope.ops.geometry.pair_check import check_pair, refuse
from vitascope.ops.intensity.fingerprint import marks
from vitascope.ops.objects.density import cell_density
from vitascope.recipes.recipe import ImagePair, Recipe, Split, check_files, find_data
from vitascope.simulate.spheroids import BACKGROUND, DEAD, LIVE, UNLABELLED, StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.training.data.samples import PARTS
from vitascope.training.data.split_rows import check_gaps, describe_rows
from vitascope.training.samplers.volume_crops import LabelledVolume

FIRST_SEED = {"train": 1000, "validation": 2000, "test": 3000}
"""Seeds of simulated spheroids count on from here, so that no part shares one with another."""

BRIGHT_PERCENTILE = 5.0
"""In sparse labels, what is not labelled but brighter than this percentile of the labelled cells does not count."""

NEAR_ZYX = (1, 3, 3)
"""Voxels around a labelled cell that are background, however bright: the rim of no cell would count else."""

FIELD_ZYX = ((8, 24), (48, 112), (48, 112))
"""Least and greatest side of a field within a spheroid, voxels of the network."""

Voxel = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Stack:
    """A stack with its truth, as it lies in its file.

    Parameters
    ----------
    channels : list of array, each (Z, Y, X)
    classes : array, shape (Z, Y, X), uint8
    cells : array, shape (Z, Y, X), int32, or None
        Live cells numbered, for the density; None where they are not told apart.
    voxel_zyx_um : tuple of float or None
    group, kind : str
    sparse : bool
        Whether what counts was chosen by its brightness, because not every cell is labelled.
    """

    channels: list[NDArray[Any]]
    classes: NDArray[np.uint8]
    cells: NDArray[np.int32] | None
    voxel_zyx_um: Voxel | None
    group: str
    kind: str
    sparse: bool = False


@dataclass(frozen=True, eq=False)
class OneColour:
    """A stack of cells of one colour, as it lies in its file.

    Parameters
    ----------
    pair : ImagePair
    image : array, shape (Z, Y, X)
    cells : array, shape (Z, Y, X), int32
        Numbers of the cells, 0 elsewhere.
    voxel_zyx_um : tuple of float or None
    sparse : bool
        Whether not every cell is labelled.
    """

    pair: ImagePair
    image: NDArray[Any]
    cells: NDArray[np.int32]
    voxel_zyx_um: Voxel | None
    sparse: bool

    def cut(self, shape: tuple[int, ...]) -> OneColour:
        """Return the middle of it."""
        where = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(self.image.shape, shape, strict=True))
        return replace(self, image=self.image[where], cells=self.cells[where])


def network_voxel(spec: InputSpec) -> Voxel:
    """Return the card's voxel (z, y, x) in µm.

    Raises
    ------
    InputError
        If the card does not know it.
    """
    if spec.pixel_size_um is None or spec.z_step_um is None:
        raise InputError("The model's input has no voxel size.", "Give pixel_size_um and z_step_um.")
    return spec.z_step_um, spec.pixel_size_um, spec.pixel_size_um


def load_volumes(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[dict[str, list[LabelledVolume]]]:
    """Return the volumes of every part, in network units on the network's grid.

    Raises
    ------
    ReaderError
        If data are absent or altered.
    InputError
        If a stack and its labels do not fit each other.
    TrainingError
        If nothing is left to train on.
    """
    assert recipe.volumes is not None
    stacks = {part: [] for part in PARTS}  # type: dict[str, list[Stack]]
    for part, count in zip(PARTS, recipe.volumes.simulated, strict=True):
        for number in range(count):
            yield Progress(number, count, f"simulating ({part})")
            stacks[part].append(simulated_stack(recipe, FIRST_SEED[part] + number))
    read = yield from read_stacks(recipe, recipe_folder)
    by_rows = recipe.split.by == "region"
    _check_groups(recipe)
    for stack in () if by_rows else read:
        stacks[part_of(recipe, stack.group)].append(stack)
    found: dict[str, list[LabelledVolume]] = {}
    for part in PARTS:
        found[part] = []
        for stack in stacks[part]:
            found[part].append((yield from make_volume(stack, recipe)))
    for stack in read if by_rows else ():
        volume = yield from make_volume(stack, recipe)
        for part, rows in zip(PARTS, rows_of(recipe.split), strict=True):
            found[part] += cut_rows(volume, rows, stack.classes.shape[1])
    for part, rows in zip(PARTS, rows_of(recipe.split), strict=True):
        if rows and not found[part]:
            told = f"No volume has rows {rows[0][0]}-{rows[0][1] - 1} of the split."
            raise TrainingError(told, "Name rows that the volumes have.")
    if not found["train"]:
        raise TrainingError("The split leaves no volume to train on.", "Keep fewer groups or rows apart.")
    counts = sum((np.bincount(v.classes.ravel(), minlength=4) for v in found["train"]), np.zeros(4, int))
    if (counts[1:] > 0).sum() < 2:
        told = ", ".join(
            f"{n:,} voxels of {name}" for n, name in zip(counts[1:], ("background", "live", "dead"), strict=True)
        )
        raise TrainingError(f"Less than two classes are labelled to train on ({told}).", "Paint background and cells.")
    return found


def _check_groups(recipe: Recipe) -> None:
    """Refuse a split that names groups which no volume is of."""
    there = sorted({pair.group or pair.image for data in recipe.data for pair in data.listed})
    split = recipe.split
    missing = sorted({*split.train_groups, *split.validation_groups, *split.test_groups} - set(there))
    if missing:
        raise TrainingError(f"There is no group '{missing[0]}'.", f"Groups: {', '.join(there) or 'none'}.")


def rows_of(split: Split) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the rows of training, validation and test."""
    return split.train_rows, split.validation_rows, split.test_rows


def cut_rows(volume: LabelledVolume, rows: Sequence[tuple[int, int]], height: int) -> list[LabelledVolume]:
    """Cut rows of a stack, which has ``height`` of them, out of its volume on the network's grid.

    Prediction and training then see nothing beyond the cut.
    """
    found = []
    share = volume.classes.shape[1] / height
    for first, end in rows:
        where = (slice(None), slice(round(first * share), round(min(end, height) * share)))
        classes = np.ascontiguousarray(volume.classes[where])
        if classes.size:
            density = None if volume.density is None else np.ascontiguousarray(volume.density[where])
            image = np.ascontiguousarray(volume.image[:, *where])
            found.append(replace(volume, image=image, classes=classes, density=density))
    return found


def simulated_stack(recipe: Recipe, seed: int) -> Stack:
    """Simulate a spheroid of random diameter, dose, brightness and haze, on the network's voxels."""
    assert recipe.volumes is not None
    rng = np.random.default_rng((7, seed))
    low, high = recipe.volumes.diameters_um
    params = StackParams(
        diameter_um=rng.uniform(low, high),
        dose=0.0 if rng.random() < 0.2 else float(10 ** rng.uniform(-1, 1)),
        brightness=rng.uniform(0.7, 1.3),
        oxygen_um=rng.uniform(60, 150),
    )
    optics = VolumeOptics(autofluorescence=rng.uniform(0.02, 0.25))
    voxel = network_voxel(recipe.input)
    made = simulate_spheroid(params, voxel, optics, seed)
    live = np.where(made.classes == LIVE, made.cells, 0)
    stack = Stack(
        channels=list(made.image),
        classes=made.classes,
        cells=live,
        voxel_zyx_um=voxel,
        group=f"simulated {seed}",
        kind="simulated",
    )
    return field_within(stack, rng) if rng.random() < recipe.volumes.fields else stack


def field_within(stack: Stack, rng: np.random.Generator) -> Stack:
    """Cut a field around one of its live cells out of a stack; a stack without one stays whole."""
    live = np.argwhere(stack.classes == LIVE)
    if not len(live):
        return stack
    centre = live[rng.integers(len(live))]
    where = []
    for middle, length, (least, most) in zip(centre, stack.classes.shape, FIELD_ZYX, strict=True):
        side = min(length, int(rng.integers(least, most + 1)))
        start = min(max(0, int(middle) - side // 2), length - side)
        where.append(slice(start, start + side))
    z, y, x = where
    cut = None if stack.cells is None else stack.cells[z, y, x]
    return replace(stack, channels=[c[z, y, x] for c in stack.channels], classes=stack.classes[z, y, x], cells=cut)


def part_of(recipe: Recipe, group: str) -> str:
    """Return the part that a group belongs to, by the names of the split."""
    if group in recipe.split.test_groups:
        return "test"
    return "validation" if group in recipe.split.validation_groups else "train"


def read_stacks(recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[list[Stack]]:
    """Read the stacks of a recipe's data sets; those of one colour are composed."""
    assert recipe.volumes is not None
    found, single = yield from read_singles(recipe, recipe_folder)
    for number, live in enumerate(single["live"]):
        meets = [dead for dead in single["dead"] if _may_meet(recipe, live.pair, dead.pair)]
        count = min(len(meets), recipe.volumes.dead_each or len(meets))
        found += [compose(live, meets[(number * count + k) % len(meets)]) for k in range(count)]
        found += [without_dead(live)] if recipe.volumes.alone and len(recipe.targets) > 2 else []
    return found


def read_singles(
    recipe: Recipe, recipe_folder: Path
) -> ProgressGenerator[tuple[list[Stack], dict[str, list[OneColour]]]]:
    """Read the stacks of a recipe's data sets: those with classes, and those of one colour by what they stand for."""
    assert recipe.volumes is not None
    found: list[Stack] = []
    single: dict[str, list[OneColour]] = {"live": [], "dead": []}
    for data in recipe.data:
        folder = find_data(data, recipe_folder)
        check_files(data, folder)
        for number, pair in enumerate(data.listed):
            yield Progress(number, len(data.listed), f"reading {data.name}")
            if "classes" in pair.targets:
                found.append(_labelled(pair, folder, recipe, data.axes))
                continue
            colour = next((c for c in single if c in pair.targets), None)
            if colour is None:
                raise InputError(f"{pair.image} has neither 'classes' nor 'live' or 'dead' cells.", "Name one of them.")
            image = np.asarray(read_stack(folder / pair.image, data.axes).array)
            truth = np.asarray(read_stack(folder / pair.targets[colour]).array)
            _check_shapes(pair.image, image.shape, truth.shape)
            sparse = pair.targets[colour] in recipe.volumes.sparse
            voxel = data.voxel_zyx_um or _voxel(recipe.volumes.z_step_um, recipe.volumes.pixel_size_um)
            single[colour].append(OneColour(pair, image, numbered(truth), voxel, sparse))
    return found, single


def numbered(truth: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels of cells; of a mask with one value its connected parts.

    Examples
    --------
    >>> numbered(np.array([[[255, 0, 255]]])).tolist()
    [[[1, 0, 2]]]
    """
    values = np.unique(truth)
    return np.asarray(ndimage.label(truth > 0)[0] if (values > 0).sum() == 1 else truth, np.int32)


def read_stack(path: Path, axes: str = "") -> Micrograph:
    """Read a volume: what is trained on here are stacks of planes, where a file does not tell.

    Raises
    ------
    ReaderError
        If it cannot be read.
    """
    try:
        return read_image(path, fallback_axes=axes)
    except AxesUnknownError as error:
        if "ZYX" not in error.readings:
            raise
        return read_image(path, axes="ZYX")


def _may_meet(recipe: Recipe, live: ImagePair, dead: ImagePair) -> bool:
    """Tell whether two stacks are composed: the dead one belongs to the part of the live one, or is trained on."""
    live_part, dead_part = (part_of(recipe, pair.group or pair.image) for pair in (live, dead))
    return live.image != dead.image and dead_part in ("train", live_part)


def _check_shapes(name: str, image: tuple[int, ...], truth: tuple[int, ...]) -> None:
    if image[-3:] != truth[-3:] or len(truth) != 3:
        raise InputError(f"{name} has shape {image}, its labels {truth}.", "Both are one stack of planes.")


def _labelled(pair: ImagePair, folder: Path, recipe: Recipe, axes: str) -> Stack:
    """Read a stack with painted classes; painted planes are enough, what is 0 is ignored."""
    assert recipe.volumes is not None
    image = read_stack(folder / pair.image, axes)
    classes = np.asarray(read_stack(folder / pair.targets["classes"]).array)
    _check_shapes(pair.image, tuple(image.array.shape), classes.shape)
    if classes.max() > len(recipe.targets) + 1:
        raise InputError(
            f"The labels of {pair.image} go up to {classes.max()}.",
            "Paint 1 for background, 2 for live, 3 for dead; leave 0 what is not labelled.",
        )
    channels = [
        np.stack([np.asarray(image.plane(0, c, z)) for z in range(image.sizes["Z"])])
        for c in find_channels(image, None, recipe.input)
    ]
    names = ("background", *(t.name for t in recipe.targets[:-1]))
    # of all volumes together more than one class is wanted, see load_volumes
    refuse(pair.image, check_pair(channels, {}, classes, names, one_class=True))
    voxel = _voxel(image.z_step_um or recipe.volumes.z_step_um, image.pixel_size_um or recipe.volumes.pixel_size_um)
    return Stack(
        channels=channels,
        classes=classes.astype(np.uint8),
        cells=None,
        voxel_zyx_um=voxel,
        group=pair.group or pair.image,
        kind="labelled",
    )


def _voxel(z_step_um: float | None, pixel_size_um: float | None) -> Voxel | None:
    return None if z_step_um is None or pixel_size_um is None else (z_step_um, pixel_size_um, pixel_size_um)


def compose(live: OneColour, dead: OneColour) -> Stack:
    """Lay a stack of live and a stack of dead cells into one volume, as large as both have in common.

    The dead one is brought to the voxels of the live one. Where both are labelled, and where sparse labels leave
    something bright, a voxel does not count. The group is that of the live stack.
    """
    dead = on_voxels(dead, live.voxel_zyx_um)
    shape = tuple(min(a, b) for a, b in zip(live.image.shape, dead.image.shape, strict=True))
    both = [one.cut(shape) for one in (live, dead)]
    classes = np.full(shape, BACKGROUND, np.uint8)
    classes[both[0].cells > 0] = LIVE
    classes[both[1].cells > 0] = DEAD
    classes[(both[0].cells > 0) & (both[1].cells > 0)] = UNLABELLED
    for one in both:
        if one.sparse:
            classes[(classes == BACKGROUND) & unlabelled_cells(one.image, one.cells)] = UNLABELLED
    return Stack(
        channels=[one.image for one in both],
        classes=classes,
        cells=None if live.sparse else both[0].cells,
        voxel_zyx_um=live.voxel_zyx_um,
        group=live.pair.group or live.pair.image,
        kind="composed",
        sparse=live.sparse or dead.sparse,
    )


def without_dead(live: OneColour) -> Stack:
    """Return a stack of live cells whose dead dye is dark, as where there is none."""
    classes = np.where(live.cells > 0, LIVE, BACKGROUND).astype(np.uint8)
    if live.sparse:
        classes[(classes == BACKGROUND) & unlabelled_cells(live.image, live.cells)] = UNLABELLED
    return Stack(
        channels=[live.image, np.zeros(live.image.shape, np.uint8)],
        classes=classes,
        cells=None if live.sparse else live.cells,
        voxel_zyx_um=live.voxel_zyx_um,
        group=live.pair.group or live.pair.image,
        kind="one dye",
        sparse=live.sparse,
    )


def on_voxels(one: OneColour, voxel_zyx_um: Voxel | None) -> OneColour:
    """Bring a stack to other voxels: grey values linearly, labels by the nearest voxel."""
    if one.voxel_zyx_um is None or voxel_zyx_um is None or one.voxel_zyx_um == voxel_zyx_um:
        return one
    sides = zip(one.image.shape, one.voxel_zyx_um, voxel_zyx_um, strict=True)
    shape = tuple(max(1, round(n * a / b)) for n, a, b in sides)
    places = [(np.arange(m) + 0.5) * n / m - 0.5 for n, m in zip(one.image.shape, shape, strict=True)]
    image = ndimage.map_coordinates(
        one.image.astype(np.float32), np.meshgrid(*places, indexing="ij"), order=1, mode="nearest"
    )
    nearest = np.ix_(
        *(np.clip(p.round().astype(np.intp), 0, n - 1) for p, n in zip(places, one.image.shape, strict=True))
    )
    return replace(one, image=image, cells=one.cells[nearest], voxel_zyx_um=voxel_zyx_um)


def unlabelled_cells(image: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where something is as bright as labelled cells, not labelled, and not the rim of a labelled cell."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (0.5, 1, 1))
    if not (truth > 0).any():
        return np.ones(truth.shape, bool)
    near = ndimage.maximum_filter(truth > 0, [2 * n + 1 for n in NEAR_ZYX])
    return np.asarray(~near & (smooth > np.percentile(smooth[truth > 0], BRIGHT_PERCENTILE)))


def make_volume(stack: Stack, recipe: Recipe) -> ProgressGenerator[LabelledVolume]:
    """Prepare a stack as a run would, with its truth on the network's grid (each voxel's centre decides)."""
    assert recipe.volumes is not None
    own = network_voxel(recipe.input)
    scale = (
        (1.0, 1.0, 1.0)
        if stack.voxel_zyx_um is None
        else tuple(a / b for a, b in zip(stack.voxel_zyx_um, own, strict=True))
    )
    prepared = yield from prepare_volume(stack.channels, recipe.input, scale, TemporaryStore(1 << 40))  # type: ignore[arg-type]
    image = prepared.read(tuple(slice(0, n) for n in prepared.shape))
    nearest = np.ix_(
        *(
            ((np.arange(n) + 0.5) * source / n).astype(np.intp)
            for n, source in zip(prepared.shape, prepared.source, strict=True)
        )
    )
    classes = stack.classes[nearest]
    density = None
    if stack.cells is not None:
        density = cell_density(stack.cells[nearest], own, recipe.volumes.density_sigma_um)
    if len(recipe.targets) == 2:  # live only, as in the paper: dead cells are background
        classes = np.where(classes == DEAD, BACKGROUND, classes).astype(np.uint8)
    kept = _middle(classes.shape, recipe.volumes.keep_px if stack.kind == "simulated" else None)
    return LabelledVolume(
        image=np.ascontiguousarray(image[(slice(None), *kept)]),
        classes=np.ascontiguousarray(classes[kept]),
        density=None if density is None else np.ascontiguousarray(density[kept]),
        group=stack.group,
        kind=stack.kind,
        fingerprints=marks([c[len(c) // 2] for c in stack.channels]) if stack.kind != "simulated" else (),
        levels=prepared.levels,
        voxel_um=own,
        sparse=stack.sparse,
    )


def _middle(shape: tuple[int, ...], side: int | None) -> tuple[slice, ...]:
    """Return the column through the middle of a volume, whole in depth; all of it without a side."""
    starts = [max(0, (n - (side or n)) // 2) for n in shape[1:]]
    return (slice(None), *(slice(a, a + (side or n)) for a, n in zip(starts, shape[1:], strict=True)))


def describe_split(volumes: dict[str, Sequence[LabelledVolume]], recipe: Recipe) -> str:
    """Say in words how many volumes of each kind every part has, or which rows of them.

    Raises
    ------
    TrainingError
        If rows of two parts overlap or touch.
    """
    told = []
    for part in PARTS:
        kinds = [v.kind for v in volumes[part]]
        counts = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds)) or "none"
        told.append(f"{part}: {counts}")
    counts = "; ".join(told)
    if recipe.split.by == "group":
        return f"Whole volumes, by group. {counts}."
    forced: list[str] = []
    gap = check_gaps(recipe.split, forced)
    return f"Rows of volumes: {describe_rows(recipe.split, gap, HALO_ZYX[1], forced)}. {counts}."
