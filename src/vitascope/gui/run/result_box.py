"""The fourth part of every dock: the answer first, then the table, then the plot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QTabWidget, QVBoxLayout, QWidget

from vitascope.core.result import Result, Trust
from vitascope.gui.common.layout import make_note
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.common.plots import PLOTS
from vitascope.gui.common.result_text import flag_sentences, headline, note_sentences, summary_table
from vitascope.gui.run.badge import Badge
from vitascope.tasks.spec import TaskSpec

TABS_HEIGHT_PX, TAB_BAR_PX = 215, 35
GREY = "color: #808080;"
STALE = "Image, model or settings were changed since: this is not their answer. Run again."


class ResultBox(QWidget):  # type: ignore[misc]
    """Shows what a run gave, or why it gave nothing.

    Parameters
    ----------
    spec : TaskSpec
    text_colour : callable
        Gives the colour of the viewer's text, for plots.
    """

    def __init__(self, spec: TaskSpec, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spec = spec
        self._result: Result | None = None
        self._whose = ""
        self.stale = make_note()
        self.stale.setText(STALE)
        self.number, self.detail, self.words = make_note(), make_note(), make_note()
        self.badge = Badge()
        self.number.setTextFormat(Qt.TextFormat.RichText)
        self.tabs, self.table, self.plot = QTabWidget(), QTableWidget(), PlotPane(text_colour)
        self._prepare_table()
        self.tabs.addTab(self.table, "Table")
        self.tabs.addTab(self.plot, "Plot")
        self.tabs.setFixedHeight(TABS_HEIGHT_PX)
        self.tabs.currentChanged.connect(lambda _: self._tab_changed())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.stale, self.number, self.badge, self.detail, self.words, self.tabs):
            layout.addWidget(widget)
        layout.setAlignment(self.badge, Qt.AlignmentFlag.AlignLeft)
        self.clear()

    def _prepare_table(self) -> None:
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setAccessibleName("Numbers of the image")
        self.table.setTabKeyNavigation(False)

    def clear(self) -> None:
        """Show nothing."""
        self._result, self._whose = None, ""
        self.badge.hide()
        self.hide()

    def show_trust(self, trust: Trust | None) -> None:
        """Say beside the number how far to rely on it; None where nothing is known of that."""
        if trust is not None:
            self.badge.show_trust(trust)
        self.badge.setVisible(trust is not None)

    def set_live(self, live: bool) -> None:
        """Grey the answer where it is not that of what stands above it."""
        self.stale.setVisible(not live and self._result is not None)
        for label in (self.number, self.detail, self.words):
            label.setStyleSheet("" if live else GREY)
        for part in (self.badge, self.tabs):
            part.setEnabled(live)

    def show_result(self, result: Result, whose: str = "") -> None:
        """Show the answer, whose it is (image and model), what to mind, the table and the plot."""
        self._result, self._whose = result, whose or self._whose
        head = headline(self._spec, result)
        self.number.setText(
            f'<span style="font-size:22pt; font-weight:600">{head.number}</span>'
            f'<span style="font-size:12pt"> {head.unit}</span>'
            + (f'<br><span style="font-size:10pt">{_escape(self._whose)}</span>' if self._whose else "")
        )
        self.set_live(True)
        self.detail.setText(head.detail)
        self.detail.setVisible(bool(head.detail))
        sentences = flag_sentences(result)
        self.words.setText("\n".join(f"⚠ {sentence}" for sentence in sentences))
        self.words.setVisible(bool(sentences))
        for part in (self.number, self.detail):
            part.setToolTip("\n".join(note_sentences(result)))
        self._fill(result)
        self.plot.offer(lambda figure: PLOTS[self._spec.plot](figure, result))
        self.tabs.setTabVisible(1, self._spec.plot in PLOTS)
        self.tabs.setVisible(self.table.rowCount() > 0 or self._spec.plot in PLOTS)
        self._tab_changed()
        self.show()

    def clear_problem(self) -> None:
        """Forget why there was no answer; an answer stays."""
        if self._result is None:
            self.hide()

    def show_problem(self, message: str, hint: str) -> None:
        """Show why there is no answer, and what to do."""
        self._result, self._whose = None, ""
        for part in (self.number, self.detail):
            part.setToolTip("")
        self.set_live(True)
        self.number.setText(f'<span style="font-weight:600">{_escape(message)}</span>')
        self.detail.setText(hint)
        self.detail.setVisible(bool(hint))
        self.badge.hide()
        self.words.hide()
        self.tabs.hide()
        self.show()

    def _fill(self, result: Result) -> None:
        header, cells = summary_table(result, self._spec)
        self.table.setColumnCount(len(header))
        self.table.setHorizontalHeaderLabels(header)
        self.table.setRowCount(len(cells))
        for i, row in enumerate(cells):
            for j, text in enumerate(row):
                item = QTableWidgetItem(text)
                item.setToolTip(text)  # a narrow column shortens it
                if j:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, j, item)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    @property
    def canvas(self) -> Any:
        """What the plot is drawn on; None before it was looked at."""
        return self.plot.canvas

    def _tab_changed(self) -> None:
        shown = self._result is not None and self.tabs.currentWidget() is self.plot
        if shown:
            self.plot.draw()
        self.tabs.setFixedHeight(max(TABS_HEIGHT_PX, self.plot.height_px() + TAB_BAR_PX) if shown else TABS_HEIGHT_PX)

    def redraw(self) -> None:
        """Draw again, as after a change of theme."""
        self.plot.forget()
        self._tab_changed()


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
