"""The images of plates as points that lie near each other where the network sees alike: coloured, clicked, lassoed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from vitascope.batch.plate.embedding import Embedding, clusters_in_words, days_taken, embed_runs
from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults
from vitascope.core.errors import VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow, refill, scrolling
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.common.runner import Launch
from vitascope.gui.common.trust import LOOKS
from vitascope.gui.plate.picked_images import PickedImage, PickedImages
from vitascope.stats.embedding.density import density_lines
from vitascope.stats.embedding.layout import METHODS, Method, is_installed

TRUST, NONE, CLUSTERS, PLATE, WELL, COLUMN, DAY = "trust", "", "clusters", "plate", "well", "column", "day"
IN_ORDER = (WELL, COLUMN, DAY)
"""Kinds that have an order: where they are more than the colours, they are shaded from one end to the other."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#6A6A6A")
MOST_KINDS = len(COLOURS)
ALL = "all images"
NO_DAY, READING = "day not told", "reading days …"
CANVAS_PX = 240
WELLS_NAMED = 12


class EmbeddingBox(QWidget):  # type: ignore[misc]
    """The embedding of the plate runs that are shown."""

    opened = Signal(object, str, object)
    """Results, time and well: the user wants to see it."""

    chosen = Signal(object)
    """The wells that were lassoed: a set for each results folder."""

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch, self._asked = launch, 0
        self._results: list[PlateResults] = []
        self._found: Embedding | None = None
        self._clusters: list[str] = []
        self._days: dict[Path, dict[str, str]] = {}
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
        inside = QWidget()
        self._area = scrolling(inside)
        QVBoxLayout(self).addWidget(self._area)
        self.layout().setContentsMargins(0, 0, 0, 0)
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 4, 0, 0)
        form.addRow("", self.dense)
        column.addLayout(form)
        self.strip = PickedImages(launch)
        for part in (self.words, self.plot, self.picked, self.strip):
            column.addWidget(part)
        column.addStretch(1)
        self.strip.opened.connect(self._open)
        self.colour.currentIndexChanged.connect(self._recolour)
        self.fitted.currentIndexChanged.connect(self._compute)
        self.picture.currentIndexChanged.connect(self._compute)
        self.dense.toggled.connect(self._offer)
        self.set_results(())

    def set_results(self, results: Sequence[PlateResults]) -> None:
        """Show the images of plate runs; empty where none is open."""
        self._results = [one for one in results if has_journal(one.folder)]
        self._found = None
        kinds = dict.fromkeys(name for one in self._results for name in one.category_columns() if name != "flags")
        roles = {
            str(role) for one in self._results if "role" in one.frame for role in one.frame["role"].dropna() if role
        }
        places = [("Well", WELL), ("Column of the plate", COLUMN), ("Plate", PLATE), ("Day", DAY)]
        found = [("Clusters", CLUSTERS)] if is_installed("umap") else []
        refill(self.colour, [("Trust", TRUST), *((name, name) for name in kinds), *places, *found])
        refill(self.fitted, [(ALL, NONE), *((f"wells whose role is {role}", role) for role in sorted(map(str, roles)))])
        if self.isVisible():
            self._compute()

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Compute when the tab is looked at."""
        super().showEvent(event)
        if self._found is None:
            self._compute()

    def _compute(self, *_: object) -> None:
        self._found, self._clusters, results = None, [], list(self._results)
        self._asked += 1
        if not results:
            self.words.setText(
                "Run a plate, or open its results: its images stand here, those that the network sees alike side by "
                "side."
            )
            self._offer()
            return
        asked, role = self._asked, self.fitted.currentData()
        method: Method = self.picture.currentData() or "pca"
        fitted = [_with_role(one, role) for one in results] if role else None
        self.words.setText("Computing …" if method == "pca" else "Computing; the first time takes a minute …")
        self._offer()

        def work() -> Embedding | str:
            try:
                return embed_runs([one.folder for one in results], fitted, method)
            except VitascopeError as error:
                return error.in_dock

        self._launch(work, lambda found: self._computed(asked, found))

    def _computed(self, asked: int, found: Embedding | str) -> None:
        """Show what was computed, unless something else was asked for meanwhile."""
        if asked != self._asked:
            return
        self._found = None if isinstance(found, str) else found
        if isinstance(found, str):
            self.words.setText(found)
        else:
            out = ", ".join(self._results[k].name for k in found.left_out)
            self.words.setText(
                "Click a point to see its image; draw around points to list their images and choose their wells."
                + (f" Left out, since another network ran on it: {out}." if out else "")
            )
        self._recolour()

    def _offer(self, *_: object) -> None:
        self._lasso = None
        self.picked.setText("")
        self.strip.show_images(())
        self.plot.offer(self._draw if self._found is not None else None)
        self.plot.setVisible(self._found is not None)
        self.plot.draw()
        canvas = self.plot.canvas
        if self._found is None or not hasattr(canvas, "mpl_connect"):
            return
        from matplotlib.widgets import LassoSelector

        canvas.setFixedHeight(CANVAS_PX)
        canvas.mpl_connect("pick_event", self._picked)
        self._lasso = LassoSelector(canvas.figure.axes[0], self.lasso)

    def _draw(self, figure: Any) -> int:
        assert self._found is not None
        axes, places = figure.subplots(), self._found.places
        groups = self._groups()
        colours = self._colours(list(groups))
        for name, members in groups.items():
            at = places[members]
            points = axes.plot(
                at[:, 0], at[:, 1], "o", color=colours[name], markersize=5, alpha=0.8, label=name, picker=4
            )[0]
            points.members = members
            lines = density_lines(at, places) if self.dense.isChecked() else None
            if lines is not None:
                axes.contour(*lines[:3], levels=lines[3], colors=[colours[name]], linewidths=0.8)
        for set_label, words in zip((axes.set_xlabel, axes.set_ylabel), self._found.axes, strict=False):
            # the upright one has less room
            set_label(words.replace("; ", "\n") if set_label == axes.set_ylabel else words, fontsize="x-small")
        if len(groups) > 1:
            # of many shades a few are named, the first and the last among them
            handles = axes.get_legend_handles_labels()[0]
            named = np.unique(np.linspace(0, len(handles) - 1, min(MOST_KINDS, len(handles))).round().astype(int))
            axes.legend(handles=[handles[k] for k in named], fontsize="x-small", frameon=False)
        return 1

    def _colours(self, kinds: list[str]) -> dict[str, Any]:
        """Return the colour of each kind: that of its level of trust, one of few, or a shade of many in order."""
        trust = {look.words: look.colour for look in LOOKS.values()}
        if len(kinds) <= MOST_KINDS:
            return {name: trust.get(name, colour) for name, colour in zip(kinds, COLOURS, strict=False)}
        from matplotlib import colormaps

        return dict(zip(kinds, colormaps["viridis"](np.linspace(0, 1, len(kinds))), strict=True))

    def _groups(self) -> dict[str, list[int]]:
        """Return the points of each kind; kinds without an order, beyond the colours there are, come together."""
        column = self.colour.currentData()
        kinds = self._clustered() if column == CLUSTERS else self._kinds(column)
        names = list(dict.fromkeys(kinds))
        if column == WELL:
            names.sort(key=Well.parse)
        elif column in IN_ORDER:
            names.sort()
        if len(names) > MOST_KINDS and column not in IN_ORDER:
            kept = set(names[: MOST_KINDS - 1])
            kinds = [kind if kind in kept else "others" for kind in kinds]
            names = list(dict.fromkeys(kinds))
        return {name: [i for i, kind in enumerate(kinds) if kind == name] for name in names}

    def _kinds(self, column: str) -> list[str]:
        """Return what each image is, by a column of the results, its place, its plate or its day."""
        assert self._found is not None
        found = []
        rows = [one.frame.drop_duplicates("image").set_index("image") for one in self._results]
        for k, image in zip(self._found.runs, self._found.images, strict=True):
            results, well = self._results[k], Well.parse(str(rows[k].at[image, "well"]))
            if column == TRUST:
                badge = results.badges.get(well)
                found.append(LOOKS[badge.level if badge is not None else "unknown"].words)
            elif column in (WELL, COLUMN):
                found.append(str(well) if column == WELL else f"column {well.column + 1:02}")
            elif column == PLATE:
                found.append(self._plate_name(k))
            elif column == DAY:
                days = self._days.get(results.folder)
                found.append(READING if days is None else days.get(image) or NO_DAY)
            else:
                value: Any = rows[k].at[image, column] if column in rows[k] else None
                found.append("none" if pd.isna(value) else str(value))
        return found

    def _plate_name(self, k: int) -> str:
        name, folder = self._results[k].name, self._results[k].folder.name
        return f"{name} ({folder})" if sum(one.name == name for one in self._results) > 1 else name

    def _recolour(self, *_: object) -> None:
        """Draw in other colours; days are read from the files first."""
        unknown = [one for one in self._results if one.folder not in self._days]
        if self.colour.currentData() == DAY and unknown and self._found is not None:

            def then(found: list[dict[str, str]]) -> None:
                self._days.update(zip((one.folder for one in unknown), found, strict=True))
                if self.colour.currentData() == DAY:
                    self._offer()

            self._launch(lambda: [_days_of(one) for one in unknown], then)
        self._offer()

    def _clustered(self) -> list[str]:
        """Return the cluster of each image, found once for each picture; the sentence, where there can be none."""
        assert self._found is not None
        if not self._clusters:
            try:
                self._clusters = clusters_in_words(self._found)
            except VitascopeError as error:
                self._clusters = [error.message] * len(self._found.images)
        return self._clusters

    def _picked(self, event: Any) -> None:
        members = getattr(event.artist, "members", ())
        if self._found is not None and members:
            self._open(self._image(members[event.ind[0]]))

    def _image(self, number: int) -> PickedImage:
        assert self._found is not None
        results, image = self._results[self._found.runs[number]], self._found.images[number]
        row = results.frame[results.frame["image"] == image].iloc[0]
        time = str(row["time"]) if len(results.times()) > 1 else ""
        return PickedImage(results, image, time, Well.parse(row["well"]))

    def _open(self, one: PickedImage) -> None:
        self.opened.emit(one.results, one.time, one.well)

    def lasso(self, corners: list[tuple[float, float]]) -> None:
        """List the images within a drawn line, given by its corners, and choose their wells."""
        if self._found is None or len(corners) < 3:
            return
        from matplotlib.path import Path as Outline

        inside = Outline(np.asarray(corners)).contains_points(self._found.places)
        images = [self._image(number) for number in np.flatnonzero(inside).tolist()]
        if not images:
            return
        wells: dict[Path, set[Well]] = {}
        for one in images:
            wells.setdefault(one.results.folder, set()).add(one.well)
        count = sum(map(len, wells.values()))
        names = [str(well) for folder in wells for well in sorted(wells[folder])]
        more = f" and {count - WELLS_NAMED} more" if count > WELLS_NAMED else ""
        self.picked.setText(f"{len(images)} images of {count} wells: {', '.join(names[:WELLS_NAMED])}{more}")
        self.strip.show_images(images)
        QTimer.singleShot(0, self._reveal)
        self.chosen.emit(wells)

    def _reveal(self) -> None:
        """Bring the list of images into view, as soon as it has its place."""
        self._area.ensureWidgetVisible(self.strip)


def _with_role(results: PlateResults, role: str) -> set[str]:
    frame = results.frame
    return set(frame[frame["role"] == role]["image"]) if "role" in frame else set()


def _days_of(results: PlateResults) -> dict[str, str]:
    """Return the day of each image of a run; empty where its plate is gone."""
    try:
        return days_taken(results.open_plate())
    except VitascopeError:
        return {}


def _tip() -> str:
    missing = [name for method, name in METHODS.items() if not is_installed(method)]
    tip = "How many features become two numbers. UMAP and PaCMAP keep neighbours together; distances say little."
    return f"{tip} {' and '.join(missing)}: pip install 'vitascope[embedding]'." if missing else tip
