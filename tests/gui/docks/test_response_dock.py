"""The dock Response on a viewer without a window; everything happens at once."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
from matplotlib.backend_bases import MouseEvent
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea
from typer.testing import CliRunner

from gui_support import at_once, now, settle
from plate_support import SPEC, make_job, make_plate
from response_support import logistic
from vitascope.batch.plate.run import run_plate
from vitascope.batch.response.views import amount_text
from vitascope.cli.main import app
from vitascope.core.progress import run_to_end
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.response_dock import ResponseDock
from vitascope.gui.response.compare_box import compared, heat_table
from vitascope.gui.response.next_box import NextBox
from vitascope.io.tables.plate_map import PlateMap
from vitascope.tasks import registry

DOSES = np.repeat([0.1, 0.3, 1.0, 3.0, 10.0, 30.0], 3)


def table(names=("A", "B"), ic50s=(1.0, 3.0), noise=2.0):
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"treatment": n, "well": [f"{'AB'[i]}{k + 1:02d}" for k in range(18)], "dose": DOSES,
                      "dose_unit": "µM", "value": logistic(DOSES, ic50=ic50) + rng.normal(0, noise, 18)})
        for i, (n, ic50) in enumerate(zip(names, ic50s, strict=True))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def dock(qtbot, tmp_path):
    made = ResponseDock(ViewerModel(), Runner(at_once, activity=False), now)
    qtbot.addWidget(made)
    table().to_csv(tmp_path / "wells.csv", index=False)
    made.open_results(tmp_path / "wells.csv")
    yield made
    made.close_down()


def click(plot, axes, x, y):
    at = axes.transData.transform((x, y))
    plot.canvas.draw()
    plot.canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", plot.canvas, *at, button=1))


def test_opening_a_table_shows_its_curves_at_once(dock):
    assert [view.row["treatment"] for view in dock.views] == ["A", "B"]
    assert "2 curves: 2 good" in dock.note.text()
    assert len(dock.grid.shown()) == 2
    assert dock.table.rowCount() == 2
    assert dock.table.horizontalHeaderItem(2).text() == "IC50 (µM)"


def test_a_click_on_a_curve_shows_it_large_and_a_click_on_a_point_chooses_it(dock):
    dock.grid.plot.canvas.draw()
    axes = dock.grid._axes[1]
    click(dock.grid.plot, axes, 0.12, 20)
    assert dock.curve.view.row["treatment"] == "B"
    assert dock.tabs.currentIndex() == 1
    point = dock.views[0].points.iloc[4]
    click(dock.grid.plot, dock.grid._axes[0], point["dose"], point["normalised"])
    assert dock.curve.chosen() == dock.views[0].points.index[4]
    assert "image is not known here" in dock.note.text()


def test_points_are_left_out_and_taken_back(dock):
    dock._choose(0)
    before = dock.views[0].row["ic50"]
    dock.curve.choose(int(dock.views[0].points.index[9]))
    dock.curve.toggle_button.click()
    assert (dock.views[0].row["n"], dock.views[0].row["ic50"] != before) == (17, True)
    assert dock.views[0].points["reason"].iloc[9] == "left out by hand"
    assert dock.curve.toggle_button.text() == "Take point back"
    dock.curve.undo_button.click()
    assert (dock.views[0].row["n"], dock.views[0].row["ic50"]) == (18, before)
    assert not dock.curve.undo_button.isEnabled()


def test_plateaus_are_dragged_held_and_freed(dock):
    dock._choose(0)
    before, other = dock.views[0].row["ic50"], dock.views[1].row["ic50"]
    large = dock.curve.large
    large.plot.canvas.draw()
    level = float(large._lines["bottom"][0].get_ydata()[0])
    click(large.plot, large._main, 0.15, level)
    for name, call in (("motion_notify_event", 3.0), ("button_release_event", 3.0)):
        at = large._main.transData.transform((0.15, call))
        large.plot.canvas.callbacks.process(name, MouseEvent(name, large.plot.canvas, *at, button=1))
    assert dock.views[0].row["bottom"] == pytest.approx(3, abs=0.2)
    assert dock.views[1].row["ic50"] == other
    dock.curve.free_button.click()
    assert dock.views[0].row["ic50"] == pytest.approx(before)


def test_search_sort_and_compare(dock):
    dock.compare.first.setCurrentText("B")
    dock.compare.second.setCurrentText("A")
    assert "The IC50 of B is" in dock.compare.said.text()
    ratio = float(dock.compare.said.text().split("IC50 of B is ")[1].split()[0])
    assert ratio == pytest.approx(dock.views[1].row["ic50"] / dock.views[0].row["ic50"], rel=0.01)
    dock.table.sortItems(2)
    assert dock.table.item(0, 0).text().startswith("A")
    dock.filter.setText("b")
    assert [view.row["treatment"] for view in dock.grid.shown()] == ["B"]


def test_what_is_copied_gives_the_same_numbers(dock, tmp_path):
    dock.form.setValue(dock.form.value().model_copy(update={"interval": "delta", "direction": "falls"}))
    dock.fit()
    dock.take.copy(1)
    words = shlex.split(QGuiApplication.clipboard().text())
    done = CliRunner().invoke(app, [*words[1:-1], str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = pd.read_csv(tmp_path / "out" / "curves.csv")
    np.testing.assert_allclose(written["ic50_low"], [view.row["ic50_low"] for view in dock.views])
    dock.take.copy(0)
    scope = {}
    exec(QGuiApplication.clipboard().text(), scope)
    np.testing.assert_array_equal(scope["result"].curves["ic50"], dock.result.curves["ic50"])


def test_everything_can_be_saved_with_what_was_changed_by_hand(dock, tmp_path):
    dock._choose(0)
    dock._toggle(int(dock.views[0].points.index[3]))
    for name in ("t.csv", "t.xlsx", "t.parquet", "f.svg", "f.png"):
        (dock.take.save_figure if name[0] == "f" else dock.take.save_table)(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 500
    dock.take.save_all(tmp_path / "all")
    again = CliRunner().invoke(app, ["response", str(tmp_path / "all" / "wells.csv"), "--value", "value", "-o",
                                     str(tmp_path / "again")])  # fmt: skip
    assert again.exit_code == 0, again.output
    assert (tmp_path / "all" / "curves.csv").read_bytes() == (tmp_path / "again" / "curves.csv").read_bytes()
    dock.take.save_report(tmp_path / "r.html")
    assert dock.views[0].answer in (tmp_path / "r.html").read_text(encoding="utf-8")
    told = json.loads((tmp_path / "all" / "provenance.json").read_text())
    assert told["task"] == "response"
    assert str(tmp_path / "all" / "wells.csv") in told["command"]


def test_what_was_changed_by_hand_is_copied_with_the_wells(dock, tmp_path, monkeypatch):
    dock._choose(0)
    before = dock.views[0].row["ic50"]
    dock._toggle(int(dock.views[0].points.index[3]))
    dock.analysis.hold(dock.views[0], "bottom", 5.0)
    dock.fit()
    assert dock.views[0].row["ic50"] != before
    monkeypatch.setattr("vitascope.gui.response.take_box.getsavefilename", lambda *_: (str(tmp_path / "w.csv"), ""))
    dock.take.copy(1)
    words = shlex.split(QGuiApplication.clipboard().text())
    done = CliRunner().invoke(app, [*words[1:-1], str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = pd.read_csv(tmp_path / "out" / "curves.csv")
    np.testing.assert_allclose(written["ic50"], [view.row["ic50"] for view in dock.views])
    dock.take.copy(0)
    scope = {}
    exec(QGuiApplication.clipboard().text(), scope)
    np.testing.assert_array_equal(scope["result"].curves["ic50"], dock.result.curves["ic50"])


def test_a_script_never_overwrites_the_table_it_came_from(dock, monkeypatch):
    dock._choose(0)
    dock._toggle(int(dock.views[0].points.index[3]))
    source = dock.analysis.sources[0]
    before = source.read_bytes()
    monkeypatch.setattr("vitascope.gui.response.take_box.getsavefilename", lambda *_: (str(source), ""))
    dock.take.copy(1)
    assert source.read_bytes() == before
    assert "Give another name" in dock.note.text()


def test_several_sources_are_told_apart(dock, tmp_path):
    table(("A", "C")).to_csv(tmp_path / "other.csv", index=False)
    dock.open_results(tmp_path / "other.csv", beside=True)
    assert [view.title for view in dock.views] == ["A · wells", "B · wells", "A · other", "C · other"]


def test_what_cannot_be_opened_is_a_sentence_and_the_curves_stay(dock, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    dock.open_results(tmp_path / "bad.csv")
    assert dock.note.text()
    assert len(dock.views) == 2
    dock.open_results(tmp_path / "none.csv")
    assert "none.csv" in dock.note.text()


def test_a_point_of_a_plate_run_opens_its_well_and_the_button_of_the_plate(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, SPEC))
    folder = make_plate(tmp_path / "plate", 12)
    wells = sorted({path.name.split("_")[1] for path in folder.glob("*.tif")})
    rows = [{"well": w, "treatment": "X", "dose": str(10.0 ** (k // 2 - 2)), "dose_unit": "µM", "role": "treated"}
            for k, w in enumerate(wells)]  # fmt: skip
    run_to_end(run_plate(make_job(folder, tmp_path / "out", plate_map=PlateMap.from_rows(rows))))
    viewer = ViewerModel()
    dock = ResponseDock(viewer, Runner(at_once, activity=False), now)
    qtbot.addWidget(dock)
    dock.open_results(tmp_path / "out")
    assert len(dock.views) == 1
    row = int(dock.views[0].points.index[2])
    dock.open_point(row)
    assert viewer.layers
    assert dock.analysis.image_of(row)[2] == wells[2]
    box = NextBox(viewer, Runner(at_once, activity=False))
    qtbot.addWidget(box)
    said = []
    box.spoke.connect(said.append)
    from vitascope.batch.plate.results import open_plate_results

    box.set_results([open_plate_results(tmp_path / "out")])
    assert box.curves_button.isEnabled()
    box.open_curves()
    box.save_report(tmp_path / "r.html")
    assert (tmp_path / "r.html").exists()
    assert "Plugins" in said[0]
    dock.close_down()


def test_names_with_tags_are_shown_as_they_are_and_every_quality_is_counted(qtbot, tmp_path):
    made = ResponseDock(ViewerModel(), Runner(at_once, activity=False), now)
    qtbot.addWidget(made)
    flat = table(("<i>C</i>",), (1e9,), noise=5.0).assign(dose_unit="nM")
    nano = table(("B",), (3.0,)).assign(dose=lambda t: t["dose"] * 1000, dose_unit="nM")
    pd.concat([table(("<b>A</b>",), (1.0,)), nano, flat], ignore_index=True).to_csv(tmp_path / "wells.csv", index=False)
    made.open_results(tmp_path / "wells.csv")
    assert "3 curves: 2 good, 1 flat." in made.note.text()
    made._choose(0)
    assert made.curve.answer.textFormat() == Qt.TextFormat.PlainText
    assert made.curve.answer.text().startswith("<b>A</b>")
    # 3,000 nM are more than 1 µM: sorted by amount, each with its unit; a flat curve has no ratio
    made.table.sortItems(2)
    assert [made.table.item(row, 0).text() for row in range(2)] == ["<b>A</b>", "B"]
    assert [made.table.item(row, 2).text().split()[1] for row in range(2)] == ["µM", "nM"]
    heat = heat_table(made.views)
    assert 10 ** (heat.loc["B"].iloc[0] - heat.loc["<b>A</b>"].iloc[0]) == pytest.approx(3, rel=0.2)
    assert np.isnan(heat.loc["<i>C</i>"].iloc[0])
    assert compared(made.views, "B", "<i>C</i>") == "<i>C</i>: flat: no IC50, so there is no ratio."
    made.close_down()


@pytest.fixture
def on_screen(dock, qtbot):
    """The dock on a screen as small as a laptop's."""
    dock.resize(430, 690)
    dock.show()
    qtbot.waitExposed(dock)
    dock._choose(0)
    qtbot.wait(50)
    return dock


def pixel(large, x, y):
    """Where a value stands on the canvas, in Qt's pixels."""
    at, canvas = large._main.transData.transform((x, y)), large.plot.canvas
    return QPoint(round(at[0] / canvas.device_pixel_ratio), round(canvas.height() - at[1] / canvas.device_pixel_ratio))


def drag(large, start, end):
    canvas, left = large.plot.canvas, Qt.MouseButton.LeftButton
    QTest.mousePress(canvas, left, pos=start)
    for share in (0.3, 0.7, 1.0):
        QTest.mouseMove(canvas, QPoint(start.x(), round(start.y() + share * (end.y() - start.y()))))
        settle()
    QTest.mouseRelease(canvas, left, pos=end)


@pytest.mark.parametrize(("name", "level"), [("top", 90.0), ("bottom", 12.0)])
def test_plateaus_follow_the_mouse_and_say_where_they_are(on_screen, name, level):
    large = on_screen.curve.large
    line, label = large._lines[name]
    drag(large, pixel(large, 0.15, line.get_ydata()[0]), pixel(large, 0.15, level))
    assert on_screen.analysis.held(on_screen.views[0])[name] == pytest.approx(level, abs=3)
    assert float(label.get_text().split()[1]) == pytest.approx(level, abs=3)
    on_screen.curve.undo_button.click()
    assert on_screen.analysis.held(on_screen.views[0]) == {}


def test_a_plateau_can_be_dragged_beyond_the_axes_and_a_click_alone_holds_nothing(on_screen):
    large = on_screen.curve.large
    start = pixel(large, 0.15, large._lines["bottom"][0].get_ydata()[0])
    QTest.mouseClick(large.plot.canvas, Qt.MouseButton.LeftButton, pos=start)
    assert not on_screen.analysis.can_undo
    lowest = large._main.get_ylim()[0]
    drag(large, start, pixel(large, 0.15, lowest - 5))
    assert on_screen.analysis.held(on_screen.views[0])["bottom"] == pytest.approx(lowest - 5, abs=3)


def test_both_plateaus_are_freed_in_one_step(on_screen):
    on_screen._hold("top", 90.0)
    on_screen._hold("bottom", 12.0)
    on_screen.curve.free_button.click()
    assert on_screen.analysis.held(on_screen.views[0]) == {}
    on_screen.curve.undo_button.click()
    assert on_screen.analysis.held(on_screen.views[0]) == {"top": 90.0, "bottom": 12.0}


def test_the_whole_plot_is_in_view_on_a_small_screen_and_stays_there_after_undo(on_screen, qtbot):
    area = next(one for one in on_screen.findChildren(QScrollArea) if one.isAncestorOf(on_screen.curve))
    canvas = on_screen.curve.large.plot.canvas
    assert canvas.mapTo(area.viewport(), canvas.rect().bottomLeft()).y() <= area.viewport().height()
    on_screen._hold("top", 90.0)
    QTest.mouseClick(on_screen.curve.undo_button, Qt.MouseButton.LeftButton)
    qtbot.wait(50)
    assert not on_screen.curve.undo_button.isEnabled()
    assert area.verticalScrollBar().value() == 0


def test_settings_stand_in_a_tab_of_their_own_and_fitting_leads_back_to_the_curves(on_screen):
    height = on_screen.minimumSizeHint().height()
    tabs = on_screen.tabs
    tabs.setCurrentIndex([tabs.tabText(at) for at in range(tabs.count())].index("Settings"))
    assert on_screen.minimumSizeHint().height() == height < 690
    on_screen.fit_button.click()
    assert tabs.tabText(tabs.currentIndex()) == "All curves"
    assert "Click a curve" in on_screen.note.text()


def test_the_heat_map_of_ic50s_has_numbers_in_its_cells_and_plain_ones_on_its_bar(dock, tmp_path):
    table(ic50s=(0.4, 6.0)).to_csv(tmp_path / "wide.csv", index=False)
    dock.open_results(tmp_path / "wide.csv")
    axes, bar = dock.compare.heat.figure.axes
    assert [text.get_text() for text in axes.texts] == [amount_text(view.row["ic50"]) for view in dock.views]
    dock.compare.heat.canvas.draw()
    shown = [text.get_text() for text in bar.get_yticklabels()]
    assert len(shown) > 1
    assert set(shown) <= {"0.5", "1", "2", "5"}
