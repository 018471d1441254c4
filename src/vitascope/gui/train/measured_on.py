"""Chooses the data that models are measured on: the test part of a training, or a recipe file."""

from __future__ import annotations

from pathlib import Path

from qtpy.compat import getopenfilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from vitascope.core.paths import training_recipes
from vitascope.gui.common.layout import narrow, refill


class MeasuredOn(QWidget):  # type: ignore[misc]
    """A list of trainings, with a button for a recipe file.

    Attributes
    ----------
    choice : QComboBox
        Its data are paths of recipes.
    """

    changed = Signal()
    """There is something else to choose from."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choice, self._button = QComboBox(), QPushButton("…")
        narrow(self.choice)
        self._button.setToolTip("A recipe file.")
        self._button.clicked.connect(self._ask_recipe)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.choice, 1)
        row.addWidget(self._button)

    def reload(self) -> None:
        """Look for trainings again; a recipe file that was brought stays while it is chosen."""
        trainings = [(f"test part of {path.parent.name}", path) for path in training_recipes()]
        before = self.choice.currentData()
        if isinstance(before, Path) and before not in [path for _, path in trainings]:
            trainings.append((before.stem, before))
        refill(self.choice, trainings)
        self.changed.emit()

    def _ask_recipe(self) -> None:
        name, _ = getopenfilename(self, "Recipe", filters="Recipes (*.yaml *.yml)")
        if name:
            self.take_recipe(Path(name))

    def take_recipe(self, path: Path) -> None:
        """Choose the images of a recipe file."""
        self.choice.addItem(path.stem, path)
        self.choice.setCurrentIndex(self.choice.count() - 1)
        self.changed.emit()

    def path(self) -> Path | None:
        """Return the recipe that is chosen."""
        found: Path | None = self.choice.currentData()
        return found
