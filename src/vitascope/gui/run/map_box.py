"""Maps over the image: how strongly they show, and the regions they outline, found anew without a new run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from vitascope.core.formatting import number_text
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.gui.common.layout import add_row, make_form, make_title
from vitascope.gui.layers.add import label_features, pyramid
from vitascope.gui.layers.display import MAP_OPACITY
from vitascope.io.results.temporary_store import plane_of
from vitascope.ops.objects.map_regions import RegionParams, add_regions

STEPS = 200
MOST_SMOOTHING = 5.0
WAIT_MS = 250
"""So long after the last move of a slider, regions are found."""


class ValueSlider(QWidget):  # type: ignore[misc]
    """A slider of real numbers, with the number beside it.

    Parameters
    ----------
    highest : float
        Greatest value; the least is 0.
    """

    valueChanged = Signal(float)  # noqa: N815, as Qt's editors are called

    def __init__(self, highest: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._highest = highest
        self.slider, self.number = QSlider(Qt.Orientation.Horizontal), QLabel()
        self.slider.setRange(0, STEPS)
        self.number.setMinimumWidth(44)
        across = QHBoxLayout(self)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.slider, 1)
        across.addWidget(self.number)
        self.slider.valueChanged.connect(self._moved)
        self._moved()

    def set_highest(self, highest: float) -> None:
        """Change the range; the value is set anew afterwards."""
        self._highest = highest

    def value(self) -> float:
        """Return the number."""
        return float(self.slider.value() * self._highest / STEPS)

    def setValue(self, value: float) -> None:  # noqa: N802, as Qt's editors are called
        """Show a number; beyond the range, the end of it."""
        self.slider.setValue(round(np.clip(value / self._highest, 0, 1) * STEPS))
        self._moved()

    def _moved(self) -> None:
        self.number.setText(number_text(self.value()))
        self.valueChanged.emit(self.value())


class MapBox(QWidget):  # type: ignore[misc]
    """Opacity of the maps; threshold and smoothing of the regions.

    ``regionsWanted`` is emitted a moment after threshold or smoothing were moved.
    """

    regionsWanted = Signal()  # noqa: N815, as Qt's signals are called

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.opacity, self.threshold, self.smoothing = ValueSlider(100), ValueSlider(1.0), ValueSlider(MOST_SMOOTHING)
        self._maps: list[Image] = []
        self._labels: Labels | None = None
        self._result: Result | None = None
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(WAIT_MS)
        self._wait.timeout.connect(self.regionsWanted)
        form = make_form()
        add_row(
            form, "Opacity", self.opacity, "How strongly the maps cover the image, in percent.", self.opacity.slider
        )
        add_row(form, "Threshold", self.threshold, "Map values above this are foreground.", self.threshold.slider)
        add_row(
            form,
            "Smoothing",
            self.smoothing,
            "How much neighbouring pixels pull on each other when the thresholded map is de-noised.",
            self.smoothing.slider,
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(make_title("Maps"))
        column.addLayout(form)
        self.opacity.valueChanged.connect(self._show_opacity)
        for slider in (self.threshold, self.smoothing):
            slider.valueChanged.connect(lambda _: self._wait.start())
        self.hide()

    def offer(self, result: Result, layers: Sequence[Layer]) -> None:
        """Take the maps of a run; hidden where it made none."""
        outputs = {output.kind: output for output in result.outputs}
        self._result = result if {"maps", "labels"} <= set(outputs) else None
        self._maps = list(layers_by_class(result, layers, "maps").values())
        self._labels = next((layer for layer in layers if isinstance(layer, Labels)), None)
        self.setVisible(self._result is not None)
        if self._result is None or result.provenance is None:
            return
        maps = outputs["maps"]
        assert isinstance(maps, ImageOutput)
        params = result.provenance.params
        self.threshold.set_highest(max(maps.limits[1], 2 * params["threshold"]))
        self.threshold.setValue(params["threshold"])
        self.smoothing.setValue(params["smoothing"])
        self.opacity.setValue(100 * MAP_OPACITY)
        self._wait.stop()

    def ask_again(self) -> None:
        """Emit ``regionsWanted`` once more in a moment."""
        self._wait.start()

    def clear(self) -> None:
        """Offer nothing."""
        self._result, self._maps, self._labels = None, [], None
        self._wait.stop()
        self.hide()

    @property
    def labels(self) -> Labels | None:
        """Layer of the regions."""
        return self._labels

    def _show_opacity(self, percent: float) -> None:
        for layer in self._maps:
            layer.opacity = percent / 100

    def values(self) -> dict[str, float]:
        """Return threshold and smoothing as the sliders stand."""
        return {"threshold": self.threshold.value(), "smoothing": self.smoothing.value()}

    def steps(self, pixel_size_um: float | None) -> partial[ProgressGenerator[Result]] | None:
        """Return what finds the regions anew, all else as in the run; None where there is nothing to find them in."""
        if self._result is None or self._result.provenance is None:
            return None
        used = self._result.provenance.params
        params = RegionParams(**self.values(), method=used["denoise"], min_area_px=used["min_region_px"])
        return partial(with_new_regions, self._result, params, pixel_size_um)

    def take(self, result: Result) -> None:
        """Show the regions of a result in the layer they belong to."""
        self._result = result
        output = result.output("labels")
        if self._labels is None or not isinstance(output, LabelsOutput):
            return
        self._labels.data = pyramid(output.array)
        self._labels.features = label_features(output.table)


def layers_by_class(result: Result, layers: Sequence[Layer], kind: str) -> dict[str, Image]:
    """Return the layers that show the pictures of one kind, by channel; ``layers`` in the order they were made."""
    images = iter([layer for layer in layers if isinstance(layer, Image)])
    found: dict[str, Image] = {}
    for output in result.outputs:
        for name in output.channel_names if isinstance(output, ImageOutput) else ():
            layer = next(images)
            if output.kind == kind:
                found[name] = layer
    return found


def with_new_regions(result: Result, params: RegionParams, pixel_size_um: float | None) -> ProgressGenerator[Result]:
    """Find the regions of a result's maps anew; returns a new result, the old one stays as it is."""
    maps, instances, old = (result.output(kind) for kind in ("maps", "instances", "labels"))
    assert isinstance(maps, ImageOutput)
    assert isinstance(instances, ImageOutput)
    assert isinstance(old, LabelsOutput)
    labels = np.zeros(old.array.shape, np.uint32)
    leading = old.axes.removesuffix("YX")
    tables: list[pd.DataFrame] = []
    rows: list[Mapping[str, Any]] = []
    for number, index in enumerate(np.ndindex(*labels.shape[:-2])):
        where = {{"T": "time", "Z": "z"}[axis]: i for axis, i in zip(leading, index, strict=True)}
        planes, places = (_planes(output, leading, index) for output in (maps, instances))
        table = yield from add_regions(
            tables,
            where,
            planes,
            plane_of(labels, index),
            params,
            dict(zip(maps.channel_names, places, strict=True)),
            pixel_size_um,
        )
        share = float(table["area_px"].sum()) / (labels.shape[-1] * labels.shape[-2])
        rows.append({**result.rows[number], "regions": len(table), "foreground_fraction": share})
    new = replace(old, array=labels, table=pd.concat(tables, ignore_index=True))
    outputs = tuple(new if output is old else output for output in result.outputs)
    provenance = result.provenance
    if provenance is not None:
        changed = {**provenance.params, "threshold": params.threshold, "smoothing": params.smoothing}
        provenance = provenance.model_copy(update={"params": changed})
    return replace(result, outputs=outputs, rows=tuple(rows), provenance=provenance)


def _planes(output: ImageOutput, leading: str, index: tuple[int, ...]) -> list[Any]:
    """Return the plane of each channel at one time and z."""
    where = dict(zip(leading, index, strict=True))
    axes = output.axes.removesuffix("YX")
    return [
        plane_of(output.array, tuple({**where, "C": k}[axis] for axis in axes))
        for k in range(len(output.channel_names))
    ]
