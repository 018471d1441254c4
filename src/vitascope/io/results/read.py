"""Result folders opened again as they were: pictures with scale, units and names, tables and provenance."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import tifffile

from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.result import ImageOutput, LabelsOutput
from vitascope.io.filenames.expand import unreadable
from vitascope.io.filenames.parse import natural
from vitascope.io.images.ome_zarr import OWN_NOTES, read_attributes
from vitascope.io.images.read import open_file
from vitascope.io.images.tiff_log import quiet_tifffile
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, OBJECTS, PROVENANCE, RESULTS
from vitascope.io.tables.csv_append import any_text, uncell

TEXT_COLUMNS = {*FIRST_COLUMNS, *LAST_COLUMNS, "objects"} - {"interval_level"}


@dataclass(frozen=True)
class SavedPicture:
    """One picture of a result folder.

    Parameters
    ----------
    image : str
        What the image is called in the tables.
    micrograph : Micrograph
        Pixels (lazy where large), pixel size, z step and channel names.
    output : ImageOutput or LabelsOutput
        The same pixels as the run gave them: kind, title, unit, limits, colour map; labels with their table.
    """

    image: str
    micrograph: Micrograph
    output: ImageOutput | LabelsOutput


@dataclass(frozen=True)
class SavedRun:
    """What a result folder holds.

    Parameters
    ----------
    folder : Path
    results : DataFrame
        ``results.csv``: numbers as numbers, names as text.
    objects : DataFrame
        ``objects.csv``; empty where there is none.
    pictures : tuple of SavedPicture
        Of the images in ``results``, by kind and name.
    provenance : mapping
        Empty where the run was not finished.
    """

    folder: Path
    results: pd.DataFrame
    objects: pd.DataFrame
    pictures: tuple[SavedPicture, ...]
    provenance: Mapping[str, Any]


def is_results_folder(folder: Path) -> bool:
    """Tell whether a folder was written by a run."""
    return (folder / RESULTS).is_file()


def read_results(folder: str | Path) -> SavedRun:
    """Open a result folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    SavedRun

    Raises
    ------
    ReaderError
        If there is no ``results.csv``, or a table or picture cannot be read.
    """
    folder = Path(folder)
    if not is_results_folder(folder):
        raise ReaderError(f"'{folder}' holds no {RESULTS}.", "Give the folder that a run wrote to (its -o).")
    results = _read_csv(folder / RESULTS)
    objects = _read_csv(folder / OBJECTS, TEXT_COLUMNS - {"time"}) if (folder / OBJECTS).is_file() else pd.DataFrame()
    images = set(results["image"])
    found = [picture for path in _picture_files(folder) if (picture := read_picture(path, objects, images))]
    return SavedRun(folder, results, objects, tuple(found), _read_provenance(folder))


def _picture_files(folder: Path) -> list[Path]:
    inside = [path for path in folder.glob("*/*.ome.*") if not path.name.startswith(".")]
    return sorted(inside, key=lambda path: natural(str(path)))


def _read_cells(path: Path) -> pd.DataFrame:
    def read() -> pd.DataFrame:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")

    try:
        return read()
    except UnicodeEncodeError:
        with any_text():
            return read()


def _read_csv(path: Path, text: Set[str] = TEXT_COLUMNS) -> pd.DataFrame:
    """Read a table of ours: ``image``, places, model and texts stay text, other columns are numbers where they can."""
    try:
        table = _read_cells(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    for column in table.columns:
        if column in text:
            table[column] = table[column].map(uncell)
            continue
        with contextlib.suppress(ValueError):
            table[column] = pd.to_numeric(table[column].replace("", None))
    return table


def _read_provenance(folder: Path) -> Mapping[str, Any]:
    path = folder / PROVENANCE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return found if isinstance(found, dict) else {}


def read_picture(path: Path, objects: pd.DataFrame, images: set[str]) -> SavedPicture | None:
    """Open one picture of a run, labels with their rows of the object table; None if it is not of these images.

    Raises
    ------
    ReaderError
        If it cannot be read.
    """
    notes = read_notes(path)
    image = notes.get("image", "")
    if image not in images:
        return None
    micrograph = open_file(path)
    if "limits" not in notes:
        table = objects[objects["image"] == image] if "image" in objects else objects
        if "objects" in table:
            table = table[table["objects"] == notes["title"]]
        table = table.drop(columns=["image"], errors="ignore").reset_index(drop=True)
        output: ImageOutput | LabelsOutput = LabelsOutput(
            kind=notes["kind"], title=notes["title"], array=micrograph.array, axes=micrograph.axes, table=table
        )
    else:
        ends = [float(number) for number in notes["limits"].split()]
        limits = tuple(zip(ends[::2], ends[1::2], strict=True))  # of all, then of each channel where they differ
        output = ImageOutput(
            kind=notes["kind"],
            title=notes["title"],
            array=micrograph.array,
            axes=micrograph.axes,
            channel_names=micrograph.channel_names,
            unit=notes.get("unit", ""),
            limits=limits[0],
            channel_limits=limits[1:],
            colormap=notes.get("colormap", "viridis"),
        )
    return SavedPicture(image, micrograph, output)


def read_notes(path: Path) -> Mapping[str, str]:
    """Read what our writer noted in a picture: kind, title, unit, limits, colour map; empty for others' files.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    """
    try:
        if path.is_dir():
            notes = read_attributes(path).get(OWN_NOTES) or {}
            return {str(key): str(value) for key, value in notes.items()}
        with quiet_tifffile(), tifffile.TiffFile(path) as tif:
            xml = tif.pages.first.description if tif.is_ome else ""
        if not xml or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
            return {}
        annotations = [
            element
            for element in ElementTree.fromstring(xml).iter()
            if element.tag.endswith("}MapAnnotation") and element.get("Namespace") == OWN_NOTES
        ]
        return {str(m.get("K")): m.text or "" for one in annotations for m in one.iter() if m.tag.endswith("}M")}
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
