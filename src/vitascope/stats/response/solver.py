"""Weighted least squares of many log-logistic curves at once.

For given midpoint and slope the plateaus follow in closed form, so starts are sought on a grid over the other two: no
start can fail, steps included. From the best ones a Levenberg-Marquardt search with analytic derivatives runs over all
curves together.

References
----------
Golub, Pereyra, SIAM J. Numer. Anal. 10:413 (1973): separable least squares. Marquardt, J. SIAM 11:431 (1963).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitascope.stats.response.logistic import HIGH, LOG_K, LOW, MIDPOINT, Floats, jacobian, share

STEPS = 300
GRID_MIDPOINTS = 25
GRID_SLOPES = 9
STEEPEST = 40.0
"""Across half the smallest distance of two log doses, the steepest curve covers ``s(-20)`` to ``s(20)``: a step."""
SHALLOWEST = 0.5
"""The shallowest curve changes by so many units of z over the whole range: nearly a straight line."""
LEAST_REACH = np.log(10.0) + 0.5
TOLERANCE = 1e-15
SETTLED = 1e-3
TRIAL_STEPS = 15


@dataclass(frozen=True)
class Problem:
    """Curves to fit.

    Parameters
    ----------
    x, y, weight : array, shape (B, N)
        Log doses (``-inf`` for zero), responses, and weights >= 0; padding has weight 0 and finite y.
    fixed : array, shape (B, 4)
        Values of ``low, high, log k, m`` that are held; NaN where a parameter is free.
    bounds : array, shape (B, 2, 2)
        Least and largest ``log k`` and ``m``.
    """

    x: Floats
    y: Floats
    weight: Floats
    fixed: Floats
    bounds: Floats

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which parameters are sought, (B, 4)."""
        return np.asarray(np.isnan(self.fixed))

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Problem:
        """Return some of the curves."""
        return Problem(self.x[rows], self.y[rows], self.weight[rows], self.fixed[rows], self.bounds[rows])

    def holding(self, fixed: Floats) -> Problem:
        """Return the same curves with other parameters held."""
        return replace(self, fixed=fixed)


def make_problem(x: Floats, y: Floats, weight: Floats, fixed: Floats) -> Problem:
    """Set bounds by the doses of each curve: slopes from nearly straight to a step, midpoints a range beyond."""
    used = (weight > 0) & np.isfinite(x)
    start = np.where(used, x, np.inf).min(axis=1)
    end = np.where(used, x, -np.inf).max(axis=1)
    known = np.isfinite(start) & (end > start)
    start, end = np.where(known, start, 0.0), np.where(known, end, 1.0)
    ordered = np.sort(np.where(used, x, np.nan), axis=1)
    gaps = np.diff(ordered, axis=1)
    width = end - start
    gap = np.where(gaps > 1e-9, gaps, np.inf).min(axis=1) if gaps.shape[1] else width
    gap = np.where(np.isfinite(gap), gap, width)
    reach = np.maximum(width, LEAST_REACH)
    slopes = np.log(np.stack([SHALLOWEST / width, np.maximum(STEEPEST / gap, STEEPEST)], axis=1))
    bounds = np.stack([slopes, np.stack([start - reach, end + reach], axis=1)], axis=1)
    return Problem(x, y, weight, fixed, bounds)


def plateaus(problem: Problem, log_k: Floats, midpoint: Floats) -> tuple[Floats, Floats, Floats]:
    """Best plateaus for given ``log k`` and ``m``, shape (B,): ``low, high``, and the weighted sum of squares."""
    s = share(problem.x, log_k[:, None], midpoint[:, None])
    r = 1 - s
    w, y = problem.weight, problem.y
    ss, rr, rs = (w * s * s).sum(1), (w * r * r).sum(1), (w * r * s).sum(1)
    sy, ry = (w * s * y).sum(1), (w * r * y).sum(1)
    low, high = problem.fixed[:, LOW], problem.fixed[:, HIGH]
    det = rr * ss - rs * rs
    singular = det <= 1e-12 * rr * ss
    det = np.where(singular, 1.0, det)
    mean = (w * y).sum(1) / w.sum(1)
    both_low = np.where(singular, mean, (ss * ry - rs * sy) / det)
    both_high = np.where(singular, mean, (rr * sy - rs * ry) / det)
    only_low = (ry - rs * high) / np.where(rr > 0, rr, 1.0)
    only_high = (sy - rs * low) / np.where(ss > 0, ss, 1.0)
    free_low, free_high = np.isnan(low), np.isnan(high)
    found_low = np.where(free_low, np.where(free_high, both_low, only_low), low)
    found_high = np.where(free_high, np.where(free_low, both_high, only_high), high)
    residual = y - found_low[:, None] * r - found_high[:, None] * s
    return found_low, found_high, (w * residual * residual).sum(1)


def grid_starts(problem: Problem) -> Floats:
    """Best point of the grid among shallow, middle and steep slopes: starts, shape (3, B, 4)."""
    (k_low, k_high), (m_low, m_high) = problem.bounds.transpose(1, 2, 0)
    curves = len(k_low)
    best = np.full((3, curves), np.inf)
    starts = np.zeros((3, curves, 4))
    held_k, held_m = problem.fixed[:, LOG_K], problem.fixed[:, MIDPOINT]
    reach = 0.75 * (m_high - m_low) / 3
    for i, part in enumerate(np.linspace(0.05, 0.95, GRID_SLOPES)):
        log_k = np.where(np.isnan(held_k), k_low + part * (k_high - k_low), held_k)
        group = 3 * i // GRID_SLOPES
        for along in np.linspace(0, 1, GRID_MIDPOINTS):
            m = np.where(np.isnan(held_m), m_low + reach + along * (m_high - m_low - 2 * reach), held_m)
            low, high, squares = plateaus(problem, log_k, m)
            better = squares < best[group]
            best[group] = np.where(better, squares, best[group])
            starts[group] = np.where(better[:, None], np.stack([low, high, log_k, m], axis=1), starts[group])
    return starts


def solve(problem: Problem, starts: Floats | None = None) -> tuple[Floats, Floats]:
    """Fit curves.

    Parameters
    ----------
    problem : Problem
    starts : array, shape (S, B, 4), optional
        By default those of the grid.

    Returns
    -------
    tuple of array (B, 4) and array (B,)
        Parameters, and weighted sums of squares. From each start a few steps are made, from the best of them all.
    """
    scaled, centre, scale = _scaled(problem)
    if starts is None:
        found = grid_starts(scaled)
    else:
        found = starts.copy()
        found[:, :, :2] = (found[:, :, :2] - centre[:, None]) / scale[:, None]
    if len(found) > 1:
        results = [levenberg(scaled, start, TRIAL_STEPS) for start in found]
        found, reached = np.stack([p for p, _ in results]), np.stack([s for _, s in results])
        found = found[reached.argmin(axis=0), np.arange(found.shape[1])][None]
    chosen, squares = levenberg(scaled, found[0])
    chosen[:, :2] = chosen[:, :2] * scale[:, None] + centre[:, None]
    return chosen, squares * scale**2


def _scaled(problem: Problem) -> tuple[Problem, Floats, Floats]:
    """Bring each curve's responses to a span of one, so that units do not matter."""
    used = problem.weight > 0
    least = np.where(used, problem.y, np.inf).min(axis=1)
    most = np.where(used, problem.y, -np.inf).max(axis=1)
    span = most - least
    scale = np.where(np.isfinite(span) & (span > 0), span, 1.0)
    centre = np.where(np.isfinite(span), least, 0.0)
    fixed = problem.fixed.copy()
    fixed[:, :2] = (fixed[:, :2] - centre[:, None]) / scale[:, None]
    return replace(problem, y=(problem.y - centre[:, None]) / scale[:, None], fixed=fixed), centre, scale


def levenberg(problem: Problem, start: Floats, steps: int = STEPS) -> tuple[Floats, Floats]:
    """Levenberg-Marquardt search of all curves from one start each, (B, 4), within the bounds."""
    parameters = np.where(problem.free, start, problem.fixed)
    for at, column in enumerate((LOG_K, MIDPOINT)):
        inside = np.clip(parameters[:, column], problem.bounds[:, at, 0], problem.bounds[:, at, 1])
        parameters[:, column] = np.where(problem.free[:, column], inside, parameters[:, column])
    fitted, slopes = jacobian(problem.x, parameters)
    squares = (problem.weight * (problem.y - fitted) ** 2).sum(1)
    damping = np.full(len(parameters), 1e-3)
    open_rows = np.arange(len(parameters))
    for _ in range(steps):
        if not len(open_rows):
            break
        now = problem.take(open_rows)
        trial, gain = _step(now, parameters[open_rows], slopes[open_rows], fitted[open_rows], damping[open_rows])
        trial_fit, trial_slopes = jacobian(now.x, trial)
        trial_squares = (now.weight * (now.y - trial_fit) ** 2).sum(1)
        before = squares[open_rows]
        better = trial_squares < before
        rows = open_rows[better]
        parameters[rows], squares[rows] = trial[better], trial_squares[better]
        fitted[rows], slopes[rows] = trial_fit[better], trial_slopes[better]
        damping[open_rows] = np.clip(damping[open_rows] * np.where(better, 0.1, 8.0), 1e-12, 1e12)
        # a strongly damped step promises little anywhere, so that only a nearly undamped one can say there is no more
        settled = (gain <= TOLERANCE * before) & (damping[open_rows] <= SETTLED)
        done = settled | (damping[open_rows] >= 1e10) | (before < 1e-28)
        open_rows = open_rows[~done]
    return parameters, squares


def _step(
    problem: Problem, parameters: Floats, slopes: Floats, fitted: Floats, damping: Floats
) -> tuple[Floats, Floats]:
    """One damped step, clipped to the bounds, and the gain that the undamped quadratic promises."""
    weighted = slopes * problem.weight[:, :, None]
    normal = weighted.transpose(0, 2, 1) @ slopes
    gradient = (weighted * (problem.y - fitted)[:, :, None]).sum(1)
    moving = problem.free & ~_at_bound(problem, parameters, gradient)
    gradient = np.where(moving, gradient, 0.0)
    normal = np.where(moving[:, :, None] & moving[:, None, :], normal, 0.0)
    diagonal = np.einsum("bii->bi", normal)
    # a parameter that the data do not see would make the system singular
    floor = 1e-14 * diagonal.max(axis=1, keepdims=True) + 1e-300
    diagonal[:] = np.where(moving, np.maximum(diagonal, floor) * (1 + damping[:, None]), 1.0)
    step = np.linalg.solve(normal, gradient[:, :, None])[:, :, 0]
    # at most a hundredfold change of the slope or dose in one step
    largest = np.abs(step[:, 2:]).max(axis=1)
    step *= np.minimum(1.0, 4.6 / np.maximum(largest, 1e-300))[:, None]
    trial = parameters + step
    for at, column in enumerate((LOG_K, MIDPOINT)):
        inside = np.clip(trial[:, column], problem.bounds[:, at, 0], problem.bounds[:, at, 1])
        trial[:, column] = np.where(problem.free[:, column], inside, trial[:, column])
    return trial, np.abs((gradient * step).sum(1)) * (1 + damping)


def _at_bound(problem: Problem, parameters: Floats, gradient: Floats) -> NDArray[np.bool_]:
    """Parameters that sit on a bound and would be pushed beyond it."""
    held = np.zeros(parameters.shape, bool)
    for at, column in enumerate((LOG_K, MIDPOINT)):
        value, push = parameters[:, column], gradient[:, column]
        held[:, column] = ((value <= problem.bounds[:, at, 0]) & (push < 0)) | (
            (value >= problem.bounds[:, at, 1]) & (push > 0)
        )
    return held


def covariance(problem: Problem, parameters: Floats, squares: Floats, freedom: Floats) -> Floats:
    """Covariance of the parameters, (B, 4, 4): s² (J' W J)^-1.

    Held parameters and those on a bound have variance 0; NaN where there is no freedom or the data do not determine
    the parameters.
    """
    _, slopes = jacobian(problem.x, parameters)
    moving = problem.free.copy()
    for at, column in enumerate((LOG_K, MIDPOINT)):
        value = parameters[:, column]
        moving[:, column] &= (value > problem.bounds[:, at, 0]) & (value < problem.bounds[:, at, 1])
    normal = (slopes * problem.weight[:, :, None]).transpose(0, 2, 1) @ slopes
    scale = np.sqrt(np.einsum("bii->bi", normal))
    seen = (scale > 0) | ~moving
    scale = np.where(moving & (scale > 0), scale, 1.0)
    normal = normal / scale[:, :, None] / scale[:, None, :]
    normal = np.where(moving[:, :, None] & moving[:, None, :], normal, np.eye(4))
    sound = seen.all(axis=1) & (freedom > 0)
    normal[~sound] = np.eye(4)
    sound &= np.linalg.cond(normal) < 1e13
    normal[~sound] = np.eye(4)
    inverse = np.linalg.inv(normal) / scale[:, :, None] / scale[:, None, :]
    variance = np.where(sound, squares / np.maximum(freedom, 1), np.nan)
    both = moving[:, :, None] & moving[:, None, :]
    return np.asarray(np.where(both, inverse * variance[:, None, None], np.where(sound[:, None, None], 0.0, np.nan)))
