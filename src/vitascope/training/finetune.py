"""Set up fine-tuning: from pairs or tables and a starting model to a recipe with its data, ready to be trained.

What is set up is a folder with ``recipe.yaml`` and the data beside it: the dock, the command line and a script train
from the same file, and the next day too.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml

from vitascope.core.card import ModelCard
from vitascope.core.errors import ParameterError, TrainingError
from vitascope.core.formatting import name_some
from vitascope.core.paths import BUNDLED_MODELS, RECIPE, training_folder
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.training_params import EpochProgress
from vitascope.engine.domain import seen_in_training
from vitascope.io.atomic import write_bytes
from vitascope.io.models.cards import find_model
from vitascope.io.models.yaml import read_yaml
from vitascope.ops.geometry.pair_check import words_of_ids
from vitascope.ops.intensity.target_preparation import EXPOSURE
from vitascope.recipes.finetune import (
    KEPT,
    LAST,
    Estimate,
    FineTuneParams,
    SetUp,
    TableData,
    TrainingPair,
    free_name,
)
from vitascope.recipes.recipe import Recipe, parse_recipe
from vitascope.tasks.registry import find_task
from vitascope.tasks.training_data import Truth
from vitascope.training.data.image_pairs import PAINTED, check, common_pixel_size, number_anew, raw_planes, write_pairs
from vitascope.training.data.labelled_images import plan_split
from vitascope.training.data.samples import PARTS
from vitascope.training.data.split_groups import PlannedSplit
from vitascope.training.data.split_pairs import split_by_group, split_pairs
from vitascope.training.make_model import choose_device

SAW = "The start '{start}' was trained on {names}: its own figure on what it has seen is optimistic."
QUICK = {"epochs": 10, "steps_per_epoch": 25, "patience": 0, "schedule": "cosine", "warmup_steps": 10}
QUICK_RATE, QUICK_BN_STATS = 1 / 3, 10
OVERLAY, AVERAGE_DECAY = 0.5, 0.98
ESTIMATE_STEPS = 5
"""Of a trial: the first is not counted, the median of the others is."""


def base_recipe(card: ModelCard) -> dict[str, Any]:
    """Return how a model was made, as plain values without data and split.

    Its card tells; for a bundled model the recipe that came with it. For a model of others, the bundled recipe of the
    same task and kind of network whose name is most like its own.

    Raises
    ------
    TrainingError
        If there is none.
    """
    if card.recipe.startswith("{"):
        tree: dict[str, Any] = json.loads(card.recipe)
        return tree
    trees = [read_yaml(p.read_text(encoding="utf-8")) for p in sorted((BUNDLED_MODELS / "recipes").glob("*.yaml"))]
    alike = [t for t in trees if t["task"] == card.task and t["network"]["name"] == card.architecture.name]
    if not alike:
        raise TrainingError(
            f"It is not known how models such as '{card.id}' are made.",
            "Start from a bundled model, or write a recipe of your own (vitascope train --recipe).",
        )

    def likeness(other: dict[str, Any]) -> tuple[bool, int]:
        letters = zip(other["id"], card.id, strict=False)
        return other["id"] == card.id, len(list(takewhile(lambda pair: pair[0] == pair[1], letters)))

    found: dict[str, Any] = max(alike, key=likeness)
    return {k: v for k, v in found.items() if k not in ("data", "split", "mix", "trunk", "twin_metrics")}


def set_up_pairs(
    name: str, start: str, pairs: Sequence[TrainingPair], params: FineTuneParams, scratch: bool = False
) -> ProgressGenerator[SetUp]:
    """Write pairs and the recipe of a run that fine-tunes a model on them.

    Parameters
    ----------
    name : str
        Of the new model.
    start : str
        Id of the model to start from; it also says how images are prepared and which network it is.
    pairs : sequence of TrainingPair
    params : FineTuneParams
    scratch : bool
        Whether to start from random weights instead of the model's.

    Raises
    ------
    TrainingError
        If a pair is refused, or the images are too few or too small for a split that does not leak.
    """
    card, _ = find_model(start)
    if not pairs:
        raise TrainingError("There is nothing to train on.", "Add a pair of image and truth.")
    _check_values(card, pairs)
    _new(name)
    truth = find_task(card.task).trained_on.truth
    pairs, class_ids = number_anew(pairs)
    for number, pair in enumerate(pairs):
        yield Progress(number, len(pairs), "checking the images")
        refused = [p.text for p in check(pair, card.input, truth).problems if p.level == "refused"]
        if refused:
            raise TrainingError(f"'{pair.name}' cannot be trained on: {refused[0]}", "Remove it, or put it right.")
    saw = [pair.name for pair in pairs if seen_in_training(card, raw_planes(pair, card.input))]
    pixel_size = None if pairs[0].values else common_pixel_size(pairs)
    tree = recipe_tree(card, name, params, "" if scratch else card.id)
    if pixel_size:
        tree["input"] |= {"pixel_size_um": pixel_size, "pixel_size_note": "", "object_diameter_px": None}
    targets = _targets(card, pairs)
    tree["targets"] = targets or tree["targets"]
    if PAINTED in {t["name"] for t in targets}:
        tree |= {"loss": {"bce": 1.0}, "target_percentiles": [0, 100]}
    description, warnings = split_pairs(tree, card, pairs, params)
    if class_ids:
        warnings = [words_of_ids([*class_ids.values()], [*class_ids]), *warnings]
    if saw and not scratch:
        warnings = [SAW.format(start=card.id, names=name_some(saw)), *warnings]
    folder = training_folder(name)
    try:
        entries, hashes = yield from write_pairs(pairs, card.input, truth, folder)
        tree["data"] = [{**private_data("layers", "."), "sha256": hashes, "pairs": entries, "class_ids": class_ids}]
        return _finish(tree, folder, description, warnings)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def set_up_table(name: str, start: str, data: TableData, params: FineTuneParams, scratch: bool = False) -> SetUp:
    """Write the recipe of a run that fine-tunes a model on the images of a table, or of folders.

    Parameters and errors as :func:`set_up_pairs`; the images stay where they are.
    """
    card, _ = find_model(start)
    _new(name)
    if not Path(data.folder).is_dir():
        raise TrainingError(f"There is no folder '{data.folder}'.", "Choose the folder with the images.")
    tree = recipe_tree(card, name, params, "" if scratch else card.id)
    source = data.source.model_dump()
    kind = "amounts" if "column" in source else "labelled_images"
    tree["data"] = [{**private_data(data.name, data.folder), kind: source}]
    tree["split"] = split_by_group(params)
    plan = plan_split(parse_recipe(tree, name), Path(data.folder))
    parts = [_told(plan, part, what) for part, what in zip(PARTS, ("train", "validate", "test"), strict=True)]
    description = f"by {source.get('by') or 'group'}: {parts[0]}, {parts[1]} and {parts[2]}"
    return _finish(tree, training_folder(name), description, plan.problems)


def _told(plan: PlannedSplit, part: str, what: str) -> str:
    groups, images = plan.groups[part], plan.images[part]
    told = f"{groups} group{'s' * (groups != 1)}" + (f" ({images} images)" if images != groups else "")
    return f"{told} to {what} on"


def estimate(recipe: Recipe, folder: Path, device: str = "auto") -> ProgressGenerator[Estimate]:
    """Measure a few real steps, to tell how long a run will take and how much memory; nothing is kept.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        Of the recipe.
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    Estimate
    """
    task, training = find_task(recipe.task).load_training(), recipe.training
    memory = psutil.Process().memory_info
    before = peak = memory().rss
    card = _card_in_use(recipe, device)
    if card is not None:
        torch.cuda.reset_peak_memory_stats(card)
    # a start is measured before the first step; else a round that ends soon tells what measuring takes
    trial = recipe if recipe.start_from else recipe.changed({"training.steps_per_epoch": ESTIMATE_STEPS})
    marks: list[float] = []
    with tempfile.TemporaryDirectory(prefix="vitascope-") as out:
        steps = task.run_training(trial, folder, Path(out), None, device)
        try:
            begun = last = time.monotonic()
            for progress in steps:
                peak = max(peak, memory().rss)
                if isinstance(progress, EpochProgress):
                    marks.append(time.monotonic())
                    yield Progress(len(marks), ESTIMATE_STEPS + 1, "trying a few steps")
                else:
                    last = time.monotonic()
                    yield progress
                if len(marks) > ESTIMATE_STEPS or (trial is not recipe and len(marks) == ESTIMATE_STEPS):
                    break
        finally:
            steps.close()
    first, *rest = pairwise([last, *marks])
    measured = first[1] - first[0] if recipe.start_from else 0.0
    # the first step builds what later ones reuse, and the last one ended a round
    times = [end - start for start, end in (rest[1:] if recipe.start_from else rest)]
    kept = times if recipe.start_from else times[:-1]
    per_step = statistics.median(kept or [first[1] - first[0]])
    if not recipe.start_from and times:
        measured = max(0.0, times[-1] - per_step)
    round_s = training.steps_per_epoch * per_step + measured
    total = training.epochs * round_s + training.bn_stats_steps * per_step / 2
    return Estimate(
        step_s=per_step,
        round_s=measured,
        total_s=total * (2 if recipe.refit else 1),
        memory_bytes=peak - before,
        start_s=last - begun,
        tried=len(kept),
        process_bytes=peak,
        card_bytes=torch.cuda.max_memory_allocated(card) if card is not None else 0,
    )


def _card_in_use(recipe: Recipe, device: str) -> str | None:
    """Return the NVIDIA card that a recipe would be trained on; None where it is another device."""
    chosen, _ = choose_device(recipe, device)
    return chosen.id if chosen.id.startswith("cuda") else None


def warm_up() -> None:
    """Load what torch loads with its first optimiser, which is as much as torch itself."""
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1).zero_grad()


def discard(ready: SetUp) -> None:
    """Take back what was set up: the recipe and the copies of the data."""
    shutil.rmtree(ready.folder, ignore_errors=True)


def _new(name: str) -> None:
    if name != free_name(name):
        raise ParameterError(f"There is a model or a training '{name}' already.", f"Take '{free_name(name)}'.")


def _check_values(card: ModelCard, pairs: Sequence[TrainingPair]) -> None:
    """Refuse numbers of images that teach nothing, and models that want more than an image and a number."""
    values = {tuple(pair.values.items()) for pair in pairs if pair.values}
    if not values:
        return
    if card.architecture.arguments.get("pair"):
        raise TrainingError(
            f"'{card.id}' sees each image beside a control, and a list of layers has none.",
            "Take a table that marks the controls, or a model that sees the image alone.",
        )
    if len(values) == 1 and len(pairs) > 1:
        told = next(iter(pairs[0].values.values()))
        raise TrainingError(f"All images have the value {told:g}: there is nothing to learn.", "Check the values.")


def private_data(name: str, folder: str) -> dict[str, Any]:
    """Return what a recipe says of data of the user's own."""
    return {"name": name, "url": "", "licence": "of the user", "credit": "the user", "folder": folder}


def recipe_tree(card: ModelCard, name: str, params: FineTuneParams, start_from: str) -> dict[str, Any]:
    """Return the recipe of fine-tuning without data and split, as plain values: what the dock takes by default."""
    tree = base_recipe(card)
    training = {**tree.get("training", {})}
    kept = KEPT[params.freeze] if start_from else {}
    if params.length == "quick":
        gentle = start_from and "only_first" not in kept  # the first layers are few, and have far to go
        rate = float(training.get("learning_rate", 1e-3)) * (QUICK_RATE if gentle else 1)
        settle = min(QUICK_BN_STATS, int(training.get("bn_stats_steps", 0)))
        training |= {**QUICK, "learning_rate": float(f"{rate:.3g}"), "bn_stats_steps": settle}
    training |= {
        key: value
        for key in ("epochs", "steps_per_epoch", "learning_rate")
        if (value := getattr(params, key)) is not None
    }
    if training.get("precision") != "f32":  # a shorter format is that of the machine it was trained on
        training["precision"] = "auto"
    training |= {"seed": params.seed, "freeze": 0.0, "only_first": 0.0, **kept}
    title = re.sub(r", fine-tuned$", "", card.title)
    network = {"name": card.architecture.name, "arguments": dict(card.architecture.arguments)}
    how = f"fine-tuned from {start_from}" if start_from else f"trained from scratch, built as {card.id}"
    tree |= {
        "task": card.task,
        "id": name,
        "title": f"{title}, fine-tuned" if start_from else title,
        "summary": f"{how} on the user's images",
        "limitations": "Other cells, stains or microscopes than those it was fine-tuned on.",
        "licence": card.licence,
        "credit": card.credit,
        "input": card.input.model_dump(),
        "network": network,
        "training": training,
        "start_from": start_from,
        "target_preparation": params.preparation.model_dump(),
    }
    if start_from and find_task(card.task).trained_on.extensive:
        _vary_amounts(tree, card)
    if LAST[params.last]:
        tree["refit"] = {"on": LAST[params.last]}
    if params.exposure_filter:
        tree["keep"] = EXPOSURE.model_dump()
    if tree.get("volumes"):
        tree["volumes"] = {**tree["volumes"], "simulated": [0, 0, 0], "sparse": []}
    return tree


def with_start_defaults(recipe: Recipe, start_from: str) -> Recipe:
    """Complete a recipe that starts from a model of amounts by what the dock takes, where it says nothing itself.

    Parameters
    ----------
    recipe : Recipe
        As it was read: what it does not name counts as not said.
    start_from : str
        Model to start from.

    Returns
    -------
    Recipe
        The same, for models of other tasks.
    """
    card, _ = find_model(start_from)
    if card.task != recipe.task or not find_task(card.task).trained_on.extensive:
        return recipe
    tree = recipe_tree(card, recipe.id, FineTuneParams(), card.id)
    said = recipe.model_dump(exclude_unset=True)
    return parse_recipe(_laid_over(tree, said), recipe.id)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Put what is said over what is taken otherwise, key by key."""
    both = {key: (below.get(key), value) for key, value in above.items()}
    return below | {
        key: _laid_over(old, new) if isinstance(old, dict) and isinstance(new, dict) and key != "loss" else new
        for key, (old, new) in both.items()
    }


def _vary_amounts(tree: dict[str, Any], card: ModelCard) -> None:
    """Make more of few images of an amount: turn them by quarters, lay one over another, and draw them as they come.

    Any other angle takes off corners and the amount in them, and some tens of images leave most bins empty.
    """
    tree["augment"] = {**tree.get("augment", {}), "quarter_turns": True}
    if card.input.is_light_missing:
        tree["augment"]["overlay"] = OVERLAY
    tree["amounts"] = {**tree.get("amounts", {}), "sampling": "random"}
    tree["training"] = {"average_decay": AVERAGE_DECAY, **tree["training"]}


def _targets(card: ModelCard, pairs: Sequence[TrainingPair]) -> list[dict[str, Any]]:
    """Return the targets of a model of pictures that learns other stains; empty for other tasks."""
    if find_task(card.task).trained_on.truth is not Truth.PICTURES:
        return []
    names = [PAINTED] if pairs[0].painted is not None else list(pairs[0].targets)
    for pair in pairs:
        if (pair.painted is not None) != (pairs[0].painted is not None) or (
            pair.painted is None and list(pair.targets) != names
        ):
            raise TrainingError(f"'{pair.name}' has another truth than '{pairs[0].name}'.", "All pairs have the same.")
    if len(names) != len(card.targets):
        raise TrainingError(
            f"The model {card.id} predicts {len(card.targets)} stain(s), the pairs have {len(names)}.",
            "Start from a model of as many stains.",
        )
    return [
        {**t.model_dump(exclude={"source_low", "source_high"}), "name": n}
        for t, n in zip(card.targets, names, strict=True)
    ]


def _finish(tree: dict[str, Any], folder: Path, description: str, warnings: Sequence[str]) -> SetUp:
    recipe: Recipe = parse_recipe(tree, str(tree["id"]))
    text = yaml.safe_dump(json.loads(recipe.model_dump_json()), sort_keys=False, allow_unicode=True)
    write_bytes(folder / RECIPE, text.encode())
    return SetUp(recipe, str(folder), description, tuple(warnings))
