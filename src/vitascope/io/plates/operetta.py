"""The index of an Operetta or Opera Phenix measurement: ``Index.idx.xml`` beside its images (Harmony 4 to 7)."""

from __future__ import annotations

import itertools
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from vitascope.core.errors import ParameterError, ReaderError, VitascopeError, describe
from vitascope.core.well import Well
from vitascope.io.filenames.expand import is_image_name, unreadable
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import NameParts, parse_name
from vitascope.io.images.ome_zarr import inside
from vitascope.io.images.units import to_um
from vitascope.io.plates.image_folder import Known, plate_of_members, say_left_out
from vitascope.io.plates.plate import Plate

INDEX_NAMES = ("index.idx.xml", "index.ref.xml", "index.xml")
_HINT = "Copy it again from its source, or rename it: then the names of the images are read instead."
_MAX_BYTES = 2**30

Record = dict[str, str]


def find_index(folder: Path) -> Path | None:
    """Find the index in a measurement's folder or in its folder of images; None where there is none."""
    for home in (folder, *(one for name in ("Images", "images") if (one := folder / name).is_dir())):
        by_name = {name.lower(): name for name in os.listdir(home) if name[:5].lower() == "index"}  # noqa: PTH208
        for name in INDEX_NAMES:
            if name in by_name:
                return home / by_name[name]
    return None


def operetta_plate(index: Path, size: int | None = None, planes: str | None = None) -> Plate:
    """Read a plate from its index; images that are listed and not there become problems of their own.

    Parameters
    ----------
    index : Path
    size : int, optional
        Number of wells; by default what the index says.
    planes : {"stack", "projection"}, optional
        What is taken where there are both.

    Returns
    -------
    Plate
        With the names of the channels, the pixel size and the z step of the index.

    Raises
    ------
    ReaderError
        If the index cannot be read, or lists no images.
    """
    try:
        if index.stat().st_size > _MAX_BYTES:
            raise ReaderError(f"'{index.name}' is too long for an index.", _HINT)
        root, images = _read(index)
        there = {entry.name for entry in index.parent.iterdir()}
    except ET.ParseError as error:
        raise ReaderError(
            f"The index '{index.parent.name}/{index.name}' is broken: {describe(error)}.", _HINT
        ) from error
    except OSError as error:
        raise unreadable(index, error) from error
    if not images:
        raise ReaderError(f"The index '{index.name}' lists no images.", _HINT)
    name = root.get("PlateName") or root.get("PlateID") or index.parent.parent.name or "plate"
    times = {image.get("TimepointID", "") for image in images}
    members = []
    refused = 0
    for image in images:
        try:
            members.append(_member(index.parent, name, image, len(times) > 1))
        except VitascopeError:
            refused += 1
    if not members:
        raise ReaderError(f"No image that '{index.name}' lists can be used.", _HINT)
    unlisted, said = _unlisted(index.parent, name, members, there)
    known = Known(
        layout="operetta-index",
        shape=_shape(root),
        channels=_channel_names(images),
        absent=frozenset(member.path for member in members if not _is_there(member.path, index.parent, there)),
        pixel_size_um=next(filter(None, (_metres(image, "ImageResolutionX") for image in images)), None),
        z_step_um=_z_step(images),
        warnings=(
            *(f"{refused} entries of the index are left out: they name no well, or no file in it.",) * bool(refused),
            *said,
        ),
        troubles={member.path: "is not in the plate's index" for member in unlisted},
    )
    return plate_of_members(name, index.parent, [*members, *unlisted], size, known, planes)


def _unlisted(folder: Path, plate: str, listed: list[Member], names: set[str]) -> tuple[list[Member], tuple[str, ...]]:
    """Find images beside the index that it does not list; those of no known name are said."""
    known = {member.path.name for member in listed}
    timed = any(member.parts.time for member in listed)
    found, strangers = [], []
    for name in sorted(name for name in names - known if is_image_name(name)):
        parts = parse_name(name)
        if parts.layout != "operetta":
            strangers.append(folder / name)
            continue
        time = str(int(parts.time) - 1) if timed else ""  # the index counts times from 0, the names from 1
        found.append(
            Member(path=folder / name, parts=parts._replace(layout="operetta-index", plate=plate, time=time, rest=""))
        )
    return found, (say_left_out("the index does not list it", strangers),) if strangers else ()


def _read(index: Path) -> tuple[Record, list[Record]]:
    """Read what the index says of the plate, and one record for each image, piece by piece."""
    plate: Record = {}
    images: list[Record] = []
    by_channel: dict[str, Record] = {}
    for _, element in ET.iterparse(index, events=("end",)):
        tag = _name(element.tag)
        if tag == "Image" and element.find("{*}URL") is not None:
            images.append(_record(element))
            element.clear()
        elif tag == "Plate" and not plate:
            found = _record(element)
            plate = {"PlateName": found.get("Name", ""), **found}
        elif tag == "Entry" and "ChannelID" in element.attrib:  # since Harmony 6, once for each channel
            by_channel.setdefault(element.attrib["ChannelID"], {}).update(_record(element))
    return plate, [{**by_channel.get(image.get("ChannelID", ""), {}), **image} for image in images]


def _record(element: ET.Element) -> Record:
    record = {}
    for child in element:
        name = _name(child.tag)
        record[name] = (child.text or "").strip()
        if "Unit" in child.attrib:
            record[f"{name} unit"] = child.attrib["Unit"]
    return record


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]


def _member(folder: Path, plate: str, image: Mapping[str, str], timed: bool) -> Member:
    try:
        well = Well(int(image["Row"]) - 1, int(image["Col"]) - 1)
    except (KeyError, ValueError) as error:
        raise ParameterError("The entry names no well.") from error
    parts = NameParts(
        layout="operetta-index",
        plate=plate,
        well=str(well),
        field=image.get("FieldID", ""),
        time=image.get("TimepointID", "") if timed else "",
        channel=f"ch{image.get('ChannelID', '')}",
        z=image.get("PlaneID", ""),
        complete=True,
    )
    return Member(path=inside(folder, image["URL"]), parts=parts)


def _is_there(path: Path, folder: Path, names: set[str]) -> bool:
    return path.name in names if path.parent == folder else path.is_file()


def _shape(plate: Mapping[str, str]) -> tuple[int, int] | None:
    rows, columns = plate.get("PlateRows", ""), plate.get("PlateColumns", "")
    return (int(rows), int(columns)) if rows.isdigit() and columns.isdigit() else None


def _channel_names(images: list[Record]) -> dict[str, str]:
    """Read the channels' names; those that two channels share keep their numbers."""
    names = {f"ch{image.get('ChannelID', '')}": image.get("ChannelName", "") for image in images}
    taken = list(names.values())
    return {channel: name for channel, name in names.items() if name and taken.count(name) == 1}


def _metres(image: Mapping[str, str], name: str) -> float | None:
    try:
        return to_um(float(image.get(name, "")), image.get(f"{name} unit", "m"))
    except ValueError:
        return None


def _z_step(images: list[Record]) -> float | None:
    """Take the distance between the planes of the first stack, where it is the same between all of them."""
    same = ("Row", "Col", "FieldID", "TimepointID", "ChannelID")
    first = [image for image in images if all(image.get(name) == images[0].get(name) for name in same)]
    heights = sorted(_heights(first))
    steps = [high - low for low, high in itertools.pairwise(heights)]
    if not steps or not all(math.isclose(step, steps[0], rel_tol=0.05) for step in steps):
        return None
    return to_um(sum(steps) / len(steps), "m")


def _heights(images: list[Record]) -> Iterator[float]:
    for image in images:
        try:
            yield float(image.get("PositionZ", ""))
        except ValueError:
            return
