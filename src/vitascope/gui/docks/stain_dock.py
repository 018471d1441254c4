"""The dock of the task ``stain``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.run.export import FinishedRun
from vitascope.tasks import stain

NEEDS_A_STAIN = ("unsure", "outside_model", "withheld")


class StainDock(TaskDock):
    """Predict nuclei."""

    spec = stain.SPEC

    def parts_after_answer(self) -> Sequence[QWidget]:
        """Return what helps where too little agreement is expected: showing numbers anyway, and training."""
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
        return (self.help,)

    def layers_added(self, run: FinishedRun, layers: Sequence[Any]) -> None:
        """Offer help where the image does not fit the model."""
        self.anyway.setVisible("withheld" in run.result.flags)
        self.help.setVisible(any(flag in run.result.flags for flag in NEEDS_A_STAIN))

    def forget_answer(self) -> None:
        """Show no answer, and no help with it."""
        super().forget_answer()
        self.help.hide()

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
