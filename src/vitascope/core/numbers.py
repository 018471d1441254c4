"""Numbers as people and instruments write them: one rule for decimals and thousands, for every table that is read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from vitascope.core.errors import InputError

Mark = Literal[".", ","]

MISSING = ("", "na", "n/a", "nan", "none", "null", "-", "–")

_SPACED = re.compile(r"(?<=\d)['’\s\u00a0\u2009\u202f](?=\d{3}(?:\D|\Z))")
_LOOKS = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?")
_READINGS: dict[Mark, re.Pattern[str]] = {
    ".": re.compile(r"[-+]?(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?"),
    ",": re.compile(r"[-+]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)?(?:,\d*)?(?:[eE][-+]?\d+)?"),
}


def decimal_mark(cells: Sequence[str], lines: Sequence[int] = ()) -> Mark:
    """Tell whether the point or the comma is the decimal mark of the numbers that belong together.

    Parameters
    ----------
    cells : sequence of str
        A column, or a plate's grid. Words among them do not count. A space or an apostrophe before three digits always
        marks thousands.
    lines : sequence of int
        The line that each stands in, for the error.

    Returns
    -------
    {".", ","}
        That which fits all numbers. A mark that fits some is returned where none fits all: :func:`read_number` then
        refuses the others.

    Raises
    ------
    InputError
        If both fit and mean different numbers, as in ``1,000`` and ``20``. Points alone are decimals where each number
        has the same three of them (``2.100``, ``2.130``), as instruments write.

    Examples
    --------
    >>> decimal_mark(["0,5", "12"]), decimal_mark(["0.5", "1,234.5"]), decimal_mark(["1,234,567", "1,000"])
    (',', '.', '.')
    """
    found = [text for cell in cells if looks_like_number(text := plain_number(cell))]
    fits: dict[Mark, bool] = {mark: all(_value(text, mark) is not None for text in found) for mark in _READINGS}
    if fits["."] and fits[","]:
        _refuse_both(cells, lines)
        return "."
    if fits[","] or (not fits["."] and not any("." in text for text in found)):
        return ","
    return "."


def _refuse_both(cells: Sequence[str], lines: Sequence[int]) -> None:
    """Refuse numbers that mean something else with either mark."""
    found = {at: text for at, cell in enumerate(cells) if looks_like_number(text := plain_number(cell))}
    at = next((at for at, text in found.items() if _value(text, ".") != _value(text, ",")), None)
    if at is None or all("." in text for text in found.values()):
        return  # a program that writes three decimals writes them always; of numbers with thousands some have no mark
    unclear = found[at]
    where = f" in line {lines[at]}" if len(lines) == len(cells) else ""
    one, other = sorted(value for mark in _READINGS if (value := _value(unclear, mark)) is not None)
    raise InputError(
        f"'{unclear}'{where} may be a number with three decimals or with a mark for thousands: "
        f"{one:.15g} or {other:.15g}.",
        "Save the table without marks for thousands, or with a decimal point and all decimals (1000.0).",
    )


def read_number(cell: str, mark: Mark) -> float | None:
    """Read one cell: a number, NaN for an empty one or ``NA``, None for what is no number.

    Examples
    --------
    >>> read_number("0,5", ","), read_number("<LOD", "."), read_number("1e5", "."), read_number("1,204", ".")
    (0.5, None, 100000.0, 1204.0)
    """
    text = plain_number(cell)
    if text.casefold() in MISSING:
        return math.nan
    return _value(text, mark)


def looks_like_number(cell: str) -> bool:
    """Tell whether a cell is meant as a number: digits and marks only. ``OVER``, ``<5`` and ``---`` are words.

    Examples
    --------
    >>> looks_like_number("1,5.2"), looks_like_number("12"), looks_like_number("<5"), looks_like_number("---")
    (True, True, False, False)
    """
    return _LOOKS.fullmatch(plain_number(cell)) is not None


def plain_number(cell: str) -> str:
    """Write a number with an ordinary minus, and without spaces or apostrophes before each three digits."""
    return _SPACED.sub("", cell.strip().replace("\N{MINUS SIGN}", "-"))


def _value(text: str, mark: Mark) -> float | None:
    if not _LOOKS.fullmatch(text) or not _READINGS[mark].fullmatch(text):
        return None
    other = "," if mark == "." else "."
    value = float(text.replace(other, "").replace(mark, "."))
    return value if math.isfinite(value) else None


def number_text(value: float) -> str:
    """Write a number so that nobody can take its decimals for thousands: those with three get a fourth.

    Examples
    --------
    >>> number_text(1.125), number_text(1000.0), number_text(0.5)
    ('1.1250', '1000', '0.5')
    """
    if math.isfinite(value) and float(value).is_integer():
        return str(int(value))
    text = repr(float(value))
    return f"{text}0" if re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", text) else text
