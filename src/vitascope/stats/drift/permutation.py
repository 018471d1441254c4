"""Permutation test of two sets of images, and its power by sample size.

Crops of one image err together, so whole images change sides: the kernel between two images is the mean over their
crops.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, mannwhitneyu

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.drift.kernels import Floats, choose_widths, kernel
from vitascope.stats.drift.looks import standardised
from vitascope.stats.drift.mmd import mmd2_unbiased, two_sets

PERMUTATIONS = 500
ALPHA = 0.05
LEAST_IMAGES = 2


@dataclass(frozen=True)
class TwoSampleTest:
    """Whether two sets of images come from one distribution.

    Parameters
    ----------
    p : float, 0 to 1
        Share of permutations, the identity among them, with at least the MMD found; never below
        1 / (``permutations`` + 1).
    mmd2 : float
        Unbiased squared MMD.
    effect : float, 0 to 1
        How well one image of the first set can be told from one of the second by the images left: 0.5 not at all, 1
        always.
    images : tuple of int
        Images in each set.
    permutations : int
    """

    p: float
    mmd2: float
    effect: float
    images: tuple[int, int]
    permutations: int


def image_gram(crops: Floats, images: Sequence[Hashable], widths: Sequence[float]) -> Floats:
    """Return the kernel between images, shape (I, I): means over pairs of their crops.

    Parameters
    ----------
    crops : array, shape (N, D)
    images : sequence, length N
        Which image each crop is of; images stand in the order of their first crop.
    widths : sequence of float

    References
    ----------
    Muandet et al. 2012, "Learning from distributions via support measure machines", equation 3: the inner product of
    two mean embeddings.
    """
    ids = pd.factorize(np.asarray(images, object))[0]
    gram = kernel(crops, crops, widths)
    count = int(ids.max()) + 1
    if count == len(crops):
        return gram
    share = np.zeros((count, len(crops)))
    share[ids, np.arange(len(crops))] = 1 / np.bincount(ids)[ids]
    return np.asarray(share @ gram @ share.T)


def two_sample_test(
    x: ArrayLike,
    y: ArrayLike,
    *,
    images_x: Sequence[Hashable] | None = None,
    images_y: Sequence[Hashable] | None = None,
    looks: tuple[ArrayLike, ArrayLike] | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> TwoSampleTest:
    """Test whether two sets of images come from one distribution.

    Parameters
    ----------
    x, y : array, shapes (m, D) and (n, D)
        Features, one row for each crop or image.
    images_x, images_y : sequence, optional
        The image each row comes from; by default each row is an image of its own.
    looks : tuple of array, shapes (m, L) and (n, L), optional
        How the rows look (:mod:`vitascope.stats.drift.looks`): half of the kernel then.
    permutations : int
    seed : int

    Returns
    -------
    TwoSampleTest

    Raises
    ------
    InputError
        If there are fewer than two images in a set, or the features cannot be used.
    ParameterError
        If ``permutations`` is below 1.
    """
    gram, first = _joint_gram(x, y, images_x, images_y, looks)
    found, p = permuted(gram, first, permutations, np.random.default_rng(seed))
    return TwoSampleTest(p, found, _effect(gram, first), (first, len(gram) - first), permutations)


def set_gram(
    features: Floats, looks: tuple[ArrayLike, ArrayLike] | None, images: Sequence[Hashable]
) -> NDArray[np.float64]:
    """Return the kernel between the images of two sets: of features alone, or its mean with that of how they look.

    Parameters
    ----------
    features : array, shape (m + n, D)
    looks : tuple of array, shapes (m, L) and (n, L), or None
    images : sequence, length m + n
        Which image each row is of.

    Raises
    ------
    InputError
        If looks are not one row for each row of features.
    """
    gram = image_gram(features, images, choose_widths(features))
    if looks is None:
        return gram
    told = standardised(np.concatenate([np.asarray(part, np.float64) for part in looks]))
    if len(told) != len(features):
        raise InputError(f"{len(told)} appearances are given for {len(features)} rows.", "Give one for each row.")
    try:
        return (gram + image_gram(told, images, choose_widths(told))) / 2
    except InputError:  # most look the same to the last digit: nothing to be told by
        return gram


def _joint_gram(
    x: ArrayLike,
    y: ArrayLike,
    images_x: Sequence[Hashable] | None,
    images_y: Sequence[Hashable] | None,
    looks: tuple[ArrayLike, ArrayLike] | None = None,
) -> tuple[Floats, int]:
    """Return the kernel among the images of both sets, and how many are of the first."""
    a, b = two_sets(x, y)
    names = []
    for side, (part, given) in enumerate(((a, images_x), (b, images_y))):
        if given is not None and len(given) != len(part):
            raise InputError(f"{len(given)} images are named for {len(part)} rows.", "Name the image of each row.")
        names.append([(side, name) for name in (range(len(part)) if given is None else given)])
    counts = [len(set(part)) for part in names]
    if min(counts) < LEAST_IMAGES:
        raise InputError(
            f"Sets of {counts[0]} and {counts[1]} images are too small to compare.", "Give at least 2 in each."
        )
    both = np.concatenate([a, b])
    ids = pd.factorize(pd.Series([*names[0], *names[1]], dtype=object))[0]
    return set_gram(both, looks, ids.tolist()), counts[0]


def permuted(gram: Floats, first: int, permutations: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the squared MMD and its p over random splits of the same sizes."""
    if permutations < 1:
        raise ParameterError(f"{permutations} permutations give no p.", "Take at least 1; 500 are usual.")
    m, n = first, len(gram) - first
    bare = gram.copy()
    np.fill_diagonal(bare, 0)
    chosen = np.zeros((permutations, m + n))
    chosen[:, :m] = 1
    chosen = rng.permuted(chosen, axis=1)
    chosen = np.concatenate([np.r_[np.ones(m), np.zeros(n)][None], chosen])
    # sums over pairs within the first set, and of its members with all
    within = np.einsum("ij,ij->i", chosen @ bare, chosen)
    with_all = chosen @ bare.sum(axis=1)
    cross = with_all - within
    other = bare.sum() - 2 * with_all + within
    values = within / (m * (m - 1)) + other / (n * (n - 1)) - 2 * cross / (m * n)
    # rounding must not tell equal splits apart
    reached = int((values[1:] >= values[0] - 1e-12).sum())
    return mmd2_unbiased(gram, m), (reached + 1) / (permutations + 1)


def _effect(gram: Floats, first: int) -> float:
    """Area under the ROC curve of the witness function, each image's own part left out."""
    m, n = first, len(gram) - first
    bare = gram.copy()
    np.fill_diagonal(bare, 0)
    like_first, like_second = bare[:, :m].sum(axis=1), bare[:, m:].sum(axis=1)
    witness = np.concatenate(
        [like_first[:m] / (m - 1) - like_second[:m] / n, like_first[m:] / m - like_second[m:] / (n - 1)]
    )
    return float(mannwhitneyu(witness[:m], witness[m:]).statistic) / (m * n)


def power_by_size(
    x: ArrayLike,
    y: ArrayLike,
    sizes: Sequence[int],
    *,
    looks: tuple[ArrayLike, ArrayLike] | None = None,
    alpha: float = ALPHA,
    repeats: int = 200,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Say how often a difference is found with so many images of each set.

    Parameters
    ----------
    x, y : array, shapes (m, D) and (n, D)
        One row for each image. Two halves of one set give the rate of false alarms.
    sizes : sequence of int, each at least 2
        Images drawn from each set, without replacement.
    looks : tuple of array, shapes (m, L) and (n, L), optional
        How the images look.
    alpha : float, between 0 and 1
        Level of the test.
    repeats : int
        Draws for each size.
    permutations, seed : int

    Returns
    -------
    DataFrame
        ``images, repeats, power, low, high, false_negatives``, one row for each size; ``low`` and ``high`` are the
        Wilson interval of ``power`` at 95 %.

    Raises
    ------
    ParameterError
        If a size is below 2 or above what there is, ``alpha`` is out of range, or 1 / (permutations + 1) is above it.
    """
    if not 1 / (permutations + 1) <= alpha < 1:
        raise ParameterError(
            f"{permutations} permutations cannot reach a level of {alpha}.", "Take more, or a level between 0 and 1."
        )
    if repeats < 1:
        raise ParameterError(f"{repeats} repeats give no power.", "Take at least 1; 200 are usual.")
    gram, first = _joint_gram(x, y, None, None, looks)
    most = min(first, len(gram) - first)
    for size in sizes:
        if not LEAST_IMAGES <= size <= most:
            raise ParameterError(f"{size} images cannot be drawn from each set.", f"Take 2 to {most}.")
    rng = np.random.default_rng(seed)
    return pd.DataFrame([_power(gram, first, size, alpha, repeats, permutations, rng) for size in sizes])


def _power(
    gram: Floats, first: int, size: int, alpha: float, repeats: int, permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    found = 0
    for _ in range(repeats):
        parts: list[NDArray[np.int64]] = [
            rng.choice(first, size, replace=False),
            first + rng.choice(len(gram) - first, size, replace=False),
        ]
        drawn = np.concatenate(parts)
        found += permuted(gram[np.ix_(drawn, drawn)], size, permutations, rng)[1] <= alpha
    interval = binomtest(found, repeats).proportion_ci(method="wilson")
    power = found / repeats
    return {
        "images": size,
        "repeats": repeats,
        "power": power,
        "low": float(interval.low),
        "high": float(interval.high),
        "false_negatives": 1 - power,
    }
