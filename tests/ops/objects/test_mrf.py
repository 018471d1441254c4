"""Both ways to de-noise against all labellings of tiny grids."""

from itertools import product

import numpy as np
import pytest

from vitascope.ops.objects.mrf import denoise_by_cut, denoise_by_messages, log_odds


def cost(x, d, weight):
    pairs = np.count_nonzero(x[:, 1:] != x[:, :-1]) + np.count_nonzero(x[1:] != x[:-1])
    return np.count_nonzero(x != d) + weight * pairs


def labellings(shape):
    for bits in product((False, True), repeat=shape[0] * shape[1]):
        yield np.array(bits).reshape(shape)


def brute_log_odds(d, weight):
    weights = np.array([[0.0, 0.0]] * d.size).reshape(*d.shape, 2)
    for x in labellings(d.shape):
        weights[..., 1] += np.exp(-cost(x, d, weight)) * x
        weights[..., 0] += np.exp(-cost(x, d, weight)) * ~x
    return np.log(weights[..., 1] / weights[..., 0])


@pytest.mark.parametrize("weight", [0.2, 0.37, 0.8, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_the_cut_is_the_labelling_of_least_cost(seed, weight):
    d = np.random.default_rng(seed).random((3, 4)) < 0.5
    least = min(cost(x, d, weight) for x in labellings(d.shape))
    assert cost(denoise_by_cut(d, weight), d, weight) == pytest.approx(least, abs=1e-9)


def test_of_labellings_of_equal_cost_the_cut_takes_the_one_with_most_foreground():
    d = np.array([[True, False]])
    assert cost(np.array([[True, True]]), d, 1.0) == cost(np.array([[False, False]]), d, 1.0) == cost(d, d, 1.0)
    assert denoise_by_cut(d, 1.0).tolist() == [[True, True]]


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
@pytest.mark.parametrize("weight", [0.3, 1.0, 3.0])
def test_messages_are_exact_on_a_row_and_a_column(shape, weight):
    d = np.random.default_rng(5).random(shape) < 0.5
    assert log_odds(d, weight, rounds=12) == pytest.approx(brute_log_odds(d, weight), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_messages_are_close_on_a_grid_where_neighbours_matter_little_and_agree_in_sign(seed):
    d = np.random.default_rng(seed).random((3, 4)) < 0.5
    exact = brute_log_odds(d, 0.3)
    assert log_odds(d, 0.3) == pytest.approx(exact, abs=0.03)
    sure = np.abs(exact) > 0.03
    assert np.array_equal(denoise_by_messages(d, 0.3)[sure], exact[sure] > 0)


@pytest.mark.parametrize("denoise", [denoise_by_cut, denoise_by_messages])
def test_noise_goes_and_the_object_stays(denoise):
    truth = np.zeros((60, 60), bool)
    truth[15:45, 20:50] = True
    noisy = truth ^ (np.random.default_rng(0).random(truth.shape) < 0.1)
    before, after = np.mean(noisy != truth), np.mean(denoise(noisy, 0.8) != truth)
    assert before > 0.08
    assert after < 0.01


@pytest.mark.parametrize("denoise", [denoise_by_cut, denoise_by_messages])
def test_without_weight_nothing_changes_and_the_mask_is_not_written_to(denoise):
    d = np.random.default_rng(1).random((7, 5)) < 0.5
    before = d.copy()
    assert np.array_equal(denoise(d, 0.0), d)
    denoise(d, 2.0)
    assert np.array_equal(d, before)


@pytest.mark.parametrize("value", [True, False])
def test_one_value_stays(value):
    d = np.full((4, 6), value)
    assert np.array_equal(denoise_by_cut(d, 1.0), d)
    assert np.array_equal(denoise_by_messages(d, 1.0), d)
