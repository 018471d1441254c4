"""The words that the ``flags`` column of curves may hold, beside those carried from the wells."""

from __future__ import annotations

from collections.abc import Iterable

RESPONSE_FLAGS: dict[str, str] = {
    "no_controls": "The plate has no negative controls: its values were fitted as given.",
    "zero_dose": "Wells of dose zero count as such: they lie on the plateau of low doses.",
    "zero_dose_as_control": "The plate has no negative controls: its wells of dose zero were taken for them.",
    "dose_units_converted": "Doses came in several units and were brought to the most frequent one.",
    "dose_unit_unknown": "The unit of the doses is not told.",
    "points_left_out": "Some points could not be used: a dose or value is missing or no number.",
    "outliers_left_out": "Points were left out as outliers, by rule or by hand.",
    "censored_values": "Some values are bounds, such as <0.5: the bound was taken for the value.",
    "one_replicate": "There is one value at each dose: lack of fit cannot be tested.",
    "lack_of_fit": "The points lie farther from the curve than their replicates from each other.",
    "steep": "The response changes within one step of the doses: the slope is not known, only that it is steep.",
    "extrapolated": "The midpoint lies beyond the doses tested.",
    "interval_open": "An end of the interval lies beyond the doses tested.",
    "no_spread": "The points lie exactly on the curve: the interval says nothing about noise.",
    "outside_model": "Some of its wells lie outside what the model was trained on.",
    "interval_simulated": "The intervals of its wells were calibrated on simulated images only.",
}


def join_words(words: Iterable[str]) -> str:
    """Put words into one cell, each once: those of :data:`RESPONSE_FLAGS` in its order, then others as they come.

    Examples
    --------
    >>> join_words(["steep", "edge_effect", "zero_dose", "steep"])
    'zero_dose;steep;edge_effect'
    """
    order = {word: i for i, word in enumerate(RESPONSE_FLAGS)}
    return ";".join(sorted(dict.fromkeys(words), key=lambda word: order.get(word, len(order))))
