import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr

from vitascope.core.errors import OutputError
from vitascope.io.results.temporary_store import PlaneView, TemporaryStore, plane_of


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_small_arrays_lie_in_memory_and_large_ones_in_a_folder():
    room = TemporaryStore(in_memory_bytes=1000)
    small, large = room.zeros("small", (2, 10, 12), np.float32), room.zeros("large", (3, 10, 12), np.float32)
    assert isinstance(small, np.ndarray)
    assert isinstance(large, zarr.Array)
    assert (large.shape, large.dtype, large.chunks) == ((3, 10, 12), np.float32, (1, 10, 12))
    assert not np.asarray(large).any()


def test_chunks_are_no_larger_than_a_thousand_pixels():
    large = TemporaryStore(in_memory_bytes=0).zeros("large", (2, 3000, 500), np.uint8)
    assert large.chunks == (1, 1024, 500)


def test_the_folder_goes_with_the_last_reference(temporary):
    room = TemporaryStore(in_memory_bytes=0)
    room.zeros("a", (4, 4), np.uint8)
    assert len(list(temporary.iterdir())) == 1
    del room
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_without_large_arrays_no_folder_is_made(temporary):
    TemporaryStore().zeros("a", (4, 4), np.uint8)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("in_memory_bytes", [0, 1 << 20])
def test_planes_are_written_through_to_the_array(in_memory_bytes):
    array = TemporaryStore(in_memory_bytes).zeros("a", (2, 3, 20, 30), np.float32)
    plane = plane_of(array, (1, 2))
    assert plane.shape == (20, 30)
    assert plane.dtype == np.float32
    piece = np.arange(6, dtype=np.float32).reshape(2, 3)
    plane[5:7, 10:13] = piece
    expected = np.zeros((2, 3, 20, 30), np.float32)
    expected[1, 2, 5:7, 10:13] = piece
    np.testing.assert_array_equal(np.asarray(array[...]), expected)
    np.testing.assert_array_equal(np.asarray(plane[4:8, 9:14]), expected[1, 2, 4:8, 9:14])


def test_an_array_of_one_plane_is_its_own_plane():
    array = TemporaryStore(0).zeros("a", (4, 4), np.uint8)
    assert plane_of(array, ()) is array
    assert PlaneView(TemporaryStore(0).zeros("b", (2, 40, 50), np.uint8), (1,)).chunks == (40, 50)


@pytest.mark.fault("G14")
def test_no_room_in_the_temporary_folder_is_said_with_what_to_do(monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zarr.create_array", full)
    with pytest.raises(OutputError, match="no room for a large result") as caught:
        TemporaryStore(0).zeros("a", (4, 4), np.uint8)
    assert "TMPDIR" in caught.value.hint


def test_folders_carry_our_name(temporary):
    room = TemporaryStore(0)
    room.zeros("a", (4, 4), np.uint8)
    assert [Path(p).name.startswith("vitascope-") for p in temporary.iterdir()] == [True]
