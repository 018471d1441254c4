"""The dock "Predict nuclei" where a model knows several stains: targets, overlay, caption."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from gui_support import at_once, settle
from tests_support import blobs, make_model, save_model
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.layers.display import CAPTION

NAMES = ("nuclei", "er", "agp", "mito")
SETTINGS = {"precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0}


@pytest.fixture
def dock(viewer, tmp_path, monkeypatch, qtbot):
    import torch

    torch.manual_seed(1)
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(model_id="five", targets=NAMES, width=0.25, object_diameter_px=18), tmp_path / "models")
    save_model(make_model(model_id="one", width=0.25, object_diameter_px=18), tmp_path / "models")
    viewer.add_image((200 + 1000 * blobs((96, 112))).astype(np.uint16), name="field")
    made = StainDock(viewer, Runner(at_once, activity=False))
    made.settings.setValue(made.settings.value().changed(**SETTINGS))
    choose(made, "five")
    yield made
    if made._open:
        made.close_down()
    settle()


def choose(dock, model):
    dock.model.model.setCurrentIndex(dock.model.model.findData(model))


def predicted(viewer):
    return {layer.name.split()[1]: layer for layer in viewer.layers if layer.name.startswith("predicted")}


def test_the_stains_of_the_model_can_be_ticked_and_those_of_one_stain_are_not_asked_for(dock):
    assert list(dock.targets.boxes) == list(NAMES)
    assert not dock.targets.isHidden()
    assert dock.params().targets is None
    dock.targets.boxes["agp"].setChecked(False)
    assert dock.params().targets == ("nuclei", "er", "mito")
    choose(dock, "one")
    assert dock.targets.isHidden()
    assert dock.params().targets is None
    assert "targets" not in dock.settings.editors


def test_nothing_ticked_cannot_run(dock):
    for box in dock.targets.boxes.values():
        box.setChecked(False)
    assert not dock.run_button.isEnabled()
    assert "Tick a stain" in dock.status.text()
    dock.targets.boxes["er"].setChecked(True)
    assert dock.run_button.isEnabled()


def test_a_changed_tick_greys_the_answer(dock):
    dock.run()
    assert dock.answer.stale.isHidden()
    dock.targets.boxes["mito"].setChecked(False)
    assert not dock.answer.stale.isHidden()


def test_one_run_makes_a_layer_for_each_ticked_stain_that_says_it_is_a_prediction(viewer, dock):
    dock.targets.boxes["mito"].setChecked(False)
    dock.run()
    assert list(predicted(viewer)) == ["nuclei", "er", "agp"]
    for layer in predicted(viewer).values():
        assert CAPTION in layer.get_source_str()
    labels = next(layer for layer in viewer.layers if layer.name.startswith("nuclei"))
    assert CAPTION not in labels.get_source_str()


def test_the_overlay_comes_and_goes_in_one_click(viewer, dock):
    dock.run()
    before = [(layer.name, layer.visible, str(layer.blending), layer.opacity) for layer in viewer.layers]
    dock.overlay.show_button.setChecked(True)
    shown = {layer.name.split()[1]: layer for layer in viewer.layers if layer.visible}
    assert set(shown) == {"er", "agp", "nuclei"}
    assert {name: layer.colormap.name for name, layer in shown.items()} == {
        "er": "red",
        "agp": "green",
        "nuclei": "blue",
    }
    assert {str(layer.blending) for layer in shown.values()} == {"additive"}
    dock.overlay.show_button.setChecked(False)
    assert [(layer.name, layer.visible, str(layer.blending), layer.opacity) for layer in viewer.layers] == before


@pytest.mark.parametrize("ending", [".png", ".tif", ""])
def test_the_overlay_is_saved_as_it_is_predicted(viewer, dock, tmp_path, ending):
    dock.run()
    dock.overlay.save_to(tmp_path / f"overlay{ending}")
    assert "Saved" in dock.overlay.said.text()
    path = tmp_path / f"overlay{ending or '.png'}"
    picture = tifffile.imread(path) if ending == ".tif" else imagecodecs.png_decode(path.read_bytes())
    stains = predicted(viewer)
    expected = np.stack([np.asarray(stains[name].data) for name in ("er", "agp", "nuclei")], -1)
    np.testing.assert_allclose(picture / 255, expected, atol=0.5 / 255 + 1e-6)


def test_the_overlay_of_a_movie_is_of_the_time_in_view(viewer, dock, tmp_path):
    viewer.layers.clear()
    movie = np.stack([(200 + 1000 * blobs((96, 112))).astype(np.uint16)[:, ::step] for step in (1, -1)])
    viewer.add_image(movie, name="movie", axis_labels=("t", "y", "x"))
    dock.run()
    viewer.dims.set_point(0, 1)
    layer = predicted(viewer)["er"]
    np.testing.assert_allclose(dock.overlay.picture()[..., 0] / 255, np.asarray(layer.data)[1], atol=0.5 / 255 + 1e-6)


def test_an_overlay_needs_two_stains_and_goes_with_the_answer(viewer, dock):
    dock.run()
    assert not dock.overlay.isHidden()
    dock.forget_answer()
    assert dock.overlay.isHidden()
    for name in ("agp", "nuclei"):
        dock.targets.boxes[name].setChecked(False)
    dock.run()
    assert dock.overlay.isHidden()


def test_a_folder_that_is_not_there_is_a_sentence(dock, tmp_path):
    dock.run()
    (tmp_path / "file").write_text("no folder")
    dock.overlay.save_to(tmp_path / "file" / "overlay.png")
    assert dock.overlay.said.text()
    assert "Saved" not in dock.overlay.said.text()
