import math

import numpy as np
import pytest

from vitascope.stats.overlap import count_overlap


def test_overlap_against_sets():
    rng = np.random.default_rng(0)
    found, truth = rng.integers(1, 4, (5, 6, 7)), rng.integers(0, 4, (5, 6, 7))
    counted = {i for i, t in enumerate(truth.ravel()) if t > 0}
    mine = {i for i, f in enumerate(found.ravel()) if f == 2} & counted
    there = {i for i, t in enumerate(truth.ravel()) if t == 2}
    overlap = count_overlap(found, truth, 2)
    assert overlap.dice == pytest.approx(2 * len(mine & there) / (len(mine) + len(there)))
    assert overlap.iou == pytest.approx(len(mine & there) / len(mine | there))
    assert overlap.precision == pytest.approx(len(mine & there) / len(mine))
    assert overlap.recall == pytest.approx(len(mine & there) / len(there))


def test_an_absent_class_has_no_number():
    overlap = count_overlap(np.ones(4), np.ones(4), 2)
    assert all(math.isnan(v) for v in (overlap.dice, overlap.iou, overlap.precision, overlap.recall))
