"""Training images of the bundled models that come back whole or as crops, and images that a model has not seen.

``python -m tests.benchmarks seen_again [MODEL...] [--write]``: how many of the images that a model was trained on, and of
crops of 256 to 400 px drawn from them, raise ``trained_on_this``, and how many images of other models' data do. ``--write``
puts hashes and small versions of the training images on the cards, as training does.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache

import numpy as np
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import VitascopeError
from vitascope.core.late_import import import_late
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.domain import seen_in_training
from vitascope.engine.load_model import load_model
from vitascope.io.atomic import write_bytes
from vitascope.io.images.read import open_group, read_image
from vitascope.io.models.cards import find_cards, read_card
from vitascope.recipes.recipe import find_data, read_recipe
from vitascope.tasks.registry import find_task
from vitascope.training.compare_models import PreparingModule
from vitascope.training.seen import Seen
from vitascope.training.training_task import TrainingTask

CROPS, SIDES = 3, (256, 400)
IMAGES = 6
"""Most images of a data set that are tried."""


@cache
def job_of(model: str) -> TrainingTask:
    """Return the training of a model's recipe, its images read; on the whole of them where it is trained once more on all."""
    recipe = read_recipe(RECIPES / f"{model}.yaml")
    prepare = import_late(find_task(recipe.task).training, PreparingModule).prepare
    network = load_model(model, recipe.task).network
    if recipe.refit is not None and recipe.refit.on == "all":
        kept = {"test_fraction": 0.0, "validation_fraction": 0.0, "test_groups": (), "validation_groups": ()}
        rows = {
            "test_rows": (),
            "validation_rows": (),
            "train_rows": recipe.refit.train_rows or recipe.split.train_rows,
        }
        recipe = recipe.model_copy(update={"split": recipe.split.model_copy(update={**kept, **rows})})
    return run_to_end(prepare(recipe, RECIPES, network))


def planes_of(model: str) -> list[np.ndarray]:
    """Return some of the images that a model was trained on, each (channels, Y, X); of a stack its middle plane."""
    recipe = read_recipe(RECIPES / f"{model}.yaml")
    if all(data.simulated is None and not data.pairs for data in recipe.data) and recipe.task != "spheroid":
        images = [open_group(sample.labelled.images) for sample in job_of(model).corpus.samples["train"][:IMAGES]]
        return [np.stack([np.asarray(i.plane(0, c)) for c in range(i.sizes["C"])]) for i in images]
    found = []
    for data in recipe.data:
        for pair in data.listed[:IMAGES]:
            image = read_image(str(find_data(data, RECIPES) / pair.image), fallback_axes=data.axes)
            found.append(np.asarray(image.plane(0, 0, image.sizes["Z"] // 2))[None])
    return found


def share(card, pictures: list[np.ndarray]) -> str:
    flagged = [bool(seen_in_training(card, list(p))) for p in pictures]
    return f"{sum(flagged)} of {len(flagged)}"


def crops(pictures: list[np.ndarray]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = []
    for picture in (p for p in pictures if min(p.shape[1:]) >= SIDES[0]):
        for _ in range(CROPS):
            side = int(rng.integers(SIDES[0], min(SIDES[1], *picture.shape[1:]) + 1))
            y, x = (int(rng.integers(0, n - side + 1)) for n in picture.shape[1:])
            found.append(picture[:, y : y + side, x : x + side])
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="seen_again")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    print(describe())
    known = [p.stem for p in sorted(RECIPES.glob("*.yaml")) if p.stem in find_cards()]
    pictures: dict[str, list[np.ndarray]] = {}
    for model in known:
        try:
            pictures[model] = planes_of(model)
        except VitascopeError as error:
            print(f"{model}: skipped: {error}")
    for model in (m for m in asked.models or known if pictures.get(m)):
        path = BUNDLED_MODELS / f"{model}.json"
        card = read_card(path)
        if asked.write:
            seen = Seen.of(job_of(model).fingerprints)
            known_again = {"trained_on": seen.fingerprints, "training": {**card.training, **seen.for_card()}}
            card = card.model_copy(update=known_again)
            write_bytes(path, (card.model_dump_json(indent=1) + "\n").encode())
        names = {source.name for source in card.data}
        others = [
            picture
            for other, planes in pictures.items()
            if not names & {source.name for source in read_card(BUNDLED_MODELS / f"{other}.json").data}
            for picture in planes
        ]
        kB = sum(map(len, card.training.get("looks", ()))) / 1000
        print(
            f"{model:28} known again: images {share(card, pictures[model])}, crops {share(card, crops(pictures[model]))}; "
            f"others' images {share(card, others)}; {kB:.0f} kB of small versions",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
