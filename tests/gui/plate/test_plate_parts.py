"""What the Plate dock shows before, during and after a run; everything happens at once."""

import math

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from gui_support import at_once, now, settle
from plate_support import SPEC, make_job, make_plate
from vitascope.batch.plate.results import PlateResults
from vitascope.batch.plate.run import run_plate
from vitascope.batch.plate.tables import judged_columns
from vitascope.core.formatting import end_texts
from vitascope.core.progress import run_to_end
from vitascope.core.well import Well
from vitascope.gui.common.layout import RUN_STYLE
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.plate_dock import PlateDock
from vitascope.gui.layers.plate import plate_layers
from vitascope.gui.plate.heatmap import Legend
from vitascope.gui.plate.heatmap_box import HeatmapBox
from vitascope.gui.plate.legend_bar import LINE_PX, LegendBar
from vitascope.gui.plate.plate_run_box import previewed_texts
from vitascope.gui.plate.plate_view import PlateView
from vitascope.gui.plate.quality_box import COLUMNS, QualityBox
from vitascope.io.plates.read import open_plate
from vitascope.io.tables.plate_map import PlateMap
from vitascope.stats.plate_quality import z_prime

MAP = PlateMap.from_rows(
    [
        *({"well": f"A{k:02d}", "treatment": "DMSO", "role": "negative"} for k in (1, 2, 3)),
        *({"well": f"A{k:02d}", "treatment": "Tox", "role": "positive"} for k in (4, 5)),
    ]
)


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return make_plate(tmp_path_factory.mktemp("plates") / "plate", 12, fields=2)


@pytest.fixture(scope="module")
def out(plate):
    """A run without a plate map."""
    run_to_end(run_plate(make_job(plate, plate.parent / "out")))
    return plate.parent / "out"


@pytest.fixture
def dock(viewer, qtbot):
    made = PlateDock(viewer, Runner(at_once, activity=False), now)
    yield made
    made.close_down()
    settle()


@pytest.fixture
def ready(dock, plate, tmp_path, monkeypatch):
    """A dock with a plate and a task that needs no model."""
    monkeypatch.setattr("vitascope.gui.plate.plate_run_box.find_task", lambda name: SPEC)
    monkeypatch.setattr("vitascope.gui.docks.plate_dock.find_task", lambda name: SPEC)
    dock.input.open(plate)
    dock.run.model.value = lambda: {"device": "cpu"}
    dock.run.settings.value = lambda: SPEC.make_params()
    dock.run.channel.setEnabled(False)
    dock.run.out.setText(str(tmp_path / "out"))
    return dock


def figures(dock, name):
    """One figure of the Quality table, by number measured."""
    table, row = dock.quality.table, list(COLUMNS).index(name)
    return {table.horizontalHeaderItem(j).text(): table.item(row, j).text() for j in range(1, table.columnCount())}


def test_a_map_loaded_after_the_run_fills_quality_at_once(dock, out, tmp_path):
    dock.open_results(out)
    assert dock.quality.table.columnCount() == 1
    MAP.save(tmp_path / "late.csv")
    dock.map.load(tmp_path / "late.csv")
    numbers = dock.results[0].amounts("mean")[0]
    assert figures(dock, "z_prime")["Mean"] == f"{z_prime(numbers[:3], numbers[3:5]):.3g}"
    assert dock.heat.panels[0].results.kinds("role")[Well(0, 3)] == "positive"
    dock.map.grid.choose({Well(0, 3), Well(0, 4)})
    dock.map.empty_wells()
    assert figures(dock, "z_prime")["Mean"] == ""


def test_ends_of_intervals_are_not_judged_and_other_numbers_are():
    names = ["atp", "atp_low", "atp_high", "viability_percent", "viability_low", "viability_high", "dose_low", "cells"]
    frame = pd.DataFrame({name: [1.0, 2.0] for name in names})
    assert judged_columns(frame) == ["atp", "viability_percent", "dose_low", "cells"]


def test_each_figure_of_quality_says_which_way_is_good(dock, out):
    dock.map.set_value(MAP)
    dock.open_results(out)
    dock.map.set_value(MAP)
    table = dock.quality.table
    assert table.horizontalHeaderItem(0).text() == "Good is"
    good = {table.verticalHeaderItem(i).text(): table.item(i, 0).text() for i in range(table.rowCount())}
    assert all(good.values())
    assert good["Z'"] == "higher: above 0.5"
    assert good["CV of negative (%)"] == "lower: below 20"


def test_the_wells_in_use_fill_the_space(qtbot):
    view = PlateView()
    qtbot.addWidget(view)
    view.set_colours(np.zeros((16, 24, 4), np.uint8))
    view.resize(420, 420)
    before = view._layout(view.size())[0]
    used = {Well(row, column) for row in (3, 4, 5) for column in (2, 3, 4, 5)}
    view.fill_with(used)
    side, left, top = view._layout(view.size())
    assert side > 4 * before
    for well in used:
        centre = QPoint(int(left + (well.column + 0.5) * side), int(top + (well.row + 0.5) * side))
        assert view.rect().contains(centre)
        assert view.well_at(centre) == well
    assert view.well_at(QPoint(int(left + 6.5 * side), int(top + 3.5 * side))) is None
    steps = []
    view.clicked.connect(steps.append)
    view.set_current(Well(3, 5))
    QTest.keyClick(view, Qt.Key.Key_Right)
    QTest.keyClick(view, Qt.Key.Key_Up)
    assert steps == [Well(3, 2), Well(5, 2)]
    view.fill_with(())
    assert view._layout(view.size())[0] == before


def test_a_cut_plate_draws_the_colours_of_its_wells(qtbot):
    view = PlateView()
    qtbot.addWidget(view)
    rgba = np.zeros((8, 12, 4), np.uint8)
    rgba[2, 3], rgba[2, 4] = (255, 0, 0, 255), (0, 0, 255, 255)
    view.set_colours(rgba)
    view.fill_with({Well(2, 3), Well(2, 4)})
    view.resize(220, 120)
    picture = view.grab().toImage()
    side, left, top = view._layout(view.size())
    scale = picture.width() / view.width()
    for column, colour in ((3, (255, 0, 0)), (4, (0, 0, 255))):
        x, y = int(scale * (left + (column + 0.5) * side)), int(scale * (top + 2.5 * side))
        assert picture.pixelColor(x, y).getRgb()[:3] == colour


def test_the_heat_map_shows_the_wells_in_use_or_the_whole_plate(dock, out):
    dock.open_results(out)
    grid = dock.heat.panels[0].grid
    assert grid.window == (range(1), range(12))
    dock.heat.whole.setChecked(True)
    assert grid.window == (range(8), range(12))


def test_a_legend_names_every_kind_on_as_many_lines_as_it_needs(qtbot):
    legend = LegendBar()
    qtbot.addWidget(legend)
    kinds = {f"treatment number {k}": "#0072B2" for k in range(12)}
    legend.resize(300, 40)
    legend.show_legend(Legend(kinds=kinds), "Treatment")
    places = legend.places(300)
    assert [name for name, *_ in places] == list(kinds)
    for name, _, left, top in places:
        assert left + legend.fontMetrics().horizontalAdvance(name) <= 300
        assert top + LINE_PX <= legend.height()


def test_the_map_has_a_legend_for_its_roles(dock, plate):
    dock.input.open(plate)
    assert not dock.map.legend.isVisibleTo(dock.map)
    dock.map.set_value(MAP)
    dock.map.show_by.setCurrentIndex(dock.map.show_by.findData("role"))
    assert list(dock.map.legend.legend.kinds) == ["negative", "positive"]
    assert dock.map.legend.isVisibleTo(dock.map)


def test_a_slider_sets_the_size_of_thumbnails(dock, plate, qtbot):
    dock.input.open(plate)
    dock.thumbs.load()
    dock.thumbs.size.setValue(120)
    grid = dock.thumbs.grid
    assert grid.minimumWidth() >= 12 * 120
    assert grid._layout(QSize(grid.minimumWidth(), grid.minimumHeight()))[0] == 120
    assert "120" in dock.thumbs.size_text.text()
    dock.thumbs.size.setValue(0)
    assert grid.minimumWidth() == 0
    assert grid._layout(QSize(300, 300))[0] < 30


def test_fields_have_a_slider_and_the_canvas_names_the_well(dock, viewer, out, plate):
    dock.open_results(out)
    dock.heat.panels[0].grid._go(Well(0, 1))
    text = viewer.canvas.overlays.text
    assert (text.text, text.visible) == ("A02 · field 1", True)
    assert dock.fields.slider.maximum() == 1
    assert dock.fields.said.text() == "1 of 2"
    dock.fields.slider.setValue(1)
    assert text.text == "A02 · field 2"
    second = open_plate(plate).in_well("A02")[1].open()
    np.testing.assert_array_equal(viewer.layers[0].data, second.array)
    dock.heat.panels[0].grid._go(Well(0, 2))
    assert (dock.fields.slider.value(), text.text) == (0, "A03 · field 1")
    dock.close_down()
    assert not text.visible


def test_one_negative_and_one_positive_control_are_previewed_side_by_side(ready, viewer, plate, tmp_path):
    assert not ready.run.preview_button.isEnabled()
    assert "name controls in the map" in ready.run.wells.note.text()
    ready.map.set_value(MAP)
    assert ready.run.preview_button.text() == "Preview A01, A04"
    ready.run.preview_button.click()
    assert ready.run.status.text().startswith("Preview, not kept: negative A01: Mean ")
    assert "; positive A04: Mean " in ready.run.status.text()
    assert viewer.canvas.overlays.text.text == "negative A01   |   positive A04"
    images = [
        layer for layer in viewer.layers if isinstance(layer, Image) and "channel" in layer.metadata["vitascope_well"]
    ]
    left, right = images
    sites = [open_plate(plate).in_well(well)[0].open() for well in ("A01", "A04")]
    np.testing.assert_array_equal(left.data, sites[0].array)
    np.testing.assert_array_equal(right.data, sites[1].array)
    assert right.extent.world[0][-1] > left.extent.world[1][-1]
    assert sum(isinstance(layer, Labels) for layer in viewer.layers) == 2
    assert not (tmp_path / "out").exists()
    assert ready.results == []
    assert ready.run.run_button.text() == "Run the plate"


def test_a_well_after_a_preview_fills_the_view_and_no_other_image_of_the_plate_is_seen(ready, viewer, plate, out):
    for layer in plate_layers([open_plate(plate)]):
        viewer.add_layer(Layer.create(*layer))
    (opened,) = list(viewer.layers)
    mine = viewer.add_image(np.zeros((4, 4)), name="mine")
    ready.map.set_value(MAP)
    ready.run.preview_button.click()
    assert not opened.visible
    assert mine.visible
    assert viewer.canvas.overlays.text.font_size < 14  # two names have room beside the colour bar
    beside = viewer.scene.camera.zoom
    ready.open_results(out)
    ready.heat.panels[0].grid._go(Well(0, 1))
    assert viewer.scene.camera.zoom > beside
    assert viewer.layers.selection.active.metadata["vitascope_well"] == "channel 0"
    zoomed = viewer.scene.camera.zoom = 3 * viewer.scene.camera.zoom
    ready.heat.panels[0].grid._go(Well(0, 2))
    assert viewer.scene.camera.zoom == zoomed  # from well to well the view stays


def test_a_frame_drawn_on_the_plate_chooses_the_wells_to_preview(ready):
    ready.map.set_value(MAP)
    grid = ready.run.wells.grid
    grid.resize(400, 140)
    side, left, top = grid._layout(grid.size())
    start, end = (QPoint(int(left + x * side), int(top + 0.5 * side)) for x in (6.5, 7.5))
    QTest.mousePress(grid, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(grid, end)
    QTest.mouseRelease(grid, Qt.MouseButton.LeftButton, pos=end)
    QApplication.processEvents()
    assert ready.run.preview_button.text() == "Preview A07, A08"
    ready.run.preview_button.click()
    assert "A07: Mean" in ready.run.status.text()


def test_progress_shows_on_the_grid_and_the_answer_comes_to_the_front(ready, monkeypatch):
    monkeypatch.setattr("vitascope.gui.docks.plate_dock.LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr("vitascope.batch.plate.run.MOST_IN_CHUNK", 1)  # a fast machine takes all at once
    seen = []
    ready.run.progressed.connect(lambda: seen.append(dict(ready.run.wells._states)))
    assert set(ready.run.wells._states.values()) == {"waiting"}
    ready.tabs.setCurrentWidget(ready.run)
    ready.run.run()
    done = [sum(state == "OK" for state in states.values()) for states in seen]
    assert done == sorted(done)
    assert any(0 < count < 12 for count in done)
    assert list(ready.run.wells.legend.legend.kinds) == ["12 good"]
    assert ready.tabs.currentWidget() is ready.heat
    assert ready.heat.column.currentData() == "mean"
    assert ready.run.run_button.styleSheet() == RUN_STYLE


def test_settings_have_room_on_a_small_screen_and_a_run_brings_its_wells_into_view(ready, monkeypatch):
    monkeypatch.setattr("vitascope.batch.plate.run.MOST_IN_CHUNK", 1)
    ready.resize(420, 700)  # what a screen of 768 lines leaves
    ready.tabs.setCurrentWidget(ready.run)
    ready.show()
    settle()
    room, bar = ready.run.area.viewport().height(), ready.run.area.verticalScrollBar()
    assert room >= 240
    asked = (ready.run.task, ready.run.out, ready.run.model)
    assert all(part.mapTo(ready.run.area.widget(), QPoint(0, 0)).y() < room for part in asked)
    foot = ready.run.run_button.mapTo(ready, QPoint(0, ready.run.run_button.height()))
    assert foot.y() < ready.height()
    bar.setValue(0)
    ready.run.run()
    settle()
    top = ready.run.wells.grid.mapTo(ready.run.area.widget(), QPoint(0, 0)).y()
    assert bar.value() <= top < bar.value() + room
    ready.hide()


def test_doses_are_drawn_while_no_well_has_a_number(tmp_path, qtbot):
    names = ["image", "plate", "well", "field", "time", "status", "flags", "message", "viability", "unit", "dose"]
    rows = [(f"i{k}", "p", f"A0{k}", "", "", "REJECTED", "", "", math.nan, "of control", 10.0**k) for k in (1, 2)]
    box = HeatmapBox()
    qtbot.addWidget(box)
    box.set_results([PlateResults(tmp_path, "p", "viability", 2, 3, pd.DataFrame(rows, columns=names), 0)])
    assert box.column.currentData() == "dose"
    np.testing.assert_array_equal(box._results[0].amounts("dose"), [[10, 100, math.nan], [math.nan] * 3])


def test_a_grid_takes_no_more_height_than_its_wells_need(qtbot):
    grid = PlateView(most_px=110)
    qtbot.addWidget(grid)
    grid.set_colours(np.zeros((16, 24, 4), np.uint8))
    grid.resize(404, 300)
    grid.show()
    assert grid.height() == 110
    grid.fill_with(Well(0, column) for column in range(24))
    side = (404 - 20) / 24
    assert grid.height() == max(40, round(20 + side))
    assert grid.well_at(QPoint(21, 21)) == Well(0, 0)
    free = PlateView()
    qtbot.addWidget(free)
    free.resize(404, 300)
    assert free.height() == 300


def test_chances_and_ends_of_scales_are_told_as_exactly_as_they_are_known(qtbot):
    box = QualityBox(Runner(at_once, activity=False))
    qtbot.addWidget(box)
    row = {"plate": "P", "value": "atp", "time": "", **dict.fromkeys(COLUMNS, 1.0), "row_p": 3.76e-6, "edge_p": 0.447}
    box.show_table(pd.DataFrame([row]))
    told = {heading: box.table.item(line, 1).text() for line, (heading, _, _) in enumerate(COLUMNS.values())}
    assert (told["Row p"], told["Edge p"], told["Z'"]) == ("below 0.001", "0.447", "1")
    assert end_texts(8588.7, 83162.0) == ("8,600", "83,200")


def test_a_preview_says_unit_and_no_more_digits_than_the_interval_allows(tmp_path):
    row = {"image": "a", "status": "OK", "atp": 415901.2, "atp_low": 350000.0, "atp_high": 480000.0, "unit": "RLU"}
    rows = [row, {**row, "image": "b", "atp": math.nan, "status": "REJECTED"}]
    results = PlateResults(tmp_path, "P", "atp", 8, 12, pd.DataFrame(rows), 1)
    told = previewed_texts(results, {"a": "negative A01", "b": "positive A12"}, "atp")
    assert told == ["negative A01: ATP 416,000 RLU", "positive A12: no number"]
