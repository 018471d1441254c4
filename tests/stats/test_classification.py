"""Scores of classes against their definitions in plain loops."""

import math

import numpy as np
import pytest

from vitascope.core.errors import InputError
from vitascope.stats.classification import (
    accuracy,
    average_precision,
    mean_average_precision,
    mean_class_accuracy,
    mean_iou,
    median_by,
)


def plain_average_precision(truth, score):
    total, previous = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = [t for t, s in zip(truth, score, strict=True) if s >= threshold]
        recall, precision = sum(taken) / sum(truth), sum(taken) / len(taken)
        total += (recall - previous) * precision
        previous = recall
    return total


@pytest.mark.parametrize("digits", [1, 6])
def test_average_precision_is_its_definition_with_and_without_ties(digits):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        truth, score = rng.integers(0, 2, 40), rng.random(40).round(digits)
        assert average_precision(truth, score) == pytest.approx(plain_average_precision(truth, score))


def test_average_precision_known_cases():
    assert average_precision(np.array([1, 1, 0, 0]), np.array([4, 3, 2, 1])) == 1.0
    assert average_precision(np.array([0, 1]), np.array([2, 1])) == 0.5
    assert average_precision(np.array([1, 0, 1, 0]), np.ones(4)) == 0.5
    assert math.isnan(average_precision(np.zeros(3), np.arange(3)))


def test_classes_that_do_not_occur_do_not_count():
    truth = np.array([[1, 0, 0], [0, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5]])
    assert mean_average_precision(truth, scores) == 1.0
    assert accuracy(truth, scores) == 0.5
    assert mean_class_accuracy(truth, scores) == 0.5
    assert math.isnan(accuracy(truth[:0], scores[:0]))


def test_mean_class_accuracy_counts_rare_classes_as_much():
    truth = np.eye(2)[[0] * 9 + [1]]
    scores = np.tile([0.9, 0.1], (10, 1))
    assert accuracy(truth, scores) == pytest.approx(0.9)
    assert mean_class_accuracy(truth, scores) == pytest.approx(0.5)


def test_a_treatment_is_the_median_of_its_replicates():
    names, medians = median_by(["a", "b", "a", "a"], np.array([[0.1], [0.5], [0.9], [0.8]]))
    assert names == ["a", "b"]
    assert medians.tolist() == [[0.8], [0.5]]


def test_mean_iou_is_that_of_foreground_and_background():
    mask, truth = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]])
    assert mean_iou(mask, truth) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert mean_iou(truth, truth) == 1.0
    assert mean_iou(np.zeros(4), np.zeros(4)) == 1.0
    with pytest.raises(InputError, match="cannot be compared"):
        mean_iou(mask, truth.T)
