from __future__ import annotations

import hashlib

import numpy as np
import pytest
import zarr

from vitascope.core.errors import ReaderError
from vitascope.io.results.hashing import sha256_of


def test_files_are_hashed_byte_by_byte(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(range(256)) * 9000)
    (record,) = sha256_of([path])
    assert record == {"name": "a.tif", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "hashed": "content"}


def test_zarr_folders_by_metadata_and_sizes(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.save_array(str(path), np.arange(64, dtype="uint8").reshape(8, 8) + 1)
    (before,) = sha256_of([path])
    assert before["hashed"] == "metadata and chunk sizes"
    assert sha256_of([path])[0] == before
    chunk = path / "c/0/0"
    data = chunk.read_bytes()
    chunk.write_bytes(data + b"x")
    assert sha256_of([path])[0]["sha256"] != before["sha256"]
    chunk.write_bytes(data)
    assert sha256_of([path])[0] == before
    metadata = path / "zarr.json"
    metadata.write_text(metadata.read_text().replace("uint8", "int8 "))
    assert sha256_of([path])[0]["sha256"] != before["sha256"]


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ReaderError, match="gone"):
        sha256_of([tmp_path / "no.tif"])
