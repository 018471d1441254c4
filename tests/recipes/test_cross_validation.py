import pytest

from vitascope.core.card import Metric
from vitascope.core.errors import ParameterError
from vitascope.recipes.cross_validation import fold_recipes, fold_table, grouped_folds
from vitascope.recipes.recipe import parse_recipe

STRATA = {f"p{i}": "treated" if i < 5 else "control" for i in range(10)}


def make_recipe(**changes):
    pairs = [{"image": f"{g}{k}.tif", "group": g, "treatment": s} for g, s in STRATA.items() for k in (1, 2)]
    recipe = {
        "task": "spheroid",
        "id": "cv",
        "title": "t",
        "summary": "s",
        "limitations": "d",
        "licence": "CC0-1.0",
        "credit": "c",
        "split": {"by": "group", "test_groups": ["p0"]},
        "input": {"modality": "m", "channels": ["a"], "normalisation": {"method": "minmax"}},
        "targets": [{"name": "live"}],
        "network": {"name": "unet3d"},
        "data": [{"name": "n", "url": "u", "licence": "l", "credit": "c", "folder": ".", "pairs": pairs}],
    }
    return parse_recipe({**recipe, **changes}, "cv")


def test_each_group_is_in_one_fold_and_strata_are_spread():
    folds = grouped_folds(STRATA, 5)
    assert sorted(g for fold in folds for g in fold) == sorted(STRATA)
    assert all(sorted(STRATA[g] for g in fold) == ["control", "treated"] for fold in folds)
    assert folds == grouped_folds(STRATA, 5)
    assert folds != grouped_folds(STRATA, 5, seed=1)


def test_a_recipe_is_tested_on_each_fold_in_turn():
    recipes = fold_recipes(make_recipe(), 5)
    assert [r.id for r in recipes] == [f"cv-fold{k}" for k in range(1, 6)]
    assert sorted(g for r in recipes for g in r.split.test_groups) == sorted(STRATA)
    for recipe in recipes:
        assert recipe.split.validation_groups
        assert not set(recipe.split.test_groups) & set(recipe.split.validation_groups)
    simulated = fold_recipes(make_recipe(volumes={"simulated": [1, 1, 0]}), 5)
    assert all(not r.split.validation_groups for r in simulated)


@pytest.mark.parametrize("count", [1, 11])
def test_impossible_numbers_of_folds_are_refused(count):
    with pytest.raises(ParameterError, match="folds"):
        fold_recipes(make_recipe(), count)


def test_a_split_by_rows_has_no_folds():
    with pytest.raises(ParameterError, match="whole groups"):
        fold_recipes(make_recipe(split={"by": "region", "train_rows": [[0, 5]]}), 2)


def test_the_table_ends_with_mean_and_standard_deviation():
    recipes = fold_recipes(make_recipe(), 2)

    class Card:
        def __init__(self, value):
            self.metrics = (Metric(name="dice", value=value, on="test", n=1),)

    table = fold_table(recipes, [Card(0.5), Card(0.7)])
    assert table["fold"].tolist() == ["1", "2", "mean", "sd"]
    assert table["value"].tolist() == pytest.approx([0.5, 0.7, 0.6, 0.02**0.5])
