import numpy as np
import pytest
from scipy import ndimage

from vitascope.core.errors import ParameterError
from vitascope.ops.intensity.background import clip_low, rolling_ball_background, subtract_background


def opened_by_a_ball(heights, radius):
    """Height of a ball rolled along the underside, in plain loops."""
    reach = int(radius)
    steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1) if y * y + x * x <= radius**2]
    result = np.empty(heights.shape)
    for (y, x), _ in np.ndenumerate(heights):
        # the highest the ball's top may stand when its centre is here
        result[y, x] = min(
            heights[y + b, x + a] + radius - np.sqrt(radius**2 - a * a - b * b)
            for b, a in steps
            if 0 <= y + b < heights.shape[0] and 0 <= x + a < heights.shape[1]
        )
    return result


def spots(shape=(60, 70)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    slope = 0.1 + 0.3 * x / shape[1]
    bright = ndimage.gaussian_filter(((y % 20 == 10) & (x % 20 == 10)).astype(float), 1.5) * 4
    return np.clip(slope + bright, 0, 1).astype(np.float32), slope


def test_small_ball_is_the_thesis_opening():
    picture = np.random.default_rng(0).random((25, 31)).astype(np.float32)
    expected = opened_by_a_ball(picture * 255, 6) / 255
    assert rolling_ball_background(picture, 6) == pytest.approx(expected, abs=1e-5)


def test_background_follows_the_light_and_leaves_the_spots():
    picture, slope = spots((120, 140))
    for shrink in (1, 2, None):
        background = rolling_ball_background(picture, 25, shrink)
        assert (background <= picture).all()
        assert np.abs(background - slope)[20:-20, 20:-20].max() < 0.03
    left = subtract_background(picture, 25)
    assert left.min() >= 0
    assert np.corrcoef(left.ravel(), (picture - slope).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (1, 50), (65, 7)])
def test_small_and_odd_shapes(shape):
    picture = np.random.default_rng(1).random(shape).astype(np.float32)
    background = rolling_ball_background(picture, 40)
    assert background.shape == shape
    assert (background <= picture).all()
    assert (background >= picture.min() - 1e-6).all()


@pytest.mark.fault("A04")
def test_constant_is_all_background():
    assert subtract_background(np.full((30, 30), 0.4), 12) == pytest.approx(0, abs=1e-6)


@pytest.mark.fault("A02")
def test_not_finite_pixels_do_not_push_the_ball():
    picture, _ = spots()
    holed = picture.copy()
    holed[30, 30], holed[31, 30] = np.nan, np.inf
    assert np.isnan(subtract_background(holed, 15)[30:32, 30]).all()
    away = np.ones(picture.shape, bool)
    away[10:52, 9:52] = False
    assert rolling_ball_background(holed, 15)[away] == pytest.approx(rolling_ball_background(picture, 15)[away])
    assert np.isnan(subtract_background(np.full((5, 5), np.nan), 3)).all()


@pytest.mark.parametrize(("radius", "shrink"), [(0, None), (-3, None), (np.nan, None), (5, 0)])
def test_impossible_balls_are_refused(radius, shrink):
    with pytest.raises(ParameterError):
        rolling_ball_background(np.zeros((4, 4)), radius, shrink)


def test_clip_is_the_code_of_the_thesis():
    image = np.random.default_rng(2).random((20, 20))
    minval = np.percentile(image, 90)
    expected = np.clip(image, minval, image.max())
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    assert clip_low(image) == pytest.approx(expected, abs=1e-6)


def test_clip_of_what_has_no_range():
    assert clip_low(np.full((4, 4), 3.0)).tolist() == np.zeros((4, 4)).tolist()
    holed = np.array([[0.0, 1.0, np.nan, 2.0]])
    assert clip_low(holed, 50) == pytest.approx(np.array([[0, 0, np.nan, 1]]), nan_ok=True)
    assert np.isnan(clip_low(np.full((2, 2), np.nan))).all()
    with pytest.raises(ParameterError):
        clip_low(holed, 101)
