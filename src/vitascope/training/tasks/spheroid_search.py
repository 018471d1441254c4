"""Search the weights of a spheroid model's losses for the Dice coefficient: section 2.6 of SIM-spheroid (seed 003).

The paper's Spearmint is a Gaussian process that proposes what to try next; here it is optuna's.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from vitascope.core.errors import ModelError, TrainingError, VitascopeError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import Recipe
from vitascope.training.data.spheroid import load_volumes
from vitascope.training.loop.loop import train
from vitascope.training.make_model import choose_device
from vitascope.training.samplers.volume_crops import LabelledVolume
from vitascope.training.tasks.spheroid import SpheroidJob

DICE_SHARES = (0.1, 0.9)
"""Bounds of the share of log Dice; the focal loss has the rest of 1."""

GAMMAS = (0.0, 5.0)
SHORTER = 5
"""A trial trains for a fifth of the recipe's epochs."""


def search(
    recipe: Recipe, recipe_folder: Path, study_file: Path, trials: int, device: str = "auto"
) -> ProgressGenerator[Recipe]:
    """Find the share of log Dice and the focal loss's gamma that give the best Dice on the validation volumes.

    A trial that fails is noted as failed, and the search continues; one that is interrupted resumes where it stopped.

    Parameters
    ----------
    recipe : Recipe
    recipe_folder : Path
    study_file : Path
        SQLite file of the trials; it may be there from an interrupted search of the same recipe.
    trials : int, >= 1
        In all, with those of an interrupted search.
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    Recipe
        With the best values.

    Raises
    ------
    ModelError
        If the extra ``search`` is not installed.
    TrainingError
        If there is no validation volume, or no trial succeeded.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ModelError("Values cannot be searched here.", "Install the extra: pip install 'vitascope[search]'.")
    import optuna  # of the extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    volumes = yield from load_volumes(recipe, recipe_folder)
    if not volumes["validation"]:
        raise TrainingError(
            "There is no validation volume to judge a trial by.", "Keep groups or simulated ones apart."
        )
    study_file.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{study_file}",
        study_name=recipe.fingerprint(),
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.GPSampler(seed=recipe.training.seed, n_startup_trials=max(2, min(10, trials // 3))),
    )
    while (done := sum(t.state.is_finished() for t in study.trials)) < trials:
        yield Progress(done, trials, "searching")
        trial = study.ask()
        try:
            score = yield from _score(proposed(recipe, trial), volumes, device)
            study.tell(trial, score)
        except VitascopeError:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        except GeneratorExit:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
    yield Progress(trials, trials, "searching")
    try:
        best = study.best_trial
    except ValueError as error:
        raise TrainingError("No trial of the search came to an end.", "Check that the recipe trains.") from error
    return proposed(recipe, optuna.trial.FixedTrial(best.params))


def proposed(recipe: Recipe, trial: Any) -> Recipe:
    """Return the recipe with the values that a trial proposes."""
    share = trial.suggest_float("log_dice", *DICE_SHARES)
    loss = {**recipe.loss, "log_dice": share, "focal": 1 - share}
    return recipe.changed({"loss": loss, "volumes.gamma": trial.suggest_float("gamma", *GAMMAS)})


def _score(recipe: Recipe, volumes: dict[str, list[LabelledVolume]], device: str) -> ProgressGenerator[float]:
    """Train for a short while, and return the best mean Dice over the classes on the validation volumes."""
    training = recipe.training.model_copy(update={"epochs": max(1, recipe.training.epochs // SHORTER)})
    chosen, precision = choose_device(recipe, device)
    network = build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(training.seed))
    job = SpheroidJob(recipe, volumes, network)
    trained = yield from train(job, training, device=chosen.id, precision=precision)
    return max(entry["score"] for entry in trained.history)
