import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Layer

from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.gui.layers.add import image_layers
from vitascope.gui.layers.snapshot import (
    OWN,
    checksum,
    guess_axes,
    is_result,
    layer_scale,
    possible_axes,
    remember,
    snapshot_layers,
)


def layer(shape=(30, 40), **kwargs):
    return Image(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape), **kwargs)


@pytest.mark.parametrize(
    ("unit", "factor", "um"),
    [("um", 0.65, 0.65), ("nm", 325, 0.325), ("mm", 0.00065, 0.65), ("inch", 1e-4, 2.54), ("pixel", 0.65, None)],
)
def test_a_pixel_size_in_any_length_becomes_micrometres(unit, factor, um):
    found = layer_scale(layer(scale=(factor, factor), units=(unit, unit)), "YX")
    assert found.pixel_size_um == um
    assert found.flags == ()


@pytest.mark.fault("A24")
def test_a_unit_that_is_no_length_is_flagged():
    found = layer_scale(layer(scale=(0.5, 0.5), units=("second", "second")), "YX")
    assert found.pixel_size_um is None
    assert found.flags == ("unit_unknown",)


@pytest.mark.fault("A24")
def test_mixed_pixels_and_micrometres_give_no_size():
    assert layer_scale(layer(scale=(0.5, 0.5), units=("pixel", "um")), "YX").pixel_size_um is None


@pytest.mark.fault("A23")
@pytest.mark.parametrize(
    ("y", "x", "um", "flags"),
    [
        (0.5, 0.504, 0.5, ()),
        (0.5, 0.52, None, ("pixels_not_square",)),
        (-0.5, 0.5, 0.5, ()),
    ],
)
def test_pixels_that_are_not_square_have_no_size_and_mirrored_ones_do(y, x, um, flags):
    found = layer_scale(layer(scale=(y, x), units=("um", "um")), "YX")
    assert (found.pixel_size_um, found.flags) == (um, flags)


def test_what_the_user_said_counts_before_the_layer():
    one = layer(scale=(0.5, 0.5), units=("um", "um"))
    remember(one, pixel_size_um=0.7)
    assert layer_scale(one, "YX").pixel_size_um == 0.7
    remember(one, pixel_size_um=None)
    assert layer_scale(one, "YX").pixel_size_um is None


def test_the_z_step_is_read_too():
    assert layer_scale(layer((3, 30, 40), scale=(2, 0.5, 0.5), units=("um",) * 3), "ZYX").z_step_um == 2


@pytest.mark.parametrize(
    ("shape", "labels", "axes"),
    [
        ((30, 40), None, "YX"),
        ((3, 30, 40), None, "ZYX"),
        ((3, 30, 40), ("t", "y", "x"), "TYX"),
        ((2, 3, 30, 40), ("z", "t", "y", "x"), "ZTYX"),
        ((2, 3, 30, 40), ("a", "b", "y", "x"), "CZYX"),
        ((2, 2, 3, 30, 40), None, "TCZYX"),
    ],
)
def test_axes_are_read_from_labels_else_guessed_from_their_number(shape, labels, axes):
    assert guess_axes(layer(shape, axis_labels=labels)) == axes


def test_the_axes_the_user_chose_are_kept():
    one = layer((3, 30, 40), axis_labels=("z", "y", "x"))
    remember(one, axes="TYX")
    assert guess_axes(one) == "TYX"


@pytest.mark.fault("A09")
def test_six_dimensions_are_refused_in_a_sentence():
    with pytest.raises(InputError, match="6 dimensions"):
        guess_axes(layer((1, 1, 1, 1, 4, 4)))


@pytest.mark.parametrize("ndim", [2, 3, 4, 5])
def test_every_way_to_read_an_array_names_each_axis_once(ndim):
    for axes in possible_axes(ndim):
        assert len(set(axes)) == len(axes) == ndim
        assert axes.endswith("YX")
        assert set(axes) <= set("TCZYX")


@pytest.mark.fault("A27")
def test_the_full_resolution_of_a_pyramid_is_taken():
    full = np.random.default_rng(0).random((64, 64))
    one = Image([full, full[::2, ::2]], multiscale=True)
    np.testing.assert_array_equal(snapshot_layers([one]).micrograph().array, full)


def test_a_grey_picture_stored_in_colour_is_grey_and_a_coloured_one_is_refused():
    grey = np.repeat(np.arange(100, dtype=np.uint8).reshape(10, 10, 1), 3, axis=2)
    np.testing.assert_array_equal(snapshot_layers([Image(grey, rgb=True)]).micrograph().array, grey[..., 0])
    grey[0, 0, 1] += 1
    with pytest.raises(InputError, match="colour"):
        snapshot_layers([Image(grey, rgb=True)]).micrograph()


@pytest.mark.parametrize(("stacked", "axes"), [("Z", "ZYX"), ("C", "CYX")])
def test_several_layers_are_planes_or_channels_of_one_image(stacked, axes):
    layers = [layer(name="a"), layer(name="b")]
    image = snapshot_layers(layers, None, stacked).micrograph()
    assert image.axes == axes
    np.testing.assert_array_equal(image.array, np.stack([one.data for one in layers]))
    assert image.channel_names == (("a", "b") if stacked == "C" else ())


def test_layers_of_two_shapes_are_refused():
    with pytest.raises(InputError, match="shape"):
        snapshot_layers([layer(), layer((31, 40))], None, "Z").micrograph()


def test_stored_layers_are_stacked_without_being_read():
    layers = [Image(da.zeros((2000, 2000), chunks=500)) for _ in range(2)]
    assert isinstance(snapshot_layers(layers, None, "Z").micrograph().array, da.Array)


def opened(**kwargs):
    array = np.random.default_rng(0).integers(0, 1000, (2, 16, 16), np.uint16)
    image = Micrograph.from_array(
        array, axes="CYX", channel_names=("phase", "DAPI"), name="field", sources=("/data/field.tif",), **kwargs
    )
    return [Layer.create(*one) for one in image_layers(image)]


def test_a_layer_remembers_its_files_until_its_pixels_change():
    _, dapi = opened(pixel_size_um=0.5)
    snapshot = snapshot_layers([dapi])
    image = snapshot.micrograph()
    assert (image.sources, image.name, image.channel_names) == (("/data/field.tif",), "field", ("DAPI",))
    assert (snapshot.channel, image.pixel_size_um) == (1, 0.5)
    dapi.data[0, 0] += 1
    assert snapshot_layers([dapi]).micrograph().sources == ()


@pytest.mark.fault("H03")
def test_a_snapshot_outlives_what_happens_to_its_layer():
    one = layer(scale=(0.5, 0.5), units=("um", "um"), name="before")
    snapshot = snapshot_layers([one])
    before = one.data
    one.data, one.name, one.scale = np.zeros((5, 5)), "after", (9, 9)
    image = snapshot.micrograph()
    np.testing.assert_array_equal(image.array, before)
    assert (image.name, image.pixel_size_um, snapshot.frame.name) == ("before", 0.5, "before")


def test_checksums_tell_arrays_apart_whatever_their_layout():
    array = np.arange(12, dtype=">u2").reshape(3, 4)
    assert checksum(array) == checksum(np.asfortranarray(array)) != checksum(array + 1)
    assert checksum(array[:0]) == 0
    assert checksum(da.zeros(3)) is None


def test_only_what_a_run_made_is_a_result():
    assert is_result(layer(metadata={"provenance": {}}))
    assert not is_result(layer(metadata={OWN: {}}))
