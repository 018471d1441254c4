"""Profiles of a plate run for pycytominer: one row for each object, or each image where a task has no objects.

Columns follow CellProfiler and cytominer: ``Metadata_Plate``, ``Metadata_Well`` and ``Metadata_Site`` say where,
``Nuclei_…`` or ``Cells_…`` are measured on objects, ``Image_…`` on images (Serrano et al. 2025, Nature Methods 22,
677; https://pycytominer.readthedocs.io).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.batch.plate.journal import Journal
from vitascope.batch.plate.tables import number_columns, results_frame, write_parquet
from vitascope.core.errors import ParameterError
from vitascope.io.results.folder import FIRST_COLUMNS, OBJECTS
from vitascope.io.tables.plate_map import PlateMap
from vitascope.tasks.registry import find_task

METADATA = "Metadata_"

_NAMES = {"plate": "Plate", "well": "Well", "field": "Site", "time": "Time", "label": "ObjectNumber"}
_PLACES = ("image", "label", "time")


def check_profiles_name(path: Path) -> None:
    """Refuse a name that is no Parquet file's.

    Raises
    ------
    ParameterError
    """
    if path.suffix.lower() != ".parquet":
        raise ParameterError(f"'{path.name}' is no name for profiles.", "End it in .parquet.")


def export_profiles(folder: Path, path: Path, plate_map: PlateMap | None = None) -> Path:
    """Write what a plate run has measured as profiles, whole or not at all.

    Parameters
    ----------
    folder : Path
        Of the results.
    path : Path
        Ends in ``.parquet``.
    plate_map : PlateMap, optional
        Its columns become metadata.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        If the name has another ending.
    OutputError
        If it cannot be written.
    """
    check_profiles_name(path)
    with Journal(folder, read_only=True) as journal:
        results = results_frame(journal, plate_map)
        images = image_profiles(results)
        if OBJECTS in journal.table_names():
            compartment = _compartment(journal.get("asked")["task"])
            write_parquet(path, object_profiles(journal.pieces(OBJECTS), images, compartment))
        else:
            write_parquet(path, [images])
    return path


def _compartment(task: str) -> str:
    """Return what the objects of a task are; those of a task that is not known here are called cells."""
    try:
        return find_task(task).compartment
    except ParameterError:
        return "Cells"


def image_profiles(results: pd.DataFrame) -> pd.DataFrame:
    """Name the columns of ``results.csv`` as pycytominer does; images that could not be judged keep their row.

    Parameters
    ----------
    results : DataFrame
        See :func:`vitascope.batch.plate.tables.results_frame`.

    Returns
    -------
    DataFrame
        Metadata as text, but a dose as number; then the numbers, with ``Image_`` before their names.
    """
    numbers = number_columns(results)
    profiles = pd.DataFrame(index=results.index)
    for name in results.columns:
        if name in FIRST_COLUMNS or (name not in numbers and name != "message"):
            profiles[METADATA + _NAMES.get(str(name), str(name))] = _metadata(results[name])
    for name in numbers:
        profiles[f"Image_{name}"] = results[name].astype(float)
    return profiles


def object_profiles(pieces: Iterator[pd.DataFrame], images: pd.DataFrame, compartment: str) -> Iterator[pd.DataFrame]:
    """Give the objects of each image with what is known of it.

    Parameters
    ----------
    pieces : iterator of DataFrame
        Objects, with columns ``image`` and ``label`` and, in a series, ``time``.
    images : DataFrame
        See :func:`image_profiles`.
    compartment : {"Nuclei", "Cells"}

    Yields
    ------
    DataFrame
    """
    of_image = {str(name): rows for name, rows in images.groupby(f"{METADATA}image", sort=False)}
    for piece in pieces:
        if "objects" in piece:  # cells and their parts have rows of their own
            piece = piece[piece["objects"].isna() | (piece["objects"] == compartment.lower())].drop(columns="objects")
        for name, objects in piece.groupby("image", sort=False):
            yield _of_one_image(objects, of_image[str(name)], compartment)


def _of_one_image(objects: pd.DataFrame, rows: pd.DataFrame, compartment: str) -> pd.DataFrame:
    objects = objects.reset_index(drop=True)
    if len(rows) > 1 and "time" in objects:
        by_time = {_time(row[f"{METADATA}Time"]): i for i, row in enumerate(rows.to_dict("records"))}
        about = rows.iloc[[by_time.get(_time(time), 0) for time in objects["time"]]]
    else:
        about = rows.iloc[[0] * len(objects)]
    measured: dict[str, Any] = {f"{METADATA}{_NAMES['label']}": objects["label"].astype(int)}
    for name in objects.columns:
        if name in _PLACES:
            continue
        numeric = pd.api.types.is_numeric_dtype(objects[name]) and not pd.api.types.is_bool_dtype(objects[name])
        column = f"{compartment}_{name}" if numeric else f"{METADATA}{compartment}_{name}"
        measured[column] = objects[name].astype(float) if numeric else _metadata(objects[name])
    return pd.concat([about.reset_index(drop=True), pd.DataFrame(measured)], axis=1)


def _time(value: Any) -> str:
    text = str(value)
    return str(float(text)) if text.replace(".", "", 1).isdigit() else text


def _metadata(values: pd.Series[Any]) -> pd.Series[Any]:
    """Keep numbers of the map, such as doses; all else is text, empty where there is none."""
    if pd.api.types.is_float_dtype(values):
        return values.astype(float)
    return values.map(_text)


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ";".join(map(str, value))
    return "" if value is None or value is pd.NA or value != value else str(value)
