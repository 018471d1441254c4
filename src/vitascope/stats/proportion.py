"""Intervals of proportions, which hold near 0 and 1 and for few trials too."""

from __future__ import annotations

import math
from statistics import NormalDist

from vitascope.core.errors import ParameterError


def wilson_interval(share: float, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion.

    Drawing again finds no spread where all trials went the same way, and would say "1.000 (1.000 to 1.000)" of three.

    Parameters
    ----------
    share : float, 0 to 1
        Observed.
    trials : int, >= 1
        Independent ones.
    level : float, between 0 and 1

    Returns
    -------
    tuple of float
        Both ends, 0 to 1.

    Raises
    ------
    ParameterError
        If a number lies outside its range.

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(1.0, 11)]
    [0.7412, 1.0]
    """
    if trials < 1 or not 0 <= share <= 1 or not 0 < level < 1:
        raise ParameterError(
            f"A share of {share} in {trials} trials has no interval of level {level}.",
            "Take a share from 0 to 1, at least one trial, and a level between 0 and 1.",
        )
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)
