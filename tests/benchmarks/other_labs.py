"""Nuclei from the transmitted light of laboratories left out: ``nuclei-any`` against the other bundled models.

``other_labs`` reads the models that lie beside, each trained without one laboratory; ``other_labs --train`` trains those
that are missing (about ten minutes each on one core).
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from tests.benchmarks.gate import all_rows, bar, fitted, members
from tests.benchmarks.machine import describe
from tests.benchmarks.own_views import View, whole

from vitascope.core.card import Metric
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.core.result import Result
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.io.models.cards import read_card, write_card
from vitascope.pipelines import stain
from vitascope.pipelines.stain_look import choose_between, find_look
from vitascope.recipes.recipe import Recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.tasks.stain import StainParams
from vitascope.training.tasks.stain import run_training

RECIPES = BUNDLED_MODELS / "recipes"
MODELS = Path(__file__).parent / "models"
LABORATORIES = ("cellpainting", "isl", "piximi", "jurkat")


def without(recipe: Recipe, laboratory: str) -> Recipe:
    kept = [name for name in recipe.split.train_groups if name != laboratory]
    # the start has seen the field of "isl": without it, training begins by itself and takes longer
    alone = {"start_from": "", "training.epochs": 14, "training.learning_rate": 0.001} if laboratory == "isl" else {}
    return recipe.changed(
        {
            "id": f"{recipe.id}-without-{laboratory}",
            "split.train_groups": kept,
            "split.test_groups": [laboratory],
            "twin_metrics": "",
            **alone,
        }
    )


def train(recipe: Recipe) -> None:
    for progress in run_training(recipe, RECIPES, MODELS):
        if getattr(progress, "preview", False):
            print(f"{recipe.id}: {progress.stage}, loss {progress.loss:.4f}", file=sys.stderr, flush=True)


def as_opened(view: View, model: str, **settings: object) -> Result:
    image = Micrograph(view.image, "YX", name=view.name)
    return run_to_end(stain.run({"image": image}, StainParams(model=model, masks=False, abstain=False, **settings)))


def agreement(view: View, result: Result) -> float:
    predicted = np.asarray(result.output("prediction").array)
    predicted = predicted.reshape(view.image.shape)
    return float(np.nan_to_num(pcc(view.truth[view.weight].astype(np.float64), predicted[view.weight])))


def told_without(model: LoadedModel, kind: str, laboratory: str) -> LoadedModel:
    """Return a model whose expected agreement was learned without a laboratory."""
    expected = fitted(kind, all_rows(kind).without(laboratory))
    unseen = tuple(m for m in expected.committee if m.model in members(laboratory))  # no twin takes the place of others
    expected = expected.model_copy(update={"committee": unseen})
    return dataclasses.replace(model, card=model.card.model_copy(update={"expected": expected}))


def automatic(view: View, twin: Path, laboratory: str) -> tuple[Result, str]:
    """Run what ``auto`` takes of ``nuclei-phase`` and the twin, neither they nor their gates having seen the laboratory.

    ``nuclei-phase`` was trained on ``isl``: there the twin stands alone.
    """
    image, params = Micrograph(view.image, "YX", name=view.name), StainParams()
    second = told_without(load_model(str(twin), "stain"), "nuclei-any", laboratory)
    if laboratory == "isl":
        model, look = second, run_to_end(find_look(second, image, params))
    else:
        first = told_without(load_model("nuclei-phase", "stain"), "nuclei-phase", laboratory)
        model, look = run_to_end(choose_between(first, lambda: second, image, params))
    size = model.card.input.object_diameter_px
    shown = {"invert": "yes" if look.inverted else "no", "object_diameter_px": size / look.scale}
    name = str(twin) if model is second else "nuclei-phase"
    return as_opened(view, name, **shown), "twin" if model is second else name


def show(recipe: Recipe) -> dict[str, float]:
    """Print the mean PCC of each laboratory left out, beside what today's models reach that have not seen it."""
    rows, figures = [], {}
    for laboratory in LABORATORIES:
        path = MODELS / f"{recipe.id}-without-{laboratory}.json"
        if not path.exists():
            print(f"{path.name} is not there: run with --train")
            continue
        fields = whole(laboratory)[:3]
        before = "dna-brightfield" if laboratory == "isl" else "nuclei-phase"
        found = [as_opened(v, str(path)) for v in fields]
        mine = mean_agreement(fields, found)
        plain = {"invert": "no", "rescale": False}
        theirs = mean_agreement(fields, [as_opened(v, before, **plain) for v in fields])
        chosen, taken = zip(*(automatic(v, path, laboratory) for v in fields), strict=True)
        auto = mean_agreement(fields, chosen)
        shown = ", ".join(f"{r.rows[0]['input_scale']:g}/{r.rows[0]['input_inverted']}" for r in (*found, *chosen))
        print(
            f"{laboratory:14} auto {auto:.3f} ({', '.join(taken)}); {path.stem}: {mine:.3f}; "
            f"{before} as given: {theirs:.3f}; scale/inverted {shown}"
        )
        rows.append((auto, mine, theirs))
        figures[laboratory] = mine
    if rows:
        auto, mine, theirs = np.mean(rows, axis=0)
        print(
            f"mean of {len(rows)} laboratories left out: auto {auto:.3f}, {recipe.id} {mine:.3f}, before {theirs:.3f}"
        )
        bar("auto: mean PCC of laboratories left out", auto, ">= 0.6", auto >= 0.6)
        bar("auto: gain over today's model", auto - theirs, ">= 0.15", auto - theirs >= 0.15)
        least = min(a - t for a, _, t in rows)
        bar("auto: least gain of a laboratory", least, ">= 0", least >= -0.0005)
    return figures


def mean_agreement(fields: Sequence[View], results: Sequence[Result]) -> float:
    return float(np.mean([agreement(v, r) for v, r in zip(fields, results, strict=True)]))


def write(recipe: Recipe, figures: dict[str, float]) -> None:
    """Put the figures, and the recipe's words, into the card of the bundled model."""
    card = read_card(BUNDLED_MODELS / f"{recipe.id}.json")
    metrics = tuple(
        Metric(
            name=f"PCC nuclei, {laboratory} left out",
            value=round(value, 4),
            on="whole fields in focus, as opened, of a laboratory that the twin has not seen",
            from_holdout_model=True,
        )
        for laboratory, value in figures.items()
    )
    words = {"limitations": recipe.limitations, "summary": recipe.summary, "title": recipe.title}
    write_card(card.model_copy(update={"metrics": metrics, **words}), BUNDLED_MODELS)


def speed() -> None:
    """Print how long finding scale and polarity takes on 2048 x 2048 px, all looks tried, the network compiled."""
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.standard_normal((2048, 2048)), 4)
    image = Micrograph((1000 + 5000 * (texture - texture.min())).astype(np.uint16), "YX")
    model, params = load_model("nuclei-any", "stain"), StainParams(precision="f32", tile_px=512)
    for turn in ("first", "again"):
        wall, used = time.perf_counter(), time.process_time()
        run_to_end(find_look(model, image, params))
        wall, used = time.perf_counter() - wall, time.process_time() - used
        print(f"scale and polarity of 2048 x 2048 px, {turn}: {wall:.2f} s, {used:.2f} s of processor time; bar 2 s")


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "nuclei-any.yaml")
    wanted = [a for a in arguments if not a.startswith("-")] or list(LABORATORIES)
    for laboratory in wanted:
        card = MODELS / f"{recipe.id}-without-{laboratory}.json"
        if "--train" in arguments and not card.exists():
            train(without(recipe, laboratory))
    if "--train" not in arguments:
        speed()
        figures = show(recipe)
        if "--write" in arguments:
            write(recipe, figures)
    print(describe())
