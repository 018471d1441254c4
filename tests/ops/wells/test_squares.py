import numpy as np
import pytest

from vitascope.ops.wells.squares import Region, Squares, cut_square


@pytest.mark.parametrize("region", [Region(20.3, 11.8, 151.7), Region(-14.2, 60, 170), Region(5, 5, 9.5)])
def test_a_square_read_once_for_several_sizes_is_the_same_as_each_cut_alone(region):
    picture = np.random.default_rng(0).integers(0, 4000, (190, 213)).astype(np.uint16)
    together = Squares(picture, region, (64, 32, 24))
    for side in (64, 32, 24, 17):  # the last was not announced
        np.testing.assert_allclose(together.at(side), cut_square(picture, region, side), rtol=2e-6)


def test_what_is_not_a_number_stays_so_in_the_cells_it_lies_in():
    picture = np.ones((16, 16), np.float32)
    picture[3, 9] = np.nan
    for side in (8, 4):
        found = Squares(picture, Region(0, 0, 16), (8, 4)).at(side)
        assert np.argwhere(np.isnan(found)).tolist() == [[3 * side // 16, 9 * side // 16]]
