"""Layers with a measured number each: a small table of image, value and group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.card import ModelCard
from vitascope.core.errors import InputError
from vitascope.core.numbers import decimal_mark, read_number
from vitascope.gui.common.layout import make_note
from vitascope.gui.common.runner import Launch, RunOutcome
from vitascope.gui.layers.snapshot import snapshot_layers
from vitascope.gui.train.layer_pair import BAD_SIGN, GOOD_SIGN, WARN_SIGN, LayerPair, look_at
from vitascope.recipes.finetune import CheckedPair
from vitascope.tasks.spec import TaskSpec

IMAGE, VALUE, GROUP = range(3)
HEIGHT_PX = 150


class ValueTable(QWidget):  # type: ignore[misc]
    """Lists image layers with a value and a group, which are typed in.

    Parameters
    ----------
    spec : TaskSpec
    launch : Launch
        Does work off the main thread.
    """

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(self, spec: TaskSpec, launch: Launch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spec, self._launch = spec, launch
        self._card: ModelCard | None = None
        self._selected: Sequence[Image] = ()
        self.add_button, self.remove_button = QPushButton("Add selected layers"), QPushButton("Remove")
        self.add_button.setToolTip("One row for each image that is selected in the list of layers.")
        self.remove_button.setToolTip("Takes the chosen rows off the table; their layers stay.")
        self.table, self.note = QTableWidget(0, 3), make_note()
        self.table.setHorizontalHeaderLabels(["Image", "Value", "Group"])
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setMaximumHeight(HEIGHT_PX)
        self.table.setAccessibleName("Images with their values")
        tip = "Value: the measured number. Group: well, plate, patient or batch, which never stand on both sides of "
        self.table.setToolTip(f"{tip}the split; empty: the image alone.")
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.remove_button)
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        layout.addWidget(self.table)
        layout.addWidget(self.note)
        self.note.hide()
        self.add_button.clicked.connect(self.add)
        self.remove_button.clicked.connect(self.remove)
        self.table.itemChanged.connect(lambda _: self.valueChanged.emit())

    def set_layers(self, selected: Sequence[Any]) -> None:
        """Take note of the selected layers, in the viewer's order."""
        self._selected = [layer for layer in selected if isinstance(layer, Image)]
        self.add_button.setEnabled(bool(self._selected))

    def set_card(self, card: ModelCard | None) -> None:
        """Take note of the model to start from; images are looked at again."""
        self._card = card
        for row in range(self.table.rowCount()):
            self._check(self.table.item(row, IMAGE))

    def add(self) -> None:
        """Add the selected layers, each as an image of its own."""
        try:
            snapshots = [snapshot_layers([layer]) for layer in self._selected]
        except InputError as error:
            self._say(error.in_dock)
            return
        for snapshot in snapshots:
            row = self.table.rowCount()
            self.table.blockSignals(True)  # a row is whole before anyone is told
            self.table.insertRow(row)
            image = QTableWidgetItem(snapshot.name)
            image.setFlags(image.flags() & ~Qt.ItemFlag.ItemIsEditable)
            image.setData(
                Qt.ItemDataRole.UserRole,
                LayerPair(image=snapshot, asked={}, truths={}, meaning="", classes=(), group=""),
            )
            for column, item in ((IMAGE, image), (VALUE, QTableWidgetItem()), (GROUP, QTableWidgetItem())):
                self.table.setItem(row, column, item)
            self.table.blockSignals(False)
            self._check(image)
        self.valueChanged.emit()

    def remove(self) -> None:
        """Take the chosen rows off the table."""
        for row in sorted({index.row() for index in self.table.selectedIndexes()}, reverse=True):
            self.table.removeRow(row)
        self.valueChanged.emit()

    def _check(self, item: QTableWidgetItem) -> None:
        card, spec = self._card, self._spec
        if card is None:
            return
        layers: LayerPair = item.data(Qt.ItemDataRole.UserRole).of_value(card.targets[0].name, 0.0, "")

        def show(checked: CheckedPair | RunOutcome) -> None:
            if self.table.row(item) < 0:
                return
            problems = [checked.message] if isinstance(checked, RunOutcome) else [p.text for p in checked.problems]
            refused = isinstance(checked, RunOutcome) or checked.refused
            item.setText(f"{BAD_SIGN if refused else WARN_SIGN if problems else GOOD_SIGN} {layers.name}")
            item.setToolTip(" ".join(problems) or "nothing wrong")
            self._tell()

        self._launch(lambda: look_at(layers, spec, card), show)

    def _tell(self) -> None:
        items = [self.table.item(row, IMAGE) for row in range(self.table.rowCount())]
        self._say("\n".join(f"{i.text()}: {i.toolTip()}" for i in items if i.text()[:1] in (BAD_SIGN, WARN_SIGN)))

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def layer_pairs(self) -> list[LayerPair]:
        """Return the images with their values.

        Raises
        ------
        InputError
            If there are none, or a value is no number or can be read in two ways.
        """
        if self._card is None or not self.table.rowCount():
            raise InputError("Add images: select their layers, and type the value of each.")
        return [self._pair(row, self._card.targets[0].name) for row in range(self.table.rowCount())]

    def _pair(self, row: int, target: str) -> LayerPair:
        image, text, group = (self.table.item(row, column) for column in (IMAGE, VALUE, GROUP))
        layers: LayerPair = image.data(Qt.ItemDataRole.UserRole)
        number = read_number(text.text(), decimal_mark([text.text()]))
        if number is None or number != number:
            raise InputError(f"'{layers.name}' has no value.", "Type the measured number.")
        return layers.of_value(target, number, group.text().strip())
