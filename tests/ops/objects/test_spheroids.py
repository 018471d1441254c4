import numpy as np
import pytest

from vitascope.core.progress import run_to_end
from vitascope.ops.objects.spheroids import measure_spheroids, summarise_spheroids, viability_percent

VOXEL = (4.0, 2.0, 2.0)


def radii(shape, centre, voxel=VOXEL):
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) * v for n, v in zip(shape, voxel, strict=True)], indexing="ij")
    return np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)


def ball(shape=(46, 92, 92), radius=70.0, core=0.0):
    r = radii(shape, np.array(shape) * VOXEL / 2)
    live = ((r < radius) & (r >= core)).astype(np.uint32)
    return live, (r < core).astype(np.uint32)


def test_a_ball_has_its_volume_diameter_and_sphericity():
    live, dead = ball()
    table = run_to_end(measure_spheroids(live, dead, VOXEL)).table
    assert table["live_um3"][0] == pytest.approx(live.sum() * 16)
    assert table["equivalent_diameter_um"][0] == pytest.approx(140, rel=0.06)
    assert table["sphericity"][0] == pytest.approx(1.0, abs=0.04)
    assert table["depth_um"][0] == pytest.approx(70, abs=10)
    assert table["viability_percent"][0] == 100.0


def test_a_slab_is_less_spherical_than_a_ball():
    live = np.zeros((30, 60, 60), np.uint32)
    live[12:17, 6:54, 6:54] = 1
    table = run_to_end(measure_spheroids(live, np.zeros_like(live), VOXEL)).table
    assert table["sphericity"][0] < 0.8


def test_viability_and_core_of_a_ball_with_a_dead_middle():
    live, dead = ball(core=35.0)
    table = run_to_end(measure_spheroids(live, dead, VOXEL)).table
    assert table["viability_percent"][0] == pytest.approx(100 * (1 - (35 / 70) ** 3), abs=0.5)
    assert table["core_um3"][0] == pytest.approx(4 / 3 * np.pi * 35**3, rel=0.2)


def test_core_and_total_are_both_stained_volume():
    """Nuclei that lie apart: what is between them counts in neither."""
    live, dead = ball(core=50.0)
    apart = np.zeros(live.shape, bool)
    apart[:, ::4, ::4] = apart[:, 1::4, ::4] = True
    table = run_to_end(measure_spheroids(live * apart, dead * apart, VOXEL)).table
    assert 0 < table["core_um3"][0] <= table["dead_um3"][0] * 1.1
    assert table["core_um3"][0] < table["total_um3"][0]


def test_shells_tell_live_from_dead_by_depth():
    live, dead = ball(core=30.0)
    shells = run_to_end(measure_spheroids(live, dead, VOXEL, shell_um=20.0)).shells
    by_shell = dict(zip(shells["shell"], shells["live_fraction"], strict=True))
    assert by_shell[1] == 1.0
    assert by_shell[max(by_shell)] < 0.1
    assert shells["live_um3"].sum() == pytest.approx(live.sum() * 16)


def test_means_are_over_the_right_voxels():
    live, dead = ball(core=30.0)
    first, second = np.where(live > 0, 7.0, 1.0), np.where(dead > 0, 5.0, 2.0)
    table = run_to_end(measure_spheroids(live, dead, VOXEL, intensities=(first, second), density=first)).table
    assert table["mean_live_intensity"][0] == 7.0
    assert table["mean_dead_intensity"][0] == 5.0
    expected = (7 * live.sum() + dead.sum()) / (live.sum() + dead.sum())
    assert table["mean_density"][0] == pytest.approx(expected)


def test_nothing_gives_an_empty_table_and_no_number():
    empty = np.zeros((6, 20, 20), np.uint32)
    found = run_to_end(measure_spheroids(empty, empty, VOXEL))
    assert len(found.table) == 0
    assert len(found.shells) == 0
    assert np.isnan(summarise_spheroids(found.table)["viability_percent"])
    assert np.isnan(viability_percent(0, 0))


def test_an_unknown_size_leaves_micrometres_empty_and_keeps_the_share():
    live, dead = ball(core=35.0)
    row = summarise_spheroids(run_to_end(measure_spheroids(live, dead, VOXEL, sized=False)).table)
    assert np.isnan(row["live_um3"])
    assert np.isnan(row["equivalent_diameter_um"])
    assert row["live_voxels"] == live.sum()
    assert row["viability_percent"] == pytest.approx(100 * live.sum() / (live.sum() + dead.sum()))


def test_the_whole_volume_full_of_cells_is_one_spheroid():
    live = np.ones((12, 40, 40), np.uint32)
    table = run_to_end(measure_spheroids(live, np.zeros_like(live), VOXEL)).table
    assert table["viability_percent"][0] == 100.0
    assert table["live_voxels"][0] == live.size


def test_labels_may_skip_numbers():
    live, dead = ball()
    table = run_to_end(measure_spheroids(live * 7, dead, VOXEL)).table
    assert table["label"].tolist() == [7]
    assert table["live_voxels"][0] == live.sum()
