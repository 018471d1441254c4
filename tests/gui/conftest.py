"""Fixtures of the docks: a task that needs no model, a viewer without a window, and a look at what is left behind."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from napari.components import ViewerModel
from napari.utils.progress import progress
from qtpy.QtCore import QThreadPool
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QApplication

from gui_support import at_once, make_card, make_spec, settle
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.io.models.cards import write_card

HERE = Path(__file__).parent
NAPARI_WARNINGS = (
    # of napari's start, its console and vispy; none of ours
    "ignore::DeprecationWarning:napari",
    "ignore::DeprecationWarning:vispy",
    "ignore::DeprecationWarning:qtconsole",
    "ignore::DeprecationWarning:ipykernel",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            for warning in NAPARI_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(autouse=True)
def _needs_screen(request):
    """Skip tests of a real viewer where napari cannot draw."""
    if request.node.get_closest_marker("gui") is None:
        return
    request.getfixturevalue("qapp")
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen" or not QOpenGLContext().create():
        pytest.skip("no screen with OpenGL: a real viewer cannot be opened")


@pytest.fixture(autouse=True)
def _nothing_left(qapp):
    """Fail a test that leaves a window, a thread, a bar or a run behind."""
    before = {id(w) for w in QApplication.topLevelWidgets()}
    yield
    settle()
    if left_over(before):
        gc.collect()
        settle()
    left = left_over(before)
    assert not left, f"windows are left: {left}"
    assert Runner.busy is None, "a run is left going"
    assert not progress._all_instances, "a bar is left"
    assert QThreadPool.globalInstance().waitForDone(2000), "a thread is left"


def left_over(before):
    """Windows that are new, but for those that pytest-qt closes itself and a canvas that vispy keeps."""
    return [
        w for w in QApplication.topLevelWidgets() if id(w) not in before and type(w).__name__ != "CanvasBackendDesktop"
    ]


@pytest.fixture
def fake_card(tmp_path, monkeypatch):
    """A model card of the fake task, in the user's folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    card = make_card()
    write_card(card, folder)
    return card


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def make_dock(viewer, fake_card, qtbot):
    """Build docks of the fake task, or of another kind, that run at once."""
    docks = []

    def make(spec=None, runner=None, viewer=viewer, kind=None):
        kind = kind or type("FakeDock", (TaskDock,), {"spec": spec or make_spec()})
        dock = kind(viewer, runner or Runner(at_once, activity=False))
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        if dock._open:
            dock.close_down()
    docks.clear()
    settle()
