"""Learn to tell the agreement with the real stain from an image alone, of views whose stain is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import CommitteeMember, ExpectedAgreement, HomeAgreement, ObjectErrors
from vitascope.core.errors import TrainingError
from vitascope.engine.expected import (
    AGREES,
    AT_HOME,
    COMMITTEE,
    CUT_OFF,
    STATISTICS,
    expect,
    fisher,
    is_home,
    opinion,
    ready,
)

Floats = NDArray[np.float64]

HOME_RIDGE, HOME_LEFT_OUT = 0.15, 0.01
"""Pull of the discriminant's weights towards 0, and the share of training views that may be taken for others'."""
NEARLY = 1
"""Severity of corruptions that users would not notice, or would call fair."""
LEAST_FIT = 0.5
"""A card may let images of less agreement fit, where its own held-out ones reach no more; never below this."""
LEVEL = 0.8
ENDS = (-0.2, 0.97)
"""Agreements beyond are drawn in: their inverse hyperbolic tangent would outweigh all others."""
ERROR_ENDS = (0.05, 0.95)
SIGNIFICANT = 4
LEAST_GROUPS = 3
LEAST_VIEWS = 10
"""Of which another model's usual agreement is known."""


def fit_expected(
    rows: Sequence[Mapping[str, Any]],
    statistics: Mapping[str, int] = STATISTICS,
    home: str = "",
    seen: Sequence[Mapping[str, Any]] = (),
    beside: Sequence[Mapping[str, Any]] = (),
) -> ExpectedAgreement:
    """Fit the expected agreement, and calibrate its interval on groups left out, each in turn.

    Parameters
    ----------
    rows : sequence of mapping
        One per view: ``true`` (its PCC), ``laboratory`` (what is left out together; groups weigh alike in the fit), and
        the statistics. Agreements with other models stand under ``agrees_`` and their names.
    statistics : mapping of str to int
        What tells, and with which sign; see :data:`vitascope.engine.expected.STATISTICS`. With ``committee`` among them
        scales and polarities are ranked by :data:`~vitascope.engine.expected.STATISTICS` (``search``).
    home : str
        Laboratory whose images the model was trained on, measured where it has not seen them; empty for none. Its views
        tell what is expected at home, not what is expected of others' images, on which the model does worse.
    seen : sequence of mapping
        Statistics of views that the model was trained on: they lie at home too, and their agreement does not count.
    beside : sequence of mapping
        Views of other models, each named by ``asked``, and of drawn light: they are fitted to as well, and laboratories
        among them are left out with their own. The interval is that of ``rows``, in which each view counts once.

    Raises
    ------
    TrainingError
        If there are fewer than three groups.
    """
    away = [row for row in rows if str(row["laboratory"]) != home]
    groups = np.array([str(row["laboratory"]) for row in away])
    if len(np.unique(groups)) < LEAST_GROUPS:
        raise TrainingError(
            f"{len(np.unique(groups))} other laboratories are too few to tell how well others' images will do.",
            f"Measure views of {LEAST_GROUPS} or more.",
        )
    everything = [*away, *beside]
    whole = fit_all(everything, statistics)
    over: list[float] = []
    for group in np.unique(groups):
        left = fit_all([row for row in everything if str(row["laboratory"]) != group], statistics)
        over += [
            float(r["true"]) - expect(left, dict(r)).value for r, g in zip(away, groups, strict=True) if g == group
        ]
    low, high = weighted_quantiles(np.array(over), np.ones(len(over)), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    found = whole.model_copy(update={"low_by": _short(min(low, 0.0)), "high_by": _short(max(high, 0.0))})
    if COMMITTEE in statistics:
        found = found.model_copy(update={"search": _fit(rows, STATISTICS)})
    known = fit_home(rows, home, seen) if home in {str(row["laboratory"]) for row in rows} else None
    fits = min(found.fits, math.floor(known.low * 20) / 20) if known is not None else found.fits
    return found.model_copy(update={"home": known, "fits": max(fits, LEAST_FIT)})


def fit_all(rows: Sequence[Mapping[str, Any]], statistics: Mapping[str, int]) -> ExpectedAgreement:
    """Fit to views of one or several models; the committee is that of the model of the first view."""
    if COMMITTEE not in statistics:
        return _fit(rows, statistics)
    asked = {str(row.get("asked", "")): () for row in rows}
    committees = {model: _committee([r for r in rows if str(r.get("asked", "")) == model]) for model in asked}
    told = [{**row, COMMITTEE: opinion(committees[str(row.get("asked", ""))], row)} for row in rows]
    return _fit(told, statistics).model_copy(update={"committee": committees[next(iter(asked))]})


def _committee(rows: Sequence[Mapping[str, Any]]) -> tuple[CommitteeMember, ...]:
    """Return how far each other model agrees, mean and spread over views; laboratories weigh alike."""
    found = []
    for name in sorted({key for row in rows for key in row if key.startswith(AGREES)}):
        having = [row for row in rows if row.get(name) is not None]
        values, weights = np.array([fisher(float(row[name])) for row in having]), _shares(having)
        if len(values) < LEAST_VIEWS:
            continue
        mean = float(weights @ values)
        spread = math.sqrt(float(weights @ (values - mean) ** 2))
        found.append(
            CommitteeMember(model=name.removeprefix(AGREES), mean=_short(mean), spread=_short(max(spread, 1e-3)))
        )
    return tuple(found)


def _shares(rows: Sequence[Mapping[str, Any]]) -> Floats:
    """Return the weights of views, by which laboratories weigh alike."""
    groups = [str(row["laboratory"]) for row in rows]
    weights = np.array([1 / groups.count(g) for g in groups])
    return np.asarray(weights / max(weights.sum(), 1e-12))


def fit_home(rows: Sequence[Mapping[str, Any]], home: str, seen: Sequence[Mapping[str, Any]] = ()) -> HomeAgreement:
    """Tell views of the training laboratory, clean or nearly so, from all others, and what is expected of them.

    Views of others that are taken for them count too. What is bright (skewness) is taken from the laboratory, as its
    negatives are none of its images.
    """
    near = [r for r in rows if r["laboratory"] == home and r["corruption"] != "inverted" and r["severity"] <= NEARLY]
    near = [*near, *seen]
    far = [r for r in rows if r["laboratory"] != home or r["corruption"] == "inverted"]
    values = np.array([ready(r, AT_HOME) for r in (*near, *far)])
    is_near = np.arange(len(values)) < len(near)
    mean = (values[is_near].mean(axis=0) + values[~is_near].mean(axis=0)) / 2
    spread = np.maximum(values.std(axis=0), 1e-6)
    steps = np.clip((values - mean) / spread, -CUT_OFF, CUT_OFF)
    share = np.where(is_near, 0.5 / is_near.sum(), 0.5 / max((~is_near).sum(), 1))
    left = (steps.T * share) @ steps + HOME_RIDGE * np.eye(len(mean))
    weights = np.linalg.solve(left, steps.T @ (share * (is_near - 0.5)))
    skewness = np.array([float(r["skewness"]) for r in near])
    dark = bool(np.median(skewness) < 0)
    found = HomeAgreement(
        statistics=AT_HOME,
        mean=tuple(_short(v) for v in mean),
        spread=tuple(_short(v) for v in spread),
        weights=tuple(_short(v) for v in weights),
        least=_short(np.quantile((steps @ weights)[is_near], HOME_LEFT_OUT)),
        dark=dark,
        skewness_limit=_short(np.quantile(skewness, 1 - HOME_LEFT_OUT if dark else HOME_LEFT_OUT)),
        value=0,
        low=0,
        high=0,
        views=len(near),
    )
    true = np.array([float(r["true"]) for r in rows if is_home(found, r)])
    low, middle, high = (_short(q) for q in np.quantile(true, ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)))
    return found.model_copy(update={"value": middle, "low": low, "high": high, "views": len(true)})


def _fit(rows: Sequence[Mapping[str, Any]], statistics: Mapping[str, int]) -> ExpectedAgreement:
    """Weigh all statistics alike, with their signs, and let what is expected be as spread as the truth.

    Of a few laboratories a regression learns by heart which is which, and its answers shrink towards their mean, which
    moves away from each laboratory that is left out. Equal weights have nothing to learn but a line's slope and height.

    References
    ----------
    Dawes 1979, The robust beauty of improper linear models in decision making.
    """
    weights = _shares(rows)
    values = np.array([ready(row, tuple(statistics)) for row in rows])
    mean = weights @ values
    spread = np.maximum(np.sqrt(weights @ (values - mean) ** 2), 1e-6)
    signs = np.array(list(statistics.values()), float)
    score = np.clip((values - mean) / spread, -CUT_OFF, CUT_OFF) @ signs
    wanted = np.arctanh(np.clip([float(row["true"]) for row in rows], *ENDS))
    middle, centre = weights @ wanted, weights @ score
    slope = math.sqrt(weights @ (wanted - middle) ** 2) / max(math.sqrt(weights @ (score - centre) ** 2), 1e-6)
    return ExpectedAgreement(
        statistics=tuple(statistics),
        mean=tuple(_short(v) for v in mean),
        spread=tuple(_short(v) for v in spread),
        weights=tuple(_short(v) for v in slope * signs),
        intercept=_short(middle - centre * slope),
        low_by=0.0,
        high_by=0.0,
        level=LEVEL,
        views=len(rows),
        laboratories=tuple(sorted({str(row["laboratory"]) for row in rows})),
    )


def fit_errors(rows: Sequence[Mapping[str, Any]]) -> ObjectErrors:
    """Return the quantiles of how far numbers of objects were off; laboratories weigh alike.

    Parameters
    ----------
    rows : sequence of mapping
        One per view: ``laboratory``, ``ln_objects`` and ``ln_area``, logarithms of real over predicted.
    """
    groups = [str(row["laboratory"]) for row in rows]
    weights = np.array([1 / groups.count(g) for g in groups])
    ends = {}
    for name in ("ln_objects", "ln_area"):
        values = np.array([float(row[name]) for row in rows])
        low, high = weighted_quantiles(values, weights, ERROR_ENDS)
        ends[name] = (_short(low), _short(high))
    return ObjectErrors(objects=ends["ln_objects"], mean_area=ends["ln_area"], views=len(rows))


def weighted_quantiles(values: Floats, weights: Floats, shares: Sequence[float]) -> tuple[float, ...]:
    """Return the smallest values that at least these shares of the weight do not exceed.

    Examples
    --------
    >>> weighted_quantiles(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0]), (0.25, 0.9))
    (1.0, 3.0)
    """
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return tuple(float(values[order][min(len(order) - 1, int(np.searchsorted(reached, s - 1e-12)))]) for s in shares)


def _short(value: float) -> float:
    found = float(f"{float(value):.{SIGNIFICANT}g}")
    if not math.isfinite(found):
        raise TrainingError("A statistic of a view is no number.", "Leave out views without contrast.")
    return found
