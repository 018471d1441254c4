"""Run and answer belong to one named image: what Run takes, whose an answer is, and when it is one no more."""

import numpy as np
import pytest

from gui_support import at_once, fake_run, make_spec, settle
from phenotype_support import cells
from vitascope.core.micrograph import Micrograph
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks import task_dock
from vitascope.gui.docks.atp_dock import AtpDock
from vitascope.gui.docks.phenotype_dock import PhenotypeDock
from vitascope.gui.layers.add import image_layers
from vitascope.gui.layers.display import uncover
from vitascope.gui.run.run_button import RunButton
from vitascope.simulate.wells import make_well

SHAPE = (30, 40)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(task_dock, "show_info", lambda text: None)


def picture(seed=0):
    return np.random.default_rng(seed).random(SHAPE, np.float32)


@pytest.fixture
def seen():
    return []


@pytest.fixture
def dock(viewer, make_dock, seen):
    def spy(inputs, params):
        seen.append(inputs["image"].name)
        return (yield from fake_run(inputs, params))

    viewer.add_image(picture(), name="A05")
    return make_dock(make_spec(spy))


def live(dock):
    return [dock.export_box.buttons[name].isEnabled() for name in ("save", "table", "python", "command")]


def test_a_newly_opened_image_is_what_run_takes_and_the_button_says_so(viewer, dock, seen):
    assert dock.run_button.text() == "Count things · A05 · fake-model"
    viewer.add_image(picture(1), name="A24")
    assert dock.run_button.toolTip().startswith("Count things · A24 · ")
    dock.run_button.click()
    assert seen == ["A24"]
    assert viewer.layers[-1].name == "nuclei · A24"
    assert dock.answer.number.text().count("A24 · fake-model") == 1


def test_the_input_follows_the_active_image_and_no_result(viewer, dock):
    viewer.add_image(picture(1), name="A24")
    viewer.layers.selection.active = viewer.layers["A05"]
    assert dock.input.image_name() == "A05"
    dock.run_button.click()
    for result in list(viewer.layers)[2:]:
        viewer.layers.selection.active = result
        assert dock.input.image_name() == "A05"
        assert all(live(dock))
    viewer.layers.selection.active = viewer.layers["A24"]
    assert dock.input.image_name() == "A24"


def test_a_pinned_image_stays_and_the_pin_ends_with_it(viewer, dock, seen):
    assert not dock.input.pin.isChecked()
    assert dock.input.pin.isVisibleTo(dock)
    dock.input.pin.setChecked(True)
    viewer.add_image(picture(1), name="A24")
    dock.run_button.click()
    assert seen == ["A05"]
    viewer.layers.remove("A05")
    assert not dock.input.pin.isChecked()
    assert dock.input.image_name() == "A24"


def test_only_the_run_button_begins_with_the_verb(viewer, dock):
    from qtpy.QtWidgets import QAbstractButton

    dock.run_button.click()
    verbs = [b for b in dock.findChildren(QAbstractButton) if b.text().startswith("Count things")]
    assert verbs == [dock.run_button]


@pytest.mark.parametrize("change", ["gain", "device", "image", "pixels", "scale"])
def test_an_answer_to_another_question_is_greyed_and_is_live_again_with_its_own(viewer, dock, change):
    viewer.add_image(picture(1), name="A24")
    layer = viewer.layers["A24"]
    dock.run_button.click()
    assert all(live(dock))
    assert dock.answer.stale.isHidden()
    before = {"gain": dock.settings.value(), "pixels": layer.data, "scale": layer.scale}
    if change == "gain":
        dock.settings.setValue(dock.settings.value().changed(gain=3.0))
    elif change == "device":
        dock.model.device.setCurrentIndex(1)
    elif change == "image":
        viewer.layers.selection.active = viewer.layers["A05"]
    elif change == "pixels":
        layer.data = picture(2)
    else:
        layer.units, layer.scale = ("um", "um"), (0.5, 0.5)
    assert not any(live(dock))
    assert not dock.answer.stale.isHidden()
    assert dock.answer.number.styleSheet()
    if change == "gain":
        dock.settings.setValue(before["gain"])
    elif change == "device":
        dock.model.device.setCurrentIndex(0)
    elif change == "image":
        viewer.layers.selection.active = layer
    elif change == "pixels":
        layer.data = before["pixels"]
    else:
        layer.units, layer.scale = ("pixel", "pixel"), before["scale"]
    assert all(live(dock))
    assert dock.answer.stale.isHidden()
    assert dock.model.badge.trust.level == "fits"


def test_an_answer_goes_with_its_image_and_its_layers_stay(viewer, dock):
    viewer.add_image(picture(1), name="A24")
    dock.run_button.click()
    viewer.layers.remove("A05")
    assert not dock.answer.isHidden()
    viewer.layers.remove("A24")
    assert dock.answer.isHidden()
    assert dock.export_box.isHidden()
    assert [layer.name for layer in viewer.layers] == ["predicted DNA · A24", "nuclei · A24"]


def test_an_image_above_the_one_that_was_run_is_hidden_and_added_light_is_not(viewer, dock):
    viewer.add_image(picture(1), name="A24")
    viewer.add_image(picture(2), name="stain", blending="additive")
    viewer.layers.selection.active = viewer.layers["A05"]
    viewer.layers["A05"].visible = False
    dock.run_button.click()
    shown = [layer.name for layer in viewer.layers if layer.visible]
    assert shown == ["A05", "stain", "predicted DNA · A05"]


def test_outlines_are_off_until_asked_for(viewer, dock):
    dock.run_button.click()
    labels = viewer.layers[-1]
    assert not labels.visible
    assert dock.outlines.text() == "Outline nuclei"
    dock.outlines.setChecked(True)
    assert labels.visible
    labels.visible = False
    assert not dock.outlines.isChecked()


@pytest.fixture
def wells(viewer, qtbot):
    for n in range(3):
        viewer.add_image(make_well(9, n, 0, 96).image, name=f"well {n + 1}")
    dock = AtpDock(viewer, Runner(at_once, activity=False))
    yield dock
    dock.close_down()
    settle()


def test_of_several_selected_images_all_are_offered_first(viewer, wells):
    assert wells.input.image_name() == "well 3"
    viewer.layers.selection = {viewer.layers[0], viewer.layers[1]}
    assert wells.input.main.itemText(0) == "all 2 images selected, one by one"
    assert wells.run_button.toolTip().startswith("Estimate ATP · all 2 images selected\n")
    viewer.layers.selection.active = viewer.layers[0]
    assert wells.input.image_name() == "well 1"
    viewer.layers.selection = set(viewer.layers)
    assert wells.input.main.itemText(0) == "all 3 images, one by one"
    wells.run()
    assert "all 3 images · atp-organoid" in wells.answer.number.text()
    wells.wells.table.selectRow(1)
    assert wells.wells.save.isEnabled()
    assert wells.input.image_name() == "all 3 images"
    viewer.add_image(make_well(9, 3, 0, 96).image, name="well 4")
    assert not wells.wells.save.isEnabled()


def test_a_well_whose_number_is_held_back_has_no_map_in_view(viewer, wells):
    viewer.add_image(np.random.default_rng(0).integers(0, 4000, (96, 96), np.uint16), name="noise")
    wells.run()
    assert wells.answer._result.status == "REJECTED"
    assert not any(layer.name.endswith("· noise") for layer in viewer.layers)
    assert wells.key.isHidden()
    assert wells.answer.tabs.isHidden()  # a table without a line
    for abstain, seen in ((False, ["ATP map · noise"]), (True, [])):  # the older map is not of the newer run
        wells.settings.setValue(wells.settings.value().changed(abstain=abstain))
        wells.run()
        assert [one.name for one in viewer.layers if one.name.endswith("· noise") and one.visible] == seen


def test_a_narrow_button_tells_the_image_rather_than_the_model(qtbot):
    button = RunButton("Estimate viability", "Tells.")
    qtbot.addWidget(button)
    button.offer("B03", "viability-spheroid-sim")
    for width, text in ((900, "Estimate viability · B03 · viability-spheroid-sim"), (240, "Estimate viability · B03")):
        button.resize(width, 30)
        button.show()
        assert button.text() == text
    assert button.toolTip().startswith("Estimate viability · B03 · viability-spheroid-sim\n")


def test_an_empty_well_that_gets_a_number_gets_its_map(viewer, wells):
    empty = (30000 + np.random.default_rng(0).normal(0, 30, (96, 96))).astype(np.uint16)
    viewer.add_image(empty, name="A24")
    wells.settings.setValue(wells.settings.value().changed(abstain=False))
    wells.run()
    assert wells.answer._result.rows[0]["atp"] >= 0
    (shown,) = [layer for layer in viewer.layers if layer.name == "ATP map · A24"]
    assert shown.visible


def test_where_channels_of_two_wells_are_visible_phenotype_asks_for_the_well(viewer, qtbot):
    for name in ("A01", "B01"):
        image = Micrograph.from_array(cells(True), axes="CYX", channel_names=("GFP", "DNA"), name=name, sources=(name,))
        for data, options, _ in image_layers(image):
            viewer.add_image(data, **options)
    dock = PhenotypeDock(viewer, Runner(at_once, activity=False))
    try:
        assert not dock.run_button.isEnabled()
        assert "A01" in dock.input.note.text()
        assert "B01" in dock.input.note.text()
        for layer in list(viewer.layers)[2:]:
            layer.visible = False
        assert dock.input.image_name() == "A01"
        assert dock.run_button.isEnabled()
        for layer in list(viewer.layers)[2:]:
            layer.visible = True
        assert not dock.run_button.isEnabled()
        viewer.layers.selection.active = viewer.layers[0]
        viewer.layers.selection.active = viewer.layers[3]
        assert dock.input.image_name() == "B01"
        assert dock.run_button.toolTip().startswith("Classify · B01\n")
        uncover(viewer, dock.input.layers())
        assert [layer.name for layer in viewer.layers if layer.visible] == ["B01 GFP", "B01 DNA"]
    finally:
        dock.close_down()
        settle()
