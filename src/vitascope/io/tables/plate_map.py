"""A plate map: what is in each well, from a long table or from tables in the shape of the plate."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.numbers import number_text
from vitascope.core.well import PLATE_SHAPES, Well
from vitascope.io.atomic import atomic_write
from vitascope.io.plates.plate import Plate
from vitascope.io.stores.mirror import local
from vitascope.io.tables.condition_table import condition_rows, write_conditions
from vitascope.io.tables.csv_append import cell as safe_cell
from vitascope.io.tables.plate_map_parsing import MapRows, read_rows
from vitascope.io.tables.plate_map_validation import MapProblem, check_rows, refuse

MAP_COLUMNS = ("plate", "well", "treatment", "dose", "dose_unit", "role", "replicate", "patient")


@dataclass(frozen=True, eq=False)
class PlateMap:
    """What is in each well of one or several plates.

    Parameters
    ----------
    table : DataFrame
        One row for each well: ``plate`` (empty where the map is for every plate), ``well`` (``B07``), ``treatment``,
        ``dose`` (float, NaN for none), ``dose_unit``, ``role`` (treated, negative, positive, blank, time0 or other),
        ``replicate``, ``patient``, then other columns as text, but what a reader measured (``signal``, ``RLU`` …) as
        float, NaN where a word stands such as ``OVER``.
    problems : tuple of MapProblem
        What was noticed, and does not stand in the way.
    source : str
        Name of the file.
    """

    table: pd.DataFrame
    problems: tuple[MapProblem, ...] = ()
    source: str = ""
    _rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Index the rows by plate and well."""
        rows: Iterable[dict[Any, Any]] = self.table.to_dict("records")
        self._rows.update({(str(row["plate"]), str(row["well"])): {str(k): v for k, v in row.items()} for row in rows})

    def row(self, plate: str, well: Well | str) -> dict[str, Any]:
        """Return what the map says of a well, of this plate or of every plate; empty where it says nothing.

        Examples
        --------
        >>> map_of_one = PlateMap.from_rows([{"well": "B2", "treatment": "DMSO"}])
        >>> map_of_one.row("any", "B02")["role"]
        'negative'
        """
        name = str(Well.parse(well) if isinstance(well, str) else well)
        return self._rows.get((plate, name)) or self._rows.get(("", name)) or {}

    def check(self, plate: Plate) -> tuple[MapProblem, ...]:
        """Compare the map with a plate: wells outside it, wells without an image, images the map says nothing of."""
        return check_against(self, plate)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], source: str = "") -> PlateMap:
        """Make a map of rows as a table or the painter holds them; columns that are missing are empty.

        Raises
        ------
        InputError
            If a well is none or stands twice, or a dose is no number or below zero.
        """
        text = [{str(key): _as_text(value) for key, value in row.items()} for row in rows]
        table, problems = check_rows(text, [i + 1 for i in range(len(text))])
        refuse(problems, source or "plate map")
        return cls(_in_order(table), problems, source)

    def save(self, path: Path) -> None:
        """Write the map as a CSV, or into an OME-Zarr plate; :func:`read_plate_map` reads it back as it is.

        Parameters
        ----------
        path : Path
            A folder that ends in ``.zarr`` is a plate: it gets a condition table, as Fractal keeps them.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if path.suffix.lower() == ".zarr":
            write_conditions(self.table, path)
            return
        empty = [column for column in self.table.columns if column != "well" and not _filled(self.table[column])]
        table = self.table.drop(columns=empty)
        for column in table.columns:
            table[column] = [safe_cell(value) for value in table[column]]
        with atomic_write(path) as file:
            file.write(table.to_csv(index=False, lineterminator="\n").encode("utf-8"))


def read_plate_map(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    plate: str | None = None,
    size: int | None = None,
) -> PlateMap:
    """Read a plate map.

    Parameters
    ----------
    path : path
        CSV, TSV or XLSX: a long table with one line for each well, or one or several tables in the shape of the plate,
        each with its name (``treatment``, ``dose (µM)``, ``role`` …) in the corner, in the line above or, in XLSX, as
        the name of its sheet; the ``Plateconf.txt`` or ``Platelist.txt`` of a cellHTS2 screen; or a reader's export
        (:func:`vitascope.io.tables.plate_reader.read_reader_export`), whose values become the column ``signal``.
        Semicolons and decimal commas are found out; a merged range of a workbook fills all of its wells. Or an OME-Zarr
        plate with a condition table of Fractal (:mod:`vitascope.io.tables.condition_table`).
    columns : mapping of str to str, optional
        Which column of a long table holds what, where its name does not tell: ``{"dose": "SBS_Doses"}``.
    plate : str, optional
        Name of the plate the map is for, where the file does not tell.
    size : int, optional
        Number of wells of the plate; wells outside it are refused.

    Returns
    -------
    PlateMap

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it is empty, names no wells, has a well twice or one that is none, or a dose that is no number or below
        zero; all wells concerned are named. If a value of a grid belongs to no well, or a number can be read in two
        ways (``1,000``).
    """
    path = local(path)
    # Path.is_dir raises what a share answers; then the table's reader says it.
    found = _condition_rows(path) if os.path.isdir(path) else read_rows(path, columns or {})  # noqa: PTH112
    rows = found.rows
    if plate is not None:
        rows = [{**row, "plate": row.get("plate") or plate} for row in rows]
    table, problems = check_rows(rows, found.lines, found.measured)
    problems = (*problems, *found.problems)
    if size is not None:
        problems = (*problems, *_outside(table, size))
    refuse(problems, path.name)
    return PlateMap(_in_order(table), problems, path.name)


def _condition_rows(path: Path) -> MapRows:
    rows = condition_rows(path)
    return MapRows(rows, [number + 1 for number in range(len(rows))])


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    extra = [column for column in table.columns if column not in MAP_COLUMNS]
    return table[[*MAP_COLUMNS, *extra]].reset_index(drop=True)


def _as_text(value: Any) -> str:
    """Write a value as text; a number so that it cannot be read in two ways."""
    return number_text(value) if isinstance(value, float) else "" if value is None else str(value)


def _filled(values: pd.Series[Any]) -> bool:
    return any(value != "" and not (isinstance(value, float) and math.isnan(value)) for value in values)


def _outside(table: pd.DataFrame, size: int) -> list[MapProblem]:
    if size not in PLATE_SHAPES:
        raise ParameterError(f"There is no plate of {size} wells.", f"Plates have {', '.join(map(str, PLATE_SHAPES))}.")
    rows, columns = PLATE_SHAPES[size]
    found = []
    for name, well in zip(table["plate"], table["well"], strict=True):
        if (place := Well.parse(well)).row >= rows or place.column >= columns:
            found.append(
                MapProblem(name, well, "unknown_well", f"The well {well} lies outside a plate of {size}.", True)
            )
    return found


def check_against(plate_map: PlateMap, plate: Plate) -> tuple[MapProblem, ...]:
    """Compare a map with a plate; see :meth:`PlateMap.check`."""
    mapped = {
        well
        for name, well in zip(plate_map.table["plate"], plate_map.table["well"], strict=True)
        if name in ("", plate.name)
    }
    if not mapped:
        raise InputError(
            f"The plate map says nothing of the plate '{plate.name}'; it names "
            f"{', '.join(sorted(set(plate_map.table['plate']))[:5])}.",
            "Rename the plate in the map, or leave its column of plates out.",
        )
    found = []
    imaged = {str(well) for well in plate.wells}
    for well in sorted(mapped, key=Well.parse):
        place = Well.parse(well)
        if place.row >= plate.rows or place.column >= plate.columns:
            sentence = f"The map has {well}, which lies outside this plate of {plate.rows} rows and {plate.columns}."
            found.append(MapProblem(plate.name, well, "unknown_well", sentence, False))
        elif well not in imaged and plate_map.row(plate.name, well)["role"] != "blank":
            found.append(MapProblem(plate.name, well, "no_image", f"The map has {well}, but there is no image.", False))
    for well in sorted(imaged - mapped, key=Well.parse):
        found.append(
            MapProblem(plate.name, well, "not_in_map", f"{well} has images, but the map leaves it out.", False)
        )
    return tuple(found)
