import numpy as np
import pytest
import torch

from vitascope.core.training_params import PLAIN
from vitascope.training.samplers.crops import augment
from vitascope.training.samplers.light import by_itself, other_light, power, slope, smooth


@pytest.fixture
def crop():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((1, 64, 48)).astype(np.float32))


def test_what_is_switched_off_changes_nothing_and_draws_no_number(crop):
    rng, untouched = np.random.default_rng(5), np.random.default_rng(5)
    assert other_light(crop, PLAIN, rng) is crop
    assert rng.random() == untouched.random()


def test_polarity_is_swapped_by_chance_one(crop):
    turned = other_light(crop, PLAIN.model_copy(update={"invert": 1.0}), np.random.default_rng(0))
    torch.testing.assert_close(turned, crop.max() + crop.min() - crop)


def test_gamma_keeps_extremes_and_order(crop):
    changed = power(crop, 2.0)
    assert float(changed.min()) == pytest.approx(float(crop.min()))
    assert float(changed.max()) == pytest.approx(float(crop.max()), rel=1e-5)
    assert torch.equal(changed.flatten().argsort(), crop.flatten().argsort())


def test_a_slope_is_smooth_with_mean_0_and_deviation_1():
    drawn = slope(torch.Size((40, 60)), np.random.default_rng(1))
    assert float(drawn.mean()) == pytest.approx(0, abs=1e-5)
    assert float(drawn.std()) == pytest.approx(1, abs=1e-5)
    assert float((drawn[0, 1:] - drawn[0, :-1]).abs().max()) < 0.5


def test_a_wide_blur_keeps_the_mean_of_an_even_picture_and_takes_noise_off(crop):
    torch.testing.assert_close(smooth(torch.full((1, 30, 30), 2.0), 6.0), torch.full((1, 30, 30), 2.0))
    assert float(smooth(crop, 6.0).std()) < 0.1 * float(crop.std())


def test_a_crop_by_itself_forgets_gain_and_offset(crop):
    torch.testing.assert_close(by_itself(3 * crop + 7), by_itself(crop), atol=1e-5, rtol=1e-5)
    low, high = np.quantile(by_itself(crop), (0.02, 0.98))
    assert (low, high) == pytest.approx((0, 1), abs=0.02)
    assert float(by_itself(1000 * (crop > 3) + crop).max()) == 1.25


def test_any_radius_of_defocus_leaves_finite_pixels(crop):
    how = PLAIN.model_copy(update={"defocus": 1.0, "defocus_radius_px": 1e-3, "defocus_any": True})
    assert torch.isfinite(augment(crop, how, np.random.default_rng(0))).all()
