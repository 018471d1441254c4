import math

import numpy as np
import pytest
from scipy import ndimage

from tests_support import make_card, make_domain
from vitascope.core.card import Domain
from vitascope.core.errors import ModelError, TrainingError
from vitascope.core.result import Trust
from vitascope.engine.domain import (
    assess_domain,
    crop_windows,
    feature_distances,
    image_statistics,
    seen_in_training,
    worst_trust,
)
from vitascope.engine.domain import make_domain as describe
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.intensity.fingerprint import marks
from vitascope.training.seen import Seen

NAMES = ("mean", "contrast", "focus", "skewness")


def crops(**values):
    """One crop with given statistics, the others unremarkable."""
    return [{**dict.fromkeys(NAMES, 0.0), **values}]


NO_FEATURES = np.zeros((0, 0))


@pytest.mark.parametrize("shape", [(64, 64), (100, 300), (1, 1), (10, 500), (5000, 4000)])
def test_windows_lie_within_the_picture_and_reach_its_ends(shape):
    windows = crop_windows(shape, 64)
    assert 1 <= len(windows) <= 64
    assert len({(w[0].start, w[1].start) for w in windows}) == len(windows)
    for axis, length in enumerate(shape):
        assert all(0 <= w[axis].start < w[axis].stop <= length for w in windows)
        assert all(w[axis].stop - w[axis].start == min(64, length) for w in windows)
        if length >= 128:
            assert min(w[axis].start for w in windows) == 0
            assert max(w[axis].stop for w in windows) == length


def test_statistics_are_those_of_the_middle_plane():
    rng = np.random.default_rng(0)
    picture = rng.normal(0, 1, (3, 64, 128)).astype(np.float32)
    picture[1] += 5
    found = image_statistics(array_reader(picture), (64, 128), 64)
    assert len(found) == 2
    assert found[0]["mean"] == pytest.approx(picture[1, :, :64].mean(), rel=1e-5)
    assert found[1]["contrast"] == pytest.approx(picture[1, :, 64:].std(), rel=1e-5)


def test_distance_is_the_root_mean_square_of_standardised_features():
    features = np.array([[1.0, 2.0], [3.0, 10.0]])
    mean, spread = np.array([1.0, 4.0]), np.array([2.0, 1.0])
    expected = [
        math.sqrt(sum(((f - m) / s) ** 2 for f, m, s in zip(row, mean, spread, strict=True)) / 2) for row in features
    ]
    np.testing.assert_allclose(feature_distances(features, mean, spread), expected)


def test_the_card_holds_quantiles_and_the_distance_of_groups_left_out():
    rng = np.random.default_rng(1)
    statistics = [{name: float(v) for name, v in zip(NAMES, rng.normal(size=4), strict=True)} for _ in range(60)]
    features = rng.normal(size=(60, 5))
    groups = [i % 3 for i in range(60)]
    found = describe(64, statistics, features, groups)
    expected = np.quantile([s["focus"] for s in statistics], (0.01, 0.5, 0.99))
    np.testing.assert_allclose(found.statistics["focus"], expected, rtol=1e-3)
    distances = []
    for group in range(3):
        inside = np.array(groups) == group
        rest = features[~inside]
        spread = np.maximum(rest.std(0), 0.1 * np.median(rest.std(0)) + 1e-6)
        distances += [math.sqrt((((f - rest.mean(0)) / spread) ** 2).mean()) for f in features[inside]]
    assert found.distance_99 == pytest.approx(np.quantile(distances, 0.99), rel=1e-3)
    assert Domain.model_validate_json(found.model_dump_json()) == found


def test_one_group_has_nothing_to_measure_a_distance_from():
    """A distance within the group itself would call every other image an outsider."""
    found = describe(64, crops() * 4, np.random.default_rng(0).normal(size=(4, 3)), ["only"] * 4)
    assert found.distance_99 is None


def test_crops_without_a_statistic_do_not_spoil_it():
    statistics = [*crops(focus=1.0), *crops(focus=math.nan, skewness=math.nan), *crops(focus=3.0, skewness=math.nan)]
    statistics[0]["skewness"] = math.nan
    found = describe(64, statistics, np.random.default_rng(0).normal(size=(3, 2)), [0, 1, 2])
    assert found.statistics["focus"] == pytest.approx((1.02, 2.0, 2.98), rel=1e-3)
    assert "skewness" not in found.statistics


def test_an_image_like_the_training_images_fits():
    trust, flags = assess_domain(make_domain(), crops(), NO_FEATURES)
    assert (trust.level, trust.reasons, flags) == ("fits", (), ())


@pytest.mark.parametrize(
    ("name", "value", "limits", "flags"),
    [
        ("contrast", 0.1, (0.5, 1.0, 2.0), ("unsure", "low_contrast")),
        ("contrast", 3.0, (0.5, 1.0, 2.0), ("unsure",)),
        ("focus", 0.01, (0.1, 0.2, 0.3), ("unsure", "out_of_focus")),
        ("focus", 0.5, (0.1, 0.2, 0.3), ("unsure",)),
        ("mean", 7.0, (-1.0, 0.0, 1.0), ("unsure",)),
        ("skewness", -1.5, (1.0, 1.4, 2.0), ("unsure", "inverted_contrast")),
        ("skewness", -9.0, (1.0, 1.4, 2.0), ("unsure",)),
        ("skewness", 3.0, (1.0, 1.4, 2.0), ("unsure",)),
    ],
)
@pytest.mark.fault("A22")
def test_a_statistic_outside_its_range_makes_unsure_with_the_numbers_and_a_word(name, value, limits, flags):
    trust, found = assess_domain(make_domain(**{name: limits}), crops(**{name: value}), NO_FEATURES)
    assert trust.level == "unsure"
    assert found == flags
    assert f"{value:.3g}" in trust.reasons[0]
    assert f"between {limits[0]:.3g} and {limits[2]:.3g}" in trust.reasons[0]


def test_the_median_of_the_crops_counts_and_crops_without_the_statistic_do_not():
    domain = make_domain(focus=(0.0, 0.5, 1.0))
    statistics = [*crops(focus=0.5), *crops(focus=0.6), *crops(focus=9.0), *crops(focus=math.nan)]
    assert assess_domain(domain, statistics, NO_FEATURES)[0].level == "fits"
    assert assess_domain(domain, crops(focus=math.nan), NO_FEATURES)[0].level == "fits"


def featured(distance_99=2.0):
    wide = make_domain().statistics
    return Domain(
        crop_px=64,
        crops=4,
        statistics=wide,
        feature_mean=(0.0, 1.0),
        feature_std=(1.0, 2.0),
        distance_99=distance_99,
    )


def test_features_beyond_the_distance_are_outside():
    trust, flags = assess_domain(featured(), crops(), np.array([[10.0, 1.0]]))
    assert trust.level == "outside"
    assert flags == ("outside_model",)
    assert f"distance {math.sqrt(50):.2f}" in trust.reasons[0]
    assert "below 2.00" in trust.reasons[0]


def test_features_within_the_distance_fit_and_none_says_nothing():
    assert assess_domain(featured(), crops(), np.array([[1.0, 1.0]]))[0].level == "fits"
    assert assess_domain(featured(), crops(), NO_FEATURES)[0].level == "fits"
    assert assess_domain(featured(None), crops(), np.array([[100.0, 1.0]]))[0].level == "fits"


@pytest.mark.fault("D12")
def test_a_card_that_describes_other_features_is_refused():
    with pytest.raises(ModelError, match="other features"):
        assess_domain(featured(), crops(), np.zeros((1, 3)))


def test_statistics_of_another_version_are_passed_over():
    assert assess_domain(make_domain(roundness=(5.0, 6.0, 7.0)), crops(), NO_FEATURES)[0].level == "fits"


def test_a_card_without_a_domain_is_told():
    trust, flags = assess_domain(None, crops(), NO_FEATURES)
    assert trust.level == "unknown"
    assert trust.reasons
    assert flags == ()


def test_of_a_series_the_worst_counts():
    levels = ("unknown", "fits", "unsure", "outside")
    for i, first in enumerate(levels):
        for k, second in enumerate(levels):
            assert worst_trust(Trust(first), Trust(second)).level == levels[max(i, k)]


@pytest.mark.fault("F06")
def test_a_network_that_answers_with_no_numbers_has_no_domain():
    features = np.array([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(TrainingError, match="training has diverged"):
        describe(64, [*crops(), *crops()], features, ["a", "b"])


def test_training_images_and_crops_of_them_are_known_again_and_others_are_not():
    rng = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(rng.normal(6000, 1e5, (600, 640)), 10).astype(np.float32) for _ in range(2)]
    seen = Seen.of(marks([fields[0]]))
    card = make_card().model_copy(update={"trained_on": seen.fingerprints, "training": seen.for_card()})
    flag = ("trained_on_this",)
    assert seen_in_training(card, [fields[0]]) == flag
    assert seen_in_training(card, [fields[0][120:430, 200:560]]) == flag  # a crop
    assert seen_in_training(card, [fields[0][:100, :100]]) == ()  # too small to tell
    assert seen_in_training(card, [fields[1]]) == ()
    by_hash = card.model_copy(update={"trained_on": (), "training": {"image_sha256": list(seen.image_sha256)}})
    assert seen_in_training(by_hash, [fields[0]]) == flag
    assert seen_in_training(by_hash, [fields[1]]) == ()
    assert seen_in_training(make_card(), [fields[0]]) == ()


def test_ranges_and_distance_are_wider_where_the_kind_is_known():
    domain = Domain(
        crop_px=32,
        crops=9,
        statistics={"mean": (0.0, 0.5, 1.0)},
        feature_mean=(0.0,),
        feature_std=(1.0,),
        distance_99=2.0,
    )
    for value, distance, plain, wide in ((1.2, 0.0, "unsure", "fits"), (1.3, 0.0, "unsure", "unsure"),
                                         (0.5, 2.4, "outside", "fits"), (0.5, 2.6, "outside", "outside")):  # fmt: skip
        given = [{"mean": value}], np.array([[distance]])
        assert assess_domain(domain, *given)[0].level == plain
        assert assess_domain(domain, *given, wider=0.25)[0].level == wide
