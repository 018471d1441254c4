"""Stack or projection: which of the two is read where an instrument wrote both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vitascope.core.errors import ParameterError
from vitascope.io.filenames.kinds import PROJECTION, left_out
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import natural

STACK = "stack"
CHOICES = (STACK, PROJECTION)
_SHOWN = 5
_STACK_WORD = re.compile(r"(?:^|[ _.-]+)(?:z[ _-]?)?stacks?(?![a-z0-9])")
"""What the name of a stack says beside that of its projection."""
_PROJECTED = re.compile(r"(?:^|(?<=[ _.-]))(?:z[ _-]?max|max(?:[ _-]?z)?)(?:[ _.-]+|$)")
"""What may mean a projection, and does beside planes of the same image."""


class Selection(NamedTuple):
    """What is read.

    Parameters
    ----------
    members : tuple of Member
    warnings : tuple of str
        Sentences on what is left out.
    lacking : frozenset of Path
        Files of images that have not what was asked for; they stand for them.
    """

    members: Sequence[Member]
    warnings: tuple[str, ...] = ()
    lacking: frozenset[Path] = frozenset()


@dataclass
class _Image:
    """The files of one image at one place."""

    stack: list[Member] = field(default_factory=list)
    projection: list[Member] = field(default_factory=list)

    def channels(self, members: Iterable[Member]) -> set[str]:
        return {member.parts.channel.casefold() for member in members}

    def planes(self) -> frozenset[str]:
        return frozenset(member.parts.z.lstrip("0") for member in self.stack)

    def lack(self, usual: frozenset[str]) -> str:
        """Say what the stack lacks that the projection or the other stacks have; nothing where it is complete."""
        channels = self.channels(self.stack)
        absent = sorted(self.channels(self.projection) - channels)
        if not self.stack:
            return "there is none"
        if absent:
            return f"it lacks channel {', '.join(absent)}"
        cells = {(member.parts.channel.casefold(), member.parts.z.lstrip("0")) for member in self.stack}
        if not usual <= self.planes() or len(cells) < len(channels) * len(self.planes()):
            return "it lacks planes"
        return ""

    @property
    def projection_is_whole(self) -> bool:
        return bool(self.projection) and self.channels(self.projection) >= self.channels(self.stack)


def check_planes(planes: str | None) -> None:
    """Refuse what is no choice.

    Raises
    ------
    ParameterError
    """
    if planes is not None and planes not in CHOICES:
        raise ParameterError(f"'{planes}' is no choice of planes.", "Choose stack or projection.")


def select_planes(members: Sequence[Member], planes: str | None = None) -> Selection:
    """Take the stack of every image where it is complete, else the projection; or what is asked for.

    Parameters
    ----------
    members : sequence of Member
        Of one plate, or of all images of a run, marked by :func:`vitascope.io.filenames.kinds.marked`. Files without z
        beside others of the same image with z are projections too.
    planes : {"stack", "projection"}, optional

    Raises
    ------
    ParameterError
        If no image has what is asked for.
    """
    check_planes(planes)
    images = _images(members)
    stacks, projections = any(one.stack for one in images), any(one.projection for one in images)
    if planes == PROJECTION and not projections:
        raise ParameterError("There are no projections.", "Leave --planes out, or choose stack.")
    if planes == STACK and not stacks:
        raise ParameterError("There are projections only, no stack.", "Leave --planes out, or choose projection.")
    if not (stacks and projections):
        return Selection([m._replace(parts=m.told) if m.told is not None else m for m in members])
    if planes is not None:
        return _asked(images, planes)
    return _complete(images)


def _images(members: Sequence[Member]) -> list[_Image]:
    """Bring stack and projection of each image together."""
    with_z = {bool(member.parts.z) for member in members}
    if len(with_z) < 2 and not any(member.kind == PROJECTION for member in members):
        return [_Image(stack=list(members))]
    images: dict[object, _Image] = {}
    for member in members:
        image = images.setdefault(_place(member), _Image())
        (image.projection if member.kind == PROJECTION else image.stack).append(member)
    for image in images.values():
        planar = [member for member in image.stack if not member.parts.z]
        if planar and len(planar) < len(image.stack):
            image.projection += planar
            image.stack = [member for member in image.stack if member.parts.z]
    return list(images.values())


def _place(member: Member) -> object:
    parts = member.parts
    place = natural(parts.plate), parts.well, natural(parts.field), natural(parts.time)
    # What stands between the parts of an instrument's name is its layout, which announces the planes of stacks too.
    rest = _STACK_WORD.sub("", parts.rest.casefold()) if parts.layout in ("", "tokens") else ""
    return member.home, place, rest if parts.z else _PROJECTED.sub("", rest).strip(" _.-")


def _complete(images: list[_Image]) -> Selection:
    """Take each image's stack where it is complete, else its projection."""
    usual = Counter(one.planes() for one in images if one.stack).most_common(1)[0][0]
    members: list[Member] = []
    dropped: list[Member] = []
    reasons: dict[str, list[Member]] = {}
    for image in images:
        lack = image.lack(usual) if image.projection else ""
        if not lack or not image.projection_is_whole:
            members += image.stack
            dropped += image.projection
        else:
            members += image.projection
            reasons.setdefault(lack, []).append(image.projection[0])
    warnings = [_dropped(dropped, "the stack is read")] if dropped else []
    for lack, found in reasons.items():
        what = "1 image" if len(found) == 1 else f"{len(found)} images"
        names = ", ".join(member.path.name for member in found[:_SHOWN]) + (" …" if len(found) > _SHOWN else "")
        warnings.append(
            f"Of {what} the projection is read, not the stack: {lack} ({names}). --planes stack takes the stack."
        )
    return Selection(members, tuple(warnings))


def _asked(images: list[_Image], planes: str) -> Selection:
    """Take stacks, or projections, only; images that have none stand for what they lack."""
    members: list[Member] = []
    dropped: list[Member] = []
    lacking: set[Path] = set()
    for image in images:
        wanted, other = (image.stack, image.projection) if planes == STACK else (image.projection, image.stack)
        members += wanted or other
        if wanted:
            dropped += other
        else:
            lacking |= {member.path for member in other}
    if not dropped:
        return Selection(members, (), frozenset(lacking))
    if planes == STACK:
        return Selection(members, (_dropped(dropped, "the stack is read"),), frozenset(lacking))
    said = f"{len(dropped)} planes of stacks left out, the projection is read."
    return Selection(members, (said,), frozenset(lacking))


def _dropped(members: Sequence[Member], why: str) -> str:
    sentence = left_out(PROJECTION, [member.path for member in members], why)
    return f"{sentence} --planes projection takes them."
