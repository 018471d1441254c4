"""The user's own pattern for file names: ``{well}_{field}_w{channel}``, or a regular expression with named groups."""

from __future__ import annotations

import re

from vitascope.core.errors import ParameterError, describe

GROUPS = {
    "plate": r"[^/]+?",
    "well": r"[A-Za-z]{1,2}[ _-]*\d{1,2}",
    "row": r"[A-Za-z]{1,2}|\d{1,2}",
    "column": r"\d{1,2}",
    "field": r"[A-Za-z0-9]+?",
    "z": r"\d+(?:\.\d+)?",
    "channel": r"[^/]+?",
    "time": r"[^/]+?",
}
_EXAMPLE = (
    "Write for instance '{plate}_{well}_s{field}_w{channel}', "
    r"or a regular expression such as '(?P<well>[A-P]\d+)_z(?P<z>\d+)'."
)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile what ``--pattern`` takes.

    Parameters
    ----------
    pattern : str
        Either text with the parts in braces, ``*`` standing for anything, that fits the whole name with or without
        its suffix; or a regular expression with named groups, searched in the name. Parts: plate, well (or row and
        column), field, z, channel, time. What lies outside the parts tells images apart. With ``/``, the folders above
        the file count too: ``{plate}/{well}/{channel}``.

    Returns
    -------
    compiled pattern
        With those named groups.

    Raises
    ------
    ParameterError
        If it is no such pattern, or names a part that is not known, or none.

    Examples
    --------
    >>> compile_pattern("{well}_z{z}").search("B2_z07")["z"]
    '07'
    """
    text = pattern if "(?P<" in pattern else _from_braces(pattern)
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise ParameterError(f"The pattern '{pattern}' cannot be used: {describe(error)}.", _EXAMPLE) from error
    unknown = sorted(set(compiled.groupindex) - set(GROUPS))
    if unknown or not compiled.groupindex:
        what = f"does not know the part '{unknown[0]}'" if unknown else "names no part of a file name"
        raise ParameterError(f"The pattern '{pattern}' {what}; known: {', '.join(GROUPS)}.", _EXAMPLE)
    if ("row" in compiled.groupindex) != ("column" in compiled.groupindex):
        raise ParameterError(
            f"The pattern '{pattern}' names a row without a column, or a column without a row.", _EXAMPLE
        )
    return compiled


def folder_levels(pattern: re.Pattern[str]) -> int:
    """Count the folders above a file that a pattern reads too."""
    return pattern.pattern.replace("[^/]", "").count("/")


def _from_braces(pattern: str) -> str:
    pieces = re.split(r"(\{[^{}]*\}|\*)", pattern)
    text = ""
    for piece in pieces:
        if piece == "*":
            text += "[^/]*?"
        elif piece.startswith("{") and piece.endswith("}"):
            part = piece[1:-1].strip()
            if part not in GROUPS:
                raise ParameterError(
                    f"The pattern '{pattern}' does not know the part '{part}'; known: {', '.join(GROUPS)}.", _EXAMPLE
                )
            text += f"(?P<{part}>{GROUPS[part]})"
        else:
            text += re.escape(piece)
    return rf"\A(?:{text})\Z"
