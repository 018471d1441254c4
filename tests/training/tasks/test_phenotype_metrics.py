import numpy as np

from phenotype_support import make_recipe
from vitascope.core.progress import run_to_end
from vitascope.recipes.recipe import parse_recipe
from vitascope.training.data.labelled_images import load_labelled_images
from vitascope.training.tasks.phenotype_metrics import bag_metrics, cell_metrics, image_metrics

NAMES = ("round", "long", "rare")


def test_treatments_are_judged_by_the_median_of_their_replicates(tmp_path):
    corpus = run_to_end(load_labelled_images(parse_recipe(make_recipe(tmp_path), "recipe"), tmp_path))
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])  # A05 negative … A07 wrong
    found = {m.name: m.value for m in image_metrics(corpus, scores)}
    assert found["accuracy"] == 0.75
    assert found["accuracy, median over replicates"] == 1.0


def test_classes_with_few_test_cells_do_not_count_in_the_mean():
    truth = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    scores = truth.copy()
    scores[:, 2] = 1 - truth[:, 2]  # the rare class is told the wrong way round
    found = {m.name: m for m in bag_metrics(truth, scores, NAMES, [40, 30, 29])}
    assert found["mean average precision"].value == 1.0
    assert found["mean average precision"].on.endswith("over round, long")
    assert found["average precision rare"].value < 0.5
    assert "29 of this class" in found["average precision rare"].on
    assert bag_metrics(truth, scores, NAMES, [5, 5, 5])[0].value < 1


def test_accuracy_over_cells_and_over_classes_differ_where_classes_are_unequal():
    truth = np.eye(2)[[0, 0, 0, 1]]
    scores = np.array([[0.9, 0.1]] * 4)
    found = {m.name: m.value for m in cell_metrics(truth, scores, NAMES[:2])}
    assert found == {"accuracy": 0.75, "mean class accuracy": 0.5}
