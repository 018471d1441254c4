import numpy as np
from scipy import ndimage
from skimage.filters import threshold_local
from skimage.morphology import opening

from tests_support import blobs
from vitascope.core.training_params import CropFilter, TargetPreparation
from vitascope.ops.intensity.target_preparation import kept_crops, prepare_target


def test_nothing_asked_nothing_done():
    stain = np.random.default_rng(0).integers(0, 4000, (40, 40)).astype(np.uint16)
    np.testing.assert_array_equal(prepare_target(stain, TargetPreparation()), stain)


def test_the_ball_takes_a_slope_off_and_leaves_the_nuclei():
    nuclei = 1000 * blobs((128, 128), ((40, 40), (90, 80)), 6.0, noise=0)
    slope = np.linspace(0, 500, 128)[None] * np.ones((128, 1))
    found = prepare_target(nuclei + slope, TargetPreparation(rolling_ball_px=25))
    assert np.corrcoef(found.ravel(), nuclei.ravel())[0, 1] > 0.97
    assert np.corrcoef((nuclei + slope).ravel(), nuclei.ravel())[0, 1] < 0.9


def test_clipping_makes_the_dim_nine_tenths_zero():
    stain = np.arange(10_000.0).reshape(100, 100)
    found = prepare_target(stain, TargetPreparation(clip_percentile=90))
    np.testing.assert_allclose((found > 0).mean(), 0.1, atol=0.001)
    assert found.max() == 1


def test_the_exposure_filter_keeps_crops_with_something_in_them():
    target = np.zeros((64, 96), np.float32)
    target[:20, :20] = 0.6  # well exposed
    target[:32, 32:64] = 1.0  # saturated
    target[40:60, 40:60] = 0.2  # dim
    found = kept_crops(target, CropFilter(min_foreground=0.02, max_saturated=0.2, min_peak=0.3), 32)
    assert found.tolist() == [[True, False, False], [False, False, False]]


def test_a_mask_is_black_and_white_and_covers_the_cells():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160]
    truth = (np.hypot(y - 50, x - 50) < 22) | (np.hypot(y - 110, x - 105) < 18)
    light = np.where(np.hypot(y - 50, x - 50) < 22, 400.0, 1500.0) * truth  # one cell is far dimmer
    stain = 100 + ndimage.gaussian_filter(light, 1) + rng.normal(0, 3, truth.shape)
    found = prepare_target(stain, TargetPreparation(mask=True, mask_block_px=91))
    assert found.dtype == np.float32
    assert set(np.unique(found)) == {0, 1}
    assert ((found > 0) & truth).sum() / ((found > 0) | truth).sum() > 0.9
    speck = np.full((60, 60), 10.0)
    speck[30, 30] = 900  # gone with the opening
    assert not prepare_target(speck, TargetPreparation(mask=True, mask_block_px=21)).any()


def test_the_mask_is_a_local_threshold_cut_by_the_mean_and_opened():
    stain = np.random.default_rng(1).gamma(2, 100, (70, 80)).astype(np.float32)
    above = (stain > threshold_local(stain, 31, "gaussian")) & (stain > stain.mean())
    expected = opening(above, np.ones((3, 3), bool))
    found = prepare_target(stain, TargetPreparation(mask=True, mask_block_px=31))
    assert (found == expected).mean() > 0.999
