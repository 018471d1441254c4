"""Nothing painted is lost, and the last results come back after a restart."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels

from gui_support import at_once as at_once_in_tests
from gui_support import settle
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks import task_dock, wells_dock
from vitascope.gui.docks.atp_dock import AtpDock
from vitascope.gui.docks.plate_dock import PlateDock
from vitascope.gui.session import folder
from vitascope.gui.session.autosave import autosave_of
from vitascope.gui.session.folder import keep_painted, keep_plate, last_session, own_session, read_painted, read_runs
from vitascope.gui.session.reopen_box import ReopenBox
from vitascope.simulate.wells import make_well

SHAPE = (30, 40)


@pytest.fixture(autouse=True)
def _own_sessions(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setattr(task_dock, "show_info", lambda text: None)


def restart(monkeypatch, name="99999999-000000-1"):
    """Be another start of napari."""
    monkeypatch.setattr(folder, "_OWN", name)
    return ViewerModel()


def at_once(work, then):
    then(work())


def write_image(path, array):
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, array)


def picture():
    return np.random.default_rng(0).random(SHAPE, np.float32)


def test_painted_labels_are_on_disk_a_moment_after_a_stroke(viewer, make_dock, qtbot):
    make_dock()
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="scribbles", scale=(0.5, 0.5), units=("um", "um"))
    assert read_painted(own_session()) == []
    layer.paint((5, 6), 3)
    assert autosave_of(viewer)._wait.isActive()
    qtbot.waitUntil(lambda: len(read_painted(own_session())) == 1, timeout=10_000)
    (painted,) = read_painted(own_session())
    np.testing.assert_array_equal(painted.array, layer.data)
    layer.undo()
    qtbot.waitUntil(lambda: not read_painted(own_session())[0].array.any(), timeout=10_000)
    settle()


def test_a_stroke_just_before_the_dock_goes_is_kept(viewer, make_dock):
    dock = make_dock()
    layer = viewer.add_labels(np.zeros(SHAPE, int), name="mine")
    layer.fill((0, 0), 2)
    dock.close_down()
    (painted,) = read_painted(own_session())
    assert (painted.array == 2).all()


def test_the_last_results_come_back_with_image_and_what_was_painted(viewer, make_dock, monkeypatch, qtbot):
    viewer.add_image(picture(), name="A05", scale=(0.5, 0.5), units=("um", "um"))
    dock = make_dock()
    dock.run_button.click()
    nuclei = viewer.layers["nuclei · A05"]
    nuclei.data_setitem((np.array([0]), np.array([39])), 7)
    mine = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="mine", translate=(3, 4))
    mine.paint((5, 6), 3)
    shown = {layer.name: np.array(layer.data) for layer in viewer.layers}
    dock.close_down()
    after = restart(monkeypatch)
    box = ReopenBox(after, at_once)
    qtbot.addWidget(box)
    assert not box.button.isHidden()
    assert "A05" in box.button.toolTip()
    box.button.click()
    assert {layer.name for layer in after.layers} == set(shown)
    for layer in after.layers:
        np.testing.assert_array_equal(np.asarray(layer.data), shown[layer.name])
    assert tuple(after.layers["predicted DNA · A05"].scale) == (0.5, 0.5)
    assert tuple(after.layers["mine"].translate) == (3, 4)
    assert after.layers["predicted DNA · A05"].visible
    assert after.layers["nuclei · A05"].metadata["provenance"]["model"] == "fake-model"
    assert box.button.isHidden()


def test_of_several_images_the_last_one_is_seen_again(viewer, make_dock, monkeypatch, qtbot):
    dock = make_dock()
    for name in ("A05", "A06"):
        viewer.add_image(picture(), name=name)
        dock.run_button.click()
    after = restart(monkeypatch)
    box = ReopenBox(after, at_once)
    qtbot.addWidget(box)
    box.button.click()
    assert len(after.layers) == 6
    assert sorted(layer.name for layer in after.layers if layer.visible) == ["A06", "predicted DNA · A06"]


def test_a_second_run_on_the_same_image_takes_the_place_of_the_first(viewer, make_dock):
    viewer.add_image(picture(), name="A05")
    dock = make_dock()
    dock.run_button.click()
    dock.run_button.click()
    (run,) = read_runs(own_session())
    assert sorted(one.name for one in own_session().glob("run-*")) == [f"run-{run['number']}"]
    viewer.add_image(picture(), name="A06")
    dock.run_button.click()
    assert [run["image"] for run in read_runs(own_session())] == ["A05", "A06"]


def test_where_nothing_was_kept_nothing_is_offered(viewer, qtbot):
    box = ReopenBox(viewer, at_once)
    qtbot.addWidget(box)
    assert last_session() is None
    assert box.isHidden()


def test_it_is_offered_in_an_empty_viewer_only(viewer, make_dock, monkeypatch):
    keep_painted("a", folder.Painted(np.ones((3, 3), int), {"name": "mine"}))
    dock = make_dock(viewer=restart(monkeypatch))
    assert not dock.reopen_box.button.isHidden()
    dock._viewer.add_image(picture())
    assert dock.reopen_box.button.isHidden()


def test_old_sessions_go_and_a_broken_file_does_no_harm(monkeypatch):
    for number in range(5):
        monkeypatch.setattr(folder, "_OWN", f"2026010{number}-000000-1")
        keep_painted("a", folder.Painted(np.full((3, 3), number), {"name": "mine"}))
    names = sorted(one.name for one in own_session().parent.iterdir())
    assert len(names) == folder.SESSIONS_KEPT
    assert names[-1] == own_session().name
    (own_session() / folder.PAINTED / "a.npz").write_bytes(b"broken")
    assert read_painted(own_session()) == []
    restart(monkeypatch)
    assert last_session() is not None


def test_an_image_that_is_gone_is_named_and_its_results_are_shown(viewer, make_dock, monkeypatch, qtbot):
    viewer.add_image(picture(), name="A05")
    make_dock().run_button.click()
    for path in own_session().glob("image-*/*"):
        path.unlink()
    after = restart(monkeypatch)
    box = ReopenBox(after, at_once)
    qtbot.addWidget(box)
    box.button.click()
    assert "A05" in box.said.text()
    assert any(isinstance(layer, Labels) for layer in after.layers)


@pytest.fixture
def wells(viewer, qtbot, monkeypatch):
    """Two wells that were run one by one."""
    monkeypatch.setattr(wells_dock, "show_info", lambda text: None)
    dock = AtpDock(viewer, Runner(at_once_in_tests, activity=False))
    for n in range(2):
        viewer.add_image(make_well(9, n, 0, 96).image, name=f"well {n + 1}")
    viewer.add_image(np.full((64, 64), 7, np.uint16), name="empty")
    box = dock.input.main
    box.setCurrentIndex(next(i for i in range(box.count()) if box.itemText(i).endswith("one by one")))
    dock.run_button.click()
    yield dock
    dock.close_down()
    settle()


def test_images_that_were_run_one_by_one_come_back_with_their_numbers(wells, monkeypatch, qtbot):
    texts = [wells.wells.table.item(row, 1).text() for row in range(3)]
    after = restart(monkeypatch)
    box = ReopenBox(after, at_once)
    qtbot.addWidget(box)
    box.button.click()
    told = [[box.table.item(row, column).text() for column in range(4)] for row in range(3)]
    assert [line[:2] for line in told] == [
        ["empty", "Estimate ATP"],
        ["well 1", "Estimate ATP"],
        ["well 2", "Estimate ATP"],
    ]
    assert [line[2] for line in told[1:]] == [f"{text} RLU" for text in texts[1:]]
    assert all(line[3].startswith("90% interval ") for line in told[1:])
    assert told[0][2] == "No number"
    assert [layer.name for layer in after.layers if layer.visible] == ["well 2"]
    box.table.selectRow(1)
    assert [layer.name for layer in after.layers if layer.visible] == ["well 1"]
    assert after.layers.selection.active is after.layers["well 1"]
    after.layers.clear()
    box.layers_changed()
    assert box.table.isHidden()
    assert not box.button.isHidden()


def test_one_of_many_that_was_looked_at_comes_back_with_its_map(wells, monkeypatch, qtbot):
    wells.wells.table.selectRow(1)
    runs = read_runs(own_session())
    assert sorted(run["image"] for run in runs) == ["empty", "well 1", "well 2"]
    assert runs[-1]["image"] == "well 1"
    after = restart(monkeypatch)
    box = ReopenBox(after, at_once)
    qtbot.addWidget(box)
    box.button.click()
    assert [layer.name for layer in after.layers if layer.visible] == ["well 1", "ATP map · well 1"]


def test_the_dock_of_plates_alone_saves_what_is_painted(viewer, qtbot):
    dock = PlateDock(viewer, Runner(at_once_in_tests, activity=False), launch=at_once)
    layer = viewer.add_labels(np.zeros(SHAPE, int), name="mine")
    layer.fill((0, 0), 2)
    dock.close_down()
    settle()
    (painted,) = read_painted(own_session())
    assert (painted.array == 2).all()


def test_a_plate_that_was_run_comes_back_in_the_dock_of_plates(viewer, qtbot, tmp_path, monkeypatch):
    for number, well in enumerate(("A01", "A02")):
        write_image(tmp_path / "plate" / f"P_{well}.tif", make_well(9, number, 0, 96).image)
    first = PlateDock(viewer, Runner(at_once_in_tests, activity=False), launch=at_once)
    first.input.open(tmp_path / "plate")
    first.run.task.setCurrentIndex(first.run.task.findData("atp"))
    first.run.out.setText(str(tmp_path / "out"))
    first.run.run_button.click()
    assert first.heat.isVisibleTo(first)
    shown = first.results[0].frame
    first.close_down()
    after = restart(monkeypatch)
    second = PlateDock(after, Runner(at_once_in_tests, activity=False), launch=at_once)
    assert not second.reopen_box.button.isHidden()
    second.reopen_box.button.click()
    assert [one.folder for one in second.results] == [tmp_path / "out"]
    pd.testing.assert_frame_equal(second.results[0].frame, shown)
    assert second.tabs.currentWidget() is second.heat
    assert second.input.value().path == tmp_path / "plate"
    second.close_down()
    settle()


def test_a_plate_that_was_moved_is_said(viewer, qtbot, tmp_path, monkeypatch):
    keep_plate(tmp_path / "gone", "P 1")
    box = ReopenBox(restart(monkeypatch), at_once)
    qtbot.addWidget(box)
    box.button.click()
    assert "P 1" in box.said.text()
