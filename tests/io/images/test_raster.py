from __future__ import annotations

import io

import dask.array as da
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from vitascope.core.errors import IncompleteError, InputError, ReaderError
from vitascope.io.images.raster import open_raster

GREY = np.random.default_rng(5).integers(0, 256, (23, 31), "uint8")


def saved(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "A.PNG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_pictures_come_back_as_they_were(tmp_path, name, mode):
    image = open_raster(saved(tmp_path / name, GREY, mode))
    np.testing.assert_array_equal(image.array, GREY)
    assert (image.axes, image.pixel_size_um, image.name) == ("YX", None, name[0])


def test_sixteen_bits_and_transparency(tmp_path):
    deep = GREY.astype("uint16") * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    np.testing.assert_array_equal(open_raster(tmp_path / "a.png").array, deep)
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(np.stack([deep] * 3, -1)))
    np.testing.assert_array_equal(open_raster(tmp_path / "b.png").array, deep)
    np.testing.assert_array_equal(open_raster(saved(tmp_path / "c.png", GREY, "LA")).array, GREY)
    np.testing.assert_array_equal(open_raster(saved(tmp_path / "d.png", GREY, "RGBA")).array, GREY)


def test_dots_per_inch_are_no_pixel_size(tmp_path):
    assert open_raster(saved(tmp_path / "a.png", GREY, dpi=(50800, 50800))).pixel_size_um is None


def test_colour_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        open_raster(saved(tmp_path / "a.png", np.stack([GREY, GREY, 255 - GREY], -1)))
    assert caught.value.flag == "colour_image"


def test_jpeg_is_read(tmp_path):
    smooth = np.tile(np.arange(64, dtype="uint8") * 3, (64, 1))
    image = open_raster(saved(tmp_path / "a.jpg", smooth, quality=100))
    assert np.abs(image.array.astype(int) - smooth).max() <= 2


def test_large_picture_stays_in_its_file(tmp_path):
    image = open_raster(saved(tmp_path / "a.png", GREY), eager_bytes=0)
    assert isinstance(image.array, da.Array)
    np.testing.assert_array_equal(image.array[3:9, ::2].compute(), GREY[3:9, ::2])


@pytest.mark.fault("B01")
def test_empty_picture(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ReaderError, match="empty"):
        open_raster(tmp_path / "a.png")


@pytest.mark.fault("B02")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_text_renamed_to_a_picture(tmp_path, name):
    (tmp_path / name).write_text("this is text, and long enough to hold a header")
    with pytest.raises(ReaderError, match=r"no PNG, JPEG or BMP"):
        open_raster(tmp_path / name)


@pytest.mark.fault("B03")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_cut_picture_is_an_error(tmp_path, kind):
    whole = io.BytesIO()
    Image.fromarray(np.kron(GREY, np.ones((8, 8), "uint8"))).save(whole, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    for part in (0.05, 0.3, 0.6, 0.95):
        path.write_bytes(whole.getvalue()[: int(part * whole.tell())])
        with pytest.raises(ReaderError):
            open_raster(path)


@pytest.mark.fault("B06")
def test_declared_size_is_refused_before_decoding(tmp_path):
    data = bytearray(imagecodecs.png_encode(GREY))
    data[16:24] = (2**31 - 1).to_bytes(4, "big") + (2**31 - 1).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ReaderError) as caught:
        open_raster(tmp_path / "bomb.png")
    assert caught.value.flag == "too_large"


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    class Little:
        available = 100

    monkeypatch.setattr("vitascope.io.images.limits.psutil.virtual_memory", Little)
    with pytest.raises(ReaderError) as caught:
        open_raster(saved(tmp_path / "a.png", GREY))
    assert caught.value.flag == "memory"


def test_incomplete_is_told_from_damaged(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(GREY).save(whole, "JPEG")
    (tmp_path / "a.jpg").write_bytes(whole.getvalue()[:-2])
    with pytest.raises(IncompleteError):
        open_raster(tmp_path / "a.jpg")
