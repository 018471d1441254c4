import math

import numpy as np
import pytest
from scipy import stats

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.agreement import pcc
from vitascope.stats.bootstrap import group_interval, pcc_interval, resample_interval

VALUES = np.random.default_rng(0).normal(10, 2, 60)


def mean_of(drawn):
    return float(VALUES[drawn].mean())


def test_interval_of_a_mean_is_the_textbooks():
    found = resample_interval(60, mean_of, resamples=5000)
    expected = stats.norm.interval(0.95, VALUES.mean(), VALUES.std() / math.sqrt(60))
    assert found.value == VALUES.mean()
    assert (found.low, found.high) == pytest.approx(expected, abs=0.04)
    assert (found.units, found.level, found.reason) == (60, 0.95, "")


def test_interval_is_that_of_the_drawn_quantiles():
    rng = np.random.default_rng(4)
    drawn = sorted(mean_of(rng.integers(0, 60, 60)) for _ in range(101))
    found = resample_interval(60, mean_of, resamples=101, level=0.9, seed=4)
    assert (found.low, found.high) == (pytest.approx(drawn[5]), pytest.approx(drawn[95]))


def test_seed_repeats_and_matters():
    assert resample_interval(60, mean_of, resamples=50, seed=1) == resample_interval(60, mean_of, resamples=50, seed=1)
    assert resample_interval(60, mean_of, resamples=50, seed=1) != resample_interval(60, mean_of, resamples=50, seed=2)


def test_groups_are_drawn_whole():
    groups = ["a"] * 3 + ["b"] + ["c"] * 2 + ["d"] * 4
    sizes = {"a": 3, "b": 1, "c": 2, "d": 4}

    def check(rows):
        drawn = [groups[r] for r in rows]
        assert all(drawn.count(g) % sizes[g] == 0 for g in sizes)
        assert sum(drawn.count(g) // sizes[g] for g in sizes) == 4
        return float(len(rows))

    found = group_interval(groups, check, resamples=200)
    assert (found.value, found.units) == (10, 4)
    assert 4 <= found.low < found.high <= 16


def test_groups_of_one_are_the_plain_bootstrap():
    assert group_interval(range(60), mean_of, resamples=99) == resample_interval(60, mean_of, resamples=99)


def correlated(shape=(130, 100), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(shape)
    return truth, truth + rng.normal(0, 0.3, shape)


def test_sums_per_block_give_what_the_pixels_give():
    truth, predicted = correlated()
    rows, columns = (n // 20 for n in truth.shape)
    places = [np.s_[20 * i : 20 * i + 20, 20 * j : 20 * j + 20] for i in range(rows) for j in range(columns)]

    def of_pixels(drawn):
        return pcc(*(np.stack([picture[places[k]] for k in drawn]) for picture in (truth, predicted)))

    slow = resample_interval(len(places), of_pixels, resamples=30, seed=3)
    fast = pcc_interval(truth, predicted, block_px=20, resamples=30, seed=3)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), rel=1e-9)
    assert fast.value == pytest.approx(pcc(truth[:120], predicted[:120]), rel=1e-9)
    assert fast.units == slow.units == 30
    assert fast.low < fast.value < fast.high


def test_far_from_zero_keeps_its_digits():
    truth, predicted = correlated()
    assert pcc_interval(truth + 1e7, predicted, resamples=20).value == pytest.approx(
        pcc_interval(truth, predicted, resamples=20).value, rel=1e-6
    )


@pytest.mark.fault("A02")
def test_pixels_that_are_not_finite_are_left_out():
    truth, predicted = correlated((128, 96))
    truth[3, 3], predicted[50, 50] = np.nan, np.inf
    assert pcc_interval(truth, predicted, resamples=20).value == pytest.approx(pcc(truth, predicted))


def test_an_interval_that_cannot_be_said():
    few = resample_interval(2, mean_of)
    assert few.value == VALUES[:2].mean()
    assert math.isnan(few.low)
    assert "at least 3" in few.reason
    assert math.isnan(resample_interval(0, mean_of).value)
    never = resample_interval(5, lambda drawn: math.nan, resamples=5)
    assert "not defined" in never.reason
    nothing = pcc_interval(np.full((64, 64), np.nan), np.zeros((64, 64)))
    assert "finite" in nothing.reason


@pytest.mark.fault("A04")
def test_constant_pictures_have_no_interval():
    found = pcc_interval(np.full((128, 128), 0.1), correlated((128, 128))[0], resamples=10)
    assert math.isnan(found.value)
    assert found.reason


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.95), (10, 0.0), (10, 1.0)])
def test_impossible_intervals_are_refused(resamples, level):
    with pytest.raises(ParameterError):
        resample_interval(5, mean_of, resamples=resamples, level=level)


def test_pictures_must_fit():
    with pytest.raises(InputError):
        pcc_interval(np.zeros((64, 64)), np.zeros((64, 65)))
    with pytest.raises(ParameterError):
        pcc_interval(np.zeros((64, 64)), np.zeros((64, 64)), block_px=0)
