"""What models of a task are trained on: the kind of truth, what its labels mean, and how it is split."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Truth(StrEnum):
    """What says what an image shows."""

    PICTURES = "pictures"
    """A picture for each target of the model, such as a real stain, or painted objects."""
    CLASSES = "classes"
    """A class for each painted place of an image, or for the whole of it; also read from tables and folders."""
    VOLUMES = "volumes"
    """A class for each painted voxel of a volume."""
    NUMBERS = "numbers"
    """A measured number for each image, typed in or read from a table."""

    @property
    def in_layers(self) -> bool:
        """Whether a layer can hold it beside the image."""
        return self is not Truth.NUMBERS

    @property
    def in_tables(self) -> bool:
        """Whether a table can hold it."""
        return self in (Truth.CLASSES, Truth.NUMBERS)


class SplitRule(StrEnum):
    """How pairs are split into what is trained on and what is kept apart."""

    GROUPS = "groups"
    """By whole groups (well, plate, patient), of which there must be three."""
    GROUPS_OR_ROWS = "groups or rows"
    """By whole groups; where there are fewer than three, by rows of every image, a guard band between them."""
    VOLUMES_OR_ROWS = "volumes or rows"
    """By whole volumes; a single one by the rows on which cells are painted."""


@dataclass(frozen=True)
class TrainingData:
    """What models of a task are trained on.

    Parameters
    ----------
    truth : Truth
    hint : str
        What the form says of the layer that holds the truth; ``{classes}`` becomes the labels and their meanings.
    classes : tuple of str
        What the labels 1, 2, 3 … mean; empty takes the targets of the model.
    split : SplitRule
    turned : bool
        Whether crops are turned by any angle, for which the area they are cut from must be larger than they are.
    extensive : bool
        Whether the number is an amount of all that the image shows, as ATP is and a share is not: of two images laid
        over each other the numbers add up, and nothing of an image may be cut off.
    """

    truth: Truth
    hint: str = ""
    classes: tuple[str, ...] = ()
    split: SplitRule = SplitRule.GROUPS
    turned: bool = False
    extensive: bool = False
