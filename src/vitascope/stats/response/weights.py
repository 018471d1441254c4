"""Weights of points, and points that a robust curve rules out.

References
----------
Beaton, Tukey, Technometrics 16:147 (1974): biweight. Motulsky, Brown, BMC Bioinformatics 7:123 (2006): ROUT.
Smyth, Stat. Appl. Genet. Mol. Biol. 3:3 (2004): variances moderated towards a common one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from vitascope.stats.plate_quality import MAD_TO_SD
from vitascope.stats.response.logistic import Floats, curve
from vitascope.stats.response.solver import Problem, solve

BIWEIGHT = 4.685
ROUNDS = 30
PRIOR_FREEDOM = 4.0
FALSE_DISCOVERIES = 0.01
MOST_OUTLIERS = 0.3
ONE_SIGMA = 0.6827


def replicate_weights(problem: Problem) -> Floats:
    """Inverse of the variance at each dose, moderated by that of all doses, with a mean of one; shape (B, N).

    The variance at a dose is (d0 s0² + d s²) / (d0 + d) with d0 = 4 and s0² pooled over doses, for three replicates
    alone say little of theirs. Equal weights where no dose has replicates.
    """
    weights = problem.weight.copy()
    for row in range(len(weights)):
        used = np.flatnonzero(weights[row] > 0)
        doses, at = np.unique(problem.x[row, used], return_inverse=True)
        y = problem.y[row, used]
        count = np.bincount(at, minlength=len(doses))
        means = np.bincount(at, y, minlength=len(doses)) / count
        squares = np.bincount(at, (y - means[at]) ** 2, minlength=len(doses))
        freedom = count - 1.0
        if freedom.sum() == 0 or squares.sum() == 0:
            continue
        pooled = squares.sum() / freedom.sum()
        variance = (PRIOR_FREEDOM * pooled + squares) / (PRIOR_FREEDOM + freedom)
        found = 1 / variance[at]
        weights[row, used] = found / found.mean()
    return weights


def interval_weights(problem: Problem, spread: Floats) -> Floats:
    """Inverse of the squared standard deviations (B, N) with a mean of one; those not known take the median's."""
    used = problem.weight > 0
    known = used & (spread > 0)
    weights = problem.weight.copy()
    for row in np.flatnonzero(known.any(axis=1)):
        own = np.where(known[row], spread[row], np.median(spread[row, known[row]]))
        found = np.where(used[row], 1 / own**2, 0.0)
        weights[row] = found / found[used[row]].mean()
    return weights


def robust_fit(problem: Problem) -> tuple[Floats, Floats, Floats]:
    """Fit by Tukey's biweight, tuned to 95 % efficiency.

    Returns
    -------
    tuple of array
        Parameters (B, 4), weights (B, N) with a mean of one over the points that count, and robust standard deviations
        of the residuals (B,).
    """
    used = problem.weight > 0
    parameters, _ = solve(_by_medians(problem))
    weights, scale = problem.weight, np.ones(len(used))
    for _ in range(ROUNDS):
        residuals = np.where(used, problem.y - curve(problem.x, parameters), np.nan)
        scale = MAD_TO_SD * np.nanmedian(np.abs(residuals), axis=1)
        # points that lie on the curve exactly leave no scale: all that do not are outliers
        least = 1e-9 * np.nanmax(np.abs(np.where(used, problem.y, np.nan)), axis=1) + 1e-300
        u = np.nan_to_num(residuals / (BIWEIGHT * np.maximum(scale, least))[:, None])
        raw = np.where(used & (np.abs(u) < 1), (1 - u**2) ** 2, 0.0)
        weights = raw * (used.sum(1) / raw.sum(1))[:, None]
        before = parameters
        parameters, _ = solve(replace(problem, weight=weights), parameters[None])
        if np.allclose(parameters, before, rtol=1e-8, atol=1e-10):
            break
    return parameters, weights, scale


def _by_medians(problem: Problem) -> Problem:
    """The same curves with each value replaced by the median of its dose: a start that outliers do not pull."""
    y = problem.y.copy()
    for row in range(len(y)):
        used = np.flatnonzero(problem.weight[row] > 0)
        for dose in np.unique(problem.x[row, used]):
            same = used[problem.x[row, used] == dose]
            y[row, same] = np.median(problem.y[row, same])
    return replace(problem, y=y)


def rule_out(problem: Problem) -> tuple[NDArray[np.bool_], Floats]:
    """Outliers by ROUT: residuals of a robust curve, tested against t at a false discovery rate of 1 %.

    Only the farthest 30 % of the points of a curve can be outliers.

    Returns
    -------
    tuple of array (B, N)
        Which points are outliers, and how many robust standard deviations each lies off the curve.
    """
    parameters, _, _ = robust_fit(problem)
    used = problem.weight > 0
    residuals = np.abs(np.where(used, problem.y - curve(problem.x, parameters), np.nan))
    outlier = np.zeros(used.shape, bool)
    distance = np.zeros(used.shape)
    for row in range(len(used)):
        at = np.flatnonzero(used[row])
        freedom = len(at) - int(problem.free[row].sum())
        if freedom < 1:
            continue
        own = residuals[row, at]
        scale = np.quantile(own, ONE_SIGMA) * len(at) / freedom
        least = 1e-9 * np.abs(problem.y[row, at]).max() + 1e-300
        distance[row, at] = own / max(scale, least)
        p = 2 * t_distribution.sf(distance[row, at], freedom)
        order = np.argsort(p)
        rank = np.arange(1, len(at) + 1)
        passed = np.flatnonzero(p[order] <= FALSE_DISCOVERIES * rank / len(at))
        number = min(passed.max() + 1 if len(passed) else 0, int(MOST_OUTLIERS * len(at)))
        outlier[row, at[order[:number]]] = True
    return outlier, distance
