"""Which image the viewer points at: the active one, several that are selected, or a question where it is not clear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image

from vitascope.gui.layers.snapshot import is_result
from vitascope.gui.run.layer_box import Choice, LayerBox, label_free_beside


class ActiveImage:
    """Follows the viewer's active layer.

    Parameters
    ----------
    box : LayerBox
        What is chosen at present.
    one_channel : bool
        Whether the task takes one channel, the label-free one, of a newly opened image.
    """

    def __init__(self, box: LayerBox, one_channel: bool) -> None:
        self._box, self._one_channel = box, one_channel
        self._layers: list[Any] = []
        self._seen: list[Any] | None = None
        self._active: Any = None
        self._selected: list[Any] = []
        self.asked: list[Choice] = []
        """Images of which one has to be chosen; empty where it is clear."""

    def wanted(self, layers: Sequence[Any], selected: Sequence[Any], active: Any, several: Sequence[Choice]) -> Any:
        """Return the layer or the choice that the viewer asks for now; None to leave what is chosen.

        Results are never asked for. Of several images only those that are offered as ``several`` are.
        """
        marked, self._layers = source_images(selected), list(layers)
        if not marked or (active is self._active and set(selected) == set(self._selected)):
            self._seen = list(layers) if self._seen is None else self._seen
            return None
        # napari makes a layer active when it comes: the second time, it is the user who does.
        fresh = self._seen is None or active not in self._seen
        seen = list(layers) if self._seen is None else [*self._seen, active]
        self._seen, self._active, self._selected = [one for one in seen if one in layers], active, list(selected)
        if len(marked) > 1:
            found = next((one for one in several if set(one.layers) == set(marked)), None)
            self._box.explicit = self._box.explicit and found is None
            return found
        if not source_images([active]):
            return None
        chosen = self._box.choice()
        if chosen is not None and (chosen.each or chosen.stacked) and active in chosen.layers:
            # A line of the table of wells, or a channel of the image, was made active.
            return None if chosen.stacked or self._box.explicit else active
        self._box.explicit = not fresh
        return label_free_beside(active, layers) if fresh and self._one_channel else active

    def again(self) -> tuple[list[Any], list[Any], Any]:
        """Return layers, selection and active layer as they were told last."""
        return self._layers, self._selected, self._active

    def ask(self, choices: Sequence[Choice], pinned: bool) -> bool:
        """Ask which image is meant where the channels of several are visible and none was pointed at.

        Returns
        -------
        bool
            Whether the question is another than before.
        """
        seen = [one for one in choices if one.whole and any(layer.visible for layer in one.layers)]
        before, self.asked = self.asked, []
        if len(seen) > 1 and not pinned and not self._box.explicit:
            self.asked = seen
            self._box.show_choice(None)
        elif before and len(seen) == 1 and not self._box.explicit:
            self._box.show_choice(seen[0])
        return [one.text for one in before] != [one.text for one in self.asked]


def source_images(layers: Sequence[Any]) -> list[Image]:
    """Return those layers that are images and no results."""
    return [layer for layer in layers if isinstance(layer, Image) and not is_result(layer)]
