"""How good a plate is: a table of Z', SSMD, CV and effects of position, for every number that was measured."""

from __future__ import annotations

import math

import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from vitascope.batch.plate_results import PlateResults
from vitascope.batch.plate_tables import quality_table
from vitascope.core.wording import quantity_text
from vitascope.gui.parts import make_note

COLUMNS = {
    "z_prime": ("Z'", "1 - 3 (s+ + s-) / |m+ - m-|: above 0.5 is a good assay."),
    "robust_z_prime": ("Robust Z'", "The same with median and MAD: outliers count less."),
    "ssmd": ("SSMD", "Difference of the controls in units of their spread."),
    "signal_to_background": ("S/B", "Higher control over the lower one."),
    "cv_negative_percent": ("CV - (%)", "Spread of the negative controls."),
    "cv_positive_percent": ("CV + (%)", "Spread of the positive controls."),
    "edge_percent": ("Edge (%)", "Outermost wells against the inner ones."),
    "edge_p": ("Edge p", "Chance of such an edge effect on a plate without one."),
    "row_p": ("Row p", "Chance of such differences between rows on a plate without them."),
    "column_p": ("Column p", "Chance of such differences between columns on a plate without them."),
    "n_missing": ("Missing", "Wells without a number."),
}


class QualityBox(QWidget):  # type: ignore[misc]
    """The table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.note = QTableWidget(), make_note()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setAccessibleName("Plate quality")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self.note)
        column.addWidget(self.table)
        self.set_results([])

    def set_results(self, results: list[PlateResults]) -> None:
        """Judge plates."""
        found = [quality_table(one.frame, one.rows, one.columns) for one in results]
        self.show_table(pd.concat(found, ignore_index=True) if found else pd.DataFrame())

    def show_table(self, table: pd.DataFrame) -> None:
        """Show a table of :func:`vitascope.stats.plate_quality.plate_quality`."""
        known = "Numbers of this plate's controls; hover over a heading for what it means."
        missing = "Name negative and positive controls in the map (tab Map): then the plate can be judged."
        self.note.setText(known if len(table) else missing)
        self.table.setVisible(bool(len(table)))
        self.table.setRowCount(len(table))
        self.table.setColumnCount(len(COLUMNS))
        for j, (heading, tip) in enumerate(COLUMNS.values()):
            item = QTableWidgetItem(heading)
            item.setToolTip(tip)
            self.table.setHorizontalHeaderItem(j, item)
        several = table["plate"].nunique() > 1 if len(table) else False
        for i, row in enumerate(table.to_dict("records")):
            name = quantity_text(row["value"])
            time = f", time {row['time']}" if row.get("time") else ""
            self.table.setVerticalHeaderItem(
                i, QTableWidgetItem(f"{row['plate']}: {name}{time}" if several else name + time)
            )
            for j, column in enumerate(COLUMNS):
                item = QTableWidgetItem(_number(row[column]))
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, j, item)
        self.table.resizeColumnsToContents()


def _number(value: float) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else f"{value:.3g}"
