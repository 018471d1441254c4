"""Cross-validation: a recipe cut into folds, whole groups each, alike in what the groups are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from vitascope.core.card import ModelCard
from vitascope.core.errors import ParameterError
from vitascope.recipes.recipe import Recipe


def grouped_folds(strata: Mapping[str, str], count: int, seed: int = 0) -> list[tuple[str, ...]]:
    """Deal groups out into folds, stratum by stratum, so that folds differ by one group of a stratum at most.

    Parameters
    ----------
    strata : mapping
        Stratum of each group, such as the treatment of a patient's spheroids.
    count : int, >= 2
    seed : int
        Of the order within a stratum.

    Returns
    -------
    list of tuple of str
        ``count`` folds; each group stands in one of them.

    Raises
    ------
    ParameterError
        If there are fewer groups than folds.

    Examples
    --------
    >>> sorted(len(fold) for fold in grouped_folds({"a": "x", "b": "x", "c": "y", "d": "y"}, 2))
    [2, 2]
    """
    if count < 2 or count > len(strata):
        raise ParameterError(
            f"{len(strata)} group(s) cannot be cut into {count} folds.",
            "Name the group (patient, plate) of each image in the recipe, and take 2 folds or more.",
        )
    rng = np.random.default_rng(seed)
    folds: list[list[str]] = [[] for _ in range(count)]
    dealt = 0
    for stratum in dict.fromkeys(strata.values()):
        own = [g for g, s in strata.items() if s == stratum]
        for number in rng.permutation(len(own)):
            folds[dealt % count].append(own[number])
            dealt += 1
    return [tuple(sorted(fold)) for fold in folds]


def fold_recipes(recipe: Recipe, count: int) -> list[Recipe]:
    """Return a recipe for each fold, whose groups are its test part; ids end in ``-fold1`` and so on.

    Strata are the pairs' ``treatment``, or their data set where none is told. The next fold validates, unless simulated
    spheroids do.

    Raises
    ------
    ParameterError
        If the recipe is not split by group, lists no pairs, or has fewer groups than folds.
    """
    if recipe.split.by != "group":
        raise ParameterError("Folds are whole groups.", "Set 'by: group' in the recipe's split.")
    strata: dict[str, str] = {}
    for data in recipe.data:
        for pair in data.listed:
            strata.setdefault(pair.group or pair.image, pair.treatment or data.name)
    folds = grouped_folds(strata, count, recipe.split.seed)
    simulated = recipe.volumes is not None and recipe.volumes.simulated[1] > 0
    parts = {"train_groups": (), "validation_fraction": 0.0, "test_fraction": 0.0}
    made = []
    for number, fold in enumerate(folds):
        kept = () if simulated or count == 2 else folds[(number + 1) % count]
        split = recipe.split.model_copy(update={**parts, "test_groups": fold, "validation_groups": kept})
        made.append(recipe.model_copy(update={"id": f"{recipe.id}-fold{number + 1}", "split": split}))
    return made


def fold_table(recipes: Sequence[Recipe], cards: Sequence[ModelCard]) -> pd.DataFrame:
    """Put the folds' test figures into one table, with their mean and standard deviation below.

    Returns
    -------
    DataFrame
        Columns ``fold``, ``test_groups``, ``name``, ``on``, ``value``, ``n``.
    """
    rows = [
        {
            "fold": str(number),
            "test_groups": ";".join(recipe.split.test_groups),
            "name": metric.name,
            "on": metric.on,
            "value": metric.value,
            "n": metric.n,
        }
        for number, (recipe, card) in enumerate(zip(recipes, cards, strict=True), start=1)
        for metric in card.metrics
        if not metric.from_holdout_model
    ]
    table = pd.DataFrame(rows, columns=["fold", "test_groups", "name", "on", "value", "n"])
    if not len(table):
        return table
    groups = table.groupby(["name", "on"], sort=False)["value"]
    summary = [groups.mean().reset_index().assign(fold="mean"), groups.std().reset_index().assign(fold="sd")]
    return pd.concat([table, *summary], ignore_index=True)
