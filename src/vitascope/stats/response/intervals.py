"""Intervals of the midpoint: from the profile of the likelihood, by the delta method, or by the bootstrap.

References
----------
Bates, Watts, Nonlinear Regression Analysis (1988), section 6.1.2: profiles against quantiles of F(1, n - p).
Venzon, Moolgavkar, Appl. Stat. 37:87 (1988). Efron, Tibshirani, An Introduction to the Bootstrap (1993), chapter 9.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from vitascope.stats.response.logistic import LOG_K, MIDPOINT, Floats, curve
from vitascope.stats.response.scatter import wild_draws
from vitascope.stats.response.solver import Problem, plateaus, solve

NODES = 24
SLOPES = 15
GOLDEN = (np.sqrt(5) - 1) / 2
GOLDEN_STEPS = 16
BISECTIONS = 18
EXACT = 1e-12
"""Share of the spread of the data below which a sum of squares counts as zero."""


def profile_squares(problem: Problem, midpoint: Floats) -> Floats:
    """Least sum of squares (B,) of curves whose midpoint is held: the slope is sought, the plateaus follow.

    A grid over all slopes and a golden section about its best point, so that no second valley is missed.
    """
    held = problem.fixed[:, LOG_K]
    least, most = problem.bounds[:, 0].T
    if not np.isnan(held).any():
        return plateaus(problem, held, midpoint)[2]
    grid = np.linspace(0, 1, SLOPES)
    tried = np.stack([plateaus(problem, least + at * (most - least), midpoint)[2] for at in grid])
    best = tried.argmin(axis=0)
    step = (most - least) / (SLOPES - 1)
    left = least + step * np.maximum(best - 1, 0)
    right = least + step * np.minimum(best + 1, SLOPES - 1)
    inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_inner, at_outer = (plateaus(problem, k, midpoint)[2] for k in (inner, outer))
    for _ in range(GOLDEN_STEPS):
        go_left = at_inner < at_outer
        left, right = np.where(go_left, left, inner), np.where(go_left, outer, right)
        new = np.where(go_left, right - GOLDEN * (right - left), left + GOLDEN * (right - left))
        value = plateaus(problem, new, midpoint)[2]
        inner, outer = np.where(go_left, new, outer), np.where(go_left, inner, new)
        at_inner, at_outer = np.where(go_left, value, at_outer), np.where(go_left, at_inner, value)
    found = np.minimum(np.minimum(at_inner, at_outer), tried.min(axis=0))
    free = np.isnan(held)
    return np.where(free, found, plateaus(problem, np.where(free, least, held), midpoint)[2])


def profile_interval(
    problem: Problem,
    parameters: Floats,
    squares: Floats,
    freedom: Floats,
    ends: tuple[Floats, Floats],
    level: float,
    factor: Floats | float = 1.0,
) -> tuple[Floats, Floats]:
    """Log doses at which the profile of the midpoint crosses ``S (1 + factor F(1, n - p) / (n - p))``.

    Parameters
    ----------
    problem : Problem
    parameters, squares, freedom : array, shape (B, 4), (B,), (B,)
        The fit, and n - p.
    ends : tuple of array (B,)
        Lowest and highest log dose that was tested: nothing is sought beyond them.
    level : float, 0 to 1
    factor : array, shape (B,), or float, >= 1
        From :func:`vitascope.stats.response.scatter.widening`.

    Returns
    -------
    tuple of array (B,)
        ``-inf`` or ``inf`` where the profile does not cross within the doses; NaN without freedom.
    """
    quantile = factor * f_distribution.ppf(level, 1, np.maximum(freedom, 1))
    mean = (problem.weight * problem.y).sum(1) / problem.weight.sum(1)
    spread = (problem.weight * (problem.y - mean[:, None]) ** 2).sum(1)
    limit = np.maximum(squares * (1 + quantile / np.maximum(freedom, 1)), EXACT * spread)
    low = _crossing(problem, parameters[:, MIDPOINT], ends[0], limit, -1)
    high = _crossing(problem, parameters[:, MIDPOINT], ends[1], limit, 1)
    return np.where(freedom > 0, low, np.nan), np.where(freedom > 0, high, np.nan)


def _crossing(problem: Problem, midpoint: Floats, end: Floats, limit: Floats, side: int) -> Floats:
    """First place beyond the midpoint, towards ``end``, where the profile exceeds the limit."""
    inside, outside = midpoint.copy(), np.full(len(midpoint), np.nan)
    reachable = (end - midpoint) * side > 0
    # nodes lie closer near the midpoint, where most crossings are
    for part in np.linspace(0, 1, NODES + 1)[1:] ** 1.5:
        rows = np.flatnonzero(np.isnan(outside) & reachable)
        if not len(rows):
            break
        at = midpoint[rows] + part * (end[rows] - midpoint[rows])
        above = profile_squares(problem.take(rows), at) > limit[rows]
        outside[rows[above]] = at[above]
        inside[rows[~above]] = at[~above]
    rows = np.flatnonzero(~np.isnan(outside))
    left, right = inside[rows], outside[rows]
    for _ in range(BISECTIONS if len(rows) else 0):
        middle = (left + right) / 2
        above = profile_squares(problem.take(rows), middle) > limit[rows]
        left, right = np.where(above, left, middle), np.where(above, middle, right)
    found = np.full(len(midpoint), side * np.inf)
    found[rows] = (left + right) / 2
    return found


def delta_interval(midpoint: Floats, variance: Floats, freedom: Floats, level: float) -> tuple[Floats, Floats]:
    """Log doses ``m -/+ t s(m)``; NaN where the variance is not known."""
    reach = t_distribution.ppf((1 + level) / 2, np.maximum(freedom, 1)) * np.sqrt(variance)
    reach = np.where((freedom > 0) & (variance > 0), reach, np.nan)
    return midpoint - reach, midpoint + reach


def bootstrap_interval(
    problem: Problem,
    parameters: Floats,
    freedom: Floats,
    block: NDArray[np.intp] | None,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[Floats, Floats]:
    """Percentiles of the log midpoint over curves refitted to drawn residuals.

    Residuals are weighted, centred and brought to the variance with n - p before they are drawn; where ``block`` (B, N)
    tells several blocks, they stay where they are and change their signs by block.
    """
    rng = np.random.default_rng(seed)
    low, high = np.full(len(parameters), np.nan), np.full(len(parameters), np.nan)
    for row in np.flatnonzero(freedom > 0):
        one = problem.take(np.array([row]))
        used = one.weight[0] > 0
        if block is not None and len(np.unique(block[row, used])) > 1:
            drawn = wild_draws(one, parameters[[row]], float(freedom[row]), block[row], resamples, seed)
        else:
            drawn = _alike_draws(one, parameters[[row]], float(freedom[row]), resamples, rng)

        def repeat(values: Floats) -> Floats:
            return np.repeat(values, resamples, axis=0)

        many = Problem(
            repeat(one.x[:, used]), drawn, repeat(one.weight[:, used]), repeat(one.fixed), repeat(one.bounds)
        )
        refitted, _ = solve(many, np.repeat(parameters[None, [row]], resamples, axis=1))
        low[row], high[row] = np.quantile(refitted[:, MIDPOINT], [(1 - level) / 2, (1 + level) / 2])
    return low, high


def _alike_draws(
    problem: Problem, parameters: Floats, freedom: float, resamples: int, rng: np.random.Generator
) -> Floats:
    """Values of one curve drawn anew (resamples, points that count), any residual in any place."""
    used = problem.weight[0] > 0
    fitted = curve(problem.x, parameters)[0, used]
    root = np.sqrt(problem.weight[0, used])
    residuals = (problem.y[0, used] - fitted) * root
    residuals = (residuals - residuals.mean()) * np.sqrt(used.sum() / freedom)
    return np.asarray(rng.choice(residuals, (resamples, used.sum())) / root + fitted)
