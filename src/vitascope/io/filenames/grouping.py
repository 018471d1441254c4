"""The one grouping rule: files that differ only in z are planes of one image, only in channel its channels.

All other files are images of their own. Every path ends up in exactly one image, or an error names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.core.well import WellPosition
from vitascope.io.atomic import file_name
from vitascope.io.filenames.expand import expand
from vitascope.io.filenames.parse import NameParts, natural, parse_name, split_suffix, step_folders
from vitascope.io.filenames.unique_names import NameCandidate, name_images
from vitascope.io.filenames.user_patterns import compile_pattern, folder_levels


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


class Member(NamedTuple):
    """One file, and what its name or an index tells of it.

    Parameters
    ----------
    path : Path
    parts : NameParts
    levels : int
        Folders above the file that a pattern has read.
    """

    path: Path
    parts: NameParts
    levels: int = 0

    @property
    def home(self) -> Path:
        """Folder of the image: above those that stand for its parts, such as z-steps and time points."""
        return _home(self.path.parts[:-1], self.levels)


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
    paths: Iterable[str | os.PathLike[str]],
    pattern: str | None = None,
    look_inside: Callable[[list[Path]], Inside] | None = None,
) -> list[ImageGroup]:
    """Turn files, folders and quoted globs into images; only names are looked at, no file is opened.

    Parameters
    ----------
    paths : iterable of path
    pattern : str, optional
        Pattern that overrides the layouts known by name, see
        :func:`vitascope.io.filenames.user_patterns.compile_pattern`.
    look_inside : callable, optional
        Tells what the files say of their images, which counts before their names.

    Returns
    -------
    list of ImageGroup
        In the order of folder, plate, well, field, time and name, numbers compared as numbers.

    Raises
    ------
    ReaderError
        If a path does not exist or is no image, or if two files claim the same plane of one image.
    IncompleteError
        If a plane of one channel is missing that another channel has.
    ParameterError
        If the pattern cannot be used or does not fit a name.
    """
    compiled = compile_pattern(pattern) if pattern else None
    levels = folder_levels(compiled) if compiled else 0
    members = {path: Member(path, parse_name(path, compiled), levels) for path in expand(paths)}
    inside = look_inside(list(members)) if look_inside is not None else Inside()
    told = {path for one in inside.sets for path in one} | set(inside.scenes)
    bundles = bundle(member for path, member in members.items() if path not in told)
    groups = [lay_out(of_one) for of_one in bundles]
    candidates = [_naming(g, of_one) for g, of_one in zip(groups, bundles, strict=True)]
    for files in inside.sets:
        groups.append(ImageGroup("", (files,), place=members[files[0]].parts.place))
        candidates.append(_naming(groups[-1], [members[files[0]]]))
    for path, scenes in inside.scenes.items():
        for number, name, place in scenes:
            groups.append(ImageGroup("", ((path,),), place=place, scene=number))
            candidate = _naming(groups[-1], [members[path]])
            full = f"{candidate.full}_{name or number + 1}" if len(scenes) > 1 else candidate.full
            candidates.append(replace(candidate, full=file_name(full), place=WellPosition(), complete=False))
    names = name_images(candidates)
    return sorted((replace(g, name=name) for g, name in zip(groups, names, strict=True)), key=_order)


@lru_cache(maxsize=1024)
def _home(folders: tuple[str, ...], levels: int) -> Path:
    """Give all files of a folder one object for it, which is hashed once."""
    return Path(*folders[: len(folders) - (levels or len(step_folders(folders)))])


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
