import math

import numpy as np
import pytest
from scipy import ndimage

from tests_support import blobs
from vitascope.core.errors import InputError
from vitascope.ops.intensity.noise import FIXED_PATTERN, measure_noise


def signal(shape=(400, 480)):
    return 300 + 800 * ndimage.gaussian_filter(blobs(shape), 2)


@pytest.mark.parametrize("sigma", [2.0, 15.0])
def test_white_noise_is_measured_under_a_signal(sigma):
    picture = signal() + np.random.default_rng(0).normal(0, sigma, (400, 480))
    found = measure_noise(picture)
    assert found.sigma == pytest.approx(sigma, rel=0.15)
    assert abs(found.correlation) < FIXED_PATTERN / 2


@pytest.mark.parametrize("weight", [0.1, 0.3, 0.6])
def test_noise_that_leaks_to_its_neighbour_has_the_correlation_of_its_formula(weight):
    """x(i) = n(i) + w n(i - 1): neighbours correlate by w / (1 + w²)."""
    white = np.random.default_rng(1).normal(0, 10, (400, 481))
    noise = white[:, 1:] + weight * white[:, :-1]
    found = measure_noise(signal() + noise)
    assert found.correlation_x == pytest.approx(weight / (1 + weight**2), abs=0.05)
    assert abs(found.correlation_y) < 0.06
    assert found.correlation in (found.correlation_x, found.correlation_y)


def test_poisson_noise_is_white():
    picture = np.random.default_rng(2).poisson(signal() / 10)
    assert abs(measure_noise(picture).correlation) < FIXED_PATTERN / 2


def test_binned_then_enlarged_noise_is_told():
    small = np.random.default_rng(3).normal(0, 10, (100, 120))
    assert measure_noise(ndimage.zoom(small, 2, order=1)).correlation > FIXED_PATTERN


def test_no_noise_has_no_correlation_and_bad_pixels_are_left_out():
    assert measure_noise(np.full((64, 64), 5.0)).sigma == 0
    assert math.isnan(measure_noise(np.full((64, 64), 5.0)).correlation)
    picture = signal() + np.random.default_rng(0).normal(0, 5, (400, 480))
    picture[50:60, 50:60] = np.nan
    assert measure_noise(picture).sigma == pytest.approx(5, rel=0.2)
    with pytest.raises(InputError, match="20 x 480 px"):
        measure_noise(picture[:20])
