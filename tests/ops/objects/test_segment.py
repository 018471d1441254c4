import math

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import ndimage
from skimage.filters import threshold_local, threshold_minimum
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_holes

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.progress import run_to_end
from vitascope.ops.objects.measure import empty_table, measure_objects
from vitascope.ops.objects.segment import SegmentParams, segment, segment_blocks
from vitascope.ops.objects.split import _summits, fill_holes, split_touching


def field(shape, diameter, seed, noise=0.02, crowd=0.6, per_px=1.3):
    """Draw ellipses of uneven brightness, many of them touching, blurred, on a rising background."""
    rng = np.random.default_rng(seed)
    reach = int(diameter)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    picture = np.zeros((shape[0] + 2 * reach, shape[1] + 2 * reach), np.float32)
    places = []
    for _ in range(int(per_px * shape[0] * shape[1] / diameter**2 / 2)):
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        if places and rng.random() < crowd:
            angle, apart = rng.uniform(0, 2 * math.pi), diameter * rng.uniform(0.75, 1.1)
            near = places[rng.integers(len(places))]
            cy, cx = near[0] + apart * math.sin(angle), near[1] + apart * math.cos(angle)
        if not (0 <= cy < shape[0] and 0 <= cx < shape[1]):
            continue
        places.append((cy, cx))
        stretch, turn = 1 + rng.random(), rng.uniform(0, math.pi)
        u, v = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
        inside = u**2 / stretch + v**2 * stretch < (diameter / 2 * rng.normal(1, 0.1)) ** 2
        part = picture[int(cy) : int(cy) + 2 * reach + 1, int(cx) : int(cx) + 2 * reach + 1]
        part[inside] = np.maximum(part[inside], rng.uniform(0.3, 0.9))
    picture = ndimage.gaussian_filter(picture, 0.06 * diameter)[reach:-reach, reach:-reach]
    picture = picture + np.linspace(0.02, 0.12, shape[1], dtype=np.float32)
    return np.clip(picture + noise * rng.standard_normal(shape, np.float32), 0, 1)


def same_masks(a, b):
    """Tell whether two label pictures hold the same objects under other names."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(a)) == len(np.unique(b))


def by_place(table):
    columns = [c for c in table.columns if c != "label"]
    return table[columns].sort_values(["centroid_y_px", "centroid_x_px"]).reset_index(drop=True)


# --- Algorithm 2 against the whole picture ---


def algorithm_2(picture, threshold, params):
    """The thesis's steps on the whole picture with scikit-image alone."""
    mask = picture > threshold
    edge = np.pad(mask, 1)
    filled = remove_small_holes(edge, max_size=int(params.nucleus_px2 / 4), connectivity=1)[1:-1, 1:-1]
    nuclei = [
        r
        for r in regionprops(label(filled, connectivity=1))
        if params.min_area <= r.area / params.nucleus_px2 <= params.max_area
        and max(r.bbox[2] - r.bbox[0], r.bbox[3] - r.bbox[1]) <= params.max_length * params.nucleus_px
    ]
    return {tuple(r.coords[0]): r.area for r in nuclei}


@pytest.mark.parametrize("method", ["local", "minimum"])
def test_masks_are_those_of_the_thesis_steps(method):
    picture = field((150, 170), 12, 0)
    params = SegmentParams(
        threshold=method, diameter_px=12, split=False, smoothing_diameters=0, min_solidity=0, min_contrast=0
    )
    found = segment(picture, params)
    threshold = (
        threshold_local(picture, params.block_px, "gaussian") if method == "local" else threshold_minimum(picture)
    )
    expected = algorithm_2(picture, threshold, params)
    firsts = {tuple(np.argwhere(found.labels == n)[0]): (found.labels == n).sum() for n in found.table["label"]}
    assert firsts == expected
    assert len(expected) > 10


def test_solidity_filter_leaves_out_what_is_not_convex():
    picture = field((150, 170), 12, 1)
    every = segment(picture, SegmentParams(diameter_px=12, split=False, min_solidity=0)).table
    round_ones = segment(picture, SegmentParams(diameter_px=12, split=False, min_solidity=0.9)).table
    pd.testing.assert_frame_equal(
        round_ones.drop(columns="label"),
        every[every["solidity"] >= 0.9].drop(columns="label").reset_index(drop=True),
    )
    assert 0 < len(round_ones) < len(every)


@pytest.mark.parametrize("method", ["local", "minimum", "iterative", "mixture", "mixture_regions"])
def test_every_threshold_finds_clear_disks(method):
    y, x = np.mgrid[:200, :200]
    truth = ((y % 40 - 20) ** 2 + (x % 40 - 20) ** 2 < 64).astype(np.float32)
    picture = 0.1 + 0.7 * ndimage.gaussian_filter(truth, 1) + np.random.default_rng(0).normal(0, 0.01, (200, 200))
    found = segment(picture, SegmentParams(threshold=method, diameter_px=16))
    assert len(found.table) == 25
    assert found.table["centroid_y_px"].to_numpy() == pytest.approx(np.repeat(np.arange(20, 200, 40), 5), abs=0.3)
    assert found.flags == ()
    assert (found.threshold is None) == (method in ("local", "mixture_regions"))


# --- blocks ---


@pytest.mark.parametrize(("method", "seed"), [("local", 0), ("local", 1), ("iterative", 2), ("mixture_regions", 3)])
def test_blocks_change_nothing(method, seed):
    picture = field((330, 290), 9, seed)
    params = SegmentParams(threshold=method, diameter_px=9)
    one = run_to_end(segment_blocks(picture, params, pictures={"dna": picture}, block_px=1000))
    assert len(one.table) > 100
    for block_px in (61, 150):
        many = run_to_end(segment_blocks(picture, params, pictures={"dna": picture}, block_px=block_px))
        assert same_masks(one.labels, many.labels)
        pd.testing.assert_frame_equal(by_place(one.table), by_place(many.table), check_exact=True)
        borders = many.labels[block_px - 1] * (many.labels[block_px - 1] == many.labels[block_px])
        assert np.any(borders), "no object lies across a border: the test shows nothing"


def test_ties_are_broken_alike_in_all_blocks():
    y, x = np.mgrid[:260, :240]
    waist = np.minimum((y % 26 - 6) ** 2, (y % 26 - 18) ** 2) + (x % 24 - 12) ** 2 < 42
    params = SegmentParams(diameter_px=13, smoothing_diameters=0)
    one = run_to_end(segment_blocks(waist.astype(np.float32), params, block_px=300))
    assert len(one.table) == 200
    for block_px in (50, 77):
        many = run_to_end(segment_blocks(waist.astype(np.float32), params, block_px=block_px))
        assert same_masks(one.labels, many.labels)


def test_an_object_over_a_corner_is_written_once_and_whole():
    y, x = np.mgrid[:128, :128]
    picture = ((y - 64) ** 2 + (x - 63) ** 2 < 100).astype(np.float32)
    found = run_to_end(segment_blocks(picture, SegmentParams(diameter_px=20), block_px=64))
    alone = run_to_end(segment_blocks(picture, SegmentParams(diameter_px=20), block_px=128))
    assert np.array_equal(found.labels, alone.labels)
    assert found.table["area_px"].tolist() == [(found.labels == 1).sum()]


def test_labels_and_table_fit_each_other():
    picture = field((300, 260), 10, 3)
    found = run_to_end(segment_blocks(picture, SegmentParams(diameter_px=10), pictures={"dna": picture}, block_px=100))
    count = len(found.table)
    assert found.labels.dtype == np.uint32
    assert found.table["label"].tolist() == list(range(1, count + 1))
    assert np.unique(found.labels).tolist() == list(range(count + 1))
    expected = measure_objects(found.labels, {"dna": picture})
    pd.testing.assert_frame_equal(found.table, expected, rtol=1e-12)


def test_labels_count_block_by_block():
    picture = field((200, 220), 10, 4)
    found = run_to_end(segment_blocks(picture, SegmentParams(diameter_px=10), block_px=70))
    block = [
        (int(y + 0.5) // 70, int(x + 0.5) // 70)
        for y, x in zip(found.table["centroid_y_px"], found.table["centroid_x_px"], strict=True)
    ]
    assert block == sorted(block)


def test_zarr_in_and_out_equals_numpy(tmp_path):
    picture = field((210, 190), 10, 5)
    stored = zarr.create_array(tmp_path / "p.zarr", shape=picture.shape, dtype="f4", chunks=(64, 64))
    stored[:] = picture
    labels = zarr.create_array(tmp_path / "l.zarr", shape=picture.shape, dtype="u4", chunks=(50, 64))
    params = SegmentParams(diameter_px=10)
    lazy = run_to_end(segment_blocks(stored, params, pictures={"a": stored}, labels=labels, block_px=80))
    plain = run_to_end(segment_blocks(picture, params, pictures={"a": picture}, block_px=80))
    delayed = run_to_end(segment_blocks(da.from_array(picture, chunks=50), params, pictures={"a": stored}, block_px=80))
    assert lazy.labels is labels
    assert np.array_equal(labels[:], plain.labels)
    assert np.array_equal(delayed.labels, plain.labels)
    pd.testing.assert_frame_equal(lazy.table, plain.table, check_exact=True)


def test_the_picture_is_not_written_to():
    picture = field((60, 60), 10, 6)
    picture[0, 0] = np.nan
    picture.flags.writeable = False
    before = picture.copy()
    segment(picture, SegmentParams(diameter_px=10))
    assert np.array_equal(picture, before, equal_nan=True)


def test_progress_counts_blocks():
    seen = []
    run_to_end(segment_blocks(field((100, 100), 10, 7), SegmentParams(diameter_px=10), block_px=50), seen.append)
    blocks = [p for p in seen if p.stage == "Finding nuclei"]
    assert [(p.done, p.total) for p in blocks] == [(1, 4), (2, 4), (3, 4), (4, 4)]


# --- what is easily got wrong ---


def test_empty_background_gives_nothing():
    picture = 0.05 + np.random.default_rng(0).normal(0, 0.02, (300, 300))
    assert len(segment(picture, SegmentParams(diameter_px=20)).table) == 0
    assert len(segment(picture, SegmentParams(diameter_px=20, min_contrast=0, smoothing_diameters=0.1)).table) > 0


def test_touching_disks_are_split():
    y, x = np.mgrid[:60, :120]
    centres = [(30, 20), (30, 39), (30, 85)]
    picture = np.max([(y - cy) ** 2 + (x - cx) ** 2 < 100 for cy, cx in centres], axis=0).astype(np.float32)
    found = segment(picture, SegmentParams(diameter_px=20)).table
    assert sorted(found["centroid_x_px"]) == pytest.approx([20, 39, 85], abs=1)
    clumped = segment(picture, SegmentParams(diameter_px=20, split=False, min_solidity=0)).table
    assert sorted(clumped["centroid_x_px"]) == pytest.approx([29.5, 85], abs=1)


def test_overlapping_disks_are_split_by_brightness():
    y, x = np.mgrid[:60, :60]
    picture = np.exp(-((y - 30) ** 2 + (x - 19) ** 2) / 50) + np.exp(-((y - 30) ** 2 + (x - 41) ** 2) / 50)
    mask = (np.abs(y - 30) < 10) & (np.abs(x - 30) < 21)
    pieces = split_touching(mask, picture, 20, 60)
    assert len(np.unique(pieces[mask])) == 2
    assert pieces[30, 19] != pieces[30, 41]
    assert np.array_equal(pieces > 0, mask)


def test_summits_are_the_highest_within_the_radius():
    height = np.round(np.random.default_rng(0).random((30, 41)), 2)
    height[5:15, 5:15] = -np.inf
    expected = []
    for y in range(30):
        for x in range(41):
            near = [
                height[b, a]
                for b in range(max(0, y - 4), min(30, y + 5))
                for a in range(max(0, x - 4), min(41, x + 5))
                if (b - y) ** 2 + (a - x) ** 2 <= 16
            ]
            if height[y, x] > -np.inf and height[y, x] == max(near):
                expected.append((y, x))
    assert list(zip(*_summits(height, 4), strict=True)) == expected


def test_a_convex_nucleus_stays_whole():
    y, x = np.mgrid[:80, :80]
    ellipse = ((y - 40) / 8) ** 2 + ((x - 40) / 18) ** 2 < 1
    spots = 0.5 + 0.5 * np.random.default_rng(0).random((80, 80))
    assert split_touching(ellipse, spots, 24, 72).max() == 1


def test_holes_are_filled_up_to_a_size_and_away_from_the_edge():
    mask = np.ones((20, 20), bool)
    mask[3:5, 3:5] = mask[10:14, 10:14] = False
    mask[0, 8] = mask[19, 19] = False
    filled = fill_holes(mask, 4)
    expected = mask.copy()
    expected[3:5, 3:5] = True
    assert np.array_equal(filled, expected)
    assert np.array_equal(fill_holes(mask, 16), fill_holes(mask, 100))
    assert np.array_equal(fill_holes(mask, 1000) | ~mask, ndimage.binary_fill_holes(mask) | ~mask)


@pytest.mark.fault("A02")
@pytest.mark.fault("A03")
def test_what_is_not_finite_is_background():
    picture = field((120, 120), 12, 8)
    holed = picture.copy()
    holed[:, 60:66] = np.nan
    holed[5, 5] = np.inf
    found = segment(holed, SegmentParams(diameter_px=12))
    assert found.flags == ("nan_masked",)
    assert not found.labels[~np.isfinite(holed)].any()
    whole = segment(picture, SegmentParams(diameter_px=12))
    far = np.s_[:, 100:]
    assert np.array_equal(found.labels[far] > 0, whole.labels[far] > 0)
    blocks = run_to_end(segment_blocks(holed, SegmentParams(diameter_px=12), block_px=40))
    assert same_masks(found.labels, blocks.labels)


METHODS = ["local", "minimum", "iterative", "mixture", "mixture_regions"]


@pytest.mark.fault("E09")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("picture", "flags"),
    [
        pytest.param(np.full((9, 9), 0.7), ("constant", "no_objects"), marks=pytest.mark.fault("A04")),
        pytest.param(np.full((9, 9), np.nan), ("no_finite_pixels", "no_objects"), marks=pytest.mark.fault("A01")),
        pytest.param(np.array([[0.5]]), ("constant", "no_objects"), marks=pytest.mark.fault("A07")),
        pytest.param(np.arange(9.0).reshape(3, 3) / 100, ("no_objects",), marks=pytest.mark.fault("A07")),
        pytest.param(np.linspace(0, 0.09, 513)[:, None], ("no_objects",), marks=pytest.mark.fault("A08")),
        pytest.param(np.linspace(0, 0.09, 70)[None], ("no_objects",), marks=pytest.mark.fault("A08")),
    ],
)
def test_nothing_to_find(picture, flags, method):
    found = segment(picture, SegmentParams(threshold=method, diameter_px=8))
    assert found.flags == flags
    assert found.labels.shape == picture.shape
    assert not found.labels.any()
    pd.testing.assert_frame_equal(found.table, empty_table())


@pytest.mark.fault("E09")
def test_more_objects_than_16_bits_hold():
    picture = np.zeros((1040, 1040), np.float32)
    picture[1::4, 1::4] = picture[2::4, 1::4] = picture[1::4, 2::4] = picture[2::4, 2::4] = 1
    params = SegmentParams(threshold="iterative", diameter_px=2.5, smoothing_diameters=0)
    found = run_to_end(segment_blocks(picture, params, block_px=512))
    assert len(found.table) == 260**2 > 65535
    assert found.labels.max() == 260**2
    assert (found.table["area_px"] == 4).all()


@pytest.mark.parametrize("shape", [(4, 4, 4), (5,)])
def test_only_planes(shape):
    with pytest.raises(InputError) as caught:
        segment(np.zeros(shape))
    assert caught.value.flag == "wrong_dimensions"


@pytest.mark.fault("A06")
def test_no_pixels_are_refused():
    with pytest.raises(InputError) as caught:
        segment(np.zeros((0, 32)))
    assert caught.value.flag == "empty_image"


def test_pictures_of_another_shape_are_refused():
    with pytest.raises(InputError, match="dna"):
        run_to_end(segment_blocks(np.zeros((4, 4)), pictures={"dna": np.zeros((4, 5))}))


def test_the_block_follows_the_diameter():
    assert SegmentParams().block_px == 111
    assert SegmentParams(block_diameters=5).block_px == 111
    assert SegmentParams(diameter_px=21).block_px == 77
    assert all(SegmentParams(diameter_px=d).block_px % 2 == 1 for d in np.linspace(2.1, 60, 200))


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": "otsu"},
        {"diameter_px": 2.0},
        {"diameter_px": math.nan},
        {"block_diameters": 0},
        {"min_area": 3, "max_area": 2},
        {"min_solidity": 1.1},
        {"min_contrast": -0.1},
        {"max_length": math.inf},
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError) as caught:
        SegmentParams(**wrong)
    assert caught.value.hint
    with pytest.raises(ParameterError):
        run_to_end(segment_blocks(np.zeros((4, 4)), block_px=0))
