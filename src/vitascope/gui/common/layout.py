"""The small pieces that all docks are laid out with."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QLayout,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LABEL_WIDTH_PX = 80
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


def narrow(box: QComboBox) -> None:
    """Let a box be narrower than its longest entry."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)


def make_note() -> QLabel:
    """Make a line of text that wraps and can be copied."""
    label = QLabel()
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


class Fold(QWidget):  # type: ignore[misc]
    """Settings behind a button; what is folded away is skipped by the Tab key too.

    Parameters
    ----------
    title : str
    content : QLayout
    """

    def __init__(self, title: str, content: QLayout, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button, self.content = QToolButton(), QWidget()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.button.setStyleSheet(
            "QToolButton { border: none; padding: 3px; } QToolButton:focus { border: 1px solid #56B4E9; }"
        )
        self.content.setLayout(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.content)
        self.button.toggled.connect(self._show)
        self._show(False)

    def _show(self, opened: bool) -> None:
        self.content.setVisible(opened)
        self.button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)

    def expand(self) -> None:
        """Show the content."""
        self.button.setChecked(True)

    def collapse(self) -> None:
        """Fold it away."""
        self.button.setChecked(False)


RUN_STYLE = (
    "QPushButton { background: #0072B2; color: white; font-weight: 600; padding: 6px; }"
    "QPushButton:disabled { background: #6A6A6A; color: #D0D0D0; }"
    "QPushButton:focus { border: 2px solid #56B4E9; }"
)
