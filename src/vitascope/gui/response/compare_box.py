"""Two treatments compared, and all IC50s as a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from vitascope.batch.response.figures import shorten
from vitascope.batch.response.views import CurveView, amount_text, to_unit
from vitascope.core.errors import VitascopeError
from vitascope.gui.common.layout import make_note, narrow
from vitascope.gui.response.plots import Canvas, Colour
from vitascope.stats.response.compare import block_ratio, ic50_ratio

BLOCKS = ("plate", "day", "time")
TOLD_ROWS, TOLD_COLUMNS = 60, 4
"""Most rows and columns of a heat map whose cells have room for words."""
MOST_TICKS = 6
LIGHT = 0.6
"""Share of the colour map from which on its colours are light."""


class CompareBox(QWidget):  # type: ignore[misc]
    """Ratio of the IC50s of two treatments, over plates and days where there are several; a heat map of all."""

    def __init__(self, text_colour: Colour) -> None:
        super().__init__()
        self._views: Sequence[CurveView] = ()
        self.first, self.second, self.said = QComboBox(), QComboBox(), make_note()
        self.heat = Canvas(text_colour)
        row = QHBoxLayout()
        for box, name in ((self.first, "First treatment"), (self.second, "Second treatment")):
            narrow(box)
            box.setAccessibleName(name)
            box.currentIndexChanged.connect(self._compare)
            row.addWidget(box, 1)
        row.insertWidget(1, QLabel("against"))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(row)
        column.addWidget(self.said)
        column.addWidget(self.heat, 1)

    def show_views(self, views: Sequence[CurveView]) -> None:
        """Offer the treatments of some curves."""
        self._views = views
        names = list(dict.fromkeys(str(view.row.get("treatment", "")) for view in views))
        for box, at in ((self.first, 0), (self.second, 1)):
            kept = box.currentText()
            box.blockSignals(True)
            box.clear()
            box.addItems(names)
            box.setCurrentIndex(max(0, names.index(kept) if kept in names else min(at, len(names) - 1)))
            box.blockSignals(False)
        self._compare()
        self._draw()

    def _compare(self) -> None:
        a, b = self.first.currentText(), self.second.currentText()
        if not a or a == b:
            self.said.setText("Choose two treatments to compare their IC50s.")
            return
        self.said.setText(compared(self._views, a, b))

    def _draw(self) -> None:
        if not self._views:
            self.heat.clear()
            return
        table = heat_table(self._views)
        self.heat.draw(
            lambda figure: draw_heat(figure, table, self._views, self.heat.text_colour()),
            max(160, 18 * len(table) + 80),
        )


def compared(views: Sequence[CurveView], a: str, b: str) -> str:
    """Say how many times the IC50 of a is that of b."""
    parts = {name: [view for view in views if str(view.row.get("treatment", "")) == name] for name in (a, b)}
    blocks = [name for name in BLOCKS if name in (views[0].by if views else ())]
    try:
        if min(len(part) for part in parts.values()) > 1 and blocks:
            curves = pd.DataFrame([view.row for part in parts.values() for view in part])
            found = block_ratio(curves, a, b, block=blocks)
            over = f" over {found['blocks']} plates or days"
        else:
            without = next((name for name in (a, b) if parts[name][0].row["relation"] != "="), None)
            if without is not None:
                return f"{without}: {parts[without][0].answer}, so there is no ratio."
            found = ic50_ratio(parts[a][0].fit, parts[b][0].fit)
            over = " on one plate; wells are the units"
    except VitascopeError as error:
        return error.in_dock
    if not math.isfinite(found["ratio"]):
        return str(found["reason"])
    ends = f" ({amount_text(found['low'])} to {amount_text(found['high'])})" if math.isfinite(found["low"]) else ""
    p = f", p = {found['p']:.2g}" if math.isfinite(found["p"]) else ""
    return (
        f"The IC50 of {a} is {amount_text(found['ratio'])} times{ends} that of {b}{over}{p}. {found['reason']}".strip()
    )


def heat_table(views: Sequence[CurveView]) -> pd.DataFrame:
    """Log10 of the IC50 by treatment, and by plate and day, in the unit of the first; empty where it is no number."""
    unit = str(views[0].row.get("ic50_unit") or "")
    rows = [
        {
            "treatment": str(view.row.get("treatment", "")),
            "block": " ".join(str(view.row[name]) for name in view.by if name != "treatment"),
            "log": math.log10(view.row["ic50"] * to_unit(view, unit))
            if view.row["relation"] == "=" and view.row["ic50"] > 0
            else math.nan,
        }
        for view in views
    ]
    return pd.DataFrame(rows).pivot_table(index="treatment", columns="block", values="log", sort=False, dropna=False)


def _words(table: pd.DataFrame, views: Sequence[CurveView]) -> dict[tuple[int, int], str]:
    """What stands in each cell: the IC50, a bound, or why there is none; by row and column."""
    found = {}
    rows, columns = ({str(name): at for at, name in enumerate(axis)} for axis in (table.index, table.columns))
    values = table.to_numpy(float)
    for view in views:
        block = " ".join(str(view.row[name]) for name in view.by if name != "treatment")
        at = rows[str(view.row.get("treatment", ""))], columns[block]
        empty = math.isnan(values[at])
        answer = view.answer.removeprefix("IC50 ").removesuffix(": no IC50")
        found[at] = answer if empty else amount_text(10 ** values[at])
    return found


def dose_ticks(low: float, high: float) -> list[float]:
    """Numbers for an axis of log10 amounts: 1, 2 and 5 times powers of ten, or powers alone where these are many.

    Examples
    --------
    >>> [round(10**tick, 3) for tick in dose_ticks(-0.3, 0.51)]
    [1.0, 2.0]
    >>> [round(10**tick, 3) for tick in dose_ticks(-2, 2)]
    [0.01, 0.1, 1.0, 10.0, 100.0]
    """
    powers = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1, 2, 5), (1,)):
        ticks = [power + math.log10(step) for power in powers for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= MOST_TICKS:
            break
    return inside


def draw_heat(figure: Any, table: pd.DataFrame, views: Sequence[CurveView], colour: str = "black") -> None:
    """Draw IC50s in viridis, dark for potent, with their numbers where there is room; what has none says why."""
    axes = figure.subplots()
    values = np.ma.masked_invalid(table.to_numpy(float))
    shown = axes.imshow(values, aspect="auto", cmap="viridis")
    axes.set_xticks(range(table.shape[1]), [shorten(str(name), 16) for name in table.columns], rotation=30, ha="right")
    axes.set_yticks(range(table.shape[0]), [shorten(str(name), 24) for name in table.index])
    unit = str(views[0].row.get("ic50_unit") or "no unit told")
    bar = figure.colorbar(shown, ax=axes)
    if values.count():
        ticks = dose_ticks(float(values.min()), float(values.max()))
        bar.set_ticks(ticks if len(ticks) > 1 else [float(values.min()), float(values.max())])
        bar.ax.minorticks_off()
    bar.ax.yaxis.set_major_formatter(lambda value, _: amount_text(10**value))
    bar.set_label(f"IC50 ({unit})")
    if table.shape[0] <= TOLD_ROWS and table.shape[1] <= TOLD_COLUMNS:
        for (row, column), words in _words(table, views).items():
            empty = np.ma.is_masked(values[row, column])
            on = "black" if not empty and shown.norm(float(values[row, column])) >= LIGHT else "white"
            shade = colour if empty else on
            axes.text(column, row, words, ha="center", va="center", fontsize=8, color=shade)
