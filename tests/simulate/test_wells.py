import numpy as np
import pytest

from vitascope.simulate.wells import LUMEN, RLU_PER_VOLUME, Organoids, draw_organoids, draw_truth, make_well


def test_the_same_seed_gives_the_same_image_and_another_another():
    first, again, other = make_well(0, 3, 0, 64), make_well(0, 3, 0, 64), make_well(1, 3, 0, 64)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert first.image.dtype == np.uint16


def test_atp_is_the_sum_over_living_volume():
    things = Organoids(*(np.array(v) for v in ([0.0, 0.1], [0.0, 0.2], [0.02, 0.03], [1.0, 0.5], [False, True])))
    ball, shell = 4 / 3 * np.pi * 0.02**3, 4 / 3 * np.pi * 0.03**3 * (1 - LUMEN**3) * 0.5
    assert things.atp_rlu == pytest.approx((ball + shell) * RLU_PER_VOLUME)


def test_the_truth_is_in_the_picture():
    for number in (0, 4):
        well = make_well(2, number, 0, 96)
        assert well.atp_rlu == draw_truth(2, number, 0)
        assert well.living.sum() == pytest.approx(well.atp_rlu, rel=0.02)


def test_dose_kills_and_amounts_are_skewed():
    values = np.array([draw_truth(0, n, n // 5) for n in range(300)])
    by_dose = [np.median(values[d::5]) for d in range(5)]
    assert by_dose[0] > 3 * by_dose[4]
    assert np.mean(values) > 1.3 * np.median(values)
    assert draw_organoids(0, 0, 0).alive.max() <= 1


def test_vacuoles_are_seen_and_carry_no_atp():
    without, with_many = make_well(0, 3, 0, 256, vacuoles=0), make_well(0, 3, 0, 256, vacuoles=60)
    assert with_many.atp_rlu == without.atp_rlu
    assert np.array_equal(with_many.living, without.living)
    share = with_many.image / without.image
    changed = np.abs(share - 1) > 0.02
    assert 0.005 < changed.mean() < 0.2  # walls darken, insides brighten; all else is the same picture
    assert share.min() < 0.9
    assert share[changed].max() > 1.02
    assert not np.array_equal(make_well(0, 3, 0, 256).image, without.image)  # they are drawn unless left out


def test_truth_of_wells_in_one_state_is_known_without_drawing():
    for alive in (0.0, 1.0):
        assert make_well(2, 4, 0, 96, alive=alive).atp_rlu == draw_truth(2, 4, 0, alive)
    assert draw_truth(2, 4, 0, 0.0) == 0
    assert draw_truth(2, 4, 0, 1.0) > draw_truth(2, 4, 0)
