"""A circle over one nucleus gives the scale, points at some give settings that are kept and can be taken again."""

import json

import numpy as np
import pytest
from napari.layers import Points, Shapes

from tests_support import blobs, make_model, save_model
from vitascope.core.paths import user_settings
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.run.nuclei_box import CIRCLED, POINTED, ellipse_diameter
from vitascope.ops.objects.segment import SegmentParams, segment

ELLIPSE = np.array([[40.0, 50.0], [40.0, 90.0], [60.0, 90.0], [60.0, 50.0]])


@pytest.fixture
def dock(make_dock, viewer, tmp_path, monkeypatch):
    import torch

    torch.manual_seed(1)
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(model_id="told", width=0.25, object_diameter_px=18), tmp_path / "models")
    viewer.add_image((200 + 1000 * blobs((220, 230))).astype(np.uint16), name="field", scale=(0.5, 0.5))
    made = make_dock(kind=StainDock)
    made.show_model("told")
    for name, value in {"invert": "no", "min_contrast": 0.0, "threads": 1, "tile_px": 512}.items():
        made.settings.editors[name].setValue(value)
    return made


def of_kind(viewer, kind):
    return next(layer for layer in viewer.layers if isinstance(layer, kind))


def test_a_circle_over_a_nucleus_sets_its_diameter(dock, viewer):
    dock.nuclei.circle()
    layer = of_kind(viewer, Shapes)
    assert layer.mode == "add_ellipse"
    assert layer.name == f"{CIRCLED} · field"
    assert tuple(layer.scale) == (0.5, 0.5)
    layer.add_ellipses([ELLIPSE])
    assert dock.settings.value().object_diameter_px == 30
    assert "30 px" in dock.nuclei.circle_note.text()
    assert dock.input.image_name() == "field"
    layer.add_ellipses([40 + np.array([[0, 0], [0, 1], [1, 1], [1, 0]])])  # a click without a drag
    assert dock.settings.value().object_diameter_px == 30
    dock.nuclei.circle()
    assert len(viewer.layers) == 2
    assert len(layer.data) == 0


def test_the_diameter_of_an_ellipse_is_the_mean_of_both():
    assert ellipse_diameter(ELLIPSE) == 30
    assert ellipse_diameter(np.hstack([np.full((4, 1), 7.0), ELLIPSE])) == 30


def test_few_points_are_not_enough_and_enough_choose_settings_that_are_kept(dock, viewer, tmp_path):
    dock.run()
    predicted = next(layer for layer in viewer.layers if layer.name.startswith("nuclei") and layer.ndim == 2)
    table = segment(np.asarray(predicted.data, float), SegmentParams(diameter_px=18, min_contrast=0)).table
    viewer.layers.selection.active = viewer.layers["field"]
    dock.nuclei.point()
    layer = of_kind(viewer, Points)
    assert layer.name == f"{POINTED} · field"
    where = table[["centroid_y_px", "centroid_x_px"]].to_numpy()[:14]
    assert len(where) >= 10
    layer.data = where[:9]
    assert not dock.nuclei.fit_button.isEnabled()
    assert dock.nuclei.point_note.text() == "9 of 10 to 30"
    layer.data = where
    assert dock.nuclei.fit_button.isEnabled()
    dock.nuclei.name.setText("mine")
    dock.nuclei.fit_button.click()
    assert f"of {len(where)} found" in dock.nuclei.said.text()
    kept = json.loads((user_settings("stain") / "mine.json").read_text())["settings"]
    assert {name: getattr(dock.settings.value(), name) for name in ("threshold", "min_contrast", "min_area")} == {
        name: kept[name] for name in ("threshold", "min_contrast", "min_area")
    }
    dock.nuclei.name.setText("mine")
    dock.nuclei.fit_button.click()
    assert "settings 'mine' already: take 'mine-2'" in dock.nuclei.said.text()
    dock.nuclei.name.setText("../up")
    dock.nuclei.fit_button.click()
    assert "cannot be a name" in dock.nuclei.said.text()


def test_kept_settings_are_taken_again_and_damaged_ones_refused_in_words(dock):
    folder = user_settings("stain")
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"task": "stain", "settings": {"min_area": 0.33, "unheard_of": 1}}')
    (folder / "b.json").write_text("{")
    dock.nuclei.reload("a")
    dock.nuclei._take()
    assert dock.settings.value().min_area == 0.33
    dock.nuclei.reload("b")
    dock.nuclei._take()
    assert "no JSON" in dock.nuclei.said.text()
    assert dock.settings.value().min_area == 0.33


def test_points_of_another_image_do_not_count(dock, viewer):
    dock.nuclei.point()
    of_kind(viewer, Points).data = np.random.default_rng(0).uniform(0, 200, (12, 2))
    assert dock.nuclei.fit_button.isEnabled()
    viewer.add_image(np.zeros((50, 60), np.uint16), name="other")
    assert dock.input.image_name() == "other"
    assert not dock.nuclei.fit_button.isEnabled()
    assert len(dock.nuclei.points_yx()) == 0
