"""Kernels, MMD and the permutation test against loops, closed forms and the null distribution."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy.stats import kstest

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.drift.kernels import choose_widths, kernel, median_width, rbf
from vitascope.stats.drift.mmd import mmd2, mmd2_linear, mmd2_unbiased
from vitascope.stats.drift.permutation import image_gram, power_by_size, two_sample_test
from vitascope.stats.drift.plates import compare_plates


def k(a, b, widths):
    """Gretton 2012's kernel, in plain Python."""
    squared = sum((u - v) ** 2 for u, v in zip(a, b, strict=True))
    return sum(math.exp(-squared / (2 * w * w)) for w in widths) / len(widths)


def mmd2_in_loops(x, y, widths):
    m, n = len(x), len(y)
    within_x = sum(k(x[i], x[j], widths) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(k(y[i], y[j], widths) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(k(a, b, widths) for a in x for b in y) / (m * n)


def test_mmd_is_that_of_loops():
    rng = np.random.default_rng(0)
    x, y, widths = rng.normal(size=(7, 3)), rng.normal(1, 2, size=(5, 3)), (0.7, 1.9)
    assert mmd2(x, y, widths) == pytest.approx(mmd2_in_loops(x, y, widths), abs=1e-12)
    assert kernel(x, y, widths)[2, 3] == pytest.approx(k(x[2], y[3], widths), abs=1e-12)


def test_mmd_of_two_normals_is_the_closed_form():
    # E k(x, y) for x - y normal with mean m and variance v, in one dimension: s / sqrt(s² + v) exp(-m² / 2 (s² + v))
    rng = np.random.default_rng(1)
    shift, s = 1.0, 1.3
    same = s / math.sqrt(s * s + 2)
    expected = 2 * same * (1 - math.exp(-(shift**2) / (2 * (s * s + 2))))
    found = [mmd2(rng.normal(size=(60, 1)), rng.normal(shift, 1, size=(40, 1)), (s,)) for _ in range(300)]
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 300**0.5)


def test_unbiased_mmd_is_zero_in_the_mean():
    rng = np.random.default_rng(2)
    found = [mmd2(rng.normal(size=(10, 4)), rng.normal(size=(15, 4)), (2.0,)) for _ in range(1000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 1000**0.5
    assert np.std(found) > 0.005


def test_linear_mmd_is_that_of_loops_and_uniform_under_the_null():
    rng = np.random.default_rng(3)
    x, y, widths = rng.normal(size=(9, 2)), rng.normal(size=(6, 2)), (1.1,)
    terms = [
        k(x[i], x[i + 1], widths) + k(y[i], y[i + 1], widths) - k(x[i], y[i + 1], widths) - k(x[i + 1], y[i], widths)
        for i in (0, 2, 4)
    ]
    found = mmd2_linear(x, y, widths)
    assert found.mmd2 == pytest.approx(np.mean(terms), abs=1e-12)
    assert found.standard_error == pytest.approx(np.std(terms, ddof=1) / 3**0.5, abs=1e-12)
    null = [mmd2_linear(rng.normal(size=(400, 3)), rng.normal(size=(400, 3))).p for _ in range(400)]
    assert kstest(null, "uniform").pvalue > 0.001
    assert mmd2_linear(rng.normal(size=(2000, 3)), rng.normal(0.5, 1, size=(2000, 3))).p < 1e-6


def test_the_median_heuristic_is_the_median_of_distances():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 5)) + 1e4
    pairs = [math.dist(a, b) for a, b in itertools.combinations(x.tolist(), 2)]
    assert median_width(x) == pytest.approx(np.median(pairs), rel=1e-6)
    assert choose_widths(x, (1, 2)) == pytest.approx((np.median(pairs), 2 * np.median(pairs)), rel=1e-6)
    assert rbf(np.array([0.0, 8.0]), (2.0,)).tolist() == [1.0, math.exp(-1)]


def test_permutation_p_is_that_of_all_splits():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(4, 2)), rng.normal(1.5, 1, size=(5, 2))
    both = np.concatenate([x, y])
    widths = choose_widths(both)
    gram = kernel(both, both, widths)
    values = []
    for first in itertools.combinations(range(9), 4):
        order = [*first, *(i for i in range(9) if i not in first)]
        values.append(mmd2_unbiased(gram[np.ix_(order, order)], 4))
    exact = np.mean(np.array(values) >= values[0] - 1e-12)
    found = two_sample_test(x, y, permutations=20_000)
    assert found.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4)
    assert found.mmd2 == pytest.approx(values[0])


def test_p_is_uniform_where_nothing_differs_and_small_where_it_does():
    rng = np.random.default_rng(6)
    null = [
        two_sample_test(rng.normal(size=(20, 3)), rng.normal(size=(30, 3)), permutations=199, seed=s).p
        for s in range(300)
    ]
    assert kstest(null, "uniform").pvalue > 0.001
    shifted = two_sample_test(rng.normal(size=(200, 8)), rng.normal(0.4, 1, size=(200, 8)))
    assert shifted.p == 1 / 501
    assert 0.6 < shifted.effect < 0.95
    far = two_sample_test(rng.normal(size=(20, 2)), rng.normal(20, 1, size=(20, 2)))
    assert far.effect == 1


def test_crops_of_one_image_are_no_independent_witnesses():
    rng = np.random.default_rng(7)
    wrong = right = 0
    images = np.repeat(np.arange(8), 10)
    for seed in range(60):
        sets = [np.repeat(rng.normal(size=(8, 3)), 10, axis=0) + 0.1 * rng.normal(size=(80, 3)) for _ in range(2)]
        by_crop = two_sample_test(*sets, permutations=99, seed=seed)
        by_image = two_sample_test(
            *sets, images_x=images.tolist(), images_y=images.tolist(), permutations=99, seed=seed
        )
        assert by_image.images == (8, 8)
        wrong += by_crop.p <= 0.05
        right += by_image.p <= 0.05
    assert wrong > 30
    assert right <= 9  # 3 expected; more than 9 with a probability of 0.001


def test_the_kernel_between_images_is_the_mean_over_crops():
    rng = np.random.default_rng(8)
    crops, names, widths = rng.normal(size=(6, 2)), ["b", "a", "b", "c", "a", "a"], (1.0, 3.0)
    found = image_gram(crops, names, widths)
    for i, one in enumerate("bac"):
        for j, other in enumerate("bac"):
            pairs = [
                k(u, v, widths)
                for u, s in zip(crops, names, strict=True)
                for v, t in zip(crops, names, strict=True)
                if (s, t) == (one, other)
            ]
            assert found[i, j] == pytest.approx(np.mean(pairs), abs=1e-12)


def test_power_grows_with_the_sample_and_is_alpha_where_nothing_differs():
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(300, 4)), rng.normal(0.5, 1, size=(300, 4))
    table = power_by_size(x, y, [5, 20, 60], repeats=100, permutations=99)
    assert table["power"].is_monotonic_increasing
    assert table["power"].iloc[-1] > 0.95
    assert (table["false_negatives"] == 1 - table["power"]).all()
    assert ((table["low"] <= table["power"]) & (table["power"] <= table["high"])).all()
    null = power_by_size(x[:150], x[150:], [20], repeats=300, permutations=99)
    assert null["low"][0] <= 0.05 <= null["high"][0] + 0.02


def test_sets_that_differ_in_their_look_alone_are_told_apart():
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(2, 40, 30))
    looks = rng.normal(size=(2, 40, 6))
    same = two_sample_test(x, y, looks=(looks[0], looks[1]))
    looks[1, :, 4] -= 3
    assert same.p > 0.05
    assert two_sample_test(x, y).p > 0.05
    assert two_sample_test(x, y, looks=(looks[0], looks[1])).p == 1 / 501
    assert two_sample_test(x, y, looks=(np.ones((40, 2)), np.ones((40, 2)))) == two_sample_test(x, y)
    wells = [f"A{n:02}" for n in range(1, 41)]
    found = compare_plates(x, y, wells, wells, looks=(looks[0], looks[1]))
    assert found.test.p == 1 / 501
    with pytest.raises(InputError, match="79 appearances"):
        two_sample_test(x, y, looks=(looks[0], looks[1, 1:]))
    null = power_by_size(x, y, [10], looks=(looks[0], looks[0]), repeats=200, permutations=99)
    assert null["low"][0] <= 0.05


def test_500_permutations_take_less_than_half_a_second():
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(500, 32)), rng.normal(size=(500, 32))
    times = []
    for _ in range(3):
        start = time.process_time()
        two_sample_test(x, y)
        times.append(time.process_time() - start)
    assert min(times) < 0.5


def test_the_wells_that_differ_come_first():
    rng = np.random.default_rng(11)
    wells = [f"{row}{column:02}" for row in "ABCD" for column in range(1, 13)]
    names = np.repeat(wells, 4).tolist()
    trusted, other = rng.normal(size=(192, 6)), rng.normal(size=(192, 6))
    other[np.isin(names, ["B03", "D12"])] += 2
    found = compare_plates(trusted, other, names, names)
    assert set(found.wells["well"][:2]) == {"B03", "D12"}
    assert (found.wells["p"][:2] == 1 / 49).all()
    assert (found.wells["images"] == 4).all()
    assert len(found.wells) == 48
    calm = compare_plates(trusted, rng.normal(size=(192, 6)), names, names)
    assert calm.test.p > 0.01
    assert 0.3 < calm.wells["p"].mean() < 0.7


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([[0.0, np.nan]] * 5, np.eye(2), "NaN"),
        (np.ones((5, 2)), np.ones((5, 2)), "constant"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "2 and 3 features"),
        (np.zeros((1, 2)), np.zeros((5, 2)), "too small"),
        (np.zeros(5), np.zeros((5, 2)), "shape"),
        ([["a"]], np.zeros((5, 2)), "not numbers"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(x, y, said):
    with pytest.raises(InputError, match=said) as refused:
        two_sample_test(x, y)
    assert refused.value.hint


def test_settings_that_cannot_be_are_refused():
    x = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(ParameterError, match="permutations"):
        two_sample_test(x, x, permutations=0)
    with pytest.raises(ParameterError, match="cannot reach"):
        power_by_size(x, x, [5], permutations=9)
    with pytest.raises(ParameterError, match="11 images"):
        power_by_size(x, x, [11])
    with pytest.raises(InputError, match="3 images are named"):
        two_sample_test(x, x, images_x=[1, 2, 3])
    with pytest.raises(InputError, match="2 wells are too few"):
        compare_plates(x, x, [0, 1] * 5, [0, 1] * 5)
    with pytest.raises(ParameterError, match="factors"):
        choose_widths(x, (0.0, 1.0))
    with pytest.raises(InputError, match="linear-time"):
        mmd2_linear(x[:3], x)
