"""A plate as a folder of image files, read from their names alone."""

from __future__ import annotations

from pathlib import Path

from vitascope.core.errors import ReaderError
from vitascope.core.plate import Place, Well
from vitascope.io.grouping import ImageGroup, find_groups
from vitascope.io.plates import Plate, Site, plate_shape


def folder_plates(folder: Path, group: str | None = None, size: int | None = None) -> tuple[Plate, ...]:
    """List the plates in a folder of images."""
    plates: dict[str, list[Site]] = {}
    for found in find_groups([folder], group):
        if not found.place.well:
            continue
        name = found.place.plate or folder.name
        place = Place(name, found.place.well, found.place.field, found.place.time)
        site_id = "_".join(text for text in (name, place.well, place.field) if text)
        grouped = ImageGroup(site_id, found.grid, found.channels, found.planes, place)
        plates.setdefault(name, []).append(Site(site_id, Well.parse(place.well), grouped))
    if not plates:
        raise ReaderError(f"No file in '{folder}' tells its well.", "Name them with --group.")
    made = []
    for name, sites in sorted(plates.items()):
        rows, columns = plate_shape([site.well for site in sites], size)
        made.append(Plate(name, folder, "folder", rows, columns, tuple(sorted(sites, key=lambda s: s.well))))
    return tuple(made)
