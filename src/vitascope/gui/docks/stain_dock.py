"""The dock of the task ``stain``: what all docks have, the stains to predict, and their overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import napari.viewer
from napari.layers import Image, Layer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import ImageOutput
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.run.export import FinishedRun
from vitascope.gui.run.nuclei_box import NucleiBox
from vitascope.gui.run.stain_box import OverlayBox, TargetBox
from vitascope.io.results.settings_file import settings_path
from vitascope.ops.objects.pointed_settings import PointedSettings
from vitascope.tasks import stain

NEEDS_A_STAIN = ("unsure", "outside_model", "withheld")


MASKED = ("masks", "cells")
"""Settings of what is found in predictions: networks of other programs answer on scales that are not known."""


class StainDock(TaskDock):
    """Predict nuclei, and all other stains that a model knows."""

    spec = stain.SPEC

    def __init__(self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None) -> None:
        self.targets, self.overlay = TargetBox(), OverlayBox(napari_viewer)
        self.nuclei = NucleiBox(napari_viewer, self._image, self.spec.name)
        super().__init__(napari_viewer, runner)
        self.targets.valueChanged.connect(self._refresh)
        self.nuclei.taken.connect(self.take_settings)
        self.nuclei.fit_asked.connect(self.fit_counts)

    def parts_after_model(self) -> Sequence[Any]:
        """Return the stains to choose from, and what can be shown by hand."""
        return (self.targets, self.nuclei)

    def parts_after_answer(self) -> Sequence[Any]:
        """Return the overlay's buttons, and what helps where too little agreement is expected."""
        self.help = QWidget()
        row = QHBoxLayout(self.help)
        row.setContentsMargins(0, 0, 0, 0)
        self.anyway, self.train = QPushButton("Show anyway"), QPushButton("Stain one field and train on it")
        self.anyway.setToolTip("Runs again and shows the numbers that were held back; they are likely wrong.")
        self.train.setToolTip(
            "Opens Train with this image chosen: add the real stain of the same field, and press Train. One stained "
            "field is usually enough."
        )
        for button, act in ((self.anyway, self.show_anyway), (self.train, self.open_train)):
            button.clicked.connect(act)
            row.addWidget(button)
        self.help.hide()
        return (self.help, self.overlay)

    def _refresh(self) -> None:
        if not self.runner.running:
            card = self.model.card()
            self.targets.offer(card)
            for name in MASKED:
                self.settings.editors[name].widget.enabled = card is None or card.graph is None
        super()._refresh()
        if not self.runner.running:
            self.nuclei.set_ready(not self.problem())

    def _lock(self, running: bool) -> None:
        for part in (self.targets, self.nuclei):
            part.setEnabled(not running)
        super()._lock(running)

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        return super().problem() or self.targets.problem()

    def params(self) -> RunParams:
        """Return the parameters as they stand in the dock, the ticked stains among them."""
        found: RunParams = super().params().changed(targets=self.targets.value() or None)
        return found

    def layers_added(self, run: FinishedRun, layers: Sequence[Layer]) -> None:
        """Offer the overlay of the predicted stains, and help where the image does not fit the model."""
        self.anyway.setVisible("withheld" in run.result.flags)
        self.help.setVisible(any(flag in run.result.flags for flag in NEEDS_A_STAIN))
        predicted = run.result.output("prediction")
        self.overlay.offer(predicted.channel_names if isinstance(predicted, ImageOutput) else (), layers)

    def forget_answer(self) -> None:
        """Show no answer, and neither overlay nor help with it."""
        self.overlay.clear()
        self.help.hide()
        super().forget_answer()

    def _image(self) -> Image | None:
        return next((layer for layer in self.input.layers() if layer in self._viewer.layers), None)

    def take_settings(self, values: Mapping[str, Any]) -> None:
        """Put parameters into the dock: of a circled nucleus, or of settings that were kept."""
        for name, value in values.items():
            if name in self.settings.editors:
                self.settings.editors[name].setValue(value)

    def fit_counts(self, name: str) -> None:
        """Choose how nuclei are counted by those that were pointed at, and keep it under a name."""
        try:
            snapshots, _ = self.input.value()
            params = self.params()
        except VitascopeError as error:
            self.nuclei.say(error.in_dock)
            return
        points, snapshot = self.nuclei.points_yx(), snapshots[self.spec.roles[0].name]
        path = settings_path(name, self.spec.name)

        def steps() -> ProgressGenerator[PointedSettings]:
            from vitascope.batch.calibrate_counts import calibrate_counts  # readers and writers come with it

            yield Progress(0, 1, "Starting")
            return (yield from calibrate_counts(snapshot.micrograph(), points, path, **params.model_dump()))

        self._start(
            steps,
            lambda found: self.nuclei.show_fitted(name, found),
            lambda message, hint: self.nuclei.say(f"{message} {hint}".strip()),
            f"Fitting counts: {snapshot.frame.name}",
        )

    def show_anyway(self) -> None:
        """Run again without holding numbers back."""
        self.settings.editors["abstain"].setValue(False)
        self.run()

    def open_train(self) -> Any:
        """Open Train on this task with the image chosen; None where there is nothing to open it in."""
        if not hasattr(self._viewer, "window"):
            return None
        layers = [layer for layer in self.input.layers() if layer in self._viewer.layers]
        _, dock = self._viewer.window.add_plugin_dock_widget("vitascope", "Train", tabify=True)
        dock.task.setCurrentIndex(dock.task.findData(self.spec.name))
        if layers:
            self._viewer.layers.selection.active = layers[0]
        dock.show()
        dock.raise_()
        return dock


def predict_stains(viewer: napari.viewer.Viewer) -> StainDock:
    """Open the dock "Predict nuclei", which predicts every stain, under the name that other stains are looked for."""
    _, dock = viewer.window.add_plugin_dock_widget("vitascope", stain.SPEC.title)
    found: StainDock = dock
    return found
