"""What can be set for fine-tuning, of any task, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field

from vitascope.core.micrograph import Micrograph
from vitascope.core.params import FormParams
from vitascope.core.paths import training_folder, user_models
from vitascope.core.training_params import TargetPreparation
from vitascope.io.models.cards import check_model_id, find_cards
from vitascope.ops.geometry.pair_check import CheckProblem
from vitascope.recipes.recipe import AmountSource, LabelledImageSource, Recipe

LAST = {"no more": "", "all but the test part": "but_test", "all": "all"}
KEPT: dict[str, dict[str, float]] = {
    "nothing": {},
    "the first half": {"freeze": 0.5},
    "all that sees the image": {"freeze": 1.0},
    "all but the first layers": {"only_first": 0.4},
}
"""What of the training's parameters each choice sets."""


class FineTuneParams(FormParams):
    """What can be set for "Train"."""

    length: Literal["quick", "full"] = Field(
        "quick",
        title="Recipe",
        description="quick: 10 rounds at a third of the learning rate; full: as long as the starting model's own.",
    )
    freeze: Literal["nothing", "the first half", "all that sees the image", "all but the first layers"] = Field(
        "nothing",
        title="Freeze layers",
        description="Layers of the starting model that do not change. With very few images, keeping the first half "
        "guards what it knows. For the same stain under other optics, change the first layers only.",
    )
    last: Literal["no more", "all but the test part", "all"] = Field(
        "all but the test part",
        title="Retrain on",
        description="Once measured, it is trained once more on the validation part too; or on all, and then the "
        "figures are those of the first training. Takes as long again.",
    )
    by: Literal["image", "well", "plate"] = Field(
        "image",
        title="Keep together",
        description="What must not stand on both sides of the split. Wells of one plate are alike: choose 'plate' "
        "where there are several plates.",
    )
    epochs: int | None = Field(
        None,
        title="Epochs",
        description="Epochs of training; empty takes those of the recipe.",
        ge=1,
        le=100_000,
        json_schema_extra={"advanced": True},
    )
    steps_per_epoch: int | None = Field(
        None,
        title="Steps in a round",
        description="Batches of crops in a round; the model is measured after each round.",
        ge=1,
        le=100_000,
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Size of a step; empty takes that of the recipe.",
        gt=0,
        le=10,
        json_schema_extra={"advanced": True},
    )
    rolling_ball_px: float | None = Field(
        None,
        title="Rolling ball",
        description="Takes the background off the stain before it is learnt: a radius larger than the objects; empty "
        "leaves it.",
        gt=0,
        le=2000,
        json_schema_extra={"advanced": True, "unit": "px"},
    )
    clip_percentile: float | None = Field(
        None,
        title="Clip below",
        description="Makes all of the stain below this percentile 0; the thesis takes 90. Empty leaves it.",
        ge=0,
        lt=100,
        json_schema_extra={"advanced": True, "unit": "%"},
    )
    exposure_filter: bool = Field(
        False,
        title="Leave out badly exposed crops",
        description="Draws fewer crops of the stain that are empty, too dim or saturated.",
        json_schema_extra={"advanced": True},
    )
    force_leak: bool = Field(
        False,
        title="Train although the split leaks",
        description="Figures measured on what was trained on mean nothing; the model's card will say that it was "
        "forced.",
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Start of all random numbers.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )

    @property
    def preparation(self) -> TargetPreparation:
        """What is done to the stain."""
        return TargetPreparation(rolling_ball_px=self.rolling_ball_px, clip_percentile=self.clip_percentile)


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """An image and its truth, as they stood when they were added.

    Parameters
    ----------
    name : str
    image : Micrograph
    targets : mapping of str to array, each (Y, X)
        Stains by name.
    painted : array, shape as the image's planes, integer, optional
        Labels: 0 is not painted, k is the k-th of ``classes``.
    classes : tuple of str
        What the labels mean.
    group : str
        Well, plate, patient or batch; empty: the image is a group of its own.
    channel : str or None
        Label-free channel, where the image has several.
    planes : tuple of int or None
    channels : tuple of str or None
        For a model of several: names or numbers of the image's channels in the model's order.
    values : mapping of str to float
        Numbers of the whole image by name of the target, such as its ATP.
    """

    name: str
    image: Micrograph
    targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    painted: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()
    group: str = ""
    channel: str | None = None
    planes: tuple[int, ...] | None = None
    channels: tuple[str, ...] | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TableData:
    """Images in a folder, with the numbers or classes of a table, or in folders of their class.

    Parameters
    ----------
    folder : str
    source : AmountSource or LabelledImageSource
    name : str
    """

    folder: str
    source: AmountSource | LabelledImageSource
    name: str


@dataclass(frozen=True)
class SetUp:
    """A training run that is ready to begin.

    Parameters
    ----------
    recipe : Recipe
    folder : str
        Where ``recipe.yaml`` and the data lie.
    description : str
        The split, in words and numbers.
    warnings : tuple of str
    """

    recipe: Recipe
    folder: str
    description: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """What a run will take, by a few real steps.

    Parameters
    ----------
    step_s, round_s : float, s
        Of one step, and of measuring the network after each round.
    total_s : float, s
    memory_bytes : int
        By which the program grew.
    start_s : float, s
        For reading and preparing the data.
    tried : int
        Steps whose time was measured.
    process_bytes : int
        The most that the program held, with all its libraries.
    card_bytes : int
        The most that was taken of a graphics card's memory; 0 without one.
    """

    step_s: float
    round_s: float
    total_s: float
    memory_bytes: int
    start_s: float = 0.0
    tried: int = 0
    process_bytes: int = 0
    card_bytes: int = 0


@dataclass(frozen=True)
class CheckedPair:
    """What is wrong with a pair.

    Parameters
    ----------
    shape_yx : tuple of int
    problems : tuple of CheckProblem
    """

    shape_yx: tuple[int, int]
    problems: tuple[CheckProblem, ...]

    @property
    def refused(self) -> bool:
        """Whether it cannot be trained on."""
        return any(p.level == "refused" for p in self.problems)


def free_name(base: str) -> str:
    """Return a name that no model and no training folder has: ``base``, or with a number behind it.

    Raises
    ------
    ParameterError
        If the name cannot be that of a model.
    """
    check_model_id(base)
    taken = set(find_cards())
    name, number = base, 2
    while name in taken or training_folder(name).exists() or (user_models() / f"{name}.json").exists():
        name, number = f"{base[:58]}-{number}", number + 1
    return name
