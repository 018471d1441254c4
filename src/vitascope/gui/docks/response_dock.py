"""The dock of dose-response curves: choose results, see all curves, look behind each point, take the IC50s away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import getexistingdirectory, getopenfilename
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QTabWidget, QVBoxLayout, QWidget

from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults, open_plate_results
from vitascope.batch.response.outputs import ResponseJob, run_response
from vitascope.batch.response.views import CurveView, curve_views
from vitascope.core.errors import VitascopeError
from vitascope.core.formatting import quantity_text
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.gui.common.dock import Dock, make_bar
from vitascope.gui.common.form import ParamsForm
from vitascope.gui.common.layout import (
    RUN_STYLE,
    add_row,
    make_form,
    make_note,
    make_title,
    narrow,
    scrolling,
)
from vitascope.gui.common.runner import Launch, Runner, RunOutcome, in_background, in_words
from vitascope.gui.plate.well_view import WellView
from vitascope.gui.response.analysis import Analysis
from vitascope.gui.response.compare_box import CompareBox
from vitascope.gui.response.curve_box import CurveBox
from vitascope.gui.response.curve_table import CurveTable
from vitascope.gui.response.plots import CurveGrid
from vitascope.gui.response.take_box import TakeBox
from vitascope.io.plates.plate import Plate
from vitascope.stats.response.params import ResponseParams
from vitascope.stats.response.result import QUALITIES, ResponseResult

if TYPE_CHECKING:
    import napari.viewer

WIDTH_PX = 430
FIT, CANCEL = "Fit curves", "Cancel"
GRID, ONE, TABLE, COMPARE, SETTINGS = "All curves", "One curve", "Table", "Compare", "Settings"
HOW = "Click a curve to see it large, a point to see its well."
SHOWN_FIRST = ("normalise", "direction", "correct", "outliers", "outside_wells", "parameters")


class ResponseDock(Dock):
    """Dose-response curves.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    launch : Launch, optional
        Reads pictures in a thread by default.
    """

    def __init__(
        self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None, launch: Launch = in_background
    ) -> None:
        super().__init__(napari_viewer, runner)
        self.analysis: Analysis | None = None
        self.result: ResponseResult | None = None
        self.views: list[CurveView] = []
        self._opened: dict[Path, tuple[PlateResults, Plate | None]] = {}
        self._chosen: tuple[Any, ...] | None = None
        self.note, self.bar = make_note(), make_bar()
        self._summary = ""
        # a well that opens has nothing to say: what was fitted then stands there again, and nothing moves
        self.well = WellView(self._viewer, lambda text: self._say(text or self._summary), self._while_open(launch))
        self.folder_button, self.table_button = QPushButton("Open results …"), QPushButton("Open table …")
        self.add_button, self.fit_button = QPushButton("Add …"), QPushButton(FIT)
        self.quantity, self.filter = QComboBox(), QLineEdit()
        self.form = ParamsForm(ResponseParams)
        self.grid, self.curve = CurveGrid(self._text_colour), CurveBox(self._text_colour)
        self.table, self.compare = CurveTable(), CompareBox(self._text_colour)
        self.take = TakeBox(self.runner.another())
        self._lay_out()
        self._connect()
        self._enable()

    def _lay_out(self) -> None:
        self.folder_button.setToolTip("The folder of a run or a plate run whose plate map names treatments and doses.")
        self.table_button.setToolTip("Any table with treatment, dose and value, or wells.csv of a saved analysis.")
        self.add_button.setToolTip("Results of another plate or day, fitted with these.")
        self.fit_button.setStyleSheet(RUN_STYLE)
        self.filter.setPlaceholderText("all treatments; type to search")
        narrow(self.quantity)
        row = QHBoxLayout()
        for button in (self.folder_button, self.table_button, self.add_button):
            row.addWidget(button)
        form = make_form()
        add_row(form, "Quantity", self.quantity, "The number that curves are fitted to.")
        add_row(form, "Compound", self.filter, "Show only treatments whose name has this in it.")
        settings = QWidget()
        inside = QVBoxLayout(settings)
        inside.setContentsMargins(0, 4, 0, 0)
        inside.addWidget(self.form)
        inside.addStretch(1)
        self.tabs = QTabWidget()
        for part, name in (
            (self.grid, GRID), (scrolling(self.curve), ONE), (self.table, TABLE), (self.compare, COMPARE),
            (scrolling(settings), SETTINGS),
        ):  # fmt: skip
            self.tabs.addTab(part, name)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 8)
        column.addWidget(make_title("Response"))
        column.addLayout(row)
        column.addLayout(form)
        for part in (self.fit_button, self.bar, self.note):
            column.addWidget(part)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.take)
        self.setMinimumWidth(WIDTH_PX)

    def _connect(self) -> None:
        self.folder_button.clicked.connect(lambda: self._ask_folder(False))
        self.add_button.clicked.connect(lambda: self._ask_folder(True))
        self.table_button.clicked.connect(self._ask_table)
        self.fit_button.clicked.connect(self.fit_or_cancel)
        self.quantity.activated.connect(lambda _: self.fit())
        self.filter.textChanged.connect(lambda _: self._show())
        self.grid.curveChosen.connect(self._choose)
        self.grid.pointChosen.connect(self._point_of_grid)
        self.table.curveChosen.connect(self._choose)
        self.curve.pointOpened.connect(self.open_point)
        self.curve.pointToggled.connect(self._toggle)
        self.curve.plateauHeld.connect(self._hold)
        self.curve.undone.connect(self._undo)
        self.take.spoke.connect(self._say)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        self.destroyed.connect(self.take.runner.cancel)

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def close_down(self) -> None:
        """Cancel what runs, and go."""
        self.take.runner.cancel()
        self.well.close()
        super().close_down()

    # -- wells ------------------------------------------------------------------------------------------------------

    def _ask_folder(self, beside: bool) -> None:
        name = getexistingdirectory(self, "Open the results of a run")
        if name:
            self.open_results(Path(name), beside)

    def _ask_table(self) -> None:
        name, _ = getopenfilename(self, "Open a table", "", "Tables (*.csv *.tsv *.txt *.xlsx);;All files (*)")
        if name:
            self.open_results(Path(name))

    def open_results(self, source: Path, beside: bool = False) -> None:
        """Read results or a table, alone or with those that are open, and fit their main number."""
        sources = [*self.analysis.sources, source] if beside and self.analysis is not None else [source]
        try:
            found = Analysis.open(sources)
        except VitascopeError as error:
            self._say(error.in_dock)
            return
        self.analysis, self.result, self.views, self._chosen = found, None, [], None
        kept = self.quantity.currentData() if beside else None
        self.quantity.clear()
        for name in found.wells.value_columns():
            self.quantity.addItem(quantity_text(name), name)
        self.quantity.setCurrentIndex(max(0, self.quantity.findData(kept)) if kept else 0)
        self._say(" ".join(found.wells.notes))
        self.fit()

    # -- fitting ----------------------------------------------------------------------------------------------------

    def fit_or_cancel(self) -> None:
        """Fit, or stop."""
        if self.runner.running:
            self.runner.cancel()
        else:
            if self.tabs.tabText(self.tabs.currentIndex()) == SETTINGS:
                self.tabs.setCurrentIndex(0)
            self.fit()

    def _job(self, out: Path | None = None) -> ResponseJob:
        assert self.analysis is not None
        params = self.form.value()
        assert isinstance(params, ResponseParams)
        return self.analysis.job(str(self.quantity.currentData() or ""), params, out)

    def fit(self) -> None:
        """Fit the quantity that is chosen."""
        if self.analysis is None:
            self._say("Open results or a table first.")
            return
        try:
            job = self._job()

            def steps() -> ProgressGenerator[ResponseResult]:
                return (yield from run_response(job))

            self.runner.start("Dose-response", steps)
        except VitascopeError as error:
            self._say(error.in_dock)
        self._enable()

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        self.bar.setVisible(True)
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self._say(in_words(progress, seconds_left))

    def _ended(self, outcome: RunOutcome) -> None:
        self.bar.hide()
        if outcome.kind != "done":
            self._say(f"{outcome.message} {outcome.hint}".strip() or "Cancelled: the curves are those of before.")
            self._enable()
            return
        assert self.analysis is not None
        self.result = outcome.value
        self.views = curve_views(outcome.value)
        count = {word: sum(view.row["quality"] == word for view in self.views) for word in QUALITIES}
        told = ", ".join(f"{n} {word}" for word, n in count.items() if n)
        notes = " ".join(self.analysis.wells.notes)
        curves = "1 curve" if len(self.views) == 1 else f"{len(self.views)} curves"
        said = f"{curves}{f': {told}' if told else ''}. {HOW}" if self.views else (
            "There is no treated well: name treatments and doses in the plate map (dock Plate, tab Map)."
        )  # fmt: skip
        self._summary = f"{said} {notes}".strip()
        self._say(self._summary)
        self._show()
        self._enable()

    def _enable(self) -> None:
        ready = self.analysis is not None
        self.fit_button.setText(CANCEL if self.runner.running else FIT)
        self.fit_button.setEnabled(ready)
        self.add_button.setEnabled(ready)
        if self.analysis is None or self.result is None:
            self.take.offer(None, None, None)
            return
        self.take.offer(self.result, self._job, self.analysis)

    # -- what is shown ----------------------------------------------------------------------------------------------

    def _show(self) -> None:
        words = self.filter.text().strip().casefold()
        some = [view for view in self.views if words in view.title.casefold()]
        self.grid.show_views(some)
        self.table.show_views(some)
        self.compare.show_views(some)
        self._show_curve()

    def _key(self, view: CurveView) -> tuple[Any, ...]:
        return tuple(view.row[name] for name in (*view.by, "quantity"))

    def chosen(self) -> CurveView | None:
        """The curve that is shown large."""
        return next((view for view in self.views if self._key(view) == self._chosen), None)

    def _choose(self, number: int) -> None:
        self._chosen = self._key(self.views[number])
        self._show_curve()
        self.tabs.setCurrentIndex(1)

    def _point_of_grid(self, row: int) -> None:
        self.curve.choose(row)
        self.open_point(row)

    def _show_curve(self) -> None:
        view = self.chosen()
        held = self.analysis.held(view) if self.analysis is not None and view is not None else {}
        self.curve.show_view(view, held, self.analysis is not None and self.analysis.can_undo)

    def open_point(self, row: int) -> None:
        """Open the image of a point's well, with its map."""
        assert self.analysis is not None
        folder, image, well = self.analysis.image_of(row)
        if not image or not has_journal(folder):
            self._say(f"{well or 'The point'}: its image is not known here; open the folder of a plate run to see it.")
            return
        try:
            results, plate = self._plate(folder)
        except VitascopeError as error:
            self._say(error.in_dock)
            return
        self.well.open(image, plate, results)

    def _plate(self, folder: Path) -> tuple[PlateResults, Plate | None]:
        if folder not in self._opened:
            results = open_plate_results(folder)
            try:
                plate: Plate | None = results.open_plate()
            except VitascopeError:
                plate = None  # it was moved; what was predicted is here
            self._opened[folder] = results, plate
        return self._opened[folder]

    # -- by hand ----------------------------------------------------------------------------------------------------

    def _toggle(self, row: int) -> None:
        assert self.analysis is not None
        self.analysis.toggle(row)
        self.fit()

    def _hold(self, name: str, value: float | None) -> None:
        view = self.chosen()
        if self.analysis is None or view is None:
            return
        if value is None:
            self.analysis.free(view)
        else:
            self.analysis.hold(view, name, value)
        self.fit()

    def _undo(self) -> None:
        if self.analysis is not None and self.analysis.undo():
            self.fit()
