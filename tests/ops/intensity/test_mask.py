import numpy as np
import pytest

from vitascope.ops.intensity.mask import cut_for_area, open_mask


@pytest.mark.parametrize("seed", range(4))
def test_the_cut_makes_the_predicted_area_the_true_one(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(5000) < rng.uniform(0.05, 0.9)
    predicted = np.clip(0.3 * mask + rng.normal(0.3, 0.15, mask.size), 0, 1).astype(np.float32)
    cut = cut_for_area(predicted, mask)
    assert np.count_nonzero(predicted > cut) == pytest.approx(mask.sum(), abs=2)
    assert cut_for_area(predicted, mask.astype(np.float32)) == cut
    order = rng.permutation(mask.size)
    assert cut_for_area(predicted[order], mask[order]) == cut


def test_pixels_predicted_alike_stay_out_together():
    assert (
        np.count_nonzero(np.array([0.2, 0.6, 0.6, 0.9]) > cut_for_area(np.array([0.2, 0.6, 0.6, 0.9]), [0, 0, 1, 1]))
        == 1
    )


@pytest.mark.parametrize("mask", [np.zeros(9), np.ones(9)])
def test_nothing_tells_the_cut_where_all_is_alike(mask):
    assert np.isnan(cut_for_area(np.linspace(0, 1, 9), mask))


def test_opening_takes_specks_and_leaves_what_reaches_the_edge():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    mask[:3, :] = True
    opened = open_mask(mask)
    assert not opened[4, 4]
    assert opened[:3].all()
