import numpy as np
import pytest
from napari.layers import Image, Labels

from vitascope.gui.layers.frame import Frame


def add(frame, array, axes, kind=Image):
    data, place = frame.place(array, axes)
    return kind(data, **place)


def world(layer, *point):
    return np.asarray(layer.data_to_world(point))


@pytest.mark.fault("A26")
def test_a_turned_sheared_moved_layer_and_its_result_lie_on_each_other():
    layer = Image(
        np.zeros((30, 40)),
        scale=(0.5, 0.25),
        translate=(7, -3),
        rotate=30,
        shear=[0.2],
        affine=np.array([[0.9, 0.1, 5], [-0.1, 1.1, 2], [0, 0, 1]]),
        units=("um", "um"),
        axis_labels=("y", "x"),
    )
    result = add(Frame.of_layer(layer, "YX"), np.zeros((30, 40), np.uint32), "YX", Labels)
    for point in ((0, 0), (29, 39), (12.5, 3)):
        np.testing.assert_allclose(world(result, *point), world(layer, *point), atol=1e-9)
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels


def test_a_leading_axis_that_the_result_lacks_is_left_out():
    layer = Image(np.zeros((7, 30, 40)), scale=(2, 0.5, 0.5), translate=(9, 1, 2), units=("um",) * 3)
    result = add(Frame.of_layer(layer, "ZYX"), np.zeros((30, 40)), "YX")
    assert result.ndim == 2
    np.testing.assert_allclose(world(result, 4, 5), world(layer, 0, 4, 5)[1:])


def test_an_inner_axis_that_the_result_lacks_shows_at_every_position():
    layer = Image(np.zeros((2, 5, 30, 40)), scale=(1, 2, 0.5, 0.5), translate=(0, 10, 0, 0))
    result = add(Frame.of_layer(layer, "TZYX"), np.zeros((2, 30, 40)), "TYX")
    assert result.data.shape == (2, 1, 30, 40)
    # from the near edge of the first plane to the far edge of the last one
    assert world(result, 0, -0.5, 0, 0)[1] == world(layer, 0, -0.5, 0, 0)[1] == 9
    assert world(result, 0, 0.5, 0, 0)[1] == world(layer, 0, 4.5, 0, 0)[1] == 19
    np.testing.assert_allclose(world(result, 1, 0, 4, 5)[[0, 2, 3]], world(layer, 1, 0, 4, 5)[[0, 2, 3]])


def test_a_result_follows_the_order_of_the_layers_axes():
    layer = Image(np.zeros((5, 2, 30, 40)), scale=(3, 1, 0.5, 0.5))
    array = np.arange(2 * 5 * 30 * 40).reshape(2, 5, 30, 40)
    result = add(Frame.of_layer(layer, "ZTYX"), array, "TZYX")
    np.testing.assert_array_equal(result.data, array.swapaxes(0, 1))
    assert tuple(result.scale) == (3, 1, 0.5, 0.5)


def test_an_axis_that_the_layer_lacks_comes_first():
    layer = Image(np.zeros((30, 40)), scale=(0.5, 0.5), translate=(1, 2), units=("um", "um"))
    result = add(Frame.of_layer(layer, "YX"), np.zeros((3, 30, 40)), "ZYX")
    assert tuple(result.scale) == (1, 0.5, 0.5)
    np.testing.assert_allclose(world(result, 2, 4, 5), (2, *world(layer, 4, 5)))
    assert [str(u) for u in result.units] == ["pixel", "micrometer", "micrometer"]


def test_the_frame_is_a_snapshot():
    layer = Image(np.zeros((30, 40)), scale=(0.5, 0.5), name="before")
    frame = Frame.of_layer(layer, "YX")
    layer.scale, layer.translate, layer.name = (9, 9), (9, 9), "after"
    result = add(frame, np.zeros((30, 40)), "YX")
    assert (frame.name, tuple(result.scale), tuple(result.translate)) == ("before", (0.5, 0.5), (0, 0))


def test_stored_arrays_stay_lazy(tmp_path):
    import zarr

    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(4, 64, 64), chunks=(1, 64, 64), dtype="f4")
    layer = Image(np.zeros((4, 64, 64)))
    placed, _ = Frame.of_layer(layer, "TYX").place(array, "TYX")
    assert type(placed).__module__.startswith("dask")


def test_a_frame_of_a_file_has_its_scale_and_units():
    frame = Frame.of_scale("a", "ZYX", (3, 4, 5), {"Y": 0.65, "X": 0.65, "Z": None})
    layer = add(frame, np.zeros((3, 4, 5)), "ZYX")
    assert tuple(layer.scale) == (1, 0.65, 0.65)
    assert [str(u) for u in layer.units] == ["pixel", "micrometer", "micrometer"]
    assert layer.axis_labels == ("z", "y", "x")
