import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.intensity.gaussian import gaussian_laplace, slope_and_laplace


@pytest.mark.parametrize("sigma", [0.7, 1.5, 6.0])
def test_slope_and_laplacian_are_scipys(sigma):
    picture = np.random.default_rng(0).normal(0, 1, (40, 61))
    slope, curved = slope_and_laplace(picture, sigma)
    assert slope.shape == picture.shape
    np.testing.assert_allclose(slope, ndimage.gaussian_gradient_magnitude(picture, sigma), atol=1e-6)
    np.testing.assert_allclose(curved, ndimage.gaussian_laplace(picture, sigma), atol=1e-5)
    np.testing.assert_array_equal(gaussian_laplace(picture, sigma), curved)
