"""The results of a plate opened again, also during the run: numbers by well, and the pictures of each image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.batch.drift.in_words import since
from vitascope.batch.plate.badges import well_badges
from vitascope.batch.plate.image_quality import NUMBERS
from vitascope.batch.plate.journal import Journal, has_journal
from vitascope.batch.plate.tables import MAP, by_well, number_columns, results_frame
from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.flags import without_notes
from vitascope.core.formatting import is_number, number_text, plain_digits, quantity_text
from vitascope.core.result import OF_CONTROL, LabelsOutput, Trust, told_unit
from vitascope.core.status import Status
from vitascope.core.well import Well
from vitascope.io.plates.plate import Plate
from vitascope.io.plates.read import open_plate
from vitascope.io.results.folder import OBJECTS
from vitascope.io.results.read import SavedPicture, read_picture
from vitascope.io.tables.plate_map import MAP_COLUMNS, PlateMap, read_plate_map
from vitascope.tasks.registry import find_task

HOW = ("mean", "median", "cv_percent")
CATEGORIES = ("status", "flags", *(name for name in MAP_COLUMNS if name not in ("plate", "well", "dose")))


@dataclass(frozen=True, eq=False)
class PlateResults:
    """What a results folder of a plate holds at one moment.

    Parameters
    ----------
    folder : Path
    name : str
        Of the plate.
    task : str
    rows, columns : int
        Of the plate.
    frame : DataFrame
        ``results.csv`` as far as it is there: one row for each image and time point.
    latest : int
        Number of the image that was done last.
    """

    folder: Path
    name: str
    task: str
    rows: int
    columns: int
    frame: pd.DataFrame
    latest: int
    _amounts: dict[tuple[str, str, str], NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def number_columns(self) -> list[str]:
        """Return the columns that can be drawn as amounts."""
        numbers = number_columns(self.frame)
        return [*numbers, "dose"] if "dose" in self.frame and self.frame["dose"].notna().any() else numbers

    def category_columns(self) -> list[str]:
        """Return the columns that can be drawn as kinds."""
        return [name for name in CATEGORIES if name in self.frame and any(_kind(v, name) for v in self.frame[name])]

    def title(self, column: str) -> str:
        """Return a column in words, with its unit."""
        words = quantity_text(column)
        try:
            spec = find_task(self.task)
        except VitascopeError:  # nothing was run, only looked at
            return words
        main = column == spec.headline or column in spec.interval
        units = [_text(one) for one in self.frame["unit"]] if main and "unit" in self.frame else []
        unit = next(filter(None, units), "")
        if unit == OF_CONTROL:
            unit = told_unit(unit, self.provenance(str(self.frame["image"].iloc[0])).get("inputs", ()))
        return f"{words} ({unit})" if unit and "(" not in words and unit.lower() != words.lower() else words

    def times(self) -> list[str]:
        """Return the times, in the order of the plate."""
        return list(dict.fromkeys(_text(time) for time in self.frame["time"])) if len(self.frame) else [""]

    def flags(self) -> list[str]:
        """Return all flags that stand in the table."""
        return sorted({flag for cell in self.frame["flags"].fillna("") for flag in cell.split(";") if flag})

    def amounts(self, column: str, how: str = "mean", time: str = "") -> NDArray[np.float64]:
        """Return one number for each well.

        Parameters
        ----------
        column : str
        how : {"mean", "median", "cv_percent"}
            Over the fields of a well.
        time : str

        Returns
        -------
        array, shape (rows, columns), float
            NaN where there is none.
        """
        if (column, how, time) in self._amounts:
            return self._amounts[column, how, time]
        found = self.nothing()
        table = self.by_well(column, how, time)
        for well, value in zip(table["well"], table[column], strict=True):
            place = Well.parse(well)
            found[place.row, place.column] = value
        self._amounts[column, how, time] = found
        return found

    def nothing(self) -> NDArray[np.float64]:
        """Return a plate without numbers, shape (rows, columns)."""
        return np.full((self.rows, self.columns), np.nan)

    def by_well(self, column: str, how: str = "mean", time: str = "") -> pd.DataFrame:
        """Return one row for each well: what the map says, and the column put together over the fields."""
        return by_well(self._at(time), column, how)

    def kinds(self, column: str, time: str = "") -> dict[Well, str]:
        """Return one text for each well that has an image; of several fields, those that differ are joined.

        Flags that are notes tell no kind.
        """
        found: dict[Well, list[str]] = {}
        part = self._at(time)
        for well, value in zip(part["well"], part[column], strict=True):
            found.setdefault(Well.parse(well), []).append(_kind(value, column))
        return {well: " / ".join(dict.fromkeys(filter(None, values))) for well, values in found.items()}

    def with_flag(self, flag: str, time: str = "") -> set[Well]:
        """Return the wells of which a field has a flag; all wells that have images for the empty text."""
        part = self._at(time)
        has = [not flag or flag in _text(cell).split(";") for cell in part["flags"]]
        return {Well.parse(well) for well, one in zip(part["well"], has, strict=True) if one}

    def describe(self, well: Well, column: str, time: str = "") -> str:
        """Say what is known of a well: treatment, dose, and the column's value in each field."""
        part = self._at(time)
        part = part[part["well"] == str(well)]
        if not len(part):
            return f"{well}: no image"
        first = part.iloc[0]
        known = [_text(first.get(name)) for name in ("treatment", "role")]
        if _text(first.get("dose")):
            known.insert(1, f"{plain_digits(first['dose'])} {_text(first.get('dose_unit'))}".strip())
        values = [(number_text(v) if is_number(v) else _text(v)) or "–" for v in part[column]] if column in part else []
        status = sorted(set(part["status"]) - {Status.OK})
        badge = self.badges.get(well)
        told = [
            str(well),
            *(text for text in known if text),
            f"{self.title(column)}: {', '.join(values)}" if values else "",
            *status,
            *(badge.reasons if badge is not None else ()),
        ]
        return " · ".join(text for text in told if text)

    def images(self, well: Well, time: str = "") -> list[str]:
        """Return the names of a well's images."""
        part = self._at(time)
        return list(dict.fromkeys(part[part["well"] == str(well)]["image"]))

    def _at(self, time: str) -> pd.DataFrame:
        if not time:
            return self.frame
        return self.frame[self.frame["time"].map(_text) == time]

    def pictures(self, image: str) -> list[SavedPicture]:
        """Open the pictures of one image, lazily, labels with their table.

        Raises
        ------
        ReaderError
            If one cannot be read.
        """
        with Journal(self.folder, read_only=True) as journal:
            paths = journal.pictures_of(image)
            objects = journal.piece(OBJECTS, image)
        return [
            picture
            for path in paths
            for one in _with_labels(self.folder / path)
            if (picture := read_picture(one, objects, {image})) is not None
        ]

    def provenance(self, image: str) -> dict[str, Any]:
        """Return where the numbers of one image come from; empty where it was not judged."""
        with Journal(self.folder, read_only=True) as journal:
            found = journal.provenance_of(image)
        return found.model_dump(mode="json") if found else {}

    @cached_property
    def badges(self) -> dict[Well, Trust]:
        """How far to rely on each well, see :func:`vitascope.batch.plate.badges.well_badges`."""
        if "image" not in self.frame or "status" not in self.frame:
            return {}
        return well_badges(self.frame, self.drift() if has_journal(self.folder) else {})

    def drift_in_words(self) -> str:
        """Say since which well the plate drifts, and how it looks since then; empty without an alarm or a watch."""
        found = self.drift() if has_journal(self.folder) else {}
        wells = dict(zip(self.frame["image"], self.frame["well"], strict=True)) if len(self.frame) else {}
        return since(found.get("alarms", ()), found.get("causes", {}), lambda name: str(wells.get(name, name)))

    def drift(self) -> dict[str, Any]:
        """Return what the run's watch found, see :meth:`vitascope.batch.drift.watch.PlateWatch.summary`; else empty."""
        with Journal(self.folder, read_only=True) as journal:
            return journal.get("drift") or {}

    def open_plate(self) -> Plate:
        """Open the plate that was run.

        Raises
        ------
        ReaderError
            If it is no longer where it was.
        """
        with Journal(self.folder, read_only=True) as journal:
            source = journal.get("source") or {}
        if not source:
            raise ReaderError(f"'{self.folder}' does not say where its plate lies.", "Open the plate yourself.")
        pattern, planes = source.get("pattern", source.get("group")), source.get("planes")
        found = open_plate(source["path"], pattern=pattern, plate=self.name, planes=planes)
        return found.given(source.get("pixel_size_um"), source.get("axes"))


def quality_results(plate: Plate, table: pd.DataFrame) -> PlateResults:
    """Put the focus and exposure of a plate that was not run into the shape of results, to be seen well by well.

    Parameters
    ----------
    plate : Plate
    table : DataFrame
        See :func:`vitascope.batch.plate.image_quality.image_quality`.
    """
    return PlateResults(
        folder=plate.path,
        name=plate.name,
        task="image quality",
        rows=plate.rows,
        columns=plate.columns,
        frame=table,
        latest=0,
    )


def with_quality(results: PlateResults, table: pd.DataFrame) -> PlateResults:
    """Put focus and exposure beside what was measured: further columns and flags, and rows for images not run yet.

    Parameters
    ----------
    results : PlateResults
    table : DataFrame
        See :func:`vitascope.batch.plate.image_quality.image_quality`.
    """
    if "image" not in results.frame:
        return results
    known = table.set_index("image")
    rest = table[~table["image"].isin(results.frame["image"])]
    rest = rest[["image", "plate", "well", "field", "time"]].assign(status="", flags="")
    begun = pd.concat([results.frame, rest], ignore_index=True) if len(rest) else results.frame
    frame = begun.join(known[[name for name in NUMBERS if name not in results.frame]], on="image")
    more = frame["image"].map(known["flags"]).fillna("")
    both = [f"{own};{other}".strip(";") for own, other in zip(frame["flags"].map(_text), more, strict=True)]
    flags = [";".join(dict.fromkeys(cell.split(";"))) for cell in both]
    return replace(results, frame=frame.assign(flags=flags), _amounts={})


def with_map(results: PlateResults, plate_map: PlateMap | None) -> PlateResults:
    """Put what a plate map says beside what was measured, in the place of what stood there; None changes nothing.

    Parameters
    ----------
    results : PlateResults
    plate_map : PlateMap or None
        Such as one that was loaded after the run.
    """
    if plate_map is None or "well" not in results.frame:
        return results
    frame = results.frame.drop(columns=[name for name in MAP_COLUMNS[2:] if name in results.frame])
    known = {well: plate_map.row(results.name, well) for well in dict.fromkeys(frame["well"])}
    for name in map(str, plate_map.table):
        if name not in ("plate", "well", *frame.columns):
            frame[name] = [known[well].get(name) for well in frame["well"]]
    return replace(results, frame=frame, _amounts={})


def _with_labels(path: Path) -> list[Path]:
    inside = sorted(one for one in (path / "labels").glob("*") if one.is_dir()) if (path / "labels").is_dir() else []
    return [path, *inside]


def _text(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    return plain_digits(value) if isinstance(value, float) else str(value)


def _kind(value: Any, column: str) -> str:
    """Return a value as a kind to be coloured: flags that are notes tell none."""
    return ";".join(without_notes(_text(value).split(";"))) if column == "flags" else _text(value)


def open_plate_results(folder: str | Path) -> PlateResults:
    """Open the results of a plate, finished or not.

    Parameters
    ----------
    folder : path
        What ``vitascope plate`` wrote to.

    Returns
    -------
    PlateResults

    Raises
    ------
    ReaderError
        If it holds no plate run.
    """
    folder = Path(folder)
    with Journal(folder, read_only=True) as journal:
        about = journal.get("asked")
        if about is None:
            raise ReaderError(f"The run in '{folder}' never began.", "Start it again.")
        frame = results_frame(journal, _saved_map(folder))
        rows, columns = journal.get("shape")
        latest = journal.latest()
    return PlateResults(
        folder=folder, name=about["plate"], task=about["task"], rows=rows, columns=columns, frame=frame, latest=latest
    )


def _saved_map(folder: Path) -> PlateMap | None:
    if not (folder / MAP).is_file():
        return None
    try:
        return read_plate_map(folder / MAP)
    except VitascopeError:
        return None  # someone edited it; the numbers are shown without it


def sort_labels_last(pictures: list[SavedPicture]) -> list[SavedPicture]:
    """Put labels on top, as after a run."""
    return sorted(pictures, key=lambda picture: isinstance(picture.output, LabelsOutput))
