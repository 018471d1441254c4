"""Layers that make a pair of image and truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.gui.layers.snapshot import Snapshot
from vitascope.gui.train.annotations import ANNOTATIONS, SIDE_PX, painted_from
from vitascope.recipes.finetune import CheckedPair, TrainingPair
from vitascope.recipes.folder_pairs import FilePair
from vitascope.tasks.late_modules import load_pair_checks
from vitascope.tasks.spec import TaskSpec

MASKS = "masks"
"""Of a Labels layer: 0 is background, all else objects."""

WARN_SIGN, BAD_SIGN, GOOD_SIGN = "⚠", "✗", "✓"


@dataclass(frozen=True, eq=False)
class LayerPair:
    """Layers that make a pair; their pixels are copied when training starts, not before.

    Parameters
    ----------
    image : Snapshot
    asked : mapping
        Channel and planes.
    truths : mapping of str to layer
        By the name of the stain; a Labels, Points or Shapes layer under "".
    meaning : str
        Of a Labels layer with painted objects.
    classes : tuple of str
    group : str
    column : str
        Of the features of a Points or Shapes layer: the class.
    side_px : float
        Of the square around each point.
    values : dict
        Measured number by the name of the target.
    """

    image: Snapshot
    asked: dict[str, Any]
    truths: dict[str, Any]
    meaning: str
    classes: tuple[str, ...]
    group: str
    column: str = ""
    side_px: float = SIDE_PX
    values: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the image."""
        return self.image.name

    def of_value(self, target: str, value: float, group: str) -> LayerPair:
        """Return the same image with a measured number, in a group."""
        return replace(self, values={target: value}, group=group)

    def pair(self) -> TrainingPair:
        """Copy what the layers hold now.

        Raises
        ------
        InputError
            If points or shapes tell no class.
        """
        painted: NDArray[Any] | None = None
        targets = {}
        sizes = self.image.sizes
        for name, layer in self.truths.items():
            if isinstance(layer, ANNOTATIONS):
                shape_yx = (sizes["Y"], sizes["X"])
                painted = painted_from(layer, self.image.frame, shape_yx, self.column, self.side_px, self.classes)
                continue
            pixels = np.squeeze(np.array(layer.data[0] if layer.multiscale else layer.data))
            if isinstance(layer, Labels):
                painted = np.where(pixels > 0, 2, 1).astype(np.uint8) if self.meaning == MASKS else pixels
            else:
                targets[name] = pixels
        return TrainingPair(
            name=self.name,
            image=self.image.micrograph(),
            targets=targets,
            painted=painted,
            classes=self.classes,
            group=self.group,
            channel=self.asked.get("channel"),
            planes=self.asked.get("planes"),
            channels=self.asked.get("channels"),
            values=self.values,
        )


def look_at(pair: LayerPair | FilePair, spec: TaskSpec, card: ModelCard) -> CheckedPair:
    """Look at what layers or files hold now, as training would; not in the main thread."""
    return load_pair_checks().check(pair.pair(), card.input, spec.trained_on.truth)
