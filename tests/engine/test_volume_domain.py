import numpy as np

from vitascope.engine.volume_domain import BRIGHTEST, CROP_ZYX, bright_crops, volume_statistics
from vitascope.ops.geometry.resample import volume_reader


def test_the_brightest_places_are_looked_at():
    volume = np.zeros((2, 24, 240, 240), np.float32)
    volume[:, 12:, 192:, :48] = 5.0
    crops = bright_crops(volume_reader(volume), volume.shape[1:])
    assert len(crops) == BRIGHTEST
    assert sum(float(crop.mean()) == 5.0 for crop in crops) == 1
    np.testing.assert_array_equal(crops[-1].shape, (2, *CROP_ZYX))


def test_a_small_stack_is_one_crop_continued_by_reflection():
    volume = np.random.default_rng(0).random((2, 5, 20, 30)).astype(np.float32)
    (crop,) = bright_crops(volume_reader(volume), volume.shape[1:])
    np.testing.assert_array_equal(crop[:, :5, :20, :30], volume)


def test_statistics_are_of_the_mean_channel_and_features_are_pooled():
    volume = np.random.default_rng(0).random((2, 12, 48, 48)).astype(np.float32)
    statistics, features = volume_statistics(
        volume_reader(volume), volume.shape[1:], lambda crop: crop[:, ::2, ::4, ::4]
    )
    middle = volume[:, 6].mean(0)
    np.testing.assert_allclose(statistics[0]["mean"], middle.mean(), rtol=1e-6)
    np.testing.assert_allclose(statistics[0]["contrast"], middle.std(), rtol=1e-5)
    np.testing.assert_allclose(features[0], volume[:, ::2, ::4, ::4].mean((1, 2, 3)), rtol=1e-5)
