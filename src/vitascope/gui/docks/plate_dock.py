"""The dock of plates: open one, say what is in its wells, run it whole, and see it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import getexistingdirectory
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTabWidget, QVBoxLayout

from vitascope.batch.plate.image_quality import NUMBERS
from vitascope.batch.plate.journal import has_journal
from vitascope.batch.plate.results import PlateResults, open_plate_results, quality_results, with_map, with_quality
from vitascope.batch.plate.tables import MAP
from vitascope.core.errors import VitascopeError
from vitascope.core.well import Well
from vitascope.gui.common.dock import Dock
from vitascope.gui.common.layout import keep_tabs_in_view, make_note, make_title, scrolling
from vitascope.gui.common.runner import Launch, Runner, in_background
from vitascope.gui.layers.plate import PLATE
from vitascope.gui.layers.snapshot import OWN
from vitascope.gui.plate.drift_box import DriftBox
from vitascope.gui.plate.embedding_box import EmbeddingBox
from vitascope.gui.plate.field_bar import FieldBar
from vitascope.gui.plate.heatmap_box import HeatmapBox
from vitascope.gui.plate.plate_export import PlateExportButton
from vitascope.gui.plate.plate_map_box import PlateMapBox
from vitascope.gui.plate.plate_open_box import PlateOpenBox
from vitascope.gui.plate.plate_run_box import PlateRunBox
from vitascope.gui.plate.quality_box import QualityBox
from vitascope.gui.plate.thumbnail_box import ThumbnailBox
from vitascope.gui.plate.well_view import RESULTS, WellView
from vitascope.gui.response.next_box import NextBox
from vitascope.gui.session.autosave import autosave_of
from vitascope.gui.session.folder import keep_plate
from vitascope.gui.session.reopen_box import ReopenBox
from vitascope.io.plates.plate import Plate
from vitascope.tasks.registry import find_task

if TYPE_CHECKING:
    import napari.viewer
    import pandas as pd

LOOK_AGAIN_S = 1.0
WIDTH_PX = 420


class PlateDock(Dock):
    """Plates.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    launch : Launch, optional
        Reads pictures in a thread by default.
    """

    def __init__(
        self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None, launch: Launch = in_background
    ) -> None:
        super().__init__(napari_viewer, runner)
        self.note = make_note()
        self.view = WellView(self._viewer, self._say, self._while_open(launch))
        self.input, self.map, self.heat = PlateOpenBox(), PlateMapBox(), HeatmapBox()
        self.run, self.thumbs = (
            PlateRunBox(self.runner, self._while_open(launch)),
            ThumbnailBox(self._while_open(launch)),
        )
        self.quality, self.export_button = QualityBox(self.runner.another()), PlateExportButton(self.runner.another())
        self.open_results_button, self.add_button = QPushButton("Open results …"), QPushButton("Compare with …")
        self.fields, self.next = FieldBar(), NextBox(self._viewer, self.runner.another())
        self.drift = DriftBox(self._while_open(launch))
        self.embedding = EmbeddingBox(self._while_open(launch))
        self._launch, self._autosave = launch, autosave_of(self._viewer)
        self.reopen_box = ReopenBox(self._viewer, self._while_open(launch))
        self._of_fields: tuple[Plate | None, PlateResults | None] = (None, None)
        self.results: list[PlateResults] = []
        self._plates: dict[Path, Plate | None] = {}
        self._looked: dict[str, pd.DataFrame] = {}
        self._out: Path | None = None
        self._looked_s = 0.0
        self._lay_out()
        self._connect()
        self._look_at_layers()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        self.open_results_button.setToolTip("The folder of a plate run, finished or not.")
        self.add_button.setToolTip("Another plate or day, with the same limits of colour.")
        buttons.addWidget(self.open_results_button)
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.export_button)
        self.tabs = QTabWidget()
        keep_tabs_in_view(self.tabs)
        for part, name in (
            (self.run, "Run"),
            (self.map, "Map"),
            (self.heat, "Heat map"),
            (self.thumbs, "Thumbnails"),
            (self.quality, "Quality"),
            (self.drift, "Drift"),
            (self.embedding, "Embedding"),
        ):
            self.tabs.addTab(scrolling(part) if part is self.map else part, name)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 8)
        column.addWidget(make_title("Plate"))
        column.addWidget(self.input)
        column.addLayout(buttons)
        column.addWidget(self.next)
        column.addWidget(self.reopen_box)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.fields)
        column.addWidget(self.note)
        self.note.hide()
        self.setMinimumWidth(WIDTH_PX)

    def _connect(self) -> None:
        self.input.valueChanged.connect(self._plate_changed)
        self.map.valueChanged.connect(self._map_changed)
        self.heat.opened.connect(self._open_well)
        self.drift.opened.connect(self._open_well)
        self.embedding.opened.connect(self._open_well)
        self.embedding.chosen.connect(self.heat.choose_wells)
        self.drift.made.connect(self.run.drift.fill)
        self.thumbs.opened.connect(self._open_thumb)
        self.quality.looked.connect(self._show_looked)
        self.open_results_button.clicked.connect(lambda: self._ask_results(False))
        self.add_button.clicked.connect(lambda: self._ask_results(True))
        self.run.began.connect(self._run_began)
        self.run.progressed.connect(self._look_again)
        self.run.ended.connect(self._run_ended)
        self.run.previewed.connect(self._show_previewed)
        self.fields.chosen.connect(lambda image: self.view.open(image, *self._of_fields))
        self.export_button.spoke.connect(self._say)
        self.next.spoke.connect(self._say)
        for runner in self._others():
            self.destroyed.connect(runner.cancel)
        self.reopen_box.plateWanted.connect(lambda folder: self.open_results(Path(folder)))
        self._listen(self._look_at_layers, self._viewer.layers.events.inserted)
        self._listen(self._layers_changed, self._viewer.layers.events.inserted, self._viewer.layers.events.removed)

    def _layers_changed(self, event: Any = None) -> None:
        if self._open:
            self.reopen_box.layers_changed()

    def _keep(self, folder: Path, name: str) -> None:
        """Note for the next start where results lie."""
        self._launch(lambda: keep_plate(folder, name), lambda _: None)

    def _others(self) -> tuple[Runner, ...]:
        return self.quality.runner, self.export_button.runner, self.next.runner

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    # -- going away -------------------------------------------------------------------------------------------------

    def close_down(self) -> None:
        """Cancel the run, which can be resumed, and go."""
        for runner in self._others():
            runner.cancel()
        self.view.close()
        self.thumbs.stop()
        self._autosave.flush()
        self.run.forget_preview()
        super().close_down()

    # -- plate, map, results ----------------------------------------------------------------------------------------

    def _look_at_layers(self, event: Any = None) -> None:
        """Take the plate, or the results, that the newest layer was opened from; a run under way keeps its plate."""
        if not self._open or self.runner.running:
            return
        shown, layers = self.input.value(), [event.value] if event is not None else reversed(self._viewer.layers)
        for layer in layers:
            known, folder = layer.metadata.get(OWN, {}).get(PLATE), layer.metadata.get(RESULTS)
            if folder is not None:
                if Path(folder) not in [one.folder for one in self.results]:
                    self.open_results(Path(folder))
                return
            if known:
                if shown is None or (str(shown.path), shown.name) != (known["path"], known["name"]):
                    self.input.open(Path(known["path"]), known["name"])
                return

    def _plate_changed(self) -> None:
        plate = self.input.value()
        self.map.set_plate(plate)
        self.run.set_plate(plate, self.input.name_pattern(), self.input.chosen_planes())
        self.thumbs.set_plate(plate)
        self.quality.set_plate(plate)
        self.export_button.set_plate(plate)
        if plate is not None and self.map.value_or_none() is None and (plate.path / MAP).is_file():
            self.map.load(plate.path / MAP, came_with=plate)

    def _map_changed(self) -> None:
        try:
            self.run.set_map(self.map.value())
        except VitascopeError as error:
            self._say(error.in_dock)
            return
        self._say("")
        if self.results:
            self._show_results(self.results)

    def _ask_results(self, beside: bool) -> None:
        name = getexistingdirectory(self, "Open the results of a plate")
        if name:
            self.open_results(Path(name), beside)

    def open_results(self, folder: Path, beside: bool = False) -> None:
        """Show the results of a plate, alone or beside those that are shown, and open the plate where it still lies."""
        try:
            found = open_plate_results(folder)
        except VitascopeError as error:
            self._say(error.in_dock)
            return
        self._say("")
        kept = [one for one in self.results if one.folder != folder] if beside else []
        self._show_results([*kept, found])
        if not beside:
            self._out = folder
            self._keep(folder, found.name)
            self._show_plate_of(found)
        self.view.prepare(found, self._plates.get(folder))
        self.tabs.setCurrentWidget(self.heat)

    def _show_plate_of(self, results: PlateResults) -> None:
        plate = self._plate_of(results)
        shown = self.input.value()
        if plate is not None and (shown is None or shown.path != plate.path):
            self.input.open(plate.path, plate.name)
        if (results.folder / MAP).is_file():
            self.map.load(results.folder / MAP, came_with=self.input.value())

    def _show_results(self, results: list[PlateResults]) -> None:
        """Show results; those of the plate that is open with the map that stands in the dock, loaded when it may."""
        plate, plate_map = self.input.value(), self.map.value_or_none()
        mine = plate.name if plate is not None else next((one.name for one in results), "")
        self.results = results = [with_map(one, plate_map) if one.name == mine else one for one in results]
        known = self._looked
        self.heat.set_results([with_quality(one, known[one.name]) if one.name in known else one for one in results])
        self.quality.set_results([one for one in results if has_journal(one.folder)])
        self.thumbs.set_results(results[-1] if results else None)
        self.next.set_results(results)
        self.drift.set_results(results[-1] if results else None)
        self.embedding.set_results(results)

    def _show_looked(self, plate: Plate, table: pd.DataFrame) -> None:
        """Show focus and exposure, beside what was measured on the same plate."""
        self._looked[plate.name] = table
        if not any(one.name == plate.name for one in self.results):
            self._plates[plate.path] = plate
            self.results = [quality_results(plate, table)]
        self._show_results(self.results)
        self.heat.choose(NUMBERS[0])
        self.tabs.setCurrentWidget(self.heat)

    def _run_began(self, out: Path) -> None:
        self._out = out
        plate = self._plates[out] = self.input.value()
        self._keep(out, plate.name if plate is not None else out.name)

    def _look_again(self, at_once: bool = False) -> None:
        """Show what the run has given so far."""
        if not self._open or self._out is None or not has_journal(self._out):
            return
        now = time.monotonic()
        if not at_once and now - self._looked_s < LOOK_AGAIN_S:
            return
        self._looked_s = now
        try:
            found = open_plate_results(self._out)
        except VitascopeError:
            return  # it is just being made
        if len(found.frame):
            others = [one for one in self.results if has_journal(one.folder) and one.folder != self._out]
            self._show_results([*others, found])
            self.run.wells.show_progress(found)

    def _run_ended(self) -> None:
        """Bring the answer to the front: the task's main number, well by well."""
        self._look_again(at_once=True)
        headline = find_task(self.run.task.currentData()).headline
        if any(headline in one.number_columns() for one in self.results):
            self.heat.choose(headline)
            self.tabs.setCurrentWidget(self.heat)

    def _show_previewed(self, results: PlateResults, names: dict[str, str]) -> None:
        plate = self.input.value()
        self.fields.show_well("", ())
        self.view.open_beside(list(names), list(names.values()), plate, results)

    # -- wells ------------------------------------------------------------------------------------------------------

    def _plate_of(self, results: PlateResults) -> Plate | None:
        """Return the plate that results belong to; None where it is gone."""
        if results.folder not in self._plates:
            try:
                self._plates[results.folder] = results.open_plate()
            except VitascopeError as error:
                self._plates[results.folder] = None
                self._say(f"Only what was predicted can be shown. {error}")
        return self._plates[results.folder]

    def _open_well(self, results: PlateResults, at: str, well: Well) -> None:
        plate = self._plate_of(results)
        images = results.images(well, at)
        if not images and plate is not None:
            self._open_site(plate, well)
        elif images:
            self._open_images(well, images, plate, results if has_journal(results.folder) else None)

    def _open_thumb(self, well: Well) -> None:
        plate = self.input.value()
        if plate is None:
            return
        mine = [one for one in self.results if self._plates.get(one.folder) is plate or one.name == plate.name]
        mine = [one for one in mine if has_journal(one.folder)]
        if mine and mine[-1].images(well):
            self._open_images(well, mine[-1].images(well), plate, mine[-1])
        else:
            self._open_site(plate, well)

    def _open_site(self, plate: Plate, well: Well) -> None:
        sites = plate.in_well(well)
        if sites:
            self._open_images(well, [site.id for site in sites], plate, None)

    def _open_images(self, well: Well, images: list[str], plate: Plate | None, results: PlateResults | None) -> None:
        self._of_fields = plate, results
        self.fields.show_well(str(well), images)
        self.view.open(images[0], plate, results)
