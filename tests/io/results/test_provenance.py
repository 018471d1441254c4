import hashlib
import json

import dask.array as da
import numpy as np
import pytest
import tifffile

import vitascope
from vitascope.core.micrograph import Micrograph
from vitascope.io.results import provenance
from vitascope.io.results.provenance import describe_input

ARRAY = np.arange(12, dtype=np.uint16).reshape(3, 4)


def test_a_file_is_told_by_name_and_hash_and_not_by_its_folder(tmp_path):
    tifffile.imwrite(tmp_path / "field.tif", ARRAY)
    found = describe_input("image", vitascope.read_images(str(tmp_path / "field.tif"))[0])
    expected = hashlib.sha256((tmp_path / "field.tif").read_bytes()).hexdigest()
    assert found["files"] == [{"name": "field.tif", "sha256": expected, "hashed": "content"}]
    assert (found["role"], found["name"], found["axes"], found["shape"]) == ("image", "field", "YX", [3, 4])
    assert str(tmp_path) not in json.dumps(found)


def test_an_array_is_told_by_its_pixels_however_they_lie_in_memory():
    expected = hashlib.sha256(ARRAY.tobytes()).hexdigest()
    for given in (ARRAY, np.asfortranarray(ARRAY), ARRAY[::-1][::-1]):
        found = describe_input("image", Micrograph.from_array(given, pixel_size_um=0.5))
        assert found["pixels_sha256"] == expected
        assert found["pixel_size_um"] == 0.5


def test_other_pixels_have_another_hash():
    first, second = (describe_input("image", Micrograph.from_array(a))["pixels_sha256"] for a in (ARRAY, ARRAY + 1))
    assert first != second


def test_lazy_and_huge_arrays_are_not_read_for_a_hash(monkeypatch):
    lazy = Micrograph.from_array(da.from_array(ARRAY))
    assert "pixels_sha256" not in describe_input("image", lazy)
    monkeypatch.setattr(provenance, "MOST_HASHED_BYTES", 3)
    assert "pixels_sha256" not in describe_input("image", Micrograph.from_array(ARRAY))


@pytest.mark.fault("B27")
def test_a_source_that_is_no_file_is_left_out(tmp_path):
    image = Micrograph.from_array(ARRAY, sources=("a layer", str(tmp_path / "gone.tif")))
    found = describe_input("image", image)
    assert "files" not in found
    assert found["pixels_sha256"]
