"""What comes after a plate run: its curves, and its report. The dock Plate has these buttons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.compat import getsavefilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults
from vitascope.batch.report.write import run_report
from vitascope.core.errors import VitascopeError
from vitascope.gui.common.runner import Runner

NO_DOSES = "Name treatments and doses in the map (tab Map) and run the plate with it: then there are curves."
NO_WINDOW = "The dock Response opens from the menu Plugins."


class NextBox(QWidget):  # type: ignore[misc]
    """Buttons "Dose-response" and "Report …".

    Parameters
    ----------
    viewer : napari viewer
    runner : Runner
        For the report.
    """

    spoke = Signal(str)

    def __init__(self, viewer: Any, runner: Runner) -> None:
        super().__init__()
        self._viewer, self.runner = viewer, runner
        self._folders: list[Path] = []
        self.curves_button, self.report_button = QPushButton("Dose-response"), QPushButton("Report …")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.curves_button)
        row.addWidget(self.report_button)
        self.report_button.setToolTip("One HTML file of this plate; opens without a network, prints to A4.")
        self.curves_button.clicked.connect(self.open_curves)
        self.report_button.clicked.connect(self._ask)
        self.runner.ended.connect(self._ended)
        self.set_results([])

    def set_results(self, results: Sequence[PlateResults]) -> None:
        """Offer the results that are shown."""
        runs = [one for one in results if has_journal(one.folder)]
        self._folders = [one.folder for one in runs]
        dosed = any("dose" in one.frame and one.frame["dose"].notna().any() for one in runs)
        self.curves_button.setEnabled(dosed)
        self.report_button.setEnabled(bool(runs))
        self.curves_button.setToolTip("Curves and IC50s of this plate." if dosed else NO_DOSES)

    def open_curves(self) -> None:
        """Open the dock Response with these results."""
        window = getattr(self._viewer, "window", None)
        if window is None:
            self.spoke.emit(NO_WINDOW)
            return
        _, dock = window.add_plugin_dock_widget("vitascope", "Response", tabify=True)
        for number, folder in enumerate(self._folders):
            dock.open_results(folder, beside=number > 0)

    def _ask(self) -> None:
        path, _ = getsavefilename(self, "Save the report", "report.html", "HTML (*.html)")
        if path:
            self.save_report(Path(path))

    def save_report(self, path: Path) -> None:
        """Write the report of the plate that is shown last."""
        folder = self._folders[-1]
        try:
            self.runner.start("Writing the report", lambda: run_report(folder, path))
        except VitascopeError as error:
            self.spoke.emit(error.in_dock)

    def _ended(self, outcome: Any) -> None:
        done = outcome.kind == "done"
        self.spoke.emit(f"Report: {outcome.value}" if done else f"{outcome.message} {outcome.hint}".strip())
