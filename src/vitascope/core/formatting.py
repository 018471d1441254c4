"""Numbers and column names in words, the same in docks, figures and on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, TypeGuard

ABBREVIATIONS = {
    "atp": "ATP",
    "attention_on_background": "Share on empty ground",
    "pcc": "Pearson of pixels",
    "ssim": "Structural similarity",
    "nrmse": "Error (NRMSE)",
    "expected_pcc": "Expected agreement (PCC)",
    "expected_pcc_low": "Expected agreement, lower end",
    "expected_pcc_high": "Expected agreement, upper end",
    "input_scale": "Image enlarged (times)",
    "input_inverted": "Bright and dark swapped (1: yes)",
}

PROBABILITY = "prob_"

PRECISE = 10_000
"""Beyond this a number is read to the whole: five digits are more than any measurement here is good for."""

MOST_TOLD = 12
"""Names in one sentence; more are not read, and push the sentence's end out of view."""

UNITS = {
    "_per_mm2": "per mm²",
    "_um2": "µm²",
    "_um3": "µm³",
    "_um": "µm",
    "_px": "px",
    "_percent": "%",
    "_fraction": "share",
    "_rlu": "RLU",
}


OF_CONTROL = "_percent_of_control"
PARTS = {OF_CONTROL: " of control", "_low": ", lower end", "_high": ", upper end"}
"""Endings that say which part of a quantity a column is, its unit standing before them."""


def quantity_text(column: str) -> str:
    """Turn the name of a column into words with a unit.

    Examples
    --------
    >>> quantity_text("mean_area_um2"), quantity_text("density_per_mm2"), quantity_text("pcc")
    ('Mean area (µm²)', 'Density (per mm²)', 'Pearson of pixels')
    >>> quantity_text("live_um3_low"), quantity_text("live_um3_percent_of_control")
    ('Live, lower end (µm³)', 'Live of control (%)')
    """
    if column in ABBREVIATIONS:
        return ABBREVIATIONS[column]
    for ending, said in PARTS.items():
        if column.endswith(ending):
            name, bracket, own = quantity_text(column.removesuffix(ending)).partition(" (")
            return f"{name} of control (%)" if ending == OF_CONTROL else f"{name}{said}{bracket}{own}"
    unit = ""
    for ending, text in UNITS.items():
        if column.endswith(ending):
            column, unit = column.removesuffix(ending), text
            break
    if unit == "px" and "area" in column:
        unit = "px²"
    if column.startswith(PROBABILITY):
        return f"Probability of {column.removeprefix(PROBABILITY).replace('_', ' ')}"
    words = column.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}{f' ({unit})' if unit else ''}"


def interval_texts(value: float, low: float, high: float) -> tuple[str, str, str]:
    """Write a number and the ends of its interval, rounded to two digits of the interval's half-width.

    Examples
    --------
    >>> interval_texts(82345.6, 61210.0, 103960.0)
    ('82,000', '61,000', '104,000')
    >>> interval_texts(0.5, 0.5, 0.5)
    ('0.5', '0.5', '0.5')
    """
    half = (high - low) / 2
    if half <= 0:
        return number_text(value), number_text(low), number_text(high)
    digits = 1 - math.floor(math.log10(half))
    texts = [number_text(round(v, digits)) for v in (value, low, high)]
    return texts[0], texts[1], texts[2]


def end_texts(low: float, high: float) -> tuple[str, str]:
    """Write the ends of a scale, rounded alike: to three digits of the larger.

    Examples
    --------
    >>> end_texts(5249.7, 462946.0), end_texts(0.0, 1.0), end_texts(-0.21234, 0.2)
    (('5,000', '463,000'), ('0', '1'), ('-0.212', '0.2'))
    """
    most = max(abs(low), abs(high))
    digits = 2 - math.floor(math.log10(most)) if 0 < most < math.inf else 0
    return number_text(round(low, digits)), number_text(round(high, digits))


def number_text(value: Any) -> str:
    """Write a number as people do; a dash where there is none.

    Examples
    --------
    >>> number_text(82000), number_text(0.03217), number_text(123.456), number_text(None)
    ('82,000', '0.0322', '123.5', '–')
    >>> number_text(11849.7)
    '11,850'
    """
    if not is_number(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}" if abs(value) >= PRECISE else f"{value:,.1f}"
    return plain_digits(value, 3) if abs(value) >= 1e-6 else f"{value:.2e}"


def plain_digits(value: float, digits: int = 6) -> str:
    """Write a finite number with so many digits and never a power of ten, as a table takes it that is edited.

    Examples
    --------
    >>> plain_digits(11850.0), plain_digits(0.000123456, 3), plain_digits(1e6), plain_digits(0.1)
    ('11850', '0.000123', '1000000', '0.1')
    """
    short = f"{value:.{digits}g}"
    return f"{Decimal(short):f}" if "e" in short else short


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value is a finite number that can be shown."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def name_some(names: Sequence[object]) -> str:
    """List names in a sentence; beyond a dozen only how many more there are.

    Examples
    --------
    >>> name_some("ab"), name_some(range(14))
    ('a, b', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more')
    """
    more = len(names) - MOST_TOLD
    return ", ".join(map(str, names[:MOST_TOLD])) + (f" and {more} more" if more > 0 else "")
