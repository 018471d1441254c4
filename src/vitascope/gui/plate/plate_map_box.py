"""What is in each well: loaded from a file, or painted on the plate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.compat import getopenfilename, getsavefilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.core.formatting import plain_digits
from vitascope.core.well import Well
from vitascope.core.well_role import ROLES
from vitascope.gui.common.layout import add_row, make_form, make_note
from vitascope.gui.plate.heatmap import Legend, colour_kinds, kind_colours
from vitascope.gui.plate.legend_bar import LegendBar
from vitascope.gui.plate.plate_view import PlateView
from vitascope.io.plates.plate import Plate
from vitascope.io.tables.plate_map import MAP_COLUMNS, PlateMap, read_plate_map
from vitascope.io.tables.plate_map_validation import in_short

FIELDS = ("treatment", "dose", "dose_unit", "role", "replicate", "patient")
TIPS = {
    "treatment": "Compound or condition, such as DMSO.",
    "dose": "A number; empty for none.",
    "dose_unit": "Such as µM or ng/mL.",
    "role": "negative: nothing happens here; positive: the full effect.",
    "replicate": "Number or name.",
    "patient": "Donor, line or culture.",
}
MOST_GRID_PX = 200


class PlateMapBox(QWidget):  # type: ignore[misc]
    """Edits a plate map."""

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Well, dict[str, str]] = {}
        self._plate: Plate | None = None
        self.came_with: Plate | None = None
        """The plate whose folder or results the map was found in."""
        self.grid = PlateView(self._describe, several=True, most_px=MOST_GRID_PX)
        self.editors: dict[str, QWidget] = {}
        self.show_by, self.legend = QComboBox(), LegendBar()
        self.apply, self.clear_wells = QPushButton("Put into chosen wells"), QPushButton("Empty chosen wells")
        self.load_button, self.save_button = QPushButton("Load …"), QPushButton("Save …")
        self.note = make_note()
        self._lay_out()
        self.apply.setToolTip(
            "Writes what stands above into the wells that are framed; what is left empty changes nothing."
        )
        self.clear_wells.setToolTip("Forgets all that the map says of the framed wells.")
        self.load_button.setToolTip("A table of what is in the wells (CSV, TSV, text, Excel).")
        self.save_button.setToolTip("As a table with one row a well (CSV).")
        self.apply.clicked.connect(self.paint_wells)
        self.clear_wells.clicked.connect(self.empty_wells)
        self.load_button.clicked.connect(self._ask_and_load)
        self.save_button.clicked.connect(self._ask_and_save)
        self.show_by.currentIndexChanged.connect(self._redraw)
        self._redraw()

    def _lay_out(self) -> None:
        files = QHBoxLayout()
        files.addWidget(self.load_button)
        files.addWidget(self.save_button)
        form = make_form()
        for name in ("treatment", "role", "dose", "replicate", "patient"):
            self.show_by.addItem(name.capitalize(), name)
        add_row(form, "Colour by", self.show_by, "What the colours stand for.")
        for name in FIELDS:
            editor: QWidget = QLineEdit()
            if name in ("role", "dose_unit"):
                editor = QComboBox()
                editor.addItems(("", *ROLES) if name == "role" else ("", "µM", "nM", "mM", "µg/mL", "ng/mL", "%"))
                editor.setEditable(name == "dose_unit")
            self.editors[name] = editor
            add_row(form, name.replace("_", " ").capitalize(), editor, TIPS[name])
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply)
        buttons.addWidget(self.clear_wells)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(files)
        column.addWidget(self.grid)
        column.addWidget(self.legend)
        column.addLayout(form)
        column.addLayout(buttons)
        column.addWidget(self.note)
        column.addStretch(1)

    # -- the map ----------------------------------------------------------------------------------------------------

    def set_plate(self, plate: Plate | None) -> None:
        """Show the plate that the map is for."""
        self._plate = plate
        before = self.came_with
        if before is not None and (plate is None or (before.path, before.name) != (plate.path, plate.name)):
            self.came_with = None
            self.set_value(None)
        self._redraw()

    def value(self) -> PlateMap | None:
        """Return the map; None where nothing is known of any well.

        Raises
        ------
        InputError
            If a dose is no number.
        """
        if not self._rows:
            return None
        rows = [{"well": str(well), **row} for well, row in sorted(self._rows.items())]
        return PlateMap.from_rows(rows, "the map in the dock")

    def value_or_none(self) -> PlateMap | None:
        """Return the map; None where there is none, or what is written in it cannot be used yet."""
        try:
            return self.value()
        except VitascopeError:
            return None

    def set_value(self, plate_map: PlateMap | None) -> None:
        """Show a map; where it names plates, what it says of this one."""
        self._rows = {}
        if plate_map is not None:
            name = self._plate.name if self._plate is not None else ""
            for row in plate_map.table.to_dict("records"):
                if row["plate"] in ("", name) or self._plate is None:
                    self._rows[Well.parse(row["well"])] = {
                        str(column): _text(row[column]) for column in plate_map.table if column not in ("plate", "well")
                    }
        if not self._tells(self.show_by.currentData()):
            told = [i for i in range(self.show_by.count()) if self._tells(self.show_by.itemData(i))]
            self.show_by.setCurrentIndex(told[0] if told else 0)
        self._changed()

    def _tells(self, column: str) -> bool:
        return any(row.get(column) for row in self._rows.values())

    def paint_wells(self) -> None:
        """Put what stands in the editors into the chosen wells; empty editors leave what is there."""
        given = {name: text for name in FIELDS if (text := self._given(name))}
        if not given or not self.grid.wells:
            self.note.setText("Choose wells by drawing a frame over them, and write what is in them.")
            return
        for well in self.grid.wells:
            self._rows[well] = {**self._rows.get(well, dict.fromkeys(MAP_COLUMNS[2:], "")), **given}
        self.came_with = None
        self._changed()

    def empty_wells(self) -> None:
        """Forget what is in the chosen wells."""
        for well in self.grid.wells:
            self._rows.pop(well, None)
        self._changed()

    def _given(self, name: str) -> str:
        editor = self.editors[name]
        return str(editor.currentText() if isinstance(editor, QComboBox) else editor.text()).strip()

    def _changed(self) -> None:
        self.note.setText(self._problems())
        self._redraw()
        self.valueChanged.emit()

    def _problems(self) -> str:
        try:
            plate_map = self.value()
            if plate_map is None:
                return ""
            against = plate_map.check(self._plate) if self._plate is not None else ()
        except VitascopeError as error:
            return error.in_dock
        return "\n".join(in_short((*plate_map.problems, *against)))

    # -- files ------------------------------------------------------------------------------------------------------

    def _ask_and_load(self) -> None:
        name, _ = getopenfilename(self, "Load a plate map", filters="Tables (*.csv *.tsv *.txt *.xlsx)")
        if name:
            self.load(Path(name))

    def load(self, path: Path, came_with: Plate | None = None) -> None:
        """Load a map from a file; one that came with a plate goes with it."""
        try:
            self.came_with = came_with
            self.set_value(read_plate_map(path))
        except VitascopeError as error:
            self.note.setText(error.in_dock)

    def _ask_and_save(self) -> None:
        name, _ = getsavefilename(self, "Save the plate map", "plate_map.csv", "Tables (*.csv)")
        try:
            plate_map = self.value()
            if name and plate_map is not None:
                plate_map.save(Path(name))
        except VitascopeError as error:
            self.note.setText(error.in_dock)

    # -- drawing ----------------------------------------------------------------------------------------------------

    def _redraw(self, *_: object) -> None:
        shape = (self._plate.rows, self._plate.columns) if self._plate is not None else (8, 12)
        name = self.show_by.currentData()
        kinds = {well: row.get(name, "") for well, row in self._rows.items()}
        kinds = {well: kind for well, kind in kinds.items() if well.row < shape[0] and well.column < shape[1]}
        colours = kind_colours([kinds])
        rgba = colour_kinds(kinds, shape, colours)
        self.legend.show_legend(Legend(kinds=colours), str(self.show_by.currentText()))
        self.legend.setVisible(bool(colours))
        if self._plate is not None:
            imaged = np.zeros(shape, bool)
            for well in self._plate.wells:
                imaged[well.row, well.column] = True
            rgba[(rgba[..., 3] == 0) & imaged] = (128, 128, 128, 110)
        self.grid.set_colours(rgba)
        self.grid.fill_with({*self._plate.wells, *self._rows} if self._plate is not None else ())

    def _describe(self, well: Well) -> str:
        row = self._rows.get(well, {})
        dose = f"{row.get('dose', '')} {row.get('dose_unit', '')}".strip()
        told = (str(well), row.get("treatment"), dose, row.get("role"), row.get("replicate"), row.get("patient"))
        return " · ".join(text for text in told if text)


def _text(value: object) -> str:
    return "" if value is None or value != value else plain_digits(value) if isinstance(value, float) else str(value)
