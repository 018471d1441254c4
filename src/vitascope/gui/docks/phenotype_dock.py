"""The dock of a task that shows maps: what all docks have, and the maps with their regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari.layers import Layer

from vitascope.core.result import Result
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.run.export import FinishedRun
from vitascope.gui.run.map_box import MapBox
from vitascope.tasks import phenotype


class RegionDock(TaskDock):
    """A dock with maps; subclasses name the task."""

    def __init__(self, napari_viewer: Any, runner: Runner | None = None) -> None:
        self.maps = MapBox()
        self._shown: FinishedRun | None = None
        super().__init__(napari_viewer, runner)
        self.maps.regionsWanted.connect(self.find_regions)

    def parts_after_answer(self) -> Sequence[Any]:
        """Return the maps' sliders, which stand below the answer."""
        return (self.maps,)

    def _show_run(self, run: FinishedRun) -> None:
        self._shown = run
        super()._show_run(run)

    def forget_answer(self) -> None:
        """Show no answer, and no sliders."""
        self.maps.clear()
        self._shown = None
        super().forget_answer()

    def layers_added(self, run: FinishedRun, layers: Sequence[Layer]) -> None:
        """Offer the sliders for the maps and regions."""
        self.maps.offer(run.result, layers)

    def find_regions(self) -> None:
        """Find the regions as the sliders stand; when one is running, once more after it."""
        run = self._shown
        if run is None:
            return
        if Runner.busy is not None:
            self.maps.ask_again()
            return
        image = run.images[self.spec.roles[0].name]
        steps = self.maps.steps(image.pixel_size_um)
        if steps is not None:
            self._start(steps, self._show_regions, self._show_failure, "Regions")

    def _show_regions(self, result: Result) -> None:
        if self._shown is None:
            return
        self._shown = replace(self._shown, result=result)
        self.maps.take(result)
        if self.maps.labels is not None:
            self.maps.labels.visible = True  # who moves the sliders wants to see them
        self.answer.show_result(result)
        self.export_box.offer(self._shown, self.maps.labels)


class PhenotypeDock(RegionDock):
    """Phenotype."""

    spec = phenotype.SPEC
