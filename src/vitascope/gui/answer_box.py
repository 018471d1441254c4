"""The fourth part of every dock: the answer first, then the table, then the plot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QTabWidget, QVBoxLayout, QWidget

from vitascope.core.result import Result
from vitascope.gui.parts import make_note
from vitascope.gui.plots import PLOTS
from vitascope.gui.wording import flag_sentences, headline, summary_table
from vitascope.tasks.spec import TaskSpec

TABS_HEIGHT_PX, TAB_BAR_PX = 215, 35
PLOT_ROW_PX = 150


class AnswerBox(QWidget):  # type: ignore[misc]
    """Shows what a run gave, or why it gave nothing.

    Parameters
    ----------
    spec : TaskSpec
    text_colour : callable
        Gives the colour of the viewer's text, for plots.
    """

    def __init__(self, spec: TaskSpec, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spec, self._text_colour = spec, text_colour
        self._result: Result | None = None
        self.number, self.detail, self.words = make_note(), make_note(), make_note()
        self.number.setTextFormat(Qt.TextFormat.RichText)
        self.tabs, self.table, self.plot = QTabWidget(), QTableWidget(), QWidget()
        self._prepare_table()
        QVBoxLayout(self.plot).setContentsMargins(0, 0, 0, 0)
        self.canvas: Any = None
        self.tabs.addTab(self.table, "Table")
        self.tabs.addTab(self.plot, "Plot")
        self.tabs.setFixedHeight(TABS_HEIGHT_PX)
        self.tabs.currentChanged.connect(lambda _: self._tab_changed())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.number, self.detail, self.words, self.tabs):
            layout.addWidget(widget)
        self.clear()

    def _prepare_table(self) -> None:
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setAccessibleName("Numbers of the image")
        self.table.setTabKeyNavigation(False)

    def clear(self) -> None:
        """Show nothing."""
        self._result = None
        self.hide()

    def show_result(self, result: Result) -> None:
        """Show the answer, what to mind, the table and the plot."""
        self._result = result
        head = headline(self._spec, result)
        self.number.setText(
            f'<span style="font-size:22pt; font-weight:600">{head.number}</span>'
            f'<span style="font-size:12pt"> {head.unit}</span>'
        )
        self.detail.setText(head.detail)
        self.detail.setVisible(bool(head.detail))
        sentences = flag_sentences(result)
        self.words.setText("\n".join(f"⚠ {sentence}" for sentence in sentences))
        self.words.setVisible(bool(sentences))
        self._fill(result)
        self._forget_plot()
        self.tabs.setTabVisible(1, self._spec.name in PLOTS)
        self.tabs.show()
        self._tab_changed()
        self.show()

    def clear_problem(self) -> None:
        """Forget why there was no answer; an answer stays."""
        if self._result is None:
            self.hide()

    def show_problem(self, message: str, hint: str) -> None:
        """Show why there is no answer, and what to do."""
        self._result = None
        self.number.setText(f'<span style="font-weight:600">{_escape(message)}</span>')
        self.detail.setText(hint)
        self.detail.setVisible(bool(hint))
        self.words.hide()
        self.tabs.hide()
        self.show()

    def _fill(self, result: Result) -> None:
        header, cells = summary_table(result)
        self.table.setColumnCount(len(header))
        self.table.setHorizontalHeaderLabels(header)
        self.table.setRowCount(len(cells))
        for i, row in enumerate(cells):
            for j, text in enumerate(row):
                item = QTableWidgetItem(text)
                if j:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(i, j, item)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def _forget_plot(self) -> None:
        if self.canvas is not None:
            self.plot.layout().removeWidget(self.canvas)
            self.canvas.deleteLater()
            self.canvas = None

    def _tab_changed(self) -> None:
        self._draw()
        wanted = TABS_HEIGHT_PX
        if self.tabs.currentWidget() is self.plot and self.canvas is not None:
            wanted = max(wanted, self.canvas.minimumHeight() + TAB_BAR_PX)
        self.tabs.setFixedHeight(wanted)

    def _draw(self) -> None:
        """Draw the plot when it is looked at for the first time."""
        if self._result is None or self.tabs.currentWidget() is not self.plot or self.canvas is not None:
            return
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg  # half a second that most docks never need
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained", facecolor="none")
        rows = PLOTS[self._spec.name](figure, self._result)
        if rows:
            _match_theme(figure, self._text_colour())
            self.canvas = FigureCanvasQTAgg(figure)
            self.canvas.setMinimumHeight(rows * PLOT_ROW_PX)
            self.canvas.setStyleSheet("background: transparent")
        else:
            self.canvas = QLabel("There is nothing to draw.")
        self.plot.layout().addWidget(self.canvas)

    def redraw(self) -> None:
        """Draw again, as after a change of theme."""
        self._forget_plot()
        self._tab_changed()


def _match_theme(figure: Any, text_colour: str) -> None:
    """Draw all text and lines in the colour of the viewer's text, on its background."""
    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=text_colour, labelsize="small")
        for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
            part.set_color(text_colour)
        for spine in axes.spines.values():
            spine.set_color(text_colour)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
