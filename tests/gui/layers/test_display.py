"""The one recipe of display: what is shown of each kind of result, by docks, a well of a plate and a result folder."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels, Layer
from skimage.color import deltaE_ciede2000, rgb2lab

from vitascope.core.result import ImageOutput, LabelsOutput, Provenance, Result
from vitascope.core.well import WellPosition
from vitascope.gui.layers.add import add_result
from vitascope.gui.layers.display import (
    KEY,
    MASK_COLOURS,
    MASK_OPACITY,
    attend,
    clear_colormap,
    main_map,
    map_options,
)
from vitascope.gui.layers.frame import Frame
from vitascope.gui.reader import results_layers
from vitascope.io.images.write import write_ome_tiff
from vitascope.io.results.images import make_picture
from vitascope.io.results.read import read_picture
from vitascope.io.results.save import save_result

SHAPE = (8, 9)
TABLE = pd.DataFrame({"label": [1], "area_px": [4]})
TELLING_APART = 15.0
"""CIEDE2000; 2.3 is just noticeable."""

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
"""Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; on linear RGB."""


def picture(kind, title, names, unit="", limits=(0.0, 1.0), colormap="magma"):
    array = np.random.default_rng(0).random((len(names), *SHAPE)).astype(np.float32)
    return ImageOutput(kind, title, array, "CYX", names, unit, limits, colormap)


def labels(title, kind="labels"):
    return LabelsOutput(kind, title, np.ones(SHAPE, np.uint32), "YX", TABLE)


KINDS = {
    "stain": ((picture("prediction", "predicted", ("MAP2", "NFH"), "share"), labels("nuclei")), {}),
    "atp": (
        (
            picture("maps", "contribution", ("map",), "RLU/px"),
            picture("maps", "percentile", ("map",), "%"),
            labels("instances", "instances"),
        ),
        {},
    ),
    "viability": ((picture("maps", "map", ("",), "of control", (-0.2, 0.2), "PiYG"),), {}),
    "phenotype": (
        (
            picture("instances", "probability", ("negative", "positive"), "probability"),
            picture("maps", "map", ("negative", "positive")),
            labels("regions"),
        ),
        {"predicted": "positive"},
    ),
    "spheroid": (
        (
            picture("probability", "probability", ("live", "dead"), "probability"),
            picture("density", "density", ("density",), "cells"),
            labels("live"),
            labels("dead", "dead"),
        ),
        {},
    ),
}
VISIBLE = {
    "stain": ["predicted MAP2 · A05"],
    "atp": ["ATP map · A05"],
    "viability": ["viability map · A05"],
    "phenotype": ["positive map · A05"],
    "spheroid": ["live · A05", "dead · A05"],
}


def result(task, model="a-model", flags=()):
    outputs, row = KINDS[task]
    provenance = Provenance(
        task=task, model=model, model_sha256="0" * 64, params={"model": model, "gain": 2.5}, device="cpu",
        precision="f32", inputs=[{"role": "image", "name": "A05"}], versions={},
        started="2026-01-01T00:00:00+00:00", seconds=1.0, flags=list(flags),
    )  # fmt: skip
    return Result(outputs, (row,), "", WellPosition(), "A05", "OK", (), "", provenance=provenance)


@pytest.fixture
def field(viewer):
    return viewer.add_image(np.zeros(SHAPE), name="A05")


def show(viewer, field, task, **kwargs):
    return add_result(viewer, result(task, **kwargs), Frame.of_layer(field, "YX"))


@pytest.mark.parametrize("task", KINDS)
def test_the_image_and_one_map_are_visible_and_named_by_kind_and_image(viewer, field, task):
    layers = show(viewer, field, task)
    assert field.visible
    assert [layer.name for layer in layers if layer.visible] == VISIBLE[task]
    assert all(layer.name.endswith(" · A05") for layer in layers)
    for layer in layers:
        assert layer.blending in ("translucent_no_depth", "translucent")
        assert layer.opacity < 1


@pytest.mark.parametrize("task", KINDS)
def test_a_result_folder_shows_what_the_dock_showed(viewer, field, task, tmp_path):
    def look(layer):
        colours = [np.asarray(layer.colormap.colors).tolist()]
        extra = [layer.contour] if isinstance(layer, Labels) else [layer.colorbar.visible, tuple(layer.contrast_limits)]
        return [layer.name.removesuffix(" [1]"), layer.visible, layer.opacity, str(layer.blending), *colours, *extra]

    shown = sorted(map(look, show(viewer, field, task)), key=str)
    viewer.layers.clear()
    again = [Layer.create(*one) for one in results_layers(save_result(result(task), tmp_path / "out"))]
    attend(viewer)
    for layer in again:
        viewer.layers.append(layer)
    assert sorted(map(look, again), key=str) == shown


def test_maps_that_look_alike_share_a_colour_bar_and_a_line(viewer, field):
    other = viewer.add_image(np.zeros(SHAPE), name="A06")
    one, two = (next(layer for layer in show(viewer, image, "atp") if layer.visible) for image in (field, other))
    bars = [one.colorbar.visible, two.colorbar.visible]
    assert bars == [True, False]
    assert viewer.canvas.overlays[KEY].text == "ATP map, RLU/px"
    one.visible = False
    assert two.colorbar.visible
    one.visible = True
    assert [one.colorbar.visible, two.colorbar.visible] == [True, False]
    two.contrast_limits = (0, 0.5)
    two.visible = True
    one.visible, two.visible = False, False
    one.visible = two.visible = True
    assert [one.colorbar.visible, two.colorbar.visible] == [True, True]
    assert viewer.canvas.overlays[KEY].text == "ATP map, RLU/px\nATP map, RLU/px"
    two.colorbar.visible = False  # the user's wish
    two.visible = False
    two.visible = True
    assert not two.colorbar.visible


def test_each_colour_bar_has_its_title_and_unit_while_its_map_is_visible(viewer, field):
    first, second, _ = show(viewer, field, "atp")
    key = viewer.canvas.overlays[KEY]
    assert first.colorbar.visible
    assert (key.text, key.visible) == ("ATP map, RLU/px", True)
    second.visible = True
    assert key.text.splitlines() == ["ATP percentile, %", "ATP map, RLU/px"]
    first.visible = second.visible = False
    assert not key.visible


@pytest.mark.parametrize(
    ("task", "flags", "said"),
    [
        ("stain", ("saturated", "withheld"), "predicted MAP2, share\n(numbers held back)"),
        ("stain", ("outside_model",), "predicted MAP2, share\n(outside the model)"),
        ("stain", ("saturated",), "predicted MAP2, share"),
        ("atp", ("outside_model",), "ATP map, RLU/px"),
    ],
)
def test_a_prediction_that_is_not_to_be_relied_on_says_so_on_the_canvas(viewer, field, task, flags, said):
    show(viewer, field, task, flags=flags)
    assert viewer.canvas.overlays[KEY].text == said


def test_a_share_of_the_control_is_told_on_the_canvas_only_where_there_was_one(viewer, field):
    made = result("viability")
    made = replace(made, outputs=(replace(made.outputs[0], unit="of control"),))
    for inputs, said in (([{"role": "image"}], "viability map"), ([{"role": "control"}], "viability map, of control")):
        known = replace(made, provenance=made.provenance.model_copy(update={"inputs": inputs}))
        add_result(viewer, known, Frame.of_layer(field, "YX"))
        assert viewer.canvas.overlays[KEY].text == said


def test_outlines_are_thin_of_one_colour_and_masks_are_not(viewer, field):
    nuclei = show(viewer, field, "stain")[-1]
    assert nuclei.contour == 1
    np.testing.assert_array_equal(nuclei.get_color(1), nuclei.get_color(7))
    live, dead = show(viewer, field, "spheroid")[-2:]
    assert (live.contour, dead.contour) == (0, 0)


def test_a_second_result_hides_the_first_and_deletes_nothing(viewer, field):
    first = show(viewer, field, "stain")
    first[1].visible = True
    second = show(viewer, field, "stain")
    assert not any(layer.visible for layer in first)
    assert [layer.visible for layer in second] == [True, False, False]
    assert all(layer in viewer.layers for layer in first)
    other = viewer.add_image(np.ones(SHAPE), name="A06")
    add_result(viewer, result("stain"), Frame.of_layer(other, "YX"))
    assert second[0].visible  # that of another image
    show(viewer, field, "viability")
    assert second[0].visible  # another task


def test_a_renamed_image_is_the_same_image(viewer, field):
    first = show(viewer, field, "stain")
    field.name = "renamed"
    show(viewer, field, "stain")
    assert not first[0].visible


def test_model_and_parameters_are_in_metadata_and_on_hover(viewer, field):
    layer = show(viewer, field, "atp")[0]
    assert layer.metadata["provenance"]["params"]["gain"] == 2.5
    told = layer.get_source_str()
    assert told.splitlines() == ["ATP map · A05 (RLU/px)", "model: a-model", "gain: 2.5"]


@pytest.mark.parametrize("name", ["magma", "viridis", "bop blue", "green"])
@pytest.mark.parametrize("steep", [False, True])
def test_colour_maps_begin_clear_and_never_grey_what_is_below(name, steep):
    colours = np.array(clear_colormap(name, (0.0, 5.0), steep).colors)
    assert colours[0, 3] == 0
    assert (np.diff(colours[:, 3]) > 0).all()
    faint = colours[1:60]
    # a black-based map would lay black over the image where there is nearly nothing
    assert (faint[:, :3].max(1) > 0.25).all()


def test_signed_maps_are_clear_at_zero_wherever_it_lies():
    colours = np.array(clear_colormap("PiYG", (-1.0, 3.0)).colors)
    assert abs(int(np.argmin(colours[:, 3])) - len(colours) // 4) <= 1
    assert colours[:, 3].min() < 0.01
    assert colours[0, 3] == colours[-1, 3] == 1


def seen_by_deuteranope(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    back = np.clip(DEUTERANOPIA @ linear, 0, 1)
    return np.where(back <= 0.0031308, 12.92 * back, 1.055 * back ** (1 / 2.4) - 0.055)


def difference(a, b):
    return float(deltaE_ciede2000(rgb2lab(a[None, None]), rgb2lab(b[None, None]))[0, 0])


@pytest.mark.parametrize("brightness", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("eyes", [lambda rgb: rgb, seen_by_deuteranope])
def test_live_and_dead_are_told_apart_on_a_green_dye(brightness, eyes):
    dye = np.array([0.0, brightness, 0.0])
    live, dead = (MASK_OPACITY * np.array(MASK_COLOURS[k][:3]) + (1 - MASK_OPACITY) * dye for k in ("live", "dead"))
    assert difference(eyes(live), eyes(dead)) > TELLING_APART
    assert difference(eyes(live), eyes(dye)) > TELLING_APART
    assert difference(eyes(dead), eyes(dye)) > TELLING_APART


def test_of_several_pictures_the_map_of_the_most_frequent_class_is_shown():
    outputs = KINDS["phenotype"][0]
    rows = [{"predicted": name} for name in ("negative", "positive", "positive")]
    assert main_map(outputs, rows) == ("maps", "map", "positive")
    assert main_map(outputs) == ("maps", "map", "negative")
    assert main_map(outputs[2:]) is None


def test_each_channel_has_its_own_limits_in_the_viewer_and_after_saving(viewer, tmp_path):
    """A network from elsewhere gives what it gives: a dim stain beside a bright one is seen, in spite of hot pixels."""
    array = np.zeros((2, 32, 32), np.float32)
    output = ImageOutput("prediction", "predicted", array, "CYX", ("dim", "bright"), "", (0.0, 90.0),
                         channel_limits=((0.0, 0.04), (-2.0, 90.0)))  # fmt: skip
    assert [map_options(output, k, "viridis", True)["contrast_limits"] for k in (0, 1)] == [(0.0, 0.04), (-2.0, 90.0)]
    file = make_picture(output, "a.ome.tif", "a", "stain", (None, None))
    write_ome_tiff(tmp_path / "a.ome.tif", file)
    saved = read_picture(tmp_path / "a.ome.tif", pd.DataFrame(), {"a"})
    assert (saved.output.limits, saved.output.channel_limits) == (output.limits, output.channel_limits)
