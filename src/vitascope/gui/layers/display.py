"""How results are shown: one recipe for docks, wells opened from a plate and result folders opened again.

The image stays visible. One translucent map lies over it, in a colour map that is clear where there is nothing, with a
colour bar, title and unit. Outlines are thin and wait unseen until they are asked for, and so do all other pictures. A
later result of the same task on the same image hides the earlier one, and deletes nothing.
"""

from __future__ import annotations

import json
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from napari.components.overlays import TextOverlay
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, CyclicLabelColormap, DirectLabelColormap, ensure_colormap

from vitascope.core.result import ImageOutput, LabelsOutput
from vitascope.gui.layers.snapshot import OWN, PROVENANCE
from vitascope.io.models.cards import find_cards, read_card
from vitascope.tasks.registry import known_task

SHOWN = "shown"
"""Key of what a result layer knows of its display, in its own metadata."""

SAID_BY = "said_by"
"""Key of a layer whose colour bar another one of the same look has."""

KEY = "vitascope_key"
"""Name of the canvas overlay that says what the colour bars mean."""

MAP_OPACITY = 0.7
MASK_OPACITY = 0.6
OUTLINE_PX = 1
OUTLINE_OPACITY = 0.9
OUTLINE_COLOUR = (0.90, 0.62, 0.0, 1.0)
"""Orange of Okabe and Ito, seen on blue, grey and white; one for all objects: many would be taken for amounts."""

MARKED_COLOUR = (1.0, 0.25, 0.90, 1.0)
"""Pink of the object that was chosen: seen beside the orange of the others, on grey and on dyes."""

MASK_COLOURS = {"live": (0.20, 0.30, 1.0, 1.0), "dead": (1.0, 0.35, 0.70, 1.0)}
"""Blue and pink differ from each other and from green, blue, orange and grey dyes, also for eyes that miss green."""

OVERLAY = "overlay"
"""Kind of pictures whose channels add up: called after their colours, as in "red er"."""

NOT_RELIED_ON = {"withheld": "numbers held back", "outside_model": "outside the model"}
"""What stands on the canvas behind the name of a prediction with such a flag: the picture looks as sure as any."""

CAPTION = "A prediction from the image, not an amount of stain: read it beside the model's figures."
"""Said of every predicted stain, as many take one for a measurement (VisCy issue 237)."""

PREDICTION = "prediction"
MAPS = (PREDICTION, "maps")
"""Kinds of pictures of which one is shown over the image."""

CHANNEL_FIRST = ("map", "probability")
LEVELS = 256
DARK = 0.1
BRIGHTEST = 0.75
"""How far into a colour map a map goes: the pale end beyond it cannot be seen on a bright field."""


def kind_name(task: str, title: str, channel: str = "") -> str:
    """Name the kind of a result, which a layer's name begins with.

    Examples
    --------
    >>> kind_name("stain", "nuclei"), kind_name("stain", "predicted", "DNA"), kind_name("phenotype", "map", "positive")
    ('nuclei', 'predicted DNA', 'positive map')
    >>> kind_name("atp", "contribution", "map")
    'ATP map'
    """
    spec = known_task(task)
    if spec is not None and title in spec.kinds:
        return spec.kinds[title]
    if not channel or channel == title:
        return title
    return f"{channel} {title}" if title in CHANNEL_FIRST else f"{title} {channel}"


def main_map(
    outputs: Sequence[ImageOutput | LabelsOutput], rows: Sequence[Mapping[Any, Any]] = ()
) -> tuple[str, str, str] | None:
    """Choose the one picture that is shown over the image, as kind, title and channel; None where there is none.

    Live and dead masks are the picture that is shown: another one, such as a threshold's, waits unseen.

    Parameters
    ----------
    outputs : sequence of ImageOutput or LabelsOutput
    rows : sequence of mapping
        Of the result; the class that most of them predict is shown.
    """
    maps = next((one for one in outputs if isinstance(one, ImageOutput) and one.kind in MAPS), None)
    if maps is None or any(isinstance(one, LabelsOutput) and one.title in MASK_COLOURS for one in outputs):
        return None
    predicted = Counter(name for row in rows for name in str(row.get("predicted", "")).split(";"))
    names = channels_of(maps)
    told = [name for name, _ in predicted.most_common() if name in names]
    return maps.kind, maps.title, (told or names)[0]


def channels_of(output: ImageOutput) -> list[str]:
    """Return the names of a picture's channels, of which a file without names has one."""
    return list(output.channel_names) or [""]


def card_colours(task: str, model: str) -> Mapping[str, str]:
    """Return the colour map of each target on a model's card; none where the model is not at hand."""
    path = find_cards(task).get(model) if task and model else None
    return {target.name: target.colormap for target in read_card(path).targets} if path is not None else {}


def map_options(output: ImageOutput, channel: int, colour: str, visible: bool) -> dict[str, Any]:
    """Return how napari is to show a channel of a picture of a result."""
    limits = output.limits_of(channel)
    if output.kind == OVERLAY:
        return {"colormap": colour, "contrast_limits": limits, "blending": "additive", "visible": visible}
    return {
        "colormap": clear_colormap(colour, limits, steep=output.kind == "maps"),
        "contrast_limits": limits,
        "blending": "translucent_no_depth",
        "opacity": MAP_OPACITY,
        "visible": visible,
    }


def labels_options(task: str, title: str) -> dict[str, Any]:
    """Return how napari is to show objects: outlines that wait, or the masks of a spheroid."""
    if is_mask(task):
        return {"colormap": one_colour(MASK_COLOURS.get(title, OUTLINE_COLOUR)), "opacity": MASK_OPACITY}
    return {"colormap": one_colour(OUTLINE_COLOUR), "opacity": OUTLINE_OPACITY, "visible": False}


def is_mask(task: str) -> bool:
    """Tell whether the labels of a task are the picture that is shown, not the outlines of objects in one."""
    spec = known_task(task)
    return spec is not None and spec.labels_are_masks


def one_colour(colour: tuple[float, ...]) -> CyclicLabelColormap:
    """Return one colour for all labels."""
    return CyclicLabelColormap(colors=[(0.0,) * 4, colour, colour])


def mark(layer: Labels, label: int | None) -> None:
    """Show one object of a layer in a colour of its own, and the others as they were; None marks none.

    Layers whose objects were given colours of their own by the user are left as they are.
    """
    shown, marked = layer.colormap, isinstance(layer.colormap, DirectLabelColormap)
    if not marked and len(shown.colors) != len(one_colour(OUTLINE_COLOUR).colors):
        return
    plain = shown.color_dict[None] if marked else shown.colors[1]
    if label is not None:
        layer.colormap = DirectLabelColormap(color_dict={None: plain, 0: (0.0,) * 4, label: MARKED_COLOUR})
    elif marked:
        layer.colormap = one_colour(tuple(plain))


def clear_colormap(name: str, limits: tuple[float, float], steep: bool = False) -> Colormap:
    """Make a colour map clear where there is nothing: at its low end, or at 0 where the limits lie around it.

    Colours that begin black would grey what lies below: they are brought to full brightness, and only their opacity
    rises with the value.

    Parameters
    ----------
    name : str
        Of a colour map that napari knows.
    limits : tuple of float
        What its ends stand for.
    steep : bool
        Whether small values are to be seen too, as in maps of what a number rests on; else opacity is the value's own,
        as with the light of a dye.
    """
    low, high = limits
    t = np.linspace(0, 1, LEVELS)
    signed = low < 0 < high
    rgb = np.array(ensure_colormap(name).map(t * (BRIGHTEST if steep and not signed else 1.0)))[:, :3]
    alpha = np.sqrt(t) if steep else t
    if signed:
        zero = -low / (high - low)
        alpha = np.where(t < zero, (zero - t) / zero, (t - zero) / (1 - zero))
    elif np.allclose(rgb[0], 0, atol=0.05):
        brightest = rgb.max(1, keepdims=True)
        first = int(np.argmax(brightest[:, 0] > DARK))  # darker ones have no hue to speak of
        rgb[:first] = rgb[first]
        rgb = rgb / rgb.max(1, keepdims=True)
    ending = "map, clear at 0" if steep else "clear at 0"
    return Colormap(np.column_stack([rgb, alpha]), name=f"{name}, {ending}")


def uncover(viewer: Any, images: Sequence[Layer]) -> None:
    """Show the image that a result belongs to, and hide other images above it, which the map would be taken to be of.

    Light that is added, as of stains, covers nothing; but that of two images with dyes is not told apart.
    """
    here = [layer for layer in images if layer in viewer.layers]
    if not here:
        return
    for layer in here:
        layer.visible = True
    top = max(viewer.layers.index(layer) for layer in here)
    dyes = any(str(layer.blending) == "additive" for layer in here)
    for number, layer in enumerate(viewer.layers):
        if layer in here or not isinstance(layer, Image) or PROVENANCE in layer.metadata:
            continue
        if dyes if str(layer.blending) == "additive" else number > top:
            layer.visible = False


# -- what can be said only of layers that are in a viewer ------------------------------------------------------------


def attend(viewer: Any) -> None:
    """Finish every result layer that comes into a viewer, however it comes; asked for twice, done once."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # what a dock holds of it goes with the dock
    if KEY in viewer.canvas.overlays:
        return
    viewer.canvas.overlays[KEY] = TextOverlay(position="top_right", visible=False)
    viewer.layers.events.inserted.connect(partial(_inserted, weakref.ref(viewer)))
    viewer.layers.events.removed.connect(partial(_show_key, weakref.ref(viewer)))


def _inserted(viewer: weakref.ref[Any], event: Any) -> None:
    layer = event.value
    if SHOWN in layer.metadata.get(OWN, {}):
        finish(layer)
        layer.events.visible.connect(partial(_show_key, viewer))
        its = _shown(layer)
        hide_earlier(viewer(), its["task"], its["of"], its["run"])
        _show_key(viewer)


def finish(layer: Layer) -> None:
    """Give a layer what napari takes only once it is made: outlines, colour bar, and what it is on hover."""
    # napari shows this text in its layer list; it has no other place for what a layer is.
    layer.get_source_str = partial(tooltip, weakref.ref(layer))
    if isinstance(layer, Image):
        layer.colorbar.visible = True
    elif isinstance(layer, Labels) and not is_mask(_shown(layer)["task"]):
        layer.contour = OUTLINE_PX


def tooltip(layer: weakref.ref[Layer]) -> str:
    """Say what a result layer is and how it was made."""
    one = layer()
    if one is None:
        return ""
    provenance = one.metadata.get(PROVENANCE, {})
    lines = [f"{one.name}{f' ({unit})' if (unit := _shown(one)['unit']) else ''}"]
    if _shown(one).get("output") == PREDICTION:
        lines.append(CAPTION)
    if provenance.get("model"):
        lines.append(f"model: {provenance['model']}")
    lines += [
        f"{name}: {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in provenance.get("params", {}).items()
        if name != "model" and value is not None
    ]
    return "\n".join(lines)


def _shown(layer: Layer) -> dict[str, str]:
    found: dict[str, str] = layer.metadata[OWN][SHOWN]
    return found


def hide_earlier(viewer: Any, task: str, of: str, run: str = "") -> None:
    """Hide what other runs of a task on an image show; of a run without pictures too: an older map is not its own."""
    for other in viewer.layers:
        its = other.metadata.get(OWN, {}).get(SHOWN)
        if its and its["run"] != run and (its["task"], its["of"]) == (task, of):
            other.visible = False


def _show_key(viewer: weakref.ref[Any], event: Any = None) -> None:
    """Say on the canvas which map each visible colour bar belongs to, and its unit."""
    found = viewer()
    if found is None:
        return
    lines = []
    said: set[tuple[Any, ...]] = set()
    for layer in found.layers:
        its = layer.metadata.get(OWN, {}).get(SHOWN)
        if its and layer.visible and isinstance(layer, Image):
            look = (its["kind"], its["unit"], tuple(layer.contrast_limits), layer.colormap.name)
            _show_bar(layer, look not in said)
            if look not in said:
                lines.append(f"{its['kind']}, {its['unit']}" if its["unit"] else its["kind"])
                lines[-1] += f"\n({why})" if (why := held_back(layer)) else ""
            said.add(look)
    overlay = found.canvas.overlays[KEY]
    overlay.text = "\n".join(reversed(lines))
    overlay.visible = bool(lines)


def held_back(layer: Layer) -> str:
    """Say of a prediction on the canvas that it is not to be relied on; empty where nothing speaks against it."""
    flags = layer.metadata.get(PROVENANCE, {}).get("flags", ())
    if _shown(layer).get("output") != PREDICTION:
        return ""
    return next((words for flag, words in NOT_RELIED_ON.items() if flag in flags), "")


def _show_bar(layer: Image, wanted: bool) -> None:
    """Show one colour bar for maps that look alike; one that the user has hidden stays hidden."""
    its = _shown(layer)
    if not wanted and layer.colorbar.visible:
        layer.colorbar.visible, its[SAID_BY] = False, "another"
    elif wanted and its.pop(SAID_BY, ""):
        layer.colorbar.visible = True
