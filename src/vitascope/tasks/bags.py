"""Images with numbers of the whole image (bags, in multiple-instance learning): where they are, and what they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vitascope.core.errors import InputError, ParameterError
from vitascope.io.grouping import ImageGroup, find_groups
from vitascope.io.names import read_well
from vitascope.io.tables import read_table
from vitascope.tasks.recipe import BagSource, DataSet, ImagePair

PLACE_COLUMNS = ("plate", "well", "field")


@dataclass(frozen=True)
class Bag:
    """One image with its numbers.

    Parameters
    ----------
    images : ImageGroup
        The files of the image.
    labels : mapping of target name to float
    group : str
        What must not stand on both sides of a split.
    treatment : str
        What replicates share.
    source : ImagePair
        As the recipe has it; for images that were found, an empty one.
    """

    images: ImageGroup
    labels: dict[str, float]
    group: str
    treatment: str = ""
    source: ImagePair = field(default_factory=lambda: ImagePair(image=""))


def find_bags(data: DataSet, targets: tuple[str, ...], folder: Path) -> list[Bag]:
    """Return the bags of a data set: those it lists, those of its class folders, or those of its table.

    Parameters
    ----------
    data : DataSet
    targets : tuple of str
        Names of the classes, or of other numbers.
    folder : Path
        Of the data set.

    Raises
    ------
    InputError
        If an image, a class or a column cannot be told.
    ReaderError
        If a file cannot be read.
    """
    if data.bags is None:
        return [_listed(pair, folder) for pair in data.pairs]
    if data.bags.table:
        return _of_table(data.bags, targets, folder)
    return _of_folders(data.bags, targets, folder)


def _listed(pair: ImagePair, folder: Path) -> Bag:
    groups = find_groups([folder / pair.image])
    if len(groups) != 1:
        raise InputError(f"{pair.image} names {len(groups)} images, not one.", "Name the files of one image.")
    return Bag(groups[0], dict(pair.labels), pair.group or own_group(groups[0]), pair.treatment, pair)


def own_group(images: ImageGroup) -> str:
    """Return the group of an image that is given none: its well, as the name tells it, else the image itself."""
    return f"{images.place.plate} {images.place.well}".strip() if images.place.well else images.name


def _of_folders(source: BagSource, targets: tuple[str, ...], folder: Path) -> list[Bag]:
    by_name = {f.name.lower(): f for f in sorted(folder.iterdir()) if f.is_dir()}
    missing = [t for t in targets if t.lower() not in by_name]
    if missing:
        raise InputError(
            f"There is no folder '{missing[0]}' in {folder.name}.",
            "Each class has a folder of its name, with its images.",
        )
    return [
        Bag(group, one_class(target, targets), f"{target}/{group.name}")
        for target in targets
        for group in find_groups([by_name[target.lower()]], source.pattern or None)
    ]


def _of_table(source: BagSource, targets: tuple[str, ...], folder: Path) -> list[Bag]:
    table = read_table(folder / source.table)
    table.columns = [str(c).strip().lower() for c in table.columns]
    groups = find_groups([folder], source.pattern or None)
    finder = _Finder(groups, source.image.strip().lower())
    marks: list[bool] = []
    bags = []
    for _, row in table.iterrows():
        labels = _labels(source, targets, row)
        found = finder.find(row) if labels is not None else []
        if labels is None or not found:
            continue  # treated wells, and wells without an image, are no fault of a plate's table
        group = " ".join(_cell(row, c) for c in source.group)
        treatment = " ".join(_cell(row, c) for c in source.treatment)
        bags += [Bag(one, labels, group or own_group(one), treatment) for one in found]
        marks += [all(_cell(row, c) == v for c, v in source.control.items())] * len(found)
    if not bags:
        raise InputError(
            f"No row of {source.table} has both an image here and one of the classes {', '.join(targets)}.",
            "Name the images in a column 'image', or by 'well' (and 'plate', 'field') as their file names do.",
        )
    return to_controls(bags, marks) if source.control else bags


def to_controls(bags: list[Bag], is_control: list[bool]) -> list[Bag]:
    """Divide the numbers of bags by the median of the controls of their group.

    Raises
    ------
    InputError
        If a group has no control, or the median of its controls is not above 0.

    References
    ----------
    NViR (seed 001): viability is ATP over the median ATP of the untreated wells of the same plate and day.
    """
    found = []
    for bag in bags:
        controls = [b.labels for b, mark in zip(bags, is_control, strict=True) if mark and b.group == bag.group]
        if not controls:
            raise InputError(
                f"The group '{bag.group}' has no control well.",
                "Mark its controls in the table, or leave it out.",
            )
        medians = {t: float(np.median([c[t] for c in controls])) for t in bag.labels}
        if any(not m > 0 for m in medians.values()):
            raise InputError(f"The controls of the group '{bag.group}' have no median above 0.", "Check their numbers.")
        found.append(replace(bag, labels={t: v / medians[t] for t, v in bag.labels.items()}))
    return found


def _labels(source: BagSource, targets: tuple[str, ...], row: pd.Series) -> dict[str, float] | None:
    """Return the numbers of a row; None where it has no class of ours."""
    label = source.label.lower()
    if label in row.index:
        value = str(row[label]).strip()
        value = source.classes.get(value, value)
        known = {t.lower(): t for t in targets}
        return one_class(known[value.lower()], targets) if value.lower() in known else None
    try:
        numbers = {t: str(row[t.lower()]).strip() for t in targets}
        return None if "" in numbers.values() else {t: float(v) for t, v in numbers.items()}
    except (KeyError, ValueError) as error:
        raise InputError(
            f"The table {source.table} has neither a column '{source.label}' nor numbers under {', '.join(targets)}.",
            f"Its columns are {', '.join(map(str, row.index))}.",
        ) from error


def one_class(name: str, targets: tuple[str, ...]) -> dict[str, float]:
    """Return the numbers of an image of one class: 1 for it, 0 for the others."""
    return {t: float(t == name) for t in targets}


def _cell(row: pd.Series, column: str) -> str:
    if column.lower() not in row.index:
        raise InputError(f"The table has no column '{column}'.", f"Its columns are {', '.join(map(str, row.index))}.")
    return str(row[column.lower()]).strip()


class _Finder:
    """Finds the images of a table's row."""

    def __init__(self, groups: list[ImageGroup], column: str) -> None:
        self._groups, self._column = groups, column
        self._by_name = {name.lower(): g for g in groups for name in (g.name, *(p.name for p in g.paths))}

    def find(self, row: pd.Series) -> list[ImageGroup]:
        if self._column in row.index:
            group = self._by_name.get(Path(str(row[self._column]).strip()).name.lower())
            return [group] if group is not None else []
        wanted = {c: str(row[c]).strip() for c in PLACE_COLUMNS if c in row.index and str(row[c]).strip()}
        try:
            if "well" in wanted:
                wanted["well"] = read_well(wanted["well"])
            elif {"row", "column"} <= set(row.index):
                wanted["well"] = read_well(str(row["row"]).strip(), str(row["column"]).strip())
        except (ParameterError, ValueError) as error:
            raise InputError(f"A row of the table names no well: {error}", "Write wells such as B07.") from error
        if "well" not in wanted:
            raise InputError("The table names neither images nor wells.", "Add a column 'image' or 'well'.")
        return [g for g in self._groups if all(getattr(g.place, c) == v for c, v in wanted.items())]
