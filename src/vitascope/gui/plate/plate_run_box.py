"""Running a whole plate: task, model, where the results go, who computes, and how far it is."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from qtpy.compat import getexistingdirectory, isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from vitascope.batch.open_workers import is_service, open_workers
from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.results import open_plate_results
from vitascope.batch.plate.run import PlateReport, run_plate
from vitascope.batch.plate.tables import MAP
from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.gui.common.dock import make_bar
from vitascope.gui.common.form import ParamsForm
from vitascope.gui.common.layout import RUN_STYLE, Collapsible, add_row, make_form, make_note, scrolling
from vitascope.gui.common.runner import CANCELLING, Launch, Runner, RunOutcome, in_words
from vitascope.gui.plate.drift_box import DriftChoice
from vitascope.gui.plate.plate_command import plate_command, plate_python
from vitascope.gui.plate.plate_run_words import previewed_texts, proposed_folder, said
from vitascope.gui.plate.well_choice import WellChoice
from vitascope.gui.run.device_box import AUTOMATIC
from vitascope.gui.run.model_box import ASK, ModelBox
from vitascope.io.atomic import check_writable
from vitascope.io.plates.plate import Plate
from vitascope.io.tables.plate_map import PlateMap
from vitascope.tasks.registry import TASKS, find_task

HIDDEN = ("model", "device", "planes", "channel", "threads")
MOST_WORKERS = 64
RUN, PREVIEW = "Run the plate", "Preview controls"
ON_SERVER = (
    "Each image is sent to the server, which computes it; pictures, tables and journal are kept here, so that the run "
    "can be cancelled and resumed. The server has its own workers, and gives no features to tell drift by."
)


class PlateRunBox(QWidget):  # type: ignore[misc]
    """Starts a plate run, shows how far it is, and cancels it.

    Parameters
    ----------
    runner : Runner
    launch : Launch, optional
        Asks servers off the main thread; where it is not given, none are offered.
    """

    began = Signal(object)
    """Folder of the results."""

    progressed = Signal()
    ended = Signal()
    previewed = Signal(object, object)
    """Results of a preview, and the name of each image in it."""

    def __init__(self, runner: Runner, launch: Launch | None = None) -> None:
        super().__init__()
        self.runner, self._launch = runner, launch
        self._plate: Plate | None = None
        self._pattern: str | None = None
        self._planes: str | None = None
        self._previewing = False
        self.plate_map: PlateMap | None = None
        self.task, self.out, self.browse = QComboBox(), QLineEdit(), QPushButton("…")
        self.workers, self.scheduler = QSpinBox(), QLineEdit()
        self.channel, self.pixel_size = QLineEdit(), QLineEdit()
        self.redo = QCheckBox("Run again what failed or was incomplete")
        self.map_note, self.copy_button = make_note(), QPushButton("Copy as command")
        self.python_button = QPushButton("Copy as Python")
        self.run_button, self.bar, self.status = QPushButton(RUN), make_bar(), make_note()
        self.wells, self.preview_button = WellChoice(), QPushButton(PREVIEW)
        self.drift, self.server_note = DriftChoice(), make_note()
        self._previewed: tuple[tempfile.TemporaryDirectory[str], dict[str, str]] | None = None
        self.model: ModelBox
        self.settings: ParamsForm
        self._lay_out()
        for spec in TASKS:
            self.task.addItem(spec.title, spec.name)
        self._task_changed()
        self.task.currentIndexChanged.connect(self._task_changed)
        self.browse.clicked.connect(self._ask_folder)
        self.run_button.clicked.connect(self._run_or_cancel)
        self.preview_button.clicked.connect(self.preview)
        self.wells.grid.chosen.connect(self._show_preview)
        self.copy_button.clicked.connect(self.copy_command)
        self.python_button.clicked.connect(self.copy_python)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        self.set_map(None)
        self._refresh()

    def _lay_out(self) -> None:
        form = make_form()
        add_row(form, "Task", self.task, "What to do with every image.")
        self.channel.setPlaceholderText("the only one, or the label-free one")
        add_row(form, "Channel", self.channel, "Label-free channel, by name or by number from 0.")
        self.pixel_size.setPlaceholderText("as the files say")
        tip = "Side of a pixel in micrometres, where the files do not tell it or tell it wrong; of all images."
        add_row(form, "Pixel size (µm)", self.pixel_size, tip)
        folder = QWidget()
        across = QHBoxLayout(folder)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.out, 1)
        across.addWidget(self.browse)
        add_row(form, "Results", folder, "Folder for the results; an unfinished run in it is resumed.", self.out)
        self.workers.setRange(0, MOST_WORKERS)
        self.workers.setSpecialValueText("in this window")
        self.scheduler.setPlaceholderText("tcp://node17:8786")
        more = make_form()
        add_row(more, "Workers", self.workers, "Processes of their own on this machine; 0 computes in this window.")
        add_row(more, "Cluster", self.scheduler, "Address of a dask scheduler; its workers are used instead.")
        self.fold = Collapsible("Who computes", more)
        self.server_note.setText(ON_SERVER)
        self.inside, choices = QVBoxLayout(), QWidget()
        above = QVBoxLayout(choices)
        above.setContentsMargins(0, 4, 0, 0)
        above.addLayout(form)
        above.addLayout(self.inside)
        above.addWidget(self.server_note)
        above.addWidget(self.drift)
        above.addWidget(self.fold)
        above.addWidget(self.redo)
        above.addWidget(self.wells)  # below all that is asked, and brought into view while a run goes on
        above.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.area = scrolling(choices)
        column.addWidget(self.area, 1)
        self.redo.setToolTip("When a run is resumed; what is done and good is never run again.")
        self.copy_button.setToolTip("Copy a command that does the same on the command line.")
        self.run_button.setToolTip("Runs every well; goes on where an earlier run into the same folder ended.")
        self.browse.setToolTip("Choose the folder for results.")
        self.python_button.setToolTip("Copy a script that does the same.")
        copies = QHBoxLayout()
        copies.addWidget(self.python_button)
        copies.addWidget(self.copy_button)
        self.run_button.setStyleSheet(RUN_STYLE)
        self.preview_button.setToolTip(
            "Runs one field of a negative and a positive control, or of the wells in a frame drawn on the plate, "
            "and shows them side by side; nothing is kept."
        )
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.preview_button, 1)
        column.addWidget(self.map_note)
        column.addLayout(buttons)
        for part in (self.bar, self.status):
            column.addWidget(part)
        column.addLayout(copies)

    def _task_changed(self, *_: object) -> None:
        while self.inside.count():
            before = self.inside.takeAt(0).widget()
            before.hide()  # it is deleted later, and would be drawn below the new one until then
            before.deleteLater()
        spec = find_task(self.task.currentData())
        self.model = ModelBox(spec.name, AUTOMATIC if spec.automatic else ASK, self._launch)
        self.model.device.deviceChanged.connect(self._device_changed)
        self.settings = ParamsForm(spec.params, [name for name in HIDDEN if name in spec.params.model_fields])
        self.inside.addWidget(self.model)
        self.inside.addWidget(self.settings)
        self.channel.setEnabled("channel" in spec.params.model_fields)
        self._device_changed()

    def _device_changed(self) -> None:
        """Leave workers and drift to a device of this machine: a server has its own, and gives no features."""
        here = self.model.device.server() is None
        for part in (self.fold, self.drift):
            part.setEnabled(here)
        self.server_note.setVisible(not here)

    def set_plate(self, plate: Plate | None, pattern: str | None = None, planes: str | None = None) -> None:
        """Run this plate next; results are proposed beside it."""
        self._plate, self._pattern, self._planes = plate, pattern, planes
        if plate is not None and not self.runner.running:
            self.out.setText(str(proposed_folder(plate)))
        if not self.runner.running:
            self.wells.set_plate(plate)
        self._refresh()

    def set_map(self, plate_map: PlateMap | None) -> None:
        """Say with this map what is in the wells."""
        self.plate_map = plate_map
        known = "No plate map (tab Map): tables will not say what is in wells."
        self.map_note.setText(known if plate_map is None else f"With the plate map of {len(plate_map.table)} wells.")
        self._show_preview()

    def _ask_folder(self) -> None:
        name = getexistingdirectory(self, "Folder for the results")
        if name:
            self.out.setText(name)

    def _refresh(self) -> None:
        if not self.runner.running:
            self.run_button.setEnabled(self._plate is not None)
            self.copy_button.setEnabled(self._plate is not None)
            self.python_button.setEnabled(self._plate is not None)
            self._show_preview()
            if self._plate is None:
                self.status.setText("Open a plate first.")
            elif self.status.text() == "Open a plate first.":
                self.status.setText("")

    def _show_preview(self, *_: object) -> None:
        """Say on its button which wells a preview would take."""
        wells = list(self.wells.to_preview(self.plate_map))
        self.preview_button.setText(f"Preview {', '.join(map(str, wells))}" if wells else PREVIEW)
        self.preview_button.setEnabled(self._plate is not None and bool(wells) and not self.runner.running)
        here = "Frame wells with the mouse to preview those."
        no_controls = "To preview: name controls in the map, or frame wells with the mouse."
        self.wells.note.setText(here if wells else no_controls)

    # -- running ----------------------------------------------------------------------------------------------------

    def job(self) -> PlateJob:
        """Return what would be run.

        Raises
        ------
        VitascopeError
            Naming what is missing or cannot be used.
        """
        if self._plate is None:
            raise ParameterError("There is no plate.", "Open one first.")
        if not self.out.text().strip():
            raise ParameterError("There is no folder for the results.", "Choose one.")
        spec = find_task(self.task.currentData())
        if problem := self.model.problem():
            raise ParameterError(problem)
        asked = self.model.value()
        if self.channel.isEnabled() and self.channel.text().strip():
            asked["channel"] = self.channel.text().strip()
        params = self.settings.value().changed(**asked)
        out, server = Path(self.out.text().strip()), self.model.device.server()
        scheduler = server.url if server is not None else self.scheduler.text().strip() or None
        workers = self.workers.value() or None
        job = PlateJob(
            spec=spec,
            plate=self._plate,
            params=params,
            out=out,
            plate_map=self.plate_map,
            scheduler=scheduler,
            workers=None if scheduler else workers,
            pixel_size_um=self._pixel_size_um(),
            pattern=self._pattern,
            planes=self._planes,
            redo=self.redo.isChecked(),
            drift=self.drift.value() if server is None else None,
        )
        return replace(job, command=plate_command(job))

    def _pixel_size_um(self) -> float | None:
        text = self.pixel_size.text().strip().replace(",", ".")
        try:
            size = float(text) if text else None
        except ValueError:
            size = math.nan
        if size is not None and not (math.isfinite(size) and size > 0):
            raise ParameterError(f"The pixel size '{text}' is no length.", "Type micrometres per pixel, such as 0.65.")
        return size

    def copy_command(self) -> None:
        """Put the run on the clipboard as a command."""
        self._copy(lambda job: job.command)

    def copy_python(self) -> None:
        """Put the run on the clipboard as Python."""
        self._copy(plate_python)

    def _copy(self, write: Callable[[PlateJob], str]) -> None:
        try:
            job = self.job()
            if job.plate_map is not None:
                check_writable(job.out)
                job.out.mkdir(parents=True, exist_ok=True)
                job.plate_map.save(job.out / MAP)
        except VitascopeError as error:
            self.status.setText(error.in_dock)
            return
        QGuiApplication.clipboard().setText(write(job))
        self.status.setText("Copied.")

    def _run_or_cancel(self) -> None:
        if self.runner.running:
            self.runner.cancel()
            self.run_button.setText("Cancelling …")
            self.run_button.setEnabled(False)
            self.status.setText(CANCELLING)
            return
        self.run()

    def run(self) -> None:
        """Start; a problem is said in a sentence."""
        try:
            job = self.job()
            self._lock()
            self.began.emit(job.out)
            self.runner.start(f"{job.spec.title}: {job.plate.name}", self._steps(job))
        except VitascopeError as error:
            self._unlock()
            self.status.setText(error.in_dock)

    def preview(self) -> None:
        """Run the first image of some wells into a folder that goes again."""
        names = self.wells.to_preview(self.plate_map)
        try:
            job = self.job()
            sites = {job.plate.in_well(well)[0]: name for well, name in names.items()}
            self.forget_preview()
            folder = tempfile.TemporaryDirectory(prefix="vitascope-", ignore_cleanup_errors=True)
            few, out = replace(job.plate, sites=tuple(sites)), Path(folder.name)
            there = job.scheduler if is_service(job.scheduler) else None
            some = replace(job, plate=few, out=out, workers=None, scheduler=there, drift=None)
            self._previewed = folder, {site.id: name for site, name in sites.items()}
            self._previewing = True
            self._lock()
            self.runner.start(f"Preview: {job.plate.name}", self._steps(some))
        except VitascopeError as error:
            self._previewing = False
            self._unlock()
            self.status.setText(error.in_dock)

    def _steps(self, job: PlateJob) -> Callable[[], ProgressGenerator[PlateReport]]:
        """Return the run of a job; a server's token stands in no job, since jobs are written down."""
        server = self.model.device.server()
        open_with = partial(open_workers, token=server.token if server is not None else None)
        return lambda: run_plate(job, open_with)

    def forget_preview(self) -> None:
        """Let the files of the last preview go."""
        if self._previewed is not None:
            self._previewed[0].cleanup()
            self._previewed = None

    def _lock(self) -> None:
        self.run_button.setText("Cancel")
        self.preview_button.setEnabled(False)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("Starting")
        QTimer.singleShot(0, self._show_wells)  # once the bar has its place

    def _show_wells(self) -> None:
        if isalive(self):
            self.area.ensureWidgetVisible(self.wells)

    def _unlock(self) -> None:
        self.bar.hide()
        self.run_button.setText(RUN)
        self.run_button.setEnabled(self._plate is not None)
        self._show_preview()

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        # images done of all: that is the whole run
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        if not self.runner.cancelling:
            self.status.setText(in_words(progress, seconds_left))
        if not self._previewing:
            self.progressed.emit()

    def _ended(self, outcome: RunOutcome) -> None:
        self._unlock()
        if self._previewing:
            self._previewing = False
            self._preview_ended(outcome)
            return
        if outcome.kind == "done":
            self.status.setText(said(outcome.value))
        elif outcome.kind == "cancelled":
            self.status.setText("Cancelled. What is done is kept; Run resumes from there.")
        else:
            self.status.setText(f"{outcome.message} {outcome.hint}".strip())
        self.ended.emit()

    def _preview_ended(self, outcome: RunOutcome) -> None:
        if self._previewed is None or outcome.kind != "done":
            self.status.setText(f"{outcome.message} {outcome.hint}".strip() or "Cancelled.")
            return
        folder, names = self._previewed
        results = open_plate_results(folder.name)
        headline = find_task(self.task.currentData()).headline
        self.status.setText("Preview, not kept: " + "; ".join(previewed_texts(results, names, headline)) + ".")
        self.previewed.emit(results, names)
