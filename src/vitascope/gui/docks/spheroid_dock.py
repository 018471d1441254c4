"""The dock of the task ``spheroid``: what all docks have, and numbers that follow when the masks are repainted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Labels, Layer
from qtpy.QtCore import QTimer

from vitascope.core.errors import VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.layers.add import label_features
from vitascope.gui.layers.snapshot import OWN, own_name, remember
from vitascope.gui.run.export import FinishedRun
from vitascope.gui.run.input_box import Cure
from vitascope.gui.run.layer_box import Choice
from vitascope.ops.objects.spheroids import (
    FROM_REFERENCES,
    NEEDS_DEAD,
    UNKNOWN_VOXEL_UM,
    blank,
    measure_spheroids,
    summarise_spheroids,
    with_place,
)
from vitascope.tasks import spheroid

WAIT_MS = 400
"""So long after the last stroke of the brush, the numbers are taken anew."""


ONE_DYE = "The stack has one dye, and nothing tells that it is {live}. Select the layers of both dyes, or say so."


class SpheroidDock(TaskDock):
    """Segment spheroid."""

    spec = spheroid.SPEC

    def __init__(self, napari_viewer: Any, runner: Runner | None = None) -> None:
        self._shown: FinishedRun | None = None
        self._masks: list[Labels] = []
        self._painted = 0
        super().__init__(napari_viewer, runner)
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(WAIT_MS)
        self._wait.timeout.connect(self.measure_again)

    def params(self) -> RunParams:
        """Return the parameters as they stand in the dock; a dye that was said to be the only one is named."""
        params = super().params()
        return params.changed(channels=("0",)) if self._only_dye() is True else params

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        found = super().problem() or self._too_flat()
        return found or (ONE_DYE.format(live=self._dyes()[0]) if self._only_dye() is False else "")

    def _too_flat(self) -> str:
        """Say that the chosen image is no stack: no word on its dyes helps then."""
        try:
            snapshots, _ = self.input.value()
            spheroid.check_stack(snapshots[self.spec.roles[0].name].sizes["Z"])
        except VitascopeError as error:
            return error.in_dock
        return ""

    def cure(self) -> Cure | None:
        """Return what mends the problem in one click; None where there is no such thing."""
        choice = self.input.main.choice()
        if choice is None or self._too_flat() or self._only_dye() is not False:
            return super().cure()
        if (pair := self._pair_with(choice)) is not None:
            names = " and ".join(layer.name for layer in self.input.main.itemData(pair).layers)
            return Cure(f"Take {names}", lambda: self.input.main.setCurrentIndex(pair))
        if own_name(choice.layers[0]).lower() in self._called(1):
            return None  # it is the other dye, by its name
        return Cure(f"The only dye is {self._dyes()[0]}", lambda: remember(choice.layers[0], only_dye=True))

    def _pair_with(self, choice: Choice) -> int | None:
        """Return which line of the box offers the chosen layer with that of another dye; None where none does."""
        box = self.input.main
        offered = {number: box.itemData(number) for number in range(box.count())}
        pairs = [n for n, one in offered.items() if one is not None and one.stacked == "C" and len(one.layers) == 2]
        return next((n for n in pairs if choice.layers[0] in offered[n].layers), None)

    def _dyes(self) -> tuple[str, ...]:
        """Return the dyes that the chosen model takes, or the one that would be taken."""
        card = self.model.card() or self.model.first()
        return card.input.channels if card is not None else ()

    def _called(self, number: int) -> set[str]:
        """Return the names of the model's live dye, 0, or its dead dye, 1, in lower case."""
        card, dyes = self.model.card() or self.model.first(), self._dyes()
        if card is None or number >= len(dyes):
            return set()
        return {name.lower() for name in (dyes[number], *card.input.also_called.get(dyes[number], ()))}

    def _only_dye(self) -> bool | None:
        """Tell whether the single dye of an image was said to be the live one; None where that need not be said."""
        choice, dyes = self.input.main.choice(), self._dyes()
        try:
            snapshots, _ = self.input.value()
        except VitascopeError:
            return None
        image = snapshots[self.spec.roles[0].name]
        if choice is None or len(dyes) != 2 or image.sizes["C"] > 1:
            return None
        if {n.lower() for n in image.scale.channel_names} & self._called(0):
            return None
        return bool(choice.layers[0].metadata.get(OWN, {}).get("only_dye"))

    def _show_run(self, run: FinishedRun) -> None:
        self._shown = run
        super()._show_run(run)

    def forget_answer(self) -> None:
        """Show no answer, and follow no masks."""
        super().forget_answer()
        self._shown = None
        for layer in self._masks:
            layer.events.labels_update.disconnect(self._repainted)
        self._masks = []

    def layers_added(self, run: FinishedRun, layers: Sequence[Layer]) -> None:
        """Follow the masks, which a user may repaint (napari's own undo takes a stroke back)."""
        for layer in self._masks:
            layer.events.labels_update.disconnect(self._repainted)
        self._masks = [layer for layer in layers if isinstance(layer, Labels)]
        for layer in self._masks:
            layer.events.labels_update.connect(self._repainted)

    def _repainted(self, event: Any) -> None:
        """Note which mask was painted, undone or redone, and measure in a moment."""
        self._painted = next((i for i, layer in enumerate(self._masks) if layer is event.source), 0)
        self._wait.start()

    def measure_again(self) -> None:
        """Take the numbers from the masks as they are now; when something is running, once more after it."""
        run = self._shown
        if run is None or len(self._masks) != 2:
            return
        if Runner.busy is not None:
            self._wait.start()
            return
        masks = [np.array(layer.data) for layer in self._masks]
        other = 1 - self._painted
        masks[other] = np.where(masks[self._painted] > 0, 0, masks[other])  # the last stroke counts
        image = run.images[self.spec.roles[0].name]
        steps = partial(with_new_masks, run.result, masks[0], masks[1], image)
        self._start(steps, self._show_numbers, self._show_failure, "Numbers of the masks")

    def _show_numbers(self, result: Result) -> None:
        if self._shown is None:
            return
        self._shown = replace(self._shown, result=result)
        table = result.output("labels")
        if isinstance(table, LabelsOutput) and self._masks:
            self._masks[0].features = label_features(table.table)
        self.answer.show_result(result)
        self.export_box.offer(self._shown, self._masks[0] if self._masks else None)


def with_new_masks(result: Result, live: Any, dead: Any, image: Micrograph) -> ProgressGenerator[Result]:
    """Measure repainted masks; returns a new result, the old one stays as it is.

    What needs the model (interval, viability relative to the control) is left empty.

    Parameters
    ----------
    result : Result
        Of the run that the masks came from.
    live, dead : array of int, shape as the result's labels
    image : Micrograph
        That was run on.
    """
    labels, density = result.output("labels"), result.output("density")
    assert isinstance(labels, LabelsOutput)
    assert isinstance(density, ImageOutput)
    params: Mapping[str, Any] = result.provenance.params if result.provenance is not None else {}
    z_step_um = params.get("z_step_um") or image.z_step_um
    sized = z_step_um is not None and image.pixel_size_um is not None
    unknown_z, unknown_y, _ = UNKNOWN_VOXEL_UM
    across = image.pixel_size_um or unknown_y
    voxel = (z_step_um or unknown_z, across, across)
    rows, tables, shells = [], [], []
    for number, old in enumerate(result.rows):
        where = (number,) if "T" in labels.axes else ()
        measured = yield from measure_spheroids(
            live[where],
            dead[where],
            voxel,
            sized=sized,
            shell_um=params.get("shell_um", 20.0),
            density=np.asarray(density.array[where]),
        )
        place = {"time": old["time"]} if where else {}
        new, table, shell_table = summarise_spheroids(measured.table), measured.table, measured.shells
        if "dead_channel_missing" in result.flags:
            new |= {name: float("nan") for name in NEEDS_DEAD if name in new}
            table, shell_table = blank(table, NEEDS_DEAD), blank(shell_table, NEEDS_DEAD)
        tables.append(with_place(table, place))
        shells.append(with_place(shell_table, place))
        rows.append({**old, **new, **dict.fromkeys(FROM_REFERENCES, float("nan"))})
    new_labels = replace(labels, array=live, table=pd.concat(tables, ignore_index=True))
    outputs = tuple(
        new_labels if o.kind == "labels" else replace(o, array=dead) if o.kind == "dead" else o for o in result.outputs
    )
    tables_by_name = {**result.tables, "shells": pd.concat(shells, ignore_index=True)}
    return replace(result, outputs=outputs, rows=tuple(rows), tables=tables_by_name)
