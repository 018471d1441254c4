"""One curve: large, with its numbers, its points as a table, and what can be changed by hand."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.batch.response.views import CurveView, amount_text
from vitascope.core.flags import FLAGS
from vitascope.gui.common.layout import make_note
from vitascope.gui.response.plots import Colour, LargePlot

COLUMNS = ("well", "dose", "value", "normalised", "left out")


class CurveBox(QWidget):  # type: ignore[misc]
    """Shows one curve and lets it be changed."""

    pointOpened = Signal(int)  # noqa: N815, as Qt's signals are called
    pointToggled = Signal(int)  # noqa: N815
    plateauHeld = Signal(str, object)  # noqa: N815
    undone = Signal()

    def __init__(self, text_colour: Colour) -> None:
        super().__init__()
        self.view: CurveView | None = None
        self.answer, self.words = make_note(), make_note()
        self.answer.setStyleSheet("font-size: 15px; font-weight: 600;")
        self.large = LargePlot(text_colour)
        self.points = QTableWidget()
        self.open_button, self.toggle_button = QPushButton("Show well"), QPushButton("Leave point out")
        self.free_button, self.undo_button = QPushButton("Free plateaus"), QPushButton("Undo")
        self.open_button.setToolTip("Open the image of the chosen point, with its map.")
        self.toggle_button.setToolTip("Leave the chosen point out of the fit, or take it back; this is recorded.")
        self.free_button.setToolTip("Fit both plateaus again.")
        self.undo_button.setToolTip("Take the last change back.")
        self.points.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.points.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.points.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.points.setAccessibleName("Points of the curve")
        self.points.setMaximumHeight(150)
        buttons = QHBoxLayout()
        for button in (self.open_button, self.toggle_button, self.free_button, self.undo_button):
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self.answer)
        column.addLayout(buttons)  # above the plot: below it, a small screen would hide them
        column.addWidget(self.large, 1)
        column.addWidget(self.words)
        column.addWidget(self.points)
        self.points.itemSelectionChanged.connect(self._selected)
        self.large.pointChosen.connect(self.choose)
        self.large.plateauDragged.connect(lambda name, value: self.plateauHeld.emit(name, value))
        self.open_button.clicked.connect(lambda: self._with_chosen(self.pointOpened))
        self.toggle_button.clicked.connect(lambda: self._with_chosen(self.pointToggled))
        self.free_button.clicked.connect(lambda: self.plateauHeld.emit("", None))
        self.undo_button.clicked.connect(self.undone)
        self.show_view(None)

    def show_view(self, view: CurveView | None, held: dict[str, float] | None = None, can_undo: bool = False) -> None:
        """Show a curve."""
        before = self.chosen()
        self.view = view
        if isinstance(self.focusWidget(), QPushButton):
            self.setFocus()  # Qt hands the focus of a button that goes grey to the table below, and scrolls there
        self.undo_button.setEnabled(can_undo)
        self.free_button.setEnabled(bool(held))
        self._fill()
        if view is None:
            self.answer.setText("No curve is chosen.")
            self.words.setText("Click a curve in the tab All curves, or a row in the tab Table.")
            self.large.show_view(None)
        else:
            self.answer.setText(f"{view.title}: {view.answer}")
            self.words.setText(describe(view, held or {}))
            self.large.show_view(view)
            if before is not None and before in view.points.index:
                self.choose(before)
        self._enable()

    def chosen(self) -> int | None:
        """Row of the point that is chosen; None where none is."""
        rows = self.points.selectionModel().selectedRows() if self.points.selectionModel() else []
        if self.view is None or not rows or rows[0].row() >= len(self.view.points):
            return None
        return int(self.view.points.index[rows[0].row()])

    def choose(self, row: int) -> None:
        """Choose a point."""
        if self.view is not None and row in self.view.points.index:
            self.points.selectRow(self.view.points.index.tolist().index(row))

    def _with_chosen(self, signal: Any) -> None:
        row = self.chosen()
        if row is not None:
            signal.emit(row)

    def _selected(self) -> None:
        self.large.show_view(self.view, self.chosen())
        self._enable()

    def _enable(self) -> None:
        row = self.chosen()
        for button in (self.open_button, self.toggle_button):
            button.setEnabled(row is not None)
        out = row is not None and self.view is not None and bool(self.view.points.loc[row, "excluded"])
        self.toggle_button.setText("Take point back" if out else "Leave point out")

    def _fill(self) -> None:
        points = self.view.points if self.view is not None else None
        self.points.blockSignals(True)
        self.points.clear()
        self.points.setColumnCount(len(COLUMNS))
        self.points.setRowCount(0 if points is None else len(points))
        unit = str(self.view.row.get("ic50_unit") or "") if self.view is not None else ""
        self.points.setHorizontalHeaderLabels(
            [f"dose ({unit})" if name == "dose" and unit else name for name in COLUMNS]
        )
        for number, (_, point) in enumerate(points.iterrows() if points is not None else ()):
            cells = [
                str(point["well"]), *(amount_text(point[name]) for name in ("dose", "value", "normalised")),
                str(point["reason"] or ("yes" if point["excluded"] else "")),
            ]  # fmt: skip
            for column, text in enumerate(cells):
                self.points.setItem(number, column, QTableWidgetItem(text))
        self.points.resizeColumnsToContents()
        self.points.blockSignals(False)


def describe(view: CurveView, held: dict[str, float]) -> str:
    """Say what was found about a curve: quality and reason, parameters with units, and flags in words."""
    row = view.row
    unit, dose = str(row.get("unit") or ""), str(row.get("ic50_unit") or "")
    numbers = [
        f"{words} {amount_text(row[name])}{f' {of}' if of else ''}"
        for name, words, of in (
            ("top", "top plateau", unit), ("bottom", "bottom plateau", unit), ("hill", "slope", ""),
            ("emax", "at the top dose", unit), ("ic50_absolute", "half of the control at", dose),
        )
        if isinstance(row[name], (int, float)) and math.isfinite(row[name])
    ]  # fmt: skip
    kept = [f"{name} held at {amount_text(value)}" for name, value in held.items()]
    flags = [FLAGS[flag].text for flag in str(row["flags"]).split(";") if flag in FLAGS]
    listed = ", ".join([*numbers, *kept])
    said = [
        f"{str(row['quality']).capitalize()}. {row['reason']}".strip(),
        f"{listed[:1].upper()}{listed[1:]}." if listed else "",
    ]
    level = f"Interval of {100 * float(row['interval_level']):g} %, by {row['interval_kind']}; {row['n']} points. "
    level += "It holds how wells scatter, not an error that all wells share."
    return "\n".join(filter(None, [*said, level, *flags]))
