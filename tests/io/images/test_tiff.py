from __future__ import annotations

import contextlib
import gc
import pickle
import struct

import dask.array as da
import numpy as np
import pytest
import tifffile

from vitascope.core.errors import AxesUnknownError, IncompleteError, InputError, ReaderError
from vitascope.io.images.tiff import open_tiff

RNG = np.random.default_rng(3)
PLANE = RNG.integers(0, 4000, (48, 64), "uint16")
STACK = RNG.integers(0, 4000, (7, 48, 64), "uint16")


def write(path, array, **options):
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, array, **options)
    return path


def write_ome(path, array, axes, **metadata):
    return write(path, array, ome=True, metadata={"axes": axes, **metadata})


def test_pages_without_a_meaning_are_asked_about(tmp_path):
    path = write(tmp_path / "a.tif", STACK)
    with pytest.raises(AxesUnknownError) as caught:
        open_tiff(path)
    assert caught.value.readings == ("ZYX", "TYX", "CYX")
    assert "--axes" in caught.value.hint
    for axes in caught.value.readings:
        image = open_tiff(path, axes)
        assert (image.axes, image.pixel_size_um) == (axes, None)
        np.testing.assert_array_equal(image.array, STACK)


@pytest.mark.parametrize("shape", [(3, 7, 48, 64), (2, 3, 7, 48, 64), (1, 7, 48, 64)])
def test_more_dimensions_are_asked_about_and_every_reading_opens(tmp_path, shape):
    path = write(tmp_path / "a.tif", RNG.integers(0, 255, shape, "uint8"))
    with pytest.raises(AxesUnknownError) as caught:
        open_tiff(path)
    for axes in caught.value.readings:
        assert open_tiff(path, axes).array.size == np.prod(shape)


@pytest.mark.parametrize("shape", [(48, 64), (1, 48, 64), (1, 1, 48, 64)])
def test_single_planes_never_ask(tmp_path, shape):
    array = RNG.integers(0, 255, shape, "uint8")
    image = open_tiff(write(tmp_path / "a.tif", array), axes=None)
    np.testing.assert_array_equal(np.asarray(image.array).reshape(48, 64), array.reshape(48, 64))


def test_user_axes_override(tmp_path):
    image = open_tiff(write(tmp_path / "a.tif", STACK), axes="CYX")
    assert image.axes == "CYX"
    with pytest.raises(InputError):
        open_tiff(tmp_path / "a.tif", axes="TCYX")


def test_ome_tells_sizes_names_and_axes(tmp_path):
    array = RNG.integers(0, 255, (2, 3, 4, 20, 30), "uint16")
    path = write_ome(
        tmp_path / "a.ome.tif", array, "TCZYX", PhysicalSizeX=325, PhysicalSizeXUnit="nm", PhysicalSizeY=0.000325,
        PhysicalSizeYUnit="mm", PhysicalSizeZ=2, PhysicalSizeZUnit="µm", Channel={"Name": ["phase", "µ-板", "<&>"]},
    )  # fmt: skip
    image = open_tiff(path)
    assert (image.axes, image.channel_names, image.flags) == ("TCZYX", ("phase", "µ-板", "<&>"), ())
    assert (image.pixel_size_um, image.z_step_um) == (pytest.approx(0.325, rel=1e-9), 2)
    np.testing.assert_array_equal(image.array, array)


def test_ome_axes_in_another_order_come_back_as_tczyx(tmp_path):
    array = RNG.integers(0, 255, (4, 3, 20, 30), "uint16")
    image = open_tiff(write_ome(tmp_path / "a.ome.tif", array, "ZCYX"))
    assert image.axes == "CZYX"
    np.testing.assert_array_equal(image.array, array.transpose(1, 0, 2, 3))


def test_a_single_channel_keeps_its_name(tmp_path):
    image = open_tiff(write_ome(tmp_path / "a.ome.tif", PLANE[None], "CYX", Channel={"Name": ["phase"]}))
    assert (image.axes, image.channel_names) == ("YX", ("phase",))


@pytest.mark.fault("A24")
def test_ome_unit_that_is_no_length(tmp_path):
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "pixel" for a in "XY"}
    image = open_tiff(write_ome(tmp_path / "a.ome.tif", PLANE, "YX", **sizes))
    assert image.pixel_size_um is None
    assert set(image.flags) == {"unit_unknown", "pixel_size_unknown"}


@pytest.mark.fault("A23")
@pytest.mark.parametrize("size", [0, -1, float("nan"), "inf"])
def test_ome_size_that_cannot_be_one(tmp_path, size):
    image = open_tiff(write_ome(tmp_path / "a.ome.tif", PLANE, "YX", PhysicalSizeX=size, PhysicalSizeY=size))
    assert (image.pixel_size_um, image.flags) == (None, ("pixel_size_unknown",))


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 0.25), ("\\u00B5m", 0.25), ("um", 0.25), ("nm", 0.00025), ("pixel", None), ("", None)],
)
def test_imagej_units(tmp_path, unit, um):
    metadata = {"axes": "ZYX", "spacing": 1.5} | ({"unit": unit} if unit else {})
    path = write(tmp_path / "a.tif", STACK, imagej=True, resolution=(4, 4), metadata=metadata, resolutionunit=1)
    image = open_tiff(path)
    assert image.pixel_size_um == (None if um is None else pytest.approx(um))
    assert image.z_step_um == (None if um is None else pytest.approx(1.5 * um / 0.25))


def test_imagej_hyperstack(tmp_path):
    array = RNG.integers(0, 255, (2, 3, 4, 20, 30), "uint16")
    path = write(tmp_path / "a.tif", array.transpose(0, 2, 1, 3, 4), imagej=True, metadata={"axes": "TZCYX"})
    image = open_tiff(path)
    assert image.axes == "TCZYX"
    np.testing.assert_array_equal(image.array, array)


@pytest.mark.parametrize(
    ("density", "unit", "um"),
    [
        (20000, 3, 0.5),
        (50800, 2, 0.5),
        (72, 2, None),
        (300, 2, None),
        (118.11, 3, None),
        (1, 1, None),
        (10**8, 3, None),
    ],
)
def test_resolution_tags_count_only_where_plausible(tmp_path, density, unit, um):
    path = write(tmp_path / "a.tif", PLANE, resolution=(density, density), resolutionunit=unit)
    assert open_tiff(path).pixel_size_um == (None if um is None else pytest.approx(um, rel=1e-6))


def test_resolution_tags_that_are_not_square_are_flagged(tmp_path):
    image = open_tiff(write(tmp_path / "a.tif", PLANE, resolution=(20000, 30000), resolutionunit=3))
    assert (image.pixel_size_um, image.flags) == (None, ("pixels_not_square", "pixel_size_unknown"))


def test_metamorph_description(tmp_path):
    props = {"calibration-state": "on", "calibration-x": "1.3622", "calibration-y": "1.3622", "calibration-units": "um"}
    lines = "".join(f'<prop id="spatial-{key}" type="x" value="{value}"/>' for key, value in props.items())
    path = write(tmp_path / "a.tif", PLANE, description=f"<MetaData><PlaneInfo>{lines}</PlaneInfo></MetaData>")
    assert open_tiff(path).pixel_size_um == 1.3622


def test_colour_with_equal_channels_is_grey_and_other_colour_is_refused(tmp_path):
    grey = (PLANE // 16).astype("uint8")
    same = np.stack([grey] * 3, -1)
    np.testing.assert_array_equal(open_tiff(write(tmp_path / "a.tif", same, photometric="rgb")).array, grey)
    same[0, 0, 0] ^= 1
    with pytest.raises(InputError) as caught:
        open_tiff(write(tmp_path / "b.tif", same, photometric="rgb"))
    assert caught.value.flag == "colour_image"


def test_samples_that_are_no_colour_are_channels(tmp_path):
    array = RNG.integers(0, 255, (5, 48, 64), "uint8")
    image = open_tiff(write(tmp_path / "a.tif", array, planarconfig="separate"))
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.array, array)


@pytest.mark.fault("A11")
def test_byte_order_of_the_file_does_not_matter(tmp_path):
    np.testing.assert_array_equal(open_tiff(write(tmp_path / "a.tif", PLANE, byteorder=">")).array, PLANE)


def test_previews_are_left_out_and_two_images_of_one_size_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(PLANE[::4, ::4], photometric="minisblack")
        tif.write(PLANE, photometric="minisblack")
    np.testing.assert_array_equal(open_tiff(tmp_path / "a.tif").array, PLANE)
    with tifffile.TiffWriter(tmp_path / "b.ome.tif", ome=True) as tif:
        tif.write(PLANE, photometric="minisblack", metadata={"axes": "YX"})
        tif.write(PLANE, photometric="minisblack", metadata={"axes": "YX"})
    with pytest.raises(ReaderError, match="2 images"):
        open_tiff(tmp_path / "b.ome.tif")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"tile": (16, 32), "compression": "zlib"},
        {"compression": "lzw", "rowsperstrip": 5},
        {"bigtiff": True, "compression": "zstd"},
    ],
)
def test_lazy_reading_equals_eager_reading(tmp_path, options):
    path = write(tmp_path / "a.tif", STACK, **options)
    image = open_tiff(path, "ZYX", eager_bytes=0)
    assert isinstance(image.array, da.Array)
    np.testing.assert_array_equal(image.array.compute(), STACK)
    np.testing.assert_array_equal(image.array[2:5:2, 3:40:7, ::-1].compute(), STACK[2:5:2, 3:40:7, ::-1])
    np.testing.assert_array_equal(np.asarray(image.plane(z=6)[10:11]), STACK[6, 10:11])
    again = pickle.loads(pickle.dumps(image.array))  # noqa: S301, what a worker in another process gets
    np.testing.assert_array_equal(again[3].compute(), STACK[3])


def test_lazy_ome_reads_planes_in_their_order(tmp_path):
    array = RNG.integers(0, 255, (2, 3, 4, 20, 30), "uint16")
    path = write(tmp_path / "a.ome.tif", array, ome=True, compression="zlib", metadata={"axes": "TZCYX"})
    image = open_tiff(path, eager_bytes=0)
    np.testing.assert_array_equal(image.array.compute(), array.transpose(0, 2, 1, 3, 4))


def test_no_handle_stays_open(tmp_path):
    path = write(tmp_path / "a.tif", STACK)
    lazy = open_tiff(path, "ZYX", eager_bytes=0)
    lazy.array.sum().compute()
    open_tiff(path, "ZYX")
    (tmp_path / "bad.tif").write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReaderError):
        open_tiff(tmp_path / "bad.tif")
    gc.collect()  # an open file would warn here, and warnings are errors


@pytest.mark.fault("B01")
def test_empty_file(tmp_path):
    (tmp_path / "a.tif").touch()
    with pytest.raises(ReaderError, match="empty"):
        open_tiff(tmp_path / "a.tif")


@pytest.mark.fault("B02")
def test_text_renamed(tmp_path):
    (tmp_path / "a.tif").write_text("well;dose\nA1;0,5\n")
    with pytest.raises(ReaderError, match="no TIFF"):
        open_tiff(tmp_path / "a.tif")


FORMS = {
    "plain": {},
    "tiled": {"tile": (16, 16), "compression": "zlib"},
    "bigtiff": {"bigtiff": True, "compression": "lzw"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
}


@pytest.mark.fault("B03")
@pytest.mark.parametrize("form", FORMS)
def test_cut_file_is_never_taken_for_whole(tmp_path, form):
    data = write(tmp_path / "a.tif", STACK, **FORMS[form]).read_bytes()
    cut = tmp_path / "cut.tif"
    for length in np.random.default_rng(11).integers(0, len(data) - 1, 20):
        cut.write_bytes(data[:length])
        with pytest.raises(ReaderError):
            open_tiff(cut)


@pytest.mark.fault("B04")
def test_damaged_headers_give_readable_errors_only(tmp_path):
    rng = np.random.default_rng(4)
    sources = [write(tmp_path / f"{form}.tif", STACK, **FORMS[form]).read_bytes() for form in FORMS]
    path = tmp_path / "fuzz.tif"
    for i in range(400):
        data = bytearray(sources[i % len(sources)])
        for _ in range(rng.integers(1, 6)):
            data[int(rng.integers(4, 600))] = int(rng.integers(0, 256))
        path.write_bytes(data)
        with contextlib.suppress(ReaderError, InputError):  # any other exception fails the test
            np.asarray(open_tiff(path).array)


def patched(data, tag, value):
    """Set the value of a 32-bit tag in the first page of a little-endian TIFF."""
    (position,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, position)
    for entry in range(position + 2, position + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
            return data
    raise AssertionError(f"no tag {tag}")


@pytest.mark.fault("B06")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_declared_size_is_refused_before_anything_is_allocated(tmp_path, compression):
    data = bytearray(write(tmp_path / "a.tif", PLANE.astype("uint8"), compression=compression).read_bytes())
    path = tmp_path / "bomb.tif"
    path.write_bytes(patched(patched(data, 257, 14_090_304), 278, 14_090_304))
    with pytest.raises(ReaderError) as caught:
        open_tiff(path)
    assert "14090304" in caught.value.message
    path.write_bytes(patched(patched(data, 257, 2**31), 256, 2**31))
    with pytest.raises(ReaderError) as caught:
        open_tiff(path)
    assert caught.value.flag == "too_large"


@pytest.mark.fault("B07")
def test_pages_in_a_circle(tmp_path):
    data = bytearray(write(tmp_path / "a.tif", PLANE).read_bytes())
    (position,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, position)
    struct.pack_into("<I", data, position + 2 + 12 * count, position)
    (tmp_path / "circle.tif").write_bytes(data)
    with pytest.raises(ReaderError, match="circle"):
        open_tiff(tmp_path / "circle.tif")


@pytest.mark.fault("B08")
def test_unknown_compression_is_named(tmp_path):
    data = bytearray(write(tmp_path / "a.tif", PLANE).read_bytes())
    (tmp_path / "codec.tif").write_bytes(patched(data, 259, 65001))
    with pytest.raises(ReaderError, match="65001"):
        open_tiff(tmp_path / "codec.tif")


def with_xml(path, change):
    """Rewrite a single-image OME-TIFF with changed OME-XML."""
    with tifffile.TiffFile(path) as tif:
        xml, array = tif.ome_metadata, tif.asarray()
    tifffile.imwrite(path, array, photometric="minisblack", description=change(xml).encode(), metadata=None)
    return path


@pytest.mark.fault("B09")
def test_ome_that_promises_more_than_there_is(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", STACK[:2], "CYX")
    with_xml(path, lambda xml: xml.replace('SizeC="2"', 'SizeC="3"').replace('PlaneCount="2"', 'PlaneCount="3"'))
    with pytest.raises(IncompleteError, match="1 of 3 planes"):
        open_tiff(path)


@pytest.mark.fault("B11")
def test_entities_in_xml_are_not_followed(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("0.5")
    path = write_ome(tmp_path / "a.ome.tif", PLANE, "YX", PhysicalSizeX=0.5, PhysicalSizeY=0.5)
    entity = f'<!DOCTYPE x [<!ENTITY size SYSTEM "{secret.as_uri()}">]>'
    with_xml(path, lambda xml: xml.replace("<OME", entity + "<OME").replace('Name="Image0"', 'Name="&size;"'))
    with pytest.raises(ReaderError, match="entities"):
        open_tiff(path)


@pytest.mark.fault("B12")
def test_entities_that_grow_are_refused(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", PLANE, "YX")
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "ha"}">' for i in range(12))
    with_xml(path, lambda xml: xml.replace("<OME", f"<!DOCTYPE x [{laughs}]><OME").replace("Image0", "&a11;"))
    with pytest.raises(ReaderError):
        open_tiff(path)


def test_broken_xml_is_an_error(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", PLANE, "YX")
    with_xml(path, lambda xml: xml.replace("</Pixels>", ""))
    with pytest.raises(ReaderError, match="broken"):
        open_tiff(path)


def test_other_files_named_in_xml_are_not_opened(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", STACK[:2], "ZYX", PhysicalSizeX=0.5, PhysicalSizeY=0.5)
    other = '<TiffData IFD="0" FirstZ="1"><UUID FileName="../b.ome.tif">urn:uuid:1</UUID></TiffData>'
    with_xml(path, lambda xml: xml.replace("</Pixels>", other + "</Pixels>"))
    write_ome(tmp_path.parent / "b.ome.tif", STACK[5], "YX")
    image = open_tiff(path)
    np.testing.assert_array_equal(image.array, STACK[:2])
    assert (image.axes, image.pixel_size_um) == ("ZYX", 0.5)


@pytest.mark.fault("B27")
def test_file_that_vanishes_and_comes_back(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", PLANE)
    away = path.rename(tmp_path / "away.tif")
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            away.rename(path)

    monkeypatch.setattr("vitascope.io.filenames.expand.time.sleep", nap)
    np.testing.assert_array_equal(open_tiff(path).array, PLANE)
    assert len(naps) == 2
    path.unlink()
    with pytest.raises(ReaderError, match="gone"):
        open_tiff(path)
    assert len(naps) == 5


def test_lazy_image_whose_file_has_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.io.filenames.expand.time.sleep", lambda _: None)
    path = write(tmp_path / "a.tif", STACK)
    array = open_tiff(path, "ZYX", eager_bytes=0).array
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IncompleteError, match="cut off"):
        array.compute()
    path.unlink()
    with pytest.raises(ReaderError, match="gone"):
        array.compute()


def test_more_dimensions_than_five(tmp_path):
    write(tmp_path / "a.tif", RNG.integers(0, 9, (2, 2, 2, 2, 8, 9), "uint8"))
    with pytest.raises(InputError) as caught:
        open_tiff(tmp_path / "a.tif")
    assert caught.value.flag == "wrong_dimensions"


@pytest.mark.fault("A12")
def test_complex_pixels_are_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        open_tiff(write(tmp_path / "a.tif", PLANE.astype("complex64")))
    assert caught.value.flag == "wrong_dtype"


@pytest.mark.parametrize(
    ("unit", "place"), [("mm", (-2000.0, 500.0)), ("µm", (-2.0, 0.5)), ("reference frame", None), (None, None)]
)
def test_where_the_stage_stood(tmp_path, unit, place):
    units = {} if unit is None else {"PositionXUnit": unit, "PositionYUnit": unit}
    plane = {"PositionX": 0.5, "PositionY": -2.0, **units}
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    image = open_tiff(write_ome(tmp_path / "a.ome.tif", PLANE, "YX", Plane=plane, **sizes))
    assert image.stage_um == place
    height, width = PLANE.shape
    assert image.stage_rectangle_um == (None if place is None else (*place, height / 2, width / 2))
    assert open_tiff(write(tmp_path / "b.tif", PLANE)).stage_um is None
