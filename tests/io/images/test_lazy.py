from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.io.images import lazy
from vitascope.io.images.lazy import BLOCK_BYTES, MAX_BLOCKS, FileArray, block_shape, iter_bands

TRUTH = np.arange(4 * 30 * 41).reshape(4, 30, 41)


class Kept(FileArray):
    def read(self, key):
        assert all(isinstance(part, slice) and part.step in (None, 1) for part in key)
        return TRUTH[key]


SLICES = st.builds(
    slice, *(st.none() | st.integers(-50, 50) for _ in range(2)), st.sampled_from([None, 1, 2, 3, -1, -4])
)


@settings(max_examples=200, deadline=None)
@given(st.tuples(SLICES | st.integers(-4, 3), SLICES, SLICES | st.integers(-41, 40)))
def test_every_index_equals_numpy(tmp_path_factory, key):
    array = Kept(tmp_path_factory.getbasetemp(), TRUTH.shape, TRUTH.dtype)
    np.testing.assert_array_equal(array[key], TRUTH[key])


def test_lists_and_ellipsis_free_dask_indexing(tmp_path):
    array = Kept(tmp_path, TRUTH.shape, TRUTH.dtype).to_dask((1, 8, 41))
    np.testing.assert_array_equal(array[[2, 0], 4:, ::3].compute(), TRUTH[[2, 0], 4:, ::3])


@pytest.mark.parametrize(
    ("shape", "chunks", "dtype"),
    [
        ((20000, 20000), (512, 512), "uint16"),
        ((20000, 20000), (64, 64), "float32"),
        ((9, 20000, 20000), (1, 1, 20000), "uint8"),
        ((100, 7, 2048, 2048), (1, 1, 2048, 2048), "uint16"),
        ((10**6, 64, 64), (1, 64, 64), "uint8"),
        ((5, 7), (5, 7), "uint8"),
    ],
)
def test_blocks_are_whole_chunks_worth_a_task(shape, chunks, dtype):
    block = block_shape(shape, chunks, dtype)
    assert all(b % c == 0 or b == s for b, c, s in zip(block, chunks, shape, strict=True))
    assert math.prod(-(-s // b) for s, b in zip(shape, block, strict=True)) <= MAX_BLOCKS
    nbytes = math.prod(block) * np.dtype(dtype).itemsize
    assert nbytes <= max(BLOCK_BYTES, math.prod(chunks) * np.dtype(dtype).itemsize)


@pytest.mark.parametrize("wrap", [np.asarray, lambda a: da.from_array(a, chunks=(1, 7, 9)), None])
def test_bands_cover_the_array_once_in_order(tmp_path, monkeypatch, wrap):
    monkeypatch.setattr(lazy, "BAND_BYTES", 41 * 8 * 9)
    if wrap is None:
        array = zarr.create_array(str(tmp_path / "a.zarr"), shape=TRUTH.shape, chunks=(1, 10, 10), dtype=TRUTH.dtype)
        array[...] = TRUTH
    else:
        array = wrap(TRUTH)
    out = np.full(TRUTH.shape, np.nan, "float32")
    heights = []
    for index, start, band in iter_bands(array, "float32", 4):
        assert np.isnan(out[(*index, slice(start, start + len(band)))]).all()
        out[(*index, slice(start, start + len(band)))] = band
        heights.append(len(band))
    np.testing.assert_array_equal(out, TRUTH)
    assert set(heights) == {8, 6}
