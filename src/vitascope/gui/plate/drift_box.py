"""Drift of a plate: what it is compared with, the images in the order in which they were taken, and new references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.compat import getopenfilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QPushButton, QVBoxLayout, QWidget

from vitascope.batch.drift.features import OUTSIDE
from vitascope.batch.drift.in_words import UNTIMED, mostly_outside, too_few
from vitascope.batch.drift.months import ALARM, LIMIT, QUIET, draw_months
from vitascope.batch.drift.references import find_reference, known_references, record_of, register_reference
from vitascope.batch.drift.watch import Drift
from vitascope.batch.plate.drift_reference import reference_of_results
from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults
from vitascope.core.errors import VitascopeError
from vitascope.core.status import JUDGED
from vitascope.core.well import Well
from vitascope.gui.common.layout import Collapsible, add_row, make_form, make_note, refill
from vitascope.gui.common.plot_pane import PlotPane
from vitascope.gui.common.runner import Launch

NOTHING, OTHER = "", "other"
RUN, MONTHS = "run", "months"
ALL = "All wells that have a result"


class DriftChoice(QWidget):  # type: ignore[misc]
    """What the images of a run are compared with: nothing, or a reference."""

    def __init__(self) -> None:
        super().__init__()
        self.reference, self.stop = QComboBox(), QCheckBox("Stop at the first alarm")
        self.stop.setToolTip("Finished wells are kept, and the same run goes on when it is started again.")
        form = make_form()
        tip = "Images that you trust; the tab Drift makes a reference of wells that were run."
        add_row(form, "Compare with", self.reference, tip)
        form.addRow("", self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(Collapsible("Drift", form))
        self.fill()
        self.reference.currentIndexChanged.connect(self._changed)
        self._changed()

    def fill(self) -> None:
        """List the registered references anew; what is chosen stays."""
        chosen = self.reference.currentData()
        known = [("Nothing", NOTHING), *((name, name) for name, _ in known_references())]
        if chosen and chosen not in [value for _, value in known]:
            known.append((Path(chosen).name, chosen))
        self.reference.blockSignals(True)
        self.reference.clear()
        for text, value in (*known, ("A file …", OTHER)):
            self.reference.addItem(text, value)
        self.reference.setCurrentIndex(max(0, self.reference.findData(chosen)))
        self.reference.blockSignals(False)

    def _changed(self, *_: object) -> None:
        if self.reference.currentData() == OTHER:
            name, _filter = getopenfilename(self, "Drift reference", filters="References (*.drift)")
            self.choose(name)
        self.stop.setEnabled(bool(self.reference.currentData()))

    def choose(self, given: str) -> None:
        """Choose a reference by name or file; empty text for none."""
        if given and self.reference.findData(given) < 0:
            self.reference.insertItem(self.reference.count() - 1, Path(given).name, given)
        self.reference.setCurrentIndex(max(0, self.reference.findData(given)))

    def value(self) -> Drift | None:
        """Return what is chosen.

        Raises
        ------
        VitascopeError
            If the reference is gone or damaged.
        """
        given = self.reference.currentData()
        return Drift(find_reference(given), stop=self.stop.isChecked(), given=given) if given else None


class DriftBox(QWidget):  # type: ignore[misc]
    """The drift of the plate that is shown, image by image, and a reference of its wells."""

    opened = Signal(object, str, object)
    """Results, time and well: the user wants to see it."""

    made = Signal()
    """A reference was registered."""

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch = launch
        self._results: PlateResults | None = None
        self._drift: dict[str, Any] = {}
        self.words, self.note = make_note(), make_note()
        self.view = QComboBox()
        self.view.setAccessibleName("What is drawn")
        self.view.currentIndexChanged.connect(self._offer)
        self.plot = PlotPane(lambda: self.palette().windowText().color().name(), self)
        self.which, self.name, self.button = QComboBox(), QLineEdit(), QPushButton("Make a reference")
        self.name.setPlaceholderText("such as: plate 12, untreated")
        self.button.setToolTip(
            "Keeps what the network makes of these wells, so that later plates are compared with them."
        )
        self.button.clicked.connect(self.make)
        form = make_form()
        add_row(form, "Wells", self.which, "The wells that you trust: 20 images at least, 500 are good.")
        add_row(form, "Name", self.name, "What the reference is called in lists and commands.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        for part in (self.words, self.view, self.plot):
            column.addWidget(part)
        column.addStretch(1)
        column.addLayout(form)
        column.addWidget(self.button)
        column.addWidget(self.note)
        self.set_results(None)

    def set_results(self, results: PlateResults | None) -> None:
        """Show the drift of a plate run; None where none is open."""
        self._results = results if results is not None and has_journal(results.folder) else None
        self._drift = self._results.drift() if self._results is not None else {}
        self.words.setText(self._in_words())
        self._fill_view()
        self.button.setEnabled(self._results is not None)
        self._fill()
        self._offer()

    def _fill_view(self) -> None:
        """Offer this run, and all that was tested against its reference, by day."""
        views = [("This run, image by image", RUN)] if self._drift.get("steps") else []
        if self._drift and record_of(self._drift["reference_sha256"]):
            views.append((f"All runs against '{self._drift['reference']}', by day", MONTHS))
        refill(self.view, views)
        self.view.setVisible(len(views) > 1)

    def _offer(self, *_: object) -> None:
        """Draw what is chosen."""
        draw = {RUN: self._draw, MONTHS: self._draw_months}.get(self.view.currentData())
        self.plot.offer(draw)
        self.plot.setVisible(draw is not None)
        if self.isVisible():
            self.showEvent(None)

    def _draw_months(self, figure: Any) -> int:
        return draw_months(figure, record_of(self._drift["reference_sha256"]))

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Draw when the tab is looked at."""
        if event is not None:
            super().showEvent(event)
        self.plot.draw()
        if self.plot.canvas is not None and hasattr(self.plot.canvas, "mpl_connect"):
            self.plot.canvas.mpl_connect("pick_event", self._picked)

    def _fill(self) -> None:
        before = self.which.currentData()
        self.which.clear()
        self.which.addItem(ALL, "")
        frame = self._results.frame if self._results is not None else None
        if frame is not None and "role" in frame:
            for role in sorted({str(one) for one in frame["role"].dropna() if str(one)}):
                self.which.addItem(f"Wells whose role is {role}", role)
        self.which.setCurrentIndex(max(0, self.which.findData(before)))

    def _in_words(self) -> str:
        if self._results is None:
            return "Run a plate, or open its results: its images stand here in the order in which they were taken."
        if not self._drift:
            return "This run was compared with nothing: choose a reference under Drift in the tab Run."
        steps, name = self._drift["steps"], self._drift["reference"]
        rang = [image for image, (_, _, alarm) in steps.items() if alarm]
        p = self._drift.get("p")
        whole = f" All of them together: p {p:.2g}." if p is not None else ""
        whole += "" if self._drift.get("timed", True) else f" {UNTIMED}"
        if few := too_few(len(steps), self._drift["window"]):
            return f"{few}{whole}"
        if not rang:
            return f"No alarm in {len(steps)} images against '{name}'.{whole}"
        told = self._results.drift_in_words()
        return f"{told}. {len(rang)} of {len(steps)} images lie in an alarm, against '{name}'.{whole}"

    def _draw(self, figure: Any) -> int:
        steps = self._drift["steps"]
        names = list(steps)
        values = np.array([np.nan if s is None else s for s, _, _ in steps.values()], float)
        limits = np.array([np.nan if t is None else t for _, t, _ in steps.values()], float)
        rang = np.array([bool(alarm) for _, _, alarm in steps.values()])
        if not np.isfinite(values).any():
            return 0
        axes = figure.subplots()
        axes.plot(values, color=LIMIT, linewidth=0.8)
        axes.plot(limits, color=LIMIT, linestyle="--", linewidth=1, label="alarm above")
        for mask, colour, word in ((~rang, QUIET, "as trusted"), (rang, ALARM, "drifted")):
            at = np.flatnonzero(mask & np.isfinite(values))
            if len(at):
                dots = axes.plot(at, values[at], "o", color=colour, markersize=4, label=word, picker=5)[0]
                dots.images = [names[i] for i in at]
        axes.set_xlabel("images, in the order in which they were taken", fontsize="small")
        axes.set_ylabel("distance from the reference", fontsize="small")
        axes.legend(fontsize="small", frameon=False)
        return 1

    def _picked(self, event: Any) -> None:
        images: Sequence[str] = getattr(event.artist, "images", ())
        if self._results is None or not images:
            return
        row = self._results.frame[self._results.frame["image"] == images[event.ind[0]]].iloc[0]
        time = str(row["time"]) if len(self._results.times()) > 1 else ""
        self.opened.emit(self._results, time, Well.parse(row["well"]))

    def make(self) -> None:
        """Make a reference of the chosen wells, and register it."""
        results, name = self._results, self.name.text().strip()
        if results is None:
            return
        if not name:
            self.note.setText("Give the reference a name first.")
            return
        frame = results.frame[results.frame["status"].isin(JUDGED)]
        if role := self.which.currentData():
            frame = frame[frame["role"] == role]
        images = set(frame["image"])
        outside = int(frame["flags"].map(lambda text: not OUTSIDE.isdisjoint(str(text).split(";"))).sum())
        told = mostly_outside(outside, len(frame))
        self.button.setEnabled(False)
        self.note.setText("Making the reference …")

        def work() -> str:
            try:
                reference = reference_of_results(results.folder, name, images)
                register_reference(reference)
            except VitascopeError as error:
                return error.in_dock
            return f"'{name}' is made of {len(reference.points)} images. {told} {reference.accuracy()}".replace(
                "  ", " "
            )

        self._launch(work, self._said)

    def _said(self, text: str) -> None:
        self.note.setText(text)
        self.button.setEnabled(True)
        self.made.emit()
