"""Second opinions of other networks: where they are asked, and how their agreement is counted."""

import numpy as np
import pytest
from scipy import ndimage

from tests_support import blobs
from vitascope.core.card import CommitteeMember, ExpectedAgreement
from vitascope.engine.committee import agreement, corners, predict_crops, side_for
from vitascope.engine.expected import CROP_PX, expect, fisher, opinion
from vitascope.ops.geometry.resample import array_reader


@pytest.mark.parametrize(("shape", "count"), [((600, 700), 2), ((200, 700), 2), ((192, 192), 1), ((90, 130), 1)])
def test_one_or_two_crops_lie_within_the_picture(shape, count):
    found = corners(shape)
    assert len(found) == len(set(found)) == count
    for place in found:
        assert all(0 <= p <= max(0, n - CROP_PX) for p, n in zip(place, shape, strict=True))


@pytest.mark.parametrize("diameter", [13, 19, 26, 40])
def test_a_network_of_another_size_sees_the_same_place(diameter):
    """What it answers, brought back, lies on what the judged network answers."""
    fine = ndimage.gaussian_filter(blobs((400, 400)), 4).astype(np.float32)
    side = side_for(diameter, 26)
    assert side % 16 == 0
    factor = side / CROP_PX
    theirs = ndimage.zoom(fine, factor, order=1, grid_mode=True, mode="nearest")[None]
    places = corners(fine.shape)
    straight = predict_crops(lambda crop: crop[0], array_reader(theirs), places, side)
    own = predict_crops(lambda crop: crop[0], array_reader(fine[None]), places, CROP_PX)
    assert [p.shape for p in straight] == [(CROP_PX, CROP_PX)] * 2
    assert agreement(own, straight, [-p for p in straight]) > 0.94  # a place is known to a pixel of the coarser grid


def test_the_polarity_that_agrees_more_counts():
    own = ndimage.gaussian_filter(blobs((CROP_PX, CROP_PX)), 3)
    other = np.random.default_rng(0).random(own.shape)
    assert agreement([own], [other], [own]) == pytest.approx(1)
    assert agreement([own], [own], [other]) == pytest.approx(1)
    assert abs(agreement([own], [other], [other])) < 0.2
    assert agreement([own], [np.zeros_like(own)], [np.zeros_like(own)]) == 0


def test_an_opinion_is_told_in_usual_spreads_and_a_silent_member_counts_for_nothing():
    both = (
        CommitteeMember(model="one", mean=0.5, spread=0.25),
        CommitteeMember(model="other", mean=0.1, spread=0.1),
    )
    first, second = np.tanh(1.0), np.tanh(0.1)
    assert opinion(both, {"agrees_one": first, "agrees_other": second}) == pytest.approx(1.0)
    assert opinion(both, {"agrees_one": first}) == pytest.approx(2.0)
    assert opinion(both, {}) == 0
    assert fisher(1.0) == fisher(0.95)


def test_what_is_expected_rises_with_what_the_committee_agrees():
    how = ExpectedAgreement(
        statistics=("committee",), mean=(0.0,), spread=(1.0,), weights=(0.4,), intercept=0.5, low_by=-0.1, high_by=0.1,
        views=9, laboratories=("a", "b", "c"), committee=(CommitteeMember(model="one", mean=0.5, spread=0.5),),
    )  # fmt: skip
    told = [expect(how, {"agrees_one": r}).value for r in (0.0, 0.3, 0.6, 0.9)]
    assert told == sorted(told)
    assert told[-1] > told[0] + 0.3
    assert expect(how, {}).value == pytest.approx(np.tanh(0.5))
