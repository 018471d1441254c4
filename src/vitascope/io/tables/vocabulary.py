"""The words that plate maps are written in: names of columns, and doses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vitascope.core.dose_unit import read_unit
from vitascope.core.numbers import MISSING, looks_like_number, plain_number, read_number
from vitascope.core.well_role import read_role

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
_ELSEWHERE = {
    "plate": ("platte", "plaque", "placa"),
    "well": ("vertiefung", "kavität", "puits", "pocillo"),
    "treatment": (
        "behandlung",
        "verbindung",
        "substanz",
        "wirkstoff",
        "traitement",
        "composé",
        "tratamiento",
        "compuesto",
    ),
    "dose": ("dosis", "konzentration", "konz", "concentración"),
    "dose_unit": ("einheit", "unité", "unidad"),
    "role": ("rolle", "kontrolle", "contrôle", "rôle"),
    "replicate": ("replikat", "réplicat", "réplica"),
}
"""The same in German, French and Spanish."""

_LAST_WORDS = {
    **dict.fromkeys(("dose", "doses", "concentration", "concentrations", "conc"), "dose"),
    **dict.fromkeys(("control", "controls", "role", "roles"), "role"),
}
_KNOWN = {name: column for words in (COLUMNS, _ELSEWHERE) for column, names in words.items() for name in names}

_DOSE = re.compile(r"\s*(?P<number>[-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\d\s.,][^\d]*)?\s*")


_MEASURED = re.compile(
    r"signal|rlu|rfu|rfi|lum|luminescence|fluorescence|absorbance|abs|od\d*|optical density|atp|counts?|cps|intensity|"
    r"viability|values?|readout|reading|raw|celltiter[ -]?glo|ctg|resazurin|mtt",
    re.IGNORECASE,
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
    name, unit = _name_and_unit(header)
    return ("dose", unit) if unit and _KNOWN.get(name) == "dose" else ("", "")


def unit_of_dose(header: str) -> str:
    """Read the unit from the name of a column that is told to hold doses; empty if there is none.

    Examples
    --------
    >>> unit_of_dose("Dosis (nM)"), unit_of_dose("SBS_Doses")
    ('nM', '')
    """
    return _name_and_unit(header)[1]


def _name_and_unit(header: str) -> tuple[str, str]:
    """Split ``Conc [uM]`` into the name as :data:`COLUMNS` spells it and the unit of dose, or empty text."""
    match = re.fullmatch(
        r"(?P<name>[^\[(,]+?)\s*(?:\[(?P<a>[^]]+)\]|\((?P<b>[^)]+)\)|[,_ ]\s*(?P<c>\S+))", header.strip()
    )
    if match is None:
        return "", ""
    unit = read_unit(match["a"] or match["b"] or match["c"])
    return re.sub(r"[\s_.-]+", " ", match["name"]).strip().casefold(), "" if unit is None else unit.name


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
