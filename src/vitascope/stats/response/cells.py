"""Cells of a table of wells: a number by the rule of ``core.numbers``, with a bound before it and a unit after."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitascope.core.dose_unit import read_unit
from vitascope.core.errors import InputError
from vitascope.core.numbers import MISSING, Mark, decimal_mark, plain_number, read_number

_CELL = re.compile(r"(<=|>=|<|>|≤|≥)?\s*([-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?)\s*(.*)", re.DOTALL)
_MISSING = {*MISSING, "<na>", "nat", "--"}


@dataclass(frozen=True)
class Cell:
    """What stands in a cell.

    Parameters
    ----------
    value : float
        NaN where there is no number.
    bound : str
        ``<`` or ``>`` where the number is a bound.
    unit : str
        Text after the number.
    problem : str
        Why there is no number, in a sentence; empty for a number and for an empty cell.
    """

    value: float
    bound: str = ""
    unit: str = ""
    problem: str = ""


def read_column(cells: Sequence[Any]) -> list[Cell]:
    """Read the cells of one column, the decimal mark told from all of them.

    Numbers stay as they are. Text is read by the rule of :func:`vitascope.core.numbers.decimal_mark`; where that leaves
    two readings, the cells that differ have a problem and no number.

    Examples
    --------
    >>> [cell.value for cell in read_column(["0,5", "10", ""])]
    [0.5, 10.0, nan]
    >>> read_column(["10 uM"])[0].unit, read_column(["<0.5"])[0].bound, read_column(["1,234"])[0].problem
    ('uM', '<', "'1,234' may be 1.234 or 1234")
    """
    found = [_CELL.fullmatch(plain_number(cell)) if isinstance(cell, str) else None for cell in cells]
    mark: Mark | None
    try:
        mark = decimal_mark([match[2] for match in found if match])
    except InputError:
        mark = None
    return [
        _read(cell.strip(), match, mark) if isinstance(cell, str) else _number(cell)
        for cell, match in zip(cells, found, strict=True)
    ]


def _read(text: str, match: re.Match[str] | None, mark: Mark | None) -> Cell:
    if text.casefold() in _MISSING:
        return Cell(math.nan)
    if match is None:
        return Cell(math.nan, problem=f"'{text}' is no number")
    bound, digits, unit = match[1] or "", match[2], match[3].strip()
    one, other = (read_number(digits, at) for at in (".", ","))
    if mark is None and one is not None and other is not None and one != other:
        least, most = sorted((one, other))
        return Cell(math.nan, problem=f"'{digits}' may be {least:.15g} or {most:.15g}")
    value = one if mark == "." else other if mark == "," else (one if one is not None else other)
    if value is None:
        return Cell(math.nan, problem=f"'{text}' is no number")
    return Cell(value, {"≤": "<", "<=": "<", "≥": ">", ">=": ">"}.get(bound, bound), unit)


def _number(cell: Any) -> Cell:
    try:
        value = math.nan if cell is None or isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        return Cell(math.nan, problem="" if str(cell) in ("<NA>", "NaT") else f"'{cell}' is no number")
    return Cell(value, problem=f"{value} is no finite number") if math.isinf(value) else Cell(value)


def unit_scale(unit: str) -> tuple[str, float]:
    """Return the kind of a unit of dose, and its size in the base unit of that kind: mol/l, g/l, %, or itself.

    Examples
    --------
    >>> unit_scale("nM"), unit_scale("mg/mL"), unit_scale("step")
    (('molar', 1e-09), ('mass', 1.0), ('step', 1.0))
    """
    known = read_unit(unit)
    return (known.kind, known.factor) if known else (" ".join(unit.casefold().split()), 1.0)


def unit_in_name(column: str) -> str:
    """Return the unit that a column's name ends with: ``dose_um``, ``dose [nM]``, ``conc (µg/mL)``; else empty.

    Examples
    --------
    >>> unit_in_name("dose_um"), unit_in_name("Conc. (nM)"), unit_in_name("dose"), unit_in_name("dose [step]")
    ('µM', 'nM', '', 'step')
    """
    return split_unit(column)[1]


def split_unit(column: str) -> tuple[str, str]:
    """Split a column's name into what stands before the unit, and the unit as :func:`unit_in_name` has it.

    Examples
    --------
    >>> split_unit("Conc. (nM)"), split_unit("dose_um"), split_unit("dose_id")
    (('Conc.', 'nM'), ('dose', 'µM'), ('dose_id', ''))
    """
    if (bracket := re.search(r"[\[(]([^\])]+)[\])]\s*\Z", column)) is not None:
        known = read_unit(text := bracket[1].strip())
        return column[: bracket.start()].strip(), known.name if known else text
    stem, bar, last = column.rpartition("_")
    known = read_unit(last) if bar else None
    return (stem, known.name) if known else (column, "")
