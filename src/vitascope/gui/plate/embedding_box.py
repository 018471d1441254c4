"""The images of a plate as points that lie near each other where the network sees alike: coloured, clicked, lassoed."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from vitascope.batch.plate.embedding import Embedding, embed_run
from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults
from vitascope.core.errors import VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow, refill
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.common.trust import LOOKS

TRUST, NONE = "trust", ""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#6A6A6A")
MOST_KINDS = len(COLOURS)
ALL = "all images"
CANVAS_PX = 220


class EmbeddingBox(QWidget):  # type: ignore[misc]
    """The embedding of the plate run that is shown."""

    opened = Signal(object, str, object)
    """Results, time and well: the user wants to see it."""

    chosen = Signal(object)
    """The wells that were lassoed, as a set."""

    def __init__(self) -> None:
        super().__init__()
        self._results: PlateResults | None = None
        self._found: Embedding | None = None
        self._lasso: Any = None
        self.words, self.picked = make_note(), make_note()
        self.colour, self.fitted = QComboBox(), QComboBox()
        self.plot = PlotPane(lambda: self.palette().windowText().color().name(), self)
        form = make_form()
        for box in (self.colour, self.fitted):
            narrow(box)
        add_row(form, "Colour", self.colour, "What the colours of the points stand for.")
        add_row(form, "Axes of", self.fitted, "The images that the axes are fitted to; the others are put on them.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addLayout(form)
        for part in (self.words, self.plot, self.picked):
            column.addWidget(part)
        column.addStretch(1)
        self.colour.currentIndexChanged.connect(self._offer)
        self.fitted.currentIndexChanged.connect(self._compute)
        self.set_results(None)

    def set_results(self, results: PlateResults | None) -> None:
        """Show the images of a plate run; None where none is open."""
        self._results = results if results is not None and has_journal(results.folder) else None
        self._found = None
        kinds = [name for name in (self._results.category_columns() if self._results else []) if name != "flags"]
        frame = self._results.frame if self._results is not None else None
        roles = (
            sorted({str(r) for r in frame["role"].dropna() if str(r)}) if frame is not None and "role" in frame else []
        )
        refill(self.colour, [("Trust", TRUST), *((name, name) for name in kinds)])
        refill(self.fitted, [(ALL, NONE), *((f"wells whose role is {role}", role) for role in roles)])
        if self.isVisible():
            self._compute()

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Compute when the tab is looked at."""
        super().showEvent(event)
        if self._found is None:
            self._compute()

    def _compute(self, *_: object) -> None:
        self._found = None
        said = (
            "Run a plate, or open its results: its images stand here, those that the network sees alike side by side."
        )
        if self._results is not None:
            frame, role = self._results.frame, self.fitted.currentData()
            fitted = set(frame[frame["role"] == role]["image"]) if role else None
            try:
                self._found = embed_run(self._results.folder, fitted)
                said = "Click a point to see its image; draw around points to choose their wells."
            except VitascopeError as error:
                said = error.in_dock
        self.words.setText(said)
        self._offer()

    def _offer(self, *_: object) -> None:
        self._lasso = None
        self.picked.setText("")
        self.plot.offer(self._draw if self._found is not None else None)
        self.plot.setVisible(self._found is not None)
        self.plot.draw()
        canvas = self.plot.canvas
        if self._found is None or not hasattr(canvas, "mpl_connect"):
            return
        from matplotlib.widgets import LassoSelector

        canvas.setMinimumHeight(CANVAS_PX)
        canvas.mpl_connect("pick_event", self._picked)
        self._lasso = LassoSelector(canvas.figure.axes[0], self.lasso)

    def _draw(self, figure: Any) -> int:
        assert self._found is not None
        axes, places = figure.subplots(), self._found.places
        groups = self._groups()
        for number, (name, members) in enumerate(groups.items()):
            colour = next((look.colour for look in LOOKS.values() if look.words == name), COLOURS[number % MOST_KINDS])
            at = places[members]
            points = axes.plot(at[:, 0], at[:, 1], "o", color=colour, markersize=5, alpha=0.8, label=name, picker=4)[0]
            points.members = members
        for set_label, words in zip((axes.set_xlabel, axes.set_ylabel), self._found.axes, strict=False):
            set_label(words, fontsize="x-small")
        if len(groups) > 1:
            axes.legend(fontsize="x-small", frameon=False)
        return 1

    def _groups(self) -> dict[str, list[int]]:
        """Return the points of each kind; kinds beyond the colours there are come together."""
        assert self._results is not None
        assert self._found is not None
        frame, column = self._results.frame.drop_duplicates("image"), self.colour.currentData()
        told = dict(zip(frame["image"], frame["well" if column == TRUST else column], strict=True))
        kinds = []
        for image in self._found.images:
            value = told[image]
            if column == TRUST:
                badge = self._results.badges.get(Well.parse(str(value)))
                kinds.append(LOOKS[badge.level].words if badge is not None else LOOKS["unknown"].words)
            else:
                kinds.append(str(value) if value == value and value is not None else "none")
        known = list(dict.fromkeys(kinds))
        if len(known) > MOST_KINDS:
            kept = set(known[: MOST_KINDS - 1])
            kinds = [kind if kind in kept else "others" for kind in kinds]
        return {name: [i for i, kind in enumerate(kinds) if kind == name] for name in dict.fromkeys(kinds)}

    def _picked(self, event: Any) -> None:
        members = getattr(event.artist, "members", ())
        if self._results is None or self._found is None or not members:
            return
        image = self._found.images[members[event.ind[0]]]
        row = self._results.frame[self._results.frame["image"] == image].iloc[0]
        time = str(row["time"]) if len(self._results.times()) > 1 else ""
        self.opened.emit(self._results, time, Well.parse(row["well"]))

    def lasso(self, corners: list[tuple[float, float]]) -> None:
        """Choose the wells whose images lie within a drawn line, given by its corners."""
        if self._results is None or self._found is None or len(corners) < 3:
            return
        from matplotlib.path import Path as Outline

        inside = Outline(np.asarray(corners)).contains_points(self._found.places)
        images = {image for image, one in zip(self._found.images, inside, strict=True) if one}
        frame = self._results.frame
        wells = {Well.parse(well) for well in frame[frame["image"].isin(images)]["well"]}
        if wells:
            self.picked.setText(f"{len(images)} images of {len(wells)} wells: {', '.join(map(str, sorted(wells)))}")
            self.chosen.emit(wells)
