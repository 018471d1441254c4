"""Whether a curve is one at all: against a constant, against its replicates, and against two phases.

References
----------
Draper, Smith, Applied Regression Analysis (1998), section 2.1: lack of fit against pure error.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.special import expit
from scipy.stats import f as f_distribution

from vitascope.stats.response.logistic import Floats
from vitascope.stats.response.solver import Problem

LEAST_STEP = 0.25
"""Size that each of two phases must have, as a share of the other."""
TWO_PHASE_P = 0.005
TWO_PHASE_P_ALONE = 0.01
"""Without replicates: of 1,000 curves of one step at most 2 are called wrongly, on 7 to 10 doses (response_phases)."""
LACK_P = 0.01
LEAST_DOSES = 6
STEEPNESS = (1.0, 2.0, 5.0, 15.0)
"""Slopes tried for two phases, in units of z for one step of the doses."""
EXACT = 1e-12


def flat_p(problem: Problem, squares: Floats) -> Floats:
    """P value (B,) of the F-test of the curve against a constant; NaN without freedom.

    F = ((S0 - S) / (p - 1)) / (S / (n - p)), S0 about the weighted mean and p the number of free parameters.
    """
    w, y = problem.weight, problem.y
    mean = (w * y).sum(1) / w.sum(1)
    constant = (w * (y - mean[:, None]) ** 2).sum(1)
    free = problem.free.sum(1)
    upper, lower = np.maximum(free - 1, 1), (w > 0).sum(1) - free
    # a hair above zero, so that points exactly on a curve give p = 0, and constant ones p = 1
    noise = np.maximum(squares, EXACT * constant)
    level = (w * y * y).sum(1)
    constant = np.where(constant <= EXACT**2 * level, 0.0, constant)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (constant - squares) / upper / (noise / np.maximum(lower, 1))
    ratio = np.where(constant > 0, np.maximum(ratio, 0), 0.0)
    return np.where(lower > 0, f_distribution.sf(ratio, upper, np.maximum(lower, 1)), np.nan)


def lack_of_fit_p(problem: Problem, squares: Floats) -> Floats:
    """P value (B,) of the F-test of lack of fit against pure error; NaN without replicates or doses to spare."""
    row, column = np.nonzero(problem.weight > 0)
    x, y, w = (values[row, column] for values in (problem.x, problem.y, problem.weight))
    order = np.lexsort((x, row))
    row, x, y, w = row[order], x[order], y[order], w[order]
    first = np.append(True, (row[1:] != row[:-1]) | (x[1:] != x[:-1]))
    group, curves = np.cumsum(first) - 1, len(squares)
    means = np.bincount(group, w * y) / np.bincount(group, w)
    pure = np.bincount(row, w * (y - means[group]) ** 2, curves)
    points, doses = np.bincount(row, minlength=curves), np.bincount(row[first], minlength=curves)
    centre = np.bincount(row, w * y, curves) / np.bincount(row, w, curves)
    spread = np.bincount(row, w * (y - centre[row]) ** 2, curves)
    lack, rest = doses - problem.free.sum(1), points - doses
    known = (lack > 0) & (rest > 0)
    lack, rest = np.where(known, lack, 1), np.where(known, rest, 1)
    excess = np.maximum(squares - pure, 0.0)
    excess = np.where(excess <= EXACT * spread, 0.0, excess)
    ratio = np.where(
        pure > 0, excess / lack / (np.where(pure > 0, pure, 1.0) / rest), np.where(excess > 0, np.inf, 0.0)
    )
    return np.where(known, f_distribution.sf(ratio, lack, rest), np.nan)


def two_phases(problem: Problem, squares: Floats, lack_p: Floats) -> list[str]:
    """Tell curves that have two phases: ``two steps`` or ``turns back``; empty for the others.

    A sum of two log-logistic steps of one slope is tried on a grid, for curves with lack of fit at 1 % or without
    replicates. It must be better than one step by an F-test, at 0.5 % or without replicates 1 %, and each step at
    least a quarter of the other.
    """
    found = [""] * len(squares)
    for row in np.flatnonzero(~(lack_p > LACK_P)):
        used = problem.weight[row] > 0
        limit = TWO_PHASE_P if np.isfinite(lack_p[row]) else TWO_PHASE_P_ALONE
        found[row] = _two_phases(
            problem.x[row, used], problem.y[row, used], problem.weight[row, used], float(squares[row]), limit
        )
    return found


def _two_phases(x: Floats, y: Floats, w: Floats, one_step: float, limit: float) -> str:
    doses = np.unique(x[np.isfinite(x)])
    rest = len(y) - 6
    spread = float((w * (y - np.average(y, weights=w)) ** 2).sum())
    if len(doses) < LEAST_DOSES or rest < 1 or one_step <= 1e-8 * spread:
        return ""
    gap = float(np.median(np.diff(doses)))
    places = np.sort(np.concatenate([doses[1:-1], (doses[1:] + doses[:-1]) / 2]))
    pairs = np.array([(a, b) for a, b in combinations(places, 2) if b - a >= 1.4 * gap])
    best, steps = np.inf, (0.0, 0.0)
    for steepness in STEEPNESS:
        s = expit((x[None, None] - pairs[:, :, None]) * steepness / gap)
        design = np.concatenate([np.ones((len(pairs), 1, len(x))), s], axis=1)
        normal = (design * w) @ design.transpose(0, 2, 1) + 1e-10 * np.eye(3) * w.sum()
        solution = np.linalg.solve(normal, (design * w) @ y[:, None])[:, :, 0]
        residual = y - (solution[:, None] @ design)[:, 0]
        left = (w * residual**2).sum(1)
        at = int(left.argmin())
        if left[at] < best:
            best, steps = float(left[at]), (float(solution[at, 1]), float(solution[at, 2]))
    best = max(best, EXACT * spread)
    p = f_distribution.sf(max(one_step - best, 0.0) / 2 / (best / rest), 2, rest)
    sizes = np.abs(steps)
    # a span of twice the data's own means that two large steps cancel: one step bent a little
    told = p < limit and sizes.min() >= LEAST_STEP * sizes.max() and sizes.max() <= 2 * np.ptp(y)
    if not told:
        return ""
    return "two steps" if steps[0] * steps[1] > 0 else "turns back"
