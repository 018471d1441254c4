import numpy as np

from vitascope.ops.wells.light import ground_surface
from vitascope.ops.wells.squares import well_mask


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
