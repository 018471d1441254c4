"""The heat map of one or several plates: what to show, the plates side by side, a legend, and what to take away."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from qtpy.compat import getsavefilename
from qtpy.QtCore import QBuffer, QIODevice, QPoint, QRectF, QSize, Signal
from qtpy.QtGui import QImage, QPainter
from qtpy.QtSvg import QSvgGenerator
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from vitascope.batch.plate.in_words import plate_in_words
from vitascope.batch.plate.results import HOW, PlateResults
from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow, refill
from vitascope.gui.plate.heatmap import Legend, colour_amounts, colour_kinds, fade, kind_colours, limits
from vitascope.gui.plate.legend_bar import LegendBar
from vitascope.gui.plate.plate_view import PlateView
from vitascope.io.atomic import atomic_write

COLORMAP = "viridis"
HOW_TEXT = {"mean": "Mean over fields", "median": "Median over fields", "cv_percent": "CV over fields (%)"}
SAVED = {
    "PNG": "The heat map as it is shown, as a picture.",
    "SVG": "The heat map as it is shown, as a drawing for figures.",
    "CSV": "The numbers of the heat map, well by well.",
}


@dataclass(frozen=True, eq=False)
class Panel:
    """One plate at one time."""

    results: PlateResults
    time: str
    grid: PlateView


class HeatmapBox(QWidget):  # type: ignore[misc]
    """The heat map."""

    opened = Signal(object, str, object)
    """Results, time and well: the user wants to see it."""

    def __init__(self) -> None:
        super().__init__()
        self.panels: list[Panel] = []
        self._results: list[PlateResults] = []
        self.column, self.how, self.flag = QComboBox(), QComboBox(), QComboBox()
        self.robust = QCheckBox("Leave outliers out of the limits")
        self.robust.setToolTip("Colours run from the 1st to the 99th percentile of all wells shown.")
        self.robust.setChecked(True)
        self.legend = LegendBar()
        self.whole = QCheckBox("Whole plate")
        self.whole.setToolTip("Show wells without images too; else the wells in use fill the space.")
        self.note = make_note()
        self.words = make_note()
        self.note.setText("Open a plate's results, or run a plate: its numbers show here, well by well.")
        self._lay_out()
        for name in HOW:
            self.how.addItem(HOW_TEXT[name], name)
        for box in (self.column, self.how, self.flag):
            box.currentIndexChanged.connect(self.redraw)
        self.robust.toggled.connect(self.redraw)
        self.whole.toggled.connect(self.redraw)

    def _lay_out(self) -> None:
        form = make_form()
        add_row(form, "Show", self.column, "What the colours stand for.")
        add_row(form, "Fields", self.how, "How the fields of a well become one number.")
        add_row(form, "Only", self.flag, "Wells without this flag fade.")
        for box in (self.column, self.how, self.flag):
            narrow(box)
        self.grids = QGridLayout()
        self.grids.setSpacing(6)
        buttons = QHBoxLayout()
        self.save = {}
        for kind in ("PNG", "SVG", "CSV"):
            button = QPushButton(f"Save {kind}")
            button.setToolTip(SAVED[kind])
            button.clicked.connect(lambda _=False, kind=kind: self._ask_and_save(kind))
            buttons.addWidget(button)
            self.save[kind] = button
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(form)
        ticks = QHBoxLayout()
        ticks.addWidget(self.robust)
        ticks.addWidget(self.whole)
        column.addLayout(ticks)
        column.addWidget(self.note)
        column.addLayout(self.grids, 1)
        column.addWidget(self.legend)
        column.addWidget(self.words)
        column.addLayout(buttons)
        self._enable()

    def _enable(self) -> None:
        for button in self.save.values():
            button.setEnabled(bool(self.panels))
        self.legend.setVisible(bool(self.panels))
        self.note.setVisible(not self.panels)

    # -- what is shown ----------------------------------------------------------------------------------------------

    def set_results(self, results: Sequence[PlateResults]) -> None:
        """Show plates side by side, one panel for each plate and time; choices stay where they still make sense."""
        self._results = list(results)
        self.words.setText("\n".join(self._in_words()))
        self.words.setVisible(bool(self.words.text()))
        self._fill(self.column, self._columns())
        flags = sorted({flag for one in results for flag in one.flags()})
        self._fill(self.flag, [("All wells", ""), *((flag, flag) for flag in flags)])
        wanted = [(one, time) for one in self._results for time in one.times()]
        if len(wanted) != len(self.panels):
            self._make_panels(len(wanted))
        self.panels = [Panel(one, time, panel.grid) for (one, time), panel in zip(wanted, self.panels, strict=True)]
        for panel in self.panels:
            panel.grid.title = self._title(panel)
        self._enable()
        self.redraw()

    def _in_words(self) -> list[str]:
        """Say of each plate what became of its wells; with its name where there are several."""
        told = []
        for one in self._results:
            parts = [words for words in (plate_in_words(one.frame), one.drift_in_words()) if words]
            told.append(
                (one.name, "; ".join(part if not n else part[0].lower() + part[1:] for n, part in enumerate(parts)))
            )
        return [f"{name}: {words}" if len(told) > 1 else words for name, words in told if words]

    def _title(self, panel: Panel) -> str:
        """Name a plate by its name, its folder where two have one name, and its time where there are several."""
        name = panel.results.name
        if sum(one.name == name for one in self._results) > 1:
            name = f"{name} ({panel.results.folder.name})"
        return f"{name}, time {panel.time}" if len(panel.results.times()) > 1 else name

    def _columns(self) -> list[tuple[str, str]]:
        numbers = dict.fromkeys(name for one in self._results for name in one.number_columns())
        kinds = dict.fromkeys(name for one in self._results for name in one.category_columns())
        return [(self._words_of(name), name) for name in (*numbers, *kinds)]

    def _words_of(self, column: str) -> str:
        """Return a column in words with its unit, as the first plate that has it tells."""
        known = next((one for one in self._results if column in one.frame), self._results[0])
        return known.title(column)

    @staticmethod
    def _fill(box: QComboBox, entries: list[tuple[str, str]]) -> None:
        if [box.itemData(i) for i in range(box.count())] == [value for _, value in entries]:
            return
        refill(box, entries)

    def _make_panels(self, count: int) -> None:
        for panel in self.panels:
            self.grids.removeWidget(panel.grid)
            panel.grid.hide()  # it is deleted later, and would be drawn below the new ones until then
            panel.grid.deleteLater()
        self.panels = []
        beside = 1 if count == 1 else 2 if count <= 4 else 3
        for i in range(count):
            grid = PlateView()
            grid.describe = partial(self._describe, i)
            grid.clicked.connect(partial(self._clicked, i))
            self.grids.addWidget(grid, i // beside, i % beside)
            self.panels.append(Panel(self._results[0], "", grid))

    def _describe(self, i: int, well: Well) -> str:
        panel = self.panels[i]
        return panel.results.describe(well, self.column.currentData() or "", panel.time)

    def _clicked(self, i: int, well: Well) -> None:
        for j, panel in enumerate(self.panels):
            if j != i:
                panel.grid.set_current(None)
        self.opened.emit(self.panels[i].results, self.panels[i].time, well)

    def choose_wells(self, wells: Mapping[Path, set[Well]]) -> None:
        """Frame wells of the plates, by the folders of their results; on plates that are not named none."""
        for panel in self.panels:
            panel.grid.choose(wells.get(panel.results.folder, set()))

    def choose(self, column: str) -> None:
        """Show a column.

        Raises
        ------
        ParameterError
            If there is none of this name.
        """
        index = self.column.findData(column)
        if index < 0:
            raise ParameterError(f"There is no column '{column}' to show.")
        self.column.setCurrentIndex(index)

    def redraw(self, *_: object) -> None:
        """Colour all plates by what is chosen, with common limits."""
        name, how = self.column.currentData(), self.how.currentData()
        if name is None or not self.panels:
            return
        if any(name in one.number_columns() for one in self._results):
            values = [
                panel.results.amounts(name, how, panel.time) if name in panel.results.frame else panel.results.nothing()
                for panel in self.panels
            ]
            low, high = limits(values, self.robust.isChecked())
            legend = Legend(low, high, COLORMAP)
            colours = [colour_amounts(one, (low, high), COLORMAP) for one in values]
        else:
            kinds = [
                panel.results.kinds(name, panel.time) if name in panel.results.frame else {} for panel in self.panels
            ]
            known = kind_colours(kinds)
            legend = Legend(kinds=known)
            colours = [
                colour_kinds(one, (panel.results.rows, panel.results.columns), known)
                for one, panel in zip(kinds, self.panels, strict=True)
            ]
        flag = self.flag.currentData() or ""
        used = set().union(*(panel.results.with_flag("") for panel in self.panels))
        for panel, rgba in zip(self.panels, colours, strict=True):
            panel.grid.fill_with(() if self.whole.isChecked() else used)
            panel.grid.set_badges(panel.results.badges)
            panel.grid.set_colours(fade(rgba, panel.results.with_flag(flag, panel.time)) if flag else rgba)
        words = self._words_of(name)
        if legend.kinds is None and how != "mean":
            words = f"{words.split(' (')[0]}, CV (%)" if how == "cv_percent" else f"{words}, {how}"
        said = words
        self.legend.show_legend(legend, said)

    # -- taking away ------------------------------------------------------------------------------------------------

    def _ask_and_save(self, kind: str) -> None:
        name, _ = getsavefilename(self, f"Save the heat map as {kind}", f"heat_map.{kind.lower()}")
        if not name:
            return
        try:
            self.save_as(Path(name))
        except VitascopeError as error:
            self.note.setText(error.in_dock)
            self.note.show()

    def save_as(self, path: Path) -> None:
        """Save the heat map as it is shown: PNG or SVG as a picture, CSV as numbers.

        Raises
        ------
        OutputError
            If it cannot be written.
        ParameterError
            If the name ends in something else.
        """
        make = {".png": self._png, ".svg": self._svg, ".csv": self._csv}.get(path.suffix.lower())
        if make is None:
            raise ParameterError(f"'{path.name}' cannot be saved.", "End the name in .png, .svg or .csv.")
        content = make()
        with atomic_write(path) as file:
            file.write(content)

    def _png(self) -> bytes:
        scale = 2
        image = QImage(self._extent() * scale, QImage.Format.Format_ARGB32)
        image.fill(self.palette().window().color())
        painter = QPainter(image)
        painter.scale(scale, scale)
        self._draw_all(painter, vector=False)
        painter.end()
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")
        return bytes(buffer.data())

    def _svg(self) -> bytes:
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self._extent())
        generator.setViewBox(QRectF(0, 0, self._extent().width(), self._extent().height()))
        generator.setTitle(self.legend.title)
        painter = QPainter(generator)
        painter.fillRect(QRectF(0, 0, self._extent().width(), self._extent().height()), self.palette().window())
        self._draw_all(painter, vector=True)
        painter.end()
        return bytes(buffer.data())

    def _extent(self) -> QSize:
        right = max(panel.grid.geometry().right() for panel in self.panels)
        bottom = max(panel.grid.geometry().bottom() for panel in self.panels)
        corner = self._corner()
        return QSize(right - corner.x() + 8, bottom - corner.y() + self.legend.height() + 8)

    def _corner(self) -> QPoint:
        return QPoint(
            min(panel.grid.x() for panel in self.panels) - 4, min(panel.grid.y() for panel in self.panels) - 4
        )

    def _draw_all(self, painter: QPainter, vector: bool) -> None:
        corner, extent = self._corner(), self._extent()
        for panel in self.panels:
            painter.save()
            painter.translate(panel.grid.pos() - corner)
            panel.grid.draw(painter, panel.grid.size(), vector)
            painter.restore()
        below = self.legend.height()
        painter.translate(0, extent.height() - below)
        self.legend.draw(painter, QSize(extent.width(), below))

    def _csv(self) -> bytes:
        name, how = self.column.currentData(), self.how.currentData()
        tables = []
        for panel in self.panels:
            if name in panel.results.number_columns():
                tables.append(panel.results.by_well(name, how, panel.time))
            else:
                kinds = panel.results.kinds(name, panel.time) if name in panel.results.frame else {}
                rows = [
                    {"plate": panel.results.name, "well": str(w), "time": panel.time, name: k} for w, k in kinds.items()
                ]
                tables.append(pd.DataFrame(rows))
        sink = io.StringIO()
        pd.concat(tables, ignore_index=True).to_csv(sink, index=False, lineterminator="\n")
        return sink.getvalue().encode("utf-8")
