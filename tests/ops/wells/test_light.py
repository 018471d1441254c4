import numpy as np
import pytest

from vitascope.core.paths import SAMPLES
from vitascope.io.images.read import read_image
from vitascope.ops.wells.light import MOST_SHADING, ground_surface, shading
from vitascope.ops.wells.locate import Region, find_well, well_mask
from vitascope.simulate.wells import make_well

REAL = sorted((SAMPLES / "plate23997_rowA").glob("*.tif"))


def shaded(picture, amount):
    down = np.linspace(-1, 1, picture.shape[0])[:, None]
    return picture * (1 + amount / 2 * down)


def test_a_ramp_is_measured_whatever_lies_on_it():
    ramp = np.full((200, 200), 3000.0)
    ramp[40:60, 50:90] = 500
    found = shading(shaded(ramp, 0.4), Region(0, 0, 200))
    assert found == pytest.approx(np.log(1.2 / 0.8), rel=0.05)
    assert shading(np.zeros((64, 64)), Region(0, 0, 64)) == 0


def test_wells_as_they_are_pass_and_shaded_ones_do_not():
    pictures = [make_well(21, number, number // 4, 128).image.astype(float) for number in range(8)]
    pictures += [np.asarray(read_image(path).plane(), float) for path in REAL[:2]]
    assert len(pictures) > 8
    for picture in pictures:
        assert shading(picture, find_well(picture)) < MOST_SHADING
        other = shaded(picture, 0.4)
        assert shading(other, find_well(other)) > MOST_SHADING


def test_the_ground_is_found_under_organoids_on_a_bent_slope():
    y, x = np.meshgrid(*(np.linspace(-1, 1, 128),) * 2, indexing="ij")
    light = 4000 * np.exp(0.2 * x - 0.1 * y - 0.15 * (y**2 + x**2))
    picture = light.copy()
    rng = np.random.default_rng(3)
    for _ in range(60):
        cy, cx = rng.uniform(-0.8, 0.8, 2)
        picture[np.hypot(y - cy, x - cx) < 0.07] *= 0.4
    inside = well_mask(128)
    found = ground_surface(picture, inside)
    assert np.allclose(found[inside], light[inside], rtol=0.02)
    assert ground_surface(np.zeros((64, 64)), np.ones((64, 64), bool)) is None
