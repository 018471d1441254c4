"""Open a plate, however it is stored: what the library, the command line and the viewer call.

:data:`READERS` holds every format that is known; a further one is a further entry.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.aliases import old_keywords
from vitascope.core.errors import ParameterError, ReaderError, VitascopeError
from vitascope.io.filenames.expand import is_zarr, unreadable
from vitascope.io.filenames.kinds import PROJECTION
from vitascope.io.filenames.parse import natural
from vitascope.io.filenames.planes import check_planes
from vitascope.io.images.vendor import is_vendor_file
from vitascope.io.plates.cellvoyager import INDEX_SUFFIXES as CELLVOYAGER_SUFFIXES
from vitascope.io.plates.cellvoyager import cellvoyager_plate, find_measurements
from vitascope.io.plates.image_folder import folder_plates, tells_wells
from vitascope.io.plates.metaxpress import find_descriptions, metaxpress_plate
from vitascope.io.plates.ome_zarr import is_plate_zarr, zarr_plate
from vitascope.io.plates.operetta import INDEX_NAMES, find_index, operetta_plate
from vitascope.io.plates.plate import Plate
from vitascope.io.plates.vendor_plate import vendor_plate
from vitascope.io.stores.mirror import fetch, local

MOST_NAMED = 20
"""Plates that an error lists."""


@dataclass(frozen=True)
class PlateReader:
    """One way in which plates are stored.

    Parameters
    ----------
    matches : callable
        ``matches(path, pattern)`` tells whether plates are stored so in a path; it opens no image, and raises OSError
        where a folder cannot be listed. A pattern for the names passes by the index that lies in a folder.
    read : callable
        ``read(path, pattern, size, planes)`` returns the plates of a path that matches.
    certain : bool
        Whether a path that matches is a plate, rather than one image or a folder of images.
    """

    matches: Callable[[Path, str | None], bool]
    read: Callable[[Path, str | None, int | None, str | None], tuple[Plate, ...]]
    certain: bool = True


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not is_zarr(path)


def _zarr_plates(path: Path) -> list[Path]:
    """List the OME-Zarr plates in a folder."""
    if not _is_folder(path):
        return []
    names = [name for name in os.listdir(path) if name.lower().endswith(".zarr")]  # noqa: PTH208, thousands of names
    return [path / name for name in sorted(names, key=natural) if is_plate_zarr(path / name)]


def _matches_zarr(path: Path, pattern: str | None) -> bool:
    return is_plate_zarr(path) or bool(_zarr_plates(path))


def _read_zarr(path: Path, pattern: str | None, size: int | None, planes: str | None) -> tuple[Plate, ...]:
    _refuse_projections(planes)
    return tuple(zarr_plate(one, size) for one in (_zarr_plates(path) or [path]))


def _matches_operetta(path: Path, pattern: str | None) -> bool:
    if path.name.lower() in INDEX_NAMES and path.is_file():
        return True
    return pattern is None and _is_folder(path) and find_index(path) is not None


def _read_operetta(path: Path, pattern: str | None, size: int | None, planes: str | None) -> tuple[Plate, ...]:
    index = find_index(path) if path.is_dir() else None
    return (operetta_plate(index or path, size, planes),)


def _matches_metaxpress(path: Path, pattern: str | None) -> bool:
    if path.suffix.lower() == ".htd" and path.is_file():
        return True
    return pattern is None and _is_folder(path) and bool(find_descriptions(path))


def _read_metaxpress(path: Path, pattern: str | None, size: int | None, planes: str | None) -> tuple[Plate, ...]:
    return tuple(metaxpress_plate(one, size, planes) for one in (find_descriptions(path) if path.is_dir() else [path]))


def _matches_cellvoyager(path: Path, pattern: str | None) -> bool:
    if path.suffix.lower() in CELLVOYAGER_SUFFIXES and path.is_file():
        return True
    return pattern is None and _is_folder(path) and bool(find_measurements(path))


def _read_cellvoyager(path: Path, pattern: str | None, size: int | None, planes: str | None) -> tuple[Plate, ...]:
    found = find_measurements(path) if path.is_dir() else [path]
    return tuple(cellvoyager_plate(one, size, planes) for one in found)


def _refuse_projections(planes: str | None) -> None:
    check_planes(planes)
    if planes == PROJECTION:
        raise ParameterError("There are no projections.", "Leave --planes out, or choose stack.")


def _matches_vendor(path: Path, pattern: str | None) -> bool:
    return is_vendor_file(path) and path.is_file()


def _read_vendor(path: Path, pattern: str | None, size: int | None, planes: str | None) -> tuple[Plate, ...]:
    _refuse_projections(planes)
    fetch([path])
    return (vendor_plate(path, size),)


def _matches_folder(path: Path, pattern: str | None) -> bool:
    return _is_folder(path)


OME_ZARR = PlateReader(_matches_zarr, _read_zarr)
OPERETTA = PlateReader(_matches_operetta, _read_operetta)
METAXPRESS = PlateReader(_matches_metaxpress, _read_metaxpress)
CELLVOYAGER = PlateReader(_matches_cellvoyager, _read_cellvoyager)
VENDOR_FILE = PlateReader(_matches_vendor, _read_vendor, certain=False)
IMAGE_FOLDER = PlateReader(_matches_folder, folder_plates, certain=False)

READERS = (OME_ZARR, OPERETTA, METAXPRESS, CELLVOYAGER, VENDOR_FILE, IMAGE_FOLDER)
"""All formats, in the order in which they are tried: what an instrument wrote down goes before the names of images."""


@old_keywords
def find_plates(
    path: str | os.PathLike[str], *, pattern: str | None = None, size: int | None = None, planes: str | None = None
) -> tuple[Plate, ...]:
    """List the plates that a path holds; no image is read.

    Parameters
    ----------
    path : path
        Folder of images, OME-Zarr plate or folder of such plates, ``Index.idx.xml`` of an Operetta or Opera Phenix,
        ``.HTD`` of MetaXpress or ``MeasurementData.mlf`` of a CellVoyager; CZI, ND2 or LIF whose images are called
        after wells. In a folder, index and description are found and read before the names.
    pattern : str, optional
        Pattern with named parts that overrides the layouts known by name.
    size : int, optional
        Number of wells of the plates, from 6 to 1536; otherwise the smallest common plate that holds all wells.
    planes : {"stack", "projection"}, optional
        What is taken where an instrument wrote both; by default the stack where it is complete, else the projection.

    Returns
    -------
    tuple of Plate
        In the order of their names; several where several plates lie in one folder.

    Raises
    ------
    ReaderError
        If there is no plate.
    ParameterError
        If the pattern or the size cannot be used, several words of the names may be the wells, or there are no planes
        as asked for.
    """
    check_planes(planes)
    path = local(path)
    try:
        reader = next((one for one in READERS if one.matches(path, pattern)), None)
    except OSError as error:
        raise unreadable(path, error) from error
    if reader is not None:
        return reader.read(path, pattern, size, planes)
    what = "is no plate" if path.exists() else "does not exist"
    raise ReaderError(f"'{path}' {what}.", "Give a folder of images, an OME-Zarr plate, Index.idx.xml or .HTD.")


def is_plate(path: str | os.PathLike[str], least_wells: int = 2) -> bool:
    """Tell whether a path is a plate rather than a folder of images; no file is opened but an index.

    Parameters
    ----------
    path : path
    least_wells : int
        That the names of a folder must tell.

    Returns
    -------
    bool
        True for an OME-Zarr plate, an index, a folder with one, and a folder in which at least half of the images tell
        their wells.
    """
    try:
        path = local(path)
        if any(reader.matches(path, None) for reader in READERS if reader.certain):
            return True
        if not IMAGE_FOLDER.matches(path, None):
            return False
        return tells_wells(path, least_wells)
    except (VitascopeError, OSError):
        return False


@old_keywords
def open_plate(
    path: str | os.PathLike[str],
    *,
    pattern: str | None = None,
    plate: str | None = None,
    size: int | None = None,
    planes: str | None = None,
) -> Plate:
    """Open one plate; parameters as in :func:`find_plates`.

    Parameters
    ----------
    plate : str, optional
        Its name, where the path holds several.

    Raises
    ------
    ReaderError
        If there is no plate, or there are several and none is named.
    """
    there = found = find_plates(path, pattern=pattern, size=size, planes=planes)
    if plate is not None:
        found = tuple(one for one in found if one.name == plate)
    if len(found) == 1:
        return found[0]
    names = [f"'{one.name}'" for one in there]
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if names[MOST_NAMED:] else "")
    what = f"holds no plate '{plate}'" if plate is not None else f"holds {len(found)} plates"
    raise ReaderError(f"'{path}' {what}; there are {listed}.", "Name one of them (--plate, plate=).")
