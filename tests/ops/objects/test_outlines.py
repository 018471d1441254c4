import numpy as np
import pytest

from vitascope.core.progress import run_to_end
from vitascope.ops.objects.outlines import CoarseGrid, mesh, separate
from vitascope.ops.objects.spheroids import measure_spheroids

VOXEL = (4.0, 2.0, 2.0)


def radii(shape, centre, voxel=VOXEL):
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * v for n, v in zip(shape, voxel, strict=True)], indexing="ij")
    return np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)


def test_two_spheroids_and_debris_are_told_apart():
    shape = (30, 60, 120)
    big, small = radii(shape, (60, 60, 60)) < 50, radii(shape, (60, 60, 180)) < 35
    debris = radii(shape, (60, 10, 125)) < 6
    grid = CoarseGrid.over(shape, VOXEL, 8.0)
    whole = tuple(slice(0, n) for n in shape)
    cells = big | small | debris
    share = grid.mean(np.bincount(grid.flat(whole)[cells], minlength=int(np.prod(grid.coarse))).astype(float))
    labels = grid.look_up(separate(share, grid, 40.0), whole)
    assert set(labels[big]) == {1}
    assert set(labels[small]) == {2}
    assert set(labels[debris]) <= {0, 1, 2}
    assert labels.max() == 2


def test_nuclei_apart_are_one_spheroid_and_a_single_one_is_debris():
    voxel, shape = (4.0, 2.0, 2.0), (40, 100, 100)
    z, y, x = (np.arange(n) * v for n, v in zip(shape, voxel, strict=True))
    cells = np.zeros(shape, bool)
    centres = [(a, b, c) for a in (40, 60, 80) for b in (40, 60, 80) for c in (40, 60, 80)]
    for a, b, c in [*centres, (80, 160, 160)]:
        cells |= (z[:, None, None] - a) ** 2 + (y[:, None] - b) ** 2 + (x - c) ** 2 <= 25
    grid = CoarseGrid.over(shape, voxel, 8.0)
    share = grid.mean(np.bincount(grid.flat([slice(0, n) for n in shape])[cells], minlength=int(np.prod(grid.coarse))))
    found = grid.look_up(separate(share, grid, 40.0), [slice(0, n) for n in shape])
    assert found.max() == 1
    inside = (slice(0, 30), slice(0, 60), slice(0, 60))
    assert (found[inside][cells[inside]] == 1).all()
    assert (found[:, 70:, 70:] == 0).all()
    table = run_to_end(measure_spheroids(np.where(cells, found, 0), np.zeros(shape, int), voxel)).table
    assert 40 < table["equivalent_diameter_um"][0] < 80  # the cube of nuclei is 50 µm wide: 62 µm as a ball


def test_a_mesh_has_the_volume_and_the_surface_of_its_ball():
    share = (radii((40, 40, 40), (80, 80, 80), (4.0, 4.0, 4.0)) < 50).astype(float)
    volume, surface = mesh(share, (4.0, 4.0, 4.0))
    radius = 50 + 0.674 * 0.8 * 4  # where a smoothed edge is down to a quarter
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    assert surface == pytest.approx(4 * np.pi * radius**2, rel=0.03)
    assert mesh(np.zeros((5, 5, 5)), (4.0, 4.0, 4.0)) == (0.0, 0.0)


def test_a_field_that_its_sides_cut_out_of_a_spheroid_is_one_to_its_sides():
    voxel, shape = (4.0, 1.0, 1.0), (5, 40, 40)
    rng = np.random.default_rng(0)
    cells = rng.random(shape) < 0.35
    grid = CoarseGrid.over(shape, voxel, 8.0)
    whole = [slice(0, n) for n in shape]
    share = grid.mean(np.bincount(grid.flat(whole)[cells], minlength=int(np.prod(grid.coarse))).astype(float))
    found = grid.look_up(separate(share, grid, 20.0), whole)
    assert (found[cells] == 1).all()
