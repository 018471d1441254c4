"""Opening a plate: a folder or file, the plate where there are several, and a pattern with what it matches."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from qtpy.compat import getexistingdirectory, getopenfilename
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.errors import VitascopeError
from vitascope.gui.common.layout import Collapsible, add_row, make_form, make_note, narrow
from vitascope.io.filenames.preview import PARTS, preview_pattern
from vitascope.io.plates.plate import Plate
from vitascope.io.plates.read import find_plates

MOST_LOOKED_AT, MOST_SHOWN = 2000, 8
PAUSE_MS = 250


class PlateOpenBox(QWidget):  # type: ignore[misc]
    """Chooses a plate; only names are looked at."""

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(self) -> None:
        super().__init__()
        self.plates: tuple[Plate, ...] = ()
        self.path: Path | None = None
        self.folder, self.file = QPushButton("Open folder …"), QPushButton("Open file …")
        self.plate, self.planes, self.pattern = QComboBox(), QComboBox(), QLineEdit()
        self.preview, self.note = QTreeWidget(), make_note()
        self._lay_out()
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self.show_preview)
        self.folder.clicked.connect(self._ask_folder)
        self.file.clicked.connect(self._ask_file)
        self.pattern.textChanged.connect(lambda _: self._pause.start())
        self.pattern.returnPressed.connect(self.reopen)
        self.use.clicked.connect(self.reopen)
        self.plate.currentIndexChanged.connect(self._chosen)
        self.planes.currentIndexChanged.connect(self.reopen)
        self._show_summary()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.folder)
        buttons.addWidget(self.file)
        self.folder.setToolTip("Images as the instrument wrote them, or an OME-Zarr plate.")
        self.file.setToolTip("Index.idx.xml of an Operetta, .HTD of MetaXpress, or .mlf of a CellVoyager.")
        form = make_form()
        narrow(self.plate)
        add_row(form, "Plate", self.plate, "Which of the plates in the folder.")
        for text, planes in (("Stack, else projection", None), ("Stack", "stack"), ("Projection", "projection")):
            self.planes.addItem(text, planes)
        narrow(self.planes)
        add_row(form, "Planes", self.planes, "What to read where the instrument wrote stacks and projections of them.")
        tip = "For names that are not known: {well}, {field}, {z}, {channel}, {time}, {plate}; * stands for anything."
        inside = QVBoxLayout()
        inside.setContentsMargins(0, 0, 0, 0)
        self.pattern.setPlaceholderText("{well}_f{field}_{channel}.tif")
        self.pattern.setToolTip(tip)
        self.pattern.setAccessibleName("Pattern of file names")
        self.use = QPushButton("Open with this pattern")
        self.use.setToolTip("Opens the folder again, and reads its file names by the pattern above.")
        self.preview.setHeaderLabels(["File", *PARTS])
        self.preview.setRootIsDecorated(False)
        self.preview.setMaximumHeight(110)
        self.matched = make_note()
        for part in (self.pattern, self.matched, self.preview, self.use):
            inside.addWidget(part)
        self.fold = Collapsible("File names", inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(buttons)
        column.addLayout(form)
        column.addWidget(self.note)
        column.addWidget(self.fold)

    def value(self) -> Plate | None:
        """Return the plate that is chosen; None before one is."""
        index = self.plate.currentIndex()
        return self.plates[index] if 0 <= index < len(self.plates) else None

    def name_pattern(self) -> str | None:
        """Return the pattern, if one is given."""
        return self.pattern.text().strip() or None

    def chosen_planes(self) -> str | None:
        """Return ``stack`` or ``projection``, if one of them is asked for."""
        planes: str | None = self.planes.currentData()
        return planes

    def _ask_folder(self) -> None:
        name = getexistingdirectory(self, "Open a plate")
        if name:
            self.open(Path(name))

    def _ask_file(self) -> None:
        name, _ = getopenfilename(
            self, "Open a plate", filters="Plates (Index*.xml *.HTD *.htd *.mlf *.czi *.nd2 *.lif)"
        )
        if name:
            self.open(Path(name))

    def open(self, path: Path, name: str = "") -> None:
        """Open what lies at a path; several plates are offered, and the one with a name is chosen."""
        self.path = path
        try:
            self.plates = find_plates(path, pattern=self.name_pattern(), planes=self.chosen_planes())
        except VitascopeError as error:
            self.plates = ()
            self._fill(name)
            self.note.setText(error.in_dock)
            if path.is_dir():
                self.fold.expand()
            self.show_preview()
            return
        self._fill(name)
        self.show_preview()

    def reopen(self) -> None:
        """Open the same path again, with the pattern as it stands."""
        if self.path is not None:
            self.open(self.path)

    def _fill(self, name: str) -> None:
        self.plate.blockSignals(True)
        self.plate.clear()
        for one in self.plates:
            self.plate.addItem(one.name)
        self.plate.setCurrentIndex(max(0, self.plate.findText(name)) if self.plates else -1)
        self.plate.blockSignals(False)
        self.plate.setEnabled(len(self.plates) > 1)
        self._chosen()

    def _chosen(self) -> None:
        self._show_summary()
        self.valueChanged.emit()

    def _show_summary(self) -> None:
        plate = self.value()
        if plate is None:
            self.note.setText("Open the folder of a plate: Cytation, ImageXpress, Operetta, EVOS, Incucyte, OME-Zarr …")
            return
        several = [
            f"{len(values)} {what}"
            for values, what in ((plate.fields, "fields"), (plate.times, "times"))
            if len(values) > 1
        ]
        channels = f"channels {', '.join(plate.channels)}" if plate.channels else ""
        bad = sum(site.problem is not None for site in plate)
        told = [
            f"{plate.rows * plate.columns}-well plate, {len(plate.wells)} wells with {len(plate)} images",
            *several,
            channels,
            plate.layout,
            f"{bad} images with a problem" if bad else "",
        ]
        self.note.setText(
            "; ".join(text for text in told if text) + "." + "".join(f"\n{w}" for w in plate.warnings[:3])
        )

    def show_preview(self) -> None:
        """Show what the pattern (or, without one, the known layouts) read out of the names in the folder."""
        self.preview.clear()
        if self.path is None or not self.path.is_dir():
            self.matched.setText("Open a folder to see what its names tell.")
            return
        found = preview_pattern([self.path / name for name in first_names(self.path)], self.name_pattern() or "")
        for match in found.matches[:MOST_SHOWN]:
            told = [match.told.get(part, "") for part in PARTS]
            self.preview.addTopLevelItem(QTreeWidgetItem([match.path.name, *told]))
        self.matched.setText(found.summary)


def first_names(folder: Path) -> list[str]:
    """Return the names of the first files below a folder, two levels down at most."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in itertools.islice(sorted(entries, key=lambda one: one.name), MOST_LOOKED_AT):
            if entry.is_file():
                found.append(entry.name)
            elif entry.is_dir() and not entry.name.startswith("."):
                with os.scandir(entry.path) as inside:
                    found += [
                        f"{entry.name}/{one.name}" for one in itertools.islice(inside, MOST_SHOWN) if one.is_file()
                    ]
            if len(found) >= MOST_LOOKED_AT:
                break
    return found[:MOST_LOOKED_AT]
