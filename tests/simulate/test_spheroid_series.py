"""Simulated spheroids: same seed, same image; what carries ATP, and what does not."""

import numpy as np
import pytest

from vitascope.simulate.spheroid_series import DAYS, DOSES, Setting, living_volume, make_spheroid, setting_of, survival


def test_same_arguments_draw_the_same_image_and_another_seed_another():
    setting = Setting(3, 2, 5, 1)
    first, again, other = (make_spheroid(seed, setting, 64) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.viability == again.viability
    assert (first.image != other.image).any()


def test_numbers_run_over_days_then_doses():
    settings = [setting_of(n, 4) for n in range(len(DAYS) * DOSES)]
    assert [s.day for s in settings[: len(DAYS)]] == list(DAYS)
    assert [s.dose for s in settings[:: len(DAYS)]] == list(range(DOSES))
    assert len({(s.well, s.day) for s in settings}) == len(settings)


def test_controls_live_and_their_median_is_one():
    found = [living_volume(0, Setting(p, 0, 3, 0)) for p in range(400)]
    assert np.median(found) == pytest.approx(1, abs=0.07)


def test_survival_falls_with_dose_and_with_days_where_the_compound_harms():
    harmful = next(p for p in range(50) if survival(0, Setting(p, 1, 7, 5)) < 0.5)
    by_dose = [survival(0, Setting(harmful, d, 7, d)) for d in range(DOSES)]
    by_day = [survival(0, Setting(harmful, 3, day, 3)) for day in DAYS]
    assert by_dose == sorted(by_dose, reverse=True)
    assert by_day == sorted(by_day, reverse=True)


def test_the_same_well_shows_one_spheroid_over_days():
    harmless = next(p for p in range(50) if survival(0, Setting(p, 1, 7, 5)) == 1)
    assert len({living_volume(0, Setting(harmless, 2, day, 2)) for day in DAYS}) == 1


def test_a_living_spheroid_lets_as_much_light_pass_as_real_ones_do():
    setting = Setting(0, 0, 1, 0)
    image = make_spheroid(0, setting, 128).image / np.median(make_spheroid(0, setting, 128).image)
    body = image < 0.6
    assert 0.06 < np.sqrt(body.sum() / np.pi) / 128 < 0.16  # radius; real ones: 0.06 to 0.13
    assert 0.15 < np.percentile(image[body], 10) < 0.37


def test_shading_and_exposure_change_the_image_and_not_the_number():
    one, other = (make_spheroid(0, Setting(1, 0, day, 0), 64) for day in (1, 3))
    assert one.viability == other.viability
    assert (one.image != other.image).mean() > 0.9
