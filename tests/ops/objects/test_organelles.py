import math

import numpy as np
import pytest
from scipy import ndimage

from vitascope.core.errors import ParameterError
from vitascope.ops.objects.cell_table import CellParts, cell_table, summarise_cells
from vitascope.ops.objects.golgi import (
    LEAST_CONTRAST,
    clip_level,
    count_inside,
    find_golgi,
    level_of_counts,
    take_off_background,
)
from vitascope.ops.objects.mitochondria import find_mitochondria, network_length_px


def disk(shape, centre, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) < radius


SHAPE = (100, 140)


def bodies():
    cells = np.where(disk(SHAPE, (50, 40), 30), 1, 0) + np.where(disk(SHAPE, (50, 125), 30), 2, 0)
    nuclei = np.where(disk(SHAPE, (50, 40), 10), 1, 0) + np.where(disk(SHAPE, (50, 120), 10), 2, 0)
    return cells, nuclei


def test_the_clip_level_is_a_percentile_over_pixels_inside_the_cells_of_all_pictures():
    rng = np.random.default_rng(0)
    pictures = [(rng.random((20, 30)), rng.random((20, 30)) > 0.5) for _ in range(3)]
    pictures[1][0][3, 3] = np.nan
    inside = sorted(v for p, m in pictures for v in p[m] if math.isfinite(v))
    place = 0.9 * (len(inside) - 1)
    below, above = inside[int(place)], inside[int(place) + 1]
    assert clip_level(pictures) == pytest.approx(below + (above - below) * (place - int(place)))
    assert math.isnan(clip_level([(np.ones((3, 3)), np.zeros((3, 3), bool))]))
    with pytest.raises(ParameterError, match="percentile 101"):
        clip_level(pictures, 101)


def test_bright_spots_inside_cells_are_found_and_none_outside():
    cells, _ = bodies()
    picture = 0.2 * (cells > 0) + np.random.default_rng(1).normal(0, 0.005, SHAPE)
    for place in ((50, 55), (50, 105), (10, 10)):  # the last lies in no cell
        picture[disk(SHAPE, place, 4)] += 0.5
    flat = take_off_background(np.clip(picture, 0, 1), 20)
    found = find_golgi(flat, cells > 0, clip_level([(flat, cells > 0)]), 20)
    assert found.spots.max() == 2
    assert found.mask[50, 55]
    assert found.mask[50, 105]
    assert not found.mask[10, 10]


def test_noise_alone_gives_no_spot():
    cells, _ = bodies()
    noise = np.random.default_rng(2).normal(0.2, LEAST_CONTRAST / 4, SHAPE).astype(np.float32)
    level = clip_level([(noise, cells > 0)])
    assert (noise[cells > 0] > level).mean() == pytest.approx(0.1, abs=0.01)  # which is all there is
    assert not find_golgi(noise, cells > 0, level, 20).mask.any()
    assert not find_golgi(noise, cells > 0, float("nan"), 20).mask.any()


def test_the_length_of_a_network_is_that_of_its_lines():
    mask, cells = np.zeros((60, 60), bool), np.zeros((60, 60), int)
    cells[:30], cells[30:] = 1, 2
    mask[10, 5:45] = True  # 39 steps along an edge
    rows = np.arange(35, 55)
    mask[rows, rows - 20] = True  # 19 steps across corners
    np.testing.assert_allclose(network_length_px(mask, cells, 2), [39, 19 * math.sqrt(2)])
    mask[:] = False
    mask[10, 5:15], mask[10:20, 14] = True, True  # a right angle has no short cut
    assert network_length_px(mask, cells, 2)[0] in (18, pytest.approx(16 + math.sqrt(2)))


def test_filaments_are_found_in_cells_and_not_their_haze():
    cells, _ = bodies()
    picture = 0.2 * ndimage.gaussian_filter((cells > 0).astype(float), 4)
    picture[45, 20:60] += 0.5
    picture[5, 20:60] += 0.5  # outside
    found = find_mitochondria(ndimage.gaussian_filter(picture, 0.7), cells > 0, 20)
    assert found[45, 25:55].all()
    assert not found[5].any()
    assert found.mean() < 0.03
    assert not find_mitochondria(np.ones(SHAPE), cells > 0, 20).any()
    assert not find_mitochondria(picture, np.zeros(SHAPE, bool), 20).any()


def test_a_row_for_each_cell_with_its_nucleus_and_organelles_by_counting():
    cells, nuclei = bodies()
    er = disk(SHAPE, (50, 40), 15)
    mito = np.zeros(SHAPE, bool)
    mito[70, 30:50] = True
    golgi = np.where(disk(SHAPE, (50, 56), 3), 1, 0) + np.where(disk(SHAPE, (50, 105), 3), 2, 0)
    stain = np.where(cells == 1, 3.0, 1.0)
    table = cell_table(CellParts(nuclei, cells, er, mito, golgi, {"er": stain}), 0.5)
    assert table["label"].tolist() == [1, 2]
    assert table["parent"].tolist() == [1, 2]
    assert table["at_border"].tolist() == [0, 1]
    first = table.iloc[0]
    assert first["nucleus_area_px"] == (nuclei == 1).sum()
    assert first["nucleus_to_cell_ratio"] == pytest.approx((nuclei == 1).sum() / (cells == 1).sum())
    assert first["er_area_px"] == er.sum()
    assert first["er_area_um2"] == pytest.approx(er.sum() / 4)
    assert first["nucleus_on_er_fraction"] == 1
    assert table["nucleus_on_er_fraction"][1] == 0
    assert table["mito_length_px"].tolist() == [19, 0]
    assert first["mito_length_um"] == pytest.approx(9.5)
    assert table["golgi_spots"].tolist() == [1, 1]
    assert first["golgi_distance_px"] == pytest.approx(56 - 49)  # the edge of a disk of radius 10 around column 40
    assert first["total_er"] == pytest.approx(3 * (cells == 1).sum())
    summary = summarise_cells(table)
    assert (summary["cells"], summary["whole_cells"]) == (2, 1)
    assert summary["median_cell_area_px"] == (cells == 1).sum()


def test_no_cell_is_an_empty_table():
    nothing = np.zeros(SHAPE, int)
    table = cell_table(CellParts(nothing, nothing, nothing > 0, nothing > 0, nothing, {}))
    assert len(table) == 0
    assert {"parent", "at_border", "er_area_px", "mito_length_px", "golgi_spots"} <= set(table)
    assert math.isnan(summarise_cells(table)["median_cell_area_px"])


@pytest.mark.parametrize("seed", range(3))
def test_counted_pixels_give_the_level_of_all_pictures_together(seed):
    rng = np.random.default_rng(seed)
    pictures = [(rng.beta(1, 9, (60, 70)).astype(np.float32), rng.random((60, 70)) < share) for share in (0.1, 0.7)]
    pictures[0][0][5, :] = np.nan
    counts = sum(count_inside(*one) for one in pictures)
    assert level_of_counts(counts) == pytest.approx(clip_level(pictures), abs=1e-3)
    assert level_of_counts(counts, 50) == pytest.approx(clip_level(pictures, 50), abs=1e-3)
    assert np.isnan(level_of_counts(np.zeros_like(counts)))
