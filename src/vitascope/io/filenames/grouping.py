"""The one grouping rule: files that differ only in z are planes of one image, only in channel its channels.

All other files are images of their own. Every path ends up in exactly one image, or an error names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.core.well import WellPosition
from vitascope.io.atomic import file_name
from vitascope.io.filenames.expand import expand, is_zarr
from vitascope.io.filenames.kinds import DARK, PROJECTION, SHADING, left_out, marked
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import natural, parse_name, split_suffix
from vitascope.io.filenames.planes import check_planes, select_planes
from vitascope.io.filenames.unique_names import NameCandidate, name_images
from vitascope.io.filenames.user_patterns import compile_pattern, folder_levels
from vitascope.io.filenames.wells import home_levels, settle_wells


@dataclass(frozen=True)
class ImageGroup:
    """The files of one image.

    Parameters
    ----------
    name : str
        Stem that outputs are called after; unique among the groups of one call.
    grid : tuple of tuple of Path
        Files by channel (outer) and z (inner); one file alone is ``((path,),)``.
    channels : tuple of str
        What the names say of each channel; empty where they say nothing.
    planes : tuple of str
        What the names say of each z; empty where they say nothing.
    place : WellPosition
        Plate, well, field and time, where the names tell.
    scene : int or None
        Number of the image, in a file of a microscope that holds several.
    axes : str
        One letter for each dimension of a file that does not tell, as the user said; empty where nothing was said.
    """

    name: str
    grid: tuple[tuple[Path, ...], ...]
    channels: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
    place: WellPosition = field(default_factory=WellPosition)
    scene: int | None = None
    axes: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, channel by channel, each in the order of z."""
        return tuple(path for row in self.grid for path in row)


@dataclass(frozen=True)
class Inside:
    """What files themselves say of the images in them.

    Parameters
    ----------
    sets : sequence of tuple of Path
        Files that hold parts of one image, in the order of their planes.
    scenes : mapping of Path to sequence of (int, str, WellPosition)
        Number, name and place of each image, of files that hold several.
    """

    sets: Sequence[tuple[Path, ...]] = ()
    scenes: Mapping[Path, Sequence[tuple[int, str, WellPosition]]] = field(default_factory=dict)


def find_groups(
    paths: Iterable[str | os.PathLike[str]], pattern: str | None = None, *, ties: str = "ask"
) -> list[ImageGroup]:
    """Turn files, folders and quoted globs into images; parameters and errors as of :func:`group_paths`.

    Returns
    -------
    list of ImageGroup
        In the order of folder, plate, well, field, time and name, numbers compared as numbers.
    """
    return group_paths(paths, pattern, ties=ties)[0]


def group_paths(
    paths: Iterable[str | os.PathLike[str]],
    pattern: str | None = None,
    *,
    ties: str = "ask",
    planes: str | None = None,
    look_inside: Callable[[list[Path]], Inside] | None = None,
) -> tuple[list[ImageGroup], tuple[str, ...]]:
    """Turn files, folders and quoted globs into images; only names are looked at here, no file is opened.

    Parameters
    ----------
    paths : iterable of path
        Of a folder, images of the instrument that are no data (shading, dark) are left out, and of stacks and their
        projections one is taken; files that are named one by one are all taken.
    pattern : str, optional
        Pattern that overrides the layouts known by name, see
        :func:`vitascope.io.filenames.user_patterns.compile_pattern`.
    ties : {"ask", "leave"}
        Where several words of the names may be the wells: refuse, or read no well.
    planes : {"stack", "projection"}, optional
        What is taken of a folder that holds both; by default the stack where it is complete.
    look_inside : callable, optional
        Tells what the files say of their images, which counts before their names.

    Returns
    -------
    groups : list of ImageGroup
        In the order of folder, plate, well, field, time and name, numbers compared as numbers.
    warnings : tuple of str
        Sentences on what is left out.

    Raises
    ------
    ReaderError
        If a path does not exist or is no image, or if two files claim the same plane of one image.
    IncompleteError
        If a plane of one channel is missing that another channel has, or an image has not the planes asked for.
    ParameterError
        If the pattern cannot be used or does not fit a name, or several words may be the wells.
    """
    check_planes(planes)
    given: list[str | os.PathLike[str]] = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    members, warnings = _selected(_members(expand(given), pattern, ties), given, planes)
    inside = look_inside([member.path for member in members]) if look_inside is not None else Inside()
    groups, candidates = _told_by_files(inside, {member.path: member for member in members})
    told = {path for one in inside.sets for path in one} | set(inside.scenes)
    for of_one in bundle(member for member in members if member.path not in told):
        groups.append(lay_out(of_one))
        candidates.append(_naming(groups[-1], of_one))
    named = [replace(g, name=name) for g, name in zip(groups, name_images(candidates), strict=True)]
    return sorted(named, key=_order), warnings


def _told_by_files(inside: Inside, members: Mapping[Path, Member]) -> tuple[list[ImageGroup], list[NameCandidate]]:
    """Return the images that files say they hold, and what they may be called."""
    groups: list[ImageGroup] = []
    candidates: list[NameCandidate] = []
    for files in inside.sets:
        groups.append(ImageGroup(name="", grid=(files,), place=members[files[0]].parts.place))
        candidates.append(_naming(groups[-1], [members[files[0]]]))
    for path, scenes in inside.scenes.items():
        for number, name, place in scenes:
            groups.append(ImageGroup(name="", grid=((path,),), place=place, scene=number))
            candidate = _naming(groups[-1], [members[path]])
            full = f"{candidate.full}_{name or number + 1}" if len(scenes) > 1 else candidate.full
            candidates.append(replace(candidate, full=file_name(full), place=WellPosition(), complete=False))
    return groups, candidates


def _members(paths: list[Path], pattern: str | None, ties: str) -> list[Member]:
    compiled = compile_pattern(pattern) if pattern else None
    parts = [parse_name(path, compiled) for path in paths]
    if compiled is not None:
        return [
            Member(path=path, parts=one, levels=folder_levels(compiled)) for path, one in zip(paths, parts, strict=True)
        ]
    folders = [path.parent for path in paths]
    parts = settle_wells(paths, parts, folders, ties)
    levels = home_levels(folders, parts)
    return [Member(path=path, parts=one, levels=level) for path, one, level in zip(paths, parts, levels, strict=True)]


def _selected(
    members: list[Member], given: list[str | os.PathLike[str]], planes: str | None
) -> tuple[list[Member], tuple[str, ...]]:
    """Leave out what a folder holds beside the data; what is named one by one is taken as it is."""
    folders = [path for path in map(Path, given) if path.is_dir() and not is_zarr(path)]
    found, rest = [], members
    for folder in folders:
        inside = [member for member in rest if member.path.is_relative_to(folder)]
        found += marked(inside, [member.path.parent for member in inside], folder)
        rest = [member for member in rest if not member.path.is_relative_to(folder)]
    data = [member for member in found if member.kind in ("", PROJECTION)]
    if not data:
        return members, ()
    selection = select_planes(data, planes)
    if selection.lacking:
        raise IncompleteError(
            f"There is no {planes} of '{min(selection.lacking).name}'.", "Leave --planes out, or add the missing files."
        )
    others = {kind: [member.path for member in found if member.kind == kind] for kind in (SHADING, DARK)}
    warnings = tuple(left_out(kind, paths) for kind, paths in others.items() if paths)
    return [*rest, *selection.members], (*warnings, *selection.warnings)


_Natural = tuple[tuple[int, str], ...]


def bundle(members: Iterable[Member]) -> list[list[Member]]:
    """Put files together that are planes or channels of one image."""
    bundles: dict[object, list[Member]] = {}
    for member in members:
        bundles.setdefault(_key(member), []).append(member)
    return list(bundles.values())


def _key(member: Member) -> object:
    """What files share that are planes or channels of one image."""
    parts = member.parts
    if not parts.layout:
        return os.path.abspath(member.path)  # noqa: PTH100, resolve() would follow links
    suffix = split_suffix(member.path.name)[1].replace("tiff", "tif")
    place = natural(parts.plate), parts.well, natural(parts.field), natural(parts.time)
    return member.home, suffix, place, parts.rest.casefold(), bool(parts.z), bool(parts.channel)


def lay_out(members: list[Member]) -> ImageGroup:
    """Order the files of one image by channel and z; the name is left empty.

    Raises
    ------
    ReaderError
        If two files claim the same plane.
    IncompleteError
        If a plane of one channel is missing that another channel has.
    """
    cells: dict[tuple[_Natural, _Natural], Path] = {}
    channels: dict[_Natural, str] = {}
    planes: dict[_Natural, str] = {}
    for member in members:
        c, z = natural(member.parts.channel), natural(member.parts.z)
        if (c, z) in cells:
            raise ReaderError(
                f"'{cells[c, z]}' and '{member.path}' claim to be the same image or plane.",
                "Leave one of them out, or tell them apart with --pattern.",
                flag="duplicate",
            )
        cells[c, z] = member.path
        channels.setdefault(c, member.parts.channel)
        planes.setdefault(z, member.parts.z)
    grid = [[(c, z) for z in sorted(planes)] for c in sorted(channels)]
    missing = [cell for row in grid for cell in row if cell not in cells]
    if missing:
        channel, plane = channels[missing[0][0]], planes[missing[0][1]]
        raise IncompleteError(
            f"{len(missing)} of {len(channels) * len(planes)} planes of the image of '{members[0].path}' are missing: "
            f"there is no file for channel '{channel}' at z '{plane}'.",
            "Add the missing files, or give the channels one at a time.",
        )
    return ImageGroup(
        name="",
        grid=tuple(tuple(cells[cell] for cell in row) for row in grid),
        channels=tuple(name for _, name in sorted(channels.items()) if name),
        planes=tuple(name for _, name in sorted(planes.items()) if name),
        place=members[0].parts.place,
    )


def _naming(group: ImageGroup, members: list[Member]) -> NameCandidate:
    first = members[0]
    stem, suffix = split_suffix(first.path.name)
    folder = first.home
    return NameCandidate(
        full=stem if len(members) == 1 else first.parts.common or folder.name or "image",
        place=group.place,
        complete=all(member.parts.complete for member in members),
        channel=group.channels[0] if len(group.channels) == 1 else "",
        suffix=suffix.lstrip("."),
        folder=folder,
    )


def _order(group: ImageGroup) -> tuple[object, ...]:
    place = group.place
    parts = (str(group.paths[0].parent), place.plate, place.well, place.field, place.time, group.name)
    return tuple(natural(part) for part in parts)
