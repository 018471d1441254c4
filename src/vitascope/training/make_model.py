"""Make a model from a recipe: what is alike for all tasks. A task brings a :class:`TrainingTask`."""

from __future__ import annotations

import copy
import datetime
import json
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.card import DataSource, Domain, Metric, ModelCard, Weights
from vitascope.core.errors import ModelError, OutputError, ParameterError, TrainingError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.versions import versions
from vitascope.engine.device import Device, pick_device
from vitascope.engine.domain import MAX_CROPS, crop_windows, make_domain
from vitascope.engine.load_model import LoadedModel, build_network, check_channels, export_tensors, load_model
from vitascope.io.atomic import check_writable, write_json
from vitascope.io.models.cards import find_model, read_card, write_card
from vitascope.io.models.weights import sha256_of_bytes, write_weights
from vitascope.networks.unet import initialise
from vitascope.ops.geometry.pair_check import words_of_ids
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.intensity.quality import crop_statistics
from vitascope.recipes.recipe import Recipe
from vitascope.training.loop.loop import Trained, train
from vitascope.training.loop.optim import freeze, train_only_first
from vitascope.training.run_log import TrainingRecord, recorded
from vitascope.training.samplers.crops import Pair
from vitascope.training.seen import Seen
from vitascope.training.training_task import TrainingTask

logger = logging.getLogger(__name__)

DOMAIN_CROP_PX = 128
VIEWS_PX, VIEW_CROPS = (256, 512), 2
"""Views that are looked at by themselves, and the crops of each: enough for quantiles, and done in seconds."""
BEGUN_WITH = "recipe.json"
"""The recipe of unfinished checkpoints, beside them."""

REFIT, AGAIN = "refit", "training once more, on more of the images"
QUICK_NETWORK = {"final_sigmoid": False, "columns": True}
"""Arguments of the network of a quick answer, see :mod:`vitascope.training.quick_ridge`."""

RIDGE_KEPT = "The model is the quick answer, a ridge regression on the start's features: no epoch did better."
HEAD_ALONE = "The model is the starting one whose last layers alone were fitted."


Prepare = Callable[[Recipe, Path, nn.Module], ProgressGenerator[TrainingTask]]
"""Reads the data of a recipe and returns the trainee."""


def make_model(
    recipe: Recipe,
    recipe_folder: Path,
    out: Path,
    prepare: Prepare,
    start_from: str | None = None,
    device: str = "auto",
) -> ProgressGenerator[Path]:
    """Train a model and write its card and weights.

    Parameters
    ----------
    recipe : Recipe
    recipe_folder : Path
        Where relative data folders start.
    out : Path
        Folder that gets ``<id>.json`` and ``<id>.safetensors``; checkpoints lie in ``<id>.training`` until it ends.
    prepare : callable
        Of the task.
    start_from : str, optional
        Model whose weights training starts from; by default the one that the recipe names, if it names one.
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    Path
        Of the card.

    Raises
    ------
    VitascopeError
        If data, recipe or folder cannot be used, or there is a model of this id: models are never replaced.
    """
    start_from = start_from or recipe.start_from or None
    _check_new(recipe, out)
    check_writable(out)
    check_channels(recipe.network, recipe.input, recipe.targets)
    chosen, precision = choose_device(recipe, device)
    network, parent = _start_network(recipe, start_from)
    begun_from = find_model(start_from)[0] if start_from else None
    fresh = copy.deepcopy(network)  # the parent may be deleted meanwhile
    trainee = yield from prepare(recipe, recipe_folder, network)
    begun = _fitted(trainee, network) if parent else None
    checkpoints = out / f"{recipe.id}.training"
    checkpoints.mkdir(parents=True, exist_ok=True)
    _check_same(checkpoints, recipe, parent)
    fingerprint = f"{recipe.fingerprint()} {parent}".strip()
    how: dict[str, Any] = {"device": chosen.id, "precision": precision, "fingerprint": fingerprint}
    if parent:
        yield Progress(0, 1, "measuring the start")
    quick = _quick_answer(trainee, network) if parent else None
    told: dict[str, Any] = {"measure_start": bool(parent), "quick": quick.figures if quick is not None else {}}
    steps = train(trainee, recipe.training, folder=checkpoints, **told, **how)
    run = TrainingRecord(recipe, fingerprint, parent, chosen.label)
    trained = yield from recorded(steps, run)
    first = (begun or copy.deepcopy(fresh).eval()) if parent else None
    start_metrics = [m.model_dump() for m in trainee.metrics(first)] if first is not None else []
    better = begun is None or improved(trained)  # without a head to fall back on, it is trained as was asked
    if begun is not None and not better:
        trained = replace(trained, network=begun, best_epoch=0, notes=(*trained.notes, HEAD_ALONE))
    if quick is not None and quick.is_best(trained):
        recipe, better = _with_network(recipe, QUICK_NETWORK), False
        notes = (*trained.notes, RIDGE_KEPT)
        trained = replace(trained, network=quick.network, best_epoch=0, quick_kept=True, notes=notes)
    else:
        quick = None
    final = Final(recipe, trainee, trained)
    again = refit_recipe(recipe, trained)
    if again is not None:
        last = yield from prepare(again, recipe_folder, fresh)
        if begun is not None:
            _fitted(last, fresh)
        if quick is not None:
            fresh = last.quick_answer(fresh) or quick.network
        final = Final(again, last, replace(trained, network=fresh.eval()))
        if better:
            (checkpoints / REFIT).mkdir(exist_ok=True)
            steps = train(last, again.training, folder=checkpoints / REFIT, **how)
            final = Final(again, last, (yield from recorded(steps, run, AGAIN)))
    if begun is not None:
        _fitted(final.trainee, final.trained.network)
    _check_new(recipe, out)
    started = Started(parent, start_metrics, begun_from)
    path = yield from _write_model(recipe, trainee, trained, final, started, precision, out)
    run.note(trained.stopped, trained.history, sha256_of_bytes(path.read_bytes()))
    shutil.rmtree(checkpoints)
    return path


def _fitted(trainee: TrainingTask, network: nn.Module) -> nn.Module | None:
    """Fit the last layers of a network, where the task does that; returns a copy as it then is, else None."""
    if not trainee.fit_head(network):
        return None
    return copy.deepcopy(network).eval()


@dataclass(frozen=True)
class QuickAnswer:
    """A network that was fitted in seconds, and what it measured on the validation part."""

    network: nn.Module
    figures: dict[str, float]

    def is_best(self, trained: Trained) -> bool:
        """Tell whether no epoch did better on the validation part."""
        scores = [entry["score"] for entry in trained.history if "score" in entry]
        return bool(scores) and self.figures["score"] > max(scores)


def _quick_answer(trainee: TrainingTask, network: nn.Module) -> QuickAnswer | None:
    quick = trainee.quick_answer(network)
    if quick is None:
        return None
    with torch.inference_mode():
        return QuickAnswer(quick, trainee.validate(quick))


def _with_network(recipe: Recipe, arguments: dict[str, Any]) -> Recipe:
    network = recipe.network.model_copy(update={"arguments": {**recipe.network.arguments, **arguments}})
    return recipe.model_copy(update={"network": network})


@dataclass(frozen=True)
class Final:
    """What the weights of the model come from: the first training, or the one on more of the data."""

    recipe: Recipe
    trainee: TrainingTask
    trained: Trained


@dataclass(frozen=True)
class Started:
    """What a training started from: id and hash of the model, its figures on the test part, what it has seen."""

    parent: str
    metrics: list[dict[str, Any]]
    card: ModelCard | None

    @property
    def saw_real(self) -> bool:
        """Whether the start has seen real images."""
        return self.card is not None and not self.card.data_is_simulated

    def saw(self, fingerprints: Sequence[str]) -> bool:
        """Tell whether the start was trained on some of these planes."""
        return self.card is not None and bool(set(self.card.trained_on) & set(fingerprints))


def _validated(trained: Trained) -> dict[str, float]:
    """Return what was kept measured on the validation part: an epoch, the start, or the quick answer."""
    if not trained.best_epoch:
        return dict(trained.quick if trained.quick_kept else trained.start)
    return dict(next((one for one in trained.history if one["epoch"] == trained.best_epoch), {}))


def improved(trained: Trained) -> bool:
    """Tell whether an epoch did better on the validation part than the start; without one it is taken to."""
    scores = [entry["score"] for entry in trained.history if "score" in entry]
    return not scores or max(scores) > trained.start.get("score", -math.inf)


def refit_recipe(recipe: Recipe, trained: Trained) -> Recipe | None:
    """Return the recipe of the training on more of the data; None where there is to be none.

    There is none after a run that was stopped or diverged.
    """
    refit = recipe.refit
    if refit is None or trained.stopped not in ("finished", "early stop"):
        return None
    split: dict[str, object] = {"validation_rows": (), "validation_groups": (), "validation_fraction": 0.0}
    if refit.on == "all":
        split |= {"test_rows": (), "test_groups": (), "test_fraction": 0.0}
    if refit.train_rows:
        split["train_rows"] = refit.train_rows
    if recipe.split.train_groups:
        kept = recipe.split.validation_groups + (recipe.split.test_groups if refit.on == "all" else ())
        split["train_groups"] = recipe.split.train_groups + kept
    training = recipe.training.model_copy(update={"epochs": max(1, trained.best_epoch), "patience": 0})
    changed = {"split": recipe.split.model_copy(update=split), "training": training, "refit": None}
    return recipe.model_copy(update={**changed, "crop_px": refit.crop_px or recipe.crop_px})


def _check_same(checkpoints: Path, recipe: Recipe, parent: str) -> None:
    """Keep the recipe beside its checkpoints, and refuse to resume those of another.

    Raises
    ------
    TrainingError
        Naming what differs.
    """
    kept = checkpoints / BEGUN_WITH
    if not kept.is_file():
        write_json(kept, {"recipe": recipe.model_dump(mode="json"), "parent": parent})
        return
    try:
        tree = json.loads(kept.read_text("utf-8"))
        begun, begun_parent = Recipe.model_validate(tree["recipe"]), str(tree["parent"])
    except (OSError, ValueError, LookupError, TypeError):
        return  # the checkpoint's own fingerprint decides
    told = begun.differences(recipe)
    if begun_parent != parent:
        told.append(f"starting model: {begun_parent or 'none'}, now {parent or 'none'}")
    if told:
        raise TrainingError(
            f"The training in {checkpoints.name} was begun with another recipe. It differs in {'; '.join(told)}.",
            f"Resume it with the recipe it was begun with, choose another name, or delete {checkpoints.name} to start "
            "anew.",
        )


def _check_new(recipe: Recipe, out: Path) -> None:
    if (out / f"{recipe.id}.json").exists():
        raise ParameterError(
            f"There is a model '{recipe.id}' already.", "Choose another name; models are never replaced."
        )


def measure_model(
    loaded: LoadedModel, recipe: Recipe, recipe_folder: Path, prepare: Prepare, device: str, hint: str
) -> ProgressGenerator[list[Metric]]:
    """Measure a model on the test part of a recipe's data (32 bit).

    Parameters
    ----------
    loaded : LoadedModel
        Fits the recipe.
    recipe : Recipe
        Its input, and what else ``prepare`` reads of the model, as the model's card says.
    recipe_folder : Path
    prepare : Prepare
    device : str
    hint : str
        How a recipe keeps a test part.

    Raises
    ------
    ModelError
        If the recipe keeps no test part.
    """
    chosen, _ = choose_device(recipe, device)
    trainee = yield from prepare(recipe, recipe_folder, loaded.network)
    yield Progress(0, 1, "measuring the model")
    with torch.inference_mode():
        metrics = trainee.metrics(loaded.network.to(chosen.id))
    loaded.network.cpu()
    if not metrics:
        raise ModelError(f"The recipe {recipe.id} keeps no test part.", hint)
    yield Progress(1, 1, "measuring the model")
    return metrics


def choose_device(recipe: Recipe, device: str) -> tuple[Device, str]:
    """Return the device and the number format to train in."""
    chosen, fallback = pick_device(device)
    if fallback:
        logger.warning("There is no device '%s' here: training on %s.", device, chosen.label)
    precision = recipe.training.precision
    if precision == "auto":
        return chosen, "bf16" if "bf16" in chosen.precisions else "f32"
    if precision not in chosen.precisions:
        raise ParameterError(
            f"{chosen.label} does not compute in {precision}.", f"It takes {', '.join(chosen.precisions)}."
        )
    return chosen, precision


def _start_network(recipe: Recipe, start_from: str | None) -> tuple[nn.Module, str]:
    network = build_network(recipe.network)
    initialise(network, torch.Generator().manual_seed(recipe.training.seed))
    if start_from is None:
        return network, ""
    parent = load_model(start_from, recipe.task)
    fitted = parent.family.fitted
    own, wanted = (
        {k: v for k, v in a.arguments.items() if k not in fitted} for a in (parent.card.architecture, recipe.network)
    )
    if own != wanted or parent.card.architecture.name != recipe.network.name:
        raise ModelError(
            f"The model {start_from} is built otherwise than the recipe's network.",
            f"Set the recipe's network to {parent.card.architecture.arguments}.",
        )
    network.load_state_dict(parent.network.state_dict())
    if recipe.training.freeze:
        freeze(network.get_submodule(parent.family.encoder), recipe.training.freeze)
    elif recipe.training.only_first:
        train_only_first(network, network.get_submodule(parent.family.encoder), recipe.training.only_first)
    return network, f"{parent.card.id} {parent.card.weights.sha256}"


def _write_model(
    recipe: Recipe, trainee: TrainingTask, trained: Trained, final: Final, started: Started, precision: str, out: Path
) -> ProgressGenerator[Path]:
    yield Progress(0, 2, "measuring the model")
    last, network = final.trainee, final.trained.network
    seen = Seen.of([*trainee.fingerprints, *last.fingerprints])
    metrics = last.metrics(network)
    if recipe.refit is not None and recipe.refit.on == "all" and last is not trainee:
        metrics = [m.model_copy(update={"from_holdout_model": True}) for m in trainee.metrics(trained.network)]
    domain = last.domain(network)
    refitted = last is not trainee and recipe.target_preparation.mask
    # a cut of masks is chosen on pixels that the network was not trained on
    default_params = trainee.default_params(trained.network) if refitted else last.default_params(network)
    intervals = trainee.intervals(trained.network)  # a network that was not trained on the validation part
    yield Progress(1, 2, "measuring the model")
    weights_file = f"{recipe.id}.safetensors"
    sha256 = write_weights(out / weights_file, export_tensors(network, "float16"))
    card = ModelCard(
        id=recipe.id,
        task=recipe.task,
        title=recipe.title,
        summary=recipe.summary,
        architecture=recipe.network,
        input=trainee.input,
        targets=trainee.targets,
        data=tuple(
            DataSource(
                **d.model_dump(include=set(DataSource.model_fields) - {"sha256"}),
                sha256=d.sha256 or trainee.hashes.get(d.name, {}),
            )
            for d in recipe.data
        ),
        data_is_simulated=is_simulated(recipe) and not started.saw_real,
        trained_on=seen.fingerprints,
        split=_words_of_split(recipe, trainee, final),
        metrics=tuple(metrics) or twin_metrics(recipe, out),
        limitations=recipe.limitations,
        licence=recipe.licence,
        credit=recipe.credit,
        weights=Weights(
            file=weights_file,
            sha256=sha256,
            dtype="float16",
            parameters=sum(p.numel() for p in network.parameters()),
        ),
        domain=domain,
        intervals=intervals,
        default_params=default_params,
        parent=started.parent,
        training={
            **recipe.training.model_dump(),
            "precision": precision,
            "loss": recipe.loss,
            "best_epoch": trained.best_epoch,
            "stopped": trained.stopped,
            "counts": last.counts,
            "refit": recipe.refit.on if recipe.refit is not None and last is not trainee else "",
            "start": dict(trained.start),
            "quick": dict(trained.quick),
            "validated": _validated(trained),
            "start_metrics": started.metrics,
            **seen.for_card(),
            "start_saw": started.saw(trainee.fingerprints),
            "notes": [*trained.notes, *trainee.notes, *_words_of_data(recipe)],
            "class_ids": {name: i for d in recipe.data for name, i in d.class_ids.items()},
            "forced_leak": recipe.split.force_leak,
        },
        recipe=recipe.model_dump_json(exclude={"data", "split", "trunk", "twin_metrics", "start_from"}),
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
    )
    try:
        path = write_card(card, out)
    except OutputError:
        (out / weights_file).unlink(missing_ok=True)
        raise
    yield Progress(2, 2, "measuring the model")
    return path


def is_simulated(recipe: Recipe) -> bool:
    """Tell whether all images of a recipe are simulated; a model fine-tuned on real ones has seen real ones."""
    drawn = recipe.volumes is not None and bool(recipe.volumes.simulated[0])
    return bool(recipe.data or drawn) and all(source.simulated is not None for source in recipe.data)


def _words_of_split(recipe: Recipe, trainee: TrainingTask, final: Final) -> str:
    if final.trainee is trainee or recipe.refit is None:
        return trainee.description
    what = "all of it" if recipe.refit.on == "all" else "the validation part too"
    return f"{trainee.description}. Then trained anew on {what}, for {final.recipe.training.epochs} epochs"


def _words_of_data(recipe: Recipe) -> list[str]:
    """Say what was done to the data before they were written."""
    return [words_of_ids([*d.class_ids.values()], [*d.class_ids]) for d in recipe.data if d.class_ids]


def twin_metrics(recipe: Recipe, out: Path) -> tuple[Metric, ...]:
    """Return the test figures of the recipe's twin, marked as its, where its card lies beside."""
    path = out / f"{recipe.twin_metrics}.json"
    if not recipe.twin_metrics or not path.is_file():
        return ()
    return tuple(m.model_copy(update={"from_holdout_model": True}) for m in read_card(path).metrics)


def describe_pairs(
    pairs: Sequence[Pair],
    encode: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    look: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> Domain:
    """Describe training images for the card; quarters of an image (or whole images) serve as held-out groups.

    Parameters
    ----------
    pairs : sequence of Pair
    encode : callable
        Gives the mean deepest features (F,) of a prepared crop (C, H, W).
    look : callable, optional
        Brings views (C, H, W) of several sizes, a few of each image, to a scale of their own first, as an image is that
        is opened by itself; each image then is a group.
    """
    statistics, features, groups = [], [], []
    for number, pair in enumerate(pairs):
        for area in pair.training_areas():
            whole = pair.image[:, area.top : area.bottom, area.left : area.right]
            views = [whole] if look is None else [look(view) for view in views_of(whole, number)]
            for image in views:
                read, shape = array_reader(image), (image.shape[1], image.shape[2])
                most = MAX_CROPS if look is None else VIEW_CROPS
                statistics += [
                    crop_statistics(r[len(r) // 2]) for r in map(read, crop_windows(shape, DOMAIN_CROP_PX, most))
                ]
                windows = crop_windows(shape, DOMAIN_CROP_PX, most)
                features += [encode(read(w)) for w in windows]
                groups += [(number, int(w[1].start * 4 / shape[1]) if look is None else 0) for w in windows]
    return make_domain(DOMAIN_CROP_PX, statistics, np.array(features), groups)


def views_of(image: NDArray[np.float32], number: int) -> list[NDArray[np.float32]]:
    """Return a view of each of :data:`VIEWS_PX` of an image (C, H, W), at a place that ``number`` draws."""
    rng = np.random.default_rng(number)
    found = []
    for side in VIEWS_PX:
        sides = [min(side, n) for n in image.shape[1:]]
        top, left = (int(rng.integers(0, n - s + 1)) for n, s in zip(image.shape[1:], sides, strict=True))
        found.append(image[:, top : top + sides[0], left : left + sides[1]])
    return found
