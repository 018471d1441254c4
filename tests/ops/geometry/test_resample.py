import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.geometry.resample import array_reader, resampled_reader, volume_reader

RNG = np.random.default_rng(1)


def whole(shape):
    return slice(0, shape[0]), slice(0, shape[1])


@pytest.mark.parametrize(("shape_in", "shape_out"), [((40, 33), (80, 61)), ((90, 70), (30, 23)), ((50, 50), (65, 35))])
def test_windows_give_the_same_pixels_as_the_whole(shape_in, shape_out):
    picture = RNG.random((2, *shape_in), np.float32)
    read = resampled_reader(array_reader(picture), shape_in, shape_out)
    expected = read(whole(shape_out))
    for window in [(slice(3, 19), slice(0, 20)), (slice(10, shape_out[0]), slice(5, shape_out[1]))]:
        np.testing.assert_array_equal(read(window), expected[(slice(None), *window)])


def test_enlarging_is_linear_interpolation():
    picture = RNG.random((1, 20, 20), np.float32)
    ours = resampled_reader(array_reader(picture), (20, 20), (40, 40))(whole((40, 40)))[0]
    at = (np.arange(40) + 0.5) / 2 - 0.5
    reference = ndimage.map_coordinates(picture[0], np.meshgrid(at, at, indexing="ij"), order=1, mode="mirror")
    np.testing.assert_allclose(ours, reference, atol=1e-6)


def test_shrinking_smooths_before_sampling():
    """A checkerboard finer than the new grid becomes grey instead of aliasing; a ramp stays a ramp."""
    board = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)[None]
    ramp = np.arange(64, dtype=np.float32)[None, None].repeat(64, 1)

    def shrink(a):
        return resampled_reader(array_reader(a), (64, 64), (16, 16))(whole((16, 16)))[0]

    assert np.abs(shrink(board)[3:-3, 3:-3] - 0.5).max() < 0.02
    np.testing.assert_allclose(shrink(ramp)[8, 4:-4], (np.arange(4, 12) + 0.5) * 4 - 0.5, atol=1e-3)


def test_constant_stays_constant_at_any_size():
    picture = np.full((1, 31, 17), 3.25, np.float32)
    out = resampled_reader(array_reader(picture), (31, 17), (50, 9))((slice(-7, 60), slice(-4, 16)))
    np.testing.assert_allclose(out, 3.25, rtol=1e-6)


def test_a_volume_read_by_windows_is_the_volume_resampled_at_once():
    volume = np.random.default_rng(0).random((2, 11, 20, 17)).astype(np.float32)
    read = resampled_reader(volume_reader(volume), (11, 20, 17), (5, 20, 40))
    whole = read((slice(0, 5), slice(0, 20), slice(0, 40)))
    part = read((slice(2, 4), slice(3, 19), slice(7, 25)))
    np.testing.assert_array_equal(part, whole[:, 2:4, 3:19, 7:25])
    expected = np.stack([ndimage.zoom(c, (1, 1, 40 / 17), order=1, grid_mode=True, mode="nearest") for c in volume])
    same_z = resampled_reader(volume_reader(volume), (11, 20, 17), (11, 20, 40))
    found = same_z((slice(0, 11), slice(0, 20), slice(0, 40)))
    np.testing.assert_allclose(found[..., 4:-4], expected[..., 4:-4], atol=1e-5)


def test_a_volume_goes_on_by_reflection():
    volume = np.random.default_rng(1).random((1, 4, 5, 6)).astype(np.float32)
    found = volume_reader(volume)((slice(-2, 6), slice(0, 5), slice(-1, 8)))
    np.testing.assert_array_equal(found, np.pad(volume, [(0, 0), (2, 2), (0, 0), (1, 2)], mode="reflect"))
