"""A cell is found in its picture, and seen at all phases of a network's grid."""

import numpy as np
import pytest

from vitascope.ops.wells.cell_views import (
    VIEW_STEPS,
    cell_centre,
    instances_in_cell,
    phases_sheet,
    turned,
    turned_offset,
    view_at,
    with_ground_before,
)


def ring(shape, centre, radius=9.0, noise=0.1, seed=0):
    """A bright-field cell: a dark rim about a bright middle, on noisy ground."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    r = np.hypot(rows - centre[0], columns - centre[1])
    picture = 2.0 * (r < radius - 3) - 4.0 * (np.abs(r - radius) < 1.5)
    return (picture + np.random.default_rng(seed).normal(size=shape) * noise)[None].astype(np.float32)


@pytest.mark.parametrize("centre", [(20, 20), (11, 25), (28, 13)])
def test_a_cell_is_found_wherever_it_lies(centre):
    assert cell_centre(ring((40, 40), centre), 19.0) == pytest.approx(centre, abs=0.8)


def test_of_two_cells_the_one_nearer_to_the_middle_is_found():
    picture = ring((80, 80), (40, 36)) + ring((80, 80), (40, 66), seed=1)
    assert cell_centre(picture, 19.0) == pytest.approx((40, 36), abs=2)


def test_a_picture_of_nothing_has_its_middle():
    assert cell_centre(np.full((2, 31, 41), 3.0, np.float32), 19.0) == (15.0, 20.0)


def test_ground_put_before_a_picture_moves_its_cell_and_nothing_else():
    picture = ring((40, 40), (20, 20))
    moved = with_ground_before(picture, (7, 3))
    np.testing.assert_array_equal(moved[:, 7:, 3:], picture)
    here, there = cell_centre(picture, 19.0), cell_centre(moved, 19.0)
    assert there == pytest.approx((here[0] + 7, here[1] + 3), abs=0.3)


def test_a_view_has_its_place_in_its_middle_and_ground_beyond_the_picture():
    picture = np.arange(2 * 9 * 9, dtype=np.float32).reshape(2, 9, 9)
    view = view_at(picture, (1, 7), 8)
    assert view[:, 4, 4].tolist() == picture[:, 1, 7].tolist()
    assert (
        view[0, :3]
        == np.median(
            np.r_[
                picture[0, :2].ravel(),
                picture[0, -2:].ravel(),
                picture[0, 2:-2, :2].ravel(),
                picture[0, 2:-2, -2:].ravel(),
            ]
        )
    ).all()
    assert not np.array_equal(view_at(picture, (50, 50), 8)[0, 0, 0], np.nan)


@pytest.mark.parametrize("number", range(8))
def test_an_offset_is_turned_as_its_view_is(number):
    view = np.zeros((1, 9, 9), np.float32)
    view[0, 4 + 3, 4 + 1] = 1
    y, x = turned_offset((3, 1), number)
    assert turned(view, number)[0, 4 + y, 4 + x] == 1


def test_what_counts_are_the_instances_within_the_cell_at_least_one():
    assert instances_in_cell((0, 0), 16, 19.0).sum() == 1
    assert instances_in_cell((8, 8), 16, 4.0).sum() == 4  # equally near
    assert instances_in_cell((0, 0), 4, 19.0).sum() == 15  # but for a corner, the cell covers 4 x 4


@pytest.mark.parametrize("phases", [1, 2, 4])
def test_each_view_of_a_sheet_shows_the_cell_and_counts_instances_within_it(phases):
    picture = ring((40, 40), (20, 20), noise=0)
    sheet, counts = phases_sheet(picture, (20.0, 20.0), 16, 19.0, phases)
    side = VIEW_STEPS * 16
    assert sheet.shape == (1, phases * side, phases * side)
    assert counts.shape == (phases * VIEW_STEPS,) * 2
    for y in range(phases):
        for x in range(phases):
            view = sheet[:, y * side : (y + 1) * side, x * side : (x + 1) * side]
            centre = cell_centre(view, 19.0)
            for row, column in np.argwhere(counts[y * 4 : y * 4 + 4, x * 4 : x * 4 + 4] > 0):
                assert np.hypot(row * 16 - centre[0], column * 16 - centre[1]) < 12
