"""How images look as a second part of a reference: a network may not mind what a microscopist would.

Pooled features of a network that was trained to see through blur, or that sees its picture at a coarse scale, hardly
move when the focus is lost. So the kernel between two images is the mean of two: that between their features, and that
between the numbers of their appearance. The mean of two kernels is a kernel, its squared MMD the mean of theirs
(Gretton 2012 in :mod:`vitascope.stats.drift.kernels`), and thresholds are simulated from it as from any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError
from vitascope.stats.drift.kernels import Floats, choose_widths

MAX_LOOKS = 16
LEAST_SPREAD = 0.01
"""Numbers that vary by less than one per cent count as varying by that much: they are logarithms."""

FOLDS = 20
MAX_SCORE = 3e4
"""Scores beyond, of looks and of features, are cut to it: float16 ends at 65,504, and no image so far out is any nearer
for it."""


@dataclass(frozen=True, eq=False)
class Looks:
    """How the reference's images look.

    Parameters
    ----------
    centre, scale : array of float32, shape (L,)
        Mean and standard deviation of each number of the appearance.
    points : array of float16, shape (N, L)
        Scaled numbers of the reference's images.
    widths : tuple of float
        Of the kernel between them.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    points: NDArray[np.float16]
    widths: tuple[float, ...]

    def place(self, appearances: ArrayLike | None, name: str) -> Floats:
        """Return scaled numbers, shape (N, L), of appearances (N, L); those that are not known lie at the centre.

        Raises
        ------
        InputError
            If there are none, or of another number.
        """
        if appearances is None:
            raise InputError(
                f"The reference {name} knows how its images look, and this is not known of the images given.",
                "Run the images again, or make a reference without appearances.",
            )
        table = np.asarray(appearances, np.float64)
        if table.ndim != 2 or table.shape[1] != len(self.centre):
            raise InputError(
                f"Appearances have the shape {table.shape}, those of the reference {name} {len(self.centre)} numbers.",
                "Take those of the version of vitascope that made the reference.",
            )
        return _scaled(table, self.centre, self.scale)


def fit_looks(appearances: ArrayLike, seed: int = 0) -> Looks | None:
    """Fit scale and kernel to how trusted images look; None where that tells no two of them apart.

    Parameters
    ----------
    appearances : array, shape (N, L)
        NaN where a number is not known.
    seed : int
    """
    table = np.asarray(appearances, np.float64)
    if table.ndim != 2 or not 1 <= table.shape[1] <= MAX_LOOKS:
        raise InputError(f"Appearances have the shape {table.shape}.", "Give one row of numbers for each image.")
    known = np.where(np.isfinite(table), table, np.nan)
    known[:, np.isfinite(known).sum(axis=0) < 2] = np.nan
    if not np.isfinite(known).any():
        return None
    centre, scale = _scale(known)
    rng, scaled = np.random.default_rng(seed), np.empty_like(known)
    for fold in np.array_split(rng.permutation(len(known)), min(FOLDS, len(known))):
        # each image by the spread of others, as fresh ones are; the centre is common, for kernels know distances only
        scaled[fold] = _scaled(known[fold], centre, _scale(np.delete(known, fold, axis=0))[1])
    points = scaled.astype(np.float16)
    try:
        widths = choose_widths(points.astype(np.float64))
    except InputError:  # most images look the same to the last digit
        return None
    return Looks(centre.astype(np.float32), scale.astype(np.float32), points, widths)


def standardised(appearances: ArrayLike) -> Floats:
    """Return appearances, shape (N, L), of two sets to be compared, less their common mean over their common spread.

    As it treats both sets alike, permutations stay exact.
    """
    table = np.asarray(appearances, np.float64)
    known = np.where(np.isfinite(table), table, np.nan)
    return _scaled(known, *_scale(known))


def _scale(known: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of what is known; 0 and 1 where too little is."""
    count = np.isfinite(known).sum(axis=0)
    filled = np.where(np.isfinite(known), known, 0.0)
    centre = filled.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(np.isfinite(known), (known - centre) ** 2, 0.0).sum(axis=0)
    spread = np.sqrt(squares / np.maximum(count - 1, 1))
    return centre, np.where(count > 1, np.maximum(spread, LEAST_SPREAD), 1.0)


def _scaled(table: Floats, centre: NDArray[np.floating], scale: NDArray[np.floating]) -> Floats:
    placed = np.asarray((table - centre) / scale, np.float64)
    placed[~np.isfinite(placed)] = 0.0
    return placed.clip(-MAX_SCORE, MAX_SCORE)
