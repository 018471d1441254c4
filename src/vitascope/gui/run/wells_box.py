"""A table of many wells with their numbers, a strip plot or curves of them, and the way out to a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.errors import without_options
from vitascope.core.flags import FLAGS, without_notes
from vitascope.core.formatting import interval_texts, number_text
from vitascope.gui.common.layout import LINE_PX, make_note
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.common.plots import draw_wells
from vitascope.gui.common.result_text import picture_text
from vitascope.io.filenames.parse import natural
from vitascope.tasks.spec import TaskSpec

HEIGHT_PX = 300
WEIGHT = {"outside_model": -2, "unsure": -1}
"""Flags that come before others as frequent."""

FORMATS = "CSV (*.csv);;Excel (*.xlsx);;Parquet (*.parquet)"
Row = Mapping[str, Any]


class WellsBox(QWidget):  # type: ignore[misc]
    """Shows one line for each picture of a run on many; choosing a line tells which picture it is.

    Parameters
    ----------
    spec : TaskSpec
    text_colour : callable
        Gives the colour of the viewer's text.

    Attributes
    ----------
    out : QWidget
        Save, export and copy; whoever shows the box puts them where they are always in view.
    """

    chosen = Signal(int)
    """Number of the row that the user chose."""

    exportWanted = Signal(str)  # noqa: N815, as Qt's editors are called
    """Where the table is to be written."""

    saveWanted = Signal(str)  # noqa: N815, as Qt's editors are called
    """The folder that all wells are to be written to."""

    commandWanted = Signal()  # noqa: N815, as Qt's editors are called
    """The run is to be copied as a command."""

    def __init__(self, spec: TaskSpec, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spec = spec
        self.rows: tuple[Row, ...] = ()
        self.tabs, self.table, self.plot = QTabWidget(), QTableWidget(), PlotPane(text_colour)
        self.export, self.save = QPushButton("Export table …"), QPushButton("Save all results …")
        self.command = QPushButton("Copy command for all")
        self.said = make_note()
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._selected)
        self.tabs.currentChanged.connect(lambda _: self._draw())
        self.export.clicked.connect(self.choose_file)
        self.save.clicked.connect(self.choose_folder)
        self.command.clicked.connect(self.commandWanted)
        self.clear()

    def _lay_out(self) -> None:
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(LINE_PX)
        self.table.setAccessibleName("Numbers of all wells")
        self.table.setTabKeyNavigation(False)
        self.tabs.addTab(self.table, "Wells")
        self.tabs.addTab(self.plot, "Plot")
        self.tabs.setFixedHeight(HEIGHT_PX)
        self.export.setToolTip("Write this table as CSV, Excel or Parquet.")
        self.command.setToolTip("Copy a command that runs all these images again, and writes their maps too.")
        self.save.setToolTip("Write pictures, tables and provenance of all wells to a folder; maps are made for each.")
        self.out = QWidget()
        across = QGridLayout(self.out)
        across.setContentsMargins(8, 4, 8, 4)
        across.setVerticalSpacing(4)
        across.addWidget(self.save, 0, 0)
        across.addWidget(self.export, 0, 1)
        across.addWidget(self.command, 1, 0, 1, 2)
        across.addWidget(self.said, 2, 0, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)

    def clear(self) -> None:
        """Show nothing."""
        self.rows = ()
        self.plot.offer(None)
        self.hide()
        self.out.hide()

    def show_rows(self, rows: Sequence[Row], unit: str, level: float | None) -> None:
        """Show rows as ``results.csv`` holds them.

        Parameters
        ----------
        rows : sequence of mapping
        unit : str
            Of the main number.
        level : float or None
            Of the interval.
        """
        self.rows = tuple(rows)
        self.said.hide()
        self._fill(unit, level)
        self.plot.offer(
            lambda figure: draw_wells(figure, self.rows, self._spec.headline, self._spec.headline_title, unit)
        )
        self._draw()
        self.show()
        self.out.show()

    def _fill(self, unit: str, level: float | None) -> None:
        header = ["Well", *(["Time"] if self._has_times() else [])]
        interval = f"{level:.0%} interval" if level else "Interval"
        below = f"\n({unit})" if unit else ""  # beside the title it would push the flags out of view
        header += [f"{self._spec.headline_title}{below}", f"{interval}{below}", "Flags"]
        self.table.blockSignals(True)
        self.table.setSortingEnabled(False)
        self.table.clear()
        self.table.setColumnCount(len(header))
        self.table.setHorizontalHeaderLabels(header)
        self.table.setRowCount(len(self.rows))
        for number, row in enumerate(self.rows):
            for column, cell in enumerate(self._cells(number, row)):
                self.table.setItem(number, column, cell)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.horizontalHeader().setMinimumSectionSize(30)
        self.table.blockSignals(False)

    def _has_times(self) -> bool:
        return len({str(row.get("time")) for row in self.rows}) > 1

    def _cells(self, number: int, row: Row) -> list[QTableWidgetItem]:
        name = self._spec.headline
        value, low, high = (_number(row.get(n)) for n in (name, f"{name}_low", f"{name}_high"))
        texts = [number_text(value if math.isfinite(value) else None), "–"]
        if math.isfinite(low) and math.isfinite(high):
            shown, least, most = interval_texts(value, low, high)
            texts = [shown, f"{least} to {most}"]
        known = flags_of(row)
        flags = sorted(without_notes(known), key=self._rarity)
        time = row.get("time")
        cells = [Cell(text := picture_text(row), natural(text), number)]
        if self._has_times():
            cells.append(Cell("" if time is None else str(time), natural(str(time)), number))
        cells += [
            Cell(texts[0], value if math.isfinite(value) else -math.inf, number, right=True),
            Cell(texts[1], high - low if math.isfinite(high - low) else -math.inf, number, right=True),
            Cell(", ".join(flag.replace("_", " ") for flag in flags), flags, number),
        ]
        why = "\n".join(
            [
                *(FLAGS[flag].text if flag in FLAGS else flag for flag in known),
                without_options(str(row.get("message") or "")),
            ]
        ).strip()
        for cell in cells:
            cell.setToolTip(why)
        return cells

    def _rarity(self, flag: str) -> tuple[int, int]:
        """Put flags first that few lines have, of these what is wrong with the well itself."""
        count = sum(flag in flags_of(other) for other in self.rows)
        return count, WEIGHT.get(flag, "well" not in flag)

    def _draw(self) -> None:
        if self.tabs.currentWidget() is not self.plot:
            return
        before = self.plot.canvas
        self.plot.draw()
        if self.plot.canvas is not before and hasattr(self.plot.canvas, "mpl_connect"):
            self.plot.canvas.mpl_connect("pick_event", lambda event: self._picked(event))

    def _picked(self, event: Any) -> None:
        """Choose the well whose dot was clicked."""
        numbers = getattr(event.artist, "well_rows", None)
        if numbers is not None and len(event.ind):
            self.choose(int(numbers[event.ind[0]]))
            self.chosen.emit(int(numbers[event.ind[0]]))

    def redraw(self) -> None:
        """Draw again, as after a change of theme."""
        self.plot.forget()
        self._draw()

    def current(self) -> int | None:
        """Return the number of the chosen row; None for none."""
        chosen = self.table.selectedItems()
        return chosen[0].number if chosen else None

    def choose(self, number: int | None) -> None:
        """Mark a row without telling of it; None marks none."""
        self.table.blockSignals(True)
        self.table.clearSelection()
        for line in range(self.table.rowCount()):
            if self.table.item(line, 0).number == number:
                self.table.selectRow(line)
                self.table.scrollToItem(self.table.item(line, 0))
        self.table.blockSignals(False)

    def _selected(self) -> None:
        if (number := self.current()) is not None:
            self.chosen.emit(number)

    def choose_file(self) -> None:
        """Ask where to write the table."""
        path, kind = QFileDialog.getSaveFileName(self, "Export table", "", FORMATS)
        if path:
            self.exportWanted.emit(str(typed_path(path, kind)))

    def choose_folder(self) -> None:
        """Ask where to write all wells."""
        folder = QFileDialog.getExistingDirectory(self, "Save all results to an empty folder")
        if folder:
            self.saveWanted.emit(folder)

    def offer_series(self, several: bool) -> None:
        """Offer what can be done with several images only, not with one stack."""
        self.save.setVisible(several)
        self.command.setVisible(several)

    def set_live(self, live: bool) -> None:
        """Give the table away only while it answers what stands above it."""
        for button in (self.export, self.save, self.command):
            button.setEnabled(live)

    def say(self, message: str, hint: str = "") -> None:
        """Say what became of the export."""
        self.said.setText(f"{message} {hint}".strip())
        self.said.show()


class Cell(QTableWidgetItem):  # type: ignore[misc]
    """A cell that is sorted by what it means, and knows the row it belongs to.

    Parameters
    ----------
    text : str
    key : object
        What it is sorted by; of one kind in a column.
    number : int
        Of the row.
    right : bool
        Whether it stands on the right, as numbers do.
    """

    def __init__(self, text: str, key: Any, number: int, right: bool = False) -> None:
        super().__init__(text)
        self.key, self.number = key, number
        if right:
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        """Compare by meaning."""
        return bool(self.key < other.key) if isinstance(other, Cell) else NotImplemented


def typed_path(path: str, kind: str) -> Path:
    """Give a path the ending of the format that was chosen beside it, where it has none of them.

    Examples
    --------
    >>> typed_path("wells", "Excel (*.xlsx)").name, typed_path("wells.csv", "Excel (*.xlsx)").name
    ('wells.xlsx', 'wells.csv')
    """
    known = Path(path).suffix.lower() in (".csv", ".xlsx", ".parquet")
    return Path(path if known else path + kind.split("*")[-1].rstrip(")"))


def flags_of(row: Row) -> list[str]:
    """Return the flags of a row of ``results.csv``."""
    return [word for word in str(row.get("flags") or "").split(";") if word]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
