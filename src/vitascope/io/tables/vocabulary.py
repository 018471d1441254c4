"""The words that plate maps are written in: names of columns, roles of wells, units of doses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitascope.io.tables.numbers import MISSING, looks_like_number, plain_number, read_number

ROLES = ("treated", "negative", "positive", "blank", "time0", "other")

COLUMNS: dict[str, tuple[str, ...]] = {
    "plate": ("plate", "plate id", "plate name", "plate number", "barcode", "plate barcode"),
    "well": (
        "well",
        "wells",
        "well id",
        "well ids",
        "well name",
        "well position",
        "well positions",
        "well no",
        "well number",
        "well label",
        "position",
        "pos",
    ),
    "row": ("row", "well row", "plate row"),
    "column": ("column", "col", "well column", "well col", "plate column"),
    "treatment": (
        "treatment",
        "compound",
        "compound name",
        "compound id",
        "drug",
        "substance",
        "agent",
        "perturbation",
    ),
    "dose": ("dose", "concentration", "conc", "final concentration", "drug concentration"),
    "dose_unit": ("dose unit", "unit", "units", "dose units", "concentration unit", "conc unit"),
    "role": ("role", "control", "controls", "control type", "well type", "welltype", "type", "content", "sample type"),
    "replicate": ("replicate", "rep", "repeat", "replica"),
    "patient": ("patient", "patient id", "donor", "donor id", "subject"),
}
_LAST_WORDS = {
    **dict.fromkeys(("dose", "doses", "concentration", "concentrations", "conc"), "dose"),
    **dict.fromkeys(("control", "controls", "role", "roles"), "role"),
}
_KNOWN = {name: column for column, names in COLUMNS.items() for name in names}

_ROLE_WORDS = {
    "treated": ("treated", "treatment", "sample", "test", "compound", "cmpd", "unknown", "0"),
    "negative": (
        "negative", "neg", "negative control", "neg control", "negcon", "nc", "vehicle", "vehicle control", "dmso",
        "solvent", "medium", "media", "untreated", "control", "ctrl", "-1", "min",
    ),
    "positive": ("positive", "pos", "positive control", "pos control", "poscon", "pc", "1", "+1", "max"),
    "blank": ("blank", "empty", "background", "no cells", "none"),
    "time0": (
        "time0", "time 0", "time-0", "t0", "t 0", "t=0", "t = 0", "time zero", "day0", "day 0", "d0", "0h", "0 h",
        "baseline",
    ),
    "other": ("other", "cont", "contaminated", "excluded", "not used", "flagged"),
}  # fmt: skip
_ROLE_OF = {word: role for role, words in _ROLE_WORDS.items() for word in words}
_VEHICLES = ("dmso", "vehicle", "medium", "media", "untreated", "solvent", "water", "pbs", "control", "none")

_LITRE = {"l": 1.0, "ml": 1e3, "ul": 1e6, "dl": 10.0}
_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_UNIT = re.compile(r"(?P<prefix>[munpf]?)(?:(?P<molar>M|mol/l|molar)|g/(?P<volume>[mud]?l))", re.IGNORECASE)
_SHOWN = {"u": "µ"}
_DOSE = re.compile(r"\s*(?P<number>[-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\d\s.,][^\d]*)?\s*")


_MEASURED = re.compile(
    r"signal|rlu|rfu|rfi|lum|luminescence|fluorescence|absorbance|abs|od\d*|optical density|atp|counts?|cps|intensity|"
    r"viability|values?|readout|reading|raw|celltiter[ -]?glo|ctg|resazurin|mtt",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DoseUnit:
    """A unit of dose.

    Parameters
    ----------
    name : str
        As tables show it: ``µM``, ``µg/ml``, ``%``.
    kind : {"molar", "mass", "percent"}
        Units of one kind can be converted into each other.
    factor : float
        To mol/l, g/l or per cent.
    """

    name: str
    kind: str
    factor: float


def read_unit(text: str) -> DoseUnit | None:
    """Read a unit of dose; None where it is none.

    Examples
    --------
    >>> read_unit("uM").name, read_unit("ng/mL").name, read_unit("parsec")
    ('µM', 'ng/ml', None)
    """
    plain = text.strip().strip("()[]").strip().replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    if plain in ("%", "% v/v", "%v/v", "% w/v", "percent"):
        return DoseUnit("%", "percent", 1.0)
    match = _UNIT.fullmatch(plain.replace(" ", "").replace("umol/l", "uM") if plain != "M" else "M")
    if match is None:
        return None
    prefix = match["prefix"].lower()
    shown = _SHOWN.get(prefix, prefix)
    if match["volume"] is None:
        return DoseUnit(f"{shown}M", "molar", _PREFIX[prefix])
    volume = match["volume"].lower()
    return DoseUnit(
        f"{shown}g/{_SHOWN.get(volume[0], volume[0])}{volume[1:]}", "mass", _PREFIX[prefix] * _LITRE[volume]
    )


def read_column(header: str) -> tuple[str, str]:
    """Read what a column holds: one of :data:`COLUMNS` and, for a dose, its unit; empty text where it is not known.

    Examples
    --------
    >>> read_column("Concentration [uM]"), read_column("dose_nm"), read_column("Gene")
    (('dose', 'µM'), ('dose', 'nM'), ('', ''))
    """
    words = re.sub(r"[\s_.-]+", " ", header.strip()).casefold()
    if words in _KNOWN:
        return _KNOWN[words], ""
    match = re.fullmatch(
        r"(?P<name>[^\[(,]+?)\s*(?:\[(?P<a>[^]]+)\]|\((?P<b>[^)]+)\)|[,_ ]\s*(?P<c>\S+))", header.strip()
    )
    if match is None:
        return "", ""
    name = re.sub(r"[\s_.-]+", " ", match["name"]).strip().casefold()
    unit = read_unit(match["a"] or match["b"] or match["c"])
    return ("dose", unit.name) if _KNOWN.get(name) == "dose" and unit is not None else ("", "")


def is_measured(header: str, cells: Sequence[str]) -> bool:
    """Tell whether a column holds what a reader measures: it is called so, and has numbers.

    Most of its cells are numbers where the name has other words too.

    Examples
    --------
    >>> is_measured("RLU", ["5", "OVER"]), is_measured("raw data file", ["a.csv"]), is_measured("Batch", ["5"])
    (True, False, False)
    """
    words = [word for word in re.split(r"[\s_()\[\]:,/]+", header) if word]
    known = [word for word in words if _MEASURED.fullmatch(word)]
    filled = [cell for cell in cells if cell]
    numbers = sum(map(looks_like_number, filled))
    if not known or not numbers:
        return False
    return len(known) == len(words) or header.startswith("signal ") or 2 * numbers > len(filled)


def guess_columns(columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Read what columns hold whose names end in a word that we know, such as ``SBS_Doses``, if all their cells fit.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        Cells of the columns whose names tell nothing as they stand.

    Returns
    -------
    dict of str to str
        ``dose`` or ``role`` by name.

    Examples
    --------
    >>> guess_columns({"SBS_Doses": ["0", "1,5"], "Controls_SBS": ["-1", "1"], "Quality control": ["good", "1"]})
    {'SBS_Doses': 'dose'}
    """
    found: dict[str, str] = {}
    for header, cells in columns.items():
        last = re.split(r"[\s_.-]+", header.strip())[-1].casefold()
        column = _LAST_WORDS.get(last, "")
        fits = (
            all(read_dose(cell, "," in cell) is not None for cell in cells)
            if column == "dose"
            else all(read_role(cell) != "other" for cell in cells)
        )
        if column and fits and any(cell.strip() for cell in cells) and column not in found.values():
            found[header] = column
    return found


def read_role(text: str) -> str:
    """Read the role of a well; ``other`` for a word that is not known, empty for none.

    Examples
    --------
    >>> read_role("DMSO"), read_role("pos"), read_role("Barcode1"), read_role("")
    ('negative', 'positive', 'other', '')
    """
    words = re.sub(r"[\s_.]+", " ", text.strip()).casefold()
    return _ROLE_OF.get(words, "other") if words else ""


def is_vehicle(treatment: str) -> bool:
    """Tell whether a treatment is none: the solvent or the medium alone."""
    return treatment.strip().casefold() in _VEHICLES


def read_dose(cell: str, decimal_comma: bool) -> tuple[float, str] | None:
    """Read ``10``, ``0,5`` or ``10 uM``; None where it is no dose, NaN where there is none.

    Examples
    --------
    >>> read_dose("0,5 uM", True), read_dose("ten", False)
    ((0.5, 'µM'), None)
    """
    number_and_unit = split_dose(cell)
    if number_and_unit is None:
        return None
    text, unit_text = number_and_unit
    number = read_number(text, "," if decimal_comma else ".")
    unit = read_unit(unit_text) if unit_text else None
    if number is None or (unit_text and unit is None):
        return None
    return number, unit.name if unit else ""


def split_dose(cell: str) -> tuple[str, str] | None:
    """Divide a dose into its number and its unit, as text; empty text for no dose, None where it is none.

    Examples
    --------
    >>> split_dose("10 uM"), split_dose("NA"), split_dose("<5")
    (('10', 'uM'), ('', ''), None)
    """
    text = plain_number(cell)
    if text.casefold() in MISSING:
        return "", ""
    match = _DOSE.fullmatch(text)
    return (match["number"], (match["unit"] or "").strip()) if match else None
