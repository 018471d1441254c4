import math
from itertools import pairwise

import numpy as np
import pytest

from vitascope.core.errors import ParameterError
from vitascope.ops.intensity.corruption import (
    SEVERITIES,
    UNITS,
    add_noise,
    change_brightness,
    change_contrast,
    corrupt,
    defocus,
    defocus_kernel,
    shade,
)

PICTURE = np.random.default_rng(0).random((21, 17)).astype(np.float32)


def averaged_over_disk(picture, y, x, radius, samples=100):
    """Mean over a disk of a picture thought linear between its pixel centres, in plain loops."""
    total = count = 0.0
    for i in range(-samples, samples):
        for j in range(-samples, samples):
            dy, dx = (i + 0.5) / samples * radius, (j + 0.5) / samples * radius
            if dy * dy + dx * dx > radius * radius:
                continue
            a, b = math.floor(y + dy), math.floor(x + dx)
            s, t = y + dy - a, x + dx - b
            total += (1 - s) * ((1 - t) * picture[a, b] + t * picture[a, b + 1])
            total += s * ((1 - t) * picture[a + 1, b] + t * picture[a + 1, b + 1])
            count += 1
    return total / count


@pytest.mark.parametrize("radius", [0.5, 1.5, 3.0])
def test_defocus_averages_over_a_disk(radius):
    assert defocus(PICTURE, radius)[10, 8] == pytest.approx(averaged_over_disk(PICTURE, 10, 8, radius), abs=1e-3)


@pytest.mark.parametrize("radius", [0, 0.3, 0.5, 1, 1.5, 2, 3, 8])
def test_kernel_is_a_symmetric_average(radius):
    kernel = defocus_kernel(radius)
    assert kernel.shape == (2 * math.ceil(radius) + 1,) * 2
    assert kernel.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    assert (kernel >= 0).all()
    for turned in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        assert turned == pytest.approx(kernel, abs=1e-7)


def test_kernel_widens_steadily_and_tends_to_a_flat_disk():
    def variance(kernel):
        place = np.arange(len(kernel)) - len(kernel) // 2
        return (kernel.sum(0) * place**2).sum()

    spread = [variance(defocus_kernel(r)) for r in (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3)]
    assert all(a < b for a, b in pairwise(spread))
    large = defocus_kernel(20)
    y, x = np.mgrid[-20:21, -20:21]
    assert large[y**2 + x**2 < 18**2] == pytest.approx(1 / (math.pi * 400), rel=0.01)
    assert variance(large) == pytest.approx(20**2 / 4, rel=0.01)


def test_defocus_mirrors_edges_and_works_on_stacks():
    stack = np.stack([PICTURE, PICTURE[::-1]])
    assert np.array_equal(defocus(stack, 2)[0], defocus(PICTURE, 2))
    assert defocus(np.full((5, 4), 0.4), 3) == pytest.approx(0.4, abs=1e-6)
    assert defocus(np.ones((1, 1)), 3) == pytest.approx(1, abs=1e-6)
    padded = np.pad(PICTURE, 4, mode="symmetric")
    assert defocus(PICTURE, 2) == pytest.approx(defocus(padded, 2)[4:-4, 4:-4], abs=1e-6)


def test_contrast_and_brightness_clip():
    picture = np.array([0.0, 0.2, 0.5, 1.0])
    assert change_contrast(picture, 2.0).tolist() == pytest.approx([0, 0.4, 1, 1])
    assert change_brightness(picture, 51).tolist() == pytest.approx([0.2, 0.4, 0.7, 1])
    assert change_brightness(picture, -51).tolist() == pytest.approx([0, 0, 0.3, 0.8])


def test_table_9():
    assert [SEVERITIES["defocus"][s] for s in range(6)] == [0, 0.5, 1, 1.5, 2, 3]
    assert [SEVERITIES["contrast"][s] for s in (-5, -1, 0, 1, 5)] == [3.5, 1.5, 1, 0.9, 0.3]
    assert [SEVERITIES["brightness"][s] for s in (-5, -2, 2, 5)] == [-150, -90, 90, 150]
    for name, table in SEVERITIES.items():
        assert corrupt(PICTURE, name, 0) == pytest.approx(PICTURE, abs=1e-7)
        for severity, value in table.items():
            apply = {
                "defocus": defocus,
                "contrast": change_contrast,
                "brightness": change_brightness,
                "noise": add_noise,
                "shading": shade,
                "exposure": change_contrast,
            }[name]
            assert np.array_equal(corrupt(PICTURE, name, severity), apply(PICTURE, value))


def test_noise_shading_and_exposure_are_what_their_values_say():
    grey = np.full((200, 300), 0.5, np.float32)
    assert (add_noise(grey, 0.05) - grey).std() == pytest.approx(0.05, rel=0.02)
    assert np.array_equal(add_noise(grey, 0.05), add_noise(grey, 0.05))
    lit = shade(grey, 0.3)
    assert lit[:, 0] == pytest.approx(0.35)
    assert lit[:, -1] == pytest.approx(0.65)
    assert lit.mean() == pytest.approx(0.5)
    assert shade(np.ones((4, 8), np.float32), 0.5).max() == 1
    assert corrupt(grey, "exposure", -1) == pytest.approx(1 / 3)
    assert corrupt(grey, "exposure", 1) == pytest.approx(2 / 3)
    assert set(UNITS) == set(SEVERITIES)


@pytest.mark.parametrize(("name", "severity"), [("defocus", -1), ("contrast", 6), ("fog", 1)])
def test_unknown_corruptions_are_refused(name, severity):
    with pytest.raises(ParameterError):
        corrupt(PICTURE, name, severity)


@pytest.mark.parametrize("radius", [-1, math.nan, math.inf])
def test_impossible_disks_are_refused(radius):
    with pytest.raises(ParameterError):
        defocus_kernel(radius)
