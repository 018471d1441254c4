"""What is trained on: pairs of layers that grow as they are added, or a table or folders of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from qtpy.compat import getexistingdirectory, getopenfilename
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.card import ModelCard
from vitascope.core.errors import InputError, ParameterError, VitascopeError
from vitascope.core.formatting import name_some
from vitascope.gui.common.layout import add_row, discard, make_form, make_note, narrow
from vitascope.gui.common.runner import Launch, RunOutcome
from vitascope.gui.run.input_box import Cure, InputBox
from vitascope.gui.train.annotations import ANNOTATIONS, AnnotationRow
from vitascope.gui.train.folder_dialog import FolderDialog
from vitascope.gui.train.layer_pair import BAD_SIGN, GOOD_SIGN, MASKS, WARN_SIGN, LayerPair, look_at
from vitascope.gui.train.value_table import ValueTable
from vitascope.recipes.finetune import CheckedPair, TableData, TrainingPair
from vitascope.recipes.folder_pairs import FilePair, FoundPairs
from vitascope.recipes.recipe import AmountSource, LabelledImageSource
from vitascope.tasks.spec import TaskSpec
from vitascope.tasks.training_data import Truth

SCRIBBLES = "scribbles"
REMOVE = "Put them right, or remove them."
MEANINGS = {
    SCRIBBLES: "scribbles: 1 background, 2 objects",
    MASKS: "masks: 0 background, all else objects",
}
LAYERS_OF_TRUTH = {Truth.VOLUMES: (Labels,), Truth.CLASSES: (Labels, *ANNOTATIONS)}
"""Layers that hold the truth, where it is no picture."""


def _same(pair: TrainingPair) -> TrainingPair:
    return pair


class TrainDataBox(QWidget):  # type: ignore[misc]
    """Chooses the data of a training run.

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
        self._truth = spec.trained_on.truth
        self._card: ModelCard | None = None
        self._layers: Sequence[Any] = ()
        self.input = InputBox(replace(spec, roles=spec.roles[:1]))
        self.truths: dict[str, QComboBox] = {}
        self.meaning, self.group, self.annotations = QComboBox(), QLineEdit(), AnnotationRow()
        self.add_button, self.remove_button = QPushButton("Add pair"), QPushButton("Remove")
        self.folders_button = QPushButton("Add folders …")
        self.pairs, self.note = QListWidget(), make_note()
        self.values = ValueTable(spec, launch)
        self.path, self.column = QLineEdit(), QLineEdit()
        self.table_button, self.folder_button = QPushButton("Table …"), QPushButton("Folder …")
        self.table_button.setToolTip("Choose a table that names the images and what is known of them.")
        self.folder_button.setToolTip("Choose a folder that holds a folder of images for each class.")
        self._lay_out()
        self._connect()
        self._refresh()

    # -- building ---------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.addTab(self._layer_page() if self._truth.in_layers else self.values, "Layers")
        if self._truth.in_tables:
            self.tabs.insertTab(1 if self._truth.in_layers else 0, self._table_page(), "Table or folder")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        layout.addWidget(self.note)
        self.note.hide()
        buttons = (self.add_button, self.folders_button, self.remove_button, self.table_button, self.folder_button)
        parts = (self.input, self.annotations, self.meaning, self.group, self.pairs, self.values, self.path)
        for part in (*buttons, *parts, self.column):
            if part.parent() is None:  # not asked for by this task
                part.setParent(self)
                part.hide()

    def _layer_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.addWidget(self.input)
        self._truth_slot = QVBoxLayout()
        column.addLayout(self._truth_slot)
        column.addWidget(self.annotations)
        self.annotations.hide()
        self.form = make_form()
        column.addLayout(self.form)
        for key, text in MEANINGS.items():
            self.meaning.addItem(text, key)
        narrow(self.meaning)
        tip = "What the numbers of the Labels layer mean; pixels that scribbles leave 0 are ignored."
        add_row(self.form, "Labels are", self.meaning, tip)
        self.group.setPlaceholderText("the image alone")
        tip = "Well, plate, patient or batch: images of one group never stand on both sides of the split."
        add_row(self.form, "Group", self.group, tip)
        buttons = QHBoxLayout()
        self.folders_button.setToolTip("Pairs the images of a folder with those of another, or channels, by name.")
        self.add_button.setToolTip("Adds the layers chosen above to what is trained on.")
        self.remove_button.setToolTip("Takes the chosen pair off the list; its layers stay.")
        self.folders_button.setVisible(self._truth is Truth.PICTURES)
        for button in (self.add_button, self.folders_button, self.remove_button):
            buttons.addWidget(button)
        column.addLayout(buttons)
        self.pairs.setWordWrap(True)
        self.pairs.setMaximumHeight(130)
        self.pairs.setAccessibleName("Pairs to train on")
        column.addWidget(self.pairs)
        return page

    def _table_page(self) -> QWidget:
        page = QWidget()
        form = make_form()
        self.path.setPlaceholderText("a table beside the images")
        tip = "A table (CSV or XLSX) that lies beside its images, or a folder with one folder of images for each class."
        add_row(form, "Data", self.path, tip)
        buttons = QWidget()
        across = QHBoxLayout(buttons)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.table_button)
        classes = self._truth is Truth.CLASSES
        if classes:
            across.addWidget(self.folder_button)
        form.addRow(buttons)
        self.column.setPlaceholderText("label" if classes else "atp, value, rlu or luminescence")
        add_row(form, "Column", self.column, "Column of the class." if classes else "Column of the measured amount.")
        page.setLayout(form)
        return page

    def _connect(self) -> None:
        self.add_button.clicked.connect(self.add)
        self.folders_button.clicked.connect(self.ask_folders)
        self.remove_button.clicked.connect(self.remove)
        self.input.valueChanged.connect(self._refresh)
        self.values.valueChanged.connect(self._refresh)
        self.pairs.itemSelectionChanged.connect(self._refresh)
        self.tabs.currentChanged.connect(lambda _: self.valueChanged.emit())
        for edit in (self.path, self.column):
            edit.textChanged.connect(lambda _: self.valueChanged.emit())
        self.table_button.clicked.connect(self._ask_table)
        self.folder_button.clicked.connect(self._ask_folder)

    # -- what there is ----------------------------------------------------------------------------------------------

    def set_layers(self, layers: Sequence[Any], selected: Sequence[Any], active: Any) -> None:
        """Take note of the viewer's layers."""
        self._layers = layers
        self.values.set_layers([layer for layer in layers if layer in selected])
        self.input.set_layers(layers, selected, active if isinstance(active, Image) else None)
        self._fill_truths()
        self._refresh()

    def set_card(self, card: ModelCard | None) -> None:
        """Ask for what this model predicts; pairs that were checked against another are checked again."""
        self._card = card
        if not self._truth.in_layers:
            self.values.set_card(card)
            return
        wanted = [t.name for t in card.targets] if card is not None and self._truth is Truth.PICTURES else [""]
        if list(self.truths) != wanted:
            self._ask_truths(wanted)
        self._fill_truths()
        for index in range(self.pairs.count()):
            self._check(self.pairs.item(index))
        self._refresh()

    def _ask_truths(self, names: Sequence[str]) -> None:
        while self._truth_slot.count():
            discard(self._truth_slot.takeAt(0).widget())
        rows, form = QWidget(), make_form()
        rows.setLayout(form)
        self.truths = {name: QComboBox() for name in names}
        for name, box in self.truths.items():
            narrow(box)
            box.currentIndexChanged.connect(self._refresh)
            told = ", ".join(f"{k} {meaning}" for k, meaning in enumerate(self._classes(), 1))
            tip = self._spec.trained_on.hint.format(classes=told)
            add_row(form, f"Truth: {name}" if name else "Truth", box, tip)
        self._truth_slot.addWidget(rows)

    def _fill_truths(self) -> None:
        kinds = (Image, Labels) if len(self.truths) == 1 else (Image,)
        kinds = LAYERS_OF_TRUTH.get(self._truth, kinds)
        for name, box in self.truths.items():
            before = box.currentData()
            box.blockSignals(True)
            box.clear()
            box.addItem("choose …", None)
            for layer in reversed(self._layers):
                if isinstance(layer, kinds):
                    box.addItem(layer.name, layer)
            found = [i for i in range(1, box.count()) if box.itemData(i) is before]
            named = [i for i in range(1, box.count()) if name and name.lower() in box.itemText(i).lower()]
            box.setCurrentIndex((found or named or [0])[0])
            box.blockSignals(False)

    def _classes(self) -> tuple[str, ...]:
        targets = self._card.targets if self._card is not None else ()
        return self._spec.trained_on.classes or tuple(target.name for target in targets)

    def _refresh(self, *_: object) -> None:
        chosen = [box.currentData() for box in self.truths.values()]
        ready = bool(chosen) and all(layer is not None for layer in chosen)
        self.annotations.show_layer(chosen[0] if chosen else None)
        self.add_button.setEnabled(ready and not self.input.problem() and not self.annotations.problem())
        self.remove_button.setEnabled(self.pairs.currentRow() >= 0)
        painted = any(isinstance(layer, Labels) for layer in chosen)
        if self._truth.in_layers:
            self.form.setRowVisible(self.meaning, painted and self._truth is Truth.PICTURES)
        self.valueChanged.emit()

    # -- pairs ------------------------------------------------------------------------------------------------------

    def add(self) -> None:
        """Add the chosen layers as a pair, and look what is wrong with it."""
        try:
            snapshots, asked = self.input.value()
        except VitascopeError as error:
            self._say(error.in_dock)
            return
        pair = LayerPair(
            image=snapshots[self._spec.roles[0].name],
            asked=asked,
            truths={name: box.currentData() for name, box in self.truths.items()},
            meaning=self.meaning.currentData(),
            classes=self._classes(),
            group=self.group.text().strip(),
            column=self.annotations.column.currentText(),
            side_px=self.annotations.side.value(),
        )
        self._list(pair)
        self._refresh()

    def _list(self, pair: LayerPair | FilePair) -> None:
        item = QListWidgetItem(f"{pair.name}: looking at it …")
        item.setData(Qt.ItemDataRole.UserRole, pair)
        self.pairs.addItem(item)
        self._check(item)

    def ask_folders(self) -> FolderDialog:
        """Ask for folders of images and stains; their pairs are listed with those of layers."""
        dialog = FolderDialog(list(self.truths), self._launch, self)
        dialog.answered.connect(self.add_files)
        dialog.open()
        return dialog

    def add_files(self, found: FoundPairs) -> None:
        """Add pairs that were found in folders, and name what has no partner."""
        for pair in found.pairs:
            self._list(pair)
        left = [*found.images, *found.stains]
        self._say(f"Left out, for they have no partner: {name_some(left)}." if left else "")
        self._refresh()

    def remove(self) -> None:
        """Take the chosen pair off the list."""
        self.pairs.takeItem(self.pairs.currentRow())
        self._refresh()

    def _check(self, item: QListWidgetItem) -> None:
        card = self._card
        if card is None:
            return
        layers: LayerPair | FilePair = item.data(Qt.ItemDataRole.UserRole)
        spec = self._spec

        def show(checked: CheckedPair | RunOutcome) -> None:
            if self.pairs.row(item) < 0:
                return
            if isinstance(checked, RunOutcome):
                item.setText(f"{BAD_SIGN} {layers.name}: {checked.message}")
                self.valueChanged.emit()
                return
            sign = BAD_SIGN if checked.refused else WARN_SIGN if checked.problems else GOOD_SIGN
            size = " x ".join(map(str, checked.shape_yx))
            told = " ".join(p.text for p in checked.problems) or "nothing wrong"
            item.setText(f"{sign} {layers.name} ({size} px): {told}")
            self.valueChanged.emit()

        self._launch(lambda: look_at(layers, spec, card), show)

    def refused(self) -> list[QListWidgetItem]:
        """Return the pairs of the list that cannot be trained on."""
        items = (self.pairs.item(i) for i in range(self.pairs.count()))
        return [item for item in items if item.text().startswith(BAD_SIGN)]

    def cure(self, plane: int) -> Cure | None:
        """Return what mends refused pairs: the plane to take of stacks whose truth is one picture.

        Parameters
        ----------
        plane : int, >= 0
            The one that the user sees.
        """
        stacks = [item for item in self.refused() if self._wants_plane(item.data(Qt.ItemDataRole.UserRole))]
        if not stacks:
            return None
        deepest = max(item.data(Qt.ItemDataRole.UserRole).image.sizes["Z"] for item in stacks)
        plane = min(plane, deepest - 1)

        def take() -> None:
            for item in stacks:
                pair: LayerPair = item.data(Qt.ItemDataRole.UserRole)
                planes = (min(plane, pair.image.sizes["Z"] - 1),)
                item.setData(Qt.ItemDataRole.UserRole, replace(pair, asked={**pair.asked, "planes": planes}))
                self._check(item)
            self._refresh()

        return Cure(f"Take plane {plane} of the stack", take)

    def _wants_plane(self, pair: LayerPair | FilePair) -> bool:
        if not isinstance(pair, LayerPair):
            return False
        one = self._card is not None and self._card.input.planes == 1 and self._card.input.spatial_dims == 2
        return one and pair.image.sizes["Z"] > 1 and len(pair.asked.get("planes") or ()) != 1

    def training_pairs(self) -> list[Callable[[], TrainingPair]]:
        """Return what gives each pair: layers as they are now, files as they are when they are read.

        Raises
        ------
        InputError
            If an image has no value.
        """
        return [pair.pair if isinstance(pair, FilePair) else partial(_same, pair.pair()) for pair in self.layer_pairs()]

    def layer_pairs(self) -> Sequence[LayerPair | FilePair]:
        """Return the pairs of the list, or the images of the table of values.

        Raises
        ------
        InputError
            If an image has no value.
        """
        if not self._truth.in_layers:
            return self.values.layer_pairs()
        return [self.pairs.item(i).data(Qt.ItemDataRole.UserRole) for i in range(self.pairs.count())]

    # -- tables -----------------------------------------------------------------------------------------------------

    def _ask_table(self) -> None:
        name, _ = getopenfilename(self, "Table of values", filters="Tables (*.csv *.tsv *.txt *.xlsx)")
        if name:
            self.path.setText(name)

    def _ask_folder(self) -> None:
        name = getexistingdirectory(self, "Folder with one folder for each class")
        if name:
            self.path.setText(name)

    def table(self, by: str) -> TableData:
        """Return where the images and their numbers are.

        Raises
        ------
        ParameterError
            If nothing is chosen.
        """
        text = self.path.text().strip()
        if not text:
            raise ParameterError("No data are chosen.", "Choose a table that lies beside its images.")
        path = Path(text)
        if self._truth is Truth.CLASSES:
            source = LabelledImageSource(
                table=path.name if path.is_file() else "", label=self.column.text().strip() or "label"
            )
            return TableData(str(path.parent if path.is_file() else path), source, path.name)
        amounts = AmountSource(table=path.name, column=self.column.text().strip(), by=by)  # type: ignore[arg-type]
        return TableData(str(path.parent), amounts, path.parent.name)

    @property
    def from_table(self) -> bool:
        """Whether the data come from a table or folders."""
        return str(self.tabs.tabText(self.tabs.currentIndex())) != "Layers"

    def problem(self) -> str:
        """Say what is missing; empty if nothing is."""
        try:
            if self.from_table:
                self.table("image")
            elif not self._truth.in_layers:
                self.values.layer_pairs()
            elif not self.pairs.count():
                raise InputError("Add a pair: an image and its truth.")
            elif refused := self.refused():
                raise InputError(
                    f"{len(refused)} of {self.pairs.count()} pairs cannot be trained on ({BAD_SIGN}).", REMOVE
                )
        except VitascopeError as error:
            return error.in_dock
        return ""

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))
