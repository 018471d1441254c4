"""The description of a MetaXpress plate: an ``.HTD`` file beside the images of an ImageXpress."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.core.well import PLATE_SHAPES, Well, WellPosition
from vitascope.io.filenames.expand import unreadable
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.filenames.kinds import PROJECTION, THUMBNAIL, left_out, marked
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import natural, parse_name
from vitascope.io.plates.image_folder import Known, list_images, plate_of_members, site_name
from vitascope.io.plates.plate import Plate, Site

_MAX_BYTES = 2**24
_HINT = "Copy it again from its source, or rename it: then the names of the images are read instead."


@dataclass(frozen=True)
class Acquisition:
    """What was to be acquired.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plate.
    wells : tuple of Well
        Those selected; empty where the file does not tell.
    sites : tuple of str
        Fields selected, from ``1``; empty where the names of the files tell none.
    channels : mapping of str to str
        ``w1`` to the wavelength's name.
    waves : tuple of str
        Wavelengths that were to be imaged, such as ``w1``; empty where the file does not tell.
    planes, times : int
        Planes of a stack and points of time; 0 where the file does not tell.
    """

    shape: tuple[int, int]
    wells: tuple[Well, ...]
    sites: tuple[str, ...]
    channels: Mapping[str, str]
    waves: tuple[str, ...] = ()
    planes: int = 0
    times: int = 0


def find_descriptions(folder: Path) -> list[Path]:
    """List the ``.HTD`` files of a folder."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(".htd")]  # noqa: PTH208, thousands of names
    return [folder / name for name in sorted(names, key=natural)]


def metaxpress_plate(description: Path, size: int | None = None, planes: str | None = None) -> Plate:
    """Read a plate from its description and the images beside and below it.

    Parameters
    ----------
    description : Path
        The ``.HTD``; only images whose names begin with its stem belong to it.
    size : int, optional
        Number of wells; by default what the description says.
    planes : {"stack", "projection"}, optional
        What is taken where there are both.

    Returns
    -------
    Plate
        Wells and sites that were selected and have no image become images with a problem.

    Raises
    ------
    ReaderError
        If the description is broken, or there are no images to it.
    """
    acquisition = read_description(description)
    stem = description.stem
    members = []
    thumbnails: list[Path] = []
    try:
        for path in list_images(description.parent, thumbnails=thumbnails):
            if path.name.casefold().startswith(f"{stem}_".casefold()):
                parts = parse_name(stem_replaced(path, stem))
                if parts.well:
                    members.append(Member(path=path, parts=parts._replace(plate=stem)))
    except OSError as error:
        raise unreadable(description.parent, error) from error
    if not members:
        raise ReaderError(f"'{description.parent}' holds no images of the plate '{stem}'.", _HINT)
    folders = [member.path.parent for member in members]
    members = [one for one in marked(members, folders, description.parent) if one.kind in ("", PROJECTION)]
    said = (left_out(THUMBNAIL, thumbnails),) if thumbnails else ()
    known = Known(layout="metaxpress", shape=acquisition.shape, channels=acquisition.channels, warnings=said)
    plate = plate_of_members(stem, description.parent, members, size, known, planes)
    plate = replace(plate, sites=tuple(_compared(site, acquisition) for site in plate))
    lost = _lost(plate, acquisition)
    order = sorted(
        [*plate.sites, *lost], key=lambda site: (site.well, natural(site.place.field), natural(site.place.time))
    )
    times = len({site.place.time for site in plate})
    if 1 < times < acquisition.times:
        sentence = f"The .HTD lists {acquisition.times} points of time, and there are {times}."
        plate = replace(plate, warnings=(*plate.warnings, sentence))
    return replace(plate, sites=tuple(order))


def stem_replaced(path: Path, stem: str) -> Path:
    """Give the plate in a file's name a plain spelling, so that a well or a field within it is not taken for one.

    Examples
    --------
    >>> stem_replaced(Path("A01_s1_B02_w1.tif"), "A01_s1").name
    'plate_B02_w1.tif'
    """
    return path.with_name("plate" + path.name[len(stem) :])


def read_description(path: Path) -> Acquisition:
    """Read an ``.HTD`` file: lines of a quoted key and its values.

    Raises
    ------
    ReaderError
        If it cannot be read, or tells no plate.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ReaderError(f"'{path.name}' is too long for a description of a plate.", _HINT)
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise unreadable(path, error) from error
    lines = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        values = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in lines if row}
    except csv.Error as error:
        raise ReaderError(f"'{path.name}' is broken, or no description of a plate.", _HINT) from error
    shape = (_number(values, "YWells"), _number(values, "XWells"))
    if "HTSInfoFile" not in values or shape not in PLATE_SHAPES.values():
        raise ReaderError(f"'{path.name}' describes no plate of 6 to 1536 wells.", _HINT)
    wells = tuple(
        Well(row, column)
        for row in range(shape[0])
        for column, chosen in enumerate(values.get(f"WellsSelection{row + 1}", ())[: shape[1]])
        if chosen.upper() == "TRUE"
    )
    steps = _number(values, "ZSteps") if (values.get("ZSeries") or [""])[0].upper() == "TRUE" else 0
    return Acquisition(
        shape=shape,
        wells=wells,
        sites=_sites(values),
        channels=_channels(values),
        waves=_waves(values),
        planes=steps,
        times=_number(values, "TimePoints"),
    )


def _number(values: Mapping[str, Sequence[str]], key: str) -> int:
    found = values.get(key) or [""]
    return int(found[0]) if found[0].isdigit() else 0


def _sites(values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    if (values.get("Sites") or ["FALSE"])[0].upper() != "TRUE":
        return ()
    columns = _number(values, "XSites")
    return tuple(
        str(row * columns + column + 1)
        for row in range(_number(values, "YSites"))
        for column, chosen in enumerate(values.get(f"SiteSelection{row + 1}", ())[:columns])
        if chosen.upper() == "TRUE"
    )


def _channels(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    names = {}
    for key, found in values.items():
        match = re.fullmatch(r"WaveName(\d+)", key)
        if match and found and found[0]:
            names[f"w{match[1]}"] = found[0]
    taken = list(names.values())
    return {key: name for key, name in names.items() if taken.count(name) == 1}


def _waves(values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """List the wavelengths that were to be imaged at every point of time and site."""
    if (values.get("Waves") or ["FALSE"])[0].upper() != "TRUE":
        return ()
    wanted = range(1, _number(values, "NWavelengths") + 1)
    return tuple(f"w{n}" for n in wanted if (values.get(f"WaveCollect{n}") or ["1"])[0] == "1")


def _compared(site: Site, acquisition: Acquisition) -> Site:
    """Mark an image that lacks channels or planes which the description lists."""
    names = {acquisition.channels.get(wave, wave) for wave in acquisition.waves}
    absent = sorted(names - set(site.group.channels)) if len(names) > 1 else []
    said = f"channels {', '.join(absent)}" if absent else ""
    if not said and site.group.planes and len(site.group.planes) < acquisition.planes:
        said = f"{acquisition.planes} planes, and there are {len(site.group.planes)}"
    if not said or site.problem is not None:
        return site
    problem = IncompleteError(
        f"The plate's .HTD lists {said} of {site.id}.", "Copy the missing files from their source."
    )
    return replace(site, problem=problem)


def _lost(plate: Plate, acquisition: Acquisition) -> list[Site]:
    """List the wells and fields that were selected and have no image."""
    known = {(site.well, site.place.field.lstrip("0")) for site in plate}
    fields = acquisition.sites if any(field for _, field in known) else ("",)
    return [
        _missing(plate, well, field)
        for well in acquisition.wells
        for field in fields or ("",)
        if (well, field) not in known and (fields or not plate.in_well(well))
    ]


def _missing(plate: Plate, well: Well, field: str) -> Site:
    place = WellPosition(plate.name, str(well), field)
    where = f"field {field} of {well}" if field else str(well)
    problem = IncompleteError(f"The plate's .HTD lists {where}, but there is no image.", "Was the acquisition stopped?")
    site_id = site_name(place)
    return Site(
        id=site_id,
        well=well,
        group=ImageGroup(name=site_id, grid=((plate.path / "missing",),), place=place),
        problem=problem,
    )
