"""How a model suffers when images are made worse: chosen, run, drawn by severity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.compat import getexistingdirectory
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from vitascope.core.formatting import quantity_text
from vitascope.core.progress import ProgressGenerator
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow, refill
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.train.measured_on import MeasuredOn
from vitascope.io.models.cards import find_cards
from vitascope.io.results.stability_figure import draw_stability, metrics_of
from vitascope.ops.intensity.corruption import SEVERITIES
from vitascope.recipes.recipe import read_recipe
from vitascope.tasks.late_modules import load_stability
from vitascope.tasks.stability import Stability

ALL = ""


class StabilityBox(QWidget):  # type: ignore[misc]
    """Chooses a model and images with their truth, and shows how the model suffers.

    Parameters
    ----------
    text_colour : callable
        Gives the colour of text.
    """

    asked = Signal(str, object)
    """Title and steps of what takes a while."""

    def __init__(self, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.what, self.metric = QComboBox(), QComboBox(), QComboBox()
        self.measured_on = MeasuredOn()
        self.on, self.take_recipe = self.measured_on.choice, self.measured_on.take_recipe
        self.images = QSpinBox()
        self.run_button = QPushButton("Make images worse")
        self.out_button = QPushButton("Save table and figure to …")
        self.run_button.setToolTip("Runs the model on images that are made worse step by step, and measures each.")
        self.out_button.setToolTip("Choose a folder for the numbers (CSV) and the plot of the study.")
        self.words, self.plot = make_note(), PlotPane(text_colour, self)
        self._found: Stability | None = None
        self._out: Path | None = None
        self.images.setRange(1, 500)
        self.images.setValue(12)
        self.what.addItem("All of them", ALL)
        for name in SEVERITIES:
            self.what.addItem(name.capitalize(), name)
        self._lay_out()
        self.measured_on.changed.connect(lambda: self.run_button.setEnabled(self.on.count() > 0))
        self.out_button.clicked.connect(self._ask_out)
        self.run_button.clicked.connect(self.run)
        self.metric.currentIndexChanged.connect(self._draw)
        self.reload()

    def _lay_out(self) -> None:
        form = make_form()
        for box in (self.model, self.what, self.metric):
            narrow(box)
        add_row(form, "Model", self.model, "The model whose predictions are looked at.")
        add_row(form, "Images", self.measured_on, "The test part of a training's data, with its truth.", self.on)
        add_row(form, "Made worse by", self.what, "Blur, light, noise; of a stack also its planes out of focus.")
        add_row(form, "At most", self.images, "Images, spread evenly; each is run some fifty times.")
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button)
        buttons.addWidget(self.out_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(form)
        column.addLayout(buttons)
        for part in (self.words, self.metric, self.plot):
            column.addWidget(part)
        column.addStretch(1)
        self.words.setText("A study tells at which blur or light a model's predictions begin to suffer.")
        self.metric.hide()
        self.metric.setAccessibleName("What is drawn")

    def reload(self) -> None:
        """Look for models and trainings again."""
        refill(self.model, [(model, model) for model in find_cards()])
        self.measured_on.reload()

    def _ask_out(self) -> None:
        name = getexistingdirectory(self, "Folder for table and figure")
        if name:
            self._out = Path(name)
            self.words.setText(f"The next study is written to '{name}'.")

    def run(self) -> None:
        """Run the study."""
        model, path, most, out = self.model.currentData(), self.measured_on.path(), self.images.value(), self._out
        if path is None:
            return
        chosen = [self.what.currentData()] if self.what.currentData() else []

        def steps() -> ProgressGenerator[Stability]:
            study = load_stability().run_stability
            return (yield from study(model, read_recipe(path), path.parent, out, corruptions=chosen, most=most))

        self.asked.emit(f"Making images worse for {model}", steps)

    def show_study(self, found: Stability) -> None:
        """Show what came out."""
        self._found = found
        count = int(found.table["images"].max())
        told = [f"{found.model} on {count} images{'' if found.on_test else ', among them those it was trained on'}."]
        if found.undone:
            told.append(f"Taken back by normalisation, so that nothing is told: {'; '.join(found.undone)}.")
        told += [f"Table and figure: {found.out}"] if found.out is not None else []
        self.words.setText(" ".join(told))
        self.metric.blockSignals(True)
        self.metric.clear()
        for name in metrics_of(found.table):
            self.metric.addItem(quantity_text(name).capitalize(), name)
        self.metric.blockSignals(False)
        self.metric.show()
        self._draw()

    def _draw(self, *_: object) -> None:
        table, metric = self._found.table if self._found is not None else None, self.metric.currentData()
        if table is None or metric is None:
            return

        def draw(figure: Any) -> int:
            return draw_stability(figure, table, metric)

        self.plot.offer(draw)
        self.plot.draw()
