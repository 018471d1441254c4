import numpy as np
import pytest
from scipy import ndimage

from vitascope.simulate.transmitted import draw_light


@pytest.fixture
def cells():
    rng = np.random.default_rng(3)
    nuclei = np.zeros((256, 240))
    for y, x in rng.integers(20, 220, (12, 2)):
        nuclei[y, x] = 1
    nuclei = np.clip(ndimage.gaussian_filter(nuclei, 6) * 300, 0, 1)
    return ndimage.gaussian_filter(nuclei, 8) * 2, nuclei


@pytest.mark.parametrize("seed", range(6))
def test_light_is_on_one_scale_and_finite(cells, seed):
    light = draw_light(*cells, 24.0, np.random.default_rng(seed))
    assert light.shape == cells[0].shape
    assert light.dtype == np.float32
    assert np.isfinite(light).all()
    assert abs(float(np.median(light))) < 1e-5
    assert float(light.std()) == pytest.approx(1, abs=1e-3)


def test_the_same_seed_draws_the_same_and_another_another(cells):
    first, again, other = (draw_light(*cells, 24.0, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_light_tells_where_cells_are_but_is_no_copy_of_the_stain(cells):
    """Over many optics the texture is stronger at nuclei than off them, and grey values do not follow the stain."""
    at, follows = [], []
    for seed in range(20):
        light = draw_light(*cells, 24.0, np.random.default_rng(seed))
        texture = np.sqrt(ndimage.gaussian_filter((light - ndimage.gaussian_filter(light, 4)) ** 2, 4))
        inside = cells[1] > 0.3
        at.append(texture[inside].mean() / texture[~inside].mean())
        follows.append(np.corrcoef(light.ravel(), cells[1].ravel())[0, 1])
    assert np.median(at) > 1.05
    assert min(follows) < -0.2 < 0.2 < max(follows)
