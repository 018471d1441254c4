"""One image of a plate in the viewer: its channels, what was predicted, and the objects; the next takes their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Layer

from vitascope.batch.plate.results import PlateResults, open_plate_results, sort_labels_last
from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.result import LabelsOutput
from vitascope.core.well import WellPosition
from vitascope.gui.common.runner import Launch, RunOutcome, in_background
from vitascope.gui.layers.add import LayerData, image_layers, result_layers
from vitascope.gui.layers.display import attend, main_map
from vitascope.gui.layers.frame import Frame
from vitascope.gui.layers.plate import PLATE
from vitascope.gui.layers.snapshot import OWN
from vitascope.io.plates.plate import Plate

KEY, RESULTS = "vitascope_well", "vitascope_results"
NAME_POINTS, NAMES_POINTS = 14, 9
"""Of one well's name on the canvas, and of several, which have to end before the colour bar."""

GAP_SHARE = 0.02
"""Space between two images side by side, as a share of the width of the left one."""

AT_ONCE_BYTES = 1 << 27
"""Pictures up to this size are read before they are shown, so that the viewer never waits for a disk."""


@dataclass(frozen=True)
class Shown:
    """What is to be shown of one image: layers by key."""

    image: str
    layers: dict[str, LayerData]
    count: int = 1
    """How many images stand side by side."""

    title: str = ""
    """What stands on the canvas: the well, and the field and time where there are several."""


def load(image: str, plate: Plate | None, results: PlateResults | None) -> Shown:
    """Read one image and its pictures.

    Parameters
    ----------
    image : str
        Its id on the plate, which is its name in the tables.
    plate : Plate or None
    results : PlateResults or None

    Raises
    ------
    VitascopeError
        If one cannot be read.
    """
    layers: dict[str, LayerData] = {}
    frame: Frame | None = None
    if plate is not None:
        micrograph = plate[image].open()
        for number, one in enumerate(image_layers(micrograph)):
            layers[f"channel {number}"] = _at_hand(one)
    if results is not None:
        provenance, pictures = results.provenance(image), sort_labels_last(results.pictures(image))
        rows = results.frame[results.frame["image"] == image].to_dict("records")
        main = main_map([picture.output for picture in pictures], rows)
        for picture in pictures:
            saved = picture.micrograph
            axes = saved.axes.replace("C", "")
            um = {"Y": saved.pixel_size_um, "X": saved.pixel_size_um, "Z": saved.z_step_um}
            frame = Frame.of_scale(image, axes, [saved.sizes[a] for a in axes], um)
            kind = "labels" if isinstance(picture.output, LabelsOutput) else "picture"
            for number, one in enumerate(result_layers([picture.output], frame, provenance, main, str(results.folder))):
                layers[f"{kind} {picture.output.title} {number}"] = _at_hand(one)
    return Shown(image, layers, title=title_of(image, plate, results))


def title_of(image: str, plate: Plate | None, results: PlateResults | None) -> str:
    """Name the place of an image: its well, and field and time where the well has several."""
    if plate is not None:
        place, fields, times = plate[image].place, plate.fields, plate.times
    elif results is not None:
        frame = results.frame
        row = frame[frame["image"] == image].iloc[0]
        place = WellPosition(results.name, str(row["well"]), str(row["field"]), str(row["time"]))
        fields, times = tuple(set(frame["field"])), tuple(set(frame["time"]))
    else:
        return ""
    field = f"field {place.field}" if len(fields) > 1 and place.field else ""
    time = f"time {place.time}" if len(times) > 1 and place.time else ""
    return " · ".join(text for text in (place.well, field, time) if text)


def first_layers(folder: Path) -> list[LayerData]:
    """Open the first image of a plate run that has pictures; the dock Plate steps through the others.

    Parameters
    ----------
    folder : Path
        Of the results.

    Raises
    ------
    ReaderError
        If there is none.
    """
    results = open_plate_results(folder)
    image = next((name for name in dict.fromkeys(results.frame["image"]) if results.pictures(name)), None)
    if image is None:
        raise ReaderError(f"No image of the plate run in '{folder}' has a picture yet.", "Its tables say why.")
    try:
        plate: Plate | None = results.open_plate()
    except VitascopeError:
        plate = None  # it was moved; what was predicted is here
    made = []
    for key, (data, options, kind) in load(image, plate, results).layers.items():
        metadata = {**options.get("metadata", {}), KEY: key, RESULTS: str(folder)}
        made.append((data, {**options, "metadata": metadata}, kind))
    return made


def _at_hand(layer: LayerData) -> LayerData:
    data, options, kind = layer
    if not isinstance(data, list | np.ndarray) and data.nbytes <= AT_ONCE_BYTES:
        data = np.asarray(data)
    return data, options, kind


def side_by_side(shown: list[Shown], titles: list[str]) -> Shown:
    """Put several images beside each other, each from the right edge of the one before.

    Parameters
    ----------
    shown : list of Shown
    titles : list of str
        Name of each, set before the names of its layers.
    """
    layers: dict[str, LayerData] = {}
    left = 0.0
    for one, title in zip(shown, titles, strict=True):
        right = left
        for key, (data, options, kind) in one.layers.items():
            first = data[0] if isinstance(data, list) else data
            scale = options["scale"]
            translate = [float(shift) for shift in options["translate"]]
            translate[-1] += left
            right = max(right, translate[-1] + first.shape[-1] * float(scale[-1]))
            layers[f"{title}: {key}"] = (
                data,
                {**options, "translate": translate, "name": f"{title}: {options['name']}"},
                kind,
            )
        left += (right - left) * (1 + GAP_SHARE)
    name = "   |   ".join(titles)
    return Shown(name, layers, len(shown), name)


class WellView:
    """Shows images of plates in a viewer, one at a time.

    Parameters
    ----------
    viewer : ViewerModel
    say : callable
        Told what went wrong.
    launch : Launch
    """

    def __init__(self, viewer: Any, say: Callable[[str], None], launch: Launch = in_background) -> None:
        self._viewer, self._say, self._launch = viewer, say, launch
        self._wanted = 0
        self.shown = ""
        self._count = 0

    def open(self, image: str, plate: Plate | None, results: PlateResults | None) -> None:
        """Show an image; of several that are asked for quickly, the last."""
        self._wanted += 1
        number = self._wanted
        self._launch(lambda: load(image, plate, results), lambda value: self._arrived(number, value))

    def open_beside(self, images: list[str], titles: list[str], plate: Plate | None, results: PlateResults) -> None:
        """Show several images side by side, such as one of each control."""
        self._wanted += 1
        number = self._wanted
        self._launch(
            lambda: side_by_side([load(image, plate, results) for image in images], titles),
            lambda value: self._arrived(number, value),
        )

    def prepare(self, results: PlateResults, plate: Plate | None) -> None:
        """Read the first image of a plate and show nothing: the first click then waits for no library."""
        if len(results.frame):
            self._launch(lambda: load(str(results.frame["image"].iloc[0]), plate, results), lambda _: None)

    def close(self) -> None:
        """Show nothing that arrives from now on."""
        self._wanted += 1
        self._name("")

    def _name(self, text: str) -> None:
        """Write on the canvas what is shown."""
        overlay = self._viewer.canvas.overlays.text
        overlay.text, overlay.visible = text, bool(text)
        overlay.font_size = NAME_POINTS if self._count == 1 else NAMES_POINTS
        overlay.position = "top_left"

    def _arrived(self, number: int, value: Any) -> None:
        if number != self._wanted:
            return
        if isinstance(value, RunOutcome):
            self._say(f"{value.message} {value.hint}".strip())
            return
        self._say("")
        self.show(value)

    def _hide_others(self, shown: Shown) -> None:
        """Hide images of plates that the reader opened, and make the well's own image the active layer."""
        layers = self._viewer.layers
        for layer in layers:
            if KEY not in layer.metadata and PLATE in layer.metadata.get(OWN, {}):
                layer.visible = False
        image = next((one for one in layers if one.metadata.get(KEY) == next(iter(shown.layers))), None)
        if image is not None:
            layers.selection.active = image

    def show(self, shown: Shown) -> None:
        """Put layers in the place of those of the image before; contrast, colours and visibility stay as they are."""
        attend(self._viewer)
        mine = {layer.metadata[KEY]: layer for layer in self._viewer.layers if KEY in layer.metadata}
        for key, layer in mine.items():
            if key not in shown.layers:
                self._viewer.layers.remove(layer)
        first = not mine or shown.count != self._count
        self._count = shown.count
        for key, (data, options, kind) in shown.layers.items():
            options = {**options, "metadata": {**options.get("metadata", {}), KEY: key}}
            layer = mine.get(key)
            if layer is not None and replace(layer, data, options, kind):
                continue
            if layer is not None:
                self._viewer.layers.remove(layer)
            self._viewer.add_layer(Layer.create(data, options, kind))
        if first and shown.layers:
            self._hide_others(shown)
            self._viewer.reset_view()
        self.shown = shown.image
        self._name(shown.title)


def replace(layer: Layer, data: Any, options: dict[str, Any], kind: str) -> bool:
    """Give a layer other pixels on another grid; False where the layer cannot take them."""
    several = isinstance(data, list)
    ndim = (data[0] if several else data).ndim
    if layer._type_string != kind or layer.ndim != ndim or bool(layer.multiscale) != several:
        return False
    if kind == "labels":
        layer.features = {}
    layer.data = data
    for name in ("scale", "translate"):  # each would draw the layer anew, which takes a while for outlines
        if not np.array_equal(getattr(layer, name), options[name]):
            setattr(layer, name, options[name])
    layer.name, layer.metadata = options["name"], options["metadata"]
    if kind == "labels":
        layer.features = options["features"]
    return True
