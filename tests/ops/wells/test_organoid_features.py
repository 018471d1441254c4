import numpy as np
import pytest

from vitascope.ops.wells.organoid_features import ORGANOID_FEATURES, measure_organoids


def discs(side, radius, places, depth, gain=1.0):
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    absorbed = np.zeros((side, side))
    for cy, cx in places:
        absorbed[np.hypot(y - cy, x - cx) < radius] = depth
    return gain * (3000 + 600 * x) * np.exp(-absorbed)


def test_two_discs_have_their_area_volume_and_darkness():
    picture = discs(256, 0.06, [(0.3, 0.3), (0.6, 0.7)], 0.5)
    found = measure_organoids(picture, np.ones((256, 256), bool))
    assert set(found) == set(ORGANOID_FEATURES)
    assert found["area"] == pytest.approx(2 * np.pi * 0.06**2, rel=0.06)
    assert found["volume"] == pytest.approx(2 * 4 / 3 * np.pi * 0.06**3 * 1000, rel=0.1)
    assert found["darkness"] == pytest.approx(0.5, abs=0.06)
    assert found["objects"] == pytest.approx(2**0.5)
    assert found["roundness"] > 0.9


def test_exposure_changes_nothing_and_magnification_little():
    whole = np.ones((256, 256), bool)
    places = [(0.3, 0.3), (0.6, 0.7), (0.2, 0.75)]
    plain = measure_organoids(discs(256, 0.05, places, 0.4), whole)
    bright = measure_organoids(discs(256, 0.05, places, 0.4, gain=2.5), whole)
    larger = measure_organoids(discs(512, 0.05, places, 0.4), np.ones((512, 512), bool))
    for name in ("area", "volume", "absorbed", "darkness"):
        assert bright[name] == pytest.approx(plain[name], rel=1e-6)
        assert larger[name] == pytest.approx(plain[name], rel=0.05)


def test_an_empty_well_and_one_without_light_have_nothing():
    whole = np.ones((128, 128), bool)
    empty = 3000 + np.random.default_rng(0).normal(0, 20, (128, 128))
    for picture in (empty, np.zeros((128, 128))):
        found = measure_organoids(picture, whole)
        assert found["area"] == found["volume"] == found["objects"] == 0
