from dataclasses import replace
from itertools import pairwise

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Labels, Layer

from vitascope.core.micrograph import Micrograph
from vitascope.core.result import ImageOutput, LabelsOutput, Provenance, Result
from vitascope.gui.layers.add import (
    COARSEST_PX,
    PYRAMID_PIXELS,
    add_result,
    image_layers,
    label_features,
    pyramid,
    sampled_limits,
)
from vitascope.gui.layers.frame import Frame

PROVENANCE = Provenance(
    task="stain",
    model="a-model",
    model_sha256="0" * 64,
    params={"gain": 2},
    device="cpu",
    precision="f32",
    inputs=[],
    versions={},
    started="2026-01-01T00:00:00+00:00",
    seconds=1.0,
)


def made(outputs, provenance=PROVENANCE):
    return Result(
        tuple(outputs),
        ({"objects": 2},),
        "nuclei",
        Micrograph(np.zeros((4, 4)), "YX").place,
        "a",
        provenance=provenance,
    )


def stains(shape=(2, 8, 9)):
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    return ImageOutput("prediction", "predicted", array, "CYX", ("MAP2", "NFH"), "share", (0.1, 0.8), "magma")


def nuclei(shape=(8, 9)):
    labels = np.zeros(shape, np.uint32)
    labels[1:3, 1:3], labels[5:7, 5:8] = 1, 2
    return LabelsOutput(
        "labels", "nuclei", labels, "YX", pd.DataFrame({"label": [1, 2], "area_px": [4, 6], "area_um2": [1.0, 1.5]})
    )


@pytest.fixture
def frame():
    layer = Image(np.zeros((3, 8, 9)), scale=(2, 0.5, 0.5), translate=(0, 4, 5), units=("um",) * 3, name="field")
    return Frame.of_layer(layer, "ZYX")


def test_a_result_becomes_one_layer_a_channel_with_labels_on_top(viewer, frame):
    output, labels = stains(), nuclei()
    layers = add_result(viewer, made([output, labels]), frame)
    assert [type(one) for one in viewer.layers] == [Image, Image, Labels]
    assert [one.name for one in layers] == [
        "predicted MAP2 · field",
        "predicted NFH · field",
        "nuclei · field",
    ]
    for k, layer in enumerate(layers[:2]):
        np.testing.assert_array_equal(layer.data, output.array[k])
        assert tuple(layer.contrast_limits) == (0.1, 0.8)
        assert layer.colormap.name == "magma, clear at 0"
    for layer in layers:
        assert tuple(layer.scale) == (0.5, 0.5)
        assert tuple(layer.translate) == (4, 5)
        assert [str(u) for u in layer.units] == ["micrometer"] * 2
        assert layer.metadata["provenance"] == PROVENANCE.model_dump(mode="json")


@pytest.mark.fault("H13")
def test_a_second_result_replaces_nothing(viewer, frame):
    first = add_result(viewer, made([nuclei()]), frame)[0]
    first.data[0, 0] = 7
    second = add_result(viewer, made([nuclei()]), frame)[0]
    assert first in viewer.layers
    assert first.data[0, 0] == 7
    assert second.name == "nuclei · field [1]"
    assert second.data[0, 0] == 0


def test_row_k_of_the_features_belongs_to_label_k(viewer, frame):
    layer = add_result(viewer, made([nuclei()]), frame)[0]
    features = layer.features
    assert features["label"].tolist() == [0, 1, 2]
    assert np.isnan(features["area_px"][0])
    assert features["area_px"][1:].tolist() == [4, 6]


def test_a_label_without_measurements_keeps_its_row():
    features = label_features(pd.DataFrame({"label": [1, 3], "area_px": [4.0, 6.0]}))
    assert features["label"].tolist() == [0, 1, 2, 3]
    assert features["area_px"].isna().tolist() == [True, False, True, False]
    assert features["area_px"][3] == 6


def test_no_objects_leave_the_row_of_the_background():
    assert label_features(pd.DataFrame({"label": np.zeros(0, int), "area_px": np.zeros(0)}))["label"].tolist() == [0]


def test_the_cards_colour_of_a_channel_counts_before_the_results(viewer, frame, fake_card):
    provenance = PROVENANCE.model_copy(update={"task": "fake", "model": fake_card.id})
    output = replace(stains(), channel_names=("MAP2", "DNA"))
    layers = add_result(viewer, made([output], provenance), frame)
    assert [one.colormap.name for one in layers] == ["magma, clear at 0", "bop blue, clear at 0"]


def test_series_of_planes_are_laid_out_plane_by_plane(viewer):
    layer = Image(np.zeros((3, 8, 9)), name="stack")
    array = np.random.default_rng(0).random((3, 8, 9)).astype(np.float32)
    output = ImageOutput("prediction", "predicted", array, "ZYX", ("DNA",))
    shown = add_result(viewer, made([output]), Frame.of_layer(layer, "ZYX"))[0]
    np.testing.assert_array_equal(shown.data, array)


@pytest.mark.fault("A28")
def test_a_huge_stored_image_is_shown_in_levels_of_which_the_coarsest_is_small():
    huge = da.zeros((100_000, 100_000), chunks=4096, dtype=np.uint16)
    ((data, look, _),) = image_layers(Micrograph(huge, "YX"))
    assert data[0] is huge or data[0].shape == huge.shape
    assert max(data[-1].shape) <= COARSEST_PX
    assert look["contrast_limits"] == (0.0, 1.0)
    for fine, coarse in pairwise(data):
        assert coarse.shape == tuple(-(-n // 4) for n in fine.shape)


def test_levels_hold_every_fourth_pixel(monkeypatch):
    monkeypatch.setattr("vitascope.gui.layers.add.PYRAMID_PIXELS", 64)
    monkeypatch.setattr("vitascope.gui.layers.add.COARSEST_PX", 8)
    array = np.random.default_rng(0).random((20, 30))
    levels = pyramid(da.from_array(array, chunks=10))
    np.testing.assert_array_equal(levels[1], array[::4, ::4])
    assert len(levels) == 2


def test_images_in_memory_and_small_ones_keep_one_level():
    array = np.zeros((4, 4))
    assert pyramid(array) is array
    small = da.zeros((100, 100))
    assert pyramid(small) is small
    assert PYRAMID_PIXELS > 100 * 100


def test_limits_of_a_stored_image_come_from_its_middle():
    array = np.zeros((3, 2000, 2000), np.float32)
    array[1, 1000, 1000], array[1, 1000, 1001], array[0, 0, 0] = 5, -2, 99
    assert sampled_limits(da.from_array(array)) == (-2, 5)
    assert sampled_limits(da.full((10, 10), np.nan)) == (0, 1)


def test_channels_of_a_file_become_layers_with_names_scale_and_looks():
    array = np.random.default_rng(0).integers(0, 99, (3, 8, 9), np.uint16)
    image = Micrograph.from_array(
        array,
        axes="CYX",
        channel_names=("phase", "DAPI", "MAP2"),
        pixel_size_um=0.65,
        name="field",
        flags=("unit_unknown",),
    )
    layers = [Layer.create(*one) for one in image_layers(image, "Mind this.")]
    assert [one.name for one in layers] == ["field phase", "field DAPI", "field MAP2"]
    assert [one.colormap.name for one in layers] == ["gray", "bop orange", "bop purple"]
    assert [one.blending for one in layers] == ["translucent_no_depth", "additive", "additive"]
    for k, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.data, array[k])
        assert tuple(layer.scale) == (0.65, 0.65)
        assert [str(u) for u in layer.units] == ["micrometer"] * 2
        assert layer.metadata["vitascope"]["channel"] == k
        assert layer.metadata["vitascope"]["note"] == "Mind this."
        assert layer.metadata["vitascope"]["flags"] == ("unit_unknown",)


def test_an_image_without_a_size_has_pixels_for_units():
    ((data, look, kind),) = image_layers(Micrograph(np.zeros((2, 4, 4)), "ZYX", name="field"))
    layer = Layer.create(data, look, kind)
    assert (layer.name, tuple(layer.scale), layer.axis_labels) == ("field", (1, 1, 1), ("z", "y", "x"))
    assert [str(u) for u in layer.units] == ["pixel"] * 3
