import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import skew
from skimage.filters import laplace

from vitascope.ops.intensity.corruption import defocus
from vitascope.ops.intensity.quality import crop_statistics, focus


def textured(seed=0, shape=(40, 50)):
    return np.random.default_rng(seed).gamma(2, 0.1, shape).astype(np.float32)


def test_statistics_are_their_formulas():
    picture = textured()
    found = crop_statistics(picture)
    values = picture.ravel().astype(float).tolist()
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    energy = []
    for y in range(1, 39):
        for x in range(1, 49):
            near = picture[y - 1, x], picture[y + 1, x], picture[y, x - 1], picture[y, x + 1]
            energy.append((sum(map(float, near)) - 4 * float(picture[y, x])) ** 2)
    assert found["mean"] == pytest.approx(mean)
    assert found["contrast"] == pytest.approx(math.sqrt(variance))
    assert found["focus"] == pytest.approx(sum(energy) / len(energy) / variance)
    assert found["skewness"] == pytest.approx(skew(picture, axis=None), rel=1e-5)


def test_focus_is_the_energy_of_the_laplacian():
    picture = textured(1).astype(float)
    inner = laplace(picture)[1:-1, 1:-1]
    assert focus(picture) == pytest.approx((inner**2).mean() / picture.var())
    assert focus(np.random.default_rng(0).normal(size=(600, 600))) == pytest.approx(20, rel=0.02)


def test_focus_ignores_exposure_and_falls_with_blur():
    picture = textured(2)
    assert focus(picture * 3.5 + 0.2) == pytest.approx(focus(picture), rel=1e-4)
    blurred = [focus(defocus(picture, r)) for r in (0, 0.5, 1, 1.5, 2, 3)]
    assert all(a > b for a, b in pairwise(blurred))


@pytest.mark.fault("A22")
def test_inverted_contrast_turns_the_sign():
    picture = textured(3)
    here, there = crop_statistics(picture), crop_statistics(1 - picture)
    assert here["skewness"] > 1
    assert there["skewness"] == pytest.approx(-here["skewness"], rel=1e-5)


@pytest.mark.fault("A02")
def test_what_is_not_finite_does_not_count():
    picture = textured(4)
    picture[10, 10] = np.nan
    picture[20, 20] = np.inf
    found = crop_statistics(picture)
    assert found["mean"] == pytest.approx(picture[np.isfinite(picture)].mean(dtype=float))
    energy = [
        (float(picture[y - 1, x]) + picture[y + 1, x] + picture[y, x - 1] + picture[y, x + 1] - 4 * picture[y, x]) ** 2
        for y in range(1, 39)
        for x in range(1, 49)
        if all(abs(y - a) + abs(x - a) > 1 for a in (10, 20))
    ]
    assert found["focus"] == pytest.approx(np.mean(energy) / found["contrast"] ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("picture", "known"),
    [
        pytest.param(np.full((9, 9), 0.1), {"mean": 0.1, "contrast": 0.0}, marks=pytest.mark.fault("A04")),
        pytest.param(np.full((9, 9), np.nan), {}, marks=pytest.mark.fault("A01")),
        pytest.param(np.array([[0.3]]), {"mean": 0.3, "contrast": 0.0}, marks=pytest.mark.fault("A07")),
    ],
)
def test_what_is_not_defined_is_nan(picture, known):
    found = crop_statistics(picture)
    assert {k: v for k, v in found.items() if not math.isnan(v)} == pytest.approx(known)


def test_one_pixel_wide_has_no_focus():
    assert math.isnan(focus(textured(0, (1, 40))))
    assert math.isnan(focus(textured(0, (2, 40))))
    assert focus(textured(0, (3, 40))) > 0
