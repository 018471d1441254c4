"""Numbers, bounds and units as people write them into cells."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"\A(<=|>=|<|>|≤|≥)?\s*([-+]?(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][-+]?\d+)?)\s*(.*)\Z", re.DOTALL)
_THOUSANDS = re.compile(r"\A[-+]?\d{1,3}(,\d{3})+\Z")
_MISSING = {"", "na", "n/a", "nan", "none", "null", "-", "--", "<na>", "nat"}
_MASS_PER_ML = {"g": 1e6, "mg": 1e3, "ug": 1.0, "ng": 1e-3, "pg": 1e-6}
_MOLAR = {"": 1e6, "m": 1e3, "u": 1.0, "n": 1e-3, "p": 1e-6, "f": 1e-9}


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

    Numbers stay as they are. In text a comma is the decimal mark where no cell has a point; where every comma may as
    well stand before thousands, those cells are refused.

    Examples
    --------
    >>> [cell.value for cell in read_column(["0,5", "10", ""])]
    [0.5, 10.0, nan]
    >>> read_column(["10 uM"])[0].unit, read_column(["<0.5"])[0].bound, read_column(["1,234"])[0].problem[:22]
    ('uM', '<', "'1,234' may be 1.234 o")
    """
    matches = [_NUMBER.match(cell.strip()) for cell in cells if isinstance(cell, str)]
    texts = [found.group(2).strip() for found in matches if found]
    point = any("." in text for text in texts)
    commas = [text for text in texts if "," in text]
    doubtful = not point and bool(commas) and all(_THOUSANDS.match(text) for text in commas)
    return [_read(cell, point, doubtful) for cell in cells]


def _read(cell: Any, point: bool, doubtful: bool) -> Cell:
    if type(cell) is float and not math.isinf(cell):
        return Cell(cell)
    if not isinstance(cell, str):
        return _number(cell)
    text = cell.strip()
    if text.casefold() in _MISSING:
        return Cell(math.nan)
    found = _NUMBER.match(text)
    if found is None:
        return Cell(math.nan, problem=f"'{text}' is no number")
    bound, digits, unit = found.group(1) or "", found.group(2).strip(), found.group(3).strip()
    if doubtful and "," in digits:
        return Cell(math.nan, problem=f"'{digits}' may be {digits.replace(',', '.')} or {digits.replace(',', '')}")
    plain = digits.replace("'", "").replace(" ", "")
    plain = plain.replace(",", "") if point else plain.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        return Cell(math.nan, problem=f"'{text}' is no number")
    return Cell(value, {"≤": "<", "<=": "<", "≥": ">", ">=": ">"}.get(bound, bound), unit)


def _number(cell: Any) -> Cell:
    try:
        value = math.nan if cell is None or isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        return Cell(math.nan, problem="" if str(cell) in ("<NA>", "NaT") else f"'{cell}' is no number")
    return Cell(value, problem=f"{value} is no finite number") if math.isinf(value) else Cell(value)


def unit_scale(unit: str) -> tuple[str, float]:
    """Return the kind of a unit of dose, and its size in the base unit of that kind: µM, µg/mL, or itself.

    Examples
    --------
    >>> unit_scale("nM"), unit_scale("mg/L"), unit_scale("step")
    (('molar', 0.001), ('mass', 1.0), ('step', 1.0))
    """
    name = unit.strip().replace("µ", "u").replace("μ", "u").replace("micro", "u").casefold().replace(" ", "")
    for molar in ("mol/l", "moll-1", "mol·l-1", "molar", "m"):
        prefix = name.removesuffix(molar)
        if name.endswith(molar) and prefix in _MOLAR:
            return "molar", _MOLAR[prefix]
    mass, _, volume = name.partition("/")
    if mass in _MASS_PER_ML and volume in ("l", "ml", "ul"):
        return "mass", _MASS_PER_ML[mass] * {"l": 1e-3, "ml": 1.0, "ul": 1e3}[volume]
    return name, 1.0


def unit_in_name(column: str) -> str:
    """Return the unit that a column's name ends with: ``dose_um``, ``dose [nM]``, ``conc (µg/mL)``; else empty.

    Examples
    --------
    >>> unit_in_name("dose_um"), unit_in_name("Conc. (nM)"), unit_in_name("dose")
    ('µM', 'nM', '')
    """
    bracket = re.search(r"[\[(]([^\])]+)[\])]\s*\Z", column)
    if bracket:
        return bracket.group(1).strip()
    last = column.rsplit("_", 1)[-1].casefold() if "_" in column else ""
    return {"um": "µM", "nm": "nM", "mm": "mM", "pm": "pM", "molar": "M"}.get(last, "")
