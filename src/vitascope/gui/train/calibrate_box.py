"""Calibrate a model on one plate: a folder of images, a reader's sheet, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.compat import getexistingdirectory, getopenfilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.errors import ParameterError
from vitascope.core.formatting import number_text
from vitascope.core.progress import ProgressGenerator
from vitascope.gui.common.form import ParamsForm
from vitascope.gui.common.layout import add_row, make_form, make_note
from vitascope.io.models.cards import new_model
from vitascope.recipes.calibration import CalibrateParams, Calibration
from vitascope.tasks.late_modules import load_calibration

COLUMNS = ("Method", "Error", "95 %", "Kept")
HEIGHT_PX = 150


class CalibrateBox(QWidget):  # type: ignore[misc]
    """Asks for images and values, and shows what each way errs on wells left out."""

    asked = Signal(str, object)
    """Title of the run, and what starts it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images, self.values = QLineEdit(), QLineEdit()
        self.images_button, self.values_button = QPushButton("Folder …"), QPushButton("Sheet …")
        self.settings = ParamsForm(CalibrateParams)
        self.button, self.table, self.note = QPushButton("Calibrate"), QTableWidget(0, len(COLUMNS)), make_note()
        self._start, self._name = "", ""
        self._lay_out()
        self.images_button.clicked.connect(self._ask_images)
        self.values_button.clicked.connect(self._ask_values)
        self.button.clicked.connect(self.calibrate)
        for edit in (self.images, self.values):
            edit.textChanged.connect(self._refresh)
        self._refresh()

    def _lay_out(self) -> None:
        form = make_form()
        self.images.setPlaceholderText("a folder with a bright-field image of each well")
        self.values.setPlaceholderText("CSV or XLSX of the plate reader")
        tip = "Folder of images; wells without a value are candidates to be measured next."
        for label, edit, button, told in (
            ("Images", self.images, self.images_button, tip),
            ("Values", self.values, self.values_button, "Grid, list or export of the reader; eight wells are enough."),
        ):
            button.setToolTip(told)
            row = QWidget()
            across = QHBoxLayout(row)
            across.setContentsMargins(0, 0, 0, 0)
            across.addWidget(edit, 1)
            across.addWidget(button)
            add_row(form, label, row, told, edit)
        self.button.setToolTip(
            "Compares a line on the model's number with features of the organoids on wells left out, and makes a model "
            "of the best. The model chosen above is the start; the name is the one given above."
        )
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setAccessibleName("Errors of each method on wells left out")
        self.table.setMaximumHeight(HEIGHT_PX)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        for part in (self.settings, self.button, self.table, self.note):
            column.addWidget(part)
        for part in (self.table, self.note):
            part.hide()

    def _ask_images(self) -> None:
        if name := getexistingdirectory(self, "Folder with the images of the wells"):
            self.images.setText(name)

    def _ask_values(self) -> None:
        name, _ = getopenfilename(self, "Values of the reader", filters="Tables (*.csv *.tsv *.txt *.xlsx)")
        if name:
            self.values.setText(name)

    def set_start(self, start: str, name: str) -> None:
        """Take note of the model to start from, and of the name of the new one."""
        self._start, self._name = start, name
        self._refresh()

    def _refresh(self, *_: object) -> None:
        self.button.setEnabled(bool(self.images.text().strip() and self.values.text().strip() and self._start))

    def calibrate(self) -> None:
        """Ask for a run on the chosen images and values."""
        images, values = (Path(edit.text().strip()) for edit in (self.images, self.values))
        try:
            params: Any = self.settings.value()
            if params.start == "auto":
                params = params.changed(start=self._start)
            folder, name = new_model(self._name)
        except ParameterError as error:
            self._say(error.in_dock)
            return

        def steps() -> ProgressGenerator[Calibration]:
            return (yield from load_calibration().calibrate(images, values, folder, name, params))

        self.asked.emit(f"Calibrating {name}", steps)

    def show_calibration(self, found: Calibration) -> None:
        """Show the errors of all methods, and what to do next."""
        self.table.setRowCount(len(found.errors))
        for row, one in enumerate(found.errors.to_dict("records")):
            known = one["low"] == one["low"]
            interval = f"{number_text(one['low'])} to {number_text(one['high'])}" if known else ""
            texts = (one["method"], number_text(one["mae"]), interval, "✓" if one["chosen"] else "")
            for column, text in enumerate(texts):
                self.table.setItem(row, column, QTableWidgetItem(text))
        self.table.show()
        self._say("\n".join([*found.sentences, *found.problems, f"Tables: {found.folder}"]))

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.show()
