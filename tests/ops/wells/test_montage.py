import numpy as np
import pytest

from vitascope.core.errors import InputError
from vitascope.ops.wells.montage import cut_montage, distinct_cells, draw_cells, lay_out


@pytest.fixture
def cells():
    return np.random.default_rng(0).random((16, 2, 5, 5), np.float32)


def test_tiles_are_cut_row_by_row():
    picture = np.arange(6 * 8).reshape(6, 8)
    tiles = cut_montage(picture, 3, 4, 2)
    assert tiles.shape == (12, 2, 2)
    for i in range(12):
        row, column = divmod(i, 4)
        expected = [[(2 * row + y) * 8 + 2 * column + x for x in (0, 1)] for y in (0, 1)]
        assert tiles[i].tolist() == expected


def test_laying_out_and_cutting_are_inverse(cells):
    montage = lay_out(cells, 4)
    assert montage.shape == (2, 20, 20)
    for c in range(2):
        np.testing.assert_array_equal(cut_montage(montage[c], 4, 4, 5), cells[:, c])


@pytest.mark.parametrize(("rows", "columns", "side"), [(3, 4, 3), (4, 4, 2), (3, 3, 2), (0, 4, 2)])
def test_a_picture_that_is_no_such_grid_is_refused_with_both_sizes(rows, columns, side):
    with pytest.raises(InputError, match=f"is {rows * side} x {columns * side} px, not 6 x 8"):
        cut_montage(np.zeros((6, 8)), rows, columns, side)


def test_repeats_and_padding_are_left_out_and_the_first_of_equals_kept():
    rng = np.random.default_rng(1)
    tiles = rng.normal(100, 20, (10, 8, 8))
    tiles[3] = tiles[7] = tiles[1]
    tiles[5] = rng.normal(100, 0.5, (8, 8))
    tiles[8] = tiles[9] = 100.0
    assert distinct_cells(tiles).tolist() == [0, 1, 2, 4, 6]


def test_cells_are_drawn_once_each_where_there_are_enough_and_only_turned_and_mirrored(cells):
    drawn = draw_cells(cells, 16, np.random.default_rng(2))

    def turned(cell):
        views = [np.rot90(cell, k, (1, 2)) for k in range(4)]
        return [v.tobytes() for v in [*views, *(w[:, ::-1] for w in views)]]

    origins = [next(i for i, cell in enumerate(cells) if d.tobytes() in turned(cell)) for d in drawn]
    assert sorted(origins) == list(range(16))
    assert any(d.tobytes() != cells[i].tobytes() for d, i in zip(drawn, origins, strict=True))


def test_more_cells_than_there_are_repeat_and_the_same_seed_repeats_the_draw(cells):
    first, second = (draw_cells(cells[:3], 9, np.random.default_rng(4)) for _ in range(2))
    assert len(first) == 9
    np.testing.assert_array_equal(first, second)


def test_the_cells_given_are_left_as_they_were(cells):
    before = cells.copy()
    draw_cells(cells, 5, np.random.default_rng(0))[:] = 0
    np.testing.assert_array_equal(cells, before)
