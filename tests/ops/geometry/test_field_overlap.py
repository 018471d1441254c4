"""Fields that overlap in part are found by their pictures."""

import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.geometry.field_overlap import common_factor, find_overlap, join_overlaps, small_field


def sample_of(seed, shape=(400, 1100)):
    """A piece of a sample: blobs of several sizes, with uneven light."""
    rng = np.random.default_rng(seed)
    cells = sum(ndimage.gaussian_filter((rng.random(shape) < 0.003) * 1.0, s) * s**2 for s in (2.0, 4.0))
    return cells * 100 + np.linspace(0, 1, shape[1])


def overlap(first, second):
    factor = common_factor([first.shape, second.shape])
    return find_overlap(small_field(first, factor), small_field(second, factor))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.6])
def test_the_shift_and_the_shared_part_are_found_under_noise_and_other_exposure(share):
    sample, side = sample_of(0), 400
    shift = round(side * (1 - share))
    rng = np.random.default_rng(1)
    second = 3 * sample[:, shift : shift + side] + 7
    second = second + rng.normal(size=second.shape) * 0.1 * second.std()
    found = overlap(sample[:, :side], second)
    assert found.share == pytest.approx(share, abs=0.02)
    assert (found.y_px, found.x_px) == (pytest.approx(0, abs=2), pytest.approx(shift, abs=2))
    back = overlap(second, sample[:, :side])
    assert back.x_px == -found.x_px


def test_fields_that_share_nothing_do_not_overlap():
    fields = [sample_of(seed, (400, 400)) for seed in range(5)]
    assert all(overlap(fields[0], other).share == 0 for other in fields[1:])
    assert overlap(fields[0], np.zeros((400, 400))).share == 0


def test_one_image_cut_into_overlapping_fields_becomes_one_group_and_others_stay():
    sample = sample_of(3)
    fields = [sample[:, x : x + 400] for x in (0, 340, 680)]
    others = [sample_of(seed, (400, 400)) for seed in (4, 5)]
    assert join_overlaps([*fields, *others], ["a", "b", "c", "d", "e"]) == ["a", "a", "a", "d", "e"]


def test_fields_of_wells_that_are_known_are_not_compared():
    sample = sample_of(3)
    fields = [sample[:, :400], sample[:, 300:700]]
    assert join_overlaps(fields, ["a", "b"], [("p", "A1"), ("p", "A2")]) == ["a", "b"]
    assert join_overlaps(fields, ["a", "b"], [("p", "A1"), ("p", "A1")]) == ["a", "a"]
    assert join_overlaps(fields, ["a", "b"], [("p", "A1"), ("", "")]) == ["a", "a"]


def test_stage_positions_join_fields_that_nothing_in_them_does():
    rng = np.random.default_rng(1)
    fields = [rng.normal(size=(64, 64)) for _ in range(4)]
    places = [(0.0, 0.0, 64.0, 64.0), (0.0, 58.0, 64.0, 64.0), (0.0, 200.0, 64.0, 64.0), None]
    groups = ["a", "b", "c", "d"]
    assert join_overlaps(fields, groups) == groups
    assert join_overlaps(fields, groups, places=places) == ["a", "a", "c", "d"]
    wells = [("p", "A1"), ("p", "A2"), ("p", "A1"), ("p", "A1")]  # positions within each well begin anew
    assert join_overlaps(fields, groups, wells, places) == groups
    barely = [(0.0, 0.0, 64.0, 64.0), (0.0, 62.0, 64.0, 64.0), None, None]
    assert join_overlaps(fields, groups, places=barely) == groups
