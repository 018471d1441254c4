"""What a task brings to training: an abstract base whose defaults hold for tasks that have no such thing."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from vitascope.core.card import Domain, InputSpec, Intervals, Metric, Target
from vitascope.core.training_params import Preview
from vitascope.recipes.recipe import Recipe
from vitascope.training.loop.loop import TrainingJob


class TrainingTask(TrainingJob):
    """Data and loss for the loop, then what the card says of them.

    Parameters
    ----------
    recipe : Recipe
    network : nn.Module
        Trained in place.
    input : InputSpec
        The recipe's, completed by what was found in the data.
    description : str
        Tells the split.

    Attributes
    ----------
    targets : tuple of Target
        The recipe's; subclasses complete them by what was found in the data.
    counts : dict
        How much of what there is.
    notes : tuple of str
        What the card is to warn of.
    fingerprints : tuple of str
        Of the raw planes that are trained or validated on.
    hashes : dict
        Files and their sha256 of the data sets whose recipe lists none.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, input: InputSpec, description: str) -> None:
        self.network, self.input, self.description = network, input, description
        self.targets: tuple[Target, ...] = recipe.targets
        self.counts: dict[str, int] = {}
        self.notes: tuple[str, ...] = ()
        self.fingerprints: tuple[str, ...] = ()
        self.hashes: dict[str, dict[str, str]] = {}

    @abstractmethod
    def metrics(self, network: nn.Module) -> list[Metric]:
        """Measure the trained network on what was kept apart; empty where nothing was."""

    @abstractmethod
    def domain(self, network: nn.Module) -> Domain | None:
        """Describe the training images."""

    def held_out(self, network: nn.Module) -> list[Preview]:
        """Return the test part as a network predicts it; empty where the task shows none."""
        return []

    def default_params(self, network: nn.Module) -> dict[str, float]:
        """Choose values of the task's parameters that hold for this model, on training data.

        Empty where the parameters' own defaults hold for all models.
        """
        return {}

    def intervals(self, network: nn.Module) -> Intervals | None:
        """Calibrate the intervals of the model's numbers on what it was not trained on; None where it gives none."""
        return None

    def fit_head(self, network: nn.Module) -> bool:
        """Fit the last layers alone to the training data, in place, and return whether the task does that.

        It is for tasks whose numbers another laboratory has in another unit.
        """
        return False

    def quick_answer(self, network: nn.Module) -> nn.Module | None:
        """Return a network that was fitted to the training data in seconds, without training; None where there is none.

        It is measured beside the start, and kept where training does no better.
        """
        return None
