"""The log-logistic curve, its derivatives, areas and inverse.

One parametrisation throughout: ``y = low + (high - low) s(k (x - m))`` with ``s(z) = 1 / (1 + exp(-z))``, x and m the
natural logarithms of dose and midpoint, k > 0. ``low`` is the plateau at low doses and ``high`` that at high ones, so
that a curve falls where ``high < low``. A dose of zero is ``x = -inf`` and lies on ``low``. Parameters are kept as
``(low, high, log k, m)``; in the terms of the R package drc (LL.4) b = k for a falling curve and -k for a rising one,
c = min and d = max of the plateaus, e = exp(m).

References
----------
Ritz, Baty, Streibig, Gerhard, PLOS ONE 10:e0146021 (2015), equation 2. Finney, Probit Analysis (1971).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
LOW, HIGH, LOG_K, MIDPOINT = range(4)


def log_dose(doses: Floats) -> Floats:
    """Natural logarithm of doses, any shape; ``-inf`` for a dose of zero."""
    positive = doses > 0
    return np.where(positive, np.log(np.where(positive, doses, 1.0)), -np.inf)


def share(x: Floats, log_k: Floats, midpoint: Floats) -> Floats:
    """Share of the way from ``low`` to ``high``, 0 to 1, broadcast over all three."""
    return np.asarray(expit(np.exp(log_k) * (x - midpoint)))


def curve(x: Floats, parameters: Floats) -> Floats:
    """Response of curves.

    Parameters
    ----------
    x : array, shape (B, N) or (N,)
        Log doses.
    parameters : array, shape (B, 4)

    Returns
    -------
    array, shape (B, N)

    Examples
    --------
    >>> curve(np.log([1.0, 10.0]), np.array([[100.0, 0.0, np.log(2.0), np.log(10.0)]])).round(3).tolist()
    [[99.01, 50.0]]
    """
    low, high, log_k, midpoint = parameters.T[:, :, None]
    return np.asarray(low + (high - low) * share(x, log_k, midpoint))


def jacobian(x: Floats, parameters: Floats) -> tuple[Floats, Floats]:
    """Response (B, N) and its derivatives (B, N, 4) by ``low``, ``high``, ``log k`` and ``m``."""
    low, high, log_k, midpoint = parameters.T[:, :, None]
    k = np.exp(log_k)
    z = k * (x - midpoint)
    s = expit(z)
    slope = (high - low) * s * (1 - s)
    # at dose zero z is -inf and the slope 0: their product is 0
    by_k = slope * np.where(np.isfinite(z), z, 0.0)
    return low + (high - low) * s, np.stack([1 - s, s, by_k, -slope * k], axis=-1)


def mean_response(parameters: Floats, start: Floats, end: Floats) -> Floats:
    """Mean of the curve over log dose from ``start`` to ``end``, in closed form; all of shape (B,).

    The integral of s is ``log(1 + exp(z)) / k``.

    Examples
    --------
    >>> mean_response(np.array([[1.0, 0.0, 0.0, 0.0]]), np.array([-2.0]), np.array([2.0])).round(6).tolist()
    [0.5]
    """
    low, high, log_k, midpoint = parameters.T
    k = np.exp(log_k)
    integral = (_softplus(k * (end - midpoint)) - _softplus(k * (start - midpoint))) / k
    return np.asarray(low + (high - low) * integral / (end - start))


def _softplus(z: Floats) -> Floats:
    return np.asarray(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))))


def log_effective_dose(parameters: Floats, percent: float) -> Floats:
    """Log dose (B,) at which so many percent of the way between the plateaus are gone; 50 gives the midpoint."""
    ratio = percent / (100 - percent)
    return np.asarray(parameters[:, MIDPOINT] + np.log(ratio) / np.exp(parameters[:, LOG_K]))


def log_dose_at(parameters: Floats, response: Floats) -> Floats:
    """Log dose (B,) at which curves pass a response (B,); NaN where they never do."""
    low, high, log_k, midpoint = parameters.T
    with np.errstate(divide="ignore", invalid="ignore"):
        gone = (response - low) / (high - low)
        inside = (gone > 0) & (gone < 1)
        gone = np.where(inside, gone, 0.5)
        return np.where(inside, midpoint + np.log(gone / (1 - gone)) / np.exp(log_k), np.nan)
