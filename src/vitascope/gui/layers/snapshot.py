"""From napari's layers to the vocabulary: what a layer says of itself, and the image it becomes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pint
from napari.layers import Image, Layer

from vitascope.core.axes import TCZYX, possible_axes
from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph, grey_from_colour, sliceable
from vitascope.core.well import WellPosition
from vitascope.gui.layers.frame import UNKNOWN_UNIT, Frame
from vitascope.io.images.units import Scale, scale_from

OWN = "vitascope"
"""Key of what we keep in a layer's metadata: its files, and what the user told of it."""

AXES_UNKNOWN = "axes_unknown"
"""Key of a layer whose file does not tell its axes, until the user has."""

AXES, PIXEL_SIZE = "axes", "pixel_size_um"
TOLD = (AXES, PIXEL_SIZE)
"""Keys of what a user says of a layer, and would say of all images of its folder."""

OF_FOLDER = "_of_folder"
"""Ending of the key that says that something was said of another image of the folder."""

PROVENANCE = "provenance"

LOOKED_AT = 256
"""Pixels along a side that are looked at to tell colour from grey."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One or several image layers as they were when a run was asked for; taken without reading a pixel.

    Parameters
    ----------
    arrays : tuple of array
        Full resolution of each layer.
    axes : str
        Letters of each array, ``S`` for the samples of a colour picture.
    stacked : {"", "Z", "C"}
        Axis that several layers are put together along.
    frame : Frame
        Of the first layer.
    scale : Scale
        Pixel size, z step and channel names.
    name : str
        Of the image: that of its files, or of the layer.
    place : WellPosition
        Where the image was taken, where its files tell.
    sources : tuple of str
        Files that the layer was opened from; empty where they are not known.
    channel : int or None
        Channel of the files that the layer shows; None for all of them.
    checksum : int or None
        Of the pixels as they were opened.
    grey : bool
        Whether the user wants the grey values of a colour picture.
    """

    arrays: tuple[Any, ...]
    axes: str
    stacked: Literal["", "Z", "C"]
    frame: Frame
    scale: Scale
    name: str
    place: WellPosition = field(default_factory=WellPosition)
    sources: tuple[str, ...] = ()
    channel: int | None = None
    checksum: int | None = None
    grey: bool = False

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of every axis of TCZYX; 1 where there is none."""
        found = dict(zip(self.axes, self.arrays[0].shape, strict=True))
        if self.stacked:
            found[self.stacked] = len(self.arrays)
        return {axis: int(found.get(axis, 1)) for axis in TCZYX}

    def micrograph(self) -> Micrograph:
        """Make the image; called where it may take a while, off the main thread.

        Raises
        ------
        InputError
            If the layer is a true colour picture, holds no real numbers, or layers differ in shape.
        """
        arrays = [self._grey(a) if "S" in self.axes else a for a in self.arrays]
        axes = self.stacked + self.axes.replace("S", "")
        unchanged = self.checksum is None or self.checksum == checksum(self.arrays[0])
        return Micrograph.from_array(
            _stack(arrays) if self.stacked else arrays[0],
            axes=axes,
            pixel_size_um=self.scale.pixel_size_um,
            z_step_um=self.scale.z_step_um,
            channel_names=self.scale.channel_names,
            name=self.name,
            place=self.place,
            sources=self.sources if unchanged and not self.grey else (),
            flags=self.scale.flags,
        )

    def _grey(self, array: Any) -> Any:
        return luminance(array) if self.grey else grey_from_colour(array, self.axes)[0]


def luminance(colour: Any) -> Any:
    """Return the grey values of colour pictures (..., Y, X, 3 or 4), in the unit of their red, green and blue.

    References
    ----------
    ITU-R BT.709-6, section 3: Y = 0.2126 R + 0.7152 G + 0.0722 B.

    Examples
    --------
    >>> np.round(luminance(np.array([[[255, 255, 255], [100, 0, 0]]], np.uint8)).astype(float), 2).tolist()
    [[255.0, 21.26]]
    """
    red, green, blue = (colour[..., k].astype(np.float32) for k in range(3))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def is_colourful(layer: Image) -> bool:
    """Tell whether a layer is a true colour picture that the user did not want the grey values of.

    Pixels spread over the picture tell; one whose colours are the same at all of them is looked at in full by the run.
    """
    if not layer.rgb or layer.metadata.get(OWN, {}).get("grey"):
        return False
    array = layer.data[-1] if layer.multiscale else layer.data
    step = max(1, max(array.shape[-3:-1]) // LOOKED_AT)
    seen = np.asarray(array[..., ::step, ::step, :3])
    return bool((seen != seen[..., :1]).any())


def share_told(layers: Sequence[Image], told: dict[tuple[Any, ...], Any]) -> None:
    """Let what the user said of an image hold for all of the same folder whose files do not tell: it is asked once.

    That is the pixel size, and what the pictures of a stack are: of stacks with as many pictures, since seven planes
    say nothing of forty times. What was said of an image itself stays.

    Parameters
    ----------
    layers : sequence of Image
    told : dict
        What was said so far, by what it was said of; it outlives the layers, and is changed in place.
    """
    asked = [
        (layer, name, _asked_of(layer, folder, name))
        for layer in layers
        if not is_result(layer) and (folder := _folder_of(layer))
        for name in TOLD
    ]
    for layer, name, of in asked:
        own = layer.metadata.get(OWN, {})
        if own.get(name) and not own.get(f"{name}{OF_FOLDER}"):
            told[of] = own[name]
    for layer, name, of in asked:
        own = layer.metadata.get(OWN, {})
        if of in told and (own.get(f"{name}{OF_FOLDER}") or (name not in own and _lacks(layer, name))):
            remember(layer, **{name: told[of], f"{name}{OF_FOLDER}": True})


def _asked_of(layer: Image, folder: str, name: str) -> tuple[Any, ...]:
    """Return what tells whether something said of one layer can hold for another."""
    array = layer.data[0] if layer.multiscale else layer.data
    return (folder, name, *(array.shape[: layer.ndim - 2] if name == AXES else ()))


def _lacks(layer: Image, name: str) -> bool:
    """Tell whether a layer's file does not say what was said of another image."""
    if name == AXES:
        return bool(layer.metadata.get(OWN, {}).get(AXES_UNKNOWN))
    return layer_scale(layer, guess_axes(layer)).pixel_size_um is None


def _folder_of(layer: Layer) -> str:
    """Return the folder, or the plate, that a layer was opened from; empty where it was not."""
    files = layer.metadata.get(OWN, {}).get("sources", ()) or ((layer.source.path,) if layer.source.path else ())
    return str(Path(files[0]).parent) if files else ""


def _stack(arrays: Sequence[Any]) -> Any:
    shapes = {tuple(a.shape) for a in arrays}
    if len(shapes) > 1:
        raise InputError(
            f"The selected layers differ in shape: {', '.join(str(s) for s in sorted(shapes))}.",
            "Select layers of the same field and size.",
        )
    if all(isinstance(a, np.ndarray) for a in arrays):
        return np.stack(arrays)
    import dask.array as da  # only for stored images, and opening a dock shall not wait for it

    return da.stack([da.asarray(a) for a in arrays])


def snapshot_layers(layers: Sequence[Image], axes: str | None = None, stacked: Literal["", "Z", "C"] = "") -> Snapshot:
    """Note what layers hold and where they lie.

    Parameters
    ----------
    layers : sequence of Image
        One, or several that are planes or channels of one image.
    axes : str, optional
        One letter out of TCZYX for each dimension; by default what axis labels tell, else :func:`guess_axes`.
    stacked : {"", "Z", "C"}
        What several layers are.
    """
    first = layers[0]
    axes = axes or guess_axes(first)
    scale = layer_scale(first, axes)
    known = first.metadata.get(OWN, {})
    names = tuple(known.get("channel_names", ()))
    if stacked == "C":
        names = tuple(own_name(layer) for layer in layers)
    arrays = tuple(sliceable(layer.data[0] if layer.multiscale else layer.data) for layer in layers)
    channels = len(layers) if stacked == "C" else arrays[0].shape[axes.index("C")] if "C" in axes else 1
    whole = is_whole(layers, stacked)
    alone = len(layers) == 1 or whole
    frame = Frame.of_layer(first, axes)
    return Snapshot(
        arrays=arrays,
        axes=axes + "S" if first.rgb else axes,
        stacked=stacked,
        frame=replace(frame, name=known["image"]) if whole else frame,
        scale=replace(scale, channel_names=names if len(names) == channels else ()),
        name=known.get("image", first.name) if alone else f"{first.name} +{len(layers) - 1}",
        place=known.get("place", WellPosition()),
        sources=tuple(known.get("sources", ())) if alone else (),
        channel=known.get("channel") if len(layers) == 1 else None,
        checksum=known.get("checksum"),
        grey=bool(first.rgb and known.get("grey")),
    )


def own_name(layer: Layer) -> str:
    """Return what a layer that shows one channel is called: the channel's name in its file, else the layer's."""
    names = layer.metadata.get(OWN, {}).get("channel_names", ())
    return str(names[0]) if len(names) == 1 else str(layer.name)


def is_whole(layers: Sequence[Layer], stacked: str) -> bool:
    """Tell whether layers are the channels of one image that our reader opened, in order from the first."""
    known = [layer.metadata.get(OWN, {}) for layer in layers]
    alike = {(k.get("image"), k.get("sources")) for k in known}
    return stacked == "C" and len(alike) == 1 and [k.get("channel") for k in known] == list(range(len(layers)))


def axes_told(layer: Image) -> bool:
    """Tell whether it is known what a layer's dimensions are: its file says, or the user has."""
    own = layer.metadata.get(OWN, {})
    return not own.get(AXES_UNKNOWN) or bool(own.get("axes"))


def guess_axes(layer: Image) -> str:
    """Read what a layer's dimensions are from what the user said, its axis labels, or their number.

    Raises
    ------
    InputError
        If the layer has fewer than 2 or more than 5 dimensions.
    """
    told = layer.metadata.get(OWN, {}).get("axes", "")
    readings = possible_axes(layer.ndim)
    for axes in (told, "".join(label.upper() for label in layer.axis_labels)):
        if axes in readings:
            return str(axes)
    if not readings:
        raise InputError(
            f"The image has {layer.ndim} dimensions; 2 to 5 can be read (YX up to TCZYX).",
            "Open one field or one time series.",
            flag="wrong_dimensions",
        )
    return readings[0]


def layer_scale(layer: Layer, axes: str) -> Scale:
    """Read pixel size and z step in µm from a layer.

    Lengths in any unit are converted. A scale in ``pixel`` is no size, whatever its number; a unit that is no length
    (seconds, degrees) is flagged ``unit_unknown``. Height and width that differ by more than 1 % leave the size
    unknown and flagged ``pixels_not_square``. A mirrored layer (negative scale) has the size of the unmirrored one.
    What the user said of this layer counts before all of it.
    """
    sizes: dict[str, tuple[float | None, str]] = {}
    for axis, factor, unit in zip(axes, layer.scale, layer.units, strict=True):
        sizes[axis] = _length(abs(float(factor)), unit)
    y, x, z = (sizes.get(axis, (None, "")) for axis in "YXZ")
    found = scale_from((y[0], x[0], z[0]), (y[1], x[1], z[1]))
    known = layer.metadata.get(OWN, {})
    if "pixel_size_um" in known:
        return Scale(known["pixel_size_um"], found.z_step_um)
    return replace(found, flags=tuple(dict.fromkeys([*known.get("flags", ()), *found.flags])))


def _length(factor: float, unit: Any) -> tuple[float | None, str]:
    if str(unit) == UNKNOWN_UNIT:
        return None, ""
    try:
        return float(f"{pint.Quantity(factor, str(unit)).to('micrometer').magnitude:.12g}"), "um"
    except pint.DimensionalityError:
        return factor, str(unit)


def remember(layer: Layer, **values: Any) -> None:
    """Keep what the user said of a layer with it, such as its pixel size; it is offered again next time."""
    layer.metadata[OWN] = {**layer.metadata.get(OWN, {}), **values}


def is_result(layer: Layer) -> bool:
    """Tell whether a layer was made by a run of ours."""
    return PROVENANCE in layer.metadata


def checksum(array: Any) -> int | None:
    """Return a checksum of pixels in memory; None for what stays in its file and cannot be changed here."""
    if not isinstance(array, np.ndarray):
        return None
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data) if array.size else 0
