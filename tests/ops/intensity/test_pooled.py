"""Many images counted as one, against all their pixels put together."""

import numpy as np
import pytest

from vitascope.core.progress import run_to_end
from vitascope.ops.intensity.histogram import histogram
from vitascope.ops.intensity.pooled import pool_values

PERCENTS = (0, 0.1, 1, 25, 50, 75, 99, 99.9, 100)


def pictures(dtype, count=4, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(400 + 300 * k, 50 + 20 * k, (40 + k, 33)) / (20 if dtype == np.uint8 else 1)).astype(dtype)
            for k in range(count)]  # fmt: skip


def pool(arrays, broken=()):
    images = [(str(n), lambda a=a: a if isinstance(a, list) else [a]) for n, a in enumerate(arrays)]
    return run_to_end(pool_values(images, len(arrays[0]) if isinstance(arrays[0], list) else 1, broken))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_integers_are_counted_exactly(dtype):
    images = pictures(dtype)
    every = np.concatenate([i.ravel() for i in images]).astype(np.float64)
    found = pool(images)
    counted = found.histograms[0]
    np.testing.assert_allclose(counted.percentiles(*PERCENTS), np.percentile(every, PERCENTS), rtol=1e-12)
    assert counted.exact
    assert (counted.range.minimum, counted.range.maximum, counted.range.pixels) == (
        every.min(),
        every.max(),
        every.size,
    )
    assert found.images == 4
    one = histogram(every.astype(dtype).reshape(1, -1))
    np.testing.assert_array_equal(counted.counts, one.counts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_other_types_are_known_to_half_a_bin(dtype):
    images = pictures(dtype)
    every = np.concatenate([i.ravel() for i in images]).astype(np.float64)
    counted = pool(images).histograms[0]
    near = (every.max() - every.min()) / 131072 * 1.01
    np.testing.assert_allclose(counted.percentiles(*PERCENTS), np.percentile(every, PERCENTS), atol=near)
    assert int(counted.counts.sum()) == every.size


def test_types_may_differ_and_the_order_does_not_matter():
    images = [*pictures(np.uint16, 2), *pictures(np.float32, 2, seed=1), *pictures(np.uint8, 1)]
    one, other = (pool(order).histograms[0] for order in (images, images[::-1]))
    np.testing.assert_array_equal(one.counts, other.counts)
    every = np.concatenate([i.ravel().astype(np.float64) for i in images])
    assert one.percentiles(50)[0] == pytest.approx(np.median(every), abs=(every.max() - every.min()) / 131072)


def test_pixels_that_are_no_numbers_are_left_out():
    images = pictures(np.float32)
    images[1][:3] = np.nan
    images[2][0, 0] = np.inf
    counted = pool(images).histograms[0]
    every = np.concatenate([i.ravel() for i in images])
    assert int(counted.counts.sum()) == int(np.isfinite(every).sum()) == counted.range.finite
    assert counted.range.maximum == every[np.isfinite(every)].max()


def test_channels_are_counted_apart():
    images = [[a, b + np.uint16(7000)] for a, b in zip(pictures(np.uint16), pictures(np.uint16, seed=3), strict=True)]
    dark, bright = pool(images).histograms
    assert dark.range.maximum < 7000 < bright.range.minimum


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_what_cannot_be_read_is_left_out_and_named(dtype):
    images = pictures(dtype)

    def gone():
        raise OSError("gone")

    opened = [("a", lambda: [images[0]]), ("b", gone), ("c", lambda: [images[1]])]
    found = run_to_end(pool_values(opened, 1, (OSError,)))
    assert (found.images, found.unread) == (2, ("b",))
    assert found.histograms[0].range.pixels == images[0].size + images[1].size
    with pytest.raises(OSError, match="gone"):
        run_to_end(pool_values(opened, 1))
    nothing = run_to_end(pool_values([("b", gone)], 1, (OSError,)))
    assert nothing.images == 0
    assert not nothing.histograms[0].range.finite


def test_a_constant_plate_and_one_image_in_hand():
    held = []

    def opened(value):
        held.append(value)
        return [np.full((5, 5), value, np.float32)]

    found = run_to_end(pool_values([(str(n), lambda: opened(3.5)) for n in range(3)], 1))
    assert found.histograms[0].percentiles(50) == (3.5,)
    assert len(held) == 6  # floats are read twice
