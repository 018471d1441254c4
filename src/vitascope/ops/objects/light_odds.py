"""Odds of a cell, corrected by its light: how far a voxel and what lies around it are above Otsu's threshold.

A network of 4 x 1 x 1 µm voxels knows what a cell looks like, and blurs where it ends; and the unit it sees light in
depends on how much of a volume is stained. Otsu's threshold of a dye does neither. Both are put together on the image's
own voxels by a logistic regression whose few weights are found from the training volumes:

    ln odds' = odds · ln odds + light · x + near · G(x) + offset,    x = ln((I - ground) / (threshold - ground))

with G a Gaussian of :data:`NEAR_UM`; odds are those of a class against the background.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, logsumexp

FLOOR = 0.02
"""Least light, in units of the distance from ground to threshold."""

NEAR_UM = 2.0
LEAST_P = 0.003
"""Probabilities are cut here, and what is less likely a cell stays none."""

NAMES = ("odds", "light", "near", "offset")
"""Weights, as cards hold them after ``outline_``."""

AS_IT_IS = (1.0, 0.0, 0.0, 0.0)
PREFIX = "outline_"
PENALTY = 1e-3
"""Of the squared distance of the weights from :data:`AS_IT_IS`: few labelled voxels change little."""

LEAST_VOXELS, MOST_VOXELS = 300, 20_000
"""Of each side, from which on weights are found; and of one volume at most, drawn at random."""

SHIFTS = np.linspace(-1.0, 2.0, 31)

Voxel = tuple[float, float, float]


def light_above(values: NDArray[np.float32], ground: float, threshold: float) -> NDArray[np.float32]:
    """Return ln of light over Otsu's threshold, both above the ground, cut at ln of :data:`FLOOR`.

    Parameters
    ----------
    values : array, any shape, float32
    ground, threshold : float
        In the same unit. Nothing is above a threshold that is not finite or not above the ground.

    Examples
    --------
    >>> light_above(np.float32([10, 30, 50]), 10.0, 30.0).astype(float).round(2).tolist()
    [-3.91, 0.0, 0.69]
    """
    unit = threshold - ground
    if not (math.isfinite(unit) and unit > 0):
        return np.full(values.shape, math.log(FLOOR), np.float32)
    return np.asarray(np.log(np.maximum((values - ground) / unit, FLOOR)), np.float32)


def around(light: NDArray[np.float32], voxel_um: Voxel) -> NDArray[np.float32]:
    """Return the mean light around each voxel of a volume (D, H, W)."""
    return np.asarray(ndimage.gaussian_filter(light, [NEAR_UM / v for v in voxel_um], truncate=3.0), np.float32)


def margin(voxel_um: Voxel) -> tuple[int, int, int]:
    """Return how many voxels :func:`around` reaches, (z, y, x)."""
    z, y, x = (math.ceil(3.0 * NEAR_UM / v) + 1 for v in voxel_um)
    return z, y, x


def refined(
    probabilities: NDArray[np.float32],
    light: Sequence[NDArray[np.float32]],
    near: Sequence[NDArray[np.float32]],
    weights: Sequence[float],
) -> NDArray[np.float32]:
    """Return the probabilities of the classes after what their light tells.

    Parameters
    ----------
    probabilities : array, shape (K, D, H, W), float32
        Of the classes but the background.
    light, near : sequence of array, each (D, H, W)
        See :func:`light_above` and :func:`around`; one for each class.
    weights : sequence of float
        See :data:`NAMES`.

    Returns
    -------
    array, shape (K, D, H, W), float32
        They and the background's add up to 1.
    """
    a, b, c, d = weights
    ground = np.log(np.clip(1 - probabilities.sum(0), LEAST_P, 1))
    raised = [
        a * (np.log(np.clip(p, LEAST_P, 1)) - ground) + b * x + c * g + d
        for p, x, g in zip(probabilities, light, near, strict=True)
    ]
    total = logsumexp(np.stack([np.zeros_like(ground), *raised]), axis=0)
    found = np.exp(np.stack(raised) - total)
    return np.asarray(np.where(probabilities > LEAST_P, found, probabilities), np.float32)


Sample = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]
"""ln odds, light and light around of voxels, and whether each is of the class."""


def sample(
    probability: NDArray[np.float32],
    background: NDArray[np.float32],
    light: NDArray[np.float32],
    near: NDArray[np.float32],
    inside: NDArray[np.bool_],
    known: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Sample:
    """Draw voxels of a volume to find weights from: those that a cell may lie in; all arrays of one shape."""
    index = np.flatnonzero(known & (probability > LEAST_P))
    if len(index) > MOST_VOXELS:
        index = rng.choice(index, MOST_VOXELS, replace=False)
    p, q = (np.clip(v.ravel()[index], LEAST_P, 1) for v in (probability, background))
    return np.log(p / q), light.ravel()[index], near.ravel()[index], inside.ravel()[index]


def find_weights(samples: Iterable[Sample]) -> dict[str, float]:
    """Find the weights by a logistic regression, each volume weighing the same; empty where too few voxels are known.

    Returns
    -------
    dict
        As :func:`weights_of` reads them.
    """
    rows, truths, shares = [], [], []
    for odds, light, near, inside in samples:
        if min(inside.sum(), (~inside).sum()) >= LEAST_VOXELS:
            rows.append(np.stack([odds, light, near, np.ones_like(odds)], 1).astype(np.float64))
            truths.append(inside)
            shares.append(np.full(len(inside), 1 / len(inside)))
    if not rows:
        return {}
    x, y, share = np.concatenate(rows), np.concatenate(truths), np.concatenate(shares) / len(rows)
    start = np.array(AS_IT_IS)
    w = start.copy()
    for _ in range(30):  # Newton's steps; the loss is convex
        p = expit(x @ w)
        slope = x.T @ (share * (p - y)) + PENALTY * (w - start)
        bend = (x * (share * p * (1 - p))[:, None]).T @ x + PENALTY * np.eye(len(w))
        step = np.linalg.solve(bend, slope)
        w -= step
        if np.abs(step).max() < 1e-6:
            break
    w[-1] += best_shift([rows_ @ w for rows_ in rows], truths)
    return {PREFIX + name: float(f"{value:.4g}") for name, value in zip(NAMES, w, strict=True)}


def best_shift(odds: Sequence[NDArray[np.float64]], inside: Sequence[NDArray[np.bool_]]) -> float:
    """Return what to add to the odds of all volumes so that their mean Dice is best where they are cut at 0.

    A voxel that is a cell as likely as not adds to Dice what it costs at half the Dice reached, not at a half.
    """

    def mean_dice(shift: float) -> float:
        found = [o + shift > 0 for o in odds]
        return float(
            np.mean([2 * (f & t).sum() / max(1, f.sum() + t.sum()) for f, t in zip(found, inside, strict=True)])
        )

    return float(max(SHIFTS, key=lambda shift: (mean_dice(shift), -abs(shift))))


def weights_of(params: Mapping[str, float]) -> tuple[float, ...] | None:
    """Return the weights of a card's ``default_params``; None where it has none.

    Examples
    --------
    >>> weights_of({"outline_odds": 1.0, "outline_light": 0.5, "outline_near": 0.2, "outline_offset": 0.0})
    (1.0, 0.5, 0.2, 0.0)
    """
    found = tuple(params[PREFIX + name] for name in NAMES if PREFIX + name in params)
    return found if len(found) == len(NAMES) else None
