"""Tags that change what stored values mean, made by chance; the other way is written out here in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.core.errors import InputError
from vitascope.io.images.tiff import open_tiff

RNG = np.random.default_rng(20)
GREY = np.arange(256, dtype="uint16") * 257
RAMP = np.stack([GREY] * 3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["uint8", "uint16", "uint32", "int8", "int16"]),
    st.sampled_from(["<", ">"]),
    st.sampled_from([None, "zlib"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_white_at_zero_is_turned(tmp_path_factory, dtype, byteorder, compression, lazy, seed):
    """What shows brightest has the greatest value, for every number type, and twice turned is as stored."""
    rng = np.random.default_rng(seed)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    array = rng.integers(low, high, (9, 11), dtype, endpoint=True)
    path = tmp_path_factory.mktemp("white") / "a.tif"
    tifffile.imwrite(path, array, photometric="miniswhite", byteorder=byteorder, compression=compression)
    read = np.asarray(open_tiff(path, eager_bytes=0 if lazy else 2**20).array)
    assert read.dtype == dtype
    expected = np.array([[high + low - int(value) for value in row] for row in array])
    np.testing.assert_array_equal(read.astype(np.int64), expected)


def test_white_at_zero_with_twelve_bits_and_with_one(tmp_path):
    array = RNG.integers(0, 4096, (8, 16), "uint16")
    bits = (array[..., None] >> np.arange(11, -1, -1)) & 1  # the most significant first
    tifffile.imwrite(
        tmp_path / "a.tif", np.packbits(bits.reshape(8, -1), axis=1), photometric="miniswhite", metadata=None
    )
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(16)
        tif.pages[0].tags["BitsPerSample"].overwrite(12)
    np.testing.assert_array_equal(open_tiff(tmp_path / "a.tif").array, 4095 - array)
    bits = RNG.integers(0, 2, (8, 16)).astype(bool)
    tifffile.imwrite(tmp_path / "b.tif", bits, photometric="miniswhite")
    np.testing.assert_array_equal(open_tiff(tmp_path / "b.tif").array, ~bits)


def test_white_at_zero_of_fractions_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RNG.random((8, 8), "float32"), photometric="miniswhite")
    with pytest.raises(InputError, match="zero is white"):
        open_tiff(tmp_path / "a.tif")


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(256)), st.booleans())
def test_grey_tables_are_looked_up(tmp_path_factory, table, lazy):
    path = tmp_path_factory.mktemp("grey") / "a.tif"
    array = RNG.integers(0, 256, (9, 11), "uint8")
    colormap = np.stack([np.array(table, "uint16") * 257] * 3)
    tifffile.imwrite(path, array, photometric="palette", colormap=colormap)
    read = np.asarray(open_tiff(path, eager_bytes=0 if lazy else 2**20).array)
    np.testing.assert_array_equal(read, [[table[value] for value in row] for row in array])


@pytest.mark.parametrize("share", [(0, 1, 0), (1, 1, 0), (1, 0.5, 0.25), (1, 1, 1)])
def test_tables_of_one_hue_leave_the_amounts(tmp_path, share):
    array = RNG.integers(0, 256, (9, 11), "uint8")
    colormap = np.stack([GREY * part for part in share]).astype("uint16")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="palette", colormap=colormap)
    image = open_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, array)
    assert image.flags == ("pixel_size_unknown",)


def test_other_tables_are_colours_and_those_of_imagej_are_flagged(tmp_path):
    array = RNG.integers(0, 256, (9, 11), "uint8")
    colormap = RNG.integers(0, 65536, (3, 256), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="palette", colormap=colormap)
    with pytest.raises(InputError) as caught:
        open_tiff(tmp_path / "a.tif")
    assert caught.value.flag == "colour_image"
    description = "ImageJ=1.53t\nimages=1\n"
    tifffile.imwrite(
        tmp_path / "b.tif", array, photometric="palette", colormap=colormap, description=description, metadata=None
    )
    image = open_tiff(tmp_path / "b.tif")
    np.testing.assert_array_equal(image.array, array)
    assert "palette_ignored" in image.flags


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("ome", [False, True])
def test_sample_formats_keep_their_values(tmp_path, dtype, ome):
    if ome and dtype == "float16":
        pytest.skip("OME has no such type")
    array = (RNG.normal(0, 50, (8, 16))).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, ome=ome, photometric="minisblack")
    read = open_tiff(tmp_path / "a.tif").array
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


def test_a_raw_colour_mosaic_is_no_grey_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RNG.integers(0, 255, (8, 8), "uint8"), photometric="cfa")
    with pytest.raises(InputError, match="colour mosaic"):
        open_tiff(tmp_path / "a.tif")


def test_pixel_size_of_one_side_counts_for_both(tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((8, 8), "uint8"), ome=True, metadata=metadata)
    assert open_tiff(tmp_path / "a.ome.tif").pixel_size_um == 0.65


@pytest.mark.parametrize("axes", ["TZCYX", "ZTYX", "CYX", "TYX", "ZYX", "TCYX"])
@pytest.mark.parametrize("form", ["shaped", "imagej", "ome"])
def test_axes_that_a_writer_tells_are_used(tmp_path, axes, form):
    if form == "imagej" and axes == "ZTYX":
        axes = "TZYX"  # the order that ImageJ has
    array = RNG.integers(0, 255, (*range(2, len(axes)), 8, 9), "uint8")
    options = {"imagej": form == "imagej", "ome": form == "ome", "metadata": {"axes": axes}}
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", **options)
    image = open_tiff(tmp_path / "a.tif")
    assert image.axes == "".join(letter for letter in "TCZYX" if letter in axes)
    np.testing.assert_array_equal(image.array, array.transpose([axes.index(letter) for letter in image.axes]))


@pytest.mark.parametrize(("letter", "words"), [("P", "positions"), ("A", "angles"), ("R", "regions")])
def test_axes_of_another_kind_are_refused_and_may_be_named(tmp_path, letter, words):
    array = RNG.integers(0, 255, (3, 8, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", metadata={"axes": f"{letter}YX"})
    with pytest.raises(InputError, match=f"3 {words}"):
        open_tiff(tmp_path / "a.tif")
    assert open_tiff(tmp_path / "a.tif", "TYX").axes == "TYX"


def test_pixel_sizes_of_other_writers(tmp_path):
    aperio = "Aperio Image Library v11.2.1\r\n46000x32914 [0,0 46000x32914] |AppMag = 20|MPP = 0.4990|Left = 25.7"
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 8), "uint8"), description=aperio, metadata=None)
    assert open_tiff(tmp_path / "a.tif").pixel_size_um == 0.499
    plane = b'{"PixelSizeUm": 0.325, "Channel": "DAPI"}'
    tags = [(51123, 2, len(plane) + 1, plane, True)]
    tifffile.imwrite(tmp_path / "b.tif", np.ones((8, 8), "uint8"), extratags=tags, metadata=None)
    assert open_tiff(tmp_path / "b.tif").pixel_size_um == 0.325


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize(("kind", "channels"), [("unassalpha", 1), ("assocalpha", 1), ("unspecified", 2)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_what_says_how_opaque_grey_is_makes_no_channel(tmp_path, photometric, kind, channels, planar):
    grey = RNG.integers(0, 4000, (6, 8)).astype("uint16")
    both = np.stack([grey, np.full_like(grey, 65535)], -1 if planar == "contig" else 0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, both, photometric=photometric, planarconfig=planar, extrasamples=[kind], metadata=None, rowsperstrip=6
    )
    image = open_tiff(path)
    expected = 65535 - grey if photometric == "miniswhite" else grey
    assert image.sizes["C"] == channels
    np.testing.assert_array_equal(np.asarray(image.array).reshape(channels, 6, 8)[0], expected)
    assert open_tiff(path, axes="YXC" if planar == "contig" else "CYX").sizes["C"] == 2  # as the user says
