"""Settings chosen by nuclei that someone pointed at."""

import numpy as np
import pytest

from vitascope.core.errors import InputError
from vitascope.core.progress import run_to_end
from vitascope.ops.objects.pointed import choose_by_points
from vitascope.ops.objects.segment import SegmentParams, segment

START = SegmentParams(diameter_px=20)


def drawn(bright, specks=0, seed=0):
    """Nuclei of a brightness on a grid, and small bright specks; centres of the nuclei."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(0, 0.002, (260, 320)).astype(np.float32)
    rows, columns = np.mgrid[:260, :320]
    centres = [(40 + 60 * i, 40 + 60 * j) for i in range(4) for j in range(5)]
    for y, x in centres:
        picture += bright * (np.hypot(rows - y, columns - x) < 9)
    for _ in range(specks):
        y, x = rng.integers(0, 4), rng.integers(0, 5)
        at = 70 + 60 * min(y, 2), 70 + 60 * min(x, 3)
        picture += 0.9 * (np.hypot(rows - at[0], columns - at[1]) < 4.2)
    return np.clip(picture, 0, 1), np.array(centres, float)


def test_nuclei_too_faint_for_the_defaults_are_found_by_pointing_at_them():
    picture, points = drawn(0.07)
    assert not len(segment(picture, START).table)
    chosen = run_to_end(choose_by_points(picture, points, START))
    assert (chosen.found, chosen.extra, chosen.points) == (20, 0, 20)
    assert chosen.min_contrast < 0.07
    assert chosen.f1 == 1.0
    assert chosen.f1_before == 0.0


def test_specks_that_nobody_pointed_at_are_left_out_by_their_size():
    picture, points = drawn(0.8, specks=30)
    assert len(segment(picture, START).table) > 20
    chosen = run_to_end(choose_by_points(picture, points, START))
    assert chosen.found == 20
    assert chosen.extra == 0
    assert chosen.min_area > START.min_area
    assert chosen.f1 > chosen.f1_before


def test_settings_that_do_well_are_kept():
    picture, points = drawn(0.8)
    chosen = run_to_end(choose_by_points(picture, points, START))
    assert (chosen.threshold, chosen.min_contrast, chosen.min_area) == ("local", 0.1, 0.15)


def test_objects_far_from_the_points_do_not_count():
    picture, points = drawn(0.8)
    near = points[points[:, 1] < 200]
    chosen = run_to_end(choose_by_points(picture, near, START))
    assert (chosen.found, chosen.extra) == (12, 0)


def test_too_few_points_and_points_outside_are_refused():
    picture, points = drawn(0.8)
    with pytest.raises(InputError, match="9 points are too few"):
        run_to_end(choose_by_points(picture, points[:9], START))
    with pytest.raises(InputError, match="row 999, column 3 lies outside"):
        run_to_end(choose_by_points(picture, np.vstack([points, [999, 3]]), START))
