"""How good a plate is: Z', SSMD, CV and effects of position of every number, and focus and exposure of the images."""

from __future__ import annotations

import math

import pandas as pd
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from vitascope.batch.plate.image_quality import image_quality
from vitascope.batch.plate.results import PlateResults
from vitascope.batch.plate.tables import quality_table
from vitascope.core.errors import VitascopeError
from vitascope.core.formatting import number_text, quantity_text
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.status import Status
from vitascope.gui.common.layout import make_note, narrow
from vitascope.gui.common.runner import CANCELLING, Runner, RunOutcome, in_words
from vitascope.io.plates.plate import Plate

COLUMNS = {
    "z_prime": ("Z'", "higher: above 0.5", "1 - 3 (s+ + s-) / |m+ - m-|: above 0.5 is a good assay."),
    "robust_z_prime": ("Robust Z'", "higher: above 0.5", "The same with median and MAD: outliers count less."),
    "ssmd": ("SSMD", "far from 0: beyond ±3", "Difference of the controls in units of their spread."),
    "signal_to_background": ("S/B", "higher", "Higher control over the lower one."),
    "cv_negative_percent": ("CV of negative (%)", "lower: below 20", "Spread of the negative controls."),
    "cv_positive_percent": ("CV of positive (%)", "lower: below 20", "Spread of the positive controls."),
    "edge_percent": ("Edge (%)", "near 0", "Outermost wells against the inner ones."),
    "edge_p": ("Edge p", "above 0.05", "Chance of such an edge effect on a plate without one."),
    "row_p": ("Row p", "above 0.05", "Chance of such differences between rows on a plate without them."),
    "column_p": ("Column p", "above 0.05", "Chance of such differences between columns on a plate without them."),
    "n_missing": ("Missing wells", "0", "Wells without a number."),
}
"""Heading, which way is good, and what it is."""


LEAST_CHANCE = 0.001
"""A chance below it is told as that: no plate has the wells to tell smaller ones apart."""

LOOK = "Look at focus and exposure"


class QualityBox(QWidget):  # type: ignore[misc]
    """The table, and a look at the images themselves.

    Parameters
    ----------
    runner : Runner
    """

    looked = Signal(object, object)
    """Plate, and the focus and exposure of its images as a table."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner
        self._plate: Plate | None = None
        self.table, self.note, self.said = QTableWidget(), make_note(), make_note()
        self.channel, self.look_button = QComboBox(), QPushButton(LOOK)
        narrow(self.channel)
        self.channel.setToolTip("Channel to look at.")
        self.channel.setAccessibleName("Channel to look at")
        self.look_button.setToolTip("Read every image once: blurred, empty and saturated wells get a flag.")
        row = QHBoxLayout()
        row.addWidget(self.channel)
        row.addWidget(self.look_button)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setAccessibleName("Plate quality")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self.note)
        column.addWidget(self.table, 1)
        column.addLayout(row)
        column.addWidget(self.said)
        column.addStretch(0)
        self.look_button.clicked.connect(self.look_or_cancel)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        self.set_plate(None)
        self.set_results([])

    # -- focus and exposure -----------------------------------------------------------------------------------------

    def set_plate(self, plate: Plate | None) -> None:
        """Look at this plate next."""
        self._plate = plate
        self.channel.clear()
        for name in (plate.channels if plate is not None else ()) or ("Channel 1",):
            self.channel.addItem(name)
        self.look_button.setEnabled(plate is not None or self.runner.running)
        if not self.runner.running:
            self.said.setText("" if plate is not None else "Open a plate first.")

    def look_or_cancel(self) -> None:
        """Read all images of the plate, or stop."""
        if self.runner.running:
            self.runner.cancel()
            self.said.setText(CANCELLING)
            return
        plate, channel = self._plate, max(0, self.channel.currentIndex())
        if plate is None:
            return

        def steps() -> ProgressGenerator[tuple[Plate, pd.DataFrame]]:
            return plate, (yield from image_quality(plate, channel))

        self.look_button.setText("Cancel")
        try:
            self.runner.start(f"Focus and exposure: {plate.name}", steps)
        except VitascopeError as error:
            self.look_button.setText(LOOK)
            self.said.setText(error.in_dock)

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        if not self.runner.cancelling:
            self.said.setText(in_words(progress, seconds_left))

    def _ended(self, outcome: RunOutcome) -> None:
        self.look_button.setText(LOOK)
        self.look_button.setEnabled(self._plate is not None)
        if outcome.kind == "done":
            plate, table = outcome.value
            noticed = int((table["status"] != Status.OK).sum())
            self.said.setText(f"{noticed} of {len(table)} images have a flag; see the tab Heat map.")
            self.looked.emit(plate, table)
        else:
            self.said.setText(f"{outcome.message} {outcome.hint}".strip() or "Cancelled.")

    # -- the table --------------------------------------------------------------------------------------------------

    def set_results(self, results: list[PlateResults]) -> None:
        """Judge plates."""
        found = [quality_table(one.frame, one.rows, one.columns) for one in results]
        self.show_table(pd.concat(found, ignore_index=True) if found else pd.DataFrame())

    def show_table(self, table: pd.DataFrame) -> None:
        """Show a table of :func:`vitascope.stats.plate_quality.plate_quality`."""
        known = "One column for each number measured; hover over a heading for what a figure means."
        missing = "Name negative and positive controls in the map (tab Map): then the plate can be judged."
        self.note.setText(known if len(table) else missing)
        self.table.setVisible(bool(len(table)))
        self.table.clear()
        self.table.setRowCount(len(COLUMNS))
        self.table.setColumnCount(1 + len(table))
        self.table.setHorizontalHeaderItem(0, QTableWidgetItem("Good is"))
        for i, (heading, good, tip) in enumerate(COLUMNS.values()):
            item = QTableWidgetItem(heading)
            item.setToolTip(tip)
            self.table.setVerticalHeaderItem(i, item)
            self.table.setItem(i, 0, QTableWidgetItem(good))
        several = table["plate"].nunique() > 1 if len(table) else False
        for j, row in enumerate(table.to_dict("records"), start=1):
            name = quantity_text(row["value"])
            time = f", time {row['time']}" if row.get("time") else ""
            heading = f"{row['plate']}: {name}{time}" if several else name + time
            self.table.setHorizontalHeaderItem(j, QTableWidgetItem(heading))
            for i, column in enumerate(COLUMNS):
                item = QTableWidgetItem(_chance(row[column]) if column.endswith("_p") else _number(row[column]))
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, j, item)
        self.table.resizeColumnsToContents()


def _number(value: float) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else number_text(value)


def _chance(value: float) -> str:
    return f"below {LEAST_CHANCE}" if 0 <= value < LEAST_CHANCE else _number(value)
