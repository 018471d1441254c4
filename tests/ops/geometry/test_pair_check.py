import re

import numpy as np
import pytest

from tests_support import blobs
from vitascope.ops.geometry.pair_check import check_pair, count_classes, painted_ids, renumber


def texts(problems, level):
    return [p.text for p in problems if p.level == level]


@pytest.fixture
def picture():
    rng = np.random.default_rng(1)
    stain = (1000 * blobs((200, 200), rng.uniform(10, 190, (30, 2)), 6.0)).astype(np.uint16)
    return (500 + 0.3 * stain + rng.normal(0, 20, stain.shape)).astype(np.uint16), stain


def test_a_sound_pair_has_nothing_wrong(picture):
    image, stain = picture
    assert check_pair([image], {"DNA": stain}) == []


@pytest.mark.fault("F03")
def test_a_pair_of_different_size_is_refused_with_both_sizes(picture):
    image, stain = picture
    assert texts(check_pair([image], {"DNA": stain[:-1]}), "refused") == [
        "'DNA' is 199 x 200 px, the image 200 x 200 px."
    ]


def test_a_shifted_pair_is_warned_of_with_the_number(picture):
    image, stain = picture
    (text,) = texts(check_pair([image[:-12]], {"DNA": stain[12:]}), "warning")
    assert float(re.search(r"lie ([0-9.]+) px beside", text)[1]) == pytest.approx(12, abs=0.5)
    assert check_pair([image[:-3]], {"DNA": stain[3:]}) == []


def test_empty_and_constant_pictures_are_refused(picture):
    image, stain = picture
    assert "it is empty" in texts(check_pair([np.full_like(image, 7)], {"DNA": stain}), "refused")[0]
    assert "All pixels of 'DNA' are 0" in texts(check_pair([image], {"DNA": np.zeros_like(stain)}), "refused")[0]
    missing = stain.astype(float)
    missing[0, 0] = np.nan
    assert "no numbers" in texts(check_pair([image], {"DNA": missing}), "refused")[0]


def test_saturation_is_told_in_per_cent(picture):
    image, stain = picture
    bright = np.minimum(stain, 400)
    share = (bright == 400).mean()
    assert texts(check_pair([image], {"DNA": bright}), "warning") == [
        f"{share:.1%} of the pixels of 'DNA' are saturated."
    ]


@pytest.mark.fault("F01")
def test_scribbles_of_one_class_are_refused_with_the_counts(picture):
    image, _ = picture
    painted = np.zeros(image.shape, np.uint8)
    names = ("background", "foreground")
    assert texts(check_pair([image], {}, painted, names), "refused") == ["Nothing is painted: all labels are 0."]
    painted[:10, :10] = 2
    (text,) = texts(check_pair([image], {}, painted, names), "refused")
    assert "0 px of background, 100 px of foreground" in text
    painted[50:60] = 1
    assert check_pair([image], {}, painted, names) == []
    assert count_classes(painted, names) == {"background": 2000, "foreground": 100}
    painted[0, 50] = 7
    assert texts(check_pair([image], {}, painted, names), "refused") == [
        "The labels hold 7; they mean 1 background, 2 foreground, 0 nothing."
    ]
    assert "whole numbers" in texts(check_pair([image], {}, painted.astype(float), names), "refused")[0]


@pytest.mark.fault("F04")
def test_other_ids_than_1_2_3_are_counted_off_in_words_where_they_are_not_too_many(picture):
    image, _ = picture
    painted = np.zeros(image.shape, np.int64)
    painted[:50], painted[50:60], painted[100:] = 200, 7, 1
    names = ("background", "live", "dead")
    (only,) = check_pair([image], {}, painted, names)
    assert only.level == "warning"
    assert "1 background, 7 live, 200 dead" in only.text
    (refused,) = texts(check_pair([image], {}, painted, names[:2]), "refused")
    assert "The labels hold 7, 200" in refused
    assert "hold -200" in texts(check_pair([image], {}, -painted, names), "refused")[0]
    (alone,) = texts(check_pair([image], {}, np.where(painted == 7, 7, 0), names), "refused")
    assert "Only one class is painted (2,000 px of id 7)" in alone
    assert np.array_equal(
        np.unique(renumber(painted, painted_ids([painted])), return_counts=True)[1] / 200, [40, 100, 10, 50]
    )
