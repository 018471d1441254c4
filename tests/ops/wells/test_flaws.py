import numpy as np
import pytest
from scipy import ndimage

from vitascope.core.paths import SAMPLES
from vitascope.engine.native_look import MOST
from vitascope.io.images.read import read_image
from vitascope.ops.wells.flaws import SIDES_PX, bubble_share, evened_out, ground_shape, measure_flaws, native_focus
from vitascope.ops.wells.locate import find_well
from vitascope.ops.wells.squares import Region, Squares
from vitascope.simulate.wells import make_well

REAL = sorted((SAMPLES / "plate23997_rowA").glob("*.tif"))
WHOLE = Region(0, 0, 256)


def axes(side=256):
    at = np.linspace(-1, 1, side)
    return at[:, None], at[None]


def shaded(picture, amount):
    return picture * (1 + amount / 2 * axes(len(picture))[0])


def with_dirt(picture):
    found = picture.copy()
    found[40:60, 50:90] = 500
    return found


def test_a_ramp_is_measured_whatever_lies_on_it():
    tilt, bowl = ground_shape(with_dirt(shaded(np.full((256, 256), 3000.0), 0.4)))
    assert tilt == pytest.approx(np.log(1.2 / 0.8), rel=0.07)
    assert bowl < 0.03
    assert ground_shape(np.zeros((64, 64))) == (0, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bowl_is_told_from_a_ramp(sign):
    y, x = axes()
    tilt, bowl = ground_shape(with_dirt(3000 * np.exp(sign * 0.3 * (y**2 + x**2))))
    assert bowl == pytest.approx(0.3, rel=0.07)
    assert tilt < 0.03


def test_evening_out_takes_ramp_and_bowl_away_and_keeps_the_middle():
    y, x = axes()
    even = np.random.default_rng(0).normal(3000, 20, (256, 256))
    picture = even * np.exp(0.2 * y - 0.1 * x - 0.25 * (y**2 + x**2))
    found = evened_out(picture, WHOLE, round_well=False)
    np.testing.assert_allclose(found, even, rtol=0.05)
    assert evened_out(np.zeros((64, 64)), Region(0, 0, 64), round_well=False) is None


def test_a_ground_that_is_not_that_of_light_is_left_as_it_is():
    """Streets and houses: dark here and bright there, and no smooth fall of light."""
    blocks = np.kron(np.random.default_rng(0).uniform(500, 4000, (8, 8)), np.ones((32, 32)))
    assert evened_out(blocks * np.linspace(0.5, 1.5, 256), WHOLE, round_well=False) is None


def ring(inner, rim, middle=1.0):
    y, x = np.mgrid[:256, :256]
    away = np.hypot(y - 120, x - 130) / 24
    return np.where(away < inner, 3000 * middle, np.where(away < 1, 3000 * rim, 3000.0))


def test_a_bubble_is_a_black_ring_around_light():
    assert bubble_share(ring(0.7, 0.15)) == pytest.approx(np.pi * 24**2 / 256**2, rel=0.1)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(ring(0.0, 0.15), id="a dark ball"),
        pytest.param(ring(0.7, 0.6), id="an organoid with a hollow"),
        pytest.param(ring(0.7, 0.15, middle=0.4), id="a ring around dark"),
        pytest.param(np.full((256, 256), 3000.0), id="nothing"),
        pytest.param(np.full((256, 256), np.nan), id="no pixel"),
        pytest.param(np.zeros((256, 256)), id="no light"),
    ],
)
def test_what_is_no_bubble(picture):
    assert bubble_share(picture) == 0


def test_blur_lowers_focus_and_noise_raises_it():
    well = make_well(3, 2, 0, 256).image.astype(float)
    own, blurred, noisy = (
        native_focus(p)
        for p in (well, ndimage.gaussian_filter(well, 3), well + np.random.default_rng(0).normal(0, 900, well.shape))
    )
    assert blurred < own - 0.5
    assert noisy > own + 0.5
    assert np.isnan(native_focus(np.full((64, 64), 7.0)))
    assert np.isnan(native_focus(np.full((64, 64), np.nan)))


def test_focus_knows_that_a_picture_was_made_larger():
    well = make_well(3, 2, 0, 256).image.astype(float)
    own = measure_flaws(Squares(well, Region(0, 0, 256), SIDES_PX), round_well=True)["native_focus"]
    larger = measure_flaws(Squares(ndimage.zoom(well, 3, order=1), Region(0, 0, 768), SIDES_PX), round_well=True)[
        "native_focus"
    ]
    assert larger == pytest.approx(own, abs=0.15)


def test_wells_as_they_are_pass_and_shaded_ones_do_not():
    pictures = [make_well(21, number, number // 4, 128).image.astype(float) for number in range(8)]
    pictures += [np.asarray(read_image(path).plane(), float) for path in REAL[:2]]
    assert len(pictures) > 8
    for picture in pictures:
        found = measure_flaws(Squares(picture, find_well(picture), SIDES_PX), round_well=True)
        assert all(found[name] <= most for name, most in MOST.items())
        other = shaded(picture, 0.4)
        assert measure_flaws(Squares(other, find_well(other), SIDES_PX), round_well=True)["shading"] > MOST["shading"]
