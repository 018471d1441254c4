"""The small pieces that all docks are laid out with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QLayout,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QTabWidget,
    QToolTip,
    QWidget,
)
from superqt import QCollapsible

LABEL_WIDTH_PX = 104
EXPANDED, COLLAPSED = "▼", "▶"
QWIDGETSIZE_MAX = 16777215
"""Qt's word for no limit, which its Python bindings do not have."""

FOLD_STYLE = (
    "QPushButton { text-align: left; border: none; outline: none; padding: 3px; background: transparent; }"
    "QPushButton:focus { border: 1px solid #56B4E9; }"
)
LINE_PX = 22
"""Height of a row in a table."""


def make_form() -> QFormLayout:
    """Make a column of labelled rows; labels of all forms are equally wide, so that their editors stand in line."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return form


def add_row(form: QFormLayout, title: str, row: QWidget, tip: str, editor: QWidget | None = None) -> None:
    """Add a row: label, tooltip, and the name that screen readers say.

    Parameters
    ----------
    form : QFormLayout
    title : str
    row : QWidget
    tip : str
    editor : QWidget, optional
        The one in the row that the label belongs to, where the row holds several.
    """
    label = QLabel(title)
    label.setMinimumWidth(LABEL_WIDTH_PX)
    label.setToolTip(tip)
    label.setBuddy(editor or row)
    (editor or row).setToolTip(tip)
    (editor or row).setAccessibleName(title)
    form.addRow(label, row)


class _Shortened(QObject):  # type: ignore[misc]
    """Shortens in the middle what does not fit into a box, as napari does in its list of layers; whole on hover."""

    def __init__(self, box: QComboBox) -> None:
        super().__init__(box)
        self._box = box
        box.installEventFilter(self)
        box.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802, Qt's name
        box = self._box
        if event.type() not in (QEvent.Type.Paint, QEvent.Type.ToolTip) or box.currentIndex() < 0:
            return False
        text = shown_text(box)
        if text == box.currentText():
            return False
        if event.type() == QEvent.Type.ToolTip:
            tips = dict.fromkeys(filter(None, (box.currentText(), box.toolTip())))
            QToolTip.showText(event.globalPos(), "\n".join(tips), box)
            return True
        option, painter = QStyleOptionComboBox(), QStylePainter(box)
        box.initStyleOption(option)
        option.currentText = text
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        return True


def shown_text(box: QComboBox) -> str:
    """Return what is read in a box that :func:`narrow` was given: the chosen entry, its middle left out for room."""
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    part = QStyle.SubControl.SC_ComboBoxEditField
    room = box.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, box)
    text: str = box.fontMetrics().elidedText(box.currentText(), Qt.TextElideMode.ElideMiddle, room.width() - 2)
    return text


def narrow(box: QComboBox) -> None:
    """Let a box be narrower than its longest entry; one that does not fit is shortened, and whole on hover."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    _Shortened(box)


def keep_tabs_in_view(tabs: QTabWidget) -> None:
    """Let the names of many tabs stand side by side, where the arrows of a scrolling bar would hide the last ones."""
    tabs.setStyleSheet("QTabBar::tab { padding-left: 4px; padding-right: 4px; }")


def refill(box: QComboBox, entries: Iterable[tuple[str, Any]]) -> None:
    """Give a box other entries, text and data, without a signal; what was chosen stays where it is among them."""
    before = box.currentData()
    box.blockSignals(True)
    box.clear()
    for text, data in entries:
        box.addItem(text, data)
    box.setCurrentIndex(max(0, box.findData(before)))
    box.blockSignals(False)


def make_note() -> QLabel:
    """Make a line of text that wraps and can be copied; names in it are shown as they are, tags and all."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def make_title(text: str) -> QLabel:
    """Make the heading of a part of the dock."""
    label = QLabel(text)
    label.setStyleSheet("font-weight: 600;")
    return label


def discard(widget: QWidget) -> None:
    """Take a widget away at once; it is deleted when the event loop comes round."""
    widget.hide()
    widget.deleteLater()


def make_line() -> QFrame:
    """Make the line between two parts of the dock."""
    line = QFrame()
    line.setFixedHeight(1)
    line.setStyleSheet("background: rgba(128, 128, 128, 110);")
    return line


def scrolling(part: QWidget) -> QScrollArea:
    """Let a part scroll where the screen is too small for it."""
    area = QScrollArea()
    area.setWidget(part)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    return area


class Collapsible(QCollapsible):  # type: ignore[misc]
    """Settings behind a button: superqt's collapsible, without its animation.

    Three things are its own. What is folded away is hidden, not only flat, so that the Tab key skips it; the button
    shows that it has the keyboard; and the content may grow later without being cut off.

    Parameters
    ----------
    title : str
    content : QLayout
    """

    def __init__(self, title: str, content: QLayout, parent: QWidget | None = None) -> None:
        super().__init__(title, parent, EXPANDED, COLLAPSED)
        inside = QWidget()
        inside.setLayout(content)
        discard(self.content())
        self.setContent(inside)
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.toggleButton().setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.toggleButton().setStyleSheet(FOLD_STYLE)
        self.toggled.connect(self._show)
        self._show(False)

    def _show(self, opened: bool) -> None:
        self.content().setMaximumHeight(QWIDGETSIZE_MAX if opened else 0)
        self.content().setVisible(opened)

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Draw the arrows in the theme's colour, which is known only now."""
        self.setExpandedIcon(EXPANDED)
        self.setCollapsedIcon(COLLAPSED)
        super().showEvent(event)


RUN_STYLE = (
    "QPushButton { background: #0072B2; color: white; font-weight: 600; padding: 6px; }"
    "QPushButton:disabled { background: #6A6A6A; color: #D0D0D0; }"
    "QPushButton:focus { border: 2px solid #56B4E9; }"
)
