import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.intensity import median
from vitascope.ops.intensity.median import median_filter


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_the_median_is_scipys(dtype, monkeypatch):
    monkeypatch.setattr(median, "SLAB_VOXELS", 40)  # several slabs in a plane
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 120, (5, 13, 17)).astype(dtype)
    padded = np.pad(volume, 1, mode="reflect")
    found = median_filter(padded)
    assert found.dtype == volume.dtype
    np.testing.assert_array_equal(found, ndimage.median_filter(volume, size=3, mode="mirror"))


def test_planes_on_their_own_are_scipys_too():
    volume = np.random.default_rng(2).integers(0, 9, (4, 11, 14)).astype(np.uint8)
    found = median_filter(np.pad(volume, ((0, 0), (1, 1), (1, 1)), mode="reflect"), planes=1)
    np.testing.assert_array_equal(found, ndimage.median_filter(volume, size=(1, 3, 3), mode="mirror"))


def test_few_values_and_the_least_volume_are_right_too():
    rng = np.random.default_rng(1)
    for _ in range(200):
        cube = rng.integers(0, 3, (3, 3, 3))
        assert median_filter(cube).item() == np.median(cube)


@pytest.mark.parametrize("count", [3, 5, 7, 9, 11])
def test_the_median_of_several_arrays_is_numpys(count):
    arrays = np.random.default_rng(count).integers(0, 9, (count, 13, 17))
    np.testing.assert_array_equal(median.median_of(list(arrays)), np.median(arrays, axis=0))
