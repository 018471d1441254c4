"""What a pattern for file names matches, file by file, while it is being typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.errors import ParameterError
from vitascope.io.filenames.parse import NameParts, parse_name
from vitascope.io.filenames.user_patterns import compile_pattern
from vitascope.io.filenames.wells import settle_wells

PARTS = ("plate", "well", "field", "z", "channel", "time")


@dataclass(frozen=True)
class Match:
    """What is read from one name.

    Parameters
    ----------
    path : Path
    parts : NameParts
        Empty where the name does not fit.
    """

    path: Path
    parts: NameParts

    @property
    def told(self) -> dict[str, str]:
        """The parts that the name tells, in the order plate, well, field, z, channel, time."""
        return {part: text for part in PARTS if (text := getattr(self.parts, part))}


@dataclass(frozen=True)
class PatternPreview:
    """What a pattern makes of a list of files.

    Parameters
    ----------
    matches : tuple of Match
    error : str
        Why the pattern cannot be used; empty where it can.
    """

    matches: tuple[Match, ...]
    error: str = ""

    @property
    def fitting(self) -> int:
        """Number of names that tell a well."""
        return sum(bool(match.parts.well) for match in self.matches)

    @property
    def summary(self) -> str:
        """One sentence: how many names fit, and what they are together."""
        if self.error:
            return self.error
        counts = {part: len({match.told[part] for match in self.matches if part in match.told}) for part in PARTS}
        named = {
            "plate": "plates",
            "well": "wells",
            "field": "fields",
            "z": "planes",
            "channel": "channels",
            "time": "times",
        }
        parts = [
            f"{number} {named[part] if number != 1 else named[part][:-1]}" for part, number in counts.items() if number
        ]
        return f"{self.fitting} of {len(self.matches)} names tell a well: {', '.join(parts) or 'no part is found'}."


def preview_pattern(paths: Sequence[Path], pattern: str = "") -> PatternPreview:
    """Read names by a pattern, or by the known layouts where it is empty; never fails, whatever is typed.

    Parameters
    ----------
    paths : sequence of Path
        Such as :func:`vitascope.io.plates.image_folder.list_images` finds; no file is opened.
    pattern : str
        See :func:`vitascope.io.filenames.user_patterns.compile_pattern`.

    Returns
    -------
    PatternPreview

    Examples
    --------
    >>> preview_pattern([Path("x_B02_1.tif"), Path("x_B03_1.tif"), Path("y.tif")], "x_{well}_{field}").summary
    '2 of 3 names tell a well: 2 wells, 1 field.'
    """
    try:
        compiled = compile_pattern(pattern) if pattern.strip() else None
    except ParameterError as error:
        return PatternPreview(tuple(Match(path, NameParts()) for path in paths), str(error))
    if compiled is None:
        told = settle_wells(paths, [parse_name(path) for path in paths], [path.parent for path in paths], "leave")
        return PatternPreview(tuple(map(Match, paths, told)))
    matches = []
    for path in paths:
        try:
            parts = parse_name(path, compiled)
        except ParameterError:
            parts = NameParts()
        matches.append(Match(path, parts))
    return PatternPreview(tuple(matches))
