"""The images of a recipe with what is known of them, as a study runs them: test part first, pieces of large fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.io.images.read import open_group
from vitascope.recipes.found_pairs import list_pairs
from vitascope.recipes.recipe import DataSet, ImagePair, Recipe, find_data
from vitascope.tasks.registry import find_task
from vitascope.tasks.training_data import Truth
from vitascope.training.data.labelled_images import labelled_images_of
from vitascope.training.data.simulated import draw, source_folders
from vitascope.training.data.split_groups import drawn_parts, named_parts
from vitascope.training.data.stain import read_listed

PIECE_PX = 256
"""Side of the pieces that fields are cut into: a network's reach, and room for a dozen nuclei."""


@dataclass(frozen=True)
class StudyImage:
    """One image of a study.

    Parameters
    ----------
    image : Micrograph
    reference : Micrograph or None
        The real stains, a channel each, named by target.
    labels : dict of str to float
        Numbers of the image by target.
    """

    image: Micrograph
    reference: Micrograph | None = None
    labels: dict[str, float] = field(default_factory=dict)


def study_images(recipe: Recipe, folder: Path, most: int) -> tuple[list[StudyImage], bool]:
    """Return up to so many images of a recipe's data, spread evenly, and whether they are those kept apart for tests.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        Of the recipe.
    most : int, >= 1

    Raises
    ------
    InputError
        If there is none that can be used.
    ReaderError
        If the data are not there.
    """
    found: list[StudyImage] = []
    tested = True
    recipe, _ = list_pairs(recipe, folder)
    truth = find_task(recipe.task).trained_on.truth
    for data in recipe.data:
        if truth is Truth.PICTURES and data.rendered is None:
            apart = bool(recipe.split.test_rows) and recipe.split.by == "region"
            rows = recipe.split.test_rows if apart else ()
            where = find_data(data, folder)
            found += [piece for pair in data.listed for piece in _pieces(data, pair, where, rows)]
            tested = tested and apart
        elif truth.in_tables:
            own, apart = _labelled(recipe, data, folder, most)
            found, tested = found + own, tested and apart
    if not found:
        raise InputError(
            f"The recipe {recipe.id} has no images that a stability study can run.",
            "Give a recipe for pictures with a real stain, or with numbers, of one plane at a time.",
        )
    chosen = np.unique(np.linspace(0, len(found) - 1, most).round().astype(int))
    return [found[k] for k in chosen], tested


def _pieces(data: DataSet, pair: ImagePair, folder: Path, rows: Sequence[tuple[int, int]]) -> Iterator[StudyImage]:
    """Cut a field and its stains into pieces; all of it where no rows are named."""
    if pair.montage is not None or not pair.targets:
        return
    image = read_listed(data, pair.image, folder)
    stains = np.stack([_stain(data, pair, name, folder) for name in pair.targets.values()])
    height, width = image.shape_yx
    for first, end in rows or ((0, height),):
        for y in range(first, max(first + 1, min(end, height) - PIECE_PX + 1), PIECE_PX):
            for x in range(0, max(1, width - PIECE_PX + 1), PIECE_PX):
                window = (slice(y, min(y + PIECE_PX, end)), slice(x, x + PIECE_PX))
                name = f"{image.name}_y{y}_x{x}"
                stain = Micrograph(
                    array=stains[(slice(None), *window)], axes="CYX", channel_names=tuple(pair.targets), name=name
                )
                part = replace(image, array=np.asarray(image.array[(..., *window)]), name=name, sources=())
                yield StudyImage(part, stain)


def _stain(data: DataSet, pair: ImagePair, name: str, folder: Path) -> np.ndarray:
    plane = np.asarray(read_listed(data, name, folder).plane(0, pair.target_channel or 0, 0))
    return np.roll(plane, pair.target_shift_px, (0, 1))


def _labelled(recipe: Recipe, data: DataSet, folder: Path, most: int) -> tuple[list[StudyImage], bool]:
    names = tuple(target.name for target in recipe.targets)
    if data.simulated is not None:
        numbers = np.unique(np.linspace(0, data.simulated.count - 1, most).astype(int))
        folders = source_folders(data, folder)
        drawn = [draw(data.simulated, int(n), folders) for n in numbers]
        return [
            StudyImage(Micrograph(array=one.image, axes="YX", name=f"drawn_{n}"), labels={names[0]: one.amount})
            for n, one in zip(numbers, drawn, strict=True)
        ], False
    listed, _ = labelled_images_of(data, names, find_data(data, folder))
    parts = _parts(recipe, {one.group: tuple(one.labels.get(n, 0.0) for n in names) for one in listed})
    test = [one for one in listed if parts[one.group] == "test"]
    chosen = test or listed
    some = np.unique(np.linspace(0, len(chosen) - 1, most).round().astype(int)).tolist() if chosen else []
    found = [StudyImage(open_group(chosen[k].images), labels=dict(chosen[k].labels)) for k in some]
    return found, bool(test)


def _parts(recipe: Recipe, groups: dict[str, tuple[float, ...]]) -> dict[str, str]:
    split = recipe.split
    if split.train_groups or split.test_groups or split.validation_groups:
        return named_parts(split, list(groups))
    return drawn_parts(split, groups)
