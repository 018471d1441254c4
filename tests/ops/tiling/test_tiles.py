from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.core.errors import ParameterError
from vitascope.ops.tiling.tiles import crop_to, fit_sides, gaussian_window, plan_axis, plan_tiles, reflect_index

LENGTHS = st.integers(1, 300).map(lambda n: 16 * n)


@given(length=LENGTHS, tile=st.integers(14, 60).map(lambda n: 16 * n))
def test_cores_cover_the_axis_once_and_keep_their_distance(length, tile):
    halo = 96
    plan = plan_axis(length, tile, halo, 16)
    edges = [(c0, c1) for _, _, c0, c1 in plan]
    assert edges[0][0] == 0
    assert edges[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(edges))
    for start, stop, low, high in plan:
        assert 0 <= start <= low < high <= stop <= length
        assert start % 16 == low % 16 == 0
        assert start == 0 or low - start >= halo
        assert stop == length or stop - high >= halo
    assert len({stop - start for start, stop, _, _ in plan}) == 1


def test_a_halo_that_leaves_nothing_is_refused_with_the_least_tile():
    with pytest.raises(ParameterError, match="208"):
        plan_axis(1000 * 16, 192, 96, 16)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (17, 17), (100, 40), (2136, 513)])
@pytest.mark.fault("A07")
def test_stitching_the_identity_returns_the_picture(shape):
    picture = np.random.default_rng(0).random(shape)
    out = np.full(shape, np.nan)
    for tile in plan_tiles(shape, 320, 96):
        window = picture[np.ix_(*(reflect_index(w.start, w.stop, n) for w, n in zip(tile.window, shape, strict=True)))]
        where, inside = crop_to(tile, shape)
        out[where] = window[inside]
    np.testing.assert_array_equal(out, picture)


@given(n=st.integers(2, 12), before=st.integers(0, 20), after=st.integers(0, 20))
def test_reflection_is_numpys(n, before, after):
    expected = np.pad(np.arange(n), (before, after), mode="reflect")
    np.testing.assert_array_equal(reflect_index(-before, n + after, n), expected)


def test_gaussian_window_is_the_bell_of_the_formula():
    weights = gaussian_window((9, 5))
    sigma = 0.125 * 9
    assert weights[4, 2] == 1
    assert weights[3, 2] == pytest.approx(np.exp(-0.5 / sigma**2))
    np.testing.assert_allclose(weights, weights[::-1, ::-1])


def test_tiles_of_a_volume_cover_it_once_and_keep_their_halo():
    shape, halo, multiple = (37, 130, 90), (12, 24, 24), (2, 4, 4)
    seen = np.zeros((38, 132, 92), int)
    for tile in plan_tiles(shape, (32, 64, 64), halo, multiple):
        seen[tile.core] += 1
        for window, core, side, h in zip(tile.window, tile.core, seen.shape, halo, strict=True):
            assert window.start == 0 or core.start - window.start >= h
            assert window.stop == side or window.stop - core.stop >= h
    assert (seen == 1).all()


@pytest.mark.parametrize("shape", [(200, 512, 512), (5, 41, 38), (60, 300, 300), (1, 4, 4), (31, 1000, 90)])
def test_windows_fitted_to_a_volume_are_no_larger_and_overlap_less(shape):
    largest, halo, multiple = (96, 192, 192), (12, 24, 24), (2, 4, 4)
    sides = fit_sides(shape, largest, halo, multiple)
    assert np.prod(sides) <= np.prod(largest)
    assert all(side % m == 0 for side, m in zip(sides, multiple, strict=True))
    spans = []
    for taken in (sides, largest):
        tiles = plan_tiles(shape, taken, halo, multiple)
        spans.append(sum(int(np.prod([s.stop - s.start for s in tile.window])) for tile in tiles))
    assert spans[0] <= spans[1]


@pytest.mark.parametrize("shape", [(2136, 2136), (700, 3000), (100, 90), (1024, 1360), (20000, 1)])
def test_windows_fitted_to_a_picture_cover_it_with_least_work(shape):
    """Against every rectangle of sides on the grid, by the plan itself."""
    largest, halo, multiple = (640, 640), (96, 96), (16, 16)

    def work(sides):
        tiles = plan_tiles(shape, sides, halo, multiple)
        return sum((t.window[0].stop - t.window[0].start) * (t.window[1].stop - t.window[1].start) for t in tiles)

    fitted = fit_sides(shape, largest, halo, multiple)
    assert np.prod(fitted) <= np.prod(largest)
    possible = [s for s in product(range(208, 2000, 64), repeat=2) if np.prod(s) <= np.prod(largest)]
    assert work(fitted) <= min(work(s) for s in possible)


def test_of_all_windows_the_fitted_ones_overlap_least():
    """Against every box of even sides, tried one by one."""
    shape, largest, halo = (20, 30, 40), (16, 16, 16), (2, 2, 2)

    def work(sides):
        tiles = plan_tiles(shape, sides, halo, 2)
        return sum(int(np.prod([s.stop - s.start for s in tile.window])) for tile in tiles)

    boxes = [b for b in product(range(6, 42, 2), repeat=3) if np.prod(b) <= np.prod(largest)]
    assert work(fit_sides(shape, largest, halo, (2, 2, 2))) == min(work(box) for box in boxes)
