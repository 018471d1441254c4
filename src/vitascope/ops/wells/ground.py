"""The light that a picture has without anything in it, as a smooth surface: what stands off from it counts little."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitascope.ops.intensity.rank import median, percentile

PARTS, PERCENTILE = 8, 70
"""The ground is read in 8 x 8 parts, each by the 70th percentile: organoids and debris are darker."""

ROUNDS = 10
Shape = Literal["slope", "bowl", "bent"]
TERMS: dict[Shape, tuple[tuple[tuple[int, int], ...], ...]] = {
    "slope": (((0, 0),), ((1, 0),), ((0, 1),)),
    "bowl": (((0, 0),), ((1, 0),), ((0, 1),), ((2, 0), (0, 2))),
    "bent": (((0, 0),), ((1, 0),), ((0, 1),), ((2, 0),), ((1, 1),), ((0, 2),)),
}
"""Terms of a polynomial, each a sum of powers of y and x: a plane, a plane and a paraboloid, all of second degree."""

Floats = NDArray[np.float64]


def fit_ground(values: NDArray[Any], shape: Shape, most_off: float = np.inf) -> Floats | None:
    """Fit a polynomial to the logarithm of the ground.

    Weights are 1 / (1 + (r / 2s)²), s the median deviation: parts full of organoids, or beyond the well, count little.

    Parameters
    ----------
    values : array, shape (Y, X), real, grey values
        NaN where nothing is known.
    shape : {"slope", "bowl", "bent"}
    most_off : float, > 0
        Largest spread of the parts about the polynomial, as a share of the light, at which it is a ground.

    Returns
    -------
    array or None
        Factors of the :data:`TERMS`, y and x going from -1 to 1. None where fewer than 16 parts have a
        ground above 0, or they spread more.
    """
    grounds = _grounds(values)
    known = np.nan_to_num(grounds) > 0
    if known.sum() < PARTS * 2:
        return None
    at = (np.arange(PARTS) + 0.5) / PARTS * 2 - 1
    y, x = (axis.ravel()[known] for axis in np.meshgrid(at, at, indexing="ij"))
    terms = np.column_stack([sum(y**i * x**j for i, j in term) for term in TERMS[shape]])
    light, weights = np.log(grounds[known]), np.ones(int(known.sum()))
    found, spread = np.zeros(terms.shape[1]), 0.0
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(terms * root[:, None], light * root, rcond=None)[0]
        off = light - terms @ found
        spread = 1.4826 * median(np.abs(off))
        weights = 1 / (1 + (off / (2 * (spread + 1e-4))) ** 2)
    return np.asarray(found, np.float64) if spread <= most_off else None


def surface(factors: Floats, shape: Shape, shape_yx: tuple[int, int]) -> Floats:
    """Return the light of a fitted ground, (Y, X) grey values."""
    y, x = ((np.arange(n) + 0.5) / n * 2 - 1 for n in shape_yx)
    down, across, both = np.zeros_like(y), np.zeros_like(x), 0.0
    for factor, term in zip(factors, TERMS[shape], strict=True):
        for i, j in term:
            if i and j:
                both += factor  # of the one term that is no sum of rows and columns, y x
            elif j:
                across += factor * x**j
            else:
                down += factor * y**i
    if not both:
        return np.outer(np.exp(down), np.exp(across))
    light = np.multiply.outer(both * y, x)
    light += down[:, None]
    light += across
    return np.exp(light, out=light)


def _grounds(values: NDArray[Any]) -> Floats:
    """Return the ground of each part (64,); NaN where less than half of it is known."""
    rows, columns = (np.linspace(0, n, PARTS + 1).round().astype(int) for n in values.shape)
    finite = np.isfinite(values)
    alike: dict[int, list[tuple[int, NDArray[Any]]]] = {}
    for n in range(PARTS * PARTS):
        i, j = divmod(n, PARTS)
        here = slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1])
        part, counts = values[here], finite[here]
        size = int(np.count_nonzero(counts))
        if size * 2 >= part.size > 0:
            alike.setdefault(size, []).append((n, part.ravel() if size == part.size else part[counts]))
    found = np.full(PARTS * PARTS, np.nan)
    for parts in alike.values():  # those of one size at once: most of the time would go into the calls
        found[[n for n, _ in parts]] = percentile(np.stack([known for _, known in parts]), PERCENTILE)
    return found
