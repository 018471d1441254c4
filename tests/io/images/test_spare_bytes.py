"""Bytes behind the last page: counted where nothing tells of them, left alone where their writer needs them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

from vitascope.io.images.tiff import open_tiff
from vitascope.io.images.tiff_validation import count_spare_bytes

PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 64, 48)).astype(np.uint16)

WRITERS = {
    "plain": {},
    "big": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "ome": {"ome": True},
    "imagej": {"imagej": True},
    "tiled": {"tile": (16, 16)},
    "packed": {"compression": "zlib", "rowsperstrip": 7},
    "private tags": {"extratags": [(65000, "s", 0, "x" * 300, True), (65001, "d", 40, tuple(range(40)), True)]},
    "software": {"software": "a long name " * 20, "resolution": (1.0, 1.0)},
}


def write(path, how):
    of_file = {key: how[key] for key in ("bigtiff", "byteorder", "ome", "imagej") if key in how}
    of_page = {key: value for key, value in how.items() if key not in of_file}
    with tifffile.TiffWriter(path, **of_file) as file:
        file.write(PIXELS, photometric="minisblack", **of_page)


@pytest.mark.parametrize("how", WRITERS.values(), ids=list(WRITERS))
def test_a_file_as_written_has_none_and_each_appended_byte_is_counted(tmp_path, how):
    path = tmp_path / "a.tif"
    write(path, how)
    assert count_spare_bytes(path) == 0
    assert "spare_bytes" not in open_tiff(path, axes="ZYX").flags
    if "imagej" in how:
        return
    whole = path.read_bytes()
    for more in (100, 5000):
        path.write_bytes(whole + b"\x07" * more)
        assert more <= count_spare_bytes(path) <= more + 16  # with the writer's own padding
    image = open_tiff(path, axes="ZYX")
    assert "spare_bytes" in image.flags
    assert np.array_equal(image.array, PIXELS)


def test_pyramids_count_their_smaller_pictures(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(PIXELS[0], subifds=2, tile=(16, 16))
        for step in (2, 4):
            file.write(PIXELS[0, ::step, ::step], subfiletype=1, tile=(16, 16))
    assert count_spare_bytes(path) == 0
    path.write_bytes(path.read_bytes() + bytes(64))
    assert 64 <= count_spare_bytes(path) <= 80


def test_planes_behind_one_directory_are_the_image(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, truncate=True, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    assert count_spare_bytes(path) == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_blocks_of_micro_manager_at_the_end_are_its_own(tmp_path, order):
    """Its header goes on with four pairs of a mark and an offset, of index map, display settings and comments."""
    pixels, page, marks = PIXELS[0].astype(f"{order}u2").tobytes(), 64, [54773648, 0, 483765892, 9000, 99384722, 9500]
    tags = [(256, 3, 48), (257, 3, 64), (258, 3, 16), (262, 3, 1), (273, 4, 512), (278, 3, 64), (279, 4, len(pixels))]
    head = struct.pack(f"{order}2sHI6I", b"II" if order == "<" else b"MM", 42, page, *marks)
    entries = b"".join(struct.pack(f"{order}HHI", c, k, 1) + struct.pack(f"{order}{'I' if k == 4 else 'Hxx'}", v)
                       for c, k, v in tags)  # fmt: skip
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    whole = (head.ljust(page, b"\0") + directory).ljust(512, b"\0") + pixels
    path = tmp_path / "mm.tif"
    path.write_bytes(whole + b"comments" * 50)
    assert count_spare_bytes(path) == 0
    assert np.array_equal(open_tiff(path).array, PIXELS[0])
    path.write_bytes(whole.replace(struct.pack(f"{order}I", 54773648), bytes(4)) + b"comments" * 50)
    assert count_spare_bytes(path) == 400


def test_blocks_of_metamorph_are_its_own(tmp_path):
    path = tmp_path / "a.stk"
    tifffile.imwrite(path, PIXELS[0], metadata=None, extratags=[(33628, "I", 1, 5, True)])
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert count_spare_bytes(path) == 0
