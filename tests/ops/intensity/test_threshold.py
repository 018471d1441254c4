import math

import numpy as np
import pytest
from skimage.filters import threshold_local, threshold_minimum

from vitascope.core.errors import ParameterError
from vitascope.ops.intensity.histogram import histogram
from vitascope.ops.intensity.threshold import (
    iterative_threshold,
    local_reach_px,
    local_threshold,
    minimum_threshold,
)


def two_groups(seed=0, low=0.2, high=0.7, size=6000):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(low, 0.05, size), rng.normal(high, 0.08, size // 3)])
    return values.reshape(100, -1).astype(np.float32)


def algorithm_3(values, start, tolerance):
    """Algorithm 3 in plain loops over the pixels."""
    threshold = start
    while True:
        above = [v for v in values if v > threshold]
        below = [v for v in values if v <= threshold]
        new = (sum(above) / len(above) + sum(below) / len(below)) / 2
        if abs(new - threshold) < tolerance:
            return new
        threshold = new


def weighted_mean(picture, y, x, block_px):
    """Gaussian-weighted mean around one pixel, edges mirrored, in plain loops."""
    sigma, reach = (block_px - 1) / 6, local_reach_px(block_px)

    def mirror(i, n):
        i %= 2 * n
        return i if i < n else 2 * n - 1 - i

    total = weights = 0.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            weight = math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
            total += weight * picture[mirror(y + dy, picture.shape[0]), mirror(x + dx, picture.shape[1])]
            weights += weight
    return total / weights


@pytest.mark.parametrize("shape", [(30, 41), (1, 1), (3, 3), (1, 50), (65, 2)])
def test_local_threshold_is_the_weighted_mean(shape):
    picture = np.random.default_rng(1).random(shape).astype(np.float32)
    found = local_threshold(picture, 11, offset=0.05)
    for y in range(0, shape[0], 13):
        for x in range(0, shape[1], 7):
            assert found[y, x] == pytest.approx(weighted_mean(picture, y, x, 11) - 0.05, abs=2e-6)


def test_local_threshold_is_that_of_skimage():
    picture = two_groups()
    assert np.array_equal(local_threshold(picture, 21, 0.01), threshold_local(picture, 21, "gaussian", 0.01))


@pytest.mark.fault("A02")
def test_local_threshold_leaves_out_what_is_not_finite():
    picture = np.full((40, 40), 0.3, np.float32)
    picture[10:20, 10:20] = np.nan
    finite = np.isfinite(picture)
    assert local_threshold(picture, 11, finite=finite) == pytest.approx(0.3, abs=1e-6)
    assert np.isinf(local_threshold(picture, 11, finite=np.zeros_like(finite))).all()


@pytest.mark.parametrize("block_px", [0, 1, 2, 110])
def test_local_threshold_wants_an_odd_block(block_px):
    with pytest.raises(ParameterError, match="odd"):
        local_threshold(np.zeros((9, 9)), block_px)


def test_iterative_threshold_is_algorithm_3():
    picture = np.round(two_groups() * 200).astype(np.uint16)
    counted = histogram(picture)
    expected = algorithm_3(picture.ravel().tolist(), float(picture.mean()), 0.5)
    assert iterative_threshold(counted).value == pytest.approx(expected, rel=1e-12)
    expected = algorithm_3(picture.ravel().tolist(), 150.0, 0.01)
    assert iterative_threshold(counted, start=150.0, tolerance=0.01).value == pytest.approx(expected, rel=1e-12)


def test_iterative_threshold_of_floats_is_good_to_a_bin():
    picture = two_groups(3)
    counted = histogram(picture)
    expected = algorithm_3(picture.ravel().astype(float).tolist(), float(picture.mean()), counted.width / 2)
    assert iterative_threshold(counted).value == pytest.approx(expected, abs=5 * counted.width)


@pytest.mark.parametrize(("start", "tolerance"), [(-1.0, None), (9.0, None), (3.0, 0.0), (3.0, math.nan)])
def test_iterative_threshold_refuses_what_cannot_work(start, tolerance):
    with pytest.raises(ParameterError):
        iterative_threshold(histogram(np.arange(10, dtype=np.uint8)), start, tolerance)


def test_minimum_threshold_is_that_of_skimage():
    picture = two_groups(2)
    found = minimum_threshold(histogram(picture))
    assert found.method == "minimum"
    assert found.value == pytest.approx(threshold_minimum(picture), abs=1e-6)
    whole = np.round(picture * 100).astype(np.uint8)
    assert minimum_threshold(histogram(whole)).value == threshold_minimum(whole)


def test_minimum_threshold_falls_back_without_two_peaks():
    counted = histogram(np.repeat(np.arange(50, dtype=np.uint8), np.arange(50, 0, -1)))
    found = minimum_threshold(counted)
    assert found.method == "iterative"
    assert "two peaks" in found.reason
    assert found.value == iterative_threshold(counted).value


@pytest.mark.parametrize("find", [minimum_threshold, iterative_threshold])
@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.full((4, 4), 0.5), marks=pytest.mark.fault("A04")),
        pytest.param(np.full((4, 4), 3, np.uint16), marks=pytest.mark.fault("A04")),
        pytest.param(np.full((4, 4), np.nan), marks=pytest.mark.fault("A01")),
        pytest.param(np.full((4, 4), np.inf), marks=pytest.mark.fault("A03")),
        pytest.param(np.zeros((0, 4)), marks=pytest.mark.fault("A06")),
        pytest.param(np.ones((1, 1)), marks=pytest.mark.fault("A07")),
    ],
)
def test_nothing_to_tell_apart(find, picture):
    found = find(histogram(picture))
    assert found.value == math.inf
    assert found.method == "none"
    assert found.reason


def test_two_values_are_told_apart():
    found = iterative_threshold(histogram(np.array([[2, 2, 9]], np.uint8)))
    assert found.value == 5.5
