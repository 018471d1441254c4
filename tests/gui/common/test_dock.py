"""Several docks in one window."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow

from gui_support import at_once, settle
from vitascope.gui.common.dock import Dock
from vitascope.gui.common.runner import Runner


@pytest.fixture
def window(qtbot):
    made = QMainWindow()
    qtbot.addWidget(made)
    made.resize(1000, 600)
    made.setCentralWidget(QLabel("canvas"))
    with qtbot.waitExposed(made):
        made.show()
    return made


def put(window, widget, area=Qt.DockWidgetArea.RightDockWidgetArea):
    frame = QDockWidget("dock", window)
    frame.setWidget(widget)
    window.addDockWidget(area, frame)
    settle()
    return frame


def test_docks_of_ours_open_as_tabs_the_latest_in_front(window, viewer, qtbot):
    docks = [Dock(viewer, Runner(at_once, activity=False)) for _ in range(3)]
    other = put(window, QLabel("of another plugin"))
    frames = [put(window, dock) for dock in docks]
    assert set(window.tabifiedDockWidgets(frames[2])) == set(frames[:2])
    assert other not in window.tabifiedDockWidgets(frames[2])
    qtbot.waitUntil(lambda: not frames[2].visibleRegion().isEmpty(), timeout=5000)
    assert frames[0].visibleRegion().isEmpty()
    left = put(window, last := Dock(viewer, Runner(at_once, activity=False)), Qt.DockWidgetArea.LeftDockWidgetArea)
    assert window.tabifiedDockWidgets(left) == []
    for dock in [*docks, last]:
        dock.close_down()
    settle()
