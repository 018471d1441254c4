import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.objects.morphology import closed, dilated, eroded, fill_holes, opened

MASKS = [np.random.default_rng(0).random((23, 31)) < share for share in (0.03, 0.5, 0.9)] + [
    np.ones((1, 5), bool),
    np.zeros((4, 4), bool),
]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_masks_are_widened_and_narrowed_as_scipy_does(mask, steps):
    before = mask.copy()
    assert np.array_equal(dilated(mask, steps), ndimage.binary_dilation(mask, iterations=steps))
    assert np.array_equal(eroded(mask, steps), ndimage.binary_erosion(mask, iterations=steps))
    assert np.array_equal(closed(mask, steps), ndimage.binary_closing(mask, iterations=steps))
    assert np.array_equal(opened(mask, steps), ndimage.binary_opening(mask, iterations=steps))
    assert np.array_equal(mask, before)


@pytest.mark.parametrize("mask", MASKS)
def test_holes_are_filled_as_scipy_does(mask):
    assert np.array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
