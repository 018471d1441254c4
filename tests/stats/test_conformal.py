import numpy as np
import pytest

from vitascope.core.card import Intervals
from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.conformal import calibrate, interval


def test_with_single_numbers_it_is_the_textbook_quantile():
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=99), np.zeros(99)
    found = calibrate(truth, predicted, list(range(99)), 0.9)
    assert found.half_width == pytest.approx(np.sort(np.abs(truth))[int(np.ceil(100 * 0.9)) - 1])


def test_new_groups_are_covered_at_the_nominal_rate():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(150):
        shift = rng.normal(size=41)  # wells of a plate err together
        errors = shift[:, None] + 0.3 * rng.normal(size=(41, 8))
        groups = np.repeat(np.arange(40), 8).tolist()
        found = calibrate(errors[:40].ravel(), np.zeros(320), groups, 0.9)
        low, high = interval(np.zeros(8), found)
        covered.append(((low <= errors[40]) & (errors[40] <= high)).mean())
    assert 0.86 < np.mean(covered) < 0.97


def test_a_log_scale_is_a_factor():
    rng = np.random.default_rng(2)
    truth = rng.lognormal(8, 1, 200)
    predicted = truth * rng.lognormal(0, 0.2, 200)
    found = calibrate(truth, predicted, list(range(200)), 0.9, "log")
    low, high = interval(predicted, found)
    assert np.allclose(high / predicted, predicted / low)
    assert 0.88 < ((low <= truth) & (truth <= high)).mean() < 0.94


def test_too_few_groups_count_number_by_number_and_say_so():
    found = calibrate(np.arange(20.0), np.zeros(20), [0, 1] * 10, 0.9, on="wells")
    assert (found.groups, found.on) == (20, "wells, each as a group of its own")
    assert found.level is None  # that of a new group is not known
    with pytest.raises(InputError):
        calibrate([1.0, 2.0], [1.0, 1.0], [0, 1])
    with pytest.raises(ParameterError):
        calibrate([1.0], [1.0], [0], 1.0)


def test_nine_groups_are_enough_for_nine_in_ten():
    found = calibrate(np.arange(18.0), np.zeros(18), np.repeat(np.arange(9), 2).tolist(), 0.9, on="wells")
    assert (found.groups, found.half_width, found.on) == (9, 17.0, "wells")
    assert calibrate(np.arange(16.0), np.zeros(16), np.repeat(np.arange(8), 2).tolist(), 0.9).groups == 16


def test_widths_follow_the_number_and_hold_in_each_third():
    """Errors that grow with the number: one width covers small numbers always and large ones too seldom."""
    rng = np.random.default_rng(3)
    holds = {True: [], False: []}
    for _ in range(20):
        predicted = rng.uniform(10, 100, 2400)
        truth = predicted + 0.2 * predicted * rng.normal(size=2400)
        groups = np.repeat(np.arange(120), 20)
        known = groups < 80
        for follow, kept in holds.items():
            found = calibrate(truth[known], predicted[known], groups[known].tolist(), 0.9, follow=follow)
            low, high = interval(predicted[~known], found)
            inside = (low <= truth[~known]) & (truth[~known] <= high)
            kept.append([inside[part].mean() for part in np.array_split(np.argsort(predicted[~known]), 3)])
    assert np.abs(np.mean(holds[True], 0) - 0.9).max() < 0.04
    assert np.mean(holds[False], 0)[0] > 0.97
    assert np.mean(holds[False], 0)[2] < 0.85


def test_errors_to_one_side_give_an_interval_to_that_side():
    rng = np.random.default_rng(4)
    predicted = rng.uniform(0, 1, 900)
    truth = predicted + rng.exponential(0.1, 900)
    found = calibrate(truth, predicted, np.repeat(np.arange(90), 10).tolist(), 0.9)
    low, high = interval([0.5], found)
    assert high[0] - 0.5 > 5 * (0.5 - low[0])


def test_a_profile_survives_the_card_and_must_rise():
    rng = np.random.default_rng(5)
    predicted = rng.uniform(0, 1, 600)
    found = calibrate(predicted + rng.normal(0, 0.1, 600), predicted, np.repeat(np.arange(60), 10).tolist(), 0.9)
    assert len(found.profile) > 1
    assert Intervals.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValueError, match="do not rise"):
        Intervals(level=0.9, half_width=1, groups=20, on="x", profile=found.profile[::-1])


def test_weights_make_the_level_hold_where_kinds_are_mixed_otherwise():
    rng = np.random.default_rng(4)
    covered = {"plain": [], "weighted": []}
    for _ in range(60):
        truth = np.concatenate([rng.normal(0, 1, 300), rng.normal(0, 6, 100)])  # one in four is hard
        weights = np.repeat([0.4, 2.8], [300, 100])  # of new numbers seven in ten are
        new = np.concatenate([rng.normal(0, 1, 300), rng.normal(0, 6, 700)])
        for name, own in (("plain", None), ("weighted", weights)):
            found = calibrate(truth, np.zeros(400), list(range(400)), 0.9, follow=False, weights=own)
            covered[name].append((np.abs(new) <= found.half_width).mean())
    assert np.mean(covered["plain"]) < 0.8
    assert 0.89 < np.mean(covered["weighted"]) < 0.93


def test_equal_weights_change_nothing():
    rng = np.random.default_rng(5)
    truth, groups = rng.normal(size=120), np.repeat(np.arange(30), 4).tolist()
    plain = calibrate(truth, np.zeros(120), groups, 0.9, follow=False)
    assert calibrate(truth, np.zeros(120), groups, 0.9, weights=np.full(120, 3.0)).half_width == plain.half_width


def test_one_number_that_outweighs_all_others_is_refused():
    with pytest.raises(InputError, match="too few numbers"):
        calibrate(np.arange(20.0), np.zeros(20), list(range(20)), 0.9, weights=[1.0] * 19 + [100.0])
