"""The dock of plates on a viewer without a window; everything happens at once."""

import itertools
import shlex
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Labels, Layer
from napari.qt import get_stylesheet
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication

from gui_support import at_once, now, settle
from plate_support import SPEC, make_job, make_plate
from vitascope.batch.plate.image_quality import image_quality
from vitascope.batch.plate.results import open_plate_results, with_quality
from vitascope.batch.plate.run import run_plate
from vitascope.core.errors import ParameterError
from vitascope.core.paths import SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.core.well import Well
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.plate_dock import PlateDock
from vitascope.gui.layers.plate import site_layers
from vitascope.gui.plate.heatmap import colour_amounts, fade, kind_colours, limits
from vitascope.gui.plate.plate_run_words import proposed_folder
from vitascope.gui.reader import read
from vitascope.io.plates.read import open_plate
from vitascope.io.tables.plate_map import PlateMap, read_plate_map
from vitascope.tasks import registry

MAP = PlateMap.from_rows(
    [
        *({"well": f"A{k:02d}", "treatment": "DMSO", "role": "negative"} for k in (1, 2, 3)),
        *(
            {"well": f"A{k:02d}", "treatment": "Tox", "dose": "10", "dose_unit": "µM", "role": "positive"}
            for k in (4, 5)
        ),
    ]
)


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """Two fields a well; the first of A07 cannot be read."""
    folder = make_plate(tmp_path_factory.mktemp("plates") / "plate", 12, fields=2)
    (folder / "p_A07_s1_w1.tif").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def out(plate):
    run_to_end(run_plate(make_job(plate, plate.parent / "out", plate_map=MAP)))
    return plate.parent / "out"


@pytest.fixture
def dock(viewer, qtbot):
    made = PlateDock(viewer, Runner(at_once, activity=False), now)
    yield made
    made.close_down()
    settle()


def test_limits_leave_outliers_out_and_hold_for_all_plates():
    one = np.arange(200.0).reshape(10, 20)
    other = np.full((2, 3), np.nan)
    other[0, 0] = 1e6
    assert limits([one, other], robust=False) == (0, 1e6)
    assert limits([one, other], robust=True) == pytest.approx(np.percentile([*range(200), 1e6], (1, 99)))
    assert limits([np.full((2, 2), np.nan)], robust=True) == (0, 1)
    assert limits([np.full((2, 2), 5.0)], robust=True) == (5, 6)


def test_wells_without_a_number_are_empty_and_others_run_through_the_colours():
    rgba = colour_amounts(np.array([[0.0, 1.0, np.nan, 9.0]]), (0.0, 1.0), "gray")
    assert rgba[0, :, 3].tolist() == [255, 255, 0, 255]
    assert rgba[0, [0, 1, 3], 0].tolist() == [0, 255, 255]


def test_a_kind_has_the_same_colour_on_all_plates_and_a_filter_fades_the_rest():
    a, b = {Well(0, 0): "DMSO", Well(0, 1): "Tox"}, {Well(0, 0): "Tox"}
    colours = kind_colours([a, b])
    assert set(colours) == {"DMSO", "Tox"}
    assert colours["DMSO"] != colours["Tox"]
    faded = fade(np.full((1, 2, 4), 255, np.uint8), {Well(0, 1)})
    assert faded[0, 1, 3] == 255
    assert 0 < faded[0, 0, 3] < 100


def test_results_give_each_well_the_mean_median_and_cv_of_its_fields(out):
    results = open_plate_results(out)
    pictures = [np.random.default_rng((0, f)).integers(1, 200, (16, 16)).mean() * 2 for f in (0, 1)]
    assert results.amounts("mean", "mean")[0, 0] == pytest.approx(np.mean(pictures), rel=1e-6)
    assert results.amounts("mean", "median")[0, 0] == pytest.approx(np.median(pictures), rel=1e-6)
    assert results.amounts("mean", "cv_percent")[0, 0] == pytest.approx(
        100 * np.std(pictures, ddof=1) / np.mean(pictures), rel=1e-6
    )
    one_left = np.random.default_rng((6, 1)).integers(1, 200, (16, 16)).mean() * 2
    assert results.amounts("mean")[0, 6] == pytest.approx(one_left, rel=1e-6)
    assert np.isnan(results.amounts("mean")[1, 0])
    assert results.with_flag("unreadable") == {Well(0, 6)}
    assert results.kinds("treatment")[Well(0, 3)] == "Tox"
    assert "Tox" in results.describe(Well(0, 3), "mean")
    assert "10 µM" in results.describe(Well(0, 3), "mean")


def test_results_open_with_everything_and_a_click_shows_image_prediction_and_objects(dock, viewer, out, plate):
    dock.open_results(out)
    assert dock.heat.panels[0].grid.shape == (8, 12)
    dock.heat.choose("mean")
    dock.heat.panels[0].grid._go(Well(0, 1))
    assert [type(layer) for layer in viewer.layers] == [Image, Image, Labels]
    source = open_plate(plate).in_well("A02")[0].open()
    np.testing.assert_array_equal(viewer.layers[0].data, source.array)
    np.testing.assert_array_equal(viewer.layers[1].data, 2.0 * np.asarray(source.array))
    assert viewer.layers[2].features["label"].tolist() == [0, 1, 2]
    assert viewer.layers[2].features["mean"][1] == pytest.approx(2 * np.asarray(source.array)[:, :8].mean(), rel=1e-6)


def test_the_next_well_takes_the_layers_of_the_one_before_and_keeps_their_look(dock, viewer, out, plate):
    dock.open_results(out)
    grid = dock.heat.panels[0].grid
    grid._go(Well(0, 1))
    before = list(viewer.layers)
    viewer.layers[0].contrast_limits = (7, 77)
    viewer.layers[1].visible = False
    grid.setFocus()
    grid.keyPressEvent(FakeKey(Qt.Key.Key_Right))
    assert grid.current == Well(0, 2)
    assert list(viewer.layers) == before
    assert viewer.layers[0].contrast_limits == [7, 77]
    assert not viewer.layers[1].visible
    np.testing.assert_array_equal(viewer.layers[0].data, open_plate(plate).in_well("A03")[0].open().array)


class FakeKey:
    def __init__(self, key):
        self._key = key

    def key(self):
        return self._key


def test_a_well_that_cannot_be_shown_says_why(dock, viewer, out):
    dock.open_results(out)
    grid = dock.heat.panels[0].grid
    grid._go(Well(2, 2))  # nothing was taken there
    assert dock.note.text() == ""
    grid._go(Well(0, 6))
    assert "p_A07_s1_w1.tif" in dock.note.text()
    grid._go(Well(0, 0))
    assert dock.note.text() == ""
    assert len(viewer.layers) == 3


def test_what_is_saved_is_what_is_shown(dock, out, tmp_path):
    dock.open_results(out)
    dock.heat.choose("mean")
    for ending in ("png", "svg", "csv"):
        dock.heat.save_as(tmp_path / f"map.{ending}")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "map.svg").read_bytes()
    table = pd.read_csv(tmp_path / "map.csv").set_index("well")
    assert table.loc["A01", "mean"] == pytest.approx(open_plate_results(out).amounts("mean")[0, 0])
    with pytest.raises(ParameterError, match=r"End the name in \.png"):
        dock.heat.save_as(tmp_path / "map.bmp")


def test_several_plates_stand_side_by_side_with_common_limits(dock, out, tmp_path, plate):
    run_to_end(run_plate(make_job(plate, tmp_path / "second", gain=4.0)))
    dock.open_results(out)
    dock.open_results(tmp_path / "second", beside=True)
    dock.heat.choose("mean")
    dock.heat.robust.setChecked(False)
    assert len(dock.heat.panels) == 2
    both = np.concatenate([one.amounts("mean").ravel() for one in dock.results])
    assert (dock.heat.legend.legend.low, dock.heat.legend.legend.high) == (np.nanmin(both), np.nanmax(both))


def test_the_quality_of_the_plate_is_listed(dock, out):
    dock.open_results(out)
    table = dock.quality.table
    measured = [table.horizontalHeaderItem(j).text() for j in range(1, table.columnCount())]
    assert "Mean" in measured


def test_a_map_is_painted_on_chosen_wells_and_goes_with_the_run(dock, plate):
    dock.input.open(plate)
    dock.map.grid.choose({Well(0, 0), Well(0, 1)})
    dock.map.editors["treatment"].setText("DMSO")
    dock.map.editors["role"].setCurrentText("negative")
    dock.map.paint_wells()
    assert dock.run.plate_map.row("p", "A02")["role"] == "negative"
    dock.map.grid.choose({Well(0, 1)})
    dock.map.empty_wells()
    assert dock.run.plate_map.row("p", "A02") == {}
    dock.map.editors["dose"].setText("ten")
    dock.map.grid.choose({Well(0, 2)})
    dock.map.paint_wells()
    assert "ten" in dock.map.note.text()


def test_a_map_survives_saving_and_loading(dock, plate, tmp_path):
    dock.input.open(plate)
    dock.map.set_value(MAP)
    dock.map.value().save(tmp_path / "map.csv")
    dock.map.set_value(None)
    assert dock.map.value() is None
    dock.map.load(tmp_path / "map.csv")
    pd.testing.assert_frame_equal(dock.map.value().table, MAP.table)


def test_a_frame_chooses_the_wells_below_it(dock, plate):
    grid = dock.map.grid
    grid.resize(400, 300)
    side, left, top = grid._layout(grid.size())
    wells = grid._framed(
        QPoint(int(left + 0.5 * side), int(top + 0.5 * side)), QPoint(int(left + 1.5 * side), int(top + 2.5 * side))
    )
    assert wells == {Well(r, c) for r in range(3) for c in range(2)}
    assert grid.well_at(QPoint(int(left + 3.5 * side), int(top + 0.5 * side))) == Well(0, 3)


def test_the_pattern_shows_what_it_matches_as_it_is_typed(dock, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ("x=A=1=s2.tif", "x=B=2=s1.tif", "notes.tif"):
        (folder / name).write_bytes(b"")
    dock.input.open(folder)
    dock.input.pattern.setText(r"x=(?P<row>[A-H])=(?P<column>\d+)=s(?P<field>\d+)\.tif")
    dock.input.show_preview()
    assert dock.input.matched.text().startswith(("2 of 3", "0 of 3"))


def test_stack_or_projection_is_chosen_where_a_plate_has_both(dock, tmp_path):
    folder = tmp_path / "mixed"
    for z in (1, 2):
        (folder / f"ZStep_{z}").mkdir(parents=True)
        (folder / f"ZStep_{z}" / "P_B02_s1_w1.tif").touch()
    (folder / "P_B02_s1_w1.tif").touch()
    dock.input.open(folder)
    assert [len(site.paths) for site in dock.input.value()] == [2]
    assert "projections" in dock.input.note.text()
    dock.input.planes.setCurrentIndex(dock.input.planes.findData("projection"))
    assert [len(site.paths) for site in dock.input.value()] == [1]
    assert dock.input.chosen_planes() == "projection"


def test_a_plate_is_run_from_the_dock_and_its_numbers_show(dock, plate, tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.gui.plate.plate_run_box.find_task", lambda name: SPEC)
    dock.input.open(plate)
    dock.run.model.value = lambda: {"device": "cpu"}
    dock.run.settings.value = lambda: SPEC.make_params()
    dock.run.channel.setEnabled(False)
    dock.run.out.setText(str(tmp_path / "out"))
    dock.run.run()
    assert dock.run.status.text().startswith("Done: 23 good, 1 failed.")
    assert len(dock.results) == 1
    assert dock.heat.column.count() > 0
    assert dock.run.run_button.text() == "Run the plate"


def test_thumbnails_show_every_well_and_fade_by_flag(dock, out, plate):
    dock.open_results(out)
    dock.thumbs.load()
    wells = {site.well for site in open_plate(plate)}
    assert set(dock.thumbs.grid.pictures) == wells - {Well(0, 6)}  # its first field cannot be read
    dock.thumbs.flag.setCurrentIndex(dock.thumbs.flag.findData("unreadable"))
    assert dock.thumbs.grid.kept == open_plate_results(out).with_flag("unreadable")


@pytest.mark.gui
def test_the_dock_opens_from_the_menu(make_napari_viewer, out):
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("vitascope", "Plate")
    dock.open_results(Path(out))
    dock.heat.panels[0].grid._go(Well(0, 0))
    end = time.monotonic() + 20
    while not viewer.layers and time.monotonic() < end:
        settle()
        time.sleep(0.01)
    assert len(viewer.layers) == 3


def test_a_results_folder_opens_as_layers_and_the_dock_takes_it_up(viewer, out, qtbot):
    for layer in read(str(out)):
        viewer.add_layer(Layer.create(*layer))
    assert [type(layer) for layer in viewer.layers] == [Image, Image, Labels]
    made = PlateDock(viewer, Runner(at_once, activity=False), now)
    assert made.results[0].folder == out
    assert made.input.value().name == "p"
    before = list(viewer.layers)
    made.heat.panels[0].grid._go(Well(0, 1))
    assert list(viewer.layers) == before
    made.close_down()
    settle()


def test_the_dock_follows_a_plate_that_is_opened_in_napari(dock, viewer, plate, tmp_path):
    other = make_plate(tmp_path / "other", 4)
    for folder in (plate, other):
        found = open_plate(folder)
        for layer in site_layers(found, found.sites[0]):
            viewer.add_layer(Layer.create(*layer))
        assert dock.input.value().path == folder


def test_a_map_that_lies_with_the_images_is_taken_and_goes_with_its_plate(dock, plate, tmp_path):
    mapped = make_plate(tmp_path / "mapped", 5)
    MAP.save(mapped / "plate_map.csv")
    dock.input.open(mapped)
    assert dock.run.plate_map.row("p", "A04")["treatment"] == "Tox"
    assert "5 wells" in dock.run.map_note.text()
    dock.input.open(plate)
    assert dock.run.plate_map is None
    dock.map.set_value(MAP)  # the user's own stays
    dock.input.open(mapped)
    dock.input.open(plate)
    assert dock.run.plate_map is not None


def test_the_run_is_copied_as_a_command_that_does_the_same(dock, plate, tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.gui.plate.plate_run_box.find_task", lambda name: SPEC)
    dock.input.open(plate)
    dock.map.set_value(MAP)
    dock.run.model.value = lambda: {"device": "cpu"}
    dock.run.settings.value = lambda: SPEC.make_params(gain=3.0)
    dock.run.channel.setEnabled(False)
    dock.run.out.setText(str(tmp_path / "out"))
    dock.run.pixel_size.setText("0,65")
    dock.run.redo.setChecked(True)
    job = dock.run.job()
    assert (job.pixel_size_um, job.redo) == (0.65, True)
    dock.run.copy_button.click()
    words = shlex.split(QGuiApplication.clipboard().text())
    assert words[:3] == ["vitascope", "plate", str(plate)]
    told = dict(itertools.pairwise(words))
    assert (told["--pixel-size-um"], told["--set"], told["--device"]) == ("0.65", "gain=3.0", "cpu")
    assert read_plate_map(told["--map"]).row("p", "A04")["treatment"] == "Tox"
    assert "--redo" in words
    dock.run.pixel_size.setText("small")
    dock.run.run_button.click()
    assert "'small' is no length" in dock.run.status.text()


def test_the_run_is_copied_as_python_that_uses_public_names_only_and_does_the_same(dock, plate, tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.gui.plate.plate_run_box.find_task", lambda name: SPEC)
    monkeypatch.setattr(registry, "TASKS", (SPEC,))
    dock.input.open(plate)
    dock.map.set_value(MAP)
    dock.run.model.value = dict
    dock.run.settings.value = lambda: SPEC.make_params(gain=3.0)
    dock.run.channel.setEnabled(False)
    dock.run.out.setText(str(tmp_path / "out"))
    dock.run.pixel_size.setText("0,65")
    dock.run.python_button.click()
    code = QGuiApplication.clipboard().text()
    used = {part.split("(")[0] for part in code.split("vitascope.")[1:]}
    assert used == {"read_plate", "run_plate"}
    scope = {}
    exec(code, scope)
    assert sum(scope["report"].counts.values()) == len(open_plate(plate))
    found = dock.run.job()
    assert run_to_end(run_plate(found)).computed == 0  # the dock takes it for the same run
    dock.run.workers.setValue(2)
    dock.run.python_button.click()
    assert 'if __name__ == "__main__":' in QGuiApplication.clipboard().text()
    compile(QGuiApplication.clipboard().text(), "copied", "exec")


def test_results_are_never_proposed_inside_the_plate_or_the_package(plate, tmp_path):
    assert proposed_folder(open_plate(plate)) == plate.parent / "p_results"
    assert proposed_folder(open_plate(SAMPLES / "plate23997_rowA")).parent == Path.home()


def test_focus_and_exposure_show_as_a_heat_map_and_beside_what_was_measured(dock, viewer, out, plate):
    dock.input.open(plate)
    dock.quality.look_button.click()
    assert "of 24 images have a flag" in dock.quality.said.text()
    table = run_to_end(image_quality(open_plate(plate))).set_index("image")
    shown = dock.heat.panels[0].results
    assert dock.heat.column.currentData() == "focus"
    assert shown.amounts("focus", "mean")[0, 0] == pytest.approx(table[table["well"] == "A01"]["focus"].mean())
    dock.heat.panels[0].grid._go(Well(0, 1))
    assert len(viewer.layers) == 1
    dock.open_results(out)
    assert {"focus", "mean"} <= set(dock.heat.panels[0].results.number_columns())
    some = replace(open_plate_results(out), frame=open_plate_results(out).frame.iloc[:2])
    both = with_quality(some, table.reset_index())
    assert len(both.frame) == 24
    assert np.isfinite(both.amounts("focus")[0, 4])
    assert both.describe(Well(0, 4), "mean") == "A05 · Mean: –, –"
    assert dock.quality.look_button.text() == "Look at focus and exposure"


def test_the_plate_is_saved_as_ome_zarr_and_what_cannot_be_read_is_said(dock, plate, tmp_path):
    dock.input.open(plate)
    dock.export_button.save(tmp_path / "copy")
    assert "23 images written" in dock.note.text()
    assert "p_A07_1" in dock.note.text()
    copied = open_plate(tmp_path / "copy.zarr")
    source = open_plate(plate).in_well("A02")[1].open()
    np.testing.assert_array_equal(np.asarray(copied.in_well("A02")[1].open().array), source.array)
    dock.export_button.save(tmp_path / "copy.zarr")
    assert "exists already" in dock.note.text()


def test_the_names_of_all_tabs_are_in_view(dock, qtbot):
    dock.setStyleSheet(get_stylesheet("dark"))
    dock.resize(dock.minimumWidth(), 700)
    with qtbot.waitExposed(dock):
        dock.show()
    bar = dock.tabs.tabBar()
    assert bar.tabRect(bar.count() - 1).right() <= dock.tabs.width()
    dock.hide()
