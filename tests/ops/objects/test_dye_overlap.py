import numpy as np
import pytest

from vitascope.ops.objects.dye_overlap import shared_signal


def cells(seed=0):
    """Blocks of cells in the dark, each of its own brightness."""
    rng = np.random.default_rng(seed)
    bright = rng.uniform(0.5, 1, (6, 6, 6)) * (rng.random((6, 6, 6)) < 0.6)
    return np.kron(bright, np.ones((4, 4, 4))).astype(np.float32)


def test_a_faint_copy_is_told_from_cells_that_take_one_dye_each():
    all_cells, noise = cells(), np.random.default_rng(1).normal(0, 0.01, (24, 24, 24)).astype(np.float32)
    assert shared_signal(0.1 * all_cells + noise, all_cells) > 0.8
    alive = np.kron(np.random.default_rng(2).random((6, 6, 6)) < 0.5, np.ones((4, 4, 4))).astype(bool)
    assert shared_signal(np.where(alive, all_cells, 0), np.where(alive, 0, all_cells)) < -0.2


def test_units_do_not_matter_and_nothing_to_see_is_nan():
    all_cells = cells()
    other = cells(3)
    once = shared_signal(all_cells, other)
    assert shared_signal(500 * all_cells + 90, 3 * other - 7) == pytest.approx(once, abs=1e-5)
    assert np.isnan(shared_signal(np.zeros((9, 9, 9), np.float32), np.zeros((9, 9, 9), np.float32)))
