"""The images of a plate as points that lie near each other where the network sees alike: coloured, clicked, lassoed."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from vitascope.batch.plate.embedding import Embedding, clusters_in_words, embed_run
from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults
from vitascope.core.errors import VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow, refill
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.common.runner import Launch
from vitascope.gui.common.trust import LOOKS
from vitascope.stats.embedding.density import density_lines
from vitascope.stats.embedding.layout import METHODS, Method, is_installed

TRUST, NONE, CLUSTERS = "trust", "", "clusters"
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

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch, self._asked = launch, 0
        self._results: PlateResults | None = None
        self._found: Embedding | None = None
        self._clusters: list[str] = []
        self._lasso: Any = None
        self.words, self.picked = make_note(), make_note()
        self.colour, self.fitted, self.picture = QComboBox(), QComboBox(), QComboBox()
        self.dense = QCheckBox("Lines where points crowd")
        self.dense.setToolTip("A fifth, half and nine tenths of the points of each colour lie within its lines.")
        self.plot = PlotPane(lambda: self.palette().windowText().color().name(), self)
        form = make_form()
        for box in (self.colour, self.fitted, self.picture):
            narrow(box)
        refill(
            self.picture,
            [(name[0].upper() + name[1:], method) for method, name in METHODS.items() if is_installed(method)],
        )
        add_row(form, "Picture", self.picture, _tip())
        add_row(form, "Colour", self.colour, "What the colours of the points stand for.")
        add_row(form, "Axes of", self.fitted, "The images that the axes are fitted to; the others are put on them.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        form.addRow("", self.dense)
        column.addLayout(form)
        for part in (self.words, self.plot, self.picked):
            column.addWidget(part)
        column.addStretch(1)
        self.colour.currentIndexChanged.connect(self._offer)
        self.fitted.currentIndexChanged.connect(self._compute)
        self.picture.currentIndexChanged.connect(self._compute)
        self.dense.toggled.connect(self._offer)
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
        found = [("Clusters", CLUSTERS)] if is_installed("umap") else []
        refill(self.colour, [("Trust", TRUST), *((name, name) for name in kinds), *found])
        refill(self.fitted, [(ALL, NONE), *((f"wells whose role is {role}", role) for role in roles)])
        if self.isVisible():
            self._compute()

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Compute when the tab is looked at."""
        super().showEvent(event)
        if self._found is None:
            self._compute()

    def _compute(self, *_: object) -> None:
        self._found, self._clusters, results = None, [], self._results
        self._asked += 1
        if results is None:
            self.words.setText(
                "Run a plate, or open its results: its images stand here, those that the network sees alike side by "
                "side."
            )
            self._offer()
            return
        asked, role = self._asked, self.fitted.currentData()
        method: Method = self.picture.currentData() or "pca"
        frame = results.frame
        fitted = set(frame[frame["role"] == role]["image"]) if role else None
        self.words.setText("Computing …" if method == "pca" else "Computing; the first time takes a minute …")
        self._offer()

        def work() -> Embedding | str:
            try:
                return embed_run(results.folder, fitted, method)
            except VitascopeError as error:
                return error.in_dock

        self._launch(work, lambda found: self._computed(asked, found))

    def _computed(self, asked: int, found: Embedding | str) -> None:
        """Show what was computed, unless something else was asked for meanwhile."""
        if asked != self._asked:
            return
        self._found = None if isinstance(found, str) else found
        self.words.setText(
            found if isinstance(found, str) else "Click a point to see its image; draw around points to choose wells."
        )
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
            lines = density_lines(at, places) if self.dense.isChecked() else None
            if lines is not None:
                axes.contour(*lines[:3], levels=lines[3], colors=[colour], linewidths=0.8)
        for set_label, words in zip((axes.set_xlabel, axes.set_ylabel), self._found.axes, strict=False):
            # the upright one has less room
            set_label(words.replace("; ", "\n") if set_label == axes.set_ylabel else words, fontsize="x-small")
        if len(groups) > 1:
            axes.legend(fontsize="x-small", frameon=False)
        return 1

    def _groups(self) -> dict[str, list[int]]:
        """Return the points of each kind; kinds beyond the colours there are come together."""
        assert self._results is not None
        assert self._found is not None
        frame, column = self._results.frame.drop_duplicates("image"), self.colour.currentData()
        if column == CLUSTERS:
            return self._grouped(self._clustered())
        told = dict(zip(frame["image"], frame["well" if column == TRUST else column], strict=True))
        kinds = []
        for image in self._found.images:
            value = told[image]
            if column == TRUST:
                badge = self._results.badges.get(Well.parse(str(value)))
                kinds.append(LOOKS[badge.level].words if badge is not None else LOOKS["unknown"].words)
            else:
                kinds.append(str(value) if value == value and value is not None else "none")
        return self._grouped(kinds)

    def _clustered(self) -> list[str]:
        """Return the cluster of each image, found once for each picture; the sentence, where there can be none."""
        assert self._found is not None
        if not self._clusters:
            try:
                self._clusters = clusters_in_words(self._found)
            except VitascopeError as error:
                self._clusters = [error.message] * len(self._found.images)
        return self._clusters

    def _grouped(self, kinds: list[str]) -> dict[str, list[int]]:
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


def _tip() -> str:
    missing = [name for method, name in METHODS.items() if not is_installed(method)]
    tip = "How many features become two numbers. UMAP and PaCMAP keep neighbours together; distances say little."
    return f"{tip} {' and '.join(missing)}: pip install 'vitascope[embedding]'." if missing else tip
