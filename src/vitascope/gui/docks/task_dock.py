"""The one dock of all tasks: input, model, run, answer, take away - made from a task's definition."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Labels, Layer
from napari.utils.notifications import show_error, show_info
from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.core.formatting import is_number
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Result, Trust
from vitascope.gui.common.dock import Dock, make_bar, make_column
from vitascope.gui.common.form import ParamsForm
from vitascope.gui.common.layout import make_line, make_note, make_title
from vitascope.gui.common.result_text import headline
from vitascope.gui.common.runner import CANCELLING, Runner, RunOutcome, in_background, in_words
from vitascope.gui.common.trust import as_far_as_known, check_before, in_full, scale_is_told
from vitascope.gui.common.whole_run import show_share
from vitascope.gui.layers.add import add_result
from vitascope.gui.layers.display import attend, is_mask, uncover
from vitascope.gui.layers.frame import Frame
from vitascope.gui.layers.snapshot import Snapshot, is_result
from vitascope.gui.run.device_box import AUTOMATIC
from vitascope.gui.run.export import FinishedRun
from vitascope.gui.run.export_box import ExportBox
from vitascope.gui.run.input_box import Cure, InputBox
from vitascope.gui.run.model_box import ASK, ModelBox
from vitascope.gui.run.result_box import ResultBox
from vitascope.gui.run.run_button import RunButton
from vitascope.gui.session.autosave import autosave_of
from vitascope.gui.session.folder import keep_run
from vitascope.gui.session.reopen_box import ReopenBox
from vitascope.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import napari.viewer

ASKED_ELSEWHERE = ("model", "device", "channel", "channels", "planes", "targets", "overlay")
CHANGES = ("visible", "data", "scale", "units")
"""Events of layers that may change what a run would be made on."""

WIDTH_PX = 364
GRACE_S = 1.0
"""Clicks on Cancel so soon after Run are taken for further clicks on Run."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a run is made on, and how; nothing before the first.

    Parameters
    ----------
    layers : tuple of Layer
        Of the image.
    name : str
        Of the image.
    key : tuple
        Equal for two questions that have the same answer.
    """

    layers: tuple[Layer, ...] = ()
    name: str = ""
    key: tuple[Any, ...] = ()


class TaskDock(Dock):
    """A dock for one task; subclasses name it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    """

    spec: ClassVar[TaskSpec]
    each: ClassVar[bool] = False
    """Whether several layers can be run on one by one."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None) -> None:
        super().__init__(napari_viewer, runner)
        self._after: Callable[[Any], None] = self._show_run
        self._on_failure: Callable[[str, str], None] = self._show_failure
        self._started_s = 0.0
        self._began = self._answered = Question()
        self._said_trust: Trust | None = None
        attend(self._viewer)
        self._autosave = autosave_of(self._viewer)
        self.input = InputBox(self.spec, self.each, follows=True)
        unchosen = AUTOMATIC if self.spec.automatic else ASK
        self.model = ModelBox(self.spec.name, unchosen, self._while_open(in_background))
        hidden = [n for n in ASKED_ELSEWHERE if n in self.spec.params.model_fields]
        self.settings = ParamsForm(self.spec.params, hidden)
        self.run_button = RunButton(self.spec.verb, self.spec.summary)
        self.reopen_box = ReopenBox(self._viewer)
        self.outlines = QCheckBox("Show outlines")
        self._outlined: Labels | None = None
        self.bar, self.status, self.cure_button = make_bar(), make_note(), QPushButton()
        self.cure_button.hide()
        self.answer = ResultBox(self.spec, self._text_colour)
        self.export_box = ExportBox(self._viewer, self._start)
        self._lay_out()
        self._connect()
        self._layers_changed()
        self._refresh()

    # -- building ---------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        inside, column = make_column()
        parts = (
            make_title("Input"),
            self.input,
            self.reopen_box,
            make_line(),
            make_title("Model"),
            self.model,
            *self.parts_after_model(),
            self.settings,
            make_line(),
        )
        for part in parts:
            column.addWidget(part)
        self.outlines.setToolTip("Outline what was found, in the picture; hover over an object for its numbers.")
        self.outlines.hide()
        after = self.parts_after_answer()
        shown = (self.bar, self.status, self.cure_button, self.answer)
        for part in (self.run_button, *shown, *after, self.outlines):
            column.addWidget(part)
        column.addStretch(1)
        self.area = self._show_column(inside, WIDTH_PX, (*self.parts_at_foot(), self.export_box))

    def parts_after_model(self) -> Sequence[QWidget]:
        """Return what a task's dock asks between the model and the settings; nothing by default."""
        return ()

    def parts_after_answer(self) -> Sequence[QWidget]:
        """Return what a task's dock shows between the answer and what can be taken away; nothing by default."""
        return ()

    def parts_at_foot(self) -> Sequence[QWidget]:
        """Return what a task's dock shows below the column, always in view; nothing by default."""
        return ()

    def layers_added(self, run: FinishedRun, layers: Sequence[Any]) -> None:
        """Take note of the layers of a run, for docks that go on with them; nothing by default."""

    def _connect(self) -> None:
        self.run_button.clicked.connect(self._run_or_cancel)
        self.cure_button.clicked.connect(self._cure)
        self.outlines.toggled.connect(self._show_outlines)
        for part in (self.input, self.model, self.settings):
            part.valueChanged.connect(self._refresh)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        layers = self._viewer.layers
        self._listen(
            self._layers_changed,
            layers.events.inserted,
            layers.events.removed,
            layers.events.reordered,
            layers.events.renamed,
            layers.selection.events.changed,
            layers.selection.events.active,
        )
        self._listen(self._layer_changed, layers.events)
        self._listen(self._theme_changed, self._viewer.events.theme)

    def close_down(self) -> None:
        """Write what was painted, and go."""
        self._autosave.flush()
        super().close_down()

    # -- what the user sees before a run ----------------------------------------------------------------------------

    def _layers_changed(self, event: Any = None) -> None:
        if not self._open:
            return
        layers = self._viewer.layers
        self.input.set_layers(list(layers), list(layers.selection), layers.selection.active)
        self.export_box.layers_changed()
        self.reopen_box.layers_changed()
        if not self.runner.running:
            self._show_whether_live()

    def _layer_changed(self, event: Any) -> None:
        """Read the image again when its pixels or scale were changed; ask again when other images come into view."""
        layer = event.sources[0]
        if not self._open or event.type not in CHANGES or not isinstance(layer, Layer):
            return
        if self._outlined is not None and layer is self._outlined:
            self.outlines.setChecked(self._outlined.visible)
        asks = event.type == "visible" and "channels" in self.spec.params.model_fields and not is_result(layer)
        if asks or (event.type != "visible" and layer in self.input.layers()):
            self.input.reload()

    def _theme_changed(self, event: Any = None) -> None:
        if self._open:
            self.answer.redraw()

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Look for new models whenever the dock comes up."""
        self.model.reload()
        super().showEvent(event)

    def show_model(self, id_: str) -> None:
        """Choose a model, which may be new, and come to the front."""
        self.model.reload()
        self.model.model.setCurrentIndex(max(0, self.model.model.findData(id_)))
        self.show()
        self.raise_()

    def _refresh(self) -> None:
        """Show whether a run can start, and whether the image fits the model."""
        if self.runner.running:
            return
        card = self.model.card()
        self.input.set_model_channel(card.input.channels[0] if card is not None else "")
        self._show_readiness()
        self._show_fit()
        self._show_sizes()
        self._show_whether_live()

    def _show_readiness(self) -> None:
        problem = self.problem()
        card = self.model.card()
        self.run_button.offer(self.input.image_name(), card.id if card is not None else "")
        self.run_button.setEnabled(not problem)
        said = (self.input.note.text(), self.model.line.text())
        self.status.setText("" if any(problem in text for text in said) else problem)
        self.status.setVisible(bool(self.status.text()))
        cure = self.cure() if problem else None
        self.cure_button.setText(cure.text if cure is not None else "")
        self.cure_button.setVisible(cure is not None)

    def cure(self) -> Cure | None:
        """Return what mends the problem in one click; None where there is no such thing."""
        return self.input.cure()

    def _cure(self) -> None:
        cure = self.cure()
        if cure is not None:
            cure.act()
            self._refresh()

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        problem = self.input.problem() or self.model.problem()
        if problem:
            return problem
        try:
            self.params()
        except VitascopeError as error:
            return error.in_dock
        return ""

    def params(self) -> RunParams:
        """Return the parameters as they stand in the dock.

        Raises
        ------
        VitascopeError
            Naming what is missing or cannot be used.
        """
        _, asked = self.input.value()
        params: RunParams = self.settings.value().changed(**self.model.value(), **asked)
        return params

    def _show_sizes(self) -> None:
        """Ask for sizes in µm only where they can be compared with the image."""
        size = self.input.pixel_size_um()
        self.settings.show_units("µm", size is not None, but=("z_step_um",))

    def _show_fit(self) -> None:
        card = self.model.card()
        try:
            snapshots, asked = self.input.value()
            params = self.settings.value()
        except VitascopeError:
            card = None
        if card is None:
            self.model.hide_trust()
            return
        image = snapshots[self.spec.roles[0].name]
        diameter = getattr(params, "object_diameter_px", None)
        trust = check_before(
            card.input,
            planes=len(asked.get("planes") or ()) or image.sizes["Z"],
            pixel_size_um=image.scale.pixel_size_um,
            object_diameter_px=diameter if is_number(diameter) else None,
            rescale=getattr(params, "rescale", True),
        )
        scaled = scale_is_told(card, params.model_dump())
        self.model.show_trust(as_far_as_known(trust, card, pixel_size_um=image.scale.pixel_size_um, scaled=scaled))

    # -- running ----------------------------------------------------------------------------------------------------

    def _run_or_cancel(self) -> None:
        if self.runner.running:
            # The second click of a double click is not meant for the button that Run has become.
            if time.monotonic() - self._started_s < GRACE_S:
                return
            self.runner.cancel()
            self.run_button.say("Cancelling …")
            self.run_button.setEnabled(False)
            self.status.setText(CANCELLING)
            return
        self.input.commit()
        self.run()

    def run(self) -> None:
        """Start a run with what stands in the dock; a problem is said in a sentence."""
        try:
            snapshots, _ = self.input.value()
            params = self.params()
        except VitascopeError as error:
            self._show_failure(error.message, error.dock_hint)
            return
        self._began = self.question()
        self.answer.clear_problem()
        spec, frame = self.spec, snapshots[self.spec.roles[0].name].frame
        opened_from, server = self._opened_from(), self.model.device.server()

        def steps() -> ProgressGenerator[FinishedRun]:
            yield Progress(0, 1, "Starting")
            images = {role: snapshot.micrograph() for role, snapshot in snapshots.items()}
            # the libraries are loaded here: the last moment to cancel before the model
            begun = spec.start(images, params) if server is None else server.steps(spec, images, params)
            yield Progress(0, 1, "Loading the model" if server is None else f"Sending to {server.name}")
            result = yield from begun
            run = FinishedRun(
                spec=spec,
                snapshots=snapshots,
                images=images,
                result=result,
                opened_from=opened_from,
                server=server,
            )
            keep_run(run)
            return run

        self._start(steps, self._show_run, self._show_failure, f"{self.spec.title}: {frame.name}")

    def _opened_from(self) -> dict[str, tuple[str, ...]]:
        """Note the files that napari says layers were opened from."""
        found: dict[str, tuple[str, ...]] = {}
        for role, box in self.input.layer_boxes.items():
            choice = box.choice()
            if choice is not None and len(choice.layers) == 1 and choice.layers[0].source.path:
                found[role] = (str(choice.layers[0].source.path),)
        return found

    def _start(
        self,
        steps: Callable[[], ProgressGenerator[Any]],
        after: Callable[[Any], None],
        on_failure: Callable[[str, str], None],
        title: str,
    ) -> None:
        self._after, self._on_failure, self._started_s = after, on_failure, time.monotonic()
        self.run_button.say("Cancel")
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("Starting")
        self.status.show()
        self._lock(True)
        try:
            self.runner.start(title, steps)
        except VitascopeError as error:  # another run is going: nothing was tried, so no answer is forgotten
            self._unlock()
            self.status.setText(error.in_dock)
            self.status.show()
            show_info(f"{self.spec.title}: {error.in_dock}")
            if Runner.busy is not None:
                Runner.busy.ended.connect(self._others_ended)

    def _others_ended(self, outcome: RunOutcome) -> None:
        """Say no longer that another run is going."""
        self.sender().ended.disconnect(self._others_ended)
        if self._open:
            self._refresh()

    def _lock(self, running: bool) -> None:
        for part in (self.input, self.model, self.settings, self.export_box):
            part.setEnabled(not running)

    def _unlock(self) -> None:
        self._lock(False)
        self.bar.hide()
        self._show_readiness()

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        if not self._open:
            return
        show_share(self.bar, self.runner.share)
        if not self.runner.cancelling:
            self.status.setText(in_words(progress, seconds_left))

    def _ended(self, outcome: RunOutcome) -> None:
        if not self._open:
            return
        self._unlock()
        if outcome.kind == "done":
            self._after(outcome.value)
            self._show_whether_live()
        elif outcome.kind == "cancelled":
            self.status.setText("Cancelled. Nothing was changed.")
            self.status.show()
        else:
            self._on_failure(outcome.message, outcome.hint)
            show_error(f"{self.spec.title}: {outcome.message} {outcome.hint}".strip())

    def _show_failure(self, message: str, hint: str) -> None:
        """Say why there is no answer; what an earlier run gave stays in the viewer, and is offered no more."""
        self.forget_answer()
        self.answer.show_problem(message, hint)

    # -- whether the answer is still that of what stands above it ---------------------------------------------------

    def question(self) -> Question:
        """Return what a run would be made on now, and how."""
        try:
            asked = (*self.input.key(), self.params(), self.model.device.server())
            return Question(self.input.layers(), self.input.image_name(), asked)
        except VitascopeError:
            return Question()

    def _show_whether_live(self) -> None:
        """Grey the answer when what stands above it is another question, and take it away when its image is gone."""
        asked = self._answered
        if not asked.layers:
            return
        if not any(layer in self._viewer.layers for layer in asked.layers):
            self.forget_answer()
            self._show_fit()
            return
        live = self.question().key == asked.key
        self.set_live(live)
        if live and self._said_trust is not None:
            self.model.show_trust(self._said_trust)

    def set_live(self, live: bool) -> None:
        """Show whether the answer is that of what stands above it; only then is it given away."""
        self.answer.set_live(live)
        self.export_box.set_live(live)

    def forget_answer(self) -> None:
        """Show no answer; its layers stay in the viewer."""
        self._answered, self._said_trust, self._outlined = Question(), None, None
        self.outlines.hide()
        self.answer.clear()
        self.export_box.clear()

    def take_answer(self, layers: Sequence[Layer], trust: Trust) -> None:
        """Note which question is answered now, say how far to rely on it, and offer the outlines among its layers."""
        self._answered, self._said_trust = self._began, trust
        self.answer.show_trust(trust)
        self.offer_outlines(layers)

    def offer_outlines(self, layers: Sequence[Layer]) -> None:
        """Offer to show the outlines among layers."""
        labels = [layer for layer in layers if isinstance(layer, Labels)]
        self._outlined = labels[0] if labels and not is_mask(self.spec.name) else None
        self.outlines.setVisible(self._outlined is not None)
        if self._outlined is not None:
            self.outlines.setText(f"Outline {self._outlined.name.partition(' · ')[0]}")
            self.outlines.setChecked(self._outlined.visible)

    def _show_outlines(self, shown: bool) -> None:
        layer = self._outlined
        if layer is None or layer not in self._viewer.layers or layer.visible == shown:
            return
        layer.visible = shown
        if shown:
            self._viewer.layers.selection.active = layer

    # -- what the user sees after a run -----------------------------------------------------------------------------

    def _show_run(self, run: FinishedRun) -> None:
        result = run.result
        active = self._viewer.layers.selection.active
        uncover(self._viewer, self._began.layers)
        layers = add_result(self._viewer, result, _frame_of(run))
        self.layers_added(run, layers)
        labels = next((layer for layer in layers if isinstance(layer, Labels)), None)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        verdict = self._verdict(run)
        self.take_answer(layers, verdict)
        self.model.show_trust(verdict)
        self.answer.show_result(result, self._whose(result))
        self.export_box.offer(run, labels)
        if result.provenance is not None:
            self.model.show_used(result.provenance.model)
        head = headline(self.spec, result)
        show_info(f"{self.spec.title}: {f'{head.number} {head.unit}'.strip()} in {_seconds(result)}.")
        self.bring_answer_into_view()

    def _verdict(self, run: FinishedRun) -> Trust:
        """Say how far to rely on a run's numbers, as far as that can be known."""
        trust = in_full(run.result.trust)
        card = self.model.card_of(run.result.provenance.model) if run.result.provenance else None
        if card is None or run.result.provenance is None:
            return trust
        size = run.images[self.spec.roles[0].name].pixel_size_um
        scaled = scale_is_told(card, run.result.provenance.params, run.result.rows)
        return as_far_as_known(trust, card, pixel_size_um=size, scaled=scaled)

    def _whose(self, result: Result) -> str:
        """Name the image and the model that an answer belongs to."""
        model = result.provenance.model if result.provenance is not None else ""
        return " · ".join(filter(None, (self._answered.name, model)))

    def bring_answer_into_view(self) -> None:
        """Scroll to the answer, the run button still above it, once it is laid out."""
        QTimer.singleShot(0, self._show_answer)

    def _show_answer(self) -> None:
        if isalive(self):
            self.area.verticalScrollBar().setValue(self.run_button.y())


def _frame_of(run: FinishedRun) -> Frame:
    snapshot: Snapshot = run.snapshots[run.spec.roles[0].name]
    return snapshot.frame


def _seconds(result: Result) -> str:
    return f"{result.provenance.seconds:.0f} s" if result.provenance else "a moment"
