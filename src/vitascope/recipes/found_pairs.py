"""Pairs of images and stains that a recipe finds by name, turned into listed ones."""

from __future__ import annotations

from pathlib import Path

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.formatting import name_some
from vitascope.io.filenames.match import match_globs
from vitascope.io.results.hashing import sha256_of
from vitascope.recipes.recipe import DataSet, ImagePair, PairSource, Recipe, find_data


def list_pairs(recipe: Recipe, recipe_folder: Path) -> tuple[Recipe, tuple[str, ...]]:
    """Return a recipe that lists its pairs, with the hash of every file, and sentences on files without a partner.

    A recipe that lists them is returned as it is.

    Raises
    ------
    ReaderError
        If data are absent.
    InputError
        If nothing can be paired.
    """
    notes: list[str] = []
    data = [_listed(one, recipe, recipe_folder, notes) for one in recipe.data]
    return recipe.model_copy(update={"data": tuple(data)}), tuple(notes)


def _listed(data: DataSet, recipe: Recipe, recipe_folder: Path, notes: list[str]) -> DataSet:
    if not isinstance(data.pairs, PairSource):
        return data
    folder = find_data(data, recipe_folder)
    names = [t.name for t in recipe.targets]
    globs = data.pairs.targets if isinstance(data.pairs.targets, dict) else {names[0]: data.pairs.targets}
    missing = [n for n in names if n not in globs]
    if missing:
        raise ParameterError(
            f"The pairs of '{data.name}' have no stain '{missing[0]}'.", "Name a glob for each target."
        )
    images: dict[str, str] = {}
    targets: dict[str, dict[str, str]] = {}
    for name in names:
        found = match_globs(folder, data.pairs.images, globs[name])
        for key, image, stain in found.pairs:
            images[image] = key
            targets.setdefault(image, {})[name] = stain
        for what, left in (("stain", found.images), ("image", found.stains)):
            if left:
                notes.append(f"{name_some(list(left))}: there is no {what} of this name; left out.")
    whole = {image: own for image, own in targets.items() if len(own) == len(names)}
    if not whole:
        raise InputError(f"No image of '{data.name}' has all stains.", f"Stains: {', '.join(names)}.")
    pairs = tuple(ImagePair(image=image, targets=own, group=images[image]) for image, own in whole.items())
    files = sorted({f for image, own in whole.items() for f in (image, *own.values())})
    hashes = {f: one["sha256"] for f, one in zip(files, sha256_of([folder / f for f in files]), strict=True)}
    return data.model_copy(update={"pairs": pairs, "sha256": {**hashes, **data.sha256}})
