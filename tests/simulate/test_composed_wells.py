from dataclasses import replace

import numpy as np
import pytest

from vitascope.core.paths import SAMPLES
from vitascope.io.images.read import read_image
from vitascope.ops.wells.organoids import absorbance, local_ground, organoid_mask
from vitascope.ops.wells.squares import well_mask
from vitascope.simulate.composed_wells import AS_FOUND, VARIED, compose_well, living_volume_rlu, plan_well
from vitascope.simulate.cutouts import CutOut, cut_parts, cut_things, empty_ground
from vitascope.simulate.wells import LUMEN, RLU_PER_VOLUME

SIDE = 256


@pytest.fixture(scope="module")
def parts():
    files = [SAMPLES / "plate23997_rowA" / f"ch01_A_{n}_t1.ome.tif" for n in (3, 22)]
    return cut_parts([(f.name, np.asarray(read_image(f).plane(), np.float32), None) for f in files], SIDE)


def disc(radius, y, x, side=SIDE):
    at = np.arange(side) + 0.5
    return np.hypot(at[:, None] - y, at[None] - x) < radius


def test_a_body_on_a_sloping_ground_is_found_whole():
    ground = np.linspace(3000, 5000, SIDE)[None] * np.ones((SIDE, 1))
    body = disc(9, 100, 140)
    square = np.where(body, ground * np.exp(-0.5), ground)
    np.testing.assert_allclose(local_ground(square)[40:-40, 40:-40], ground[40:-40, 40:-40], rtol=0.05)
    found = organoid_mask(square)
    assert (found & body).sum() / (found | body).sum() > 0.9
    assert absorbance(square)[body].mean() == pytest.approx(0.5, abs=0.08)


def test_lumens_are_filled_and_fibres_kept_apart():
    square = np.full((SIDE, SIDE), 4000.0, np.float32)
    square[disc(10, 90, 90) & ~disc(6, 90, 90)] *= 0.5
    square[150:153, 60:160] *= 0.5
    assert organoid_mask(square)[disc(9, 90, 90)].all()
    organoids, fibres = cut_things(square, SIDE)
    assert [c.hollow for c in organoids] == [True]
    assert organoids[0].area == pytest.approx(np.pi * 100, rel=0.1)
    assert pytest.approx(organoids[0].y, abs=0.01) == (2 * 90 / SIDE - 1)
    assert len(fibres) == 1


def test_the_volume_is_that_of_a_ball_or_of_the_wall_of_a_cyst():
    body = disc(10, 16, 16, 32)
    compact = CutOut(body.astype(np.float32), body, 0.0, 0.0)
    radius = np.sqrt(body.sum() / np.pi) / SIDE
    ball = 4 / 3 * np.pi * radius**3 * RLU_PER_VOLUME
    assert living_volume_rlu(compact, 1.0, SIDE) == pytest.approx(ball)
    assert living_volume_rlu(replace(compact, hollow=True), 2.0, SIDE) == pytest.approx(8 * ball * (1 - LUMEN**3))


def test_the_ground_has_nothing_left_on_it(parts):
    picture = np.asarray(read_image(SAMPLES / "plate23997_rowA" / "ch01_A_3_t1.ome.tif").plane(), np.float32)
    square = picture[30:670, 30:670]
    assert organoid_mask(square).mean() > 0.08
    assert organoid_mask(empty_ground(square)).mean() < 0.01
    assert len(parts.lines) == 2


def test_a_composed_well_is_known_to_the_pixel(parts):
    well, again = compose_well(1, 7, 2, parts), compose_well(1, 7, 2, parts)
    np.testing.assert_array_equal(well.image, again.image)
    assert (well.image.dtype, well.image.shape) == (np.uint16, (SIDE, SIDE))
    plan = plan_well(1, 7, 2, parts)
    assert well.atp_rlu == plan.atp_rlu == pytest.approx(float((plan.full_rlu * plan.alive).sum()))
    assert well.living.sum() == pytest.approx(well.atp_rlu, rel=0.02)
    assert plan_well(2, 7, 2, parts).atp_rlu != plan.atp_rlu


def test_the_dead_are_paler_where_they_lay_and_hold_no_atp(parts):
    alive, dead = (compose_well(1, 3, 2, parts, replace(AS_FOUND, alive=a)) for a in (1.0, 0.0))
    assert (dead.atp_rlu, float(dead.living.sum())) == (0.0, 0.0)
    holds = (alive.living > 0) & well_mask(SIDE)
    free = ~holds & well_mask(SIDE)
    light = np.median(alive.image[free])
    darkness = [1 - float(w.image[holds].mean() / light) for w in (alive, dead)]
    assert 0.2 < darkness[1] / darkness[0] < 0.7


def test_shading_changes_light_and_nothing_else(parts):
    flat, sloping = (compose_well(1, 3, 2, parts, replace(VARIED, shading=s)) for s in (0.0, 0.2))
    np.testing.assert_array_equal(flat.living, sloping.living)
    ratio = sloping.image / np.maximum(flat.image, 1)
    assert ratio[:20].mean() / ratio[-20:].mean() != pytest.approx(1, abs=0.05)
