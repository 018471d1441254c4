import numpy as np
import pytest
from skimage.segmentation import find_boundaries, flood_fill

from vitascope.core.errors import InputError
from vitascope.ops.objects.filled_outlines import fill_outlines


def rings(shape=(60, 90)):
    """Two touching cells that share a line, and one alone."""
    cells = np.zeros(shape, int)
    cells[5:30, 5:30] = 1
    cells[5:30, 30:55] = 2
    cells[35:55, 60:85] = 3
    return cells, find_boundaries(cells, mode="inner")


def test_outlines_of_known_cells_give_the_cells_back():
    cells, lines = rings()
    found = fill_outlines(lines)
    assert found.dtype == np.uint32
    assert found.max() == 3
    for number in (1, 2, 3):
        (label,) = np.unique(found[(cells == number) & ~lines])
        assert ((found == label) == (cells == number)).mean() > 0.999
        np.testing.assert_array_equal(found[cells == number] > 0, True)
    assert not found[cells == 0].any()


def test_agrees_with_flooding_from_the_corner():
    _, lines = rings()
    flooded = flood_fill(lines.astype(int), (0, 0), 7, connectivity=1) == 7
    np.testing.assert_array_equal(fill_outlines(lines, 1) > 0, ~flooded)


def test_an_open_outline_and_a_small_loop_hold_nothing():
    _, lines = rings()
    lines[35, 70:74] = False  # the third cell is open
    lines[40:44, 5:9] = True
    lines[41:43, 6:8] = False  # a loop of four pixels
    assert fill_outlines(lines).max() == 2


def test_no_line_is_no_object_and_a_volume_is_refused():
    assert not fill_outlines(np.zeros((9, 9))).any()
    assert not fill_outlines(np.ones((9, 9))).any()
    with pytest.raises(InputError, match="no plane"):
        fill_outlines(np.zeros((2, 9, 9)))
