"""The dock of tasks that give a number for each well: one image, or many with a table that leads to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info
from qtpy.QtGui import QGuiApplication

from vitascope.core.errors import VitascopeError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import ImageOutput, Result
from vitascope.gui.common.layout import make_note
from vitascope.gui.common.result_text import headline, map_sentence, shown_unit, without_control
from vitascope.gui.common.runner import Runner
from vitascope.gui.common.trust import as_far_as_known, of_many, scale_is_told
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.layers.add import add_result
from vitascope.gui.layers.display import uncover
from vitascope.gui.layers.snapshot import Snapshot, is_result, snapshot_layers
from vitascope.gui.run.export import FinishedRun, as_command
from vitascope.gui.run.export_box import SAVE
from vitascope.gui.run.layer_series import Series, micrographs, position, with_params
from vitascope.gui.run.maps_apart import MapsApart
from vitascope.gui.run.top_instances_box import TopInstancesBox
from vitascope.gui.run.wells_box import WellsBox
from vitascope.gui.session.folder import keep_run, keep_runs

if TYPE_CHECKING:
    from vitascope.batch.item import Item

NOT_SENT = "Images are sent to a server one at a time: choose one image, or a device of this machine."


class WellsDock(TaskDock):
    """A dock for one well or many; subclasses name the task."""

    each: ClassVar[bool] = True

    def __init__(self, napari_viewer: Any, runner: Runner | None = None) -> None:
        self._series: Series | None = None
        self._stack: tuple[Layer, str] | None = None
        self._shown: list[Layer] = []
        self._outlines: Labels | None = None
        self._next: int | None = None
        """Well that was chosen while the maps of another were being made."""
        super().__init__(napari_viewer, runner)
        self.wells.chosen.connect(self.show_well)
        self.top_instances.chosen.connect(self.show_place)
        self.wells.exportWanted.connect(lambda path: self.export(Path(path)))
        self.wells.saveWanted.connect(lambda folder: self.save_all(Path(folder)))
        self.wells.commandWanted.connect(self.copy_command)

    def parts_after_answer(self) -> Sequence[Any]:
        """Return the table of wells, the key to the map and the table of places, which stand below the answer."""
        self.wells, self.top_instances, self.key = (
            WellsBox(self.spec, self._text_colour),
            TopInstancesBox(),
            make_note(),
        )
        self.key.hide()
        titles = ("contribution", "attention", "organoids")
        self.apart = MapsApart(self._viewer, [self.spec.kinds.get(title, title) for title in titles])
        return self.wells, self.key, self.apart, self.top_instances

    def parts_at_foot(self) -> Sequence[Any]:
        """Return what can be taken out of all wells."""
        return (self.wells.out,)

    def layers_added(self, run: FinishedRun, layers: Sequence[Layer]) -> None:
        """Say what the colours of the map mean, and keep at hand what outlines the places."""
        self._outlines = next((layer for layer in layers if isinstance(layer, Labels)), None)
        self.apart.offer(layers)
        shown = next((o for o in run.result.outputs if isinstance(o, ImageOutput)), None)
        if shown is not None:
            unit = "" if without_control(run.result) else shown.unit
            self.key.setText(map_sentence(shown, self.spec.map_words.get(shown.title, f"the {shown.title}"), unit))
        self.key.setVisible(shown is not None)

    def _connect(self) -> None:
        super()._connect()
        self._listen(self._layer_chosen, self._viewer.layers.selection.events.active)
        self._listen(self._plane_chosen, self._viewer.dims.events.current_step)

    def _theme_changed(self, event: Any = None) -> None:
        super()._theme_changed(event)
        if self._open:
            self.wells.redraw()

    def _lock(self, running: bool) -> None:
        super()._lock(running)
        self.wells.setEnabled(not running)
        self.wells.out.setEnabled(not running)

    # -- one image, or a stack with a well in each plane ------------------------------------------------------------

    def _show_run(self, run: FinishedRun) -> None:
        self._forget()
        self.export_box.buttons["save"].setText(SAVE)
        super()._show_run(run)
        self._offer_places(run)
        if len(run.result.rows) > 1:
            self._show_stack(run)

    def _show_stack(self, run: FinishedRun) -> None:
        from vitascope.batch.run_layers import sheet_rows  # writers are loaded when they are wanted, not with the dock

        self._hide_single()
        rows = sheet_rows([run.result], [run.result.name])
        self.wells.show_rows(rows, shown_unit(run.result), run.result.interval_level)
        self.wells.offer_series(False)
        frame = run.snapshots[self.spec.roles[0].name].frame
        layer = next((one for one in self._viewer.layers if one.name == frame.name), None)
        if layer is not None and layer.ndim == len(frame.axes):
            self._stack = layer, frame.axes
            self._plane_chosen()

    def _hide_single(self) -> None:
        """Leave to the table of wells what the answer says of one: numbers, and flags in the lines they belong to."""
        self.answer.tabs.hide()
        self.answer.words.hide()

    def forget_answer(self) -> None:
        """Show no answer, and no wells."""
        self._forget()
        super().forget_answer()

    def set_live(self, live: bool) -> None:
        """Give the answer and the table away only while they answer what stands above them."""
        super().set_live(live)
        self.wells.set_live(live)
        self.top_instances.setEnabled(live)

    def _forget(self) -> None:
        self._series = self._stack = self._next = None
        self._shown = []
        self.key.hide()
        self.wells.clear()
        self.apart.clear()
        self.top_instances.clear()

    # -- many layers, one by one ------------------------------------------------------------------------------------

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        several = self.model.device.server() is not None and self.input.each()
        return super().problem() or (NOT_SENT if several else "")

    def run(self) -> None:
        """Start a run with what stands in the dock, on one image or on each of several."""
        layers = self.input.each()
        if not layers:
            super().run()
            return
        try:
            first, _ = self.input.value()
            params = self.params()
        except VitascopeError as error:
            self._show_failure(error.message, error.dock_hint)
            return
        self._began, self.input.main.explicit = self.question(), True
        self.answer.clear_problem()
        main = self.spec.roles[0].name
        snapshots = tuple({**first, main: snapshot_layers((layer,))} for layer in layers)
        plain = params.changed(maps=False) if "maps" in type(params).model_fields else params
        steps = partial(self._steps, layers, snapshots, params, plain)
        self._start(steps, self._show_series, self._show_failure, f"{self.spec.title}: {len(layers)} images")

    def _steps(
        self,
        layers: tuple[Image, ...],
        snapshots: tuple[Mapping[str, Snapshot], ...],
        params: RunParams,
        plain: RunParams,
    ) -> ProgressGenerator[Series]:
        from vitascope.batch.run_layers import (
            run_layers,  # readers come with it, and opening a dock shall not wait for them
        )

        yield Progress(0, len(layers), "Starting")
        items = self._items(layers, snapshots)
        results = yield from run_layers(self.spec, items, plain)
        series = Series(layers, snapshots, results, params)
        kept = []
        for number, result in enumerate(results):
            with suppress(VitascopeError):  # an image that cannot be read has its line in the table, and is not kept
                kept.append(self._finished(series, number, result))
        keep_runs(kept)
        return series

    def _finished(self, series: Series, number: int, result: Result) -> FinishedRun:
        """Return the run of one image of a series."""
        layer, snapshots = series.layers[number], series.snapshots[number]
        opened_from = {self.spec.roles[0].name: (str(layer.source.path),)} if layer.source.path else {}
        return FinishedRun(
            spec=self.spec,
            snapshots=snapshots,
            images=micrographs(snapshots),
            result=result,
            opened_from=opened_from,
        )

    def _items(self, layers: Sequence[Image], snapshots: Sequence[Mapping[str, Snapshot]]) -> list[Item]:
        from vitascope.batch.item import Item

        main = self.spec.roles[0].name
        return [
            Item(layer.name, one[main].place, {role: snapshot.micrograph for role, snapshot in one.items()})
            for layer, one in zip(layers, snapshots, strict=True)
        ]

    def _show_series(self, series: Series) -> None:
        from vitascope.batch.run_layers import sheet_rows, together

        self._forget()
        self._series = series
        whole = together(series.results, f"{len(series.layers)} images")
        self.export_box.clear()
        self.take_answer((), whole.trust)
        self.answer.show_result(whole, self._whose(whole))
        self._hide_single()
        if whole.provenance is not None:
            self.model.show_used(whole.provenance.model)
        self._show_trust_of_all(series)
        rows = sheet_rows(series.results, [layer.name for layer in series.layers])
        self.wells.show_rows(rows, shown_unit(whole), whole.interval_level)
        self.wells.offer_series(True)
        self._layer_chosen()
        head = headline(self.spec, whole)
        show_info(f"{self.spec.title}: {f'{head.number} {head.unit}'.strip()} in {len(series.layers)} images.")
        self.bring_answer_into_view()

    def _show_trust_of_all(self, series: Series) -> None:
        """Say at the badge how many of the wells the model knows: the range above says nothing of it."""
        trust = of_many([result.trust.level for result in series.results])
        provenance = next((one.provenance for one in series.results if one.provenance is not None), None)
        card = self.model.card_of(provenance.model) if provenance is not None else None
        if card is not None and provenance is not None:
            sizes = [one[self.spec.roles[0].name].scale.pixel_size_um for one in series.snapshots]
            size = None if None in sizes else sizes[0]
            rows = [row for one in series.results for row in one.rows]
            scaled = scale_is_told(card, provenance.params, rows)
            trust = as_far_as_known(trust, card, pixel_size_um=size, scaled=scaled)
        known = trust.level != "unknown" or bool(trust.reasons)
        self._said_trust = trust if known else None
        self.answer.show_trust(self._said_trust)
        if not known:
            self.model.hide_trust()
        else:
            self.model.show_trust(trust)

    # -- from the table to the viewer -------------------------------------------------------------------------------

    def show_well(self, number: int) -> None:
        """Show the picture of a row: its layer with its maps, or its plane of the stack."""
        if self._series is not None:
            self._show_layer(self._series, int(self.wells.rows[number]["of"]))
        elif self._stack is not None:
            self._show_plane(*self._stack, self.wells.rows[number])

    def _show_layer(self, series: Series, of: int) -> None:
        layer = series.layers[of]
        if layer not in self._viewer.layers:
            self.wells.say(f"The layer '{layer.name}' is no longer there.")
            return
        for other in series.layers:
            other.visible = other is layer
        uncover(self._viewer, (layer,))
        self._viewer.layers.selection.active = layer
        if not (getattr(series.params, "maps", False) and series.results[of].rows):
            return
        if self.runner.running:
            self._next = of
            return
        steps = partial(self._one_well, series, of)
        self._start(steps, partial(self._show_maps, of), self._say_failure, f"{self.spec.title}: {layer.name}")

    def _one_well(self, series: Series, of: int) -> ProgressGenerator[FinishedRun]:
        """Run one of the images again, the same way, with its maps."""
        yield Progress(0, 1, "Starting")
        images = micrographs(series.snapshots[of])
        result = yield from self.spec.start(images, series.params)
        run = FinishedRun(spec=self.spec, snapshots=series.snapshots[of], images=images, result=result)
        keep_run(run)
        return run

    def _show_maps(self, of: int, run: FinishedRun) -> None:
        """Show the maps of one well in place of those of the last one."""
        self._drop_maps()
        wanted, self._next = self._next, None
        if wanted is not None and wanted != of and self._series is not None:
            self._show_layer(self._series, wanted)
            return
        frame = run.snapshots[self.spec.roles[0].name].frame
        self._shown = add_result(self._viewer, run.result, frame)
        self.layers_added(run, self._shown)
        self.offer_outlines(self._shown)
        self._offer_places(run)
        if self._series is not None and self._series.layers[of] in self._viewer.layers:
            self._viewer.layers.selection.active = self._series.layers[of]
        self._said_trust = self._verdict(run)
        self.model.show_trust(self._said_trust)
        self.export_box.offer(run, next((one for one in self._shown if one._type_string == "labels"), None))
        self.export_box.buttons["save"].setText("Save this well …")

    def _offer_places(self, run: FinishedRun) -> None:
        """Offer the places of a run."""
        self.top_instances.offer(run.result.tables.get("top_instances"), run.result.rows[0])

    def show_place(self, label: int) -> None:
        """Bring a place into view, and show its outline alone (napari's "show selected" brings the others back)."""
        layer = self._outlines
        if layer is None or layer not in self._viewer.layers:
            return
        self._viewer.layers.selection.active = layer
        layer.visible, layer.selected_label, layer.show_selected_label = True, label, True
        leading = tuple(int(i) for i in np.rint(layer.world_to_data(self._viewer.dims.point[-layer.ndim :]))[:-2])
        data = layer.data[0] if layer.multiscale else layer.data
        found = np.argwhere(np.asarray(data[leading]) == label)
        if len(found):
            centre = layer.data_to_world((*leading, *found.mean(0)))
            self._viewer.scene.camera.center = (0.0, *centre[-2:])

    def _drop_maps(self) -> None:
        for layer in self._shown:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._shown = []

    def _say_failure(self, message: str, hint: str) -> None:
        self.wells.say(message, hint)

    def _show_plane(self, layer: Layer, axes: str, row: Mapping[str, Any]) -> None:
        if layer not in self._viewer.layers:
            return
        at = np.zeros(layer.ndim)
        for i, axis in enumerate(axes):
            at[i] = position(row, axis)
        world = layer.data_to_world(at)
        for i, axis in enumerate(axes):
            if axis in "TZ":
                self._viewer.dims.set_point(self._viewer.dims.ndim - layer.ndim + i, world[i])

    # -- from the viewer to the table -------------------------------------------------------------------------------

    def _layer_chosen(self, event: Any = None) -> None:
        """Mark the row of the layer that was made active."""
        active = self._viewer.layers.selection.active
        if not self._open or self._series is None or active is None or is_result(active):
            return
        of = next((i for i, layer in enumerate(self._series.layers) if layer is active), None)
        if of is not None:
            current = self.wells.current()
            if current is None or self.wells.rows[current]["of"] != of:
                self.wells.choose(next((n for n, row in enumerate(self.wells.rows) if row["of"] == of), None))

    def _plane_chosen(self, event: Any = None) -> None:
        """Mark the row of the plane that the slider shows."""
        if not self._open or self._stack is None or self._stack[0] not in self._viewer.layers:
            return
        layer, axes = self._stack
        point = self._viewer.dims.point[-layer.ndim :]
        index = np.rint(layer.world_to_data(point)).astype(int)
        shown = {axis: int(i) for axis, i in zip(axes, index, strict=True)}
        for number, row in enumerate(self.wells.rows):
            if all(position(row, axis) == shown[axis] for axis in axes if axis in "TZ"):
                self.wells.choose(number)
                self.top_instances.show_picture(row)
                return

    # -- out --------------------------------------------------------------------------------------------------------

    def export(self, path: Path) -> None:
        """Write the table of wells as CSV, XLSX or Parquet."""
        table = pd.DataFrame([{name: row[name] for name in row if name != "of"} for row in self.wells.rows])

        def steps() -> ProgressGenerator[Path]:
            from vitascope.batch.plate.export import export_table

            yield Progress(0, 1, "Writing the table")
            return export_table(table, path)

        self._start(steps, self._saved, self._say_failure, "Export table")

    def _saved(self, path: Path) -> None:
        self.wells.say(f"Saved to {path}.")

    def save_all(self, folder: Path) -> None:
        """Write pictures, tables and provenance of all images, as the command line does; each is run with its maps."""
        series = self._series
        if series is None:
            return

        def steps() -> ProgressGenerator[Path]:
            from vitascope.batch.save_layers import save_layers

            yield Progress(0, len(series.layers), "Starting")
            try:
                command = self._command(series)
            except VitascopeError:  # some layer is no file
                command = ""
            provenance = self._resolved(series).provenance
            params = self.spec.make_params(**provenance.params) if provenance is not None else series.params
            items = self._items(series.layers, series.snapshots)
            return (yield from save_layers(self.spec, items, params, folder, command))

        self._start(steps, self._saved, self._say_failure, "Save all results")

    def copy_command(self) -> None:
        """Put a command on the clipboard that runs all images again, and writes their maps too."""
        series = self._series
        if series is None:
            return

        def steps() -> ProgressGenerator[str]:
            yield Progress(0, 1, "Checking the files")
            return self._command(series)

        self._start(steps, self._copied, self._say_failure, "Copy")

    def _resolved(self, series: Series) -> Result:
        """Return a result that tells the parameters of all: they were run the same way."""
        known = next((one for one in series.results if one.provenance is not None), series.results[0])
        return with_params(known, series.params)

    def _command(self, series: Series) -> str:
        resolved = self._resolved(series)
        first, *more = [self._finished(series, number, resolved) for number in range(len(series.layers))]
        return as_command(first, more=more)

    def _copied(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.wells.say("Copied.")
