import numpy as np
import pytest

from optics_support import NOISE_FREE
from vitascope.simulate.spheroids import BACKGROUND, DEAD, LIVE, StackParams, place_cells, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics, image_volume

VOXEL = (4.0, 2.0, 2.0)
SMALL = StackParams(diameter_um=70.0, dose=1.0, margin_um=8.0, oxygen_um=20.0)


def test_the_same_seed_gives_the_same_spheroid_and_another_seed_another():
    one, two, other = (simulate_spheroid(SMALL, VOXEL, VolumeOptics(), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.classes, two.classes)
    assert not np.array_equal(one.classes, other.classes)


def test_viability_is_that_of_the_voxels():
    made = simulate_spheroid(SMALL, VOXEL, VolumeOptics(), 0)
    live, dead = (made.classes == LIVE).sum(), (made.classes == DEAD).sum()
    assert made.viability == live / (live + dead)
    assert 0 < made.viability < 1
    np.testing.assert_array_equal(made.cells > 0, made.classes != BACKGROUND)


def test_a_cell_is_wholly_live_or_dead():
    made = simulate_spheroid(SMALL, VOXEL, VolumeOptics(), 1)
    for cell in np.unique(made.cells)[1:]:
        assert len(np.unique(made.classes[made.cells == cell])) == 1


def test_cells_deeper_than_the_oxygen_are_dead_and_without_a_dose_all_others_live():
    params = StackParams(diameter_um=90.0, dose=0.0, oxygen_um=20.0, margin_um=8.0)
    made = simulate_spheroid(params, VOXEL, NOISE_FREE, 0)
    z, y, x = np.meshgrid(
        *[(np.arange(n) + 0.5) * v for n, v in zip(made.cells.shape, VOXEL, strict=True)], indexing="ij"
    )
    middle = np.array(made.cells.shape) * VOXEL / 2
    radius = np.sqrt((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
    assert not (made.classes[radius < 45 - 20 - 9] == LIVE).any()
    assert not (made.classes[radius > 45 - 20 + 9] == DEAD).any()
    assert made.viability_of_control == 1.0


def test_more_dose_kills_more_and_half_of_the_rim_at_the_ic50():
    found = [
        simulate_spheroid(
            StackParams(diameter_um=100.0, dose=dose, oxygen_um=1000.0, margin_um=4.0), VOXEL, NOISE_FREE, 5
        ).viability_of_control
        for dose in (0.0, 0.3, 1.0, 5.0)
    ]
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(0.5, abs=0.08)


def test_neighbours_touch():
    centres = place_cells(StackParams(diameter_um=80.0), np.random.default_rng(0))
    distances = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(-1))
    nearest = np.sort(distances, 1)[:, 1]
    assert np.median(nearest) < 12.0
    assert (np.sqrt((centres**2).sum(1)) <= 40 - 6).all()


def test_without_optics_the_picture_is_the_signal():
    signal = np.random.default_rng(0).random((3, 5, 6)).astype(np.float32)
    found = image_volume(signal, np.ones_like(signal), VOXEL, NOISE_FREE, np.random.default_rng(0))
    np.testing.assert_allclose(found, np.round(100 + 8 * 1000 * signal), atol=1)


def test_light_falls_with_the_tissue_above():
    optics = VolumeOptics((0, 0, 0), 50.0, 0.0, float("inf"), 0.0, 0.0)
    ones = np.ones((6, 4, 4), np.float32)
    found = image_volume(ones, ones, VOXEL, optics, np.random.default_rng(0)) - 100
    np.testing.assert_allclose(found[1:, 0, 0] / found[:-1, 0, 0], np.exp(-4.0 / 50.0), rtol=1e-3)
