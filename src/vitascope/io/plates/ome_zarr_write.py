"""Write a plate as OME-Zarr in the HCS layout of NGFF 0.4 or 0.5.

References
----------
NGFF specification 0.4 and 0.5, "plate" and "well" metadata, https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitascope.core.errors import InputError, OutputError, ParameterError, VitascopeError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.well import Well
from vitascope.io.atomic import atomic_folder
from vitascope.io.images.ome_zarr import NGFF_VERSIONS
from vitascope.io.images.write import PictureFile, fill_ome_zarr, ngff_group
from vitascope.io.plates.plate import Plate, Site

Version = Literal["0.4", "0.5"]


@dataclass(frozen=True)
class Export:
    """How a plate was written.

    Parameters
    ----------
    path : Path
    written : int
        Images.
    failed : tuple of (str, str)
        Id of each image that could not be read, and why; they are not in the new plate.
    """

    path: Path
    written: int
    failed: tuple[tuple[str, str], ...]


def export_plate(plate: Plate, path: Path, version: Version = "0.5") -> ProgressGenerator[Export]:
    """Write all images of a plate, pixel for pixel, with pyramids and checksums; empty chunks are written too.

    Parameters
    ----------
    plate : Plate
    path : Path
        Ends in ``.zarr``; must not exist.
    version : {"0.4", "0.5"}
        Of NGFF; 0.5 is zarr version 3, 0.4 is zarr version 2.

    Yields
    ------
    Progress
        Images.

    Returns
    -------
    Export

    Raises
    ------
    OutputError
        If it cannot be written; nothing is left then, nor when the generator is closed early.
    InputError
        If no image can be read.
    ParameterError
        If the version is not known, or the path does not end in ``.zarr``.
    """
    if version not in NGFF_VERSIONS or path.suffix.lower() != ".zarr":
        raise ParameterError(f"'{path.name}' in version {version} cannot be written.", "Call it ….zarr, in 0.4 or 0.5.")
    if path.exists():
        raise OutputError(f"'{path}' exists already.", "Choose another name.")
    failed: list[tuple[str, str]] = []
    written: dict[Well, list[tuple[Site, str]]] = {}
    with atomic_folder(path) as folder:
        for number, site in enumerate(plate):
            yield Progress(number, len(plate), "Writing the plate")
            try:
                picture = _picture(site)
            except VitascopeError as error:
                failed.append((site.id, str(error)))
                continue
            in_well = written.setdefault(site.well, [])
            name = _field_path(site, [other for _, other in in_well])
            fill_ome_zarr(folder / well_path(site.well) / name, picture, version, labels=False)
            in_well.append((site, name))
        if not written:
            raise InputError(f"No image of '{plate.name}' can be read.", failed[0][1] if failed else "")
        _describe(folder, plate, written, version)
    return Export(path, sum(len(sites) for sites in written.values()), tuple(failed))


def _picture(site: Site) -> PictureFile:
    image = site.open()
    return PictureFile(
        array=image.array,
        axes=image.axes,
        dtype=str(image.array.dtype.newbyteorder("=")),
        name=image.name,
        channel_names=image.channel_names,
        pixel_size_um=image.pixel_size_um,
        z_step_um=image.z_step_um,
    )


def well_path(well: Well) -> str:
    """Return where a well lies in a plate."""
    row = str(well)[:-2]
    return f"{row}/{well.column + 1}"


def _field_path(site: Site, taken: Sequence[str]) -> str:
    """Name the folder of an image: its field, with its time; letters and digits only, as the specification wants."""
    time = f"t{site.place.time}" if site.place.time else ""
    name = re.sub(r"[^A-Za-z0-9]", "", f"{site.place.field}{time}") or "0"
    number = 0
    unique = name
    while unique.casefold() in (one.casefold() for one in taken):
        number += 1
        unique = f"{name}x{number}"
    return unique


def _describe(folder: Path, plate: Plate, written: dict[Well, list[tuple[Site, str]]], version: Version) -> None:
    """Write the metadata of the plate, its rows and its wells."""
    import zarr

    zarr_format: Literal[2, 3] = 2 if version == "0.4" else 3
    for path, attributes in plate_groups(plate, written, version):
        zarr.open_group(str(folder / path), mode="a", zarr_format=zarr_format).update_attributes(attributes)


def plate_groups(
    plate: Plate, written: Mapping[Well, Sequence[tuple[Site, str]]], version: Version
) -> list[tuple[str, dict[str, Any]]]:
    """Return the metadata of a plate, its rows and its wells, by path inside the plate.

    Parameters
    ----------
    plate : Plate
    written : mapping of Well to sequence of (Site, str)
        The images that are there, each with the name of its folder.
    version : {"0.4", "0.5"}
    """
    times = {time: number for number, time in enumerate(plate.times)}
    rows = [str(Well(row, 0))[:-2] for row in range(plate.rows)]
    about: dict[str, Any] = {
        "name": plate.name,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": str(column + 1)} for column in range(plate.columns)],
        "wells": [
            {"path": well_path(well), "rowIndex": well.row, "columnIndex": well.column} for well in sorted(written)
        ],
        "field_count": max(len(sites) for sites in written.values()),
    }
    if len(times) > 1:
        about["acquisitions"] = [{"id": number, "name": time or "0"} for time, number in times.items()]
    if version == "0.4":
        about["version"] = version
    return [
        ("", ngff_group({"plate": about}, version, {})),
        *((row, {}) for row in sorted({str(well)[:-2] for well in written})),
        *((well_path(well), _well_attributes(sites, times, version)) for well, sites in written.items()),
    ]


def _well_attributes(sites: Sequence[tuple[Site, str]], times: dict[str, int], version: Version) -> dict[str, Any]:
    images = [
        {"path": name, "acquisition": times[site.place.time]} if len(times) > 1 else {"path": name}
        for site, name in sites
    ]
    about: dict[str, Any] = {"images": images, "version": version}
    places = {name: {"field": site.place.field, "time": site.place.time} for site, name in sites}
    return ngff_group({"well": about}, version, {"places": places})
