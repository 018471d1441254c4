"""Pairs of image and truth that come from layers or arrays: checked, and written where a recipe finds them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.select_planes import find_channels, select_pictures
from vitascope.io.images.write import PictureFile, write_ome_tiff
from vitascope.io.results.hashing import sha256_of
from vitascope.ops.geometry.pair_check import CheckProblem, check_pair, painted_ids, renumber
from vitascope.recipes.finetune import CheckedPair, TrainingPair
from vitascope.tasks.training_data import Truth

BACKGROUND = "background"
PAINTED = "painted"

LONGEST_NAME = 60
"""How much of the name of a pair its files bear (characters)."""


def network_planes(pair: TrainingPair, spec: InputSpec) -> list[NDArray[Any]]:
    """Return what the network sees of a pair's image: planes (Y, X), or channels (Z, Y, X) for a volume.

    Raises
    ------
    InputError
        If the image has not the channels and planes that the model wants.
    """
    if spec.spatial_dims == 3:
        image = pair.image
        return [
            np.stack([np.asarray(image.plane(0, c, z)) for z in range(image.sizes["Z"])])
            for c in find_channels(image, pair.channels, spec)
        ]
    pictures, _ = select_pictures(pair.image, spec, pair.channel, pair.planes, pair.channels)
    if len(pictures) != 1:
        raise InputError(
            f"'{pair.name}' holds {len(pictures)} pictures, and one truth.", "Choose the plane that the truth is of."
        )
    return [np.asarray(plane) for plane in pictures[0].planes]


def raw_planes(pair: TrainingPair, spec: InputSpec) -> list[NDArray[Any]]:
    """Return the planes (Y, X) that a fingerprint is taken of: those the network sees, the middle one of a volume."""
    planes = network_planes(pair, spec)
    return [plane[len(plane) // 2] for plane in planes] if spec.spatial_dims == 3 else planes


def check(pair: TrainingPair, spec: InputSpec, truth: Truth = Truth.PICTURES) -> CheckedPair:
    """Say what is wrong with a pair; nothing is raised for what can be said.

    Parameters
    ----------
    pair : TrainingPair
    spec : InputSpec
        Of the model to start from.
    truth : Truth
        Where an image has classes, it may show one of them only; all images together must not.
    """
    try:
        planes = network_planes(pair, spec)
    except InputError as error:
        return CheckedPair(pair.image.shape_yx, (CheckProblem("refused", str(error)),))
    if any(not 0 <= value < math.inf for value in pair.values.values()):
        return CheckedPair(pair.image.shape_yx, (CheckProblem("refused", "Its value is negative, or no number."),))
    if not pair.targets and pair.painted is None and not pair.values:
        return CheckedPair(pair.image.shape_yx, (CheckProblem("refused", "There is no truth to this image."),))
    problems = check_pair(planes, pair.targets, pair.painted, pair.classes, one_class=truth is Truth.CLASSES)
    return CheckedPair(pair.image.shape_yx, tuple(problems))


def number_anew(pairs: Sequence[TrainingPair]) -> tuple[list[TrainingPair], dict[str, int]]:
    """Give painted classes the numbers 1, 2, 3 … where they were painted with others, counted off in their order.

    Returns
    -------
    tuple of list and dict
        The pairs, and the id that each class was painted with; empty where the ids are 1, 2, 3 … already.

    Raises
    ------
    TrainingError
        If there are other ids, and fewer or more than classes: which is which cannot be told.
    """
    painted = [p.painted for p in pairs if p.painted is not None and p.painted.dtype.kind in "biu"]
    ids, classes = painted_ids(painted), pairs[0].classes
    if not ids or 0 < ids[0] <= ids[-1] <= len(classes):
        return list(pairs), {}
    if ids[0] < 0 or len(ids) != len(classes):
        meaning = ", ".join(f"{k} {name}" for k, name in enumerate(classes, 1))
        told = ", ".join(map(str, ids[:8])) + (" …" if len(ids) > 8 else "")
        raise TrainingError(
            f"The labels of all pairs hold the ids {told}; there are {len(classes)} classes.",
            f"Paint with {meaning}; 0 is ignored.",
        )
    anew = [replace(p, painted=None if p.painted is None else renumber(p.painted, ids)) for p in pairs]
    return anew, dict(zip(classes, ids, strict=True))


def write_pairs(
    pairs: Sequence[TrainingPair], spec: InputSpec, truth: Truth, folder: Path
) -> ProgressGenerator[tuple[list[dict[str, Any]], dict[str, str]]]:
    """Write pairs as OME-TIFF, as they are now: painting on does not change what is trained on.

    Returns
    -------
    tuple of list and dict
        The recipe's ``pairs``, and the SHA-256 of every file.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    entries: list[dict[str, Any]] = []
    written: list[Path] = []
    for number, pair in enumerate(pairs):
        yield Progress(number, len(pairs), "copying the images")
        planes = network_planes(pair, spec)
        files = _Files(folder, number, pair, written)
        entry: dict[str, Any] = {"image": files.write_image(planes, spec), "group": pair.group or pair.name}
        if truth is Truth.PICTURES and pair.painted is not None:
            foreground = (pair.painted >= 2).astype(np.float32)
            entry["targets"] = {PAINTED: files.write("target", foreground, "float32")}
            entry["regions"] = files.write("painted", pair.painted, "uint32")
        elif truth is Truth.VOLUMES and pair.painted is not None:
            entry["targets"] = {"classes": files.write("classes", pair.painted, "uint32")}
        elif pair.painted is not None:
            entry["regions"] = files.write("painted", pair.painted, "uint32")
        elif pair.values:
            entry["labels"] = dict(pair.values)
        else:
            entry["targets"] = {
                name: files.write(f"target{k}", stain, "float32")
                for k, (name, stain) in enumerate(pair.targets.items())
            }
        entries.append(entry)
    hashes = {path.name: one["sha256"] for path, one in zip(written, sha256_of(written), strict=True)}
    return entries, hashes


class _Files:
    """Writes the files of one pair."""

    def __init__(self, folder: Path, number: int, pair: TrainingPair, written: list[Path]) -> None:
        called = re.sub(r"[^\w.-]+", "_", pair.name)[:LONGEST_NAME]  # so that a warning says which pair
        self._folder, self._stem, self._pair, self._written = folder, f"pair{number + 1:03d}-{called}", pair, written

    def write_image(self, planes: list[NDArray[Any]], spec: InputSpec) -> str:
        """Write what the network sees, its planes as Z and its channels as C."""
        if spec.spatial_dims == 3:
            return self.write("image", np.stack(planes), names=spec.channels)
        if len(planes) == 1:
            return self.write("image", planes[0])
        if len(spec.channels) > 1:
            return self.write("image", np.stack(planes), names=spec.channels, axes="CYX")
        return self.write("image", np.stack(planes))

    def write(
        self, what: str, array: NDArray[Any], dtype: str = "", names: tuple[str, ...] = (), axes: str = ""
    ) -> str:
        """Write one picture; returns its name."""
        path = self._folder / f"{self._stem}-{what}.ome.tif"
        image = self._pair.image
        axes = axes or {2: "YX", 3: "ZYX", 4: "CZYX"}[array.ndim]
        kind = dtype or _stored(array)
        picture = PictureFile(
            array=array,
            axes=axes,
            dtype=kind,
            name=self._stem,
            channel_names=names,
            pixel_size_um=image.pixel_size_um,
            z_step_um=image.z_step_um,
        )
        write_ome_tiff(path, picture)
        self._written.append(path)
        return path.name


def _stored(array: NDArray[Any]) -> str:
    """Return the type that a picture is stored in without loss, or as float32 where TIFF has none."""
    dtype = np.dtype(array.dtype)
    if dtype.kind in "ui" and dtype.itemsize <= 4:
        return dtype.newbyteorder("=").name
    return "uint8" if dtype.kind == "b" else "float32"


def common_pixel_size(pairs: Sequence[TrainingPair]) -> float | None:
    """Return the pixel size that all images have, in µm; None where none is known.

    Raises
    ------
    TrainingError
        If they differ.
    """
    sizes = {pair.image.pixel_size_um for pair in pairs}
    known = sorted(size for size in sizes if size is not None)
    if known and (len(known) < len(sizes) or known[-1] > 1.02 * known[0]):
        told = ", ".join(f"{size:g} µm" if size else "not known" for size in sorted(sizes, key=lambda s: s or 0))
        raise TrainingError(
            f"The images have different pixel sizes ({told}).",
            "Train on images of one magnification, or set the sizes.",
        )
    return known[0] if known else None
