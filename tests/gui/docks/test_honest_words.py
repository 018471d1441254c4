"""What docks say before, while and after a run: the verdict, notes, units, refusals with their cure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Layer

from gui_support import at_once, fake_run, make_card, make_spec
from tests_support import make_card as make_network_card
from vitascope.batch.plate.results import PlateResults
from vitascope.core.result import Result, Trust
from vitascope.core.well import WellPosition
from vitascope.gui.common.result_text import flag_sentences, headline, note_sentences, summary_table
from vitascope.gui.common.runner import Runner
from vitascope.gui.common.trust import LOOKS, SIMULATED, as_far_as_known, scale_is_told
from vitascope.gui.docks import task_dock
from vitascope.gui.docks.spheroid_dock import SpheroidDock
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.layers.snapshot import OWN, remember
from vitascope.gui.plate.heatmap_box import HeatmapBox
from vitascope.gui.reader import read
from vitascope.gui.train.train_words import against_start, model_headline, words_of_test
from vitascope.io.models.cards import BUNDLED_MODELS, read_card, write_card


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(task_dock, "show_info", lambda text: None)
    monkeypatch.setattr(task_dock, "show_error", lambda text: None)


def picture(shape=(30, 40)):
    return np.random.default_rng(0).random(shape, np.float32)


# -- the verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["fits", "unsure", "outside", "unknown"])
@pytest.mark.parametrize(
    ("model_um", "image_um", "scaled"),
    [(0.65, None, False), (0.65, None, True), (0.65, 0.5, False), (None, None, False)],
)
@pytest.mark.parametrize("simulated", [False, True])
def test_the_badge_is_green_only_where_a_fit_can_be_known(level, model_um, image_um, scaled, simulated):
    card = make_card(pixel_size_um=model_um).model_copy(update={"data_is_simulated": simulated})
    found = as_far_as_known(Trust(level, ("Why.",)), card, pixel_size_um=image_um, scaled=scaled)
    hidden = simulated or (model_um is not None and image_um is None and not scaled)
    assert found.level == ("unknown" if hidden and level == "fits" else level)
    assert "Why." in found.reasons
    assert (SIMULATED in found.reasons) == simulated
    assert ("0.65 µm" in " ".join(found.reasons)) == (model_um is not None and image_um is None and not scaled)


def test_a_scale_counts_whether_given_or_found():
    card = make_card(pixel_size_um=0.65)
    assert not scale_is_told(card, {"object_diameter_px": None}, [{"objects": 3}])
    assert scale_is_told(card, {"object_diameter_px": 24.0})
    assert scale_is_told(card, {}, [{"input_scale": 0.5}])
    assert not scale_is_told(card, {}, [{"input_scale": float("nan")}])


def test_an_image_without_a_size_is_not_told_to_fit_after_the_run(viewer, make_dock, fake_card, tmp_path):
    path = tmp_path / "models" / "fake-model.json"
    path.unlink()
    write_card(make_card(pixel_size_um=0.65), path.parent)
    viewer.add_image(picture(), name="field")
    dock = make_dock()
    dock.run_button.click()
    assert dock.model.badge.trust.level == "unknown"
    assert "The pixel size is not known" in dock.model.reason.text()
    dock.input.pixel_size.setText("0.65")
    dock.input.pixel_size.setModified(True)
    dock.input.commit()
    dock.run_button.click()
    assert dock.model.badge.trust.level == "fits"
    assert dock.model.badge.text() == f"{LOOKS['fits'].sign}  {LOOKS['fits'].words}"


def test_the_bundled_cards_say_what_is_simulated():
    told = {path.stem: read_card(path).data_is_simulated for path in BUNDLED_MODELS.glob("*.json")}
    assert {name for name, simulated in told.items() if simulated} == {
        "atp-organoid",
        "atp-organoid-attention",
        "viability-spheroid-sim",
    }


def test_a_share_of_the_control_is_told_only_where_a_control_was_given():
    spec = make_spec()
    row = {"objects": 0.93, "objects_low": 0.83, "objects_high": 1.03}
    result = Result((), (row,), "of control", WellPosition(), "image", interval_level=0.9)
    head = headline(spec, result)
    assert (head.number, head.unit) == ("0.93", "")
    assert head.detail == "90% interval 0.83 to 1.03; 1 is untreated in the training data"
    given = fake_run_provenance([{"role": "image"}, {"role": "control"}])
    head = headline(spec, replace(result, provenance=given))
    assert (head.unit, head.detail) == ("of control", "90% interval 0.83 to 1.03")


def fake_run_provenance(inputs):
    from vitascope.core.result import Provenance

    return Provenance(
        task="fake", model="m", model_sha256="0", params={}, device="cpu", precision="f32", inputs=inputs, versions={},
        started="", seconds=1.0,
    )  # fmt: skip


# -- notes ------------------------------------------------------------------------------------------------------------


def test_notes_are_read_on_hover_and_warn_of_nothing(viewer, make_dock):
    viewer.add_image(picture(), name="field")
    dock = make_dock()
    dock.run_button.click()
    assert not dock.answer.words.isVisibleTo(dock)
    assert "No usable pixel size" in dock.answer.number.toolTip()


def test_sentences_are_those_of_warnings():
    result = Result((), (), "", WellPosition(), "image", flags=("pixel_size_unknown", "saturated", "unsure"))
    assert len(flag_sentences(result)) == len(note_sentences(result)) == 1
    assert "end of the scale" in flag_sentences(result)[0]


def results(tmp_path, *rows, task="atp"):
    names = ["image", "plate", "well", "field", "time", "status", "flags", "message", "atp", "unit"]
    return PlateResults(tmp_path, "p", task, 2, 3, pd.DataFrame(rows, columns=names), 0)


def test_a_plate_ends_in_words_and_notes_are_no_kinds(tmp_path, qtbot):
    rows = [(f"i{i}", "p", f"A0{i}", "", "", "OK", "pixel_size_unknown", "", 11850.0 + i, "RLU") for i in (1, 2)]
    rows.append(("i3", "p", "A03", "", "", "WARN", "pixel_size_unknown;empty_well", "", 40.0, "RLU"))
    box = HeatmapBox()
    qtbot.addWidget(box)
    box.set_results([results(tmp_path, *rows)])
    assert box.words.text() == "3 wells done; A03 looks empty"
    box.choose("flags")
    assert set(box.legend.legend.kinds) == {"empty_well"}
    box.choose("atp")
    assert box.legend.title == "ATP (RLU)"
    assert "ATP (RLU): 11,851" in box._describe(0, next(iter(box._results[0].kinds("status"))))
    box.set_results([results(tmp_path, *rows[:2])])
    assert box.column.findData("flags") < 0


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_one_number_of_all_pictures_and_a_range_look_like_neither_interval():
    spec = make_spec()

    def told(*values):
        return headline(spec, Result((), tuple({"objects": v} for v in values), "nuclei", WellPosition(), "i"))

    same = told(34, 34, 34, 34)
    assert (same.number, same.unit, same.detail) == ("34", "nuclei", "in each of 4 pictures")
    several = told(61000, 104000)
    assert (several.number, several.detail) == ("61,000 … 104,000", "least and most of 2 pictures")
    assert " to " not in several.number


def test_steps_of_a_calculation_stay_out_of_the_first_table():
    row = {"prob_negative": 0.2, "logit_negative": -1.4, "objects": 11850, "mean_area_px": 12.5}
    _, cells = summary_table(Result((), (row,), "", WellPosition(), "image"))
    assert cells == [["Probability of negative", "0.2"], ["Objects", "11,850"], ["Mean area (px²)", "12.5"]]


def test_settings_say_of_what_they_are(viewer, make_dock):
    dock = make_dock(kind=StainDock)
    labels = [editor.label for editor in dock.settings.editors.values()]
    assert "Neighbourhood of threshold (diameters)" in labels
    assert "Least predicted signal (of 1)" in labels


def test_sizes_in_micrometres_are_asked_only_where_the_pixel_size_is_known(viewer, make_dock):
    dock = make_dock(kind=SpheroidDock, runner=Runner(at_once, activity=False))
    stack = np.zeros((2, 5, 16, 16), np.uint16)
    layer = viewer.add_image(stack, name="stack", axis_labels=("c", "z", "y", "x"))
    viewer.layers.selection.active = layer

    def asked():
        return {n for n, e in dock.settings.editors.items() if not e.native.isHidden() and "_um" in n}

    assert asked() == {"z_step_um"}
    remember(layer, pixel_size_um=1.0)
    dock.input.reload()
    assert asked() == {"z_step_um", "control_live_um3", "least_diameter_um", "shell_um"}


def test_a_pixel_size_is_asked_once_for_a_folder(viewer, make_dock, tmp_path):
    for name, folder in (("a", "one"), ("b", "one"), ("c", "two")):
        viewer.add_image(picture(), name=name, metadata={OWN: {"sources": (str(tmp_path / folder / name),)}})
    dock = make_dock()
    dock.input.main.choose(viewer.layers["a"])
    for typed in ("0.5", "0.7"):
        dock.input.pixel_size.setText(typed)
        dock.input.pixel_size.setModified(True)
        dock.input.commit()
        sizes = {layer.name: layer.metadata[OWN].get("pixel_size_um") for layer in viewer.layers}
        assert sizes == {"a": float(typed), "b": float(typed), "c": None}
    viewer.add_image(picture(), name="d", metadata={OWN: {"sources": (str(tmp_path / "one" / "d"),)}})
    assert viewer.layers["d"].metadata[OWN]["pixel_size_um"] == 0.7


def unknown_stack(folder, name, count=3):
    """An image of some pictures of which nothing tells what they are, as our reader opens it."""
    path = folder / f"{name}.tif"
    path.parent.mkdir(exist_ok=True)
    pictures = np.random.default_rng(0).integers(0, 999, (count, 30, 40), np.uint16)
    tifffile.imwrite(path, pictures, photometric="minisblack")
    return Layer.create(*read(str(path))[0])


def test_what_the_pictures_of_a_stack_are_is_asked_once_for_a_folder(viewer, make_dock, tmp_path):
    dock = make_dock()
    viewer.add_layer(unknown_stack(tmp_path / "one", "a"))
    assert not dock.run_button.isEnabled()
    assert dock.input.note.text().endswith("Choose it under Dimensions.")
    assert dock.status.isHidden()  # it is said once
    dock.input.axes.setCurrentIndex(dock.input.axes.findData("TYX"))
    dock.input.axes.activated.emit(dock.input.axes.currentIndex())
    assert dock.run_button.isEnabled()
    assert dock.input.note.isHidden()
    viewer.layers.clear()
    viewer.add_layer(unknown_stack(tmp_path / "one", "b"))
    assert dock.run_button.isEnabled()
    assert dock.input.axes.currentData() == "TYX"
    assert dock.input.note.text() == "Dimensions as you said of another image of this folder with as many pictures."
    dock.input.axes.setCurrentIndex(dock.input.axes.findData("ZYX"))
    dock.input.axes.activated.emit(dock.input.axes.currentIndex())
    dock.input.reload()
    assert dock.input.value()[0]["image"].axes == "ZYX"  # it may be another thing here
    viewer.add_layer(unknown_stack(tmp_path / "two", "c"))
    assert not dock.run_button.isEnabled()


def test_what_was_said_of_a_stack_is_not_taken_for_one_of_another_length(viewer, make_dock, tmp_path):
    dock = make_dock()
    viewer.add_layer(unknown_stack(tmp_path, "a"))
    dock.input.axes.setCurrentIndex(dock.input.axes.findData("TYX"))
    dock.input.axes.activated.emit(dock.input.axes.currentIndex())
    viewer.add_layer(unknown_stack(tmp_path, "b", count=5))
    assert not dock.run_button.isEnabled()
    assert dock.input.axes.currentData() is None
    dock.input.axes.setCurrentIndex(dock.input.axes.findData("ZYX"))
    dock.input.axes.activated.emit(dock.input.axes.currentIndex())
    for name, count, axes in (("c", 3, "TYX"), ("d", 5, "ZYX")):
        viewer.add_layer(unknown_stack(tmp_path, name, count))
        assert dock.input.axes.currentData() == axes  # each length has an answer of its own
        assert dock.run_button.isEnabled()


# -- refused before the click -----------------------------------------------------------------------------------------


def test_a_colour_picture_is_refused_and_one_click_takes_its_grey_values(viewer, make_dock):
    colour = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    viewer.add_image(colour, name="he", rgb=True)
    seen = []
    dock = make_dock(
        spec=make_spec(lambda inputs, params: (seen.append(inputs["image"]), (yield from fake_run(inputs, params)))[1])
    )
    assert not dock.run_button.isEnabled()
    assert "colour picture" in dock.status.text()
    assert dock.cure_button.text() == "Use its grey values"
    dock.cure_button.click()
    assert dock.run_button.isEnabled()
    assert not dock.cure_button.isVisibleTo(dock)
    assert "BT.709" in dock.input.note.text()
    dock.run_button.click()
    grey = colour @ np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(seen[0].array, grey, rtol=1e-5)
    assert seen[0].axes == "YX"


def test_grey_saved_as_colour_is_no_colour_picture(viewer, make_dock):
    viewer.add_image(np.repeat(np.arange(1200, dtype=np.uint8).reshape(30, 40, 1) % 251, 3, 2), name="g", rgb=True)
    assert make_dock().run_button.isEnabled()


def test_a_stack_of_one_dye_is_refused_and_one_click_names_it(viewer, make_dock):
    layer = viewer.add_image(np.zeros((5, 16, 16), np.uint16), name="stack", axis_labels=("z", "y", "x"))
    viewer.layers.selection.active = layer
    dock = make_dock(kind=SpheroidDock, runner=Runner(at_once, activity=False))
    assert not dock.run_button.isEnabled()
    live = dock._dyes()[0]
    assert live in dock.status.text()
    assert dock.cure_button.text() == f"The only dye is {live}"
    dock.cure_button.click()
    assert dock.run_button.isEnabled()
    assert dock.params().channels == ("0",)


def test_two_stacks_of_a_dye_each_are_taken_together_by_one_click(viewer, make_dock):
    dock = make_dock(kind=SpheroidDock, runner=Runner(at_once, activity=False))
    dead = viewer.add_image(np.zeros((5, 16, 16), np.uint16), name="PI", axis_labels=("z", "y", "x"))
    viewer.layers.selection.active = dead
    assert not dock.run_button.isEnabled()
    assert dock.cure_button.isHidden()  # a stack of the dead dye is not called live by a click
    viewer.add_image(np.zeros((5, 16, 16), np.uint16), name="calcein", axis_labels=("z", "y", "x"))
    assert dock.cure_button.text() == "Take calcein and PI"
    dock.cure_button.click()
    assert dock.run_button.isEnabled()
    assert [layer.name for layer in dock.input.layers()] == ["calcein", "PI"]


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "new", "start", "verdict"),
    [
        ("pcc_DAPI", 0.8391, 0.867, "PCC DAPI 0.839; start 0.867: not better"),
        ("pcc_DAPI", 0.9, 0.867, "PCC DAPI 0.900; start 0.867: better"),
        ("pcc_DAPI", 0.86701, 0.867, "PCC DAPI 0.867; start 0.867: not better"),
        ("mae", 11850.0, 12000.0, "MAE 11,850; start 12,000: better"),
        ("mae", 12100.0, 12000.0, "MAE 12,100; start 12,000: not better"),
        ("accuracy", 0.5, None, "accuracy 0.500"),
    ],
)
def test_a_new_model_is_compared_with_its_start(name, new, start, verdict):
    assert against_start(name, {name: new}, {} if start is None else {name: start}) == verdict


def test_the_end_tells_the_figure_that_was_told_while_it_ran():
    card = make_network_card().model_copy(
        update={
            "training": {
                "start": {"pcc_DNA": 0.867, "score": 0.867},
                "validated": {"epoch": 3, "loss": 0.1, "pcc_DNA": 0.839, "score": 0.839},
                "start_metrics": [{"name": "PCC DNA", "value": 0.81}],
                "start_saw": True,
            },
            "metrics": make_card().metrics[:1],
        }
    )
    assert model_headline(card) == (
        "'test-model' is ready. PCC DNA 0.839; start 0.867 (trained on some of these images): not better"
    )
    assert words_of_test(card) == "On the test rows: PCC 0.853 (0.820 to 0.880)."
