"""Open a plate, however it is stored: what the library, the command line and the viewer call."""

from __future__ import annotations

import os
from pathlib import Path

from vitascope.core.aliases import old_keywords
from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.io.filenames.expand import is_zarr, unreadable
from vitascope.io.filenames.parse import natural
from vitascope.io.images.vendor import is_vendor_file
from vitascope.io.plates.image_folder import folder_plates, list_images
from vitascope.io.plates.metaxpress import find_descriptions, metaxpress_plate
from vitascope.io.plates.ome_zarr import is_plate_zarr, zarr_plate
from vitascope.io.plates.operetta import INDEX_NAMES, find_index, operetta_plate
from vitascope.io.plates.plate import Plate
from vitascope.io.plates.vendor_plate import vendor_plate

MOST_NAMED = 20
"""Plates that an error lists."""


@old_keywords
def find_plates(
    path: str | os.PathLike[str], *, pattern: str | None = None, size: int | None = None
) -> tuple[Plate, ...]:
    """List the plates that a path holds; no image is read.

    Parameters
    ----------
    path : path
        Folder of images, OME-Zarr plate or folder of such plates, ``Index.idx.xml`` of an Operetta or Opera Phenix, or
        ``.HTD`` of MetaXpress; CZI, ND2 or LIF whose images are called after wells. In a folder, index and
        description are found and read before the names.
    pattern : str, optional
        Pattern with named parts that overrides the layouts known by name.
    size : int, optional
        Number of wells of the plates, from 6 to 1536; otherwise the smallest common plate that holds all wells.

    Returns
    -------
    tuple of Plate
        In the order of their names; several where several plates lie in one folder.

    Raises
    ------
    ReaderError
        If there is no plate.
    ParameterError
        If the pattern or the size cannot be used.
    """
    path = Path(path)
    if is_plate_zarr(path):
        return (zarr_plate(path, size),)
    if path.is_dir() and not is_zarr(path):
        return _in_folder(path, pattern, size)
    if path.name.lower() in INDEX_NAMES and path.is_file():
        return (operetta_plate(path, size),)
    if path.suffix.lower() == ".htd" and path.is_file():
        return (metaxpress_plate(path, size),)
    if is_vendor_file(path) and path.is_file():
        return (vendor_plate(path, size),)
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
    path = Path(path)
    if not path.is_dir():
        return path.is_file() and (path.name.lower() in INDEX_NAMES or path.suffix.lower() == ".htd")
    if is_zarr(path):
        return is_plate_zarr(path)
    try:
        if any(is_plate_zarr(one) for one in path.glob("*.zarr")) or find_index(path) or find_descriptions(path):
            return True
        plates = folder_plates(path)
        images = sum(1 for _ in list_images(path))
    except (VitascopeError, OSError):
        return False
    wells = sum(len(plate.wells) for plate in plates)
    return wells >= least_wells and 2 * sum(len(site.paths) for plate in plates for site in plate) >= images


def _in_folder(folder: Path, pattern: str | None, size: int | None) -> tuple[Plate, ...]:
    """Read what an instrument's index says of a folder, else the names in it."""
    try:
        names = [name for name in os.listdir(folder) if name.lower().endswith(".zarr")]  # noqa: PTH208, thousands of names
        zarrs = [folder / name for name in names if is_plate_zarr(folder / name)]
        index, descriptions = find_index(folder), find_descriptions(folder)
    except OSError as error:
        raise unreadable(folder, error) from error
    if zarrs:
        return tuple(zarr_plate(one, size) for one in sorted(zarrs, key=lambda one: natural(one.name)))
    if pattern is None and index is not None:
        return (operetta_plate(index, size),)
    if pattern is None and descriptions:
        return tuple(metaxpress_plate(one, size) for one in descriptions)
    return folder_plates(folder, pattern, size)


@old_keywords
def open_plate(
    path: str | os.PathLike[str], *, pattern: str | None = None, plate: str | None = None, size: int | None = None
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
    found = find_plates(path, pattern=pattern, size=size)
    if plate is not None:
        found = tuple(one for one in found if one.name == plate)
    if len(found) == 1:
        return found[0]
    names = [f"'{one.name}'" for one in find_plates(path, pattern=pattern, size=size)]
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if names[MOST_NAMED:] else "")
    what = f"holds no plate '{plate}'" if plate is not None else f"holds {len(found)} plates"
    raise ReaderError(f"'{path}' {what}; there are {listed}.", "Name one of them (--plate, plate=).")
