"""The dock Denoise: the noise of any image layer taken off by Noise2Void, learnt from that layer alone."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from vitascope.core.denoising import DenoiseParams
from vitascope.core.errors import VitascopeError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Result
from vitascope.gui.common.dock import Dock, make_bar, make_column
from vitascope.gui.common.form import ParamsForm
from vitascope.gui.common.layout import add_row, make_form, make_line, make_note, make_title
from vitascope.gui.common.result_text import flag_sentences
from vitascope.gui.common.runner import CANCELLING, Runner, RunOutcome, in_words
from vitascope.gui.common.whole_run import show_share
from vitascope.gui.layers.add import add_result
from vitascope.gui.layers.snapshot import Snapshot, is_colourful, snapshot_layers
from vitascope.gui.run.input_box import EMPTY
from vitascope.gui.run.layer_box import Choice, LayerBox
from vitascope.gui.run.run_button import RunButton
from vitascope.tasks.spec import Role

if TYPE_CHECKING:
    import napari.viewer

WIDTH_PX = 364
GRACE_S = 1.0
ROLE = Role("image", "Image", "Any image layer: a stain, a label-free image, a stack or a series.")
ABOUT = (
    "Learns from this layer alone what in it is noise (Noise2Void). The noise is measured first; where neighbouring "
    "pixels share it, nothing is done. What comes out is a prediction: measure amounts in the image as it was taken."
)
COLOURFUL = "A true colour picture cannot be denoised: split its channels first (Layers ▸ Split RGB)."


class DenoiseDock(Dock):
    """Denoise.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None) -> None:
        super().__init__(napari_viewer, runner)
        self._started_s = 0.0
        self._active: Layer | None = None
        self._command = ""
        self._result: Result | None = None
        self.layer, self.settings = LayerBox(ROLE), ParamsForm(DenoiseParams)
        self.about, self.status, self.answer = make_note(), make_note(), make_note()
        self.run_button, self.bar = RunButton("Denoise", "Takes the noise off the layer; the layer stays."), make_bar()
        self.save_button, self.copy_button = QPushButton("Save results …"), QPushButton("Copy as command")
        self._lay_out()
        self.run_button.clicked.connect(self.run_or_cancel)
        self.save_button.clicked.connect(self._ask_folder)
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._command))
        self.layer.currentIndexChanged.connect(lambda _: self._show_readiness())
        self.settings.valueChanged.connect(self._show_readiness)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        layers = self._viewer.layers
        changes = (layers.events.inserted, layers.events.removed, layers.events.reordered, layers.events.renamed)
        self._listen(self._layers_changed, *changes, layers.selection.events.active)
        self._layers_changed()

    def _lay_out(self) -> None:
        inside, column = make_column()
        form = make_form()
        add_row(form, ROLE.title, self.layer, ROLE.description)
        self.about.setText(ABOUT)
        self.save_button.setToolTip("Write the picture without noise, what was measured, and how it was made.")
        self.copy_button.setToolTip("Copy a command that repeats this; for layers that were opened from files.")
        column.addWidget(make_title("Input"))
        column.addLayout(form)
        for part in (make_line(), self.settings, self.about, make_line(), self.run_button, self.bar, self.status):
            column.addWidget(part)
        column.addWidget(self.answer)
        column.addStretch(1)
        self.foot = QWidget()
        across = QHBoxLayout(self.foot)
        across.setContentsMargins(8, 4, 8, 6)
        across.addWidget(self.save_button)
        across.addWidget(self.copy_button)
        self._show_column(inside, WIDTH_PX, (self.foot,))
        self._show_answer("")

    # -- before a run -----------------------------------------------------------------------------------------------

    def _layers_changed(self, event: Any = None) -> None:
        if not self._open:
            return
        layers = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Image)]
        active = self._viewer.layers.selection.active
        choices = [Choice(layer.name, (layer,)) for layer in layers]
        pointed = next((one for one in choices if one.layers == (active,)), None)
        follow = pointed is not None and active is not self._active
        self._active = active
        self.layer.set_choices(choices, pointed, follow)
        self._show_readiness()

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        choice = self.layer.choice()
        if choice is None:
            return EMPTY
        if is_colourful(choice.layers[0]):
            return COLOURFUL
        try:
            self.settings.value()
        except VitascopeError as error:
            return error.in_dock
        return ""

    def _show_readiness(self) -> None:
        if self.runner.running:
            return
        problem, choice = self.problem(), self.layer.choice()
        self.run_button.offer(choice.name if choice is not None else "")
        self.run_button.setEnabled(not problem)
        self._say(problem)

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    # -- running ----------------------------------------------------------------------------------------------------

    def run_or_cancel(self) -> None:
        """Start, or cancel what runs."""
        if not self.runner.running:
            self.run()
        elif time.monotonic() - self._started_s >= GRACE_S:  # the second click of a double click is no Cancel
            self.runner.cancel()
            self.run_button.say("Cancelling …")
            self.run_button.setEnabled(False)
            self._say(CANCELLING)

    def run(self) -> None:
        """Denoise the chosen layer; a problem is said in a sentence."""
        choice = self.layer.choice()
        if choice is None or self.problem():
            self._say(self.problem())
            return
        snapshot, params = snapshot_layers(choice.layers), DenoiseParams.make(**self.settings.value().model_dump())

        def steps() -> ProgressGenerator[tuple[Snapshot, Result]]:
            from vitascope.batch.denoise import denoise_image  # writers come with it, and opening a dock shall not wait

            yield Progress(0, 1, "Starting")
            return snapshot, (yield from denoise_image(snapshot.micrograph(), params))

        self._show_answer("")
        self._started_s = time.monotonic()
        self.run_button.say("Cancel")
        self.bar.setRange(0, 0)
        self.bar.show()
        self._lock(True)
        try:
            self.runner.start(f"Denoise: {choice.name}", steps)
        except VitascopeError as error:
            self._lock(False)
            self._say(error.in_dock)

    def _lock(self, running: bool) -> None:
        for part in (self.layer, self.settings, self.foot):
            part.setEnabled(not running)
        self.bar.setVisible(running)
        self._show_readiness()

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        if self._open and not self.runner.cancelling:
            show_share(self.bar, self.runner.share)
            self._say(in_words(progress, seconds_left))

    def _ended(self, outcome: RunOutcome) -> None:
        if not self._open:
            return
        self._lock(False)
        if outcome.kind == "done":
            self._show(*outcome.value)
        else:
            self._say(f"{outcome.message} {outcome.hint}".strip() or "Cancelled. Nothing was changed.")

    # -- the answer -------------------------------------------------------------------------------------------------

    def _show(self, snapshot: Snapshot, result: Result) -> None:
        """Show the picture as its image is shown, above it, and what was measured."""
        active = self._viewer.layers.selection.active
        source = next((one for one in self._viewer.layers if str(one.unique_id) == snapshot.frame.image), None)
        layers = add_result(self._viewer, result, snapshot.frame)
        if source is not None:
            take_look(layers, source)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        row = result.rows[0]
        told = [
            f"Noise: {row['noise_sigma']:.4g} grey values (standard deviation)",
            f"Correlation of neighbouring pixels: {row['noise_correlation']:.2f}",
        ]
        self._result, self._command = result, as_command(snapshot, result)
        self._show_answer("\n".join([*told, *flag_sentences(result)]))

    def _show_answer(self, text: str) -> None:
        self.answer.setText(text)
        self.answer.setVisible(bool(text))
        self.foot.setVisible(bool(text))
        self.copy_button.setEnabled(bool(self._command))

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Save results")
        if name:
            self.save_to(Path(name))

    def save_to(self, folder: Path) -> None:
        """Write the answer as the command line does; says what became of it."""
        from vitascope.io.results.save import save_result  # writers are loaded when they are wanted, not with the dock

        if self._result is None:
            return
        try:
            save_result(self._result, folder, self._command)
        except VitascopeError as error:
            self._say(error.in_dock)
        else:
            self._say(f"Saved in {folder}.")


def take_look(layers: Sequence[Layer], source: Layer) -> None:
    """Show pictures as their image is shown: same colours and limits, so that they can be compared."""
    for layer in layers:
        layer.visible, layer.opacity = True, source.opacity
        layer.colormap, layer.contrast_limits, layer.blending = source.colormap, source.contrast_limits, source.blending


def as_command(snapshot: Snapshot, result: Result) -> str:
    """Write the run as a command; empty where the layer is not the whole of what lies in its files."""
    used = result.provenance
    sources = snapshot.micrograph().sources
    if not sources or snapshot.channel is not None or used is None:
        return ""
    defaults = DenoiseParams.make().model_dump()
    words = ["vitascope", "denoise", *sources, "-o", "results"]
    for name, value in used.params.items():
        if value != defaults[name]:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    if snapshot.scale.pixel_size_um is not None:
        words += ["--pixel-size-um", str(snapshot.scale.pixel_size_um)]
    return shlex.join(words)
