"""A box that offers what a run can be made on: one layer, several as one image, or several one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari.layers import Image
from qtpy.QtWidgets import QComboBox, QWidget

from vitascope.core.channels import is_label_free
from vitascope.gui.common.layout import narrow
from vitascope.gui.layers.snapshot import OWN, is_result, own_name
from vitascope.io.filenames.parse import natural
from vitascope.tasks.spec import Role

ONE_BY_ONE = ", one by one"
CHOOSE = "choose …"


@dataclass(frozen=True, eq=False)
class Choice:
    """What a layer box offers: one layer, several as planes or channels of one image, or several one by one.

    Parameters
    ----------
    text : str
    layers : tuple of Image
    stacked : {"", "Z", "C"}
    whole : bool
        Whether the layers are all channels of an image that our reader opened.
    each : {"", "all", "selected"}
        Whether the layers are images of their own, to be run on one by one: all there are, or those selected.
    """

    text: str
    layers: tuple[Image, ...]
    stacked: Literal["", "Z", "C"] = ""
    whole: bool = False
    each: Literal["", "all", "selected"] = ""

    @property
    def name(self) -> str:
        """What the image, or all of them, are called on buttons and in headlines."""
        if self.whole:
            return str(self.layers[0].metadata[OWN]["image"])
        return self.text.removesuffix(ONE_BY_ONE)


def list_choices(layers: Sequence[Any], selected: Sequence[Any], whole: bool = False) -> list[Choice]:
    """List what can be run on: image layers, the uppermost first and results last, then the selected ones together.

    With ``whole``, images whose channels lie in several layers come first, and two volumes are offered together last.
    """
    images = [layer for layer in reversed(layers) if isinstance(layer, Image)]
    images.sort(key=is_result)
    choices = [*whole_images(images), *(Choice(layer.name, (layer,)) for layer in images)]
    if not whole:
        choices = [choice for choice in choices if not choice.whole]
    together = [layer for layer in layers if layer in selected and isinstance(layer, Image) and layer.ndim < 4]
    if len(together) > 1 and len({layer.ndim for layer in together}) == 1:
        together.sort(key=lambda layer: natural(layer.name))
        if together[0].ndim == 2:
            choices.append(Choice(f"{len(together)} selected layers as planes", tuple(together), "Z"))
        choices.append(Choice(f"{len(together)} selected layers as channels", tuple(together), "C"))
    if whole and len(pair := loose_pair(images)) == 2 and set(pair) != set(together):
        choices.append(Choice(f"{pair[0].name} and {pair[1].name} as channels", pair, "C"))
    return choices


def loose_pair(images: Sequence[Image]) -> tuple[Image, ...]:
    """Return the volumes that are no channels of a whole image and no results, by name; none if their shapes differ."""
    taken = {id(layer) for choice in whole_images(images) for layer in choice.layers}
    loose = [layer for layer in images if layer.ndim == 3 and not is_result(layer) and id(layer) not in taken]
    loose.sort(key=lambda layer: natural(layer.name))
    return tuple(loose) if len({layer.data.shape for layer in loose}) == 1 else ()


def whole_images(images: Sequence[Image]) -> list[Choice]:
    """List the images whose channels our reader put into several layers, each with all of them in their order."""
    found: dict[tuple[Any, ...], list[Image]] = {}
    for layer in images:
        own = layer.metadata.get(OWN, {})
        if own.get("channel") is not None and layer.ndim < 5 and not is_result(layer):
            found.setdefault((own.get("image"), own.get("sources")), []).append(layer)
    choices = []
    for (name, _), layers in found.items():
        layers.sort(key=lambda layer: layer.metadata[OWN]["channel"])
        if [layer.metadata[OWN]["channel"] for layer in layers] == list(range(len(layers))) and len(layers) > 1:
            choices.append(Choice(f"{name}, {len(layers)} channels", tuple(layers), "C", whole=True))
    return choices


def list_each(layers: Sequence[Any], selected: Sequence[Any]) -> list[Choice]:
    """List the images that can be run on one by one: those that are selected, and all of them.

    Results are left out, and stains where other layers are known to show transmitted light.
    """
    images = [layer for layer in layers if isinstance(layer, Image) and not is_result(layer)]
    free = [layer for layer in images if is_label_free(" ".join(layer.metadata.get(OWN, {}).get("channel_names", ())))]
    named = [layer for layer in images if layer.metadata.get(OWN, {}).get("channel_names")]
    if free:
        images = [layer for layer in images if layer in free or layer not in named]
    images.sort(key=lambda layer: natural(layer.name))
    chosen = [layer for layer in images if layer in selected]
    choices = []
    if 1 < len(chosen) < len(images):
        choices.append(Choice(f"all {len(chosen)} images selected{ONE_BY_ONE}", tuple(chosen), each="selected"))
    if len(images) > 1:
        choices.append(Choice(f"all {len(images)} images{ONE_BY_ONE}", tuple(images), each="all"))
    return choices


def label_free_beside(layer: Any, layers: Sequence[Any]) -> Any:
    """Return the label-free channel of the image that a stain belongs to; the layer itself where there is none."""
    own = layer.metadata.get(OWN, {})
    if own.get("channel") is None or is_label_free(own_name(layer)):
        return layer
    beside = [one for one in layers if _same_image(one, own) and is_label_free(own_name(one))]
    return beside[0] if beside else layer


def _same_image(layer: Any, own: dict[str, Any]) -> bool:
    its = layer.metadata.get(OWN, {})
    return isinstance(layer, Image) and (its.get("image"), its.get("sources")) == (own["image"], own["sources"])


class LayerBox(QComboBox):  # type: ignore[misc]
    """Chooses a layer, and keeps it while others come and go."""

    def __init__(self, role: Role, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.role = role
        self.explicit = False
        """Whether the user chose what is chosen, rather than the viewer's active layer."""
        self.setPlaceholderText(CHOOSE)
        self.currentIndexChanged.connect(self._chosen)
        self.setToolTip(role.description)
        self.setAccessibleName(role.title)
        narrow(self)

    def _chosen(self, index: int) -> None:
        self.explicit = index >= 0

    def set_choices(self, choices: Sequence[Choice], preferred: Any = None, follow: bool = False) -> None:
        """Offer other layers; the chosen one stays if it is still there, else ``preferred`` is taken.

        With ``follow``, ``preferred`` is taken in any case: a layer, or a choice.
        """
        before = None if follow else self.choice()
        if before is not None and before.each == "selected" and not any(same_choice(c, before) for c in choices):
            # The selection moves on with the table of results: what was chosen by it stays.
            here = {id(layer) for c in choices for layer in c.layers}
            if all(id(layer) in here for layer in before.layers):
                choices = [*choices, before]
        if before is not None and not before.stacked and not before.each and self._grew(before, choices):
            preferred, before = before.layers[0], None
        self.blockSignals(True)
        self.clear()
        if self.role.optional:
            self.addItem("none", None)
        for choice in choices:
            self.addItem(choice.text, choice)
        self.setCurrentIndex(self._find(before, preferred))
        if not follow:
            self.explicit = self.explicit and self._stayed(before)
        self.blockSignals(False)

    def _stayed(self, before: Choice | None) -> bool:
        after = self.choice()
        together = before is not None and after is not None and before.each == after.each != ""
        return together or same_choice(before, after)

    def show_choice(self, choice: Choice | None) -> None:
        """Show another choice without telling; None for none."""
        self.blockSignals(True)
        offered = [self.itemData(i) for i in range(self.count())]
        found = (i for i, one in enumerate(offered) if choice is not None and same_choice(one, choice))
        self.setCurrentIndex(next(found, -1))
        self.blockSignals(False)

    def _grew(self, before: Choice, choices: Sequence[Choice]) -> bool:
        """Tell whether the chosen layer has just become a channel of a whole image: they come one by one."""
        known = [self.itemData(i) for i in range(self.count())]
        return any(
            choice.whole and before.layers[0] in choice.layers
            for choice in choices
            if not any(same_choice(choice, one) for one in known)
        )

    def _find(self, before: Choice | None, preferred: Any) -> int:
        offered = [self.itemData(i) for i in range(self.count())]
        for i, choice in enumerate(offered):
            if before is None or choice is None or (choice.stacked, choice.each) != (before.stacked, before.each):
                continue
            stays = before.each == "all" or (before.stacked and not before.whole and not choice.whole)
            if choice.layers == before.layers or stays:
                return i
        if self.role.optional:
            return 0
        if isinstance(preferred, Choice):
            return next((i for i, choice in enumerate(offered) if same_choice(choice, preferred)), -1)
        for i, choice in enumerate(offered):
            if choice.whole and any(layer is preferred for layer in choice.layers):
                return i
        for i, choice in enumerate(offered):
            if choice.layers == (preferred,) and not is_result(preferred):
                return i
        fresh = [i for i, choice in enumerate(offered) if not is_result(choice.layers[0])]
        return fresh[0] if fresh else -1

    def choice(self) -> Choice | None:
        """Return what is chosen; None for nothing."""
        found: Choice | None = self.currentData()
        return found

    def choose(self, layer: Any) -> None:
        """Choose a layer, if it is offered."""
        for i in range(self.count()):
            choice = self.itemData(i)
            if choice is not None and choice.layers == (layer,):
                self.setCurrentIndex(i)


def same_choice(a: Choice | None, b: Choice | None) -> bool:
    """Tell whether two choices are the same layers in the same way."""
    if a is None or b is None:
        return a is b
    return a.layers == b.layers and (a.stacked, a.each) == (b.stacked, b.each)
