"""How a model suffers when images are made worse: chosen, run, drawn by severity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.compat import getexistingdirectory, getopenfilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from vitascope.core.formatting import quantity_text
from vitascope.core.paths import training_recipes
from vitascope.core.progress import ProgressGenerator
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow
from vitascope.gui.common.plot_pane import PlotPane
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
        self.model, self.on, self.what, self.metric = QComboBox(), QComboBox(), QComboBox(), QComboBox()
        self.images = QSpinBox()
        self.recipe_button, self.run_button = QPushButton("…"), QPushButton("Make images worse")
        self.out_button = QPushButton("Save table and figure to …")
        self.words, self.plot = make_note(), PlotPane(text_colour, self)
        self._found: Stability | None = None
        self._out: Path | None = None
        self.images.setRange(1, 500)
        self.images.setValue(12)
        self.what.addItem("All of them", ALL)
        for name in SEVERITIES:
            self.what.addItem(name.capitalize(), name)
        self._lay_out()
        self.recipe_button.clicked.connect(self._ask_recipe)
        self.out_button.clicked.connect(self._ask_out)
        self.run_button.clicked.connect(self.run)
        self.metric.currentIndexChanged.connect(self._draw)
        self.reload()

    def _lay_out(self) -> None:
        row = QWidget()
        across = QHBoxLayout(row)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.on, 1)
        across.addWidget(self.recipe_button)
        form = make_form()
        for box in (self.model, self.on, self.what, self.metric):
            narrow(box)
        add_row(form, "Model", self.model, "The model whose predictions are looked at.")
        add_row(form, "Images", row, "The test part of a training's data, with its truth.", self.on)
        add_row(form, "Made worse by", self.what, "Blur, light, noise; of a stack also its planes out of focus.")
        add_row(form, "At most", self.images, "Images, spread evenly; each is run some fifty times.")
        self.recipe_button.setToolTip("A recipe file.")
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
        recipes = [(f"test part of {p.parent.name}", p) for p in training_recipes()]
        for box, entries in ((self.model, [(m, m) for m in find_cards()]), (self.on, recipes)):
            before = box.currentData()
            if box is self.on and isinstance(before, Path) and before not in [path for _, path in recipes]:
                recipes.append((before.stem, before))
            box.clear()
            for text, data in entries:
                box.addItem(text, data)
            box.setCurrentIndex(max(0, box.findData(before)))
        self.run_button.setEnabled(self.on.count() > 0)

    def _ask_recipe(self) -> None:
        name, _ = getopenfilename(self, "Recipe", filters="Recipes (*.yaml *.yml)")
        if name:
            self.take_recipe(Path(name))

    def take_recipe(self, path: Path) -> None:
        """Choose the images of a recipe file."""
        self.on.addItem(path.stem, path)
        self.on.setCurrentIndex(self.on.count() - 1)
        self.run_button.setEnabled(True)

    def _ask_out(self) -> None:
        name = getexistingdirectory(self, "Folder for table and figure")
        if name:
            self._out = Path(name)
            self.words.setText(f"The next study is written to '{name}'.")

    def run(self) -> None:
        """Run the study."""
        model, path, most, out = self.model.currentData(), self.on.currentData(), self.images.value(), self._out
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
