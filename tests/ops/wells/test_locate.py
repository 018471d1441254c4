import itertools

import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.wells.locate import find_spheroid, find_well, shrink
from vitascope.ops.wells.squares import Region, cut_square, well_mask
from vitascope.simulate.wells import make_well


def bright(shape=(400, 480), centre=(200, 240), radius=150, light=3000.0, dark=400.0, things=60, seed=0):
    """A bright round well on a dark ground, with dark organoids."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    picture = np.where(np.hypot(y - centre[0], x - centre[1]) < radius, light, dark)
    for _ in range(things):
        angle, reach = rng.uniform(0, 2 * np.pi), radius * 0.9 * rng.random() ** 0.5
        at = centre[0] + reach * np.sin(angle), centre[1] + reach * np.cos(angle)
        picture[np.hypot(y - at[0], x - at[1]) < 6] *= 0.5
    return picture + rng.normal(0, 20, shape)


def near(region, top, left, side, tolerance):
    assert region.top == pytest.approx(top, abs=tolerance)
    assert region.left == pytest.approx(left, abs=tolerance)
    assert region.side == pytest.approx(side, abs=tolerance)


def test_a_bright_well_is_found_where_it_lies():
    region = find_well(bright())
    near(region, 50, 90, 300, 14)
    assert region.flags == ()


def test_debris_and_a_meniscus_do_not_move_it():
    picture = bright()
    y, x = np.mgrid[:400, :480]
    ring = np.abs(np.hypot(y - 200, x - 240) - 140) < 6
    picture[ring] *= 0.55
    picture[195:200, 100:380] *= 0.3
    picture[:, 60:63] = 2500  # a scratch outside
    near(find_well(picture), 50, 90, 300, 24)


def test_a_cut_off_well_reaches_beyond_the_picture():
    region = find_well(bright(centre=(60, 240)))
    assert "well_cut_off" in region.flags
    near(region, -90, 90, 300, 24)
    cut = cut_square(bright(centre=(60, 240)), region, 64)
    assert np.isnan(cut[:10]).all()
    assert np.isfinite(cut[40:]).all()


def test_two_wells_are_flagged_and_the_larger_taken():
    picture = bright(shape=(400, 700), centre=(200, 200), radius=160)
    other = bright(shape=(400, 700), centre=(200, 540), radius=120, seed=1)
    region = find_well(np.maximum(picture, other))
    assert "several_wells" in region.flags
    near(region, 40, 40, 320, 16)


def test_an_empty_well_is_flagged():
    assert "empty_well" in find_well(bright(things=0)).flags
    assert "empty_well" not in find_well(bright(things=60)).flags


def test_a_field_of_scattered_things_is_no_well():
    rng = np.random.default_rng(0)
    picture = np.full((300, 400), 3000.0) + rng.normal(0, 30, (300, 400))
    for y, x in rng.uniform(20, 280, (25, 2)):
        picture[int(y) : int(y) + 9, int(x) : int(x) + 9] *= 0.5
    region = find_well(picture)
    assert "no_well" in region.flags
    assert (region.top, region.left, region.side) == (0, 50, 300)


@pytest.mark.parametrize("number", range(4))
def test_a_well_on_an_even_ground_is_found(number):
    well = make_well(1, number * 5, number, 180).image
    ground = float(np.median(well[[0, -1]]))
    image = ground * (1 + 0.002 * np.random.default_rng(number).standard_normal((260, 260)))
    image[40:220, 40:220] = np.where(well_mask(180), well, image[40:220, 40:220])
    region = find_well(image)
    near(region, 40, 40, 180, 30)


@pytest.mark.parametrize(
    "picture", [np.zeros((1, 1)), np.full((3, 5), 7), np.full((64, 64), np.nan), np.zeros((17, 400))]
)
def test_what_shows_nothing_is_taken_whole(picture):
    region = find_well(picture)
    assert "no_well" in region.flags
    assert region.side == min(picture.shape)


def test_cutting_keeps_the_mean_and_the_input():
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (97, 113))
    before = picture.copy()
    region = Region(10.3, 20.7, 60.0)
    cut = cut_square(picture, region, 24)
    fine = ndimage.zoom(picture, 20, order=0, grid_mode=True, mode="nearest")
    expected = fine[206:1406, 414:1614].reshape(24, 50, 24, 50).mean((1, 3))
    assert np.allclose(cut, expected, atol=1e-5)
    assert np.array_equal(picture, before)
    assert np.allclose(cut_square(picture, Region(10, 20, 24), 24), picture[10:34, 20:44])


@pytest.mark.parametrize(
    ("shape", "region", "side"),
    [
        ((50, 60), Region(3.3, -5.2, 40.7), 16),  # cut off on the left
        ((20, 20), Region(2.5, 2.5, 7.1), 30),  # enlarged
        ((30, 30), Region(29.2, 3.0, 8.0), 5),  # one row of it in the picture
        ((13, 40), Region(0.0, 0.0, 13.0), 13),
    ],
)
def test_each_pixel_of_a_square_is_the_mean_over_its_area(shape, region, side):
    picture = np.random.default_rng(0).integers(1, 65535, shape).astype(np.uint16)
    found = cut_square(picture, region, side)

    def overlaps(start, length):
        edges = start + region.side * np.arange(side + 1) / side
        return np.array(
            [[max(0.0, min(b, i + 1) - max(a, i)) for i in range(length)] for a, b in itertools.pairwise(edges)]
        )

    rows, columns = overlaps(region.top, shape[0]), overlaps(region.left, shape[1])
    area = np.outer(rows.sum(1), columns.sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(area > 1e-9, rows @ picture.astype(float) @ columns.T / area, np.nan)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_shrinking_averages_blocks():
    picture = np.arange(16.0).reshape(4, 4)
    small, factor = shrink(picture, 2)
    assert factor == 2
    assert small.tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "f4"])
def test_shrinking_does_not_overflow(dtype):
    top = np.iinfo(dtype).max if dtype != "f4" else 1e30
    small, _ = shrink(np.full((600, 40), top, dtype), 1)
    np.testing.assert_allclose(small, float(np.dtype(dtype).type(top)), rtol=1e-7)


def test_a_spheroid_is_centred():
    y, x = np.mgrid[:300, :400]
    picture = np.full((300, 400), 2000.0)
    picture[np.hypot(y - 170, x - 220) < 50] = 700
    picture[np.hypot(y - 20, x - 20) < 15] = 500
    region = find_spheroid(picture)
    assert region.top + region.side / 2 == pytest.approx(170, abs=5)
    assert region.left + region.side / 2 == pytest.approx(220, abs=5)
    assert region.side == 300  # the scale stays: size tells of growth
    assert find_spheroid(np.full((50, 80), 9.0)) == Region(0, 15, 50)


def test_the_mask_is_a_square_with_round_corners():
    mask = well_mask(100)
    assert mask[50].all()
    assert not mask[0, 0]
    assert mask.mean() == pytest.approx(0.927, abs=0.01)  # 4 Gamma(5/4)^2 / Gamma(3/2) over 4


@pytest.mark.parametrize("number", [3, 4])
def test_neither_light_nor_resolution_moves_a_well(number):
    """What is measured in shares of a well's side hangs on where it is found."""
    well = make_well(1, number * 5, number, 384).image.astype(float)
    picture = np.full((480, 480), float(np.median(well)))
    picture[40:424, 60:444] = well
    plain = find_well(picture)
    slope = np.linspace(0.85, 1.15, 480)
    assert find_well(picture * slope).side == pytest.approx(plain.side, rel=0.01)
    assert find_well(picture * slope[:, None]).side == pytest.approx(plain.side, rel=0.01)
    coarse = picture.reshape(120, 4, 120, 4).mean((1, 3))
    for other, factor in ((coarse, 4), (picture.repeat(2, 0).repeat(2, 1), 0.5)):
        found = find_well(other)
        near(
            type(plain)(found.top * factor, found.left * factor, found.side * factor),
            plain.top,
            plain.left,
            plain.side,
            8,
        )
