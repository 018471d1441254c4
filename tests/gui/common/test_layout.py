"""Settings that can be folded away."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit, QVBoxLayout, QWidget

from vitascope.gui.common.layout import Collapsible


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
