"""What calibrations err on wells that were left out: by plate, day or row, and by the number of wells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError
from vitascope.core.well import Well
from vitascope.stats.bootstrap import group_interval
from vitascope.stats.calibration.readouts import (
    LEAST_WELLS,
    READ_METHODS,
    Floats,
    ReadMethod,
    Wells,
    fit_readout,
    read_out,
)

FOLDS, LEAST_APART = 5, 3
CONSTANT, NETWORK = "constant", "network"
PREFER_BLEND = 0.7
"""Another way is kept instead of the blend where its error is less than this share of the blend's: of some tens of
wells the least error is often luck, and a blend is never far from the best."""

REPEATS, SMALLEST = 12, 8
GROW = 1.5
COLUMNS = ("method", "mae", "low", "high", "wells", "chosen")
CURVE_COLUMNS = ("wells", "mae", "low", "high", "kind")


def kept_apart(plates: Sequence[str], wells: Sequence[str], other: Sequence[str] = ()) -> tuple[tuple[str, ...], str]:
    """Return what must not stand on both sides of a split, (N,), and its word.

    Parameters
    ----------
    plates, wells : sequence of str, shape (N,)
        Empty text where it is not known.
    other : sequence of str, shape (N,)
        Such as days or patients; counts first, where there are at least two of them.

    Returns
    -------
    tuple of str, and str
        ``groups``, or plates where there are at least two; within one plate rows, or columns, of which there must be
        three; else each well alone. Without any one of them a third of the wells must be left, and four at least.

    Examples
    --------
    >>> kept_apart(("",) * 6, ("A01", "B01", "C07", "A02", "B02", "C08"))
    (('A', 'B', 'C', 'A', 'B', 'C'), 'rows')
    """
    ways: list[tuple[Sequence[str], str, int]] = [(other, "groups", 2), (plates, "plates", 2)]
    places = [place for place in map(_parsed, wells) if place is not None]
    if len(places) == len(wells):
        ways.append(([str(place)[:-2] for place in places], "rows", LEAST_APART))
        ways.append(([str(place)[-2:] for place in places], "columns", LEAST_APART))
    for names, word, least in ways:
        counts = Counter(names)
        if len(counts) >= least and len(wells) - max(counts.values()) >= max(LEAST_WELLS, len(wells) / 3):
            return tuple(names), word
    return tuple(str(number) for number in range(len(wells))), "wells"


def _parsed(well: str) -> Well | None:
    try:
        return Well.parse(well)
    except ParameterError:
        return None


def deal_folds(groups: Sequence[str], count: int = FOLDS, seed: int = 0) -> NDArray[np.intp]:
    """Return the fold of each row, (N,): whole groups, the largest first into the smallest fold."""
    sizes = {name: groups.count(name) for name in dict.fromkeys(groups)}
    order = list(np.random.default_rng(seed).permutation(list(sizes)))
    order.sort(key=lambda name: -sizes[name])
    filled = np.zeros(min(count, len(sizes)), int)
    fold_of: dict[str, int] = {}
    for name in order:
        fold_of[name] = int(np.argmin(filled))
        filled[fold_of[name]] += sizes[name]
    return np.array([fold_of[name] for name in groups], np.intp)


def predict_left_out(method: ReadMethod, wells: Wells, folds: NDArray[np.intp]) -> Floats:
    """Return the number of each well by a fit on all other folds, (N,)."""
    found = np.zeros(len(wells))
    for fold in range(int(folds.max()) + 1):
        there = folds == fold
        found[there] = read_out(fit_readout(method, wells.at(~there)), wells.at(there).values())
    return found


def constant_left_out(wells: Wells, folds: NDArray[np.intp]) -> Floats:
    """Return the median of the other folds for each well, (N,): what one knows without looking."""
    return np.array([np.median(wells.truth[folds != fold]) for fold in folds])


def compare_left_out(wells: Wells, folds: NDArray[np.intp], network: Floats | None = None) -> dict[str, Floats]:
    """Return what each way says of wells left out, (N,) by method; of the fine-tuned network where it was tried."""
    found: dict[str, Floats] = {method: predict_left_out(method, wells, folds) for method in READ_METHODS}  # type: ignore[arg-type]
    if network is not None:
        found[NETWORK] = network
    return {**found, CONSTANT: constant_left_out(wells, folds)}


def choose(errors: Mapping[str, float]) -> str:
    """Return the method to keep: the blend, unless another errs less than :data:`PREFER_BLEND` times as much."""
    ways = {name: error for name, error in errors.items() if name != CONSTANT}
    best = min(ways, key=ways.__getitem__)
    return best if ways[best] < PREFER_BLEND * ways["blend"] else "blend"


def error_table(wells: Wells, predicted: Mapping[str, Floats], chosen: str) -> pd.DataFrame:
    """Return the mean absolute error of each method on wells left out, with 95 % intervals over groups.

    Returns
    -------
    DataFrame
        Columns ``method, mae, low, high, wells, chosen``.
    """
    rows = []
    for method, values in predicted.items():
        off = np.abs(values - wells.truth)
        interval = group_interval(wells.groups, _mean_of(off))
        told = (interval.value, interval.low, interval.high)
        rows.append((method, *told, len(wells), method == chosen))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean_of(values: Floats) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: float(values[rows].mean())


def learning_curve(method: ReadMethod, wells: Wells, seed: int = 0) -> pd.DataFrame:
    """Tell how the error falls with the number of wells, and what twice as many would bring.

    Of each size so many wells are drawn from all groups but those of a fold, and read in that fold. Beyond what there
    is the error is expected to go on as a + b / n, fitted to what was measured, neither below 0.

    Returns
    -------
    DataFrame
        Columns ``wells, mae, low, high`` (quartiles over the draws), ``kind`` ("measured" or "expected").
    """
    folds = deal_folds(wells.groups, seed=seed)
    most = len(wells) - int(np.bincount(folds).max())
    sizes = sorted({*_sizes(most), most})
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        drawn = [error for _ in range(REPEATS) if (error := _one_error(method, wells, folds, size, rng)) is not None]
        if drawn:
            low, high = np.quantile(drawn, (0.25, 0.75))
            rows.append((size, float(np.mean(drawn)), float(low), float(high), "measured"))
    if len(rows) >= 3:
        n, errors = (np.array(one, float) for one in zip(*((row[0], row[1]) for row in rows), strict=True))
        floor, slope = _falling(n, errors)
        rows += [(size, floor + slope / size, np.nan, np.nan, "expected") for size in (len(wells), 2 * len(wells))]
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))


def _sizes(most: int) -> list[int]:
    found, size = [], float(SMALLEST)
    while size < most:
        found.append(int(size))
        size *= GROW
    return found


def _one_error(
    method: ReadMethod, wells: Wells, folds: NDArray[np.intp], size: int, rng: np.random.Generator
) -> float | None:
    """Return the error in a fold drawn, by a fit on so many wells of the others; None where they teach nothing."""
    fold = int(rng.integers(int(folds.max()) + 1))
    others = np.flatnonzero(folds != fold)
    taken = wells.at(rng.permutation(others)[:size])
    if np.ptp(taken.truth) == 0:
        return None
    apart = wells.at(folds == fold)
    return float(np.abs(read_out(fit_readout(method, taken), apart.values()) - apart.truth).mean())


def _falling(n: Floats, errors: Floats) -> tuple[float, float]:
    """Fit errors = a + b / n by least squares, neither below 0."""
    x = 1 / n
    centred = x - x.mean()
    slope = max(0.0, float(centred @ errors) / float(centred @ centred))
    floor = float(errors.mean()) - slope * float(x.mean())
    return (floor, slope) if floor >= 0 else (0.0, float(x @ errors) / float(x @ x))
