"""Images with an amount, matched to a table by well or name; what has no partner is named, never guessed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from vitascope.core.errors import InputError, ReaderError
from vitascope.core.formatting import name_some
from vitascope.io.images.read import ImageGroup, find_groups
from vitascope.io.tables.measured_values import Amount, read_amounts
from vitascope.recipes.labelled_images import LabelledImage
from vitascope.recipes.recipe import AmountSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Matched:
    """Images and amounts that belong together.

    Parameters
    ----------
    labelled_images : tuple of LabelledImage
    problems : tuple of str
        Sentences: cells that are no amount, wells without an image, images without a value.
    """

    labelled_images: tuple[LabelledImage, ...]
    problems: tuple[str, ...]


def find_amounts(source: AmountSource, target: str, folder: Path, axes: str = "") -> Matched:
    """Match the images of a folder with the amounts of its tables.

    Parameters
    ----------
    source : AmountSource
    target : str
        Name of the amount.
    folder : Path
    axes : str
        Of each image file, where the files do not tell.

    Raises
    ------
    ReaderError
        If there is no such table, or one cannot be read.
    InputError
        If a table cannot be understood, holds a well twice, or nothing matches.
    """
    tables = sorted(folder.glob(source.table)) if _is_glob(source.table) else [folder / source.table]
    if not tables:
        raise ReaderError(f"No table in {folder.name} matches '{source.table}'.", "Check the name in the recipe.")
    labelled_images: list[LabelledImage] = []
    problems: list[str] = []
    for table in tables:
        groups = find_groups([table.parent], source.pattern or None)
        found = _match(source, target, table, groups, table.parent.name if _is_glob(source.table) else "")
        labelled_images += [replace(one, images=replace(one.images, axes=axes)) for one in found.labelled_images]
        problems += found.problems
    for problem in problems:
        logger.warning("%s", problem)
    if not labelled_images:
        raise InputError(
            f"No image of {folder.name} has an amount in '{source.table}'.",
            " ".join(problems[:2]) or "Wells or names of images must stand in both.",
        )
    return Matched(tuple(labelled_images), tuple(problems))


def _is_glob(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def match_sheet(source: AmountSource, target: str, images: Path, sheet: Path) -> tuple[Matched, tuple[ImageGroup, ...]]:
    """Match the images of a folder with the amounts of a sheet that may lie elsewhere.

    Parameters
    ----------
    source : AmountSource
        How the sheet is read; its ``table`` does not count.
    target : str
        Name of the amount.
    images, sheet : Path

    Returns
    -------
    Matched, and tuple of ImageGroup
        Images without an amount stand in the second.

    Raises
    ------
    ReaderError
        If the sheet or the folder cannot be read.
    InputError
        If the sheet cannot be understood, holds a well twice, or nothing matches.
    """
    groups = find_groups([images], source.pattern or None)
    found = _match(source, target, sheet, groups, "")
    if not found.labelled_images:
        raise InputError(
            f"No image of {images.name} has an amount in {sheet.name}.",
            " ".join(found.problems[:2]) or "Wells or names of images must stand in both.",
        )
    used = {one.images.name for one in found.labelled_images}
    return found, tuple(group for group in groups if group.name not in used)


def _match(source: AmountSource, target: str, table: Path, groups: list[ImageGroup], plate: str) -> Matched:
    """Match images with the amounts of one table, of a plate where it speaks for one alone."""
    amounts = read_amounts(table, source.column, source.group)
    labelled_images, missing, used = [], [], set()
    for amount in amounts.rows:
        images = _find(amount, groups)
        used |= {g.name for g in images}
        if not images:
            missing.append(amount.image or f"{amount.plate} {amount.well}".strip())
        for group in images:
            own = amount.group or plate or amount.plate or group.place.plate or group.place.well or group.name
            well = f"{plate or amount.plate or group.place.plate} {group.place.well}".strip()
            own = {"image": group.name, "well": well or group.name}.get(source.by, own)
            place = replace(group.place, plate=group.place.plate or amount.plate or plate)
            labelled_images.append(
                LabelledImage(
                    images=replace(group, place=place), labels={target: amount.value}, group=own, taken=place.time
                )
            )
    names = [labelled.images.name for labelled in labelled_images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{table.name} has more than one amount for the image of {name_some(twice)}.",
            "Names of images must tell their plate where the table has several, or give each plate a folder.",
        )
    left = [g.name for g in groups if g.name not in used]
    where = f" of {plate}" if plate else ""
    problems = [f"{table.name}: {p}" for p in amounts.problems]
    if missing:
        problems.append(f"{name_some(missing)}{where}: there is an amount in {table.name}, and no image.")
    if left:
        problems.append(f"{name_some(left)}{where}: there is an image, and no amount in {table.name}.")
    return Matched(tuple(labelled_images), tuple(problems))


def _find(amount: Amount, groups: list[ImageGroup]) -> list[ImageGroup]:
    if amount.image:
        wanted = Path(amount.image).name.casefold()
        return [g for g in groups if wanted in (g.name.casefold(), *(p.name.casefold() for p in g.paths))]
    return [
        g
        for g in groups
        if amount.well
        and g.place.well == amount.well
        and (not amount.plate or not g.place.plate or g.place.plate == amount.plate)
    ]
