"""Every contribution of the manifest, once, in a real viewer; what napari makes of it."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton
from superqt import QCollapsible

from gui_support import settle
from tests_support import make_model, save_model
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.run.object_table import ObjectTable
from vitascope.tasks.registry import TASKS

SEED = 3
"""Of random weights that find a few objects in noise."""

MANIFEST = PluginManifest.from_distribution("vitascope")
CONTRIBUTIONS = MANIFEST.contributions


def test_every_command_of_the_manifest_is_there():
    for command in CONTRIBUTIONS.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_task_has_its_dock_and_menu_entry():
    titles = [widget.display_name for widget in CONTRIBUTIONS.widgets]
    menus = [item.command for items in CONTRIBUTIONS.menus.values() for item in items]
    for spec in TASKS:
        assert spec.title in titles
        assert f"vitascope.{spec.name}" in menus


def test_every_dock_of_work_is_in_a_menu_that_napari_opens_to_plugins():
    from napari._app_model.constants import MenuId

    assert set(CONTRIBUTIONS.menus) <= {menu.value for menu in MenuId.contributables()}
    menus = [item.command for items in CONTRIBUTIONS.menus.values() for item in items]
    assert {"vitascope.plate", "vitascope.train"} <= set(menus)


def test_no_command_makes_napari_look_for_an_icon_on_the_network():
    assert not [command.id for command in CONTRIBUTIONS.commands if command.icon]


@pytest.fixture
def plugin():
    """The plugin as installed; a reload is undone."""
    manager = PluginManager.instance()
    if "vitascope" not in manager:
        manager.register(MANIFEST)
    yield manager
    if manager.is_disabled("vitascope"):
        manager.enable("vitascope")


@pytest.fixture
def real_viewer(make_napari_viewer, plugin):
    return make_napari_viewer()


@pytest.mark.gui
@pytest.mark.fault("H28")
@pytest.mark.parametrize("key", [sample.key for sample in CONTRIBUTIONS.sample_data])
def test_every_sample_opens(real_viewer, no_network, key):
    layers = real_viewer.open_sample("vitascope", key)
    assert layers
    for layer in layers:
        assert layer.source.sample == ("vitascope", key)


@pytest.mark.gui
def test_files_open_with_our_reader(real_viewer, tmp_path):
    array = np.random.default_rng(0).integers(0, 99, (32, 32), np.uint16)
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata={"axes": "YX", **sizes})
    (layer,) = real_viewer.open(str(tmp_path / "a.ome.tif"), plugin="vitascope")
    np.testing.assert_array_equal(layer.data, array)
    assert tuple(layer.scale) == (0.5, 0.5)


@pytest.fixture
def small_model(tmp_path, monkeypatch):
    """A network with random weights as the only model at hand, with all that is measured on a machine given."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_model(make_model(SEED, model_id="tiny", planes=1, object_diameter_px=12.0), folder)


def ready(dock):
    dock.model.model.setCurrentIndex(dock.model.model.findData("tiny"))
    for name, value in {"precision": "f32", "tile_px": "320", "threads": "1", "min_contrast": "0"}.items():
        dock.settings.editors[name].widget.value = value
    return dock


@pytest.mark.gui
def test_the_dock_runs_and_its_table_is_linked_both_ways(real_viewer, small_model, qtbot):
    rng = np.random.default_rng(0)
    real_viewer.add_image(rng.integers(0, 4000, (64, 96), np.uint16), name="field", scale=(0.5, 0.5))
    _, dock = real_viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
    assert isinstance(dock, StainDock)
    ready(dock)
    with qtbot.waitSignal(dock.runner.ended, timeout=60_000) as caught:
        dock.run_button.click()
    assert caught.args[0].kind == "done", caught.args[0].message
    labels = next(layer for layer in real_viewer.layers if isinstance(layer, Labels))
    count = int(labels.data.max())
    assert count >= 2
    assert set(np.unique(labels.data)) == set(range(count + 1))
    dock.export_box.open_table()
    table = next(w for w in real_viewer.window.dock_widgets.values() if isinstance(w, ObjectTable))
    model = table.view.model()
    assert model.rowCount() == count  # the background is no object
    header = [model.headerData(c, Qt.Orientation.Horizontal) for c in range(model.columnCount())]
    texts = {model.data(model.index(row, c)) for row in range(count) for c in range(len(header))}
    assert not {"nan", "", None} & texts
    # from the table to the picture, also when it is sorted by area
    area = header.index("Area (px²)")
    table.view.sortByColumn(area, Qt.SortOrder.DescendingOrder)
    seen, sizes = [], []
    for row in range(count):
        table.view.selectRow(row)
        seen.append(int(labels.selected_label))
        sizes.append((labels.data == seen[-1]).sum())
        assert float(model.data(model.index(row, area)).replace(",", "")) == sizes[-1]
    assert sorted(seen) == list(range(1, count + 1))
    assert sizes == sorted(sizes, reverse=True)
    # from the picture to the table
    labels.selected_label = count
    assert table.current() == count
    dock.export_box.open_table()
    assert sum(isinstance(w, ObjectTable) for w in real_viewer.window.dock_widgets.values()) == 1
    real_viewer.layers.remove(labels)
    assert not dock.export_box.buttons["table"].isEnabled()
    assert model.rowCount() == 0


@pytest.mark.gui
@pytest.mark.fault("H09")
def test_the_bar_in_the_activity_dock_cancels(real_viewer, small_model, qtbot):
    from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar

    real_viewer.add_image(np.random.default_rng(0).integers(0, 4000, (64, 96), np.uint16))
    _, dock = real_viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
    ready(dock)
    before = len(real_viewer.layers)
    with qtbot.waitSignal(dock.runner.ended, timeout=20_000) as caught:
        dock.run_button.click()
        bars = real_viewer.window._qt_window.findChildren(QtLabeledProgressBar)
        (bar,) = [b for b in bars if "Predict nuclei" in b.description_label.text()]
        assert not bar.cancel_button.isHidden()
        bar.cancel_button.click()
    assert caught.args[0].kind == "cancelled"
    assert len(real_viewer.layers) == before


@pytest.mark.gui
@pytest.mark.fault("H04")
def test_closing_the_dock_or_the_viewer_during_a_run_is_fine(make_napari_viewer, plugin, small_model, qtbot):
    for close in ("dock", "viewer"):
        viewer = make_napari_viewer()
        viewer.add_image(np.random.default_rng(0).integers(0, 4000, (64, 96), np.uint16))
        widget, dock = viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
        ready(dock)
        runner = dock.runner
        with qtbot.waitSignal(runner.ended, timeout=20_000):
            dock.run_button.click()
            if close == "dock":
                widget.destroyOnClose()
            else:
                viewer.close()
        assert Runner.busy is None
        settle()


TOGGLE = """
import napari
from npe2 import PluginManager
from qtpy.QtWidgets import QMenu

manager = PluginManager.instance()
viewer = napari.Viewer(show=False)
_, dock = viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
for _ in range(3):
    manager.disable("vitascope")
    manager.enable("vitascope")
_, again = viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
assert list(viewer.window.dock_widgets.values()) == [again]
assert again is dock or not dock._open  # napari closed it with the plugin
menu = viewer.window.plugins_menu
menu.aboutToShow.emit()
titles = [action.text() for action in menu.actions() if "vitascope" in action.text()]
print(titles)
viewer.close()
"""


@pytest.mark.gui
@pytest.mark.fault("H16")
def test_disabling_and_enabling_leaves_one_menu_entry_and_no_orphan():
    # napari's own handlers pile up over the viewers of one test session, hence a program of its own
    done = subprocess.run([sys.executable, "-c", TOGGLE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1] == "['vitascope']"  # one submenu, of all docks


@pytest.mark.gui
@pytest.mark.fault("H26")
def test_ten_docks_of_a_real_viewer_leave_nothing(make_napari_viewer, plugin):
    from qtpy.QtWidgets import QApplication

    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((8, 8)))

    def once():
        widget, dock = viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
        del dock
        widget.destroyOnClose()
        settle()

    once()
    before = len(QApplication.allWidgets())
    for _ in range(10):
        once()
    assert len(QApplication.allWidgets()) <= before


@pytest.mark.gui
@pytest.mark.fault("H17")
def test_the_dock_follows_the_theme(real_viewer):
    _, dock = real_viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
    colours = set()
    for theme in ("light", "dark"):
        real_viewer.theme = theme
        colours.add(dock._text_colour())
    assert len(colours) == 2


def test_every_button_says_on_hover_what_it_does(viewer, qtbot):
    names = sorted({command.python_name for command in CONTRIBUTIONS.commands if "docks." in command.python_name})
    untold = []
    for module, name in (one.split(":") for one in names):
        kind = getattr(importlib.import_module(module), name)
        if not isinstance(kind, type):
            continue  # another way to the dock of a class
        dock = kind(viewer, Runner(activity=False))
        folds = {fold.toggleButton() for fold in dock.findChildren(QCollapsible)}
        for button in dock.findChildren(QPushButton):
            if button.text() and not button.toolTip() and button not in folds and "response" not in module:
                untold.append(f"{name}: {button.text()}")
        dock.close_down()
        settle()
    assert not untold, "\n".join(untold)
