"""Curves of one table fitted together: weights, outliers, fit, tests and intervals, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitascope.stats.response import checks
from vitascope.stats.response.intervals import bootstrap_interval, delta_interval, profile_interval
from vitascope.stats.response.logistic import HIGH, LOG_K, LOW, MIDPOINT, Floats, curve, mean_response
from vitascope.stats.response.params import ResponseParams
from vitascope.stats.response.scatter import uneven_p, widening
from vitascope.stats.response.solver import Problem, covariance, make_problem, solve
from vitascope.stats.response.weights import interval_weights, replicate_weights, robust_fit, rule_out

UNEVEN_P = 0.2
"""Below it points do not scatter alike: to miss that costs a fifth of the intervals of shares, a false alarm little."""


@dataclass(frozen=True)
class Held:
    """Plateaus and slope that are held, (B,) each; NaN where free."""

    top: Floats
    bottom: Floats
    hill: Floats

    def fixed(self, falls: bool) -> Floats:
        """The same in the order of the parameters, for a curve that falls or rises."""
        low, high = (self.top, self.bottom) if falls else (self.bottom, self.top)
        return np.stack([low, high, np.log(self.hill), np.full(len(low), np.nan)], axis=1)

    @property
    def free(self) -> NDArray[np.intp]:
        """Number of free parameters, (B,)."""
        return np.asarray(np.isnan(np.stack([self.top, self.bottom, self.hill])).sum(axis=0) + 1)


@dataclass
class BatchFit:
    """What is found for B curves; log doses throughout."""

    problem: Problem
    parameters: Floats
    squares: Floats
    freedom: Floats
    covariance: Floats
    low: Floats
    high: Floats
    p_flat: Floats
    p_lack: Floats
    phases: list[str]
    outlier: NDArray[np.bool_]
    distance: Floats
    ends: Floats
    """Fitted response at the lowest and the highest dose, (B, 2)."""
    mean: Floats
    """Mean of the curve over the log doses."""
    kinds: list[str]
    """How the interval of each was found."""


def fit_batch(
    x: Floats,
    y: Floats,
    used: NDArray[np.bool_],
    spread: Floats,
    held: Held,
    params: ResponseParams,
    block: NDArray[np.intp] | None = None,
) -> BatchFit:
    """Fit curves that have enough points.

    Parameters
    ----------
    x, y : array, shape (B, N)
        Log doses and responses; y finite throughout.
    used : array of bool, shape (B, N)
        Points against padding.
    spread : array, shape (B, N)
        Standard deviations of the points from their own intervals; NaN where unknown.
    held : Held
    params : ResponseParams
    block : array of int, shape (B, N), optional
        Block of each point, within which points may lie off the curve together.

    Returns
    -------
    BatchFit
    """
    problem = make_problem(x, y, used.astype(float), held.fixed(falls=True))
    outlier, distance = np.zeros(used.shape, bool), np.zeros(used.shape)
    if params.outliers == "rout":
        outlier, distance = rule_out(_oriented(problem, held)[0])
        problem = make_problem(x, y, (used & ~outlier).astype(float), problem.fixed)
    if params.weights == "replicates":
        problem = _weighted(problem, replicate_weights(problem))
    elif params.weights == "interval":
        problem = _weighted(problem, interval_weights(problem, spread))
    problem, parameters, squares = _oriented(problem, held)
    points = (problem.weight > 0).sum(1)
    if params.weights == "tukey":
        parameters, weights, _ = robust_fit(problem)
        problem = _weighted(problem, weights)
        parameters, squares = solve(problem, parameters[None])
    freedom = (points - held.free).astype(float)
    spread_of = covariance(problem, parameters, squares, freedom)
    start, end = _tested(problem)
    lack = checks.lack_of_fit_p(problem, squares)
    fit = BatchFit(
        problem=problem,
        parameters=parameters,
        squares=squares,
        freedom=freedom,
        covariance=spread_of,
        low=squares,
        high=squares,
        p_flat=checks.flat_p(problem, squares),
        p_lack=lack,
        phases=checks.two_phases(problem, squares, lack),
        outlier=outlier,
        distance=distance,
        ends=np.stack([curve(at[:, None], parameters)[:, 0] for at in (start, end)], axis=1),
        mean=mean_response(parameters, start, end),
        kinds=[params.interval] * len(parameters),
    )
    _set_interval(fit, params, block)
    return fit


def _weighted(problem: Problem, weight: Floats) -> Problem:
    return Problem(problem.x, problem.y, weight, problem.fixed, problem.bounds)


def _oriented(problem: Problem, held: Held) -> tuple[Problem, Floats, Floats]:
    """Fit; where a plateau is held, both as falling and as rising curves, of which the better one is kept."""
    falling = problem.holding(held.fixed(falls=True))
    parameters, squares = solve(falling)
    if not (np.isfinite(held.top) | np.isfinite(held.bottom)).any():
        return falling, parameters, squares
    rising = problem.holding(held.fixed(falls=False))
    others, other_squares = solve(rising)
    # a curve fitted as falling that rises has its plateaus the wrong way round
    one = np.where(parameters[:, HIGH] <= parameters[:, LOW], squares, np.inf)
    other = np.where(others[:, HIGH] > others[:, LOW], other_squares, np.inf)
    take = other < one
    fixed = np.where(take[:, None], rising.fixed, falling.fixed)
    return (
        problem.holding(fixed),
        np.where(take[:, None], others, parameters),
        np.where(take, other_squares, squares),
    )


def _tested(problem: Problem) -> tuple[Floats, Floats]:
    """Lowest and highest log dose of each curve, zero left aside."""
    used = (problem.weight > 0) & np.isfinite(problem.x)
    return np.where(used, problem.x, np.inf).min(axis=1), np.where(used, problem.x, -np.inf).max(axis=1)


def _set_interval(fit: BatchFit, params: ResponseParams, block: NDArray[np.intp] | None) -> None:
    """Set the interval of the log midpoint of each curve, closed only within the doses, and the spread of the curve.

    The delta method knows nothing of the midpoint of a step: its interval then comes from the profile.
    """
    start, end = _tested(fit.problem)
    midpoint = fit.parameters[:, MIDPOINT]
    factor, blocks = np.ones(len(midpoint)), np.ones(len(midpoint), np.intp)
    alone = np.full(len(midpoint), params.scatter == "unequal")
    if params.scatter == "auto" and block is not None:
        alone = (block == block[:, :1]).all(axis=1) & (uneven_p(fit.problem, fit.parameters) < UNEVEN_P)
    if block is not None:
        block = np.where(alone[:, None], np.arange(block.shape[1]), block)
        factor, blocks = widening(fit.problem, fit.parameters, fit.freedom, block, params.level)
        fit.covariance = fit.covariance * factor[:, None, None]
    low, high = np.full((2, len(midpoint)), np.nan)
    if params.interval == "bootstrap":
        low, high = bootstrap_interval(
            fit.problem, fit.parameters, fit.freedom, block, params.level, params.resamples, params.seed
        )
    elif params.interval == "delta":
        low, high = delta_interval(midpoint, fit.covariance[:, MIDPOINT, MIDPOINT], fit.freedom, params.level)
    rows = np.flatnonzero(np.isnan(low) & (fit.freedom > 0))
    if len(rows):
        low[rows], high[rows] = profile_interval(
            fit.problem.take(rows), fit.parameters[rows], fit.squares[rows], fit.freedom[rows],
            (start[rows], end[rows]), params.level, factor[rows],
        )  # fmt: skip
    for row in rows:
        fit.kinds[row] = "profile"
    for row in np.flatnonzero(blocks > 1):
        fit.kinds[row] += ", unequal scatter" if alone[row] else f", {blocks[row]} blocks"
    fit.low, fit.high = np.where(low < start, -np.inf, low), np.where(high > end, np.inf, high)


def at_bound(fit: BatchFit, i: int) -> bool:
    """Whether the slope of a curve ended at the steepest one allowed."""
    return bool(fit.problem.free[i, LOG_K] and fit.parameters[i, LOG_K] >= fit.problem.bounds[i, 0, 1] - 1e-6)
