"""Roles of wells, in the words of plate maps, readers and screens."""

from __future__ import annotations

import re

ROLES = ("treated", "negative", "positive", "blank", "time0", "other")

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
_VEHICLES = (
    "dmso", "vehicle", "medium", "media", "untreated", "solvent", "water", "pbs", "control", "none", "ctrl", "mock",
    "negative control", "neg control", "negcon", "vehicle control", "solvent control", "dmso control",
    "untreated control", "no drug", "no compound", "no treatment",
)  # fmt: skip
_PERCENT = re.compile(r"\(?\d[\d.,]*\s*%\s*(\(?[vw]/[vw]\)?)?\)?", re.IGNORECASE)


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
    """Tell whether a treatment is none: the solvent or the medium alone, at whatever percentage.

    Examples
    --------
    >>> is_vehicle("Vehicle"), is_vehicle("0.1 % DMSO"), is_vehicle("Negative_control"), is_vehicle("compound 1")
    (True, True, True, False)
    """
    words = re.sub(r"[\s_.-]+", " ", _PERCENT.sub(" ", treatment)).strip().casefold()
    return words in _VEHICLES
