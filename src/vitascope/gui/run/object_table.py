"""The table of objects: one line for each object of a layer, linked to the picture both ways."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QHBoxLayout, QPushButton, QTableView, QVBoxLayout

from vitascope.core.errors import VitascopeError
from vitascope.core.formatting import number_text, quantity_text
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.gui.common.dock import Dock
from vitascope.gui.common.layout import LINE_PX, make_note
from vitascope.gui.common.runner import Runner, RunOutcome
from vitascope.gui.layers.display import mark
from vitascope.gui.run.wells_box import FORMATS, typed_path

if TYPE_CHECKING:
    import napari.viewer

LABEL = "label"
PLACES = ("centroid_", "bbox_")
"""Beginnings of columns that say where an object lies: the picture shows that, the table has room for what it is."""

WIDTH_PX = 350
HINT = "Click a line to see the object; pick an object in the picture to see its line."


def objects_of(features: pd.DataFrame) -> pd.DataFrame:
    """Return a layer's objects: its features without the background, and without labels that were not measured.

    Parameters
    ----------
    features : DataFrame
        See :func:`vitascope.gui.layers.add.label_features`.

    Returns
    -------
    DataFrame
        One row for each object: its label, what was measured, and last where it lies; columns that hold nothing are
        left out.
    """
    if LABEL not in features:
        return features.iloc[1:]
    measured = features.drop(columns=LABEL).notna().any(axis=1) if features.shape[1] > 1 else features[LABEL] > 0
    found = features[(features[LABEL] > 0) & measured]
    empty = [name for name in found if name != LABEL and found[name].isna().all()]
    places = [name for name in found if name not in empty and str(name).startswith(PLACES)]
    others = [name for name in found if name not in empty and name not in places]
    return found[[*others, *places]].reset_index(drop=True)


class ObjectModel(QAbstractTableModel):  # type: ignore[misc]
    """Objects as Qt's tables want them: numbers as people write them, sorted by their value."""

    def __init__(self) -> None:
        super().__init__()
        self.table = pd.DataFrame()

    def show_table(self, table: pd.DataFrame) -> None:
        """Show another table."""
        self.beginResetModel()
        self.table = table
        self.endResetModel()

    def labels(self) -> NDArray[np.int64]:
        """Return the labels of the objects, one for each row of the table."""
        return np.asarray(self.table.get(LABEL, ()), np.int64)

    def label(self, row: int) -> int:
        """Return the label of the object in a row of the table."""
        return int(self.labels()[row])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, Qt's name
        """Count the objects."""
        return len(self.table)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, Qt's name
        """Count what is known of each."""
        return self.table.shape[1]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell: its text, its value to sort by, or its place."""
        value: Any = self.table.iat[index.row(), index.column()]
        number = isinstance(value, int | float) or hasattr(value, "dtype")
        if role == Qt.ItemDataRole.DisplayRole:
            return number_text(value) if number else "" if value is None or value is pd.NA else str(value)
        if role == Qt.ItemDataRole.UserRole:
            return (float(value) if not math.isnan(value) else -math.inf) if number else str(value)
        if role == Qt.ItemDataRole.TextAlignmentRole and number:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(  # noqa: N802, Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return what a column holds, with its unit."""
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        name = str(self.table.columns[section])
        return "Number" if name == LABEL else quantity_text(name)


class ObjectTable(Dock):
    """Shows the objects of a result's layer; other results of ours that become active are shown in their turn.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    layer : Labels
    runner : Runner, optional
        Writes the table in a thread by default.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, layer: Labels, runner: Runner | None = None) -> None:
        super().__init__(napari_viewer, runner)
        self.layer: Labels | None = None
        self.title, self.said, self.save_button = make_note(), make_note(), QPushButton("Save table …")
        self.model, self.sorted, self.view = ObjectModel(), QSortFilterProxyModel(self), QTableView()
        self._lay_out()
        self.view.selectionModel().currentRowChanged.connect(lambda *_: self._row_chosen())
        self.save_button.clicked.connect(self.choose_file)
        self.runner.ended.connect(self._saved)
        layers = self._viewer.layers
        self._listen(self._active_changed, layers.selection.events.active)
        self._listen(self._removed, layers.events.removed)
        self.show_layer(layer)

    def _lay_out(self) -> None:
        self.sorted.setSourceModel(self.model)
        self.sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self.view.setModel(self.sorted)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(LINE_PX)
        self.view.setAccessibleName("Numbers of each object")
        self.save_button.setToolTip("Write this table as CSV, Excel or Parquet.")
        beside = QHBoxLayout()
        beside.addWidget(self.save_button)
        beside.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.addWidget(self.title)
        layout.addWidget(self.view, 1)
        layout.addLayout(beside)
        layout.addWidget(self.said)
        self.said.hide()
        self.setMinimumWidth(WIDTH_PX)

    def close_down(self) -> None:
        """Leave the layer alone, and go."""
        self._let_go()
        super().close_down()

    # -- which layer ------------------------------------------------------------------------------------------------

    def show_layer(self, layer: Labels) -> None:
        """Show the objects of a layer."""
        if layer is self.layer:
            return
        self._let_go()
        self.layer = layer
        layer.events.features.connect(self._features_changed)
        layer.events.selected_label.connect(self._picked)
        self.said.hide()
        self._features_changed()

    def _let_go(self) -> None:
        layer, self.layer = self.layer, None
        if layer is not None:
            layer.events.features.disconnect(self._features_changed)
            layer.events.selected_label.disconnect(self._picked)
            mark(layer, None)

    def _active_changed(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if self._open and isinstance(active, Labels) and LABEL in active.features:
            self.show_layer(active)

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self._let_go()
            self.model.show_table(pd.DataFrame())
            self._say_title()

    def _features_changed(self, event: Any = None) -> None:
        if self.layer is None:
            return
        self.model.show_table(objects_of(self.layer.features))
        self.view.resizeColumnsToContents()
        self._say_title()

    def _say_title(self) -> None:
        count = len(self.model.table)
        name = self.layer.name if self.layer is not None else ""
        self.title.setText(f"{name}: {count} {'object' if count == 1 else 'objects'}. {HINT}" if name else "")
        self.save_button.setEnabled(count > 0)

    # -- between table and picture ----------------------------------------------------------------------------------

    def choose(self, label: int) -> None:
        """Go to the line of an object, as a click on it would."""
        found = np.flatnonzero(self.model.labels() == label)
        if not len(found):
            self.view.clearSelection()
            return
        index = self.sorted.mapFromSource(self.model.index(int(found[0]), 0))
        self.view.selectRow(index.row())
        self.view.scrollTo(index)

    def current(self) -> int | None:
        """Return the label of the chosen line; None for none."""
        rows = self.view.selectionModel().selectedRows()
        return self.model.label(self.sorted.mapToSource(rows[0]).row()) if rows else None

    def _row_chosen(self) -> None:
        index = self.view.currentIndex()
        if self.layer is None or not index.isValid():
            return
        label = self.model.label(self.sorted.mapToSource(index).row())
        self.layer.visible = True
        if self.layer.selected_label != label:
            self.layer.selected_label = label
        mark(self.layer, label)

    def _picked(self, event: Any = None) -> None:
        if self.layer is not None and self.layer.selected_label != self.current():
            self.choose(int(self.layer.selected_label))

    # -- out --------------------------------------------------------------------------------------------------------

    def choose_file(self) -> None:
        """Ask where to, and write the table."""
        path, kind = QFileDialog.getSaveFileName(self, "Save the table of objects", "", FORMATS)
        if path:
            self.save_to(typed_path(path, kind))

    def save_to(self, path: Path) -> None:
        """Write the table as CSV, Excel or Parquet; its columns are those of the files of results."""
        table = self.model.table.copy()

        def steps() -> ProgressGenerator[Path]:
            from vitascope.batch.plate.export import export_table  # writers are loaded when they are wanted

            yield Progress(0, 1, "Writing the table")
            return export_table(table, path)

        try:
            self.runner.start("Save table", steps)
        except VitascopeError as error:
            self._say(error.in_dock)

    def _saved(self, outcome: RunOutcome) -> None:
        if self._open:
            done = outcome.kind == "done"
            self._say(f"Saved to {outcome.value}." if done else f"{outcome.message} {outcome.hint}".strip())

    def _say(self, text: str) -> None:
        self.said.setText(text)
        self.said.setVisible(bool(text))
