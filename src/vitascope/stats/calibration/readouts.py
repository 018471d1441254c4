"""Fit how a calibrated number is read, from some wells with a measured one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError
from vitascope.core.readout import NUMBER, Readout, Term

Floats = NDArray[np.float64]
READ_METHODS = ("line", "features", "blend")
ReadMethod = Literal["line", "features", "blend"]

POWERS = (0.5, 0.75, 1.0, 1.5, 2.0)
LEAST_FOR_CURVE, WORTH_A_CURVE = 16, 0.95
"""Wells from which a curve is tried, and the share of the straight line's error that it must fall below."""

PULLS = np.logspace(-4, 2, 25)
"""Penalties of the ridge that are tried, per well."""

REACH = 4.0
TRUST_POWER = 4.0
"""Of two ways, each counts by its error left out to this power, inverse: twice the error, a sixteenth."""

LEAST_WELLS = 4
SIGNIFICANT = 8


@dataclass(frozen=True, eq=False)
class Wells:
    """Wells with what was measured in them: (N,) each, or (N, F).

    Parameters
    ----------
    truth : array, shape (N,), >= 0
        Of the reader.
    number : array, shape (N,)
        Of the start model.
    features : array, shape (N, F)
    names : tuple of str
        Of the features.
    groups : tuple of str
        What must not stand on both sides of a split.
    """

    truth: Floats
    number: Floats
    features: Floats
    names: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of wells."""
        return len(self.truth)

    def at(self, rows: NDArray[Any]) -> Wells:
        """Return some of the wells, by their rows or a mask."""
        kept = np.arange(len(self))[rows]
        groups = tuple(self.groups[i] for i in kept)
        return Wells(self.truth[kept], self.number[kept], self.features[kept], self.names, groups)

    def values(self) -> dict[str, Floats]:
        """Return what terms of a readout are taken of, by name."""
        return {NUMBER: self.number, **dict(zip(self.names, self.features.T, strict=True))}


def read_out(readout: Readout, values: Mapping[str, ArrayLike]) -> Floats:
    """Return calibrated numbers, >= 0.

    Parameters
    ----------
    readout : Readout
    values : mapping of str to array, shape (N,)
        The start model's ``number``, and the features that the readout wants.

    Examples
    --------
    >>> line = Readout(method="line", offset=5.0, terms=(Term(name="number", weight=2.0),))
    >>> read_out(line, {"number": [10.0, -20.0]}).tolist()
    [25.0, 0.0]
    """
    total: Floats = np.full(np.shape(next(iter(values.values()))), readout.offset, np.float64)
    for term in readout.terms:
        steps = (np.asarray(values[term.name], np.float64) - term.middle) / term.spread
        if term.limit is not None:
            steps = np.clip(steps, -term.limit, term.limit)
        total = total + term.weight * (steps if term.power == 1 else np.maximum(steps, 0) ** term.power)
    return np.maximum(total, 0.0)


def fit_readout(method: ReadMethod, wells: Wells) -> Readout:
    """Fit one way of reading.

    Parameters
    ----------
    method : {"line", "features", "blend"}
        ``line``: straight line on the start model's number that never falls; from 16 wells on a power of it, where that
        errs 5 % less on wells left out. ``features``: ridge regression on classical features, its penalty chosen by
        leaving out each well. ``blend``: line, and ridge on features and number, each counting by its error to the
        power -4.
    wells : Wells

    Raises
    ------
    InputError
        If there are fewer than four wells, or all have one value.
    """
    if len(wells) < LEAST_WELLS or np.ptp(wells.truth) == 0:
        raise InputError(
            f"{len(wells)} wells, or wells that all have one value, teach nothing.", "Measure more, and other, wells."
        )
    line, of_line = _line(wells)
    if method == "line":
        return line
    if method == "features":
        return _ridge(wells.features, wells.names, wells.truth)[0]
    both = np.column_stack([wells.features, wells.number])
    ridge, of_ridge = _ridge(both, (*wells.names, NUMBER), wells.truth)
    errors = np.maximum([of_line, of_ridge], 1e-12 * float(np.ptp(wells.truth)))
    share = errors.min() ** TRUST_POWER / errors**TRUST_POWER
    share /= share.sum()
    parts = tuple(
        term.model_copy(update={"weight": _rounded(term.weight * one)})
        for fit, one in zip((line, ridge), share, strict=True)
        for term in fit.terms
    )
    return Readout(
        method="blend", offset=_rounded(float(share[0] * line.offset + share[1] * ridge.offset)), terms=parts
    )


def _line(wells: Wells) -> tuple[Readout, float]:
    """Fit a line, or a power, on the number; also its mean error on wells left out one by one."""
    scale = float(np.abs(wells.number).mean()) or 1.0
    tried = POWERS if len(wells) >= LEAST_FOR_CURVE else (1.0,)
    fits: dict[float, tuple[Readout, float]] = {}
    for power in tried:
        steps = wells.number / scale
        x = steps if power == 1 else np.maximum(steps, 0) ** power
        fits[power] = _one_line(x, wells.truth, scale, power)
    best = min(tried, key=lambda power: fits[power][1])
    return fits[best] if fits[best][1] < WORTH_A_CURVE * fits[1.0][1] else fits[1.0]


def _one_line(x: Floats, truth: Floats, scale: float, power: float) -> tuple[Readout, float]:
    centred = x - x.mean()
    energy = float(centred @ centred)
    slope = float(centred @ truth) / energy if energy > 0 else 0.0
    if slope <= 0:  # a number that falls where the truth rises says nothing
        middle = float(np.median(truth))
        flat = Readout(method="line", offset=_rounded(middle), terms=(Term(name=NUMBER, weight=0.0),))
        return flat, float(np.abs(truth - middle).mean())
    offset = float(truth.mean() - slope * x.mean())
    left = (truth - offset - slope * x) / np.maximum(1 - 1 / len(x) - centred**2 / energy, 1e-3)
    term = Term(name=NUMBER, weight=_rounded(slope), spread=_rounded(scale), power=power)
    return Readout(method="line", offset=_rounded(offset), terms=(term,)), float(np.abs(left).mean())


def _ridge(x: Floats, names: Sequence[str], truth: Floats) -> tuple[Readout, float]:
    """Fit a ridge regression on standardised values; also its mean error on wells left out one by one.

    The penalty is the one whose error left out is least. Of each well it is (y - f) / (1 - h), h being the diagonal of
    the hat matrix (Golub, Heath and Wahba 1979).
    """
    middle, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    z = np.clip((x - middle) / spread, -REACH, REACH)
    z_middle = z.mean(axis=0)
    u, s, vt = np.linalg.svd(z - z_middle, full_matrices=False)
    centred = truth - truth.mean()
    best, kept = np.inf, float(PULLS[-1]) * len(truth)
    for pull in PULLS * len(truth):
        shrink = s**2 / (s**2 + pull)
        hat = np.minimum((u**2 * shrink).sum(axis=1) + 1 / len(truth), 0.99)
        error = float(np.abs((centred - u @ (shrink * (u.T @ centred))) / (1 - hat)).mean())
        if error < best:
            best, kept = error, float(pull)
    weights = vt.T @ (s / (s**2 + kept) * (u.T @ centred))
    terms = tuple(
        Term(name=n, weight=_rounded(w), middle=_rounded(m), spread=_rounded(d), limit=REACH)
        for n, w, m, d in zip(names, weights, middle, spread, strict=True)
    )
    offset = _rounded(float(truth.mean() - z_middle @ weights))
    return Readout(method="features", offset=offset, terms=terms), best


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT}g}")
