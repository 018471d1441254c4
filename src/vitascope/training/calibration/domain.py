"""What the wells of a calibration look like, where they are few: limits that the next well of the same kind keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vitascope.core.card import Domain
from vitascope.engine.domain import feature_distances, make_domain

SHARE = 0.99
Limits = tuple[float, float, float]


def domain_of_few(side_px: int, statistics: Sequence[dict[str, float]], features: NDArray[np.float64]) -> Domain:
    """Describe wells for the card; each well is left out in turn for the distance.

    The extremes of some tens of wells are passed by the next ones too often to mean anything: limits are those between
    which the next well lies in 98 % of cases, were the numbers normal (distances: their logarithms).

    Parameters
    ----------
    side_px : int
    statistics : sequence of dict
        One of each well.
    features : array, shape (N, F)
        Pooled deepest features.
    """
    plain = make_domain(side_px, statistics, features, list(range(len(features))))
    ranges: dict[str, Limits] = {}
    for name, (low, middle, high) in plain.statistics.items():
        values = np.array([one[name] for one in statistics if np.isfinite(one[name])])
        reach = _reach(values)
        ranges[name] = (min(low, float(values.mean()) - reach), middle, max(high, float(values.mean()) + reach))
    if len(features) < 3 or plain.distance_99 is None:
        return plain.model_copy(update={"statistics": ranges})
    logs = np.log([_left_out(features, row) for row in range(len(features))])
    most = max(plain.distance_99, float(np.exp(logs.mean() + _reach(logs))))
    return plain.model_copy(update={"statistics": ranges, "distance_99": float(f"{most:.4g}")})


def _reach(values: NDArray[np.float64]) -> float:
    """Return how far from the mean the next of these values lies at most, in 98 % of cases."""
    n = len(values)
    return float(stats.t.ppf(SHARE, n - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / n)) if n > 1 else 0.0


def _left_out(features: NDArray[np.float64], row: int) -> float:
    rest = np.delete(features, row, axis=0)
    spread = rest.std(axis=0)
    spread = np.maximum(spread, 0.1 * np.median(spread) + 1e-6)
    return float(feature_distances(features[row : row + 1], rest.mean(axis=0), spread)[0])
