import pytest

from spheroid_support import make_recipe
from vitascope.core.errors import ModelError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.training.tasks import spheroid_search
from vitascope.training.tasks.spheroid_search import search

optuna = pytest.importorskip("optuna")
SMALL = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "precision": "f32"}


def test_a_search_finds_the_best_of_its_trials_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    tried = []

    def score(recipe, volumes, device):
        yield from ()
        tried.append((recipe.loss["log_dice"], recipe.volumes.gamma))
        if len(tried) == 2:
            raise TrainingError("This one fails.")
        return -abs(recipe.loss["log_dice"] - 0.3) - abs(recipe.volumes.gamma - 1)

    monkeypatch.setattr(spheroid_search, "_score", score)
    recipe, study = make_recipe(), tmp_path / "new" / "study.db"
    run_to_end(search(recipe, tmp_path, study, 3))
    assert len(tried) == 3
    best = run_to_end(search(recipe, tmp_path, study, 6))
    assert len(tried) == 6
    scores = {t: -abs(t[0] - 0.3) - abs(t[1] - 1) for i, t in enumerate(tried) if i != 1}
    assert (best.loss["log_dice"], best.volumes.gamma) == pytest.approx(max(scores, key=scores.get))
    assert best.loss["log_dice"] + best.loss["focal"] == pytest.approx(1)
    assert best.loss["density"] == recipe.loss["density"]


def test_a_trial_is_a_short_training(tmp_path):
    best = run_to_end(search(make_recipe(training=SMALL), tmp_path, tmp_path / "study.db", 1, "cpu"))
    assert 0.1 <= best.loss["log_dice"] <= 0.9


def test_without_validation_volumes_or_the_extra_there_is_no_search(tmp_path, monkeypatch):
    recipe = make_recipe(volumes={"simulated": [1, 0, 0], "diameters_um": [40, 50], "crop_planes": 4})
    with pytest.raises(TrainingError, match="validation"):
        run_to_end(search(recipe, tmp_path, tmp_path / "study.db", 1))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="searched"):
        run_to_end(search(recipe, tmp_path, tmp_path / "study.db", 1))
