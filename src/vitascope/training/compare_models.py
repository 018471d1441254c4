"""Two models on the same held-out data: figures side by side, each image under both, and where they differ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd
from torch import nn

from vitascope.core.card import Metric
from vitascope.core.errors import ModelError
from vitascope.core.late_import import import_late
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.training_params import Preview
from vitascope.engine.load_model import load_model
from vitascope.recipes.recipe import Recipe
from vitascope.tasks.comparison import Comparison
from vitascope.tasks.registry import find_task
from vitascope.training.training_task import TrainingTask


@runtime_checkable
class PreparingModule(Protocol):
    """A training module as the comparison sees it: it prepares the data of a recipe."""

    def prepare(self, recipe: Recipe, recipe_folder: Path, network: nn.Module, /) -> ProgressGenerator[TrainingTask]:
        """Read the data of a recipe."""


def compare(first: str, second: str, recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[Comparison]:
    """Measure two models of one task on the test part of a recipe's data, each on images prepared as its card says.

    Parameters
    ----------
    first, second : str
        Ids, or paths of cards.
    recipe : Recipe
        Its data and split count; the network is each model's own.
    recipe_folder : Path

    Raises
    ------
    ModelError
        If the recipe keeps no test part, or a model predicts something else than the recipe measures.
    """
    measured: list[list[Metric]] = []
    shown: list[list[Preview]] = []
    ids = []
    prepare = import_late(find_task(recipe.task).training, PreparingModule).prepare
    for number, model in enumerate((first, second)):
        loaded = load_model(model, recipe.task)
        if [t.name for t in loaded.card.targets] != [t.name for t in recipe.targets]:
            raise ModelError(
                f"The model {loaded.card.id} predicts {', '.join(t.name for t in loaded.card.targets)}, the recipe "
                f"measures {', '.join(t.name for t in recipe.targets)}.",
                "Compare models of the same targets.",
            )
        own = recipe.model_copy(update={"input": loaded.card.input, "network": loaded.card.architecture})
        trainee = yield from prepare(own, recipe_folder, loaded.network)
        yield Progress(number, 2, f"measuring {loaded.card.id}")
        measured.append(trainee.metrics(loaded.network))
        shown.append(trainee.held_out(loaded.network))
        ids.append(loaded.card.id)
    if not measured[0]:
        raise ModelError(f"The recipe {recipe.id} keeps no test part.", "Name a share or groups to test on.")
    yield Progress(2, 2, "measuring")
    pictures = tuple(zip(shown[0], shown[1], strict=True))
    return Comparison(ids[0], ids[1], figures(measured[0], measured[1]), pictures)


def figures(first: list[Metric], second: list[Metric]) -> pd.DataFrame:
    """Put the figures of two models side by side."""
    others = {m.name: m for m in second}
    rows = []
    for one in first:
        other = others.get(one.name)
        if other is None:
            continue
        rows.append(
            {
                "figure": f"{one.name} ({one.unit})" if one.unit else one.name,
                "first": one.value,
                "first_low": one.low if one.low is not None else math.nan,
                "first_high": one.high if one.high is not None else math.nan,
                "second": other.value,
                "second_low": other.low if other.low is not None else math.nan,
                "second_high": other.high if other.high is not None else math.nan,
                "difference": float(f"{other.value - one.value:.4g}"),
                "n": one.n,
            }
        )
    return pd.DataFrame(rows)
