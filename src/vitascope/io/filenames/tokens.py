"""Parts of a file name that no instrument's layout claims: ``_z03``, ``ch01``, ``B07`` between separators."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from vitascope.core.errors import ParameterError
from vitascope.core.well import Well

GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
SEPARATORS = "_-., "
_LEFT, _RIGHT = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"

# Words that announce a number, most telling first: what a later word says of a part already found stays in the name.
_WORDS = (
    ("z", "zstack|zstep|zplane|zslice|slice|plane|depth|z"),
    ("channel", "channel|chan|ch"),
    ("field", "field|fld|site|position|pos|fov|xy"),
    ("time", "timepoint|time|tp"),
    ("field", "s"),
    ("field", "f"),
    ("time", "t"),
    ("time", "day"),
)
# A space or separator may stand between a whole word and its number, not between a letter and its number.
_ANNOUNCED = tuple(
    (part, re.compile(rf"{_LEFT}(?:(?:{words})|(?:(?:{words})[ _=-]))(\d+){_RIGHT}", re.IGNORECASE))
    if len(words) > 1
    else (part, re.compile(rf"{_LEFT}{words}(\d+){_RIGHT}", re.IGNORECASE))
    for part, words in _WORDS
)
_CHAIN = re.compile(rf"{_LEFT}(?:[zcstf]\d+){{2,}}{_RIGHT}", re.IGNORECASE)
_CHAIN_PARTS = {"z": "z", "c": "channel", "s": "field", "f": "field", "t": "time"}
_SPLIT_CHANNEL = re.compile(r"\A(C\d)-(?=.)")
_POSITION = re.compile(rf"{_LEFT}[pP](\d{{3,}}){_RIGHT}")
"""Before a well the number may as well be a patient's."""
_CHANNEL_LETTER = re.compile(rf"{_LEFT}(c\d{{1,2}}|[cC]\d{{3,5}}){_RIGHT}")
_WAVELENGTH = re.compile(rf"{_LEFT}([wW]\d{{1,2}}){_RIGHT}")

_NAMED_WELL = re.compile(rf"{_LEFT}well[ _-]?([A-P][A-F]?\d{{1,2}}){_RIGHT}", re.IGNORECASE)
_CAPITAL_WELL = re.compile(rf"{_LEFT}((?:A[A-F]|[A-P])\d{{1,2}}){_RIGHT}")
_FIRST_WELL = re.compile(rf"((?:A[A-F]|[A-P])\d{{1,2}}){_RIGHT}")
_SMALL_WELL = re.compile(rf"(?:\A(?=[a-p]\d\d)|{_LEFT}(?=[abeghijklmno]))([a-p]\d{{1,2}}){_RIGHT}")
_PLATE = re.compile(r"\A\S*(?:plate|plt)[ _-]?\w*\Z", re.IGNORECASE)

_KEYS = {
    "plate": "plate", "well": "well", "field": "field", "site": "field", "z": "z", "z_depth": "z",
    "channel": "channel", "time": "time", "timepoint": "time", "time_point": "time",
}  # fmt: skip


class Token(NamedTuple):
    """A part found in a name.

    Parameters
    ----------
    part : {"plate", "well", "field", "time", "channel", "z", ""}
        Empty for what tells nothing, such as the random identifier that some instruments add.
    text : str
        What it says.
    start, end : int
        Where it stands in the stem, the word that announces it included.
    """

    part: str
    text: str
    start: int
    end: int


def find_tokens(stem: str, chosen: Sequence[Token] | None = None) -> list[Token]:
    """Find the parts of a name that no layout claims.

    Parameters
    ----------
    stem : str
        File name without suffix.
    chosen : sequence of Token, optional
        Parts that the other names have decided (see :mod:`vitascope.io.filenames.wells`), the well among them where
        there is one; by default the well is what this name by itself says.

    Returns
    -------
    list of Token
        At most one for each part; empty where the name tells nothing.

    Examples
    --------
    >>> [(t.part, t.text) for t in find_tokens("well_A1_z03")]
    [('well', 'A01'), ('z', '03')]
    """
    found = {token.part: token for token in (find_wells(stem)[:1] if chosen is None else chosen)}
    if "well" in found:
        prefix = stem[: found["well"].start].rstrip(SEPARATORS)
        if _PLATE.match(prefix):
            found["plate"] = Token("plate", prefix, 0, len(prefix))
    for token in _candidates(stem):
        # A wavelength number stands for a channel only beside a well or field: "w2" alone may be week two.
        alone = token.text[:1] in "wW" and not {"well", "field"} & set(found)
        if token.part not in found and not alone and not any(_overlap(token, other) for other in found.values()):
            found[token.part] = token
    position = _POSITION.search(stem, found["well"].end) if "well" in found and "field" not in found else None
    if position:
        found["field"] = Token("field", position[1], *position.span())
    tokens = list(found.values())
    identifier = re.search(rf"[_ \[]*{GUID}\]?\Z", stem)
    if tokens and identifier:
        tokens.append(Token("", "", *identifier.span()))
    return tokens


def find_wells(stem: str) -> list[Token]:
    """Find the words of a name that may be its well, the most telling first.

    ``well_A1`` is no question. Else two-digit columns go before one-digit ones, the first before the later, capitals
    before small letters; a small letter is a well only at the start of the name, or where it cannot be short for
    channel, field or plane.

    Examples
    --------
    >>> [token.text for token in find_wells("B16_DMSO_A3")]
    ['B16', 'A03']
    """
    named = list(_NAMED_WELL.finditer(stem))
    capitals = [m for m in _CAPITAL_WELL.finditer(stem) if m.start() or not _SPLIT_CHANNEL.match(stem)]
    capitals.sort(key=lambda match: not match[1][-2:].isdigit())
    wells = []
    for match in named[:1] or [*capitals, *_SMALL_WELL.finditer(stem)]:
        with contextlib.suppress(ParameterError):
            wells.append(Token("well", read_well(match[1]), *match.span()))
    return wells


def find_first_well(stem: str) -> Token | None:
    """Find the well that a name begins with, be it short for a split channel too, as in ``C1-left``."""
    match = _FIRST_WELL.match(stem)
    with contextlib.suppress(ParameterError):
        return Token("well", read_well(match[1]), *match.span(1)) if match else None
    return None


@lru_cache(maxsize=4096)
def read_well(text: str) -> str:
    """Write a well as ``B07``.

    Raises
    ------
    ParameterError
        If it is no well.
    """
    return str(Well.parse(text))


def find_keys(stem: str) -> list[Token]:
    """Read a name of comma-separated ``key-value`` pairs, such as ``well-A4,z_depth-10,channel-PHASE_CONTRAST``.

    Examples
    --------
    >>> [(t.part, t.text) for t in find_keys("lab-X,well-A4,z_depth-10")]
    [('well', 'A04'), ('z', '10')]
    """
    tokens = []
    start = 0
    for piece in stem.split(","):
        key, separator, value = piece.partition("=" if "=" in piece else "-")
        part = _KEYS.get(key.strip().lower(), "")
        if part == "well":
            try:
                value = str(Well.parse(value))
            except ParameterError:
                part = ""
        if part and separator and value:
            tokens.append(Token(part, value, start, start + len(piece)))
        start += len(piece) + 1
    return tokens


def _candidates(stem: str) -> Iterator[Token]:
    for chain in _CHAIN.finditer(stem):
        for match in re.finditer(r"([A-Za-z])(\d+)", chain[0]):
            part = _CHAIN_PARTS[match[1].lower()]
            text = match[0] if part == "channel" else match[2]
            yield Token(part, text, chain.start() + match.start(), chain.start() + match.end())
    for part, pattern in _ANNOUNCED:
        for match in pattern.finditer(stem):
            yield Token(part, match[0] if part == "channel" else match[1], *match.span())
    for pattern in (_SPLIT_CHANNEL, _WAVELENGTH, _CHANNEL_LETTER):
        for match in pattern.finditer(stem):
            yield Token("channel", match[1], *match.span(1))


def _overlap(one: Token, other: Token) -> bool:
    return one.start < other.end and other.start < one.end
