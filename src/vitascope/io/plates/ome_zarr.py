"""An OME-Zarr plate (HCS layout of NGFF 0.4 and 0.5), read from its metadata alone.

References
----------
NGFF specification 0.4 and 0.5, "plate" and "well" metadata, https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitascope.core.errors import IncompleteError, ParameterError, ReaderError, VitascopeError, describe
from vitascope.core.well import PLATE_SHAPES, Well, WellPosition
from vitascope.io.filenames.expand import is_zarr
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.filenames.parse import natural, split_suffix
from vitascope.io.images.ome_zarr import NGFF_VERSIONS, OWN_NOTES, channel_names, inside, read_attributes
from vitascope.io.plates.image_folder import site_name
from vitascope.io.plates.plate import Plate, Site, plate_shape, site_order

_AGAIN = "Copy it again from its source, or export it again as OME-Zarr 0.4 or 0.5."


def is_plate_zarr(folder: Path) -> bool:
    """Tell whether a folder is an OME-Zarr plate; what cannot be read is none."""
    if not is_zarr(folder):
        return False
    try:
        return "plate" in read_attributes(folder)
    except (VitascopeError, OSError):
        return False


def zarr_plate(folder: Path, size: int | None = None) -> Plate:
    """Read the index of an OME-Zarr plate; no pixel is read.

    A well or image that is listed and not there, or whose metadata are broken, becomes a problem of its own. What lies
    there and is not listed is left out and said in the plate's warnings.

    Parameters
    ----------
    folder : Path
    size : int, optional
        Number of wells; by default what rows and columns of the metadata say.

    Returns
    -------
    Plate
        Its images are the fields; acquisitions are its times where there are several.

    Raises
    ------
    ReaderError
        If the plate's own metadata are broken, or of another version.
    ParameterError
        If a well lies outside a plate of ``size`` wells.
    """
    attributes = read_attributes(folder)
    plate = attributes.get("plate")
    wells = plate.get("wells") if isinstance(plate, dict) else None
    if not isinstance(plate, dict) or not isinstance(wells, list) or not wells:
        raise ReaderError(f"'{folder.name}' lists no wells.", _AGAIN)
    version = str(attributes.get("version", plate.get("version", "0.4")))
    if version not in NGFF_VERSIONS:
        known = " and ".join(NGFF_VERSIONS)
        raise ReaderError(f"'{folder.name}' is OME-Zarr version {version}; {known} are read.", _AGAIN)
    name = str(plate.get("name") or split_suffix(folder.name)[0])
    acquisitions = _acquisitions(plate)
    sites: list[Site] = []
    warnings: list[str] = []
    for entry in wells:
        path = str(entry.get("path", "")) if isinstance(entry, dict) else ""
        try:
            well = Well.parse("".join(path.strip("/").split("/")))
        except ParameterError:
            warnings.append(f"The entry '{path}' in the list of wells is no well: left out.")
            continue
        sites += _sites_of(folder, name, well, path, acquisitions)
    if not sites:
        raise ReaderError(f"No entry in the list of wells of '{folder.name}' is a well.", _AGAIN)
    sites.sort(key=site_order)
    extra = _unlisted(folder, {str(entry.get("path", "")).strip("/") for entry in wells if isinstance(entry, dict)})
    if extra:
        warnings.append(f"{len(extra)} wells lie in the folder but are not listed, and are left out: {extra[0]} …")
    sites = _with_channels(sites)
    rows, columns = _shape(plate, [site.well for site in sites], size)
    return Plate(
        name=name,
        path=folder,
        layout=f"ome-zarr {version}",
        rows=rows,
        columns=columns,
        sites=tuple(sites),
        warnings=tuple(warnings),
    )


def _acquisitions(plate: Mapping[str, Any]) -> dict[Any, str]:
    """Name the acquisitions, where there are several."""
    listed = plate.get("acquisitions")
    found = [one for one in listed if isinstance(one, dict) and "id" in one] if isinstance(listed, list) else []
    return {one["id"]: str(one["id"]) for one in found} if len(found) > 1 else {}


def _sites_of(folder: Path, name: str, well: Well, path: str, acquisitions: Mapping[Any, str]) -> list[Site]:
    """List the images of a well; where that fails, one image that says why."""
    try:
        home = _real(folder, path)
        if not home.is_dir():
            raise IncompleteError(f"The well {well} is listed, but '{path}' is missing.", _AGAIN)
        attributes = read_attributes(home)
        listed = attributes.get("well")
        images = listed.get("images") if isinstance(listed, dict) else None
        if not isinstance(images, list) or not all(isinstance(one, dict) and one.get("path") for one in images):
            raise ReaderError(f"The well {well} lists no images.", _AGAIN)
    except (VitascopeError, OSError) as error:
        place = WellPosition(name, str(well))
        problem = (
            error if isinstance(error, VitascopeError) else ReaderError(f"The well {well}: {describe(error)}.", _AGAIN)
        )
        return [_site(well, place, folder / "missing", problem)]
    return [
        _image(folder, f"{path}/{one['path']}", _place(name, well, one, acquisitions, attributes), well)
        for one in images
    ]


def _place(
    name: str, well: Well, entry: Mapping[str, Any], acquisitions: Mapping[Any, str], attributes: Mapping[str, Any]
) -> WellPosition:
    """Tell field and time: as we noted them when we wrote the plate, else by path and acquisition."""
    notes = attributes.get(OWN_NOTES)
    places = notes.get("places") if isinstance(notes, dict) else None
    noted = places.get(str(entry["path"])) if isinstance(places, dict) else None
    if isinstance(noted, dict):
        return WellPosition(name, str(well), str(noted.get("field", "")), str(noted.get("time", "")))
    return WellPosition(name, str(well), str(entry["path"]), acquisitions.get(entry.get("acquisition"), ""))


def _image(folder: Path, path: str, place: WellPosition, well: Well) -> Site:
    try:
        home = _real(folder, path)
    except VitascopeError as error:
        return _site(well, place, folder / "missing", error)
    if home.is_dir():
        return _site(well, place, home)
    return _site(well, place, home, IncompleteError(f"The image {path} is listed, but missing.", _AGAIN))


def _site(well: Well, place: WellPosition, home: Path, problem: VitascopeError | None = None) -> Site:
    site_id = site_name(place)
    return Site(id=site_id, well=well, group=ImageGroup(name=site_id, grid=((home,),), place=place), problem=problem)


def _real(folder: Path, path: str) -> Path:
    """Join a path of the metadata; neither it nor a link may lead out of the plate."""
    found = inside(folder, path)
    if os.path.realpath(found) == os.path.realpath(folder) or os.path.relpath(
        os.path.realpath(found), os.path.realpath(folder)
    ).startswith(".."):
        raise ReaderError(f"'{path}' leads out of '{folder.name}'.", "Do not trust this file.")
    return found


def _unlisted(folder: Path, listed: set[str]) -> list[str]:
    """Find folders that look like wells and are not in the list."""
    rows = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    found = []
    for row in rows:
        if not (row.isalpha() and len(row) <= 2):
            continue
        columns = [entry.name for entry in os.scandir(folder / row) if entry.is_dir(follow_symlinks=False)]
        found += [f"{row}/{column}" for column in columns if column.isdigit() and f"{row}/{column}" not in listed]
    return sorted(found, key=natural)


def _with_channels(sites: list[Site]) -> list[Site]:
    """Give all images the channels that the first one names; each says its own when it is opened."""
    for site in sites:
        if site.problem is None:
            try:
                names = channel_names(read_attributes(site.paths[0]))
            except (VitascopeError, OSError):
                continue
            return [_named(site, names) for site in sites]
    return sites


def _named(site: Site, names: tuple[str, ...]) -> Site:
    group = ImageGroup(name=site.id, grid=site.group.grid, channels=names, place=site.place)
    return Site(id=site.id, well=site.well, group=group, problem=site.problem)


def _shape(plate: Mapping[str, Any], wells: list[Well], size: int | None) -> tuple[int, int]:
    """Take the listed rows and columns where they are a common plate, else the smallest that holds the wells."""
    counts = tuple(len(plate[axis]) if isinstance(plate.get(axis), list) else 0 for axis in ("rows", "columns"))
    if size is None and counts in PLATE_SHAPES.values():
        declared = [Well(counts[0] - 1, counts[1] - 1)]
        return plate_shape([*wells, *declared])
    return plate_shape(wells, size)
