"""A plate as a folder of image files, read from their names alone."""

from __future__ import annotations

import gc
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vitascope.core.errors import IncompleteError, InputError, ParameterError, ReaderError
from vitascope.core.well import PLATE_SHAPES, Well, WellPosition
from vitascope.io.atomic import file_name
from vitascope.io.filenames.expand import is_image_name, is_thumbnail_name, is_zarr, unreadable
from vitascope.io.filenames.grouping import ImageGroup, bundle, lay_out
from vitascope.io.filenames.kinds import DARK, PROJECTION, SHADING, THUMBNAIL, is_calibration, left_out, marked
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import NameParts, natural, parse_among, parse_name
from vitascope.io.filenames.planes import select_planes
from vitascope.io.filenames.user_patterns import compile_pattern, folder_levels
from vitascope.io.filenames.wells import folder_wells, home_levels, settle_wells, suggest_patterns
from vitascope.io.plates.plate import Plate, Site, plate_shape, site_order

MOST_LEVELS = 4
"""Folders below the plate's: Images, TimePoint_1, ZStep_1 and one for the plate."""

_IMAGES = re.compile(r"images?|bitmaps?|tiffs?", re.IGNORECASE)
_PATTERN_HINT = "Name the parts with --pattern, such as '{well}_s{field}_w{channel}'."
_SHOWN = 5
_SMALL_SHARE = 3
"""Files are few where they are at most a third of the others."""


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage while thousands of small objects are made, all of them kept: that took 40 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_no_collection()
def folder_plates(
    folder: Path, pattern: str | None = None, size: int | None = None, planes: str | None = None
) -> tuple[Plate, ...]:
    """List the plates in a folder of images and the folders below it; no file is opened.

    Parameters
    ----------
    folder : Path
    pattern : str, optional
        Pattern that overrides the layouts known by name.
    size : int, optional
        Number of wells of the plates.
    planes : {"stack", "projection"}, optional
        What is taken where there are both; by default the stack where it is complete.

    Returns
    -------
    tuple of Plate
        Told apart by the plate in the names, otherwise by folder; in the order of their names.

    Raises
    ------
    ReaderError
        If the folder cannot be listed, or no file in it tells its well.
    ParameterError
        If several words of the names may be the wells, or there are no planes as asked for.
    """
    try:
        members, warnings = _members(folder, pattern)
    except OSError as error:
        raise unreadable(folder, error) from error
    by_plate: dict[tuple[Path, object], list[Member]] = {}
    for member in members:
        by_plate.setdefault((member.home, natural(member.parts.plate)), []).append(member)
    if not by_plate:
        raise _no_wells(folder, pattern)
    names = _plate_names(folder, [(home, parts[0].parts.plate) for (home, _), parts in by_plate.items()])
    plates = [
        plate_of_members(name, folder, plate, size, Known(warnings=warnings), planes)
        for name, plate in zip(names, by_plate.values(), strict=True)
    ]
    return tuple(sorted(plates, key=lambda plate: natural(plate.name)))


@dataclass(frozen=True)
class Known:
    """What an instrument's index says beside the files.

    Parameters
    ----------
    layout : str
        Empty for that of most files.
    shape : tuple of int or None
        Rows and columns of the plate.
    channels : mapping of str to str
        What the channels of the names are called.
    absent : set of Path
        Files that are listed, but not there.
    pixel_size_um, z_step_um : float or None, micrometre
    warnings : tuple of str
    troubles : mapping of Path to str
        Files in which the index and what is there disagree, and in what.
    """

    layout: str = ""
    shape: tuple[int, int] | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[Path] = frozenset()
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    warnings: tuple[str, ...] = ()
    troubles: Mapping[Path, str] = field(default_factory=dict)


def plate_of_members(
    name: str,
    path: Path,
    members: Sequence[Member],
    size: int | None = None,
    known: Known | None = None,
    planes: str | None = None,
) -> Plate:
    """Make a plate of files whose places are known.

    Files that claim to be the same plane, gaps in a stack and channels that the other images have become problems of
    their image and never stop the plate.

    Parameters
    ----------
    name : str
    path : Path
    members : sequence of Member
        At least one; each tells its well.
    size : int, optional
        Number of wells.
    known : Known, optional
        What an index says.
    planes : {"stack", "projection"}, optional
        What is taken where there are both.

    Raises
    ------
    ParameterError
        If a well lies outside a plate of this size, or there are no planes as asked for.
    """
    members, left_over, lacking = select_planes(members, planes)
    layouts = Counter(member.parts.layout for member in members)
    known = known or Known()
    noticed = [*known.warnings, *left_over]
    if len(layouts) > 1:
        noticed.append(f"Files are named in {len(layouts)} ways: {_counted(layouts)}.")
    found = [(_site(name, one), one[0].parts.rest) for one in bundle(members)]
    noticed += _shared_places(found)
    sites = [_completed(site, known) for site in _with_all_channels(_told_apart(found))]
    sites = [_lacking(site, planes) if site.paths[0] in lacking else site for site in sites] if lacking else sites
    sites.sort(key=site_order)
    noticed += _gaps(sites)
    wells = [site.well for site in sites]
    if size is None and known.shape is not None and known.shape in PLATE_SHAPES.values():
        wells.append(Well(known.shape[0] - 1, known.shape[1] - 1))
    rows, columns = plate_shape(wells, size)
    layout = known.layout or layouts.most_common(1)[0][0]
    return Plate(
        name=name, path=path, layout=layout, rows=rows, columns=columns, sites=tuple(sites), warnings=tuple(noticed)
    )


def _completed(site: Site, known: Known) -> Site:
    """Add what an index knows of an image."""
    if not (known.channels or known.absent or known.pixel_size_um or known.z_step_um or known.troubles):
        return site
    group = replace(site.group, channels=tuple(known.channels.get(one, one) for one in site.group.channels))
    absent = [path for path in site.paths if path in known.absent] if known.absent else []
    problem = site.problem
    if absent:
        message = f"{len(absent)} of {len(site.paths)} files of {site.id} are missing, such as '{absent[0].name}'."
        problem = IncompleteError(message, "The plate's index lists them: copy the plate again from its source.")
    elif troubled := [path for path in site.paths if path in known.troubles]:
        message = f"'{troubled[0].name}' of {site.id} {known.troubles[troubled[0]]}."
        problem = IncompleteError(message, "Copy the plate with its index again from its source.")
    return replace(site, group=group, pixel_size_um=known.pixel_size_um, z_step_um=known.z_step_um, problem=problem)


@_no_collection()
def tells_wells(folder: Path, least_wells: int) -> bool:
    """Tell whether the names in a folder tell so many wells, and at least half of the images theirs.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    ParameterError
        If several words of the names may be the wells.
    """
    walked = list(_walk(folder, MOST_LEVELS, None))
    found = _by_names([home / name for home, name in walked], [home for home, _ in walked], folder)
    data = [member for member in found if member.kind in ("", PROJECTION)]
    told, _ = _without_minority([member for member in data if member.parts.well])
    wells = {(member.home, member.parts.plate.casefold(), member.parts.well) for member in told}
    return len(wells) >= least_wells and 2 * len(told) >= len(data)


def _lacking(site: Site, planes: str | None) -> Site:
    message = f"{site.id} has no {planes}."
    return replace(site, problem=IncompleteError(message, "Leave --planes out, or add the missing files."))


def _members(folder: Path, pattern: str | None) -> tuple[list[Member], tuple[str, ...]]:
    """List the files that tell their well, and say which others are left out."""
    thumbnails: list[Path] = []
    walked = list(_walk(folder, MOST_LEVELS, thumbnails))
    paths = [home / name for home, name in walked]
    found = _by_pattern(paths, pattern) if pattern else _by_names(paths, [home for home, _ in walked], folder)
    strangers = [member.path for member in found if not member.parts.well and member.kind in ("", PROJECTION)]
    members = [member for member in found if member.parts.well and member.kind in ("", PROJECTION)]
    kinds = {kind: [member.path for member in found if member.kind == kind] for kind in (SHADING, DARK)}
    said = [left_out(kind, some) for kind, some in {**kinds, THUMBNAIL: thumbnails}.items() if some]
    if pattern is None:
        members, odd = _without_minority(members)
        said += [say_left_out("the name is unlike that of the others", odd)] if odd else []
    said += [say_left_out("the name tells no well", strangers)] if strangers else []
    return members, tuple(said)


def _is_odd(
    one: tuple[Path, str],
    other: tuple[Path, str],
    counts: Mapping[tuple[Path, str], int],
    plates: Mapping[tuple[Path, str], set[str]],
) -> bool:
    """Tell whether files of one folder and layout belong to no plate, beside the others of a known layout."""
    few = _SMALL_SHARE * counts[one] <= counts[other]
    if one[0] != other[0]:
        return one[1] == "tokens" and few and (other[0] in one[0].parents or one[0] in other[0].parents)
    if one[1] == "tokens":
        return counts[one] < counts[other]
    return few and not plates[one] <= plates[other]


def _by_pattern(paths: Sequence[Path], pattern: str) -> list[Member]:
    compiled = compile_pattern(pattern)
    levels = folder_levels(compiled)
    members = []
    for path in paths:
        try:
            members.append(Member(path=path, parts=parse_name(path, compiled), levels=levels))
        except ParameterError:  # the pattern does not fit the name
            members.append(Member(path=path, parts=NameParts()))
    return members


def _by_names(paths: list[Path], homes: list[Path], folder: Path) -> list[Member]:
    """Read names by what they have in common; calibration images have no say in it."""
    parts = [parse_name(path) for path in paths]
    data = [
        i for i, one in enumerate(parts) if not (one.layout in ("", "tokens") and is_calibration(paths[i].stem, one))
    ]
    settled = settle_wells([paths[i] for i in data], [parts[i] for i in data], [homes[i] for i in data])
    layouts = {one.layout for one in settled if one.well}
    for i, one in zip(data, settled, strict=True):
        among = parse_among(paths[i], layouts) if layouts and not one.well else one
        parts[i] = among if among.well else one
    levels = home_levels(homes, parts, folder)
    return marked(
        [Member(path=p, parts=own, levels=n) for p, own, n in zip(paths, parts, levels, strict=True)], homes, folder
    )


def _without_minority(members: list[Member]) -> tuple[list[Member], list[Path]]:
    """Leave out a few files that are named otherwise than most, by an instrument's layout, in or near their folder.

    They would make up a plate of their own, or wells that are none: calibration images, exports, an overview.
    """
    if len({member.parts.layout for member in members}) < 2:
        return members, []
    counts: Counter[tuple[Path, str]] = Counter()
    plates: dict[tuple[Path, str], set[str]] = {}
    for member in members:
        key = (member.home, member.parts.layout)
        counts[key] += 1
        plates.setdefault(key, set()).add(member.parts.plate.casefold())
    odd = {
        one
        for one, other in itertools.permutations(counts, 2)
        if other[1] not in (one[1], "tokens") and _is_odd(one, other, counts, plates)
    }
    kept = [member for member in members if (member.home, member.parts.layout) not in odd]
    return kept, [member.path for member in members if (member.home, member.parts.layout) in odd]


def list_images(folder: Path, levels: int = MOST_LEVELS, thumbnails: list[Path] | None = None) -> Iterator[Path]:
    """List the images in a folder and those below, by name; links to folders are not followed.

    Parameters
    ----------
    folder : Path
    levels : int
        Folders below it that are searched.
    thumbnails : list of Path, optional
        Takes up thumbnails, and folders of them, that are passed over.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    for home, name in _walk(folder, levels, thumbnails):
        yield home / name


def _walk(folder: Path, levels: int, thumbnails: list[Path] | None) -> Iterator[tuple[Path, str]]:
    """List folder and name of every image; those of one folder share one object for it, which is hashed once."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        lowered = entry.name.lower()
        if entry.is_dir(follow_symlinks=False):
            path = folder / entry.name
            if lowered.endswith(".zarr"):
                yield folder, entry.name
            elif "thumb" in lowered:
                _note(path, thumbnails)
            elif levels and not entry.name.startswith(".") and not is_zarr(path):
                yield from _walk(path, levels - 1, thumbnails)
        elif is_image_name(entry.name):
            if not lowered.endswith(".zarr"):
                yield folder, entry.name
        elif is_thumbnail_name(entry.name):
            _note(folder / entry.name, thumbnails)


def _note(path: Path, thumbnails: list[Path] | None) -> None:
    if thumbnails is not None:
        thumbnails.append(path)


def _site(plate: str, members: list[Member]) -> Site:
    """Make the image of some files; trouble with them becomes its problem."""
    parts = members[0].parts
    place = WellPosition(plate, parts.well, parts.field, parts.time)
    problem: IncompleteError | InputError | None = None
    try:
        group = lay_out(members)
    except IncompleteError as error:
        problem = error
    except ReaderError as error:
        problem = InputError(error.message, error.hint, flag="duplicate")
    if problem is not None:
        channels = dict.fromkeys(member.parts.channel for member in members)
        group = ImageGroup(
            name="", grid=(tuple(member.path for member in members),), channels=tuple(filter(None, channels))
        )
    site_id = site_name(place)
    return Site(
        id=site_id, well=Well.parse(place.well), group=replace(group, name=site_id, place=place), problem=problem
    )


def site_name(place: WellPosition, rest: str = "") -> str:
    """Write the id of an image: plate, well, field, time and what else its name says."""
    time = f"t{place.time}" if place.time else ""
    return file_name("_".join(text for text in (place.plate, place.well, place.field, time, rest) if text))


def _told_apart(sites: Sequence[tuple[Site, str]]) -> list[Site]:
    """Keep images of one place apart by the rest of their names; those that nothing tells apart are refused."""
    clashing = Counter(site.id.casefold() for site, _ in sites)
    by_id: dict[str, list[Site]] = {}
    for site, rest in sites:
        if clashing[site.id.casefold()] > 1:
            site_id = site_name(site.place, rest)
            site = replace(site, id=site_id, group=replace(site.group, name=site_id))
        by_id.setdefault(site.id.casefold(), []).append(site)
    return [same[0] if len(same) == 1 else _refused(same) for same in by_id.values()]


def _shared_places(found: Sequence[tuple[Site, str]]) -> list[str]:
    """Say which words alone tell several images of one well, field and time apart: channels, plates or times."""
    rests: dict[str, set[str]] = {}
    for site, rest in found:
        rests.setdefault(site.id.casefold(), set()).add(rest)
    shared = [words for words in rests.values() if len(words) > 1]
    if not shared:
        return []
    words = sorted(set().union(*shared) - {""}, key=natural)
    quoted = _some([f"'{word}'" for word in words])
    return [
        f"At {len(shared)} of {len(rests)} places in the wells, images differ only in {quoted}: all count as images of "
        "the well. If these are channels, plates or times, say so with --pattern."
    ]


def _no_wells(folder: Path, given: str | None) -> ReaderError:
    """Say why no name tells its well, and a pattern that reads it where it may stand."""
    path = next(list_images(folder), None) if given is None else None
    words, patterns = suggest_patterns(path.name) if path is not None else ((), ())
    if path is not None and words:
        quoted, named = (" or ".join(f"'{one}'" for one in some) for some in (words, patterns))
        return ReaderError(
            f"Nothing tells the wells in '{folder}': in '{path.name}' it may be {quoted}, the same in all names.",
            f"Say which with --pattern, such as {named}.",
        )
    if path is not None and path.parent != folder and len(folder_wells(path.parent.name)) == 1:
        message = f"No image in '{folder}' tells its well, but the folders may ('{path.parent.name}')."
        for pattern in (f"{one}/*" for one in ("*{well}", *suggest_patterns(path.parent.name + path.suffix)[1])):
            if _tells_well(path, pattern):
                return ReaderError(message, f"Read them from the folders, with --pattern '{pattern}'.")
    return ReaderError(f"No image in '{folder}' tells its well.", _PATTERN_HINT)


def _tells_well(path: Path, pattern: str) -> bool:
    try:
        return bool(parse_name(path, compile_pattern(pattern)).well)
    except ParameterError:
        return False


def _refused(same: Sequence[Site]) -> Site:
    message = f"{len(same)} images claim to be {same[0].id}: {_some([site.paths[0].name for site in same])}."
    problem = InputError(message, "Leave all but one out, or tell them apart with --pattern.", flag="duplicate")
    return replace(same[0], problem=problem)


def _with_all_channels(sites: list[Site]) -> list[Site]:
    """Mark the images that lack a channel which most images of the plate have."""
    usual = set(Counter(tuple(sorted(site.group.channels)) for site in sites).most_common(1)[0][0])
    result = []
    for site in sites:
        missing = sorted(usual - set(site.group.channels))
        if missing and site.problem is None and set(site.group.channels) < usual:
            message = f"{site.id} has no file for channel {', '.join(missing)}, which most images of the plate have."
            site = replace(site, problem=IncompleteError(message, "Copy the missing files from their source."))
        result.append(site)
    return result


def _gaps(sites: Sequence[Site]) -> list[str]:
    """Say which wells have fewer images, or fewer planes, than most."""
    said = []
    count = Counter(str(site.well) for site in sites)
    usual = Counter(count.values()).most_common(1)[0][0]
    few = [well for well, number in count.items() if number < usual]
    if few:
        said.append(f"{len(few)} of {len(count)} wells have fewer images than the usual {usual}: {_some(few)}.")
    planes = Counter(len(site.group.planes) for site in sites)
    if len(planes) > 1:
        said.append(f"The images differ in the number of planes: {_counted(planes)}.")
    return said


def _plate_names(root: Path, keys: Sequence[tuple[Path, str]]) -> list[str]:
    """Name plates after what the files say, or their folder; folders above are added where names clash."""
    parts = []
    for home, told in keys:
        above = [part for part in home.relative_to(root).parts if not _IMAGES.fullmatch(part)]
        root_name = root.parent.name if _IMAGES.fullmatch(root.name) else root.absolute().name
        parts.append([root_name or "plate", *above, *([told] if told else [])])
    names = [one[-1] for one in parts]
    for depth in range(2, MOST_LEVELS + 3):
        clashing = {name for name, number in Counter(name.casefold() for name in names).items() if number > 1}
        names = [
            "_".join(one[-depth:]) if name.casefold() in clashing else name
            for name, one in zip(names, parts, strict=True)
        ]
    return names


def say_left_out(why: str, paths: Sequence[Path]) -> str:
    """Say which files are left out, and why."""
    files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return f"{files} left out, {why}: {_some([path.name for path in paths])}."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _counted(numbers: Mapping[Any, int]) -> str:
    return ", ".join(f"{what} ({number})" for what, number in sorted(numbers.items(), key=lambda one: -one[1]))
