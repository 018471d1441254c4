"""Images with numbers of the whole image: where they are, and what they are."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.formatting import name_some
from vitascope.core.numbers import read_number
from vitascope.io.filenames.parse import read_well
from vitascope.io.images.read import ImageGroup, find_groups
from vitascope.io.tables.read import mark_of_column, read_table
from vitascope.recipes.recipe import DataSet, ImagePair, LabelledImageSource

logger = logging.getLogger(__name__)

PLACE_COLUMNS = ("plate", "well", "field")


@dataclass(frozen=True)
class LabelledImage:
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
    control : bool
        Whether it is an untreated one.
    taken : str
        Day, date or time it was taken; empty where nothing tells.
    source : ImagePair
        As the recipe has it; for images that were found, an empty one.
    """

    images: ImageGroup
    labels: dict[str, float]
    group: str
    treatment: str = ""
    control: bool = False
    taken: str = ""
    source: ImagePair = field(default_factory=lambda: ImagePair(image=""))


def find_labelled_images(data: DataSet, targets: tuple[str, ...], folder: Path) -> list[LabelledImage]:
    """Return the labelled images of a data set: those it lists, those of its class folders, or those of its table.

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
    if data.labelled_images is None:
        found = [_listed(pair, folder) for pair in data.listed]
    elif data.labelled_images.table:
        found = _of_table(data.labelled_images, targets, folder)
    else:
        found = _of_folders(data.labelled_images, targets, folder)
    if not data.axes:
        return found
    return [replace(one, images=replace(one.images, axes=data.axes)) for one in found]


def _listed(pair: ImagePair, folder: Path) -> LabelledImage:
    groups = find_groups([folder / pair.image])
    if len(groups) != 1:
        raise InputError(f"{pair.image} names {len(groups)} images, not one.", "Name the files of one image.")
    return LabelledImage(
        images=groups[0],
        labels=dict(pair.labels),
        group=pair.group or own_group(groups[0]),
        treatment=pair.treatment,
        taken=groups[0].place.time,
        source=pair,
    )


def own_group(images: ImageGroup) -> str:
    """Return the group of an image that is given none: its well, as the name tells it, else the image itself."""
    return f"{images.place.plate} {images.place.well}".strip() if images.place.well else images.name


def _of_folders(source: LabelledImageSource, targets: tuple[str, ...], folder: Path) -> list[LabelledImage]:
    by_name = {f.name.lower(): f for f in sorted(folder.iterdir()) if f.is_dir()}
    missing = [t for t in targets if t.lower() not in by_name]
    if missing:
        raise InputError(
            f"There is no folder '{missing[0]}' in {folder.name}.",
            "Each class has a folder of its name, with its images.",
        )
    return [
        LabelledImage(images=group, labels=one_class(target, targets), group=f"{target}/{group.name}")
        for target in targets
        for group in find_groups([by_name[target.lower()]], source.pattern or None)
    ]


def _of_table(source: LabelledImageSource, targets: tuple[str, ...], folder: Path) -> list[LabelledImage]:
    table = read_table(folder / source.table)
    table.columns = [str(c).strip().lower() for c in table.columns]
    groups = find_groups([folder], source.pattern or None)
    finder = _Finder(groups, source.image.strip().lower())
    reader = _LabelReader(source, targets, table)
    marks: list[bool] = []
    labelled_images: list[LabelledImage] = []
    for line, (_, row) in zip(table.attrs["lines"], table.iterrows(), strict=True):
        labels = reader.read(row, line)
        found = finder.find(row, line) if labels is not None else []
        if labels is None or not found:
            continue  # treated wells, and wells without an image, are no fault of a plate's table
        group = " ".join(_cell(row, c) for c in source.group)
        treatment = " ".join(_cell(row, c) for c in source.treatment)
        control = bool(source.control) and all(_cell(row, c) == v for c, v in source.control.items())
        labelled_images += [
            LabelledImage(
                images=one,
                labels=labels,
                group=group or own_group(one),
                treatment=treatment,
                control=control,
                taken=_cell(row, source.taken) if source.taken else one.place.time,
            )
            for one in found
        ]
        marks += [control] * len(found)
    if not labelled_images:
        raise InputError(
            f"No row of {source.table} has both an image here and one of the classes {', '.join(targets)}.",
            " ".join(reader.problems[:2])
            or "Name the images in a column 'image', or by 'well' (and 'plate', 'field') as their file names do.",
        )
    if not reader.by_class:
        for problem in (*reader.problems, *finder.problems(source.table)):
            logger.warning("%s", problem)
    return to_controls(labelled_images, marks) if source.control else labelled_images


def to_controls(labelled_images: list[LabelledImage], is_control: list[bool]) -> list[LabelledImage]:
    """Divide the numbers of labelled images by the median of the controls of their group.

    Raises
    ------
    InputError
        If a group has no control, or the median of its controls is not above 0.

    References
    ----------
    NViR (seed 001): viability is ATP over the median ATP of the untreated wells of the same plate and day.
    """
    found = []
    for labelled, own in zip(labelled_images, is_control, strict=True):
        controls = [
            b.labels for b, mark in zip(labelled_images, is_control, strict=True) if mark and b.group == labelled.group
        ]
        if not controls:
            raise InputError(
                f"The group '{labelled.group}' has no control well.",
                "Mark its controls in the table, or leave it out.",
            )
        medians = {t: float(np.median([c[t] for c in controls])) for t in labelled.labels}
        if any(not m > 0 for m in medians.values()):
            raise InputError(
                f"The controls of the group '{labelled.group}' have no median above 0.", "Check their numbers."
            )
        found.append(replace(labelled, labels={t: v / medians[t] for t, v in labelled.labels.items()}, control=own))
    return found


class _LabelReader:
    """Reads the numbers of a table's rows: those of their class, or those that stand in columns of the targets' names.

    Cells that hold no number are left out and told.
    """

    def __init__(self, source: LabelledImageSource, targets: tuple[str, ...], table: pd.DataFrame) -> None:
        self._source, self._targets = source, targets
        self.by_class = source.label.lower() in table
        self.problems: list[str] = []
        absent = [t for t in targets if t.lower() not in table]
        if absent and not self.by_class:
            raise InputError(
                f"The table {source.table} has neither a column '{source.label}' nor numbers under "
                f"{', '.join(targets)}.",
                f"Its columns are {', '.join(map(str, table.columns))}.",
            )
        columns = [] if self.by_class else [t.lower() for t in targets]
        merged = {str(name).strip().lower(): cells for name, cells in table.attrs["merged"].items()}
        for column in (c for c in columns if c in merged):
            raise InputError(
                f"The cells {merged[column]} of {source.table} are merged: one value of '{column}' for several images.",
                "Unmerge them, and write the value of each image.",
            )
        self._marks = {c: mark_of_column([str(cell) for cell in table[c]], c, table.attrs["lines"]) for c in columns}

    def read(self, row: pd.Series[Any], line: int) -> dict[str, float] | None:
        """Return the numbers of a row; None where it has no class of ours, or a cell that is no number."""
        if self.by_class:
            value = str(row[self._source.label.lower()]).strip()
            value = self._source.classes.get(value, value)
            known = {t.lower(): t for t in self._targets}
            return one_class(known[value.lower()], self._targets) if value.lower() in known else None
        found: dict[str, float] = {}
        for target in self._targets:
            text = str(row[target.lower()]).strip()
            number = read_number(text, self._marks[target.lower()])
            if number is None or math.isnan(number):
                self.problems.append(f"'{text}' in line {line} is no number for {target}: the line is left out.")
                return None
            found[target] = number
        return found


def one_class(name: str, targets: tuple[str, ...]) -> dict[str, float]:
    """Return the numbers of an image of one class: 1 for it, 0 for the others."""
    return {t: float(t == name) for t in targets}


def _cell(row: pd.Series[Any], column: str) -> str:
    if column.lower() not in row.index:
        raise InputError(f"The table has no column '{column}'.", f"Its columns are {', '.join(map(str, row.index))}.")
    return str(row[column.lower()]).strip()


class _Finder:
    """Finds the images of a table's row; no image belongs to two."""

    def __init__(self, groups: list[ImageGroup], column: str) -> None:
        self._groups, self._column = groups, column
        self._by_name = {name.lower(): g for g in groups for name in (g.name, *(p.name for p in g.paths))}
        self._lines: dict[str, int] = {}
        self._missing: list[int] = []

    def find(self, row: pd.Series[Any], line: int) -> list[ImageGroup]:
        """Return the images of a row.

        Raises
        ------
        InputError
            If it names none, or one that an earlier row names too.
        """
        found = self._find(row)
        for group in found:
            if (before := self._lines.setdefault(group.name, line)) != line:
                raise InputError(
                    f"The lines {before} and {line} of the table are both of {group.name}.",
                    "Leave one of them, or tell images apart by 'image', 'plate' or 'field'.",
                )
        if not found:
            self._missing.append(line)
        return found

    def problems(self, table: str) -> list[str]:
        """Tell of rows without an image, and of images without a row."""
        said = []
        if self._missing:
            said.append(f"{table}, line {name_some(self._missing)}: there is a number, and no image.")
        left = [g.name for g in self._groups if g.name not in self._lines]
        if left:
            said.append(f"{name_some(left)}: there is an image, and no number in {table}.")
        return said

    def _find(self, row: pd.Series[Any]) -> list[ImageGroup]:
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
