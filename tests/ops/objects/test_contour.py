"""The classic measures of a spheroid against closed forms."""

import numpy as np
import pytest

from vitascope.ops.objects.contour import measure_contour


def picture(inside, light=0.3):
    return np.where(inside, light, 1.0) * 1000


def test_a_circle_is_round_and_of_its_own_curvature_and_as_dark_as_it_is():
    y, x = np.mgrid[:200, :200]
    found = measure_contour(picture(np.hypot(y - 95, x - 105) < 40))
    assert found.roundness == pytest.approx(1, abs=0.02)
    assert found.curvature < 0.15
    assert found.light == pytest.approx(0.3, abs=0.01)


def test_an_ellipse_has_the_roundness_of_ramanujans_formula():
    y, x = np.mgrid[:200, :200]
    a, b = 80.0, 30.0
    found = measure_contour(picture(((y - 100) / b) ** 2 + ((x - 100) / a) ** 2 < 1), smoothing_px=0.5)
    perimeter = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    assert found.roundness == pytest.approx(2 * np.pi * np.sqrt(a * b) / perimeter, rel=0.02)
    t = np.linspace(0, 2 * np.pi, 10_001)[:-1]
    speed = np.hypot(a * np.sin(t), b * np.cos(t))
    bend = a * b / speed**3 * np.sqrt(a * b)  # curvature of the ellipse, times the radius of its circle
    assert found.curvature == pytest.approx((np.abs(bend - 1) * speed).sum() / speed.sum(), rel=0.1)


def test_waves_on_the_rim_raise_curvature_and_lower_roundness():
    y, x = np.mgrid[:200, :200] - 100
    angle, distance = np.arctan2(y, x), np.hypot(y, x)
    smooth, wavy = (measure_contour(picture(distance < 50 * (1 + w * np.cos(9 * angle)))) for w in (0, 0.12))
    assert wavy.curvature > 1 + smooth.curvature
    assert wavy.roundness < 0.95 * smooth.roundness


def test_an_empty_picture_has_no_contour():
    assert measure_contour(np.full((50, 50), 7)) is None
