"""What is written as OME-Zarr: pyramid, labels, checksums, and the same pixels back."""

from __future__ import annotations

import json
import tracemalloc

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.io.images.ome_zarr import open_zarr, read_attributes
from vitascope.io.images.write import CHUNK_PX, PictureFile, halved, level_shapes, write_ome_zarr

RNG = np.random.default_rng(23)


def mean_by_hand(array):
    """Average of two by two pixels, written out; a last odd row or column counts twice."""
    height, width = array.shape
    out = np.empty((-(-height // 2), -(-width // 2)))
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            rows, columns = (2 * y, min(2 * y + 1, height - 1)), (2 * x, min(2 * x + 1, width - 1))
            out[y, x] = sum(float(array[r, c]) for r in rows for c in columns) / 4
    return out


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"]),
    st.integers(0, 2**32 - 1),
)
def test_halving_is_the_mean_of_two_by_two(height, width, dtype, seed):
    array = np.random.default_rng(seed).integers(0, 250, (height, width)).astype(dtype)
    expected = mean_by_hand(array)
    found = halved(array)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.floor(expected + 0.5) if np.dtype(dtype).kind in "iu" else expected)


def picture(array, axes, dtype="float32", **more):
    return PictureFile(array, axes, dtype, "a", pixel_size_um=0.5, z_step_um=2.0, **more)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("vitascope.io.images.write.CHUNK_PX", 16)


def test_levels_halve_and_say_their_place_in_um(tmp_path, small_chunks):
    array = RNG.normal(size=(2, 3, 50, 33)).astype("float32")
    write_ome_zarr(tmp_path / "a.ome.zarr", picture(array, "CZYX", channel_names=("x", "y")))
    attributes = read_attributes(tmp_path / "a.ome.zarr")
    datasets = attributes["multiscales"][0]["datasets"]
    assert [one["path"] for one in datasets] == ["0", "1", "2"]
    level = array
    for number, dataset in enumerate(datasets):
        stored = zarr.open_array(str(tmp_path / "a.ome.zarr" / dataset["path"]), mode="r")[...]
        np.testing.assert_allclose(stored, level, rtol=1e-5, atol=1e-6)
        steps = dataset["coordinateTransformations"]
        assert steps[0] == {"type": "scale", "scale": [1, 2, 0.5 * 2**number, 0.5 * 2**number]}
        shift = steps[1]["translation"][2:] if number else [0, 0]
        # the middle of the first pixel is the mean of the places it covers
        assert shift == [0.5 * np.mean(range(2**number))] * 2
        level = np.array([[mean_by_hand(plane) for plane in stack] for stack in level])
    windows = [one["window"] for one in attributes["omero"]["channels"]]
    for channel, window in enumerate(windows):
        assert (window["start"], window["end"]) == (array[channel].min(), array[channel].max())
    np.testing.assert_array_equal(open_zarr(tmp_path / "a.ome.zarr").array.compute(), array)


def test_labels_keep_their_numbers_at_every_level(tmp_path, small_chunks):
    labels = RNG.integers(0, 2**31, (40, 50)).astype("uint32")
    write_ome_zarr(tmp_path / "a.ome.zarr", picture(labels, "YX", "uint32"))
    attributes = read_attributes(tmp_path / "a.ome.zarr")
    assert attributes["image-label"] == {"version": "0.5"}
    for number in range(len(attributes["multiscales"][0]["datasets"])):
        stored = zarr.open_array(str(tmp_path / f"a.ome.zarr/{number}"), mode="r")[...]
        np.testing.assert_array_equal(stored, labels[:: 2**number, :: 2**number])


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_flipped_bit_is_noticed(tmp_path_factory, where):
    folder = tmp_path_factory.mktemp("flip")
    write_ome_zarr(folder / "a.ome.zarr", picture(RNG.integers(0, 4000, (30, 40)).astype("uint16"), "YX", "uint16"))
    chunk = folder / "a.ome.zarr/0/c/0/0"
    raw = bytearray(chunk.read_bytes())
    bit = int(where * 8 * len(raw))
    raw[bit // 8] ^= 1 << bit % 8
    chunk.write_bytes(raw)
    image = open_zarr(folder / "a.ome.zarr")
    with pytest.raises(ReaderError):
        image.array.compute()


def test_a_chunk_of_ours_that_is_missing_is_never_taken_for_empty(tmp_path):
    write_ome_zarr(tmp_path / "a.ome.zarr", picture(np.zeros((30, 40), "float32"), "YX"))
    (tmp_path / "a.ome.zarr/0/c/0/0").unlink()
    with pytest.raises(IncompleteError, match="1 of 1 chunks"):
        open_zarr(tmp_path / "a.ome.zarr")


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([2, 3]),
    st.sampled_from([0, 7, 255]),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=9),
    st.sampled_from([None, (8, 8)]),
)
def test_chunks_of_the_fill_value_may_be_left_out(tmp_path_factory, zarr_format, fill, empty, shards):
    """Written as the reference does, any chunks empty: the same pixels come back, and what is not there is counted."""
    folder = tmp_path_factory.mktemp("fill") / "a.zarr"
    array = RNG.integers(1, 7, (12, 12)).astype("uint8")
    for y, x in empty:
        array[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = fill
    options = {"dimension_names": ["y", "x"]} if zarr_format == 3 else {}
    if zarr_format == 3 and shards:
        array = np.pad(array, [(0, 4), (0, 4)], constant_values=fill)
        options["shards"] = shards
    made = zarr.create_array(
        str(folder),
        shape=array.shape,
        chunks=(4, 4),
        dtype="uint8",
        fill_value=fill,
        zarr_format=zarr_format,
        **options,
    )
    made[...] = array
    image = open_zarr(folder)
    np.testing.assert_array_equal(image.array.compute(), array)
    metadata = 1 if zarr_format == 3 else 2
    files = sum(path.is_file() for path in folder.rglob("*")) - metadata
    side = (shards or (4, 4))[0] if "shards" in options else 4
    assert ("empty_chunks" in image.flags) == (files < (-(-array.shape[0] // side)) ** 2)


def test_memory_stays_bounded_while_a_large_picture_is_written(tmp_path):
    """Three times as high takes no more memory; levels are made from what lies on the disk."""
    peaks = []
    for height in (4096, 12288):
        array = da.zeros((height, 4096), chunks=(1024, 4096), dtype="float32") + da.arange(4096, dtype="float32")
        tracemalloc.start()
        try:
            write_ome_zarr(tmp_path / "a.ome.zarr", picture(array, "YX"))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < array.nbytes
    shapes = level_shapes(array.shape)
    assert max(shapes[-1]) <= CHUNK_PX
    last = zarr.open_array(str(tmp_path / f"a.ome.zarr/{len(shapes) - 1}"), mode="r")
    step = 2 ** (len(shapes) - 1)
    np.testing.assert_allclose(last[0, :5], np.arange(5) * step + (step - 1) / 2)


def test_a_damaged_chunk_of_version_04_is_noticed(tmp_path):
    from vitascope.io.images.write import fill_ome_zarr

    fill_ome_zarr(tmp_path / "a.zarr", picture(RNG.normal(size=(30, 40)), "YX", "float64"), version="0.4")
    assert json.loads((tmp_path / "a.zarr/0/.zarray").read_text())["compressor"]["checksum"] is True
    chunk = tmp_path / "a.zarr/0/0/0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    with pytest.raises(ReaderError):
        open_zarr(tmp_path / "a.zarr").array.compute()
