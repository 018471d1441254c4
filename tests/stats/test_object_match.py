import math

import numpy as np
import pytest

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.object_match import match_objects


def test_pairs_missed_and_invented_by_loops_over_labels():
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 9, (8, 8)), np.ones((5, 5), int))
    found = np.roll(truth, 1, axis=0) * (rng.random(truth.shape) > 0.05)
    found[truth == 3] = 0
    found[:3, :3] = 40
    result = match_objects(truth, found)
    expected = set()
    for a in set(np.unique(truth)) - {0}:
        for b in set(np.unique(found)) - {0}:
            both, either = ((truth == a) & (found == b)).sum(), ((truth == a) | (found == b)).sum()
            if both / either > 0.5:
                expected.add((int(a), int(b)))
    assert expected
    assert set(zip(result.truth.tolist(), result.found.tolist(), strict=True)) == expected
    assert set(result.missed.tolist()) == set(np.unique(truth).tolist()) - {0} - {a for a, _ in expected}
    assert set(result.invented.tolist()) == set(np.unique(found).tolist()) - {0} - {b for _, b in expected}
    n, m = len(set(np.unique(truth)) - {0}), len(set(np.unique(found)) - {0})
    assert result.f1 == pytest.approx(2 * len(expected) / (n + m))
    interval = result.f1_interval()
    assert interval.value == pytest.approx(result.f1)
    assert interval.low <= result.f1 <= interval.high


def test_exactly_half_is_no_pair_and_nothing_is_no_number():
    assert len(match_objects(np.array([1, 1]), np.array([1, 0])).truth) == 0
    assert math.isnan(match_objects(np.zeros(4, int), np.zeros(4, int)).f1)
    assert match_objects(np.array([1, 0]), np.array([0, 0])).f1 == 0


def test_other_shapes_and_bounds_are_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        match_objects(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ParameterError, match="can belong to two"):
        match_objects(np.zeros(3, int), np.zeros(3, int), 0.4)
