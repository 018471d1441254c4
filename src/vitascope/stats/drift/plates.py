"""Is this plate like that one: p, effect, and which wells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from vitascope.core.errors import InputError
from vitascope.stats.drift.kernels import Floats
from vitascope.stats.drift.mmd import two_sets
from vitascope.stats.drift.permutation import PERMUTATIONS, TwoSampleTest, set_gram, two_sample_test

LEAST_WELLS = 3


@dataclass(frozen=True)
class PlateComparison:
    """How a set of wells differs from another.

    Parameters
    ----------
    test : TwoSampleTest
        Of all images.
    wells : DataFrame
        The wells of the second set, the most unlike first: ``well, images, distance, p, p_adjusted``. ``distance`` is
        the squared distance to the mean embedding of the first set's wells. ``p`` is the rank of the distance among
        those of the first set's own wells, each left out in turn; one well in twenty reaches 0.05 by chance.
        ``p_adjusted`` counts all wells (Benjamini and Hochberg).
    """

    test: TwoSampleTest
    wells: pd.DataFrame


def compare_plates(
    trusted: ArrayLike,
    other: ArrayLike,
    wells_trusted: Sequence[Hashable],
    wells_other: Sequence[Hashable],
    *,
    images_trusted: Sequence[Hashable] | None = None,
    images_other: Sequence[Hashable] | None = None,
    looks: tuple[ArrayLike, ArrayLike] | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PlateComparison:
    """Compare a plate, or any set of wells, with one that is trusted.

    Parameters
    ----------
    trusted, other : array, shapes (m, D) and (n, D)
        Features, one row for each image or crop.
    wells_trusted, wells_other : sequence, lengths m and n
        The well of each row. Wells should hold about as many images each: the mean of few lies farther out.
    images_trusted, images_other : sequence, optional
        The image of each row, where rows are crops. Where the images of a well are nearly the same, give the wells.
    looks : tuple of array, shapes (m, L) and (n, L), optional
        How the rows look: half of the kernel then.
    permutations, seed : int

    Returns
    -------
    PlateComparison

    Raises
    ------
    InputError
        If there are fewer than three trusted wells, or the features cannot be used.
    """
    a, b = two_sets(trusted, other)
    for part, names in ((a, wells_trusted), (b, wells_other)):
        if len(part) != len(names):
            raise InputError(f"{len(names)} wells are named for {len(part)} rows.", "Name the well of each row.")
    first = len(set(wells_trusted))
    if first < LEAST_WELLS:
        raise InputError(f"{first} wells are too few to compare others with.", "Give at least 3 trusted wells.")
    test = two_sample_test(
        a, b, images_x=images_trusted, images_y=images_other, looks=looks, permutations=permutations, seed=seed
    )
    both = np.concatenate([a, b])
    ids = pd.factorize(pd.Series([*((0, w) for w in wells_trusted), *((1, w) for w in wells_other)], dtype=object))[0]
    distance, p = _ranked(set_gram(both, looks, ids.tolist()), first)
    names = list(dict.fromkeys(wells_other))
    counts = Counter(wells_other)
    table = pd.DataFrame(
        {
            "well": names,
            "images": [counts[name] for name in names],
            "distance": distance,
            "p": p,
            "p_adjusted": false_discovery_control(p),
        }
    )
    return PlateComparison(test, table.sort_values("distance", ascending=False, kind="stable", ignore_index=True))


def _ranked(gram: Floats, first: int) -> tuple[Floats, Floats]:
    """Return distances of the wells after the first ones from those, and their ranks among the first's own."""
    own = gram[:first, :first]
    apart = np.array(
        [_distance(own[i, i], np.delete(own[i], i), np.delete(np.delete(own, i, 0), i, 1)) for i in range(first)]
    )
    # as many wells as each of the trusted was compared with, lest the others look farther away or nearer
    distance = np.array([_distance(gram[j, j], gram[j, :first], own) for j in range(first, len(gram))])
    reached = (apart[None, :] >= distance[:, None] - 1e-12).sum(axis=1)
    return distance, (reached + 1) / (first + 1)


def _distance(itself: float, with_set: Floats, in_set: Floats) -> float:
    return float(itself - 2 * with_set.mean() + in_set.mean())
