"""Images that are no data of their own: projections, shading and dark images of the instrument, thumbnails.

Told by names and folders. Words that may as well be a treatment count only where a name tells no well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import NameParts, natural, split_suffix

PROJECTION, SHADING, DARK, THUMBNAIL = "projection", "shading", "dark", "thumbnail"
_PLURALS = {PROJECTION: "projections", SHADING: "shading images", DARK: "dark images", THUMBNAIL: "thumbnails"}
_SHOWN = 5


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", re.IGNORECASE)


_HOW = r"(?:max|min|avg|mean|sum|median|sd|std)(?:imum|erage)?[ _-]?(?:intensity[ _-]?)?z?[ _-]?"
_PROJECTED = _words(
    rf"mip|mips|maxip|(?:{_HOW}|z[ _-]?)?proj(?:ect(?:ions?|ed))?|edf|(?:best|stack)[ _-]?focus|focus[ _-]?stack(?:ed)?"
)
_PROJECTED_FOLDER = re.compile(r"z[ _-]?max|max(?:[ _-]?z)?", re.IGNORECASE)
_PROJECTED_FIRST = re.compile(r"(?:MAX|MIN|AVG|SUM|MED|STD)(?:_|\Z)")
"""What ImageJ puts before the name of a projection."""

_CERTAIN = (
    # Yokogawa: SC_BP445-45_20x v2_M01_CH01 and DC_DCAM#1_CAM1
    (SHADING, re.compile(r"\ASC_.+_CH\d+\Z", re.IGNORECASE)),
    (DARK, re.compile(r"\ADC_.*CAM#?\d+", re.IGNORECASE)),
    (SHADING, _words(r"shading\w*|flat[ _-]?fields?|ffc(?:[ _-]?profile)?")),
    (SHADING, _words(r"illum(?:ination)?[ _-]?(?:corr\w*|func\w*|profile|field)")),
    (DARK, _words(r"dark[ _-]?(?:frames?|currents?|images?|ref\w*|counts?)|(?:bias|offset)[ _-]?frames?")),
)
_WITHOUT_WELL = (
    (SHADING, _words(r"sc|ff|flat|illum\w*|white[ _-]?ref\w*|vignett\w*")),
    (DARK, _words(r"dc|darks?|bias")),
)
_FOLDERS = (
    (
        SHADING,
        _words(r"shading\w*|flat[ _-]?fields?|ffc|illum(?:ination)?(?:[ _-]?\w+)?|corrections?(?:[ _-]?images?)?"),
    ),
    (DARK, _words(r"darks?(?:[ _-]?(?:frames?|currents?|images?))?|bias")),
)


def marked(members: Sequence[Member], folders: Sequence[Path], root: Path | None) -> list[Member]:
    """Mark the files that are no data.

    Parameters
    ----------
    members : sequence of Member
    folders : sequence of Path
        What each lies in.
    root : Path or None
        Folder that was given; folders below it tell too.

    Returns
    -------
    list of Member
        A projection is called as its image: without the word that tells it, in the folder of the others.
    """
    kinds = {folder: _kind_of_folders(_below(folder, root)) for folder in set(folders)}
    found = [_marked(member, folder, kinds[folder]) for member, folder in zip(members, folders, strict=True)]
    if PROJECTION not in kinds.values():
        return found
    homes: dict[object, set[Path]] = {}
    for member in found:
        if not member.kind:
            homes.setdefault(_place(member.parts), set()).add(member.home)
    return [
        member._replace(at=next(iter(same)))
        if member.at is not None and len(same := homes.get(_place(member.parts), set())) == 1
        else member
        for member in found
    ]


def is_calibration(stem: str, parts: NameParts) -> bool:
    """Tell whether a name is that of an image which the instrument takes to correct others."""
    suspect, _ = _told(parts.layout, parts.plate, parts.rest, parts.channel, bool(parts.well))
    return suspect and bool(_kind_of_name(stem, parts.well))


def _place(parts: NameParts) -> object:
    return natural(parts.plate), parts.well, natural(parts.field), natural(parts.time)


def _marked(member: Member, folder: Path, kind: str) -> Member:
    parts = member.parts
    if kind:
        at = _above_projections(folder) if kind == PROJECTION else None
        return member._replace(kind=kind, at=at)
    suspect, changed = _told(parts.layout, parts.plate, parts.rest, parts.channel, bool(parts.well))
    if suspect and (kind := _kind_of_name(split_suffix(member.path.name)[0], parts.well)):
        return member._replace(kind=kind)
    if changed is None:
        return member
    plate, rest, channel = changed
    new = parts._replace(plate=plate, rest=rest, channel=channel)
    return member._replace(kind=PROJECTION, parts=new, told=parts)


@lru_cache(maxsize=4096)
def _told(layout: str, plate: str, rest: str, channel: str, well: bool) -> tuple[bool, tuple[str, str, str] | None]:
    """Tell whether a name may be that of a calibration image, and what that of a projection says else."""
    patterns = _CERTAIN if well else (*_CERTAIN, *_WITHOUT_WELL)
    text = f"{plate}_{rest}_CH1".lstrip("_") if layout in ("", "tokens") else plate
    suspect = any(pattern.search(text) for _, pattern in patterns)
    inner = channel[len("ZProj[") :].removesuffix("]") if channel.startswith("ZProj[") else channel
    new = [text if (found := without_projection(text)) is None else found for text in (plate, rest)]
    changed = (new[0], new[1], inner)
    return suspect, changed if changed != (plate, rest, channel) else None


def _below(folder: Path, root: Path | None) -> tuple[str, ...]:
    return folder.relative_to(root).parts if root is not None and folder.is_relative_to(root) else ()


@lru_cache(maxsize=1024)
def _kind_of_folders(folders: tuple[str, ...]) -> str:
    for folder in folders:
        for kind, pattern in (*_FOLDERS, (PROJECTION, _PROJECTED), (PROJECTION, _PROJECTED_FOLDER)):
            if pattern.fullmatch(folder):
                return kind
    return ""


@lru_cache(maxsize=1024)
def _above_projections(folder: Path) -> Path:
    """Return the folder that the projections' folder lies in."""
    told = (_PROJECTED, _PROJECTED_FOLDER)
    found = next((one for one in (folder, *folder.parents) if any(p.fullmatch(one.name) for p in told)), folder)
    return found.parent


def _kind_of_name(stem: str, well: str) -> str:
    patterns = _CERTAIN if well else (*_CERTAIN, *_WITHOUT_WELL)
    return next((kind for kind, pattern in patterns if pattern.search(stem)), "")


@lru_cache(maxsize=4096)
def without_projection(text: str) -> str | None:
    """Leave out of a text what says that an image is a projection; None where it says no such thing.

    Examples
    --------
    >>> without_projection("MAX_Screen 1"), without_projection("left_MIP"), without_projection("left")
    ('Screen 1', 'left', None)
    """
    match = _PROJECTED_FIRST.match(text) or _PROJECTED.search(text)
    if not text or match is None:
        return None
    before, after = text[: match.start()].rstrip("_-. "), text[match.end() :].lstrip("_-. ")
    return f"{before}_{after}" if before and after else before + after


def left_out(kind: str, paths: Sequence[Path], why: str = "") -> str:
    """Say which images of a kind are left out.

    Examples
    --------
    >>> left_out("dark", [Path("DC_CAM1.tif")])
    '1 file left out, no data (dark images): DC_CAM1.tif.'
    """
    files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    names = ", ".join(path.name for path in paths[:_SHOWN]) + (" …" if len(paths) > _SHOWN else "")
    return f"{files} left out, {why or 'no data'} ({_PLURALS[kind]}): {names}."
