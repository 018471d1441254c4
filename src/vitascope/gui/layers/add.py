"""What napari is given to show: results on the grid of their input, images from files with scale, units and names."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from napari.utils.colormaps import Colormap

from vitascope.core.channels import is_label_free
from vitascope.core.micrograph import Display, Micrograph, sliceable
from vitascope.core.result import ImageOutput, LabelsOutput, Result, told_unit
from vitascope.gui.layers.display import (
    OVERLAY,
    SHOWN,
    attend,
    card_colours,
    channels_of,
    hide_earlier,
    kind_name,
    labels_options,
    main_map,
    map_options,
)
from vitascope.gui.layers.frame import Frame
from vitascope.gui.layers.snapshot import AXES_UNKNOWN, OWN, PROVENANCE, checksum

if TYPE_CHECKING:
    import pandas as pd

PYRAMID_PIXELS = 1 << 26
COARSEST_PX = 2048
NO_UNIT = "arbitrary units"
"""Of maps that compare places of one image with each other, and nothing else."""

STAIN_COLOURS = ("bop blue", "bop orange", "bop purple")

LayerData = tuple[Any, dict[str, Any], str]


def add_result(viewer: Any, result: Result, frame: Frame) -> list[Layer]:
    """Add what a run made to the viewer, as new layers on top; called in the main thread only.

    Parameters
    ----------
    viewer : ViewerModel
    result : Result
    frame : Frame
        Of the layer the run was made on.

    Returns
    -------
    list of Layer
        Pictures first, then labels; napari numbers names that are taken.
    """
    provenance = result.provenance.model_dump(mode="json") if result.provenance else {}
    attend(viewer)
    made = result_layers(result.outputs, frame, provenance, main_map(result.outputs, result.rows))
    if not made:
        hide_earlier(viewer, str(provenance.get("task", "")), frame.image or frame.name)
    return [viewer.add_layer(Layer.create(*one)) for one in made]


def result_layers(
    outputs: Sequence[ImageOutput | LabelsOutput],
    frame: Frame,
    provenance: Mapping[str, Any],
    main: tuple[str, str, str] | None = None,
    run: str = "",
) -> list[LayerData]:
    """Turn outputs into layers named ``<kind> · <image layer>``, with model and parameters in their metadata.

    Parameters
    ----------
    outputs : sequence of ImageOutput or LabelsOutput
    frame : Frame
        Of the image.
    provenance : mapping
        Of the run; its model's card gives the colours, the outputs where there is none.
    main : tuple of str, optional
        The picture that is shown, see :func:`vitascope.gui.layers.display.main_map`; by default the first map.
    run : str, optional
        One word for all outputs of one run, where they are not given at once.
    """
    made: list[LayerData] = []
    task, run = str(provenance.get("task", "")), run or uuid.uuid4().hex
    main = main or main_map(outputs)
    colours = card_colours(task, str(provenance.get("model", "")))

    def common(kind: str, unit: str = "", output: str = "") -> dict[str, Any]:
        shown = {
            "kind": kind,
            "of": frame.image or frame.name,
            "run": run,
            "task": task,
            "unit": unit,
            "output": output,
        }
        return {"name": f"{kind} · {frame.name}", "metadata": {PROVENANCE: dict(provenance), OWN: {SHOWN: shown}}}

    for output in outputs:
        if isinstance(output, LabelsOutput):
            array, place = frame.place(output.array, output.axes)
            look = {**labels_options(task, output.title), "features": label_features(output.table)}
            made.append((pyramid(array), {**place, **common(kind_name(task, output.title)), **look}, "labels"))
            continue
        for channel, channel_name in enumerate(channels_of(output)):
            array, place = frame.place(*_one_channel(output, channel))
            # A dye has the colour of its card; a map of what a class rests on must not look like the dye below it.
            colour = (
                colours.get(channel_name, output.colormap) if output.kind not in ("maps", "doubt") else output.colormap
            )
            if output.kind == OVERLAY:
                colour = channel_name.partition(" ")[0]
            look = map_options(output, channel, colour, (output.kind, output.title, channel_name) == main)
            kind = kind_name(task, output.title, channel_name)
            unit = told_unit(output.unit or (NO_UNIT if output.kind == "maps" else ""), provenance.get("inputs", ()))
            made.append((pyramid(array), {**place, **common(kind, unit, output.kind), **look}, "image"))
    return made


def _one_channel(output: ImageOutput, channel: int) -> tuple[Any, str]:
    if "C" not in output.axes:
        return output.array, output.axes
    index = (slice(None),) * output.axes.index("C") + (channel,)
    return sliceable(output.array)[index], output.axes.replace("C", "")


def label_features(table: pd.DataFrame) -> pd.DataFrame:
    """Turn an object table into features: row k belongs to label k, row 0 to the background.

    napari's table takes the position of a row for the label, so no label may be skipped.

    Parameters
    ----------
    table : DataFrame
        With a column ``label`` of whole numbers from 1.

    Returns
    -------
    DataFrame
        One row for each of 0 to the highest label; rows of labels without measurements are empty.
    """
    highest = int(table["label"].max()) if len(table) else 0
    features = table.set_index("label").reindex(range(highest + 1))
    features.insert(0, "label", np.arange(highest + 1))
    return features.rename_axis(None)


def pyramid(array: Any) -> Any:
    """Give a large stored image coarser levels, so that the viewer never loads all of it at once.

    Parameters
    ----------
    array : numpy or dask array

    Returns
    -------
    array or list of array
        The array itself if it lies in memory or a plane has up to 2^26 pixels; otherwise levels, each a quarter of the
        side of the one before, down to 2048 px.
    """
    if isinstance(array, np.ndarray) or array.shape[-1] * array.shape[-2] <= PYRAMID_PIXELS:
        return array
    levels = [array]
    while max(levels[-1].shape[-2:]) > COARSEST_PX:
        levels.append(levels[-1][..., ::4, ::4])
    return levels


def image_layers(image: Micrograph, note: str = "", axes_known: bool = True) -> list[LayerData]:
    """Turn an image from files into what napari makes layers of: one for each channel, with scale and units.

    Place, limits and colours are those that the file tells.

    Parameters
    ----------
    image : Micrograph
    note : str
        What the user should know of the image.
    axes_known : bool
        False where the axes are one reading of several: the docks ask for them.
    """
    um = {"Y": image.pixel_size_um, "X": image.pixel_size_um, "Z": image.z_step_um}
    axes = image.axes.replace("C", "")
    origin = dict(zip("ZYX", image.display.origin_px, strict=True))
    frame = Frame.of_scale(image.name, axes, [image.sizes[a] for a in axes], um, origin)
    count = image.sizes["C"]
    made: list[LayerData] = []
    for channel in range(count):
        array = _channel_of(image, channel)
        array, place = frame.place(array, axes)
        names = image.channel_names[channel : channel + 1] if image.channel_names else ()
        name = f"{image.name} {names[0] if names else channel}" if count > 1 else image.name
        own = {
            "image": image.name,
            "place": image.place,
            "sources": image.sources,
            "channel": channel if count > 1 else None,
            "channel_names": names,
            "checksum": checksum(array),
            "flags": tuple(f for f in image.flags if f != "pixel_size_unknown"),
        }
        look = channel_look(names[0] if names else "", channel, count)
        if not isinstance(array, np.ndarray):
            look["contrast_limits"] = sampled_limits(array)
        look |= told_look(image.display, channel, count)
        metadata = {OWN: {**own, "note": note} if note else own}
        if not axes_known:
            metadata[OWN] = {**metadata[OWN], AXES_UNKNOWN: True}
            place.pop("axis_labels")
        made.append((pyramid(array), {**place, **look, "name": name, "metadata": metadata}, "image"))
    return made


def _channel_of(image: Micrograph, channel: int) -> Any:
    array = sliceable(image.array)
    if "C" not in image.axes:
        return array
    return array[(slice(None),) * image.axes.index("C") + (channel,)]


def channel_look(name: str, channel: int, count: int) -> dict[str, Any]:
    """Choose how a channel is shown: transmitted light and one channel alone grey, stains in colours that add up."""
    if count == 1 or is_label_free(name):
        return {"colormap": "gray", "blending": "translucent_no_depth"}
    return {"colormap": STAIN_COLOURS[channel % len(STAIN_COLOURS)], "blending": "additive"}


def told_look(display: Display, channel: int, count: int) -> dict[str, Any]:
    """Return the limits and the colour that a file says a channel is to be shown with; white is grey."""
    look: dict[str, Any] = {}
    limits = display.limits[channel] if channel < len(display.limits) else None
    if limits is not None:
        look["contrast_limits"] = limits
    colour = display.colours[channel] if channel < len(display.colours) else ""
    if colour == "FFFFFF":
        look["colormap"] = "gray"
    elif colour and colour != "000000":
        shades = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        look["colormap"] = Colormap([[0.0, 0.0, 0.0], shades], name=f"#{colour}")
        look["blending"] = "additive" if count > 1 else "translucent_no_depth"
    return look


def sampled_limits(array: Any) -> tuple[float, float]:
    """Find contrast limits of a stored image from the middle of it, without reading it all."""
    middle = tuple(n // 2 for n in array.shape[:-2])
    window = tuple(slice(max(0, n // 2 - 512), n // 2 + 512) for n in array.shape[-2:])
    values = np.asarray(array[(*middle, *window)], np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return low, high if high > low else low + 1
