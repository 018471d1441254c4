import dask.array as da
import numpy as np
import pytest
import zarr

from vitascope.core.errors import InputError
from vitascope.core.progress import run_to_end
from vitascope.ops.intensity.histogram import BINS, bin_index, count_values, histogram, scan_range
from vitascope.ops.tiling.chunks import chunk_slices

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">u2", "i2", "u4", "i8", "u8"])
def test_integers_are_counted_one_by_one(dtype):
    info = np.iinfo(dtype)
    image = RNG.integers(max(info.min, -3000), min(info.max, 40000), (61, 47)).astype(dtype)
    counted = histogram(image, max_pixels=300)
    values, counts = np.unique(image, return_counts=True)
    assert counted.exact
    assert np.array_equal(counted.centres[counted.counts > 0], values.astype(float))
    assert np.array_equal(counted.counts[counted.counts > 0], counts)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_percentiles_of_integers_are_exact(dtype):
    image = RNG.integers(0, np.iinfo(dtype).max, 997).astype(dtype)
    percents = (0, 0.1, 1, 12.5, 50, 99.9, 100)
    assert histogram(image).percentiles(*percents) == pytest.approx(np.percentile(image, percents), rel=1e-12)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_percentiles_of_floats_lie_within_half_a_bin(dtype):
    image = RNG.gamma(2.0, 3.0, (80, 90)).astype(dtype)
    counted = histogram(image)
    percents = (0, 1, 20, 50, 99, 100)
    true = np.percentile(image.astype(float), percents)
    assert np.abs(np.array(counted.percentiles(*percents)) - true).max() <= np.ptp(image.astype(float)) / (2 * BINS)
    assert counted.percentiles(0, 100) == (image.min(), image.max())


def test_floats_are_binned_by_the_stated_rule():
    image = RNG.random(500)
    low, high = image.min(), image.max()
    expected = np.zeros(BINS, int)
    for value in image:
        expected[min(int((value - low) / (high - low) * BINS), BINS - 1)] += 1
    assert np.array_equal(histogram(image).counts, expected)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_chunks_and_storage_do_not_matter(dtype, tmp_path):
    image = (RNG.random((3, 50, 70)) * 5000).astype(dtype)
    stored = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, dtype=dtype, chunks=(1, 16, 32))
    stored[:] = image
    whole = histogram(image, max_pixels=10**9)
    for other in (stored, da.from_array(image, chunks=(2, 33, 17)), image[::-1, :, ::-1][::-1, :, ::-1]):
        counted = histogram(other, max_pixels=777)
        assert np.array_equal(counted.counts, whole.counts)
        assert counted.percentiles(3, 50, 97) == whole.percentiles(3, 50, 97)


def test_pieces_cover_once_and_stay_small():
    lazy = da.zeros((5, 300, 410), chunks=(1, 128, 100), dtype=np.uint8)
    seen = np.zeros(lazy.shape, int)
    for piece in chunk_slices(lazy, max_pixels=20_000):
        seen[piece] += 1
        assert seen[piece].size <= 20_000
    assert (seen == 1).all()


@pytest.mark.fault("A02")
@pytest.mark.fault("A03")
def test_not_finite_pixels_are_counted_and_left_out():
    image = RNG.random((40, 40)).astype(np.float32)
    clean = image.ravel()[5:].copy()
    image.ravel()[:5] = [np.nan, np.nan, np.inf, np.inf, -np.inf]
    counted = histogram(image, max_pixels=100)
    assert (counted.range.nan, counted.range.infinite, counted.range.finite) == (2, 3, 1595)
    assert counted.range.not_finite_fraction == 5 / 1600
    assert np.array_equal(counted.counts, histogram(clean).counts)


@pytest.mark.fault("A01")
def test_all_nan_has_no_percentile():
    counted = histogram(np.full((4, 4), np.nan))
    assert counted.range.finite == 0
    assert counted.counts.size == 0
    with pytest.raises(InputError) as caught:
        counted.percentiles(50)
    assert caught.value.flag == "no_finite_pixels"


@pytest.mark.fault("A04")
@pytest.mark.parametrize("image", [np.full((5, 5), 7, np.uint16), np.full((5, 5), 7.0), np.full((5, 5), 7, np.int64)])
def test_constant(image):
    counted = histogram(image)
    assert counted.range.constant
    assert counted.counts.tolist() == [25]
    assert counted.percentiles(0, 50, 100) == (7, 7, 7)


def test_empty_array_has_nothing():
    counted = histogram(np.zeros((0, 4), np.uint8))
    assert counted.range.pixels == 0
    assert counted.range.not_finite_fraction == 0
    assert not counted.range.constant


def as_stored(kind, values):
    """The same picture as cameras and programs store it: 12 bits in 16, 8 bits, whole floats, floats of 0 to 1."""
    twelve = np.clip(values, 0, 4095)
    return {
        "12 of 16 bit": lambda: twelve.astype(np.uint16),
        "16 bit": lambda: (twelve.astype(np.uint32) * 16).astype(np.uint16),
        "32 bit": lambda: twelve.astype(np.uint32) * 1_000_003,
        "whole floats": lambda: np.round(twelve).astype(np.float32),
        "floats": lambda: np.round(twelve).astype(np.float32) / 4095,
        "odd end": lambda: np.round(twelve).astype(np.uint16) + 17,
    }[kind]()


@pytest.mark.fault("A19")
@pytest.mark.parametrize("kind", ["12 of 16 bit", "16 bit", "32 bit", "whole floats", "floats", "odd end"])
def test_saturation_is_seen_whatever_the_pixels_are_stored_as(kind):
    noise = np.random.default_rng(0).normal(2000, 500, (256, 256))
    assert histogram(as_stored(kind, noise)).saturated_fraction == 0
    bright, dark = histogram(as_stored(kind, noise + 1200)), histogram(as_stored(kind, noise - 1300))
    truth = float((noise + 1200 >= 4094.5).mean()), float((noise - 1300 < 0.5).mean())
    assert bright.saturated_fraction == pytest.approx(truth[0], rel=0.02)
    assert dark.saturated_fraction == pytest.approx(0 if kind == "odd end" else truth[1], rel=0.02)
    assert (bright.at_low, dark.at_high) == (0, 0)


def test_few_grey_values_are_no_saturation():
    levels = np.random.default_rng(0).integers(0, 6, (64, 64))
    assert histogram(levels.astype(np.uint8)).saturated_fraction == 0
    assert histogram(np.zeros((8, 8))).saturated_fraction == 0


@pytest.mark.fault("A14")
def test_wide_integers_are_binned_as_floats():
    image = np.array([[0, 2**63, 2**64 - 1, 5]], np.uint64)
    counted = histogram(image)
    assert not counted.exact
    assert counted.counts.sum() == 4
    assert counted.counts[[0, BINS // 2, BINS - 1]].tolist() == [2, 1, 1]
    assert counted.percentiles(100) == (2.0**64,)


def test_extreme_floats_do_not_overflow():
    counted = histogram(np.array([-1.7e308, 0.0, 1.7e308]))
    assert counted.counts[[0, BINS // 2, BINS - 1]].tolist() == [1, 1, 1]
    assert bin_index(np.array([-9.0, 9.0]), 0.0, 1.0, 4).tolist() == [0, 3]


def test_coarse_merges_neighbours():
    image = RNG.integers(100, 1123, 5000).astype(np.uint16)
    counts, centres = histogram(image).coarse(256)
    low = image.min()
    group = -(-(int(image.max()) - int(low) + 1) // 256)
    assert counts.tolist() == [((image - low) // group == k).sum() for k in range(len(counts))]
    assert centres[0] == low + (group - 1) / 2
    numpy_counts, edges = np.histogram(values := RNG.random(4000), 256)
    counts, centres = histogram(values).coarse(256)
    assert np.array_equal(counts, numpy_counts)
    assert centres == pytest.approx((edges[1:] + edges[:-1]) / 2)


@pytest.mark.parametrize(("dtype", "passes"), [(np.uint16, 1), (np.float32, 2)])
def test_progress_is_monotone_and_complete(dtype, passes):
    seen = []
    run_to_end(count_values(np.ones((100, 10), dtype), max_pixels=100), seen.append)
    assert [p.done for p in seen] == list(range(1, 10 * passes + 1))
    assert {p.total for p in seen} == {10 * passes}


def test_scan_range_agrees_with_numpy():
    image = RNG.normal(size=(33, 21))
    found = run_to_end(scan_range(image, max_pixels=50))
    assert (found.minimum, found.maximum, found.pixels) == (image.min(), image.max(), image.size)
