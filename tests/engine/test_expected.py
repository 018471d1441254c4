import math

import numpy as np
import pytest
from scipy import ndimage

from tests_support import blobs, make_domain
from vitascope.core.card import ExpectedAgreement, HomeAgreement
from vitascope.engine.expected import (
    AT_HOME,
    CROP_PX,
    STATISTICS,
    Expected,
    choose_crops,
    describe_crops,
    expect,
    grade,
    liveliest,
)
from vitascope.ops.geometry.resample import array_reader


def spots(crop):
    """A network that answers with what it is shown, and means of it as features."""
    features = crop.reshape(1, 12, CROP_PX // 12, 12, CROP_PX // 12).mean((2, 4))
    return crop.copy(), np.repeat(features, 4, axis=0)


class Stubborn:
    """A network that answers with noise, another one each time, whatever it is shown."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, crop):
        return self.rng.random(crop.shape, np.float32), np.zeros((4, 12, 12), np.float32)


def agreement(**changes):
    n = len(STATISTICS)
    return ExpectedAgreement(
        **{
            "statistics": tuple(STATISTICS), "mean": (0.0,) * n, "spread": (1.0,) * n, "weights": (0.0,) * n,
            "intercept": 0.5, "low_by": -0.2, "high_by": 0.1, "views": 10, "laboratories": ("a", "b", "c"), **changes,
        }
    )  # fmt: skip


@pytest.fixture
def picture():
    return ndimage.gaussian_filter(blobs((500, 700)), 3).astype(np.float32)[None]


@pytest.mark.parametrize(("shape", "count"), [((500, 700), 4), ((200, 700), 2), ((192, 192), 1), ((90, 130), 1)])
def test_crops_have_one_shape_and_lie_within_the_image(shape, count):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    crops = choose_crops(array_reader(np.stack([y, x])), shape)
    assert [c.shape for c in crops] == [(2, CROP_PX, CROP_PX)] * count
    for crop in crops:
        assert crop[0].min() >= 0
        assert crop[0].max() <= shape[0] - 1
        assert crop[1].max() <= shape[1] - 1


def test_the_liveliest_crop_has_most_texture():
    rng = np.random.default_rng(0)
    dull, lively = (rng.standard_normal((1, CROP_PX, CROP_PX)).astype(np.float32) * s for s in (0.1, 1.0))
    assert liveliest([dull, lively, dull]) is lively


def test_a_network_that_is_sure_disagrees_less_with_itself_than_one_that_guesses(picture):
    crops = choose_crops(array_reader(picture), picture.shape[1:])
    sure, guess = (describe_crops(net, crops, None) for net in (spots, Stubborn()))
    assert set(AT_HOME) <= set(sure)
    assert all(math.isfinite(v) for v in (*sure.values(), *guess.values()))
    assert sure["flip"] == pytest.approx(0, abs=1e-5)
    assert guess["flip"] > 0.8
    for name in ("focus", "scale"):
        assert sure[name] < 0.2 < 0.8 < guess[name]


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_image_has_numbers_all_the_same(value):
    crop = np.full((1, CROP_PX, CROP_PX), value, np.float32)
    assert all(math.isfinite(v) for v in describe_crops(spots, [crop], make_domain()).values())


def test_expectation_is_the_weighted_sum_cut_off_at_three_spreads():
    how = agreement(weights=(0.3, *(0.0,) * (len(STATISTICS) - 1)))
    zero = dict.fromkeys(STATISTICS, 1.0) | {"band2": 0.0}
    assert expect(how, zero).value == pytest.approx(math.tanh(0.5))
    assert expect(how, {**zero, "flip": math.e}).value == pytest.approx(math.tanh(0.8))
    assert expect(how, {**zero, "flip": 1e9}) == expect(how, {**zero, "flip": math.exp(3)})
    found = expect(how, zero)
    assert (found.low, found.high) == pytest.approx((found.value - 0.2, found.value + 0.1))
    assert expect(agreement(intercept=9.0), zero).high == 1


def test_images_close_to_the_training_images_have_an_expectation_of_their_own():
    home = HomeAgreement(
        statistics=("distance",), mean=(0.0,), spread=(1.0,), weights=(-1.0,), least=0.5, dark=True, skewness_limit=0.2,
        value=0.8, low=0.75, high=0.85, views=9,
    )  # fmt: skip
    plain = dict.fromkeys(STATISTICS, 1.0) | {"skewness": -0.3}
    near, far = ({**plain, "distance": d} for d in (-0.6, -0.4))
    other = pytest.approx(math.tanh(0.5))
    assert expect(agreement(home=home), near) == Expected(0.8, 0.75, 0.85)
    assert expect(agreement(home=home), far).value == other
    assert expect(agreement(home=home), {**near, "skewness": 0.3}).value == other
    assert expect(agreement(home=home), near, as_given=False).value == other
    assert expect(agreement(home=home), {**near, "upright": -0.4}).value == 0.8  # it is dark on bright, as they are
    assert expect(agreement(home=home), {**near, "upright": -0.5}).value == other
    assert expect(agreement(home=home), {**near, "skewness": 0.1, "upright": -0.1}).value == other


def test_a_network_of_bright_things_predicts_less_where_dark_and_bright_are_swapped(picture):
    def bright(crop):
        answer, encoding = spots(crop)
        return np.maximum(answer - np.median(answer), 0), encoding

    crops = choose_crops(array_reader(picture), picture.shape[1:])
    assert describe_crops(bright, crops, make_domain())["upright"] > 0.05
    assert describe_crops(bright, [-crop for crop in crops], make_domain())["upright"] < -0.05


def test_an_image_that_looks_off_does_not_fit():
    trust, flags = grade(agreement(), Expected(0.9, 0.8, 0.95), ["inverted_contrast"])
    assert (trust.level, flags) == ("unsure", ("unsure",))


@pytest.mark.parametrize(
    ("low", "level", "flags"),
    [(0.75, "fits", ()), (0.7, "fits", ()), (0.69, "unsure", ("unsure",)), (0.4, "unsure", ("unsure",)),
     (0.39, "outside", ("outside_model",)), (-0.5, "outside", ("outside_model",))],
)  # fmt: skip
def test_grades_go_by_the_lower_end(low, level, flags):
    trust, raised = grade(agreement(), Expected(low + 0.1, low, low + 0.2))
    assert (trust.level, raised) == (level, flags)
    assert f"{low:.2f}" in trust.reasons[0]
