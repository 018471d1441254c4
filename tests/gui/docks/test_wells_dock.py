"""Docks that run over all images of a layer list: a table that leads to each, and back."""

import json

import numpy as np
import openpyxl
import pandas as pd
import pytest
import tifffile
from matplotlib.backend_bases import MouseEvent, PickEvent
from napari.layers import Image, Labels
from qtpy.QtWidgets import QApplication

from gui_support import at_once, settle
from vitascope.batch.save_layers import save_layers
from vitascope.core.result import Trust
from vitascope.core.well import WellPosition
from vitascope.gui.common.runner import Runner
from vitascope.gui.common.trust import of_many
from vitascope.gui.docks import task_dock, wells_dock
from vitascope.gui.docks.atp_dock import AtpDock
from vitascope.gui.docks.viability_dock import ViabilityDock
from vitascope.gui.layers.add import image_layers
from vitascope.gui.layers.snapshot import OWN, snapshot_layers
from vitascope.io.filenames.grouping import find_groups
from vitascope.io.images.read import open_group
from vitascope.simulate.spheroid_series import Setting, make_spheroid
from vitascope.simulate.wells import make_well


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(task_dock, "show_info", lambda text: None)
    monkeypatch.setattr(wells_dock, "show_info", lambda text: None)


@pytest.fixture
def dock(viewer, qtbot, quiet):
    made = AtpDock(viewer, Runner(at_once, activity=False))
    yield made
    made.close_down()
    settle()


def add_wells(viewer, count=3, side=96):
    for n in range(count):
        place = {OWN: {"place": WellPosition("P", f"B{n + 1:02d}"), "image": f"P_B{n + 1:02d}"}}
        viewer.add_image(make_well(9, n, 0, side).image, name=f"well {n + 1}", metadata=place)


def choose_all(dock):
    box = dock.input.main
    found = [i for i in range(box.count()) if box.itemText(i).endswith("one by one")]
    box.setCurrentIndex(found[0])


def column(dock, title):
    header = [dock.wells.table.horizontalHeaderItem(i).text() for i in range(dock.wells.table.columnCount())]
    at = next(i for i, text in enumerate(header) if text.startswith(title))
    return [dock.wells.table.item(i, at).text() for i in range(dock.wells.table.rowCount())]


def test_all_images_are_run_one_by_one_and_a_bad_one_keeps_its_line(viewer, dock):
    add_wells(viewer)
    viewer.add_image(np.full((64, 64), 7, np.uint16), name="well 4")
    choose_all(dock)
    assert dock.input.main.currentText() == "all 4 images, one by one"
    dock.run()
    assert column(dock, "Well") == ["P B01", "P B02", "P B03", "well 4"]
    assert column(dock, "ATP\n(RLU)")[3] == "–"
    assert column(dock, "Flags")[3] == "constant"
    assert [" to " in text for text in column(dock, "90% interval")] == [True, True, True, False]
    assert len(viewer.layers) == 4  # maps come with the well that is looked at
    assert dock.answer.detail.text() == "least and most of 3 pictures; 1 without a number"


SIMULATED_ONLY = "The model was trained on simulated images only: how it does on real ones is not known."


def test_the_badge_says_how_many_of_all_the_model_knows(viewer, dock):
    add_wells(viewer)
    inverted = make_well(9, 0, 0, 96).image
    viewer.add_image(inverted.max() - inverted, name="well 4")
    choose_all(dock)
    dock.run()
    assert [result.trust.level for result in dock._series.results] == ["fits", "fits", "fits", "outside"]
    told = "Of 4 images 1 lies outside what the model knows; their flags say which."
    assert dock.model.badge.trust == Trust("outside", (SIMULATED_ONLY, told))
    assert dock.model.reason.text() == f"{SIMULATED_ONLY} {told}"
    assert not dock.model.badge.isHidden()


def test_the_badge_of_many_is_not_green_where_that_cannot_be_known(viewer, dock):
    add_wells(viewer)
    choose_all(dock)
    dock.run()
    assert {result.trust.level for result in dock._series.results} == {"fits"}
    told = "All 3 images look like the training images."
    assert dock.model.badge.trust == Trust("unknown", (SIMULATED_ONLY, told))


def test_several_judgements_are_counted():
    assert of_many(["fits", "fits", "unknown"]) == Trust("fits", ("All 2 images look like the training images.",))
    assert of_many(["unsure", "fits"]).level == "unsure"
    assert of_many(["unsure", "outside", "fits"]).level == "outside"
    assert of_many(["unknown"]).level == "unknown"


def test_the_numbers_are_those_of_single_runs(viewer, dock):
    add_wells(viewer, 2)
    choose_all(dock)
    dock.run()
    many = [row["atp"] for row in dock.wells.rows]
    dock.input.main.choose(viewer.layers[1])
    dock.run()
    assert many[1] == dock.answer._result.rows[0]["atp"]
    assert dock.wells.rows == ()  # one well has no table of wells


def test_a_line_leads_to_its_well_with_maps_and_a_layer_to_its_line(viewer, dock):
    add_wells(viewer)
    choose_all(dock)
    dock.run()
    dock.wells.table.selectRow(1)
    assert [layer.visible for layer in viewer.layers if layer.name.startswith("well")][:3] == [False, True, False]
    names = [layer.name for layer in viewer.layers]
    assert "ATP map · well 2" in names
    dock.wells.table.selectRow(0)
    names = [layer.name for layer in viewer.layers]
    assert "ATP map · well 1" in names
    assert not any(name.endswith("· well 2") for name in names)
    viewer.layers.selection.active = viewer.layers["well 3"]
    assert dock.wells.current() == 2
    assert dock.input.main.currentText() == "all 3 images, one by one"


def test_the_answer_of_many_and_what_can_be_taken_out_are_in_view(viewer, dock):
    add_wells(viewer)
    choose_all(dock)
    dock.resize(364, 700)
    dock.show()
    settle()
    dock.settings.fold.expand()
    dock.run()
    settle()
    dock.wells.table.selectRow(1)
    settle()
    parts = [dock.run_button, dock.answer.number, dock.wells.save, dock.wells.export, dock.wells.command]
    for part in (*parts, *dock.export_box.buttons.values()):
        assert part.isVisible()
        assert part.visibleRegion().boundingRect().height() == part.height(), part.text()
    assert dock.wells.table.visibleRegion().boundingRect().height() > 4 * 22
    dock.hide()


def test_what_was_chosen_by_selection_stays_when_the_table_moves_it(viewer, dock):
    add_wells(viewer)
    viewer.layers.selection = {viewer.layers["well 1"], viewer.layers["well 3"]}
    box = dock.input.main
    texts = [box.itemText(i) for i in range(box.count())]
    box.setCurrentIndex(texts.index("all 2 images selected, one by one"))
    dock.run()
    dock.wells.table.selectRow(1)
    assert viewer.layers.selection.active is viewer.layers["well 3"]
    assert [layer.name for layer in dock.input.each()] == ["well 1", "well 3"]


def test_the_table_is_sorted_by_what_it_means_and_still_leads_right(viewer, dock):
    add_wells(viewer)
    choose_all(dock)
    dock.run()
    values = [row["atp"] for row in dock.wells.rows]
    dock.wells.table.sortByColumn(1, dock.wells.table.horizontalHeader().sortIndicatorOrder().DescendingOrder)
    shown = [dock.wells.table.item(i, 0).number for i in range(3)]
    assert shown == list(np.argsort(values)[::-1])
    dock.wells.table.selectRow(0)
    assert viewer.layers.selection.active.name == f"well {shown[0] + 1}"


def test_a_stack_leads_to_its_planes_and_back(viewer, dock):
    stack = np.stack([make_well(9, n, 0, 96).image for n in range(4)])
    stack[2] = 9  # nothing is in this plane; the others have their numbers
    viewer.add_image(stack, name="wells")
    dock.run()
    assert [len(row["flags"]) > 0 for row in dock.wells.rows] == [True] * 4  # no pixel size
    assert [row["status"] for row in dock.wells.rows] == ["WARN", "OK", "REJECTED", "OK"]
    assert dock.wells.rows[2]["flags"] == "pixel_size_unknown;constant"
    assert "constant" not in dock.wells.rows[0]["flags"]
    dock.wells.table.selectRow(3)
    assert viewer.dims.current_step[0] == 3
    viewer.dims.set_current_step(0, 1)
    assert dock.wells.current() == 1


@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet"])
def test_the_table_is_exported(viewer, dock, tmp_path, ending):
    add_wells(viewer, 2)
    choose_all(dock)
    dock.run()
    path = tmp_path / f"wells{ending}"
    dock.export(path)
    if ending == ".xlsx":
        first, *rest = openpyxl.load_workbook(path).active.values
        table = pd.DataFrame(rest, columns=first)
    else:
        table = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    assert table["well"].tolist() == ["B01", "B02"]
    np.testing.assert_allclose(table["atp"].astype(float), [row["atp"] for row in dock.wells.rows], rtol=1e-12)
    assert {"atp_low", "atp_high", "unit", "flags", "status", "model"} <= set(table)
    assert "of" not in table


def test_the_command_runs_all_files_again(viewer, dock, tmp_path):
    paths = []
    for n in range(2):
        paths.append(tmp_path / f"P_B{n + 1:02d}_1.tif")
        tifffile.imwrite(paths[-1], make_well(9, n, 0, 96).image)
        for data, options, _ in image_layers(open_group(find_groups([paths[-1]])[0])):
            viewer.add_image(data, **options)
    choose_all(dock)
    dock.run()
    dock.copy_command()
    text = QApplication.clipboard().text()
    assert text.startswith(f"vitascope run atp {paths[0]} {paths[1]} -o results")
    assert "maps=false" not in text


def test_wells_that_were_seen_on_several_days_are_drawn_as_curves(viewer, qtbot, quiet):
    dock = ViabilityDock(viewer, Runner(at_once, activity=False))
    assert dock.problem()
    for well in (2, 3):
        for day in (2, 10):
            image = make_spheroid(0, Setting(0, well, day, well - 2), 96).image
            own = {"place": WellPosition("P", f"B{well:02d}", "", f"d{day}"), "image": f"B{well:02d}_d{day}"}
            viewer.add_image(image, name=f"B{well:02d} d{day}", metadata={OWN: own})
    assert dock.problem() == "Choose the model by what is in your image."
    assert not dock.run_button.isEnabled()
    dock.model.model.setCurrentIndex(dock.model.model.findData("viability-spheroid-sim"))
    choose_all(dock)
    dock.run()
    assert column(dock, "Time") == ["d2", "d10", "d2", "d10"]
    dock.wells.tabs.setCurrentIndex(1)
    axes = dock.wells.plot.canvas.figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["d2", "d10"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["P B02", "P B03"]
    dock.close_down()
    settle()


def test_results_and_stains_are_no_wells(viewer, dock):
    add_wells(viewer, 2)
    stain = {OWN: {"channel_names": ("DAPI",), "image": "x"}}
    bright = {OWN: {"channel_names": ("Bright field",), "image": "x"}}
    viewer.add_image(np.zeros((8, 8)), name="stain", metadata=stain)
    viewer.add_image(np.zeros((8, 8)), name="light", metadata=bright)
    viewer.add_image(np.zeros((8, 8)), name="map", metadata={"provenance": {}})
    choose_all(dock)
    assert [layer.name for layer in dock.input.each()] == ["light", "well 1", "well 2"]
    assert all(isinstance(layer, Image) for layer in dock.input.each())


def test_the_places_that_count_most_are_listed_and_lead_into_the_picture(viewer, dock):
    viewer.add_image(make_well(9, 0, 0, 128).image, name="well", scale=(2.0, 2.0))
    dock.run()
    labels = next(layer for layer in viewer.layers if isinstance(layer, Labels))
    best = labels.features["contribution_rlu"].astype(float).nlargest(5).index.tolist()
    assert not dock.top_instances.isHidden()
    assert dock.top_instances.table.rowCount() == 5
    dock.top_instances.table.selectRow(0)
    assert (labels.selected_label, labels.show_selected_label) == (best[0], True)
    assert viewer.layers.selection.active is labels
    middle = 2.0 * np.argwhere(np.asarray(labels.data) == best[0]).mean(0)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], middle, atol=1e-6)


def test_the_places_are_those_of_the_plane_that_is_shown(viewer, dock):
    viewer.add_image(np.stack([make_well(9, n, 0, 96).image for n in range(2)]), name="wells")
    dock.run()
    labels = next(layer for layer in viewer.layers if isinstance(layer, Labels))
    for plane in (1, 0):
        viewer.dims.set_current_step(0, plane)
        dock.top_instances.table.selectRow(0)
        assert labels.selected_label in np.unique(np.asarray(labels.data)[plane])
        dock.top_instances.table.clearSelection()


def test_a_dot_of_the_plot_leads_to_its_well_once(viewer, dock):
    add_wells(viewer)
    choose_all(dock)
    dock.run()
    for tab in (1, 0, 1):
        dock.wells.tabs.setCurrentIndex(tab)
    canvas = dock.wells.plot.canvas
    (dots,) = [line for line in canvas.figure.axes[0].lines if hasattr(line, "well_rows")]
    shown = []
    dock.wells.chosen.connect(shown.append)
    event = PickEvent("pick_event", canvas, MouseEvent("button_press_event", canvas, 0, 0), dots, ind=[2])
    canvas.callbacks.process("pick_event", event)
    assert shown == [2]
    assert dock.wells.current() == 2


def test_save_all_writes_every_well_with_its_maps_and_the_numbers_that_are_shown(viewer, dock, tmp_path):
    add_wells(viewer)
    viewer.add_image(np.full((64, 64), 7, np.uint16), name="well 4")
    choose_all(dock)
    dock.run()
    dock.wells.table.selectRow(0)
    assert dock.export_box.buttons["save"].text() == "Save this well …"
    dock.wells.saveWanted.emit(str(tmp_path / "out"))
    assert dock.wells.said.text() == f"Saved to {tmp_path / 'out'}."
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table["image"].tolist() == ["well 1", "well 2", "well 3", "well 4"]
    assert table["atp"].tolist()[:3] == [row["atp"] for row in dock.wells.rows[:3]]
    assert table["status"].tolist()[3] == "REJECTED"
    names = sorted(path.name for path in (tmp_path / "out" / "maps").iterdir())
    assert [name for name in names if "percentile" not in name] == [f"well {n}.ome.tif" for n in (1, 2, 3)]
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert (provenance["task"], provenance["params"]["maps"], len(provenance["images"])) == ("atp", True, 3)
    dock.wells.saveWanted.emit(str(tmp_path / "out"))
    assert "already holds the results of a run" in dock.wells.said.text()


def test_a_list_that_is_not_saved_whole_leaves_nothing(viewer, dock, tmp_path):
    add_wells(viewer)
    items = dock._items(list(viewer.layers), [{"image": snapshot_layers((layer,))} for layer in viewer.layers])
    steps = save_layers(dock.spec, items, dock.spec.make_params(device="cpu"), tmp_path / "new" / "out")
    while next(steps).done < 2:
        assert not (tmp_path / "new" / "out" / "results.csv").exists()
    steps.close()
    assert not (tmp_path / "new" / "out").exists()
