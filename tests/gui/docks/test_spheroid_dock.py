"""The dock "Segment spheroid": two layers of a stack, masks in 3-D, numbers that follow the brush."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from napari.layers import Labels, Layer

from gui_support import at_once, settle
from spheroid_support import SPHEROID, save_by_brightness, stack
from vitascope.core.progress import run_to_end
from vitascope.gui.common.plots import draw_spheroid
from vitascope.gui.common.runner import Runner, RunOutcome
from vitascope.gui.docks.spheroid_dock import SpheroidDock, with_new_masks
from vitascope.gui.layers.add import image_layers
from vitascope.tasks.run import start

SETTINGS = {"precision": "f32", "tile_px": 256, "threads": 1}


@pytest.fixture
def open_dock(viewer, tmp_path, monkeypatch, qtbot):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_by_brightness(folder)
    docks = []

    def make():
        dock = SpheroidDock(viewer, Runner(at_once, activity=False))
        dock.model.model.setCurrentIndex(dock.model.model.findData("bright"))
        dock.settings.setValue(dock.settings.value().changed(**SETTINGS))
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        if dock._open:
            dock.close_down()
    docks.clear()
    settle()


@pytest.fixture
def run_dock(viewer, open_dock):
    image = stack()
    for one in image_layers(image):
        viewer.add_layer(Layer.create(*one))
    dock = open_dock()
    dock.run()
    return dock


def masks(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def test_two_layers_of_a_stack_are_run_as_from_python(viewer, run_dock):
    expected = run_to_end(start("spheroid", stack(), model="bright", device="cpu", **SETTINGS))
    live, dead = masks(viewer)
    np.testing.assert_array_equal(live.data, expected.output("labels").array)
    np.testing.assert_array_equal(dead.data, expected.output("dead").array)
    assert tuple(live.scale) == (4.0, 2.0, 2.0)
    assert f"{expected.rows[0]['viability_percent']:.3g}" in run_dock.answer.number.text()


def test_numbers_follow_the_brush_and_its_undo(viewer, run_dock):
    live, _ = masks(viewer)
    before = run_dock._shown.result.rows[0]
    where = np.nonzero(live.data)
    live.data_setitem(where, 0)
    assert run_dock._wait.isActive()
    run_dock.measure_again()
    erased = run_dock._shown.result.rows[0]
    assert erased["viability_percent"] == 0.0
    assert erased["dead_voxels"] == before["dead_voxels"]
    live.undo()
    run_dock.measure_again()
    assert run_dock._shown.result.rows[0]["live_voxels"] == before["live_voxels"]


def test_without_a_dead_dye_painting_gives_no_viability(viewer, open_dock):
    (live_layer,) = image_layers(stack(SPHEROID.image[:1], ("calcein",)))
    viewer.add_layer(Layer.create(*live_layer))
    dock = open_dock()
    dock.run()
    live, dead = masks(viewer)
    before = dock._shown.result.rows[0]["live_voxels"]
    z, y, x = (int(part[0]) for part in np.nonzero(live.data))
    live.data_setitem((np.array([z]), np.array([y]), np.array([x])), 0)
    dead.data_setitem((np.array([z]), np.array([y]), np.array([x])), 1)
    dock.measure_again()
    result = dock._shown.result
    assert result.rows[0]["live_voxels"] == before - 1
    assert np.isnan([result.rows[0][name] for name in ("viability_percent", "dead_um3", "total_um3")]).all()
    assert result.output("labels").table["viability_percent"].isna().all()
    assert draw_spheroid(Figure(), result) == 0


def test_the_last_stroke_decides_between_live_and_dead(viewer, run_dock):
    live, dead = masks(viewer)
    before = run_dock._shown.result.rows[0]
    dead.data_setitem(np.nonzero(live.data), 1)
    run_dock.measure_again()
    after = run_dock._shown.result.rows[0]
    assert after["live_voxels"] == 0
    assert after["dead_voxels"] == before["dead_voxels"] + before["live_voxels"]


def test_masks_that_were_not_touched_give_the_same_numbers(tmp_path):
    result = run_to_end(start("spheroid", stack(), model=str(save_by_brightness(tmp_path)), device="cpu", **SETTINGS))
    again = run_to_end(with_new_masks(result, result.output("labels").array, result.output("dead").array, stack()))
    for name in ("live_um3", "dead_um3", "viability_percent", "sphericity", "equivalent_diameter_um", "mean_density"):
        assert again.rows[0][name] == pytest.approx(result.rows[0][name])


def test_the_plot_shows_the_live_share_of_every_spheroid_by_depth(run_dock):
    figure = Figure()
    assert draw_spheroid(figure, run_dock._shown.result) == 1
    shells = run_dock._shown.result.tables["shells"]
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), 100 * shells["live_fraction"])


def test_one_plane_is_told_to_be_no_stack_before_anything_is_asked_of_its_dye(viewer, open_dock):
    viewer.add_image(np.random.default_rng(0).random((40, 40), np.float32), name="flat")
    dock = open_dock()
    assert not dock.run_button.isEnabled()
    assert "from 3 planes up. Open the whole z-stack" in dock.status.text()
    assert dock.cure() is None


def test_masks_painted_while_another_dock_runs_are_measured_after_it(viewer, run_dock):
    live, _ = masks(viewer)
    number = run_dock.answer.number.text()
    other = Runner(lambda runner, work: None, activity=False)
    other.start("another run", lambda: iter(()))
    live.data_setitem(np.nonzero(live.data), 0)
    run_dock._wait.stop()
    run_dock.measure_again()
    assert run_dock.answer.number.text() == number
    assert run_dock._wait.isActive()
    other.on_end(RunOutcome("cancelled"))
    run_dock.measure_again()
    assert run_dock._shown.result.rows[0]["viability_percent"] == 0.0
