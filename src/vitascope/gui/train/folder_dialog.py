"""What is asked before folders of images and stains become pairs; how they pair is shown before they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.compat import getexistingdirectory, isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.formatting import name_some
from vitascope.gui.common.layout import add_row, make_form, make_note
from vitascope.gui.common.runner import Launch, RunOutcome
from vitascope.recipes.folder_pairs import FoundPairs, channel_names, pair_channels, pair_folders

FOLDERS, CHANNELS = "files in a folder of their own", "channels of the same images"
ABOUT = (
    "Image and stain are paired by name: DIC/A05.tif with DAPI/A05.tif, or dic_07.tif with dapi_07.tif. Images of one "
    "well never stand on both sides of the split."
)
WIDTH_PX, TABLE_PX = 560, 220


class FolderDialog(QDialog):  # type: ignore[misc]
    """Asks where images and stains are.

    Parameters
    ----------
    targets : sequence of str
        Stains that the model predicts.
    launch : Launch
        Reads folders off the main thread.
    """

    answered = Signal(object)
    """The pairs, as FoundPairs."""

    def __init__(self, targets: Sequence[str], launch: Launch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add folders")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._targets, self._launch, self._asked = tuple(targets), launch, 0
        self.found: FoundPairs | None = None
        self.images, self.where, self.channel = QLineEdit(), QComboBox(), QComboBox()
        self.stains = {name: QLineEdit() for name in targets}
        self.stain_channels = {name: QComboBox() for name in targets}
        self.table, self.note = QTableWidget(0, 1 + len(self._targets)), make_note()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.add_button = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self._lay_out()
        self.where.currentIndexChanged.connect(self._where_changed)
        self.images.editingFinished.connect(self._images_changed)
        for edit in self.stains.values():
            edit.editingFinished.connect(self.look)
        for box in (self.channel, *self.stain_channels.values()):
            box.activated.connect(self.look)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._where_changed()

    def _lay_out(self) -> None:
        about = make_note()
        about.setText(ABOUT)
        self.form = make_form()
        self.rows = {"": self._folder_row(self.images, self._images_changed)}
        add_row(self.form, "Images", self.rows[""], "Folder or plate of the label-free images.", self.images)
        for text in (FOLDERS, CHANNELS):
            self.where.addItem(text)
        add_row(self.form, "Stains are", self.where, "Where the real stain of each image is.")
        add_row(self.form, "Image channel", self.channel, "The label-free one.")
        for name in self._targets:
            self.rows[name] = self._folder_row(self.stains[name], self.look)
            add_row(self.form, f"Truth: {name}", self.rows[name], "Folder of the stained images.", self.stains[name])
            add_row(self.form, f"Truth: {name}", self.stain_channels[name], "Channel of the real stain.")
        self.table.setHorizontalHeaderLabels(["Image", *self._targets])
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(TABLE_PX)
        self.table.setAccessibleName("How images and stains pair")
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addLayout(self.form)
        for part in (self.table, self.note, self.buttons):
            layout.addWidget(part)
        self.resize(WIDTH_PX, self.sizeHint().height())

    def _folder_row(self, edit: QLineEdit, then: Callable[[], None]) -> QWidget:
        row, button = QWidget(), QPushButton("Folder …")
        across = QHBoxLayout(row)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(edit, 1)
        across.addWidget(button)

        def ask() -> None:
            if name := getexistingdirectory(self, "Folder of images", edit.text()):
                edit.setText(name)
                then()

        button.clicked.connect(ask)
        return row

    @property
    def _in_folders(self) -> bool:
        return str(self.where.currentText()) == FOLDERS

    def _where_changed(self, *_: object) -> None:
        apart = self._in_folders
        self.form.setRowVisible(self.channel, not apart)
        for name in self._targets:
            self.form.setRowVisible(self.rows[name], apart)
            self.form.setRowVisible(self.stain_channels[name], not apart)
        self._images_changed()

    def _images_changed(self) -> None:
        folder = self.images.text().strip()
        if self._in_folders or not folder:
            self.look()
            return
        self._say("Reading the names of the channels …")
        self._in_order(lambda: channel_names(Path(folder)), self._offer_channels)

    def _offer_channels(self, names: list[str] | RunOutcome) -> None:
        if isinstance(names, RunOutcome):
            self._show(names)
            return
        for number, box in enumerate((self.channel, *self.stain_channels.values())):
            box.clear()
            for name in names:
                box.addItem(name, name)
            box.setCurrentIndex(min(number, len(names) - 1))
        self.look()

    def _in_order(self, work: Callable[[], object], then: Callable[..., None]) -> None:
        """Work in a thread; an answer to what was asked before is let go."""
        self._asked += 1
        asked = self._asked
        self._launch(work, lambda value: then(value) if isalive(self) and asked == self._asked else None)

    def look(self, *_: object) -> None:
        """Pair what is chosen, and show it."""
        images = self.images.text().strip()
        stains = {name: edit.text().strip() for name, edit in self.stains.items()}
        channels = {name: box.currentData() or "" for name, box in self.stain_channels.items()}
        chosen = stains if self._in_folders else {**channels, "": self.channel.currentData() or ""}
        self.found = None
        self.add_button.setEnabled(False)
        if not images or not all(chosen.values()):
            self._show_table(())
            self._say("Choose where the images are, and their stains.")
            return
        self._say("Looking …")
        if self._in_folders:
            folders = {name: Path(text) for name, text in stains.items()}
            self._in_order(lambda: pair_folders(Path(images), folders), self._show)
        else:
            channel = str(self.channel.currentData())
            self._in_order(lambda: pair_channels(Path(images), channel, channels), self._show)

    def _show(self, found: FoundPairs | RunOutcome) -> None:
        if isinstance(found, RunOutcome):
            self._show_table(())
            self._say(f"{found.message} {found.hint}".strip())
            return
        self.found = found
        rows = []
        for pair in found.pairs:
            told = pair.stain_channels or {name: Path(files[0]).name for name, files in pair.stains.items()}
            rows.append((pair.name, *(told[name] for name in self._targets)))
        self._show_table(rows)
        left = [f"No stain for {name_some(list(found.images))}."] if found.images else []
        left += [f"No image for {name_some(list(found.stains))}."] if found.stains else []
        count = len(found.pairs)
        self._say(" ".join([f"{count} pair{'s' * (count != 1)}.", *left]))
        self.add_button.setText(f"Add {count} pair{'s' * (count != 1)}")
        self.add_button.setEnabled(True)

    def _show_table(self, rows: Sequence[Sequence[str]]) -> None:
        self.table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                self.table.setItem(row, column, QTableWidgetItem(text))

    def _say(self, text: str) -> None:
        self.note.setText(text)

    def accept(self) -> None:
        """Hand over the pairs."""
        if self.found is not None:
            self.answered.emit(self.found)
            super().accept()
