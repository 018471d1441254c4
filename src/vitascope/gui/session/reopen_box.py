"""Reopen last results: the images, pictures and painted labels of the session before this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.core.formatting import name_some
from vitascope.core.micrograph import Micrograph
from vitascope.gui.common.layout import LINE_PX, make_note
from vitascope.gui.common.runner import Launch, RunOutcome, in_background
from vitascope.gui.layers.add import LayerData, image_layers
from vitascope.gui.layers.display import attend
from vitascope.gui.reader import results_layers
from vitascope.gui.session.folder import PLATE, Painted, last_session, read_painted, read_runs
from vitascope.tasks.registry import task_title

REOPEN = "Reopen last results"
HEADER = ("Image", "Task", "Answer", "")
MOST_LINES = 6
"""Lines of the list that are seen at once."""


@dataclass(frozen=True, eq=False)
class LastRun:
    """A result of the last session.

    Parameters
    ----------
    image, task : str
    answer, detail : str
        The number with its unit, and its interval, as they were shown.
    layers : tuple of int
        Which of the session's layers show it.
    plate : str
        Folder of the results, where it is a whole plate's.
    """

    image: str
    task: str
    answer: str = ""
    detail: str = ""
    layers: tuple[int, ...] = ()
    plate: str = ""


@dataclass(frozen=True, eq=False)
class LastSession:
    """What the last session kept: layers of images and results, its runs, what was painted, and what is gone."""

    layers: tuple[LayerData, ...]
    runs: tuple[LastRun, ...]
    painted: tuple[Painted, ...]
    problems: tuple[str, ...]


class ReopenBox(QWidget):  # type: ignore[misc]
    """Offers the last session as long as nothing is open; hidden where there is none.

    Parameters
    ----------
    viewer : ViewerModel
    launch : Launch
        Reads files in a thread by default.
    """

    plateWanted = Signal(str)  # noqa: N815, as Qt's editors are called
    """The folder of a plate's results that is to be shown."""

    def __init__(self, viewer: Any, launch: Launch = in_background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._launch = viewer, launch
        self._folder = last_session()
        self._runs: tuple[LastRun, ...] = ()
        self._layers: list[tuple[Layer, bool]] = []
        self.button, self.said, self.table = QPushButton(REOPEN), make_note(), QTableWidget()
        self.button.setToolTip("The images, results and painted labels of the session before this one.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.button, self.table, self.said):
            layout.addWidget(part)
        self._prepare_table()
        self.said.hide()
        self.button.clicked.connect(self.reopen)
        self.table.itemSelectionChanged.connect(self._line_chosen)
        if self._folder is not None:
            names = list(dict.fromkeys(str(run["image"]) for run in read_runs(self._folder)))
            told = name_some(names) if names else "the last session"
            self.button.setToolTip(f"Images, results and painted labels of {told}.")
        self.layers_changed()

    def _prepare_table(self) -> None:
        self.table.setColumnCount(len(HEADER))
        self.table.setHorizontalHeaderLabels(HEADER)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(LINE_PX)
        self.table.setAccessibleName("Results of the last session")
        self.table.setToolTip("Results of the last session; click a line to see its image.")
        self.table.hide()

    def layers_changed(self) -> None:
        """Offer it only in an empty viewer; what was reopened stays listed as long as it is there."""
        self.button.setVisible(self._folder is not None and not len(self._viewer.layers))
        if self._layers and not any(layer in self._viewer.layers for layer, _ in self._layers):
            self._layers, self._runs = [], ()
            self.table.hide()
        self.setVisible(any(not part.isHidden() for part in (self.button, self.said, self.table)))

    def reopen(self) -> None:
        """Read the last session, and show it as it was shown."""
        folder = self._folder
        if folder is not None:
            self.button.setEnabled(False)
            self._launch(lambda: read_session(folder), self._show)

    def _show(self, found: Any) -> None:
        if not isalive(self):
            return
        self.button.setEnabled(True)
        if isinstance(found, RunOutcome):
            self._say(f"{found.message} {found.hint}")
            return
        attend(self._viewer)
        made = [Layer.create(*one) for one in found.layers]
        self._layers = [(layer, layer.visible) for layer in made]
        last = set(found.runs[-1].layers) if found.runs else set()
        for number, layer in enumerate(made):
            layer.visible = layer.visible and number in last
            self._viewer.add_layer(layer)
        self._point_at(found.runs[-1] if found.runs else None)
        for one in found.painted:
            show_painted(self._viewer, one)
        self._list(tuple(run for run in found.runs if run.answer))
        self._say(" ".join(found.problems))
        for run in found.runs:
            if run.plate:
                self.plateWanted.emit(run.plate)

    def _list(self, runs: tuple[LastRun, ...]) -> None:
        self._runs = runs
        self.table.setRowCount(len(runs))
        for row, run in enumerate(runs):
            for column, text in enumerate((run.image, run.task, run.answer, run.detail)):
                self.table.setItem(row, column, QTableWidgetItem(text))
        self.table.setColumnHidden(HEADER.index("Task"), len({run.task for run in runs}) == 1)
        self.table.resizeColumnsToContents()
        lines = min(len(runs), MOST_LINES) + 2  # the header, and the bar to scroll sideways
        self.table.setFixedHeight(lines * LINE_PX + LINE_PX // 2)
        self.table.setVisible(bool(runs))

    def _line_chosen(self) -> None:
        """Show the image of a line with its results, and hide the others."""
        chosen = self.table.selectedItems()
        if not chosen:
            return
        wanted = self._runs[chosen[0].row()].layers
        for number, (layer, visible) in enumerate(self._layers):
            if layer in self._viewer.layers:
                layer.visible = visible and number in wanted
        self._point_at(self._runs[chosen[0].row()])

    def _point_at(self, run: LastRun | None) -> None:
        """Make the image of a run the active layer."""
        image = next((self._layers[number][0] for number in run.layers), None) if run is not None else None
        if image is not None and image in self._viewer.layers:
            self._viewer.layers.selection.active = image

    def _say(self, text: str) -> None:
        self.said.setText(text.strip())
        self.said.setVisible(bool(text.strip()))
        self.layers_changed()


def read_session(folder: Path) -> LastSession:
    """Read what a session kept: images, results, what was painted, and what is no longer there."""
    images: dict[tuple[str, ...], range] = {}
    shown: list[LayerData] = []
    results: list[LayerData] = []
    problems: list[str] = []
    found: list[tuple[LastRun, tuple[str, ...], range]] = []
    for run in read_runs(folder):
        sources, first = tuple(run["sources"]), len(results)
        try:
            if sources and sources not in images:
                made = image_layers(read_image_of(sources))
                images[sources] = range(len(shown), len(shown) + len(made))
                shown += made
        except VitascopeError as error:
            problems.append(f"The image '{run['image']}' is not shown: {error.message}")
        try:
            made = first_layers_of(run) if run.get(PLATE) else results_layers(folder / f"run-{run['number']}")
            of = [shown[number] for number in images.get(sources, ())]
            results += [on_image(one, of) for one in made]
        except VitascopeError as error:
            problems.append(f"The results of '{run['image']}' are not shown: {error.message}")
        last = LastRun(
            image=str(run["image"]),
            task=task_title(str(run["task"])),
            answer=str(run.get("answer", "")),
            detail=str(run.get("detail", "")),
            plate=str(run.get(PLATE, "")),
        )
        found.append((last, sources, range(first, len(results))))
    # Results lie above all images, as after a run.
    runs = [
        replace(last, layers=(*images.get(sources, ()), *(len(shown) + number for number in own)))
        for last, sources, own in found
    ]
    return LastSession((*shown, *results), tuple(runs), tuple(read_painted(folder)), tuple(problems))


def read_image_of(sources: Sequence[str]) -> Micrograph:
    """Read an image from the files it was opened from."""
    from vitascope.io.images.read import read_image  # readers are loaded with the first file, not with napari

    return read_image(list(sources))


def first_layers_of(run: Mapping[str, Any]) -> list[LayerData]:
    """Open the first image of a plate run that has pictures; none where the dock of plates shows it without."""
    from vitascope.batch.plate.results import open_plate_results
    from vitascope.gui.plate.well_view import first_layers

    folder = Path(run[PLATE])
    open_plate_results(folder)  # says what is wrong where it is no longer there
    try:
        return first_layers(folder)
    except VitascopeError:
        return []


def on_image(result: LayerData, image: Sequence[LayerData]) -> LayerData:
    """Lay a result on its image's grid, along the axes that both have: a pixel size that a user typed is in neither."""
    data, options, kind = result
    if not image:
        return result
    place, options = image[0][1], dict(options)
    grid = zip(place["scale"], place["translate"], place["units"], strict=True)
    known = dict(zip(place["axis_labels"], grid, strict=True))
    own = zip(options["scale"], options["translate"], options["units"], strict=True)
    laid = [known.get(label, one) for label, one in zip(options["axis_labels"], own, strict=True)]
    for name, values in zip(("scale", "translate", "units"), zip(*laid, strict=True), strict=True):
        options[name] = values
    return data, options, kind


def show_painted(viewer: Any, painted: Painted) -> None:
    """Show painted labels: in the result they were painted on where it is there again, else in a layer of their own."""
    for layer in viewer.layers:
        same = isinstance(layer, Labels) and layer.name == painted.options["name"] and not layer.multiscale
        if same and layer.data.shape == painted.array.shape:
            layer.data, layer.visible = np.asarray(painted.array), True
            return
    viewer.add_labels(painted.array, **painted.options)
