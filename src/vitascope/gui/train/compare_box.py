"""Two models on the same held-out data: table, scatter, and where the pictures differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.formatting import interval_texts, number_text
from vitascope.core.progress import ProgressGenerator
from vitascope.core.training_params import Preview
from vitascope.gui.common.layout import add_row, make_form, narrow, refill
from vitascope.gui.train.measured_on import MeasuredOn
from vitascope.gui.train.train_plots import FIGURE, START, FigureBox, brightest_square, plain_axes
from vitascope.io.models.cards import find_cards
from vitascope.recipes.recipe import read_recipe
from vitascope.tasks.comparison import Comparison
from vitascope.tasks.late_modules import load_comparison

MOST_POINTS = 20_000
COLUMNS = ("Figure", "First", "Second", "Difference", "n")


class CompareBox(QWidget):  # type: ignore[misc]
    """Chooses two models and what they are measured on, and shows how they differ.

    Parameters
    ----------
    text_colour : callable
        Gives the colour of text.
    """

    asked = Signal(str, object)

    def __init__(self, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text_colour = text_colour
        self.first, self.second, self.on = QComboBox(), QComboBox(), MeasuredOn()
        self.compare_button = QPushButton("Compare")
        self.compare_button.setToolTip("Measures both models on the same images, and tells whether they differ.")
        self.table, self.figure = QTableWidget(0, len(COLUMNS)), FigureBox(360)
        self._lay_out()
        self.on.changed.connect(lambda: self.compare_button.setEnabled(self.on.choice.count() > 0))
        self.compare_button.clicked.connect(self.compare)
        self.reload()

    def _lay_out(self) -> None:
        form = make_form()
        for box in (self.first, self.second):
            narrow(box)
        add_row(form, "First", self.first, "The model that the other is compared with.")
        add_row(form, "Second", self.second, "The other model.")
        told = "The test part of a training's data; neither model may have seen it."
        add_row(form, "Measured on", self.on, told, self.on.choice)
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setAccessibleName("Figures of both models")
        self.table.setMaximumHeight(150)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(form)
        for part in (self.compare_button, self.table, self.figure):
            column.addWidget(part)
        column.addStretch(1)

    def reload(self) -> None:
        """Look for models and trainings again."""
        models = [(model, model) for model in find_cards()]
        for box in (self.first, self.second):
            refill(box, models)
        self.on.reload()

    def compare(self) -> None:
        """Measure both."""
        first, second, path = self.first.currentData(), self.second.currentData(), self.on.path()
        if path is None:
            return

        def steps() -> ProgressGenerator[Comparison]:
            return (yield from load_comparison().compare(first, second, read_recipe(path), path.parent))

        self.asked.emit(f"Comparing {first} and {second}", steps)

    def show_comparison(self, found: Comparison) -> None:
        """Show what came out."""
        self.table.setRowCount(len(found.table))
        for row, figure in enumerate(found.table.to_dict("records")):
            texts = (
                figure["figure"],
                _with_interval(figure, "first"),
                _with_interval(figure, "second"),
                f"{'+' if figure['difference'] > 0 else ''}{number_text(figure['difference'])}",
                str(figure["n"]),
            )
            for column, text in enumerate(texts):
                self.table.setItem(row, column, QTableWidgetItem(text))
        if found.pictures:
            first, second = found.pictures[0]
            names = (found.first, found.second)
            draw_comparison(self.figure.fresh(), first, second, names, self._text_colour())
            self.figure.draw()


def _with_interval(figure: Mapping[Any, Any], which: str) -> str:
    low, high = figure[f"{which}_low"], figure[f"{which}_high"]
    if not math.isfinite(low):
        return number_text(figure[which])
    value, *ends = interval_texts(figure[which], low, high)
    return f"{value} ({ends[0]} to {ends[1]})"


def draw_comparison(
    figure: Any, first: Preview, second: Preview, names: tuple[str, str], colour: str = "black"
) -> None:
    """Draw predicted against real of both models, and for pictures both predictions and their difference."""
    pictures = first.truth.ndim == 2
    above, below = figure.subfigures(2, 1) if pictures else (figure, None)
    axes = above.subplots()
    rng = np.random.default_rng(0)
    known = np.flatnonzero(np.isfinite(first.truth))
    drawn = rng.choice(known, MOST_POINTS, replace=False) if len(known) > MOST_POINTS else known
    size = 1 if pictures else 4
    for preview, name, tint in ((first, names[0], START), (second, names[1], FIGURE)):
        real, predicted = preview.truth.ravel()[drawn], preview.predicted.ravel()[drawn]
        axes.plot(real, predicted, "o", markersize=size, alpha=0.3 if pictures else 0.8, color=tint, label=name)
    ends = [float(np.nanmin(first.truth)), float(np.nanmax(first.truth))]
    axes.plot(ends, ends, color=colour, linewidth=0.8)
    axes.set_xlabel(f"real {first.name}", fontsize="x-small", color=colour)
    axes.set_ylabel("predicted", fontsize="x-small", color=colour)
    axes.legend(fontsize="x-small", frameon=False, labelcolor=colour, markerscale=4 / size)
    plain_axes(axes, colour)
    if below is not None:
        _draw_pictures(below, first, second, names, colour)


def _draw_pictures(figure: Any, first: Preview, second: Preview, names: tuple[str, str], colour: str) -> None:
    window = brightest_square(first.truth)
    high = float(np.nanpercentile(first.truth, 99.8))
    amount: dict[str, Any] = {"cmap": "magma", "vmin": 0, "vmax": high}
    signed: dict[str, Any] = {"cmap": "PuOr", "vmin": -high / 2, "vmax": high / 2}
    shown = (
        (f"real {first.name}", first.truth, amount),
        (names[0], first.predicted, amount),
        (names[1], second.predicted, amount),
        ("difference", second.predicted - first.predicted, signed),
    )
    for axes, (title, picture, how) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        axes.imshow(picture[window], **how)
        axes.set_title(title, fontsize="x-small", color=colour)
        axes.set_axis_off()
