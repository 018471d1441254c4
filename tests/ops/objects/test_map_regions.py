"""Regions of maps: the same whatever the blocks, whole across borders, measured as scikit-image measures."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops_table

from vitascope.core.progress import run_to_end
from vitascope.ops.objects import map_regions
from vitascope.ops.objects.map_regions import RegionParams, add_regions, find_regions, foreground
from vitascope.ops.objects.mrf import denoise_by_messages


def picture(shape=(150, 170), seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 4).astype(np.float32)


def found(maps, params, shape=None, **kwargs):
    labels = np.zeros(shape or maps[0].shape, np.uint32)
    return labels, run_to_end(find_regions(maps, labels, params, **kwargs))


def test_regions_and_their_numbers_are_those_of_scikit_image():
    total, p = picture(), picture(seed=1)
    labels, table = found([total], RegionParams(0.02, 0.0), pictures={"Big one": p}, pixel_size_um=0.5)
    assert np.array_equal(labels > 0, total > 0.02)
    expected = regionprops_table(labels, p, properties=("label", "area", "centroid", "intensity_mean"))
    assert np.array_equal(table["label"], np.arange(1, labels.max() + 1))
    assert np.array_equal(table["label"], expected["label"])
    assert np.array_equal(table["area_px"], expected["area"])
    assert table["centroid_y_px"].to_numpy() == pytest.approx(expected["centroid-0"])
    assert table["centroid_x_um"].to_numpy() == pytest.approx(expected["centroid-1"] * 0.5)
    assert table["mean_big_one"].to_numpy() == pytest.approx(expected["intensity_mean"])
    assert table["area_um2"].to_numpy() == pytest.approx(expected["area"] * 0.25)
    assert len(np.unique(ndimage.label(total > 0.02)[0])) - 1 == len(table)


def test_labels_are_numbered_by_their_first_pixels():
    labels, table = found([picture()], RegionParams(0.02, 0.0))
    first = [np.flatnonzero(labels == k)[0] for k in table["label"]]
    assert first == sorted(first)


@pytest.mark.parametrize("method", ["cut", "messages"])
def test_blocks_do_not_show(monkeypatch, method):
    maps = [picture(), picture(seed=1)]
    params = RegionParams(0.01, 0.7, method, 20.0)
    whole = found(maps, params, pictures={"a": maps[0]})
    monkeypatch.setattr(map_regions, "BLOCK_PX", 64)
    blocks = found(maps, params, pictures={"a": maps[0]})
    assert np.array_equal(whole[0], blocks[0])
    assert whole[1].equals(blocks[1]) or np.allclose(whole[1], blocks[1])
    assert whole[1]["area_px"].min() >= 20
    assert len(whole[1]) > 3


def test_maps_are_summed_before_the_threshold():
    maps = [np.full((6, 6), 0.3, np.float32), np.full((6, 6), 0.3, np.float32)]
    assert len(found(maps, RegionParams(0.5, 0.0))[1]) == 1
    assert len(found(maps[:1], RegionParams(0.5, 0.0))[1]) == 0


def test_messages_are_the_papers_way():
    total = picture()
    params = RegionParams(0.02, 1.1, "messages")
    assert np.array_equal(foreground(total, params), denoise_by_messages(total > 0.02, 1.1))


def test_several_pictures_go_on_counting():
    tables = []
    first, second = np.zeros((150, 170), np.uint32), np.zeros((150, 170), np.uint32)
    p, q = np.ones((150, 170), np.float32) * 0.2, picture()
    for t, labels in enumerate((first, second)):
        run_to_end(
            add_regions(tables, {"time": t}, [picture(seed=t)], labels, RegionParams(0.02, 0.0), {"a": p, "B": q}, None)
        )
    assert tables[1]["label"].iloc[0] == len(tables[0]) + 1 == second[second > 0].min()
    assert tables[1]["time"].unique().tolist() == [1]
    assert list(tables[0].columns[:2]) == ["label", "time"]
    for _, row in tables[0].iterrows():
        assert row["predicted"] == ("B" if row["mean_b"] > row["mean_a"] else "a")


def test_nothing_above_the_threshold_is_no_region():
    labels, table = found([picture()], RegionParams(1e6), pictures={"a": picture()})
    assert not labels.any()
    assert len(table) == 0
    assert "mean_a" in table
