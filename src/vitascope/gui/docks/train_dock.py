"""The dock that trains: data, start, run, and how it goes - for every task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari.utils.notifications import show_error, show_info
from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.card import ModelCard
from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.paths import RECIPE
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.training_params import EpochProgress
from vitascope.gui.common.dock import Dock, make_bar, make_column
from vitascope.gui.common.form import ParamsForm
from vitascope.gui.common.layout import (
    RUN_STYLE,
    Collapsible,
    add_row,
    discard,
    make_form,
    make_line,
    make_note,
    make_title,
)
from vitascope.gui.common.runner import CANCELLING, Launch, Runner, RunOutcome, in_background, in_words
from vitascope.gui.common.whole_run import show_share
from vitascope.gui.run.model_box import ModelBox
from vitascope.gui.session.autosave import autosave_of
from vitascope.gui.session.reopen_box import ReopenBox
from vitascope.gui.train.calibrate_box import CalibrateBox
from vitascope.gui.train.prepare_box import PrepareBox
from vitascope.gui.train.train_data_box import TrainDataBox
from vitascope.gui.train.train_plots import TrainPlots
from vitascope.gui.train.train_run import Said, libraries, said, train_new, train_steps, unfinished
from vitascope.gui.train.train_words import (
    against_start,
    best_of,
    figure_name,
    model_headline,
    quick_words,
    words_of_test,
)
from vitascope.recipes.calibration import Calibration
from vitascope.recipes.finetune import Estimate, FineTuneParams, SetUp, free_name
from vitascope.recipes.recipe import read_recipe
from vitascope.tasks.late_modules import load_finetuning
from vitascope.tasks.registry import TASKS, find_task
from vitascope.tasks.training_data import Truth

if TYPE_CHECKING:
    import napari.viewer

    from vitascope.gui.docks.task_dock import TaskDock

WIDTH_PX = 420
TRAIN, PAUSE = "Train", "Pause"
LOADING = "Loading the libraries"
HERE = "Training runs on this machine: servers run models, and make none."


class TrainDock(Dock):
    """Train.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    launch : Launch, optional
        Looks at pairs in a thread by default.
    """

    def __init__(
        self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None, launch: Launch = in_background
    ) -> None:
        super().__init__(napari_viewer, runner)
        self._launch = launch
        self._autosave = autosave_of(self._viewer)
        self._after: Callable[[Any], None] = self._show_model
        self.task, self.name, self.scratch = QComboBox(), QLineEdit(), QCheckBox("from scratch, with random weights")
        self.data: TrainDataBox
        self.model: ModelBox
        self.settings = ParamsForm(FineTuneParams)
        self.estimate_button, self.train_button = QPushButton("How long?"), QPushButton(TRAIN)
        self.stop_button, self.use_button = QPushButton("Stop, keep the best"), QPushButton("Use this model now")
        self.cure_button = QPushButton()
        self._made: ModelCard | None = None
        self._told = ""
        """What the last training said of itself; it stays while nothing is wrong."""
        self.unfinished, self.resume_button = QComboBox(), QPushButton("Resume")
        self.resume_button.setToolTip("Goes on with the chosen training where it was paused.")
        self.bar, self.status, self.answer, self.words = make_bar(), make_note(), make_note(), make_note()
        self.plots = TrainPlots(self._text_colour, self._guarded)
        self.reopen_box = ReopenBox(self._viewer)
        self.prepare = PrepareBox(self._guarded, self._text_colour)
        self.calibrate = CalibrateBox()
        self._lay_out()
        for spec in TASKS:
            self.task.addItem(spec.title, spec.name)
        self._task_changed()
        self._connect()
        self._find_unfinished()

    # -- building ---------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        inside, column = make_column()
        form = make_form()
        add_row(form, "Task", self.task, "What the model is for.")
        column.addLayout(form)
        column.addWidget(self.reopen_box)
        self._slots = {name: QVBoxLayout() for name in ("data", "model")}
        column.addWidget(make_title("Data"))
        column.addLayout(self._slots["data"])
        column.addWidget(make_line())
        column.addWidget(make_title("Start"))
        column.addLayout(self._slots["model"])
        self.scratch.setToolTip("Built like the model above, and knowing nothing: for many images only.")
        column.addWidget(self.scratch)
        names = make_form()
        tip = "Its name: small letters, digits, dot, dash, underscore. No model is ever replaced."
        add_row(names, "New model", self.name, tip)
        column.addLayout(names)
        column.addWidget(self._calibrate_fold())
        column.addWidget(self.settings)
        column.addWidget(self.prepare)
        column.addWidget(make_line())
        column.addLayout(self._buttons())
        self.answer.setStyleSheet("font-size: 15px; font-weight: 600;")
        self.use_button.setToolTip("Opens the dock of this task with the new model chosen.")
        self.use_button.hide()
        self.cure_button.hide()
        parts = (
            self.words,
            self.bar,
            self.status,
            self.cure_button,
            self.answer,
            self.use_button,
            self.plots,
            self._resume_fold(),
        )
        for part in parts:
            column.addWidget(part)
        for note in (self.words, self.answer):
            note.hide()
        column.addStretch(1)
        self.area = self._show_column(inside, WIDTH_PX)

    def _buttons(self) -> QHBoxLayout:
        across = QHBoxLayout()
        self.train_button.setStyleSheet(RUN_STYLE)
        self.train_button.setToolTip("Trains a new model; pausing keeps where it stands, to the last step.")
        self.stop_button.setToolTip("Ends the training now and makes a model of the best round so far.")
        self.stop_button.setEnabled(False)
        self.estimate_button.setToolTip("Tries a few steps and tells time and memory of the whole.")
        across.addWidget(self.train_button, 2)
        across.addWidget(self.stop_button, 1)
        across.addWidget(self.estimate_button, 1)
        return across

    def _calibrate_fold(self) -> QWidget:
        column = QVBoxLayout()
        column.addWidget(self.calibrate)
        self.calibrate_fold = Collapsible("Calibrate on one plate", column)
        return self.calibrate_fold

    def _resume_fold(self) -> QWidget:
        row = QHBoxLayout()
        self.unfinished.setAccessibleName("Unfinished trainings")
        row.addWidget(self.unfinished, 1)
        row.addWidget(self.resume_button)
        self.resume_fold = Collapsible("Unfinished trainings", row)
        return self.resume_fold

    def _task_changed(self, *_: object) -> None:
        spec = find_task(self.task.currentData())
        for slot in self._slots.values():
            while slot.count():
                discard(slot.takeAt(0).widget())
        self.data, self.model = TrainDataBox(spec, self._guarded), ModelBox(spec.name, unchosen="", no_server=HERE)
        self.prepare.setVisible(spec.trained_on.truth is Truth.PICTURES)
        self.calibrate_fold.setVisible(spec.trained_on.extensive)
        self._slots["data"].addWidget(self.data)
        self._slots["model"].addWidget(self.model)
        self.model.valueChanged.connect(self._model_changed)
        self.data.valueChanged.connect(self._refresh)
        self._layers_changed()
        self._model_changed()

    def _guarded(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Let nothing arrive at a dock, or at a part of it, that is gone."""
        box = self.data
        self._launch(work, lambda value: then(value) if isalive(box) and self._open else None)

    def _connect(self) -> None:
        self.task.currentIndexChanged.connect(self._task_changed)
        self.train_button.clicked.connect(self._train_or_pause)
        self.stop_button.clicked.connect(self.stop)
        self.cure_button.clicked.connect(self._cure)
        self.use_button.clicked.connect(self.use_model)
        self.estimate_button.clicked.connect(self.estimate)
        self.resume_button.clicked.connect(self.resume)
        self.prepare.button.clicked.connect(self._show_prepared)
        self.calibrate.asked.connect(lambda title, steps: self._start(title, steps, self._show_calibration))
        self.name.textChanged.connect(self._refresh)
        self.settings.valueChanged.connect(self._refresh)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        events = self._viewer.layers.events
        active = self._viewer.layers.selection.events.active
        self._listen(self._layers_changed, events.inserted, events.removed, events.renamed, active)

    def close_down(self) -> None:
        """Write what was painted, and go."""
        self._autosave.flush()
        super().close_down()

    # -- before a run -----------------------------------------------------------------------------------------------

    def _layers_changed(self, event: Any = None) -> None:
        if self._open:
            layers = self._viewer.layers
            self.reopen_box.layers_changed()
            self.data.set_layers(list(layers), list(layers.selection), layers.selection.active)

    def _model_changed(self) -> None:
        card = self.model.card()
        self.data.set_card(card)
        if card is not None and not self.name.isModified():
            self.name.setText(free_name(f"{card.id[:50]}-mine"))
        self._refresh()

    def _show_prepared(self) -> None:
        try:
            params: FineTuneParams = self.settings.value()  # type: ignore[assignment]
        except ParameterError as error:
            self.status.setText(error.in_dock)
            return
        self.prepare.show_pair(self.data.layer_pairs(), params)

    def problem(self) -> str:
        """Say what keeps a training from starting; empty if nothing does."""
        if self.model.card() is None:
            return "Choose the model to start from."
        if problem := self.data.problem():
            return problem
        try:
            self.settings.value()
            name = self.name.text().strip()
            free = free_name(name)
        except ParameterError as error:
            return error.in_dock
        return "" if name == free else f"There is a model or a training '{name}' already: take '{free}'."

    def _refresh(self, *_: object) -> None:
        if self.runner.running:
            return
        problem, card = self.problem(), self.model.card()
        self.calibrate.set_start(card.id if card is not None else "", self.name.text().strip())
        self.train_button.setEnabled(not problem)
        self.estimate_button.setEnabled(not problem)
        self._say(problem or self._told)
        cure = self.data.cure(self._plane_seen()) if problem else None
        self.cure_button.setText(cure.text if cure is not None else "")
        self.cure_button.setVisible(cure is not None)

    def _plane_seen(self) -> int:
        """Return the step of the last slider, which runs through the planes of a stack."""
        steps = self._viewer.dims.current_step
        return int(steps[-3]) if len(steps) > 2 else 0

    def _cure(self) -> None:
        cure = self.data.cure(self._plane_seen())
        if cure is not None:
            cure.act()
            self._refresh()

    # -- running ----------------------------------------------------------------------------------------------------

    def _train_or_pause(self) -> None:
        if self.runner.running:
            self.runner.cancel()
            self.train_button.setText("Pausing …")
            self.train_button.setEnabled(False)
            self.status.setText(CANCELLING.replace("Cancelling", "Pausing"))
            return
        self.train()

    def train(self) -> None:
        """Copy the data as they are now, write the recipe, and train."""
        self._set_up(train_new, self._show_model)

    def estimate(self) -> None:
        """Try a few real steps, and tell time and memory; nothing is kept."""

        def steps(ready: SetUp, device: str) -> ProgressGenerator[Estimate]:
            module = load_finetuning()
            try:
                return (yield from module.estimate(ready.recipe, Path(ready.folder), device))
            finally:
                module.discard(ready)

        self._set_up(steps, self._show_estimate)

    def _set_up(self, steps: Callable[[SetUp, str], ProgressGenerator[Any]], after: Callable[[Any], None]) -> None:
        card = self.model.card()
        if card is None:
            return
        spec, name, scratch = find_task(card.task), self.name.text().strip(), self.scratch.isChecked()
        params: FineTuneParams = self.settings.value()  # type: ignore[assignment]
        device = str(self.model.value()["device"])
        try:
            table = self.data.table(params.by) if self.data.from_table else None
            readers = [] if table is not None else self.data.training_pairs()
        except VitascopeError as error:
            self._show_failure(error.message, error.dock_hint)
            return

        def run() -> ProgressGenerator[Any]:
            yield Progress(0, 1, LOADING)
            with libraries(spec) as module:
                if table is not None:
                    ready = module.set_up_table(name, card.id, table, params, scratch)
                else:
                    pairs = []
                    for number, read in enumerate(readers):
                        yield Progress(number, len(readers), "reading the images")
                        pairs.append(read())
                    ready = yield from module.set_up_pairs(name, card.id, pairs, params, scratch)
                yield said(ready)
                return (yield from steps(ready, device))

        self._start(f"Training {name}", run, after)

    def resume(self) -> None:
        """Resume a training that was paused, or that ended when the program did."""
        folder = self.unfinished.currentData()
        if folder is None:
            return
        device = str(self.model.value()["device"])

        def run() -> ProgressGenerator[ModelCard]:
            yield Progress(0, 1, LOADING)
            recipe = read_recipe(folder / RECIPE)
            with libraries(find_task(recipe.task)):
                return (yield from train_steps(recipe, folder, device))

        self._start(f"Training {folder.name}", run, self._show_model)

    def stop(self) -> None:
        """End now, and keep the best."""
        self.runner.stop_early()
        self.stop_button.setEnabled(False)
        self.status.setText("Stopping: the best round is measured and kept.")

    def _start(self, title: str, run: Callable[[], ProgressGenerator[Any]], after: Callable[[Any], None]) -> None:
        self._after = after
        self._told = ""
        self.answer.hide()
        self.use_button.hide()
        self.plots.clear()
        self._lock(True)
        self._bring_answer_into_view()
        try:
            self.runner.start(title, run)
        except VitascopeError as error:
            self._lock(False)
            self._show_failure(error.message, error.dock_hint)

    def _lock(self, running: bool) -> None:
        folds = (self.resume_fold, self.calibrate_fold)
        for part in (self.task, self.data, self.model, self.scratch, self.name, self.settings, *folds):
            part.setEnabled(not running)
        self.train_button.setText(PAUSE if running else TRAIN)
        self.train_button.setEnabled(True)
        self.stop_button.setEnabled(False)
        self.estimate_button.setEnabled(not running)
        self.bar.setRange(0, 0)
        self.bar.setVisible(running)

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        if not self._open:
            return
        if isinstance(progress, Said):
            self.words.setText(progress.description)
            self.words.show()
            self._bring_answer_into_view()
        if isinstance(progress, EpochProgress):
            self.stop_button.setEnabled(progress.done > 0 and not self.runner.cancelling)
            if self.plots.start_picture is None:
                self._bring_answer_into_view()  # the curves below it make room to scroll to
            if progress.preview or self.plots.start_picture is None:
                self.plots.show_progress(progress)
                self._show_figure(progress)
        show_share(self.bar, self.runner.share)
        if not self.runner.cancelling:
            self.status.setText(in_words(progress, seconds_left))
        self.status.show()

    def _show_figure(self, progress: EpochProgress) -> None:
        name = figure_name(progress.history, progress.start)
        told = against_start(name, best_of(progress.history), progress.start, quick=progress.quick)
        told = f"{told} so far" if told and name in progress.start else told
        told = told or quick_words(name, progress.quick, progress.start)
        if told:
            self.answer.setText(told)
            self.answer.show()

    def _ended(self, outcome: RunOutcome) -> None:
        if not self._open:
            return
        self._lock(False)
        self._find_unfinished()
        self._refresh()
        if outcome.kind == "done":
            self._after(outcome.value)
        elif outcome.kind == "cancelled":
            self._say("Paused. Resume it below, today or another day.")
        else:
            self._show_failure(outcome.message, outcome.hint)

    def _show_failure(self, message: str, hint: str) -> None:
        self._say(f"{message} {hint}".strip())
        show_error(f"Train: {message} {hint}".strip())

    def _show_estimate(self, found: Estimate) -> None:
        minutes = found.total_s / 60
        time_told = f"{minutes:.0f} min" if minutes >= 2 else f"{found.total_s:.0f} s"
        self.answer.setText(f"About {time_told}, {found.memory_bytes / 2**30:.1f} GiB of memory")
        self.answer.show()

    def _show_model(self, card: ModelCard) -> None:
        notes = " ".join(card.training.get("notes", []))
        self.answer.setText(model_headline(card))
        self.answer.show()
        self._told = f"{words_of_test(card)} {notes}".strip()
        self._say(self._told)
        self._made = card
        self.use_button.show()
        self._bring_answer_into_view()
        QTimer.singleShot(0, self._reload)
        show_info(f"The model '{card.id}' is ready.")

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _bring_answer_into_view(self) -> None:
        """Scroll to the buttons and what is said below them, once it is laid out."""
        QTimer.singleShot(0, self._show_answer)

    def _show_answer(self) -> None:
        if self._open and isalive(self):
            self.area.verticalScrollBar().setValue(self.train_button.y())

    def _show_calibration(self, found: Calibration) -> None:
        self._show_model(found.card)
        self.calibrate.show_calibration(found)
        self.answer.setText(f"'{found.card.id}' is ready. {found.sentences[0]}")
        self.status.hide()

    def use_model(self) -> TaskDock | None:
        """Open the dock of the new model's task, with the model chosen; None where there is nothing to open it in."""
        for layer in self.data.input.layers():  # not the truth beside it, which may be the active one
            self._viewer.layers.selection.active = layer
        if self._made is None or not hasattr(self._viewer, "window"):
            return None
        title = find_task(self._made.task).title
        _, dock = self._viewer.window.add_plugin_dock_widget("vitascope", title, tabify=True)
        dock.show_model(self._made.id)
        return cast("TaskDock", dock)

    def _reload(self) -> None:
        if self._open and isalive(self):
            self.model.reload()

    def _find_unfinished(self) -> None:
        self.unfinished.clear()
        for folder in unfinished():
            self.unfinished.addItem(folder.name, folder)
        self.resume_fold.setVisible(self.unfinished.count() > 0)
        if self.unfinished.count():
            self.resume_fold.expand()
