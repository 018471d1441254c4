"""The first part of every dock: which layers to run on, and what their dimensions, channels and pixels are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from vitascope.core.axes import possible_axes
from vitascope.core.channels import label_free_channel
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.flags import FLAGS
from vitascope.gui.common.form import WRONG_STYLE, parse_numbers
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow
from vitascope.gui.layers.snapshot import (
    AXES,
    AXES_UNKNOWN,
    OF_FOLDER,
    OWN,
    Snapshot,
    axes_told,
    guess_axes,
    is_colourful,
    remember,
    share_told,
    snapshot_layers,
)
from vitascope.gui.run.active_image import ActiveImage, source_images
from vitascope.gui.run.layer_box import (
    Choice,
    LayerBox,
    list_choices,
    list_each,
    same_choice,
)
from vitascope.tasks.spec import TaskSpec

EMPTY = "Open an image, or File ▸ Open Sample ▸ vitascope."
GREY = "Its grey values are used: 21 % red, 72 % green, 7 % blue (ITU-R BT.709)."
DIMENSIONS = (
    "Nothing tells what the layer's pictures are: planes of focus, times or channels. Choose it under Dimensions."
)
AS_IN_FOLDER = "Dimensions as you said of another image of this folder with as many pictures."
AXIS_WORDS = {"T": "times", "C": "channels", "Z": "planes"}


@dataclass(frozen=True)
class Cure:
    """What mends a problem in one click: the text of a button, and what it does."""

    text: str
    act: Callable[[], None]


class InputBox(QWidget):  # type: ignore[misc]
    """Layers, and how to read them.

    Parameters
    ----------
    spec : TaskSpec
        Its roles become layer boxes; ``channel``, ``channels`` and ``planes`` are asked for where its parameters have
        them.
    each : bool
        Whether several layers are offered as images of their own, see :meth:`each`.
    follows : bool
        Whether the image is the viewer's active one unless it is pinned; else the first choice stays.
    """

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(
        self, spec: TaskSpec, each: bool = False, follows: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._spec, self._each, self._follows = spec, each, follows
        self.pin = QPushButton("Pin")
        self.layer_boxes = {role.name: LayerBox(role) for role in spec.roles}
        self.main = self.layer_boxes[spec.roles[0].name]
        self._viewer = ActiveImage(self.main, "channel" in spec.params.model_fields)
        self.axes = QComboBox()
        self.channel = QComboBox()
        self._model_channel = ""
        self._layers: Sequence[Image] = ()
        self._told: dict[tuple[Any, ...], Any] = {}
        self._guessed: str | None = None
        self._colourful = False
        self.channels, self.planes = QLineEdit(), QLineEdit()
        self.pixel_size = QLineEdit()
        self.note = make_note()
        self._lay_out()
        for box in self.layer_boxes.values():
            box.currentIndexChanged.connect(self._layer_changed)
        self.pin.toggled.connect(self.reload)
        self.axes.activated.connect(self._axes_chosen)
        self.channel.currentIndexChanged.connect(lambda _: self.valueChanged.emit())
        for edit in (self.planes, self.channels):
            edit.textChanged.connect(lambda _: self._check())
        self.pixel_size.editingFinished.connect(self._pixel_size_given)
        self.pixel_size.textEdited.connect(lambda _: self._check())
        self._layer_changed()

    def _lay_out(self) -> None:
        self.form = make_form()
        self.pin.setCheckable(True)
        self.pin.setToolTip("Keep this image, also when another layer is made active.")
        self.pin.setVisible(self._follows)
        main_row = QWidget()
        beside = QHBoxLayout(main_row)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(self.main, 1)
        beside.addWidget(self.pin)
        add_row(self.form, self._spec.roles[0].title, main_row, self._spec.roles[0].description, self.main)
        add_row(
            self.form, "Dimensions", self.axes, "What the layer's dimensions are, from the first slider to the picture."
        )
        add_row(self.form, "Channel", self.channel, "The channel with the label-free image.")
        add_row(
            self.form,
            "Channels",
            self.channels,
            "Channels of the image in the order of the model's, by name or by number from 0, such as DNA, GFP; empty "
            "takes those whose names tell.",
        )
        add_row(
            self.form,
            "Planes",
            self.planes,
            "Planes of the z-stack to use, from 0, such as 0-6 or 0, 2, 4; empty takes all of them.",
        )
        size_row = QWidget()
        across = QHBoxLayout(size_row)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.pixel_size)
        across.addWidget(QLabel("µm"))
        add_row(
            self.form,
            "Pixel size",
            size_row,
            "Side of a pixel in micrometres, kept with the layer. Empty: not known; sizes are then given in pixels.",
            self.pixel_size,
        )
        for role in self._spec.roles[1:]:
            add_row(self.form, role.title, self.layer_boxes[role.name], role.description)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.form)
        layout.addWidget(self.note)
        for box in (self.axes, self.channel):
            narrow(box)
        others = [box for box in self.layer_boxes.values() if box is not self.main]
        in_order = [self.main, self.pin, self.axes, self.channel, self.channels, self.planes, self.pixel_size, *others]
        for first, second in pairwise(in_order):
            QWidget.setTabOrder(first, second)

    def set_layers(self, layers: Sequence[Any], selected: Sequence[Any], active: Any) -> None:
        """Take note of the viewer's layers, which are selected, and which one is active."""
        self._layers = [layer for layer in layers if isinstance(layer, Image)]
        share_told(self._layers, self._told)
        choices = list_choices(layers, selected, "channels" in self._spec.params.model_fields)
        several = list_each(layers, selected) if self._each else []
        before = {name: box.choice() for name, box in self.layer_boxes.items()}
        for box in self.layer_boxes.values():
            if box is not self.main:
                box.set_choices(choices, active)
        offered = [*several, *choices] if len(source_images(selected)) > 1 else [*choices, *several]
        wanted = self._wanted(layers, selected, active, several)
        self.main.set_choices(offered, active if wanted is None else wanted, wanted is not None)
        asked = self._follows and self._viewer.ask(choices, self.pin.isChecked())
        if asked or any(not same_choice(before[name], box.choice()) for name, box in self.layer_boxes.items()):
            self._layer_changed()

    def _wanted(self, layers: Sequence[Any], selected: Sequence[Any], active: Any, several: list[Choice]) -> Any:
        """Return what the viewer points at; None to leave what is chosen, as while it is pinned."""
        chosen = self.main.choice()
        if self.pin.isChecked() and (chosen is None or not all(layer in layers for layer in chosen.layers)):
            self.pin.setChecked(False)
        wanted = self._viewer.wanted(layers, selected, active, several)
        return wanted if self._follows and not self.pin.isChecked() else None

    def reload(self, *_: object) -> None:
        """Look at the layers again: pixels, scale or visibility were changed, or the pin."""
        self.set_layers(*self._viewer.again())
        self._read_layer()

    def image_name(self) -> str:
        """Return what the chosen image, or all of them, are called; empty for none."""
        choice = self.main.choice()
        return choice.name if choice is not None else ""

    def layers(self) -> tuple[Image, ...]:
        """Return the chosen layers of the image, or of all of them."""
        choice = self.main.choice()
        return choice.layers if choice is not None else ()

    def pixel_size_um(self) -> float | None:
        """Return the pixel size of the chosen image; None where it is not known, or no image is chosen."""
        snapshot = self._snapshot(self.main)
        return snapshot.scale.pixel_size_um if snapshot is not None else None

    def key(self) -> tuple[Any, ...]:
        """Return what tells whether layers, or their pixels, are others than they were."""
        found: list[Any] = []
        for name, box in self.layer_boxes.items():
            choice, snapshot = box.choice(), self._snapshot(box)
            if choice is not None and snapshot is not None:
                pixels = [(layer.unique_id, id(layer.data)) for layer in choice.layers]
                found.append((name, choice.stacked, snapshot.axes, snapshot.scale, pixels))
        return tuple(found)

    def set_model_channel(self, name: str) -> None:
        """Take note of what the model calls its channel; a channel that the user chose stays chosen."""
        changed = name != self._model_channel
        self._model_channel = name
        if changed and self.channel.count() and self.channel.currentData() == self._guessed:
            self._offer_channels(self._offered())
            self.valueChanged.emit()

    def _layer_changed(self) -> None:
        choice = self.main.choice()
        layer = choice.layers[0] if choice else None
        self._show_axes(layer, choice)
        self._read_layer()

    def _show_axes(self, layer: Image | None, choice: Choice | None) -> None:
        self.axes.blockSignals(True)
        self.axes.clear()
        ways = possible_axes(layer.ndim) if layer is not None and choice is not None and not choice.stacked else ()
        shape = (layer.data[0] if layer.multiscale else layer.data).shape if layer is not None else ()
        told = layer is None or len(ways) < 2 or axes_told(layer)
        if not told:
            self.axes.addItem("choose …", None)
        for way in ways:
            words = [f"{n} {AXIS_WORDS[a]}" for a, n in zip(way, shape, strict=False) if a in AXIS_WORDS]
            self.axes.addItem(" × ".join(words), way)
        if layer is not None and ways and told:
            self.axes.setCurrentIndex(max(0, self.axes.findData(guess_axes(layer))))
        self.axes.blockSignals(False)
        self._show_row(self.axes, len(ways) > 1)

    def _axes_chosen(self) -> None:
        choice = self.main.choice()
        if choice is not None and self.axes.currentData() is not None:
            remember(choice.layers[0], axes=self.axes.currentData(), axes_of_folder=False)
            share_told(self._layers, self._told)
        self._read_layer()

    def _read_layer(self) -> None:
        """Show channels, planes and pixel size of the chosen layer, read along the chosen axes."""
        choice = self.main.choice()
        self._colourful = choice is not None and any(is_colourful(layer) for layer in choice.layers)
        snapshot = self._snapshot(self.main)
        sizes = snapshot.sizes if snapshot is not None else {"C": 1, "Z": 1}
        fields = self._spec.params.model_fields
        self._show_row(self.channel, "channel" in fields and sizes["C"] > 1)
        self._show_row(self.channels, "channels" in fields and sizes["C"] > 1)
        self._show_row(self.planes, "planes" in fields and sizes["Z"] > 1)
        self._show_row(self.pixel_size, snapshot is not None)
        self.planes.setPlaceholderText(f"all {sizes['Z']}")
        if snapshot is not None:
            self._show_channels(snapshot)
            self._show_pixel_size(snapshot)
        self.pin.setEnabled(snapshot is not None)
        self._show_note(snapshot)
        self._check()

    def _show_channels(self, snapshot: Snapshot) -> None:
        names = snapshot.scale.channel_names or tuple(str(i) for i in range(snapshot.sizes["C"]))
        self.channels.setPlaceholderText(f"by name, out of {', '.join(names)}")
        if names != self._offered():
            self._offer_channels(names)

    def _offered(self) -> tuple[str, ...]:
        """Return the channels that can be chosen."""
        found = (self.channel.itemData(i) for i in range(self.channel.count()))
        return tuple(name for name in found if name)

    def _offer_channels(self, names: tuple[str, ...]) -> None:
        """Let one of these be chosen, and choose the one that a run without a choice would take."""
        told = label_free_channel(names, self._model_channel)
        self.channel.blockSignals(True)
        self.channel.clear()
        if told is None:
            self.channel.addItem("choose …", None)
        for name in names:
            self.channel.addItem(name, name)
        self._guessed = None if told is None else names[told]
        self.channel.setCurrentIndex(max(0, self.channel.findData(self._guessed)))
        self.channel.blockSignals(False)

    def _show_pixel_size(self, snapshot: Snapshot) -> None:
        size = snapshot.scale.pixel_size_um
        self.pixel_size.setText("" if size is None else f"{size:g}" if float(f"{size:g}") == size else repr(size))
        self.pixel_size.setPlaceholderText("not known")

    def _show_note(self, snapshot: Snapshot | None) -> None:
        choice = self.main.choice()
        if snapshot is None or choice is None:
            self.note.setText(self._missing())
        else:
            words = [FLAGS[flag].text for flag in snapshot.scale.flags]
            own = choice.layers[0].metadata.get(OWN, {})
            grey = GREY if own.get("grey") else ""
            told = own.get("note", "") if not (own.get(AXES_UNKNOWN) and own.get(AXES)) else ""
            alike = AS_IN_FOLDER if own.get(f"{AXES}{OF_FOLDER}") else ""
            self.note.setText(" ".join(filter(None, [*words, grey, told, alike])))
        self.note.setVisible(bool(self.note.text()))

    def _missing(self) -> str:
        """Say why there is no image."""
        asked = self._viewer.asked
        if not asked:
            return EMPTY
        names = " and ".join(one.name for one in asked[:3])
        return f"The channels of {len(asked)} images are visible ({names}). Choose the one to run on."

    def commit(self) -> None:
        """Take over a pixel size that is typed but not yet confirmed."""
        self._pixel_size_given()

    def _pixel_size_given(self) -> None:
        choice = self.main.choice()
        if choice is None or not self.pixel_size.isModified():
            return
        self.pixel_size.setModified(False)
        try:
            size = self._typed_pixel_size()
        except ParameterError:
            return
        for layer in choice.layers:
            remember(layer, pixel_size_um=size, pixel_size_um_of_folder=False)
        share_told(self._layers, self._told)
        self._read_layer()

    def _typed_pixel_size(self) -> float | None:
        text = self.pixel_size.text().strip().replace(",", ".")
        if not text:
            return None
        try:
            size = float(text)
        except ValueError:
            size = float("nan")
        if not 0 < size < float("inf"):
            raise ParameterError(
                f"The pixel size '{text}' is no length.", "Type micrometres per pixel, such as 0.65, or leave it empty."
            )
        return size

    def _typed_planes(self) -> tuple[int, ...] | None:
        if not self.form.isRowVisible(self.planes) or not self.planes.text().strip():
            return None
        found = parse_numbers(self.planes.text())
        if not found or not all(isinstance(n, int) for n in found):
            raise ParameterError(f"The planes '{self.planes.text()}' cannot be read.", "Type 0-6, or 0, 2, 4.")
        return found

    def _typed_channels(self) -> tuple[str, ...] | None:
        if not self.form.isRowVisible(self.channels):
            return None
        return tuple(c.strip() for c in self.channels.text().split(",") if c.strip()) or None

    def _check(self) -> None:
        for edit, read in ((self.pixel_size, self._typed_pixel_size), (self.planes, self._typed_planes)):
            try:
                read()
            except ParameterError:
                edit.setStyleSheet(WRONG_STYLE)
            else:
                edit.setStyleSheet("")
        self.valueChanged.emit()

    def _snapshot(self, box: LayerBox) -> Snapshot | None:
        choice = box.choice()
        if choice is None:
            return None
        axes = self.axes.currentData() if box is self.main and not choice.stacked else None
        return snapshot_layers(choice.layers[:1] if choice.each else choice.layers, axes, choice.stacked)

    def _show_row(self, widget: QWidget, visible: bool) -> None:
        row = widget.parentWidget() if widget is self.pixel_size else widget
        self.form.setRowVisible(row, visible)

    def cure(self) -> Cure | None:
        """Return what mends the problem in one click; None where there is no such thing."""
        choice = self.main.choice()
        if choice is None or not self._colourful:
            return None

        def use_grey() -> None:
            for layer in choice.layers:
                remember(layer, grey=True)
            self._read_layer()

        return Cure("Use its grey values" if len(choice.layers) == 1 else "Use their grey values", use_grey)

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        try:
            self.value()
        except (InputError, ParameterError) as error:
            return error.in_dock
        return ""

    def value(self) -> tuple[dict[str, Snapshot], dict[str, Any]]:
        """Return the layers by role as they are now, and the parameters that are asked for here.

        Raises
        ------
        InputError
            If a layer is missing, or a colour picture.
        ParameterError
            If the pixel size or the planes cannot be read, or the dimensions or the channel are not chosen.
        """
        if self.axes.count() and self.axes.currentData() is None:
            choice = self.main.choice()
            note = choice.layers[0].metadata.get(OWN, {}).get("note", "") if choice is not None else ""
            raise ParameterError(note or DIMENSIONS)
        found: dict[str, Snapshot] = {}
        for name, box in self.layer_boxes.items():
            snapshot = self._snapshot(box)
            if snapshot is not None:
                found[name] = snapshot
            elif not box.role.optional:
                raise InputError(self._missing() if box is self.main else f"Choose the layer with: {box.role.title}.")
        if self._colourful:
            raise InputError("The image is a colour picture, and the models see grey values.", flag="colour_image")
        values: dict[str, Any] = {}
        self._typed_pixel_size()
        if "planes" in self._spec.params.model_fields:
            values["planes"] = self._typed_planes()
        if "channels" in self._spec.params.model_fields:
            values["channels"] = self._typed_channels()
        if "channel" in self._spec.params.model_fields:
            values["channel"] = self._chosen_channel()
        return found, values

    def each(self) -> tuple[Image, ...]:
        """Return the layers that are to be run on one by one; none where one image is chosen."""
        choice = self.main.choice()
        return choice.layers if choice is not None and choice.each else ()

    def _chosen_channel(self) -> str | None:
        if not self.form.isRowVisible(self.channel):
            return None
        channel: str | None = self.channel.currentData()
        if channel is None:
            raise ParameterError("The image has several channels.", "Choose the label-free one.")
        return channel
