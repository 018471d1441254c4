"""Units of doses as people write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_LITRE = {"l": 1.0, "ml": 1e3, "ul": 1e6, "dl": 10.0}
_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_UNIT = re.compile(r"(?P<prefix>[munpf]?)(?:(?P<molar>M|mol/l|molar)|g/(?P<volume>[mud]?l))", re.IGNORECASE)
_SHOWN = {"u": "µ"}
_PREFIX_WORDS = {"milli": "m", "micro": "u", "nano": "n", "pico": "p"}
_WORDS = re.compile(r"\A(milli|micro|nano|pico)", re.IGNORECASE)


_LOG = re.compile(r"(?P<word>log10|log2|log|lg|ln)(?![a-z])[\s_.:-]*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_LOG_WITHIN = re.compile(
    r"(?P<head>.*[^a-z0-9−-])(?P<word>log10|log2|log|lg|ln)(?![a-z0-9])[\s_.:-]*(?P<tail>.*)", re.IGNORECASE | re.DOTALL
)
"""A word within a name, such as ``Dose (log M)``."""

_TURNED_ROUND = re.compile(r"(\A|[\[(])\s*[-−]\s*(log|lg|ln)", re.IGNORECASE)
_BASES = {"log10": 10.0, "log": 10.0, "lg": 10.0, "log2": 2.0, "ln": math.e}


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
    >>> read_unit("uM").name, read_unit("ng/mL").name, read_unit("micromolar").name, read_unit("parsec")
    ('µM', 'ng/ml', 'µM', None)
    """
    plain = _WORDS.sub(lambda match: _PREFIX_WORDS[match[1].casefold()], text.strip().strip("()[]").strip())
    plain = plain.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
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


def unit_name(text: str) -> str:
    """Return a unit of dose the one way it is shown, however it was spelt; other words as they are.

    Examples
    --------
    >>> unit_name("uM"), unit_name("umol/L"), unit_name("NG/ML"), unit_name("step")
    ('µM', 'µM', 'ng/ml', 'step')
    """
    known = read_unit(text)
    return known.name if known else text


def is_negative_log(text: str) -> bool:
    """Whether a name speaks of logarithms with their sign turned round.

    Examples
    --------
    >>> is_negative_log("-log10 dose (M)"), is_negative_log("Dose (-log M)"), is_negative_log("Dose - log M")
    (True, True, False)
    """
    return _TURNED_ROUND.search(text) is not None


def split_log(text: str) -> tuple[float, str]:
    """Base of the logarithm that a unit or a column's name speaks of, and the rest of it; 0 where it speaks of none.

    Examples
    --------
    >>> split_log("log10 uM"), split_log("Log[M]"), split_log("log10(Concentration [nM])"), split_log("logistic")
    ((10.0, 'uM'), (10.0, 'M'), (10.0, 'Concentration [nM]'), (0.0, 'logistic'))
    >>> split_log("Dose (log M)"), split_log("dose_log10_nM"), split_log("Dose (log10)"), split_log("-log10 dose")
    ((10.0, 'Dose (M)'), (10.0, 'dose_nM'), (10.0, 'Dose'), (0.0, '-log10 dose'))
    """
    if is_negative_log(text):
        return 0.0, text
    if (match := _LOG.fullmatch(text.strip())) is not None:
        rest = match["rest"].strip()
    elif (match := _LOG_WITHIN.fullmatch(text.strip())) is not None:
        rest = re.sub(r"[\[(]\s*[\])]|[\s_,]+\Z", "", f"{match['head']}{match['tail']}").strip()
    else:
        return 0.0, text
    if rest[:1] + rest[-1:] in ("()", "[]"):
        rest = rest[1:-1].strip()
    return _BASES[match["word"].casefold()], rest
