"""The index of a Yokogawa CellVoyager measurement: ``MeasurementData.mlf`` and ``MeasurementDetail.mrf``.

The first lists every image with its well, field, plane, channel and time, the second the plate, the pixel size and the
shading image of every channel; the settings (``.mes``) name the channels. As the CV7000 and CV8000 write them.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.core.errors import ParameterError, ReaderError, VitascopeError, describe
from vitascope.core.well import Well
from vitascope.io.filenames.expand import unreadable
from vitascope.io.filenames.kinds import DARK, SHADING, THUMBNAIL, left_out, marked
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import NameParts, natural, parse_name
from vitascope.io.images.ome_zarr import inside
from vitascope.io.plates.image_folder import Known, list_images, plate_of_members, say_left_out
from vitascope.io.plates.plate import Plate

IMAGES, DETAIL = "measurementdata.mlf", "measurementdetail.mrf"
INDEX_SUFFIXES = (".mlf", ".mrf")
_HINT = "Copy it again from its source, or rename it: then the names of the images are read instead."
_MAX_BYTES = 2**30
_PLACES = ("well", "field", "z", "channel")


@dataclass
class Measurement:
    """What the index says.

    Parameters
    ----------
    records : list of dict
        Attributes of every image, its file as ``file``.
    faults : list of dict
        Attributes of what the instrument could not image, its reason as ``file``.
    detail : dict
        Of the whole measurement.
    channels : dict of str to dict
        Attributes of every channel, by its number.
    """

    records: list[dict[str, str]] = field(default_factory=list)
    faults: list[dict[str, str]] = field(default_factory=list)
    detail: dict[str, str] = field(default_factory=dict)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)


def find_measurements(folder: Path) -> list[Path]:
    """List the measurements in a folder, else in those right below it, as the paths of their index."""
    with os.scandir(folder) as found:
        entries = list(found)
    names = {entry.name.lower(): entry.name for entry in entries if entry.name[-4:].lower() in INDEX_SUFFIXES}
    for name in (IMAGES, DETAIL):
        if name in names:
            return [folder / names[name]]
    below = sorted((entry.name for entry in entries if entry.is_dir(follow_symlinks=False)), key=natural)
    files = [[folder / one / name for name in ("MeasurementData.mlf", "MeasurementDetail.mrf")] for one in below]
    return [next(one for one in two if one.is_file()) for two in files if any(one.is_file() for one in two)]


def cellvoyager_plate(index: Path, size: int | None = None, planes: str | None = None) -> Plate:
    """Read a plate from its index and the images beside it.

    Parameters
    ----------
    index : Path
        ``MeasurementData.mlf`` or ``MeasurementDetail.mrf``; the other is found beside it.
    size : int, optional
        Number of wells; by default what the index says.
    planes : {"stack", "projection"}, optional
        What is taken where there are both.

    Returns
    -------
    Plate
        Images that are listed and not there, or there and not listed, or listed as another place than their names
        say, have a problem that says so. Shading and dark images are named in the warnings.

    Raises
    ------
    ReaderError
        If the index cannot be read, or there are no images.
    """
    folder = index.parent
    try:
        found = _read(folder)
        thumbnails: list[Path] = []
        there = list(list_images(folder, thumbnails=thumbnails))
    except ET.ParseError as error:
        raise ReaderError(f"The index of '{folder.name}' is broken: {describe(error)}.", _HINT) from error
    except OSError as error:
        raise unreadable(index, error) from error
    name = _plate_name(folder, found)
    listed, refused = _listed(folder, name, found.records)
    corrections, strangers, unlisted = _others(there, listed, found, folder)
    members = [*listed, *(member._replace(parts=member.parts._replace(plate=name)) for member in unlisted)]
    if not members:
        raise ReaderError(f"The index of '{folder.name}' lists no images.", _HINT)
    said = [left_out(kind, paths) for kind, paths in {**corrections, THUMBNAIL: thumbnails}.items() if paths]
    said += [say_left_out("the index does not list it", strangers)] if strangers else []
    said += [f"{refused} entries of the index are left out: they name no well, or no file in it."] * bool(refused)
    pixel_size_um, sentence = _pixel_size(found, {member.parts.channel for member in listed})
    return plate_of_members(
        name,
        folder,
        members,
        size,
        Known(
            layout="cellvoyager-index",
            shape=_shape(found.detail),
            channels=_channel_names(folder, found),
            absent=frozenset(member.path for member in listed) - frozenset(there),
            pixel_size_um=pixel_size_um,
            z_step_um=_z_step(found.records),
            warnings=(*said, *sentence),
            troubles={
                **_troubles(found, listed),
                **{member.path: "is not in the plate's index" for member in unlisted if found.records},
            },
        ),
        planes,
    )


def _read(folder: Path) -> Measurement:
    """Read both files, piece by piece; either may be absent."""
    found = Measurement()
    for name in os.listdir(folder):  # noqa: PTH208, thousands of names
        if name.lower() not in (IMAGES, DETAIL):
            continue
        for element in _elements(folder / name):
            tag, values = _local(element.tag), _attributes(element)
            if tag == "MeasurementRecord":
                kind = found.records if values.get("Type", "IMG").upper() == "IMG" else found.faults
                kind.append({**values, "file": (element.text or "").strip()})
            elif tag in ("MeasurementDetail", "MeasurementSamplePlate"):
                found.detail |= values
            elif tag == "MeasurementChannel":
                found.channels[values.get("Ch", "")] = values
    return found


def _elements(path: Path) -> Iterator[ET.Element]:
    if path.stat().st_size > _MAX_BYTES:
        raise ReaderError(f"'{path.name}' is too long for an index.", _HINT)
    for _, element in ET.iterparse(path, events=("end",)):
        yield element
        element.clear()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attributes(element: ET.Element) -> dict[str, str]:
    return {_local(name): value for name, value in element.attrib.items()}


def _plate_name(folder: Path, found: Measurement) -> str:
    return found.detail.get("Name") or found.detail.get("Title") or folder.absolute().name or "plate"


def _listed(folder: Path, name: str, records: Sequence[Mapping[str, str]]) -> tuple[list[Member], int]:
    """Turn the records into members; count those that cannot be used."""
    timed = len({record.get("TimePoint", "") for record in records}) > 1
    lines = len({record.get("TimelineIndex", "") for record in records}) > 1
    members = []
    for record in records:
        try:
            parts = _parts(name, record, timed)
            rest = f"L{record['TimelineIndex']}" if lines else ""
            members.append(
                Member(path=inside(folder, record["file"]), parts=parts._replace(rest=rest, complete=not lines))
            )
        except (VitascopeError, KeyError):
            continue
    return members, len(records) - len(members)


def _parts(name: str, record: Mapping[str, str], timed: bool) -> NameParts:
    try:
        well = str(Well(int(record["Row"]) - 1, int(record["Column"]) - 1))
        channel = f"C{int(record['Ch']):02}" if record.get("Ch") else ""
    except (KeyError, ValueError) as error:
        raise ParameterError("The entry names no well.") from error
    return NameParts(
        layout="cellvoyager-index",
        plate=name,
        well=well,
        field=record.get("FieldIndex", ""),
        time=record.get("TimePoint", "") if timed else "",
        channel=channel,
        z=record.get("ZIndex", ""),
        complete=True,
    )


def _others(
    there: Sequence[Path], listed: Sequence[Member], found: Measurement, folder: Path
) -> tuple[dict[str, list[Path]], list[Path], list[Member]]:
    """Tell apart what lies beside the listed images: corrections, files of no image, and images that are not listed."""
    known = {member.path for member in listed}
    shading = {one.get("ShadingCorrectionSource", "").casefold() for one in found.channels.values()} - {""}
    timed = any(member.parts.time for member in listed)
    corrections: dict[str, list[Path]] = {SHADING: [], DARK: []}
    strangers, unlisted = [], []
    others = [path for path in there if path not in known]
    parents = [path.parent for path in others]
    for member in marked([Member(path=path, parts=parse_name(path)) for path in others], parents, folder):
        if member.path.name.casefold() in shading:
            corrections[SHADING].append(member.path)
        elif member.kind in corrections:
            corrections[member.kind].append(member.path)
        elif member.parts.layout == "yokogawa":
            time = member.parts.time if timed or not listed else ""
            parts = member.parts._replace(layout="cellvoyager-index", rest="", time=time)
            unlisted.append(member._replace(parts=parts))
        else:
            strangers.append(member.path)
    if not known and len({member.parts.time for member in unlisted}) == 1:
        unlisted = [member._replace(parts=member.parts._replace(time="")) for member in unlisted]
    return corrections, strangers, unlisted


def _shape(detail: Mapping[str, str]) -> tuple[int, int] | None:
    rows, columns = detail.get("RowCount", ""), detail.get("ColumnCount", "")
    return (int(rows), int(columns)) if rows.isdigit() and columns.isdigit() else None


def _pixel_size(found: Measurement, used: set[str]) -> tuple[float | None, tuple[str, ...]]:
    """Return the pixel size that all channels share, in micrometres, and a sentence where they share none."""
    sizes = {
        _positive(values.get(side, ""))
        for number, values in found.channels.items()
        for side in ("HorizontalPixelDimension", "VerticalPixelDimension")
        if not used or (number.isdigit() and f"C{int(number):02}" in used)
    } - {None}
    if len(sizes) > 1:
        return None, (f"The index says pixel sizes of {min(filter(None, sizes))} to {max(filter(None, sizes))} µm.",)
    return (sizes.pop() if sizes else None), ()


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _z_step(records: Sequence[Mapping[str, str]]) -> float | None:
    """Return the distance between planes that most neighbours of the first stack have, in micrometres."""
    same = ("Row", "Column", "FieldIndex", "TimePoint", "TimelineIndex", "Ch")
    deepest = Counter(tuple(record.get(name) for name in same) for record in records).most_common(1)
    heights = []
    for record in records:
        if tuple(record.get(name) for name in same) == deepest[0][0]:
            try:
                heights.append(float(record.get("Z", "")))
            except ValueError:
                return None
    heights.sort()
    steps = [high - low for low, high in itertools.pairwise(heights)]
    usual = sorted(steps)[len(steps) // 2] if steps else 0.0
    return usual if usual > 0 and all(math.isclose(step, usual, rel_tol=0.05) for step in steps) else None


def _channel_names(folder: Path, found: Measurement) -> dict[str, str]:
    """Read the channels' names out of the settings; those that two channels share keep their numbers."""
    settings = folder / (Path(found.detail.get("MeasurementSettingFileName", "")).name or "none.mes")
    if not settings.is_file():
        return {}
    names = {}
    try:
        for element in _elements(settings):
            if _local(element.tag) == "Channel" and (one := _attributes(element)).get("Ch", "").isdigit():
                target = one.get("Target", "")
                dye = one.get("Fluorophore") or (target if not target.isdigit() else "")
                names[f"C{int(one['Ch']):02}"] = dye or one.get("Acquisition") or target
    except (ET.ParseError, OSError, ReaderError):
        return {}
    taken = list(names.values())
    return {channel: name for channel, name in names.items() if name and taken.count(name) == 1}


def _troubles(found: Measurement, listed: Sequence[Member]) -> dict[Path, str]:
    """Say of which files the index contradicts their names, itself, or what the instrument reports."""
    troubles = {}
    planes = int(found.detail.get("ZCount", "") or 0) if found.detail.get("ZCount", "").isdigit() else 0
    deepest: dict[tuple[str, str, str], set[str]] = {}
    for member in listed:
        parts, name = member.parts, parse_name(member.path.name)
        deepest.setdefault((parts.well, parts.field, parts.time), set()).add(parts.z)
        if name.layout == "yokogawa":
            differing = [p for p in _PLACES if natural(getattr(parts, p)) != natural(getattr(name, p))]
            if differing:
                said = f"{differing[0]} {getattr(parts, differing[0])}, its name {getattr(name, differing[0])}"
                troubles[member.path] = f"is another place in the plate's index: that says {said}"
    reported = {}
    for fault in found.faults:
        with contextlib.suppress(VitascopeError):
            parts = _parts("", fault, False)
            reported[parts.well, parts.field] = fault["file"]
    for member in listed:
        parts = member.parts
        depth = len(deepest[parts.well, parts.field, parts.time])
        if depth < planes:
            text = f"is of a stack of {depth} of the {planes} planes that the plate's index says"
            troubles.setdefault(member.path, text)
        elif (parts.well, parts.field) in reported:
            text = reported[parts.well, parts.field] or "no reason"
            troubles.setdefault(member.path, f"is of a field that the instrument could not image wholly ({text})")
    return troubles
