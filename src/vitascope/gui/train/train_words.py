"""How good a new model is against the one it started from, in words: the same figure while it runs and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitascope.core.card import ModelCard
from vitascope.gui.run.model_box import metric_text

NOT_FIGURES = ("epoch", "loss", "learning_rate", "score")
ABBREVIATED = ("pcc", "mae")
LOWER_IS_BETTER = ("mae",)


def figure_name(history: Sequence[Mapping[str, float]], start: Mapping[str, float]) -> str:
    """Return the name of the task's own figure among what was measured; empty without a validation part.

    Examples
    --------
    >>> figure_name(({"epoch": 1, "loss": 0.5, "score": 0.1, "pcc_DAPI": 0.1},), {})
    'pcc_DAPI'
    """
    names = [n for one in (start, *history[:1]) for n in one if n not in NOT_FIGURES]
    return names[0] if names else ""


def figure_words(name: str) -> str:
    """Write the name of a figure.

    Examples
    --------
    >>> figure_words("pcc_DAPI"), figure_words("mean_average_precision")
    ('PCC DAPI', 'mean average precision')
    """
    first, _, rest = name.partition("_")
    return f"{first.upper() if first in ABBREVIATED else first} {rest.replace('_', ' ')}".strip()


def best_of(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the epoch whose weights would be kept: the first of the highest score."""
    return max(history, key=lambda one: one.get("score", 0.0), default={})


def against_start(
    name: str,
    found: Mapping[str, Any],
    start: Mapping[str, Any],
    saw: bool = False,
    quick: Mapping[str, Any] | None = None,
) -> str:
    """Compare a figure with that of the start, and of the quick answer, on the same pixels; empty where there is none.

    Parameters
    ----------
    name : str
        Of the figure.
    found, start : mapping of str to float
    saw : bool
        Whether the start was trained on some of these images.
    quick : mapping of str to float, optional
        Of a ridge regression on the start's features.

    Examples
    --------
    >>> against_start("pcc_DAPI", {"pcc_DAPI": 0.8391}, {"pcc_DAPI": 0.867})
    'PCC DAPI 0.839; start 0.867: not better'
    >>> against_start("pcc_DAPI", {"pcc_DAPI": 0.74}, {"pcc_DAPI": 0.18}, quick={"pcc_DAPI": 0.44})
    'PCC DAPI 0.740; quick ridge 0.440, start 0.180: better'
    """
    if name not in found:
        return ""
    told = f"{figure_words(name)} {_figure(found[name])}"
    if name not in start:
        return told
    sign = -1 if name.split("_")[0] in LOWER_IS_BETTER else 1
    better = sign * found[name] > sign * start[name] and _figure(found[name]) != _figure(start[name])
    known = " (trained on some of these images)" if saw else ""
    ridge = f"quick ridge {_figure(quick[name])}, " if quick and name in quick else ""
    return f"{told}; {ridge}start {_figure(start[name])}{known}: {'better' if better else 'not better'}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def quick_words(name: str, quick: Mapping[str, float], start: Mapping[str, float]) -> str:
    """Say what the quick answer reached, before the first round ends; empty where there is none.

    Examples
    --------
    >>> quick_words("pcc_DAPI", {"pcc_DAPI": 0.44}, {"pcc_DAPI": 0.18})
    'PCC DAPI: quick ridge 0.440, start 0.180'
    """
    if name not in quick or name not in start:
        return ""
    return f"{figure_words(name)}: quick ridge {_figure(quick[name])}, start {_figure(start[name])}"


def model_headline(card: ModelCard) -> str:
    """Say how good a new model is on the validation part, against the one it started from."""
    validated, start, quick = (card.training.get(key, {}) for key in ("validated", "start", "quick"))
    saw = bool(card.training.get("start_saw"))
    told = against_start(figure_name((validated,), start), validated, start, saw, quick)
    figures = told or "; ".join(metric_text(m) for m in card.metrics[:2]) or "no test part, so no figure"
    return f"'{card.id}' is ready. {figures}"


def words_of_test(card: ModelCard) -> str:
    """Say what was measured on the test part, the new model against its start on the same pixels."""
    start = {one["name"]: one["value"] for one in card.training.get("start_metrics", [])}
    told = [
        f"{metric_text(m)}{f'; start {_figure(start[m.name])}' if m.name in start else ''}" for m in card.metrics[:2]
    ]
    return f"On the {card.metrics[0].on}: {', '.join(told)}." if told else ""
