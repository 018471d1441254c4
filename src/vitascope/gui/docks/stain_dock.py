"""The dock of the task ``stain``: what all docks have, the stains to predict, and their overlay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import napari.viewer
from napari.layers import Layer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from vitascope.core.params import RunParams
from vitascope.core.result import ImageOutput
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.run.export import FinishedRun
from vitascope.gui.run.stain_box import OverlayBox, TargetBox
from vitascope.tasks import stain

NEEDS_A_STAIN = ("unsure", "outside_model", "withheld")


MASKED = ("masks", "cells")
"""Settings of what is found in predictions: networks of other programs answer on scales that are not known."""


class StainDock(TaskDock):
    """Predict nuclei, and all other stains that a model knows."""

    spec = stain.SPEC

    def __init__(self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None) -> None:
        self.targets, self.overlay = TargetBox(), OverlayBox(napari_viewer)
        super().__init__(napari_viewer, runner)
        self.targets.valueChanged.connect(self._refresh)

    def parts_after_model(self) -> Sequence[Any]:
        """Return the stains to choose from."""
        return (self.targets,)

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

    def _lock(self, running: bool) -> None:
        self.targets.setEnabled(not running)
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
