"""Settings that can be folded away, and names that are longer than their box."""

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QToolTip, QVBoxLayout, QWidget

from vitascope.gui.common.layout import Collapsible, narrow, shown_text


@pytest.fixture
def window(qtbot):
    found = QWidget()
    found.before, found.inside, found.after, content = QLineEdit(), QLineEdit(), QLineEdit(), QVBoxLayout()
    content.addWidget(found.inside)
    found.fold = Collapsible("More", content)
    layout = QVBoxLayout(found)
    for part in (found.before, found.fold, found.after):
        layout.addWidget(part)
    qtbot.addWidget(found)
    with qtbot.waitExposed(found):
        found.show()
    found.activateWindow()
    return found


def tabbed(qtbot, window, count):
    window.before.setFocus()
    qtbot.waitUntil(window.before.hasFocus)
    seen = []
    for _ in range(count):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        seen.append(QApplication.focusWidget())
    return seen


def test_what_is_folded_away_is_skipped_by_the_tab_key(qtbot, window):
    button = window.fold.toggleButton()
    assert tabbed(qtbot, window, 2) == [button, window.after]
    window.fold.expand()
    assert tabbed(qtbot, window, 3) == [button, window.inside, window.after]
    window.fold.collapse()
    assert tabbed(qtbot, window, 2) == [button, window.after]


def test_the_keyboard_opens_and_closes_it(qtbot, window):
    button = window.fold.toggleButton()
    button.setFocus()
    for opened in (True, False):
        qtbot.keyClick(button, Qt.Key.Key_Space)
        assert window.inside.isVisible() == window.fold.isExpanded() == opened


def test_content_that_grows_is_not_cut_off(qtbot, window):
    window.fold.expand()
    height = window.fold.content().height()
    window.inside.setMinimumHeight(200)
    qtbot.waitUntil(lambda: window.inside.height() >= 200 and window.fold.content().height() > height)


NAME = "Metaphase__brightfield__Ch3_CP0001_and_some_more"


@pytest.fixture
def box(qtbot):
    found = QComboBox()
    narrow(found)
    found.setToolTip("Any image.")
    found.addItems(["short", NAME])
    found.resize(160, 24)
    qtbot.addWidget(found)
    with qtbot.waitExposed(found):
        found.show()
    return found


def test_a_name_longer_than_its_box_keeps_both_ends(box):
    assert shown_text(box) == "short"
    box.setCurrentText(NAME)
    told = shown_text(box)
    assert told.startswith("Meta")
    assert told.endswith("more")
    assert "…" in told
    assert box.currentText() == NAME
    drawn = box.grab().toImage()
    box.setItemText(1, told)
    assert box.grab().toImage() == drawn


def test_a_shortened_name_is_whole_on_hover(box, monkeypatch):
    said = []
    monkeypatch.setattr(QToolTip, "showText", lambda at, text, *where: said.append(text))
    box.setCurrentText(NAME)
    QApplication.sendEvent(box, QHelpEvent(QHelpEvent.Type.ToolTip, QPoint(5, 5), QPoint(5, 5)))
    assert said == [f"{NAME}\nAny image."]
