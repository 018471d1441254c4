import dask.array as da
import numpy as np
import pytest
import zarr

from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph


def ramp(*shape):
    return np.arange(int(np.prod(shape)), dtype=np.uint16).reshape(shape)


def test_planes_are_found_by_time_channel_and_z():
    array = ramp(2, 3, 4, 5, 6)
    image = Micrograph.from_array(array, axes="TCZYX")
    assert image.sizes == {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 6}
    assert image.shape_yx == (5, 6)
    np.testing.assert_array_equal(image.plane(1, 2, 3), array[1, 2, 3])


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_axes_in_another_order_are_put_right_without_reading(kind, tmp_path):
    array = ramp(5, 6, 3)
    given = array
    if kind == "dask":
        given = da.from_array(array, chunks=2)
    elif kind == "zarr":
        given = zarr.create_array(str(tmp_path / "a.zarr"), data=array, chunks=(5, 6, 1))
    image = Micrograph.from_array(given, axes="yxc")
    assert image.axes == "CYX"
    assert isinstance(image.array, np.ndarray) == (kind == "numpy")
    np.testing.assert_array_equal(np.asarray(image.plane(c=2)), array[..., 2])
    assert kind != "numpy" or np.shares_memory(image.array, array)


def test_a_plane_of_a_zarr_array_stays_lazy(tmp_path):
    stored = zarr.create_array(str(tmp_path / "a.zarr"), data=ramp(3, 8, 8), chunks=(1, 4, 4))
    plane = Micrograph.from_array(stored, axes="ZYX").plane(z=1)
    assert isinstance(plane, da.Array)
    np.testing.assert_array_equal(plane.compute(), ramp(3, 8, 8)[1])


@pytest.mark.parametrize("size", [None, 0, 0.0, -1, np.nan, np.inf, "0.5"])
@pytest.mark.fault("A23")
def test_a_pixel_size_that_is_no_length_is_unknown_and_flagged(size):
    image = Micrograph.from_array(ramp(4, 4), pixel_size_um=size, z_step_um=size)
    assert image.pixel_size_um is None
    assert image.z_step_um is None
    assert image.flags == ("pixel_size_unknown",)


@pytest.mark.parametrize("size", [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5)])
def test_a_pixel_size_of_any_number_type_is_kept(size):
    image = Micrograph.from_array(ramp(4, 4), pixel_size_um=size)
    assert image.pixel_size_um == 0.5
    assert type(image.pixel_size_um) is float
    assert image.flags == ()


def test_naming_the_pixel_size_takes_the_flag_away_and_dropping_it_brings_it_back():
    image = Micrograph.from_array(ramp(4, 4), flags=("unit_unknown",))
    sized = image.with_pixel_size(0.65)
    assert sized.flags == ("unit_unknown",)
    assert sized.pixel_size_um == 0.65
    assert "pixel_size_unknown" in sized.with_pixel_size(None).flags


def test_grey_stored_as_colour_is_grey_and_the_alpha_channel_does_not_count():
    grey = ramp(5, 6)
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], -1)
    image = Micrograph.from_array(rgba, axes="YXS")
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.array, grey)


def test_true_colour_is_refused():
    colour = np.stack([ramp(5, 6), ramp(5, 6), ramp(5, 6) + 1], -1)
    with pytest.raises(InputError, match="colour") as caught:
        Micrograph.from_array(colour, axes="YXS")
    assert caught.value.flag == "colour_image"


@pytest.mark.parametrize("axes", ["YXS", "SYX", "TYXS"])
@pytest.mark.fault("A09")
def test_colour_axes_that_do_not_fit_the_array_are_refused(axes):
    with pytest.raises(InputError, match="name"):
        Micrograph.from_array(ramp(5, 6), axes=axes)


@pytest.mark.parametrize("dtype", [np.complex64, object, "U3", "datetime64[s]"])
@pytest.mark.fault("A12")
def test_pixels_that_are_no_real_numbers_are_refused(dtype):
    with pytest.raises(InputError, match="no real number"):
        Micrograph.from_array(np.zeros((4, 4), dtype))


@pytest.mark.fault("A06")
def test_an_image_without_pixels_is_refused():
    with pytest.raises(InputError, match="no pixels"):
        Micrograph.from_array(np.zeros((0, 4)))


def test_plain_lists_are_images_too():
    assert Micrograph.from_array([[1, 2], [3, 4]]).shape_yx == (2, 2)


@pytest.mark.fault("A16")
def test_channel_names_must_be_as_many_as_channels():
    with pytest.raises(InputError, match="1 channel names were given for 2 channels"):
        Micrograph.from_array(ramp(2, 4, 4), axes="CYX", channel_names=("phase",))


def test_axes_out_of_order_are_refused_where_nothing_puts_them_right():
    with pytest.raises(InputError, match="order TCZYX"):
        Micrograph(ramp(4, 4), "XY")
