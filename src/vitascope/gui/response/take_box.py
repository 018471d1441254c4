"""What can be taken away from curves: tables, figures, a report, and the same analysis as a script."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.compat import getexistingdirectory, getsavefilename
from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from vitascope.batch.report.write import run_report
from vitascope.batch.response.figures import draw_grid, save_figure
from vitascope.batch.response.outputs import ResponseJob, run_response
from vitascope.batch.response.views import curve_views
from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.progress import ProgressGenerator
from vitascope.gui.common.runner import Runner
from vitascope.gui.response.analysis import Analysis
from vitascope.io.atomic import atomic_write
from vitascope.io.tables.csv_append import write_csv, write_xlsx
from vitascope.stats.response.result import ResponseResult

TABLES = "CSV (*.csv);;Excel (*.xlsx);;Parquet (*.parquet)"
FIGURES = "SVG (*.svg);;PNG (*.png)"


class TakeBox(QWidget):  # type: ignore[misc]
    """Buttons under the curves.

    Parameters
    ----------
    runner : Runner
    """

    spoke = Signal(str)

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner
        self._result: ResponseResult | None = None
        self._job: Callable[[Path | None], ResponseJob] | None = None
        self._analysis: Analysis | None = None
        self.table_button, self.figure_button = QPushButton("Save table …"), QPushButton("Save figure …")
        self.report_button, self.all_button = QPushButton("Report …"), QPushButton("Save all …")
        self.copy_button = QPushButton("Copy as …")
        tips = {
            self.table_button: "IC50s as CSV, Excel or Parquet; the points stand in a second file beside it.",
            self.figure_button: "All curves as SVG or PNG.",
            self.report_button: "One HTML file with curves, IC50s and methods; opens without a network, prints to A4.",
            self.all_button: "A folder with all tables and figures, as the command line writes it.",
            self.copy_button: "Put the same analysis on the clipboard, as Python or as a command. Wells changed by "
            "hand, or that come from several sources, are saved first.",
        }
        for button, tip in tips.items():
            button.setToolTip(tip)
        menu = QMenu(self.copy_button)
        menu.addAction("Copy as Python", lambda: self.copy(0))
        menu.addAction("Copy as command", lambda: self.copy(1))
        self.copy_button.setMenu(menu)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for some in ((self.table_button, self.figure_button, self.report_button), (self.all_button, self.copy_button)):
            row = QHBoxLayout()
            for button in some:
                row.addWidget(button)
            column.addLayout(row)
        self.table_button.clicked.connect(lambda: self._ask("curves.csv", TABLES, self.save_table))
        self.figure_button.clicked.connect(lambda: self._ask("curves.svg", FIGURES, self.save_figure))
        self.report_button.clicked.connect(lambda: self._ask("report.html", "HTML (*.html)", self.save_report))
        self.all_button.clicked.connect(self._ask_folder)
        self.runner.ended.connect(self._ended)
        self.offer(None, None, None)

    def offer(
        self,
        result: ResponseResult | None,
        job: Callable[[Path | None], ResponseJob] | None,
        analysis: Analysis | None,
    ) -> None:
        """Offer what is shown: its result, how to make it again, and the analysis that scripts are of."""
        self._result, self._job, self._analysis = result, job, analysis
        for button in self.findChildren(QPushButton):
            button.setEnabled(result is not None)

    def copy(self, which: int) -> None:
        """Put the analysis on the clipboard: 0 as Python, 1 as a command.

        What was changed by hand, or put together from several sources, is in no file yet: it is asked where to save it.
        """
        if self._analysis is not None and self._analysis.as_read:
            self.copy_of(which, None)
        else:
            self._ask("wells.csv", "CSV (*.csv)", partial(self.copy_of, which))

    def copy_of(self, which: int, wells: Path | None) -> None:
        """Put the analysis on the clipboard, of its source or of its wells, which are saved first.

        Raises
        ------
        OutputError
            If the wells cannot be written.
        """
        if self._analysis is None or self._job is None:
            return
        if wells is not None:
            self._analysis.save_wells(wells)
        job = self._job(None)
        QGuiApplication.clipboard().setText(self._analysis.scripts(job.values[0], job.params, wells)[which])
        saved = f" It reads {wells.name}, with what was changed by hand." if wells is not None else ""
        self.spoke.emit(f"On the clipboard.{saved}")

    def _ask(self, name: str, kinds: str, save: Callable[[Path], None]) -> None:
        path, _ = getsavefilename(self, "Save", name, kinds)
        if path:
            self.guarded(save, Path(path))

    def _ask_folder(self) -> None:
        path = getexistingdirectory(self, "Folder for tables and figures")
        if path:
            self.guarded(self.save_all, Path(path))

    def guarded(self, save: Callable[[Path], None], path: Path) -> None:
        """Save, and say what stands in the way."""
        try:
            save(path)
        except VitascopeError as error:
            self.spoke.emit(error.in_dock)

    def save_table(self, path: Path) -> None:
        """Write curves and, beside them, points.

        Raises
        ------
        ParameterError
            If the ending of the name tells no kind of table.
        OutputError
            If a file cannot be written.
        """
        assert self._result is not None
        parts = {path: self._result.curves, path.with_name(f"{path.stem}_points{path.suffix}"): self._result.points}
        for file, table in parts.items():
            if path.suffix == ".csv":
                write_csv(file, [table])
            elif path.suffix == ".xlsx":
                write_xlsx(file, table)
            elif path.suffix == ".parquet":
                with atomic_write(file) as opened:
                    table.to_parquet(opened, index=False)
            else:
                raise ParameterError(f"'{path.name}' tells no kind of table.", "End it in .csv, .xlsx or .parquet.")
        self.spoke.emit(f"Saved: {', '.join(file.name for file in parts)}")

    def save_figure(self, path: Path) -> None:
        """Write all curves as SVG and PNG.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        assert self._result is not None
        views = curve_views(self._result)
        saved = save_figure(path, partial(draw_grid, views=views), (11.0, 2.4 * -(-len(views) // 4)))
        self.spoke.emit(f"Saved: {', '.join(file.name for file in saved)}" if saved else "There is no curve to draw.")

    def save_all(self, folder: Path) -> None:
        """Write all tables and figures to a folder, in the background."""
        job = self._job
        if job is not None:
            self.runner.start("Saving curves", lambda: _saved(job(folder), folder))

    def save_report(self, path: Path) -> None:
        """Write the report, in the background."""
        job = self._job
        if job is not None:
            self.runner.start("Writing the report", lambda: _reported(job, path))

    def _ended(self, outcome: Any) -> None:
        if outcome.kind == "done":
            self.spoke.emit(f"Saved: {outcome.value}")
        else:
            self.spoke.emit(f"{outcome.message} {outcome.hint}".strip() or "Cancelled: nothing was written.")


def _saved(job: ResponseJob, folder: Path) -> ProgressGenerator[Path]:
    yield from run_response(job)
    return folder


def _reported(job: Callable[[Path | None], ResponseJob], path: Path) -> ProgressGenerator[Path]:
    with tempfile.TemporaryDirectory(prefix="vitascope-") as made:
        folder = Path(made) / path.stem
        yield from run_response(job(folder))
        return (yield from run_report(folder, path))
