"""Training runs as they were recorded: a list, the curve of one, and all of them as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.compat import getsavefilename
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.errors import VitascopeError
from vitascope.core.paths import run_records
from vitascope.gui.train.train_plots import FigureBox, draw_curves
from vitascope.io.models.training_log import list_records, read_curve, write_records_csv
from vitascope.tasks.registry import task_title

COLUMNS = ("Model", "Task", "From", "Ended", "When")


class RunsBox(QWidget):  # type: ignore[misc]
    """Browses the records of training runs.

    Parameters
    ----------
    text_colour : callable
        Gives the colour of text.
    """

    spoke = Signal(str)

    def __init__(self, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text_colour = text_colour
        self.table, self.save_button = QTableWidget(0, len(COLUMNS)), QPushButton("Save as CSV …")
        self.save_button.setToolTip("All trainings of the table.")
        self.figure = FigureBox(190)
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setAccessibleName("Training runs")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        for part in (self.table, self.figure, self.save_button):
            column.addWidget(part)
        self.table.itemSelectionChanged.connect(self._show_curve)
        self.save_button.clicked.connect(self._ask_save)
        self.reload()

    def reload(self) -> None:
        """Read the records again."""
        try:
            records = list_records(run_records())
        except VitascopeError as error:
            self.spoke.emit(error.in_dock)
            records = []
        self.table.setRowCount(len(records))
        for row, record in enumerate(records):
            parent = record.parent.split()[0] if record.parent else "scratch"
            for column, text in enumerate(
                (record.model, task_title(record.task), parent, record.status, record.updated[:16])
            ):
                item = QTableWidgetItem(text)
                item.setData(Qt.ItemDataRole.UserRole, record.key)
                self.table.setItem(row, column, item)
        self.save_button.setEnabled(bool(records))

    def _show_curve(self) -> None:
        items = self.table.selectedItems()
        if not items:
            return
        curve = read_curve(run_records(), items[0].data(Qt.ItemDataRole.UserRole))
        history: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in curve.to_dict("records")]
        draw_curves(self.figure.fresh(), history, {}, self._text_colour())
        self.figure.draw()

    def _ask_save(self) -> None:
        name, _ = getsavefilename(self, "Save the runs", basedir="training_runs.csv", filters="CSV (*.csv)")
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write all runs as CSV."""
        try:
            write_records_csv(run_records(), path)
            self.spoke.emit(f"Written to {path.name}.")
        except VitascopeError as error:
            self.spoke.emit(error.in_dock)
