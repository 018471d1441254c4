"""The plate configuration of a cellHTS2 screen: which wells of which plates hold the controls."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vitascope.core.errors import InputError, describe
from vitascope.core.well import PLATE_SHAPES, Well
from vitascope.io.tables.read import Line

_PATTERNS = "Write wells as A01, or as a regular expression such as A0[1-3]."


def is_plateconf(lines: Sequence[Line]) -> bool:
    """Tell whether a table is such a file, by its first line and its header."""
    headed = any([cell.casefold() for cell in cells[:3]] == ["plate", "well", "content"] for _, cells in lines[:10])
    return headed and re.fullmatch(r"wells?:?\s*\d*", lines[0][1][0], re.IGNORECASE) is not None


def plateconf_rows(lines: Sequence[Line]) -> tuple[list[dict[str, str]], list[int]]:
    """Read the ``Plateconf.txt`` of a cellHTS2 screen: patterns of plates and wells, later lines before earlier ones.

    Raises
    ------
    InputError
        If a line cannot be read.

    References
    ----------
    cellHTS2, "plate configuration file": columns Plate, Well and Content, ``*`` for all, wells as regular expressions.
    """
    numbers: dict[str, int] = {}
    start = 0
    for at, (_, cells) in enumerate(lines):
        match = re.fullmatch(r"(wells|plates):?\s*(\d*)", " ".join(cell for cell in cells if cell), re.IGNORECASE)
        if match:
            numbers[match[1].lower()] = int(match[2] or 0)
        if cells[0].casefold() == "plate":
            start = at + 1
            break
    shape = PLATE_SHAPES.get(numbers.get("wells", 0))
    if shape is None:
        raise InputError(
            f"A plate of {numbers.get('wells', 0)} wells is not known.", "Write for instance 'Wells: 384'."
        )
    wells = [Well(row, column) for row in range(shape[0]) for column in range(shape[1])]
    found: dict[tuple[str, Well], tuple[dict[str, str], int]] = {}
    for number, cells in lines[start:]:
        plate, pattern, content = ([*cells, "", "", ""])[:3]
        try:
            fits = re.compile(".*" if pattern == "*" else pattern, re.IGNORECASE)
        except re.error as error:
            raise InputError(
                f"The wells '{pattern}' in line {number} cannot be read: {describe(error)}.", _PATTERNS
            ) from error
        name = "" if plate == "*" else plate
        for well in wells:
            if fits.fullmatch(str(well)):
                row = {"plate": name, "well": str(well), "role": content}
                found.pop((name, well), None)
                found[name, well] = (row, number)
    return [row for row, _ in found.values()], [number for _, number in found.values()]
