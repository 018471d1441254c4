"""What a file name tells: plate, well, field, time, z and channel, by the layouts of common instruments.

Pure functions on text; nothing here looks at the disk.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Any, NamedTuple

from vitascope.core.errors import ParameterError
from vitascope.core.well import Well, WellPosition
from vitascope.io.filenames.instruments import LATE_LAYOUTS, LAYOUTS
from vitascope.io.filenames.tokens import SEPARATORS, Token, find_keys, find_tokens, find_wells
from vitascope.io.filenames.user_patterns import folder_levels

TIFF_SUFFIXES = (".tiff", ".tif", ".tf2", ".tf8", ".btf")
"""Names of TIFF and BigTIFF; each may follow ``.ome``."""

SCENE_SUFFIXES = (".czi", ".lif", ".nd2")
"""Files of microscopes that hold one image or several."""

SUFFIXES = (
    *(f".ome{suffix}" for suffix in (*TIFF_SUFFIXES, ".zarr")),
    *TIFF_SUFFIXES,
    *(".lsm", ".stk", ".zarr", ".png", ".jpeg", ".jpg", ".bmp"),
    *SCENE_SUFFIXES,
)
PARTS = ("plate", "field", "time", "channel", "z")
_STEP = re.compile(r"TimePoint[_ ]?(?P<time>\d+)|ZStep[_ ]?(?P<z>\d+)", re.IGNORECASE)


class NameParts(NamedTuple):
    """What one name tells; empty text where it tells nothing.

    Parameters
    ----------
    layout : str
        Name of the layout that was recognised; empty where none was.
    plate, well, field, time, channel, z : str
        As written, but the well always as ``B07``.
    rest : str
        Text of the name outside these parts: names with different rests are different images.
    complete : bool
        Whether plate, well and field say all that the name says beside time, z and channel.
    stem : str
        The name without its suffix.
    planes : tuple of (int, int)
        Where z and channel stand in the stem.
    wells : tuple of Token
        All words that may be the well, where no instrument's layout says which is.
    """

    layout: str = ""
    plate: str = ""
    well: str = ""
    field: str = ""
    time: str = ""
    channel: str = ""
    z: str = ""
    rest: str = ""
    complete: bool = False
    stem: str = ""
    planes: tuple[tuple[int, int], ...] = ()
    wells: tuple[Token, ...] = ()

    @property
    def common(self) -> str:
        """The name without its z and channel parts and one separator for each."""
        return _without(self.stem, set(self.planes))

    @property
    def place(self) -> WellPosition:
        """Plate, well, field and time."""
        return WellPosition(self.plate, self.well, self.field, self.time)


@lru_cache(maxsize=4096)
def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Turn text into what it is compared by: numbers as numbers (z2 before z10), letters without case.

    Examples
    --------
    >>> sorted(["z10", "z2"], key=natural)
    ['z2', 'z10']
    >>> natural("w01") == natural("W1")
    True
    """
    pieces = re.findall(r"(\d+)|(\D+)", text.casefold())
    return tuple((int(digits), "") if digits else (-1, letters) for digits, letters in pieces)


def split_suffix(name: str) -> tuple[str, str]:
    """Split a name into stem and image suffix (small letters); the suffix is empty where it is no image's.

    Examples
    --------
    >>> split_suffix("phase.OME.TIF")
    ('phase', '.ome.tif')
    >>> split_suffix("notes.txt")
    ('notes.txt', '')
    """
    dot = name.rfind(".")
    suffix = name[dot:].lower()
    if dot < 1 or suffix not in SUFFIXES:
        return name, ""
    if dot > 4 and name[dot - 4 : dot].lower() == ".ome" and f".ome{suffix}" in SUFFIXES:
        dot -= 4
    return name[:dot], name[dot:].lower()


def is_tiff_name(name: str) -> bool:
    """Tell whether a name is that of a TIFF, with those of MetaMorph and Zeiss that are TIFFs too.

    Examples
    --------
    >>> is_tiff_name("a.ome.btf"), is_tiff_name("a.stk"), is_tiff_name("a.png")
    (True, True, False)
    """
    return split_suffix(name)[1].endswith((*TIFF_SUFFIXES, ".lsm", ".stk"))


def parse_name(path: str | PurePath, pattern: re.Pattern[str] | None = None) -> NameParts:
    """Read what a file's name tells, and folders such as ``TimePoint_1`` and ``ZStep_2`` right above it.

    Parameters
    ----------
    path : path
    pattern : compiled pattern, optional
        From :func:`vitascope.io.filenames.user_patterns.compile_pattern`; it replaces all known layouts.

    Returns
    -------
    NameParts

    Raises
    ------
    ParameterError
        If the pattern does not fit the name.

    Examples
    --------
    >>> parts = parse_name("Week1_B02_s1_w2.tif")
    >>> parts.plate, parts.well, parts.field, parts.channel
    ('Week1', 'B02', '1', 'w2')
    """
    path = path if isinstance(path, PurePath) else PurePath(path)
    stem, _ = split_suffix(path.name)
    if pattern is not None:
        folders = path.parts[-1 - folder_levels(pattern) : -1]
        name, stem = ("/".join((*folders, end)) for end in (path.name, stem))
        return _parts("pattern", stem, _tokens_of_pattern(name, stem, pattern))
    return _with_folders(_parse_stem(stem), path)


def _with_folders(parts: NameParts, path: PurePath) -> NameParts:
    for part, text in step_folders(path.parts[:-1]):
        if not getattr(parts, part):
            found: dict[str, Any] = {part: text, "layout": parts.layout or "folders"}
            parts = parts._replace(**found)
    return parts


def parse_among(path: PurePath, layouts: Collection[str]) -> NameParts:
    """Read a name that tells no well by itself, but does among others that are named alike.

    ``c3`` is short for channel 3 and ``Z01`` for plane 1; beside ``b3`` and ``Y01`` they are wells.

    Parameters
    ----------
    path : path
    layouts : collection of str
        Of the other names.

    Returns
    -------
    NameParts
        Without a well where the name is not alike.

    Examples
    --------
    >>> parse_among(PurePath("P_Z01_s1_w1.tif"), {"imagexpress"}).well
    'Z01'
    """
    stem, _ = split_suffix(path.name)
    for name in layouts:
        match = LATE_LAYOUTS[name].fullmatch(stem) if name in LATE_LAYOUTS else None
        tokens = _tokens_of_match(match) if match else None
        if tokens is not None:
            return _with_folders(_parts(name, stem, tokens), path)
    match = re.match(r"([A-Za-z])(?=\d{1,2}(?![A-Za-z0-9]))", stem)
    if "tokens" not in layouts or match is None:
        return NameParts()
    parts = parse_name(path.with_name("A" + path.name[1:]))
    return parts._replace(well=match[1].upper() + parts.well[1:]) if parts.well else NameParts()


@lru_cache(maxsize=1024)
def step_folders(folders: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Read the folders right above a file that stand for a time point or a z-step, the innermost first.

    Examples
    --------
    >>> step_folders(("Plate", "TimePoint_2", "ZStep_5"))
    (('z', '5'), ('time', '2'))
    """
    found = []
    for folder in reversed(folders):
        match = _STEP.fullmatch(folder)
        if match is None:
            break
        found += [(part, text) for part, text in match.groupdict().items() if text]
    return tuple(found)


@lru_cache(maxsize=4096)
def read_well(row: str, column: str = "") -> str:
    """Write a well as ``B07``, from ``b7``, ``B - 07``, ``B_7``, or from row and column (``02`` and ``07``).

    Raises
    ------
    ParameterError
        If it is no well.

    Examples
    --------
    >>> read_well("B - 7"), read_well("02", "07")
    ('B07', 'B07')
    """
    if row.isdigit():
        return str(Well(int(row) - 1, int(column or 0) - 1))
    return str(Well.parse(re.sub(r"[\s_-]+", "", row + column)))


def _parse_stem(stem: str) -> NameParts:
    if stem.count(",") > 1 and (keys := find_keys(stem)):
        return _parts("keys", stem, keys)
    for name, layout in LAYOUTS:
        match = layout.fullmatch(stem)
        tokens = _tokens_of_match(match) if match else None
        if tokens is not None:
            return _parts(name, stem, tokens)
    wells = find_wells(stem)
    return _token_parts(stem, find_tokens(stem, wells[:1]))._replace(wells=tuple(wells))


def _token_parts(stem: str, tokens: list[Token]) -> NameParts:
    parts = _parts("tokens" if tokens else "", stem, tokens)
    return parts._replace(complete=bool(tokens) and not parts.rest)


def parse_chosen(path: PurePath, chosen: Sequence[Token], well: str = "") -> NameParts:
    """Read a name of which other names have decided the well, or that it tells none.

    Parameters
    ----------
    path : path
    chosen : sequence of Token
        Parts that are decided; without a well among them the name tells none.
    well : str
        What a folder above tells.

    Examples
    --------
    >>> from vitascope.io.filenames.tokens import Token
    >>> parse_chosen(PurePath("B16_s2_A3.tif"), [Token("well", "A03", 7, 9)])[2:4]
    ('A03', '2')
    """
    stem, _ = split_suffix(path.name)
    parts = _with_folders(_token_parts(stem, find_tokens(stem, chosen)), path)
    return parts._replace(well=well, layout="tokens", complete=False) if well else parts


def _tokens_of_match(match: re.Match[str]) -> list[Token] | None:
    """Turn named groups into tokens; None where what looked like a well is none."""
    text, spans = match.string, match.regs
    groups = {
        name: spans[number] for name, number in match.re.groupindex.items() if spans[number][0] < spans[number][1]
    }
    tokens = [Token(name if name in PARTS else "", text[a:b], a, b) for name, (a, b) in groups.items()]
    where = groups.get("well") or groups.get("row")
    if where is not None:
        start, end = where
        column = groups.get("column")
        try:
            well = read_well(text[start:end], text[column[0] : column[1]] if column else "")
        except ParameterError:
            return None
        tokens.append(Token("well", well, start, end))
    return tokens


def _tokens_of_pattern(name: str, stem: str, pattern: re.Pattern[str]) -> list[Token]:
    match = pattern.search(stem) or pattern.search(name)
    tokens = _tokens_of_match(match) if match else None
    if tokens is None:
        raise ParameterError(
            f"The pattern '{pattern.pattern}' does not fit the name '{name}'.",
            "Change --pattern so that it fits every file, or give only the files it is meant for.",
        )
    return tokens


def _parts(layout: str, stem: str, tokens: list[Token]) -> NameParts:
    values: dict[str, Any] = {}
    planes, spans = [], set()
    for part, text, start, end in tokens:
        spans.add((start, end))
        if part:
            values[part] = text
        if part in ("z", "channel", ""):
            planes.append((start, end))
    return NameParts(
        layout=layout, rest=_without(stem, spans), complete=True, stem=stem, planes=tuple(planes), **values
    )


def _without(stem: str, spans: Iterable[tuple[int, int]]) -> str:
    """Cut parts out of a stem, and one separator with each."""
    text = stem
    for start, end in sorted(spans, reverse=True):
        before, after = text[:start], text[end:]
        left, right = before.rstrip(SEPARATORS), after.lstrip(SEPARATORS)
        joint = (before[len(left) :] or after[: len(after) - len(right)])[:1] if left and right else ""
        text = left + joint + right
    return text
