"""The places of a well that its number rests on most; choosing one shows it in the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from vitascope.core.formatting import number_text, quantity_text
from vitascope.gui.common.layout import LINE_PX, Collapsible

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Places that count most"
HEIGHT_PX = 165
NOT_SHOWN = ("label", "rank", "time", "z")


class TopInstancesBox(QWidget):  # type: ignore[misc]
    """Lists places by rank, those of one picture at a time."""

    chosen = Signal(int)
    """Label of the place that the user chose."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().setDefaultSectionSize(LINE_PX)
        self.table.setAccessibleName(TITLE)
        self.table.setTabKeyNavigation(False)
        self.table.setFixedHeight(HEIGHT_PX)
        self.table.itemSelectionChanged.connect(self._selected)
        inside = QVBoxLayout()
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Collapsible(TITLE, inside))
        self._places: pd.DataFrame | None = None
        self._labels: list[int] = []
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self._places = None
        self.hide()

    def offer(self, places: pd.DataFrame | None, where: Mapping[str, Any] | None = None) -> None:
        """Take the places of a run, and show those of one picture.

        Parameters
        ----------
        places : DataFrame or None
            As ``top_instances.csv`` holds them; None or empty for nothing.
        where : mapping, optional
            ``time`` and ``z`` of the picture, of several.
        """
        self._places = places if places is not None and len(places) else None
        self.setVisible(self._places is not None)
        self.show_picture(where or {})

    def show_picture(self, where: Mapping[str, Any]) -> None:
        """Show the places of another picture of the same run."""
        if self._places is None:
            return
        rows = self._places
        for name in ("time", "z"):
            if name in rows and where.get(name) is not None:
                rows = rows[rows[name] == where[name]]
        names = [name for name in rows if name not in NOT_SHOWN]
        self._labels = [int(label) for label in rows["label"]]
        self.table.blockSignals(True)
        self.table.clear()
        self.table.setColumnCount(len(names))
        self.table.setHorizontalHeaderLabels([quantity_text(str(name)) for name in names])
        self.table.setRowCount(len(rows))
        for i, row in enumerate(rows[names].itertuples(index=False)):
            for j, value in enumerate(row):
                self.table.setItem(i, j, QTableWidgetItem(number_text(value)))
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.blockSignals(False)

    def _selected(self) -> None:
        line = self.table.currentRow()
        if self.table.selectedItems() and 0 <= line < len(self._labels):
            self.chosen.emit(self._labels[line])
