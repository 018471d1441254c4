"""All curves as a table that can be sorted by any column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem

from vitascope.batch.response.views import CurveView, amount_text, to_unit

NUMBERS = ("ic50", "ic50_low", "ic50_high", "hill", "top", "bottom", "emax", "auc", "n")
TEXTS = ("quality", "reason", "flags")


class Cell(QTableWidgetItem):  # type: ignore[misc]
    """A cell that sorts by its number; those without one come last."""

    def __init__(self, text: str, number: float | None = None) -> None:
        super().__init__(text)
        self.number = number
        if number is not None:
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        mine, its = self.number, getattr(other, "number", None)
        if mine is None or its is None:
            return bool(self.text().casefold() < other.text().casefold())
        return bool((math.isnan(mine), mine) < (math.isnan(its), its))


class CurveTable(QTableWidget):  # type: ignore[misc]
    """A row for each curve, with units in the headings; choosing one is told."""

    curveChosen = Signal(int)  # noqa: N815, as Qt's signals are called

    def __init__(self) -> None:
        super().__init__()
        self._unit, self._units_in_cells = "", False
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setAccessibleName("Table of curves")
        self.verticalHeader().hide()
        self.itemSelectionChanged.connect(self._chosen)

    def show_views(self, views: Sequence[CurveView]) -> None:
        """Show curves."""
        self.blockSignals(True)
        self.setSortingEnabled(False)
        self.clear()
        dose = _only({str(view.row.get("ic50_unit") or "") for view in views})
        unit = _only({str(view.row.get("unit") or "") for view in views})
        names = {
            "ic50": f"IC50{dose}", "ic50_low": f"from{dose}", "ic50_high": f"to{dose}", "hill": "slope",
            "top": f"top{unit}", "bottom": f"bottom{unit}", "emax": f"at top dose{unit}", "auc": "AUC", "n": "points",
        }  # fmt: skip
        self._unit = str(views[0].row.get("ic50_unit") or "") if views else ""
        self._units_in_cells = not dose and len({view.row.get("ic50_unit") for view in views}) > 1
        headings = ["curve", "quality", *(names[name] for name in NUMBERS), "why", "flags"]
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(headings)
        self.setRowCount(len(views))
        for number, view in enumerate(views):
            for column, cell in enumerate(self._cells(view)):
                cell.setData(Qt.ItemDataRole.UserRole, view.number)
                self.setItem(number, column, cell)
        self.setSortingEnabled(True)
        self.resizeColumnsToContents()
        self.blockSignals(False)

    def _cells(self, view: CurveView) -> list[Cell]:
        row: dict[str, Any] = view.row
        cells = [Cell(view.title), Cell(str(row["quality"]))]
        for name in NUMBERS:
            value = float(row[name]) if isinstance(row[name], (int, float)) else math.nan
            cells.append(self._dose(view, name, value) if name.startswith("ic50") else Cell(amount_text(value), value))
        return [*cells, Cell(str(row["reason"])), Cell(str(row["flags"]).replace("_", " ").replace(";", ", "))]

    def _dose(self, view: CurveView, name: str, value: float) -> Cell:
        """An IC50 or an end of its interval, sorted by amount whatever its unit; "open" where an end is not closed."""
        bound = f"{view.row['relation']} " if name == "ic50" and view.row["relation"] in ("<", ">") else ""
        is_open = name != "ic50" and (math.isinf(value) or value == 0)
        unit = f" {view.row.get('ic50_unit') or ''}".rstrip() if self._units_in_cells and math.isfinite(value) else ""
        return Cell("open" if is_open else f"{bound}{amount_text(value)}{unit}", value * to_unit(view, self._unit))

    def _chosen(self) -> None:
        items = self.selectedItems()
        if items:
            self.curveChosen.emit(int(items[0].data(Qt.ItemDataRole.UserRole)))


def _only(units: set[str]) -> str:
    """Unit for a heading: only where all curves share it."""
    known = units - {""}
    return f" ({next(iter(known))})" if len(known) == 1 and len(units) == 1 else ""
