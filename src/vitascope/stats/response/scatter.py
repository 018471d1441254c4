"""How much wider an interval of the midpoint must be where points do not scatter alike, or scatter in blocks.

The profile of the likelihood takes all points for equally scattered and independent. Where they are not, the ratio of
likelihoods follows a multiple of the assumed distribution, and the multiple is the variance that the residuals show
over the one assumed. Few points show little of theirs: it is freed of bias as far as it can be, and compared to F
with the degrees of freedom that it has. It never makes an interval narrower.

References
----------
Kent, Biometrika 69:19 (1982): likelihood ratios under wrong models. Bell, McCaffrey, Surv. Methodol. 28:169 (2002):
variances over few blocks, and their degrees of freedom. Angrist, Pischke, Mostly Harmless Econometrics (2009), section
8.1: the larger of both variances. Webb, Can. J. Econ. 56:839 (2023): signs for few blocks. White, Econometrica 48:817
(1980), and Wooldridge, Introductory Econometrics (2013), section 8.3: squared residuals against the fit and its square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from vitascope.stats.response.logistic import LOG_K, MIDPOINT, Floats, curve, jacobian, share
from vitascope.stats.response.solver import Problem

SINGULAR = 1e-8
"""Shares of a residual below which a block is taken to be fitted exactly."""
WEBB = np.sqrt([0.5, 1.0, 1.5])


def widening(
    problem: Problem, parameters: Floats, freedom: Floats, block: NDArray[np.intp], level: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Factor by which F(1, n - p) is to be multiplied, at least 1, for intervals of the midpoint.

    Parameters
    ----------
    problem : Problem
    parameters, freedom : array, shape (B, 4), (B,)
        The fit, and n - p.
    block : array of int, shape (B, N)
        Block of each point; a number of its own for each where points are independent.
    level : float, 0 to 1

    Returns
    -------
    tuple of array (B,) and array of int (B,)
        The factor (1 where the midpoint is not determined), and the number of blocks.
    """
    fitted, slopes = jacobian(problem.x, parameters)
    factor, blocks = np.ones(len(parameters)), np.ones(len(parameters), np.intp)
    within = [
        (problem.bounds[:, at, 0] < parameters[:, column]) & (parameters[:, column] < problem.bounds[:, at, 1])
        for at, column in enumerate((LOG_K, MIDPOINT))
    ]
    for row in range(len(parameters)):
        used = problem.weight[row] > 0
        _, number = np.unique(block[row, used], return_inverse=True)
        blocks[row] = number.max() + 1 if len(number) else 0
        moving = problem.free[row].copy()
        moving[LOG_K] &= within[0][row]
        if blocks[row] < 2 or freedom[row] < 1 or not within[1][row]:
            continue
        root = np.sqrt(problem.weight[row, used])
        design = slopes[row][used][:, moving] * root[:, None]
        residual = (problem.y[row, used] - fitted[row, used]) * root
        ratio, own_freedom = _shown_to_assumed(design, residual, number, int(moving[:MIDPOINT].sum()), freedom[row])
        if np.isfinite(ratio):
            assumed = f_distribution.ppf(level, 1, freedom[row])
            factor[row] = max(1.0, ratio * f_distribution.ppf(level, 1, own_freedom) / assumed)
    return factor, blocks


def uneven_p(problem: Problem, parameters: Floats) -> Floats:
    """P value (B,) of the test that points scatter alike along the curve: the F-test of White's, by the fit.

    Squared residuals are regressed on the share of the way between the plateaus and its square, so that more scatter
    at one plateau, or between both, is told. 1 where all points lie on the curve, or where there are fewer than two a
    dose: uneven scatter cannot be told from lack of fit then.
    """
    fitted, _ = jacobian(problem.x, parameters)
    used = (problem.weight > 0).astype(float)
    squares = problem.weight * (problem.y - fitted) ** 2
    s = share(problem.x, parameters[:, LOG_K, None], parameters[:, MIDPOINT, None])
    design = np.stack([np.ones_like(s), s, s * s], axis=2) * used[:, :, None]
    basis = np.linalg.pinv(design.transpose(0, 2, 1) @ design, rcond=1e-6, hermitian=True)
    told = (design @ (basis @ (design.transpose(0, 2, 1) @ squares[:, :, None])))[:, :, 0]
    points = used.sum(1)
    mean = (squares.sum(1) / points)[:, None]
    more = np.round(np.einsum("bij,bji->b", basis, design.transpose(0, 2, 1) @ design)) - 1
    rest = points - more - 1
    explained, left = (((values - by) ** 2 * used).sum(1) for values, by in ((told, mean), (squares, told)))
    with np.errstate(invalid="ignore"):
        doses = (np.diff(np.sort(np.where(used > 0, problem.x, np.nan), axis=1), axis=1) > 0).sum(axis=1) + 1
    known = (more > 0) & (rest > 0) & (points >= 2 * doses) & (left > SINGULAR * (explained + left))
    ratio = np.divide(explained * rest, left * more, out=np.zeros(len(points)), where=known)
    return np.where(known, f_distribution.sf(ratio, np.maximum(more, 1), np.maximum(rest, 1)), 1.0)


def _shown_to_assumed(
    design: Floats, residual: Floats, block: NDArray[np.intp], at: int, freedom: float
) -> tuple[float, float]:
    """Variance of one parameter that residuals show by block, over s² (X'X)^-1, and its degrees of freedom.

    Residuals of a block are brought by (I - H)^-1/2 to the spread they would have without the fit (CR2; HC2 where each
    point is a block); the degrees of freedom are those of Satterthwaite for independent points that scatter alike.
    """
    size = np.linalg.norm(design, axis=0)
    if not (size > 0).all():
        return np.nan, np.nan
    scaled = design / size
    normal = scaled.T @ scaled
    if not np.linalg.cond(normal) < 1 / SINGULAR:
        return np.nan, np.nan
    inverse = np.linalg.inv(normal)
    influence = scaled @ inverse[:, at]
    left = np.eye(len(residual)) - scaled @ inverse @ scaled.T
    assumed = (residual @ residual) / freedom * inverse[at, at]
    if not assumed > 0:
        return np.nan, np.nan
    if block.max() + 1 == len(residual):
        return _shown_by_points(left, influence, residual, assumed)
    paths = np.empty((block.max() + 1, len(residual)))
    shown = 0.0
    for one in range(block.max() + 1):
        own = np.flatnonzero(block == one)
        values, vectors = np.linalg.eigh(left[np.ix_(own, own)])
        known = values > SINGULAR
        freed = vectors[:, known] / np.sqrt(values[known]) @ vectors[:, known].T @ influence[own]
        shown += float(freed @ residual[own]) ** 2
        paths[one] = left[:, own] @ freed
    products = paths @ paths.T
    return shown / assumed, max(float(np.trace(products) ** 2 / (products**2).sum()), 1.0)


def _shown_by_points(left: Floats, influence: Floats, residual: Floats, assumed: float) -> tuple[float, float]:
    """The same where each point is a block of its own: HC2 in closed form, for I - H is its own square."""
    own = np.diagonal(left)
    freed = np.where(own > SINGULAR, influence / np.sqrt(np.maximum(own, SINGULAR)), 0.0)
    products = left * np.outer(freed, freed)
    shown = float(((freed * residual) ** 2).sum())
    return shown / assumed, max(float(np.trace(products) ** 2 / (products**2).sum()), 1.0)


def wild_draws(
    problem: Problem, parameters: Floats, freedom: float, block: NDArray[np.intp], resamples: int, seed: int
) -> Floats:
    """Values of one curve drawn anew: residuals keep their place and size, and change their sign by block.

    Returns
    -------
    array, shape (resamples, points that count)
    """
    used = problem.weight[0] > 0
    fitted = curve(problem.x, parameters)[0, used]
    residual = (problem.y[0, used] - fitted) * np.sqrt(used.sum() / freedom)
    names, number = np.unique(block[used], return_inverse=True)
    rng = np.random.default_rng(seed)
    factors = rng.choice([*WEBB, *-WEBB], (resamples, len(names)))
    return np.asarray(fitted + residual * factors[:, number])
