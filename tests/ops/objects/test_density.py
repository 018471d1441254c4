import numpy as np
import pytest

from vitascope.ops.objects.density import cell_density


def test_the_density_adds_up_to_the_number_of_cells():
    cells = np.zeros((12, 30, 30), np.int32)
    cells[4:7, 5:10, 5:10], cells[5:8, 15:25, 12:20], cells[0:2, 0:3, 25:30] = 1, 5, 9
    voxel = (4.0, 1.0, 1.0)
    density = cell_density(cells, voxel, 6.0)
    assert density.sum() * np.prod(voxel) / 1000 == pytest.approx(3, rel=1e-4)


def test_touching_cells_of_known_volume_have_its_inverse_as_density():
    z, y, x = np.indices((16, 40, 40)) // np.array([4, 10, 10])[:, None, None, None]
    cells = (1 + z * 100 + y * 10 + x).astype(np.int32)
    density = cell_density(cells, (2.0, 1.0, 1.0), 5.0)
    np.testing.assert_allclose(density, 1000 / (8 * 10 * 10), rtol=1e-4)


def test_no_cells_have_no_density():
    assert not cell_density(np.zeros((3, 4, 5), np.int32), (1.0, 1.0, 1.0), 2.0).any()
