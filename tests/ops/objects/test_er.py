import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_local
from skimage.morphology import opening, remove_small_objects

from vitascope.core.errors import InputError
from vitascope.ops.objects.er import BLOCK_DIAMETERS, block_px, blur, find_er, mean_mask, normalise, without_small


def toy(shape=(300, 300), seed=0):
    """Rings of known area around nuclei, with a shine around them."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, bool)
    for a, b in ((80, 90), (210, 220)):
        r = np.hypot(y - a, x - b)
        truth |= (r < 26) & (r > 9)
    shine = ndimage.gaussian_filter(truth.astype(float), 20)
    noise = np.random.default_rng(seed).normal(0, 0.01, shape)
    return truth, ndimage.gaussian_filter(truth.astype(float), 1.5) + 0.8 * shine + noise


def test_mended_finds_the_area_and_as_printed_far_more():
    truth, picture = toy()
    filled = ndimage.binary_fill_holes(truth).sum()
    mended, printed = (find_er(picture, 24, how).mask.sum() for how in ("mended", "thesis"))
    assert mended / filled == pytest.approx(1, abs=0.15)
    assert printed > 1.2 * filled


def test_every_step_agrees_with_skimage_and_scipy():
    _, picture = toy()
    steps = find_er(picture, 24)
    values = (picture - picture.min()) / (picture.max() - picture.min())
    np.testing.assert_allclose(steps.normalised, values, atol=1e-6)
    np.testing.assert_array_equal(steps.rough, steps.normalised > steps.normalised.astype(float).mean())
    side = 2 * round((BLOCK_DIAMETERS * 24 - 1) / 2) + 1
    local = (steps.normalised > threshold_local(steps.normalised, side, "gaussian")) & steps.rough
    assert (steps.local == local).mean() > 0.9999  # rounding on the very edge
    opened = opening(steps.filled, np.ones((3, 3), bool))
    np.testing.assert_array_equal(steps.opened, opened)


def test_as_printed_takes_the_threshold_of_the_picture_with_zeros():
    _, picture = toy()
    steps = find_er(picture, 24, "thesis")
    zeroed = np.where(steps.rough, steps.normalised, 0)
    assert (steps.local == (zeroed > threshold_local(zeroed, 181, "gaussian"))).mean() > 0.9999
    np.testing.assert_array_equal(steps.filled, ndimage.binary_fill_holes(steps.local))


def test_the_blur_is_the_kernel_one_two_one():
    mask = np.random.default_rng(2).random((12, 15)) > 0.6
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = ndimage.convolve(mask.astype(float), kernel, mode="mirror")
    np.testing.assert_allclose(blur(mask), expected, atol=1e-6)


def test_small_pieces_go_as_in_skimage():
    mask = np.random.default_rng(3).random((40, 40)) > 0.55
    expected = remove_small_objects(mask, max_size=8, connectivity=2)
    np.testing.assert_array_equal(without_small(mask, 9), expected)


def test_nothing_is_found_in_a_constant_picture_and_nan_is_ground():
    assert not find_er(np.full((50, 50), 7.0), 20).mask.any()
    _, picture = toy()
    picture[:5] = np.nan
    assert not find_er(picture, 24).mask[:4].any()
    assert not normalise(np.full((4, 4), np.nan)).any()
    assert not mean_mask(np.zeros((4, 4), np.float32)).any()
    with pytest.raises(InputError, match="no plane"):
        normalise(np.zeros(5))


def test_the_block_is_six_nuclei():
    assert [block_px(d) for d in (30, 15.2, 0.1)] == [181, 91, 3]
