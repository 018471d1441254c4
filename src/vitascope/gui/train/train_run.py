"""Training runs as the dock starts them, and those that wait to be resumed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.card import ModelCard
from vitascope.core.errors import VitascopeError
from vitascope.core.paths import RECIPE, training_recipes, user_models
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.io.models.cards import own_models, read_card
from vitascope.recipes.finetune import SetUp
from vitascope.recipes.recipe import Recipe
from vitascope.tasks.late_modules import load_finetuning
from vitascope.tasks.protocols import FineTuningModule
from vitascope.tasks.registry import find_task
from vitascope.tasks.spec import TaskSpec

FAR = 1_000_000


@dataclass(frozen=True)
class Said(Progress):
    """Progress with something for the user to read.

    Parameters
    ----------
    description : str
    """

    description: str = ""


@contextmanager
def libraries(spec: TaskSpec) -> Iterator[FineTuningModule]:
    """Load what training needs, and give the module that sets it up; within, the viewer is not held up by garbage.

    Python's search through all that is in memory holds up every thread, with torch and napari there for half a second.
    So it is put off while libraries are loaded, and passes over what is there until the run has ended.
    """
    limits = gc.get_threshold()
    gc.set_threshold(limits[0], limits[1], FAR)
    try:
        module = load_finetuning()
        spec.load_training()
        module.warm_up()
    finally:
        gc.freeze()
        gc.set_threshold(*limits)
    try:
        yield module
    finally:
        gc.unfreeze()


def said(ready: SetUp) -> Said:
    """Tell the split, and what to mind."""
    warnings = "".join(f"\n⚠ {warning}" for warning in ready.warnings)
    return Said(0, 1, "The data are ready", f"Split {ready.description}.{warnings}")


def train_steps(recipe: Recipe, folder: Path, device: str) -> ProgressGenerator[ModelCard]:
    """Train what a folder's recipe says, and return the card of the new model."""
    training = find_task(recipe.task).load_training()
    path = yield from training.run_training(recipe, folder, own_models(), None, device)
    return read_card(path)


def train_new(ready: SetUp, device: str) -> ProgressGenerator[ModelCard]:
    """Train what was just set up; where it cannot even begin, its copy of the data goes again."""
    folder = Path(ready.folder)
    try:
        return (yield from train_steps(ready.recipe, folder, device))
    except VitascopeError:
        if not has_checkpoint(ready.recipe.id):
            load_finetuning().discard(ready)
        raise


def has_checkpoint(name: str) -> bool:
    """Tell whether a run has got somewhere."""
    folder = user_models() / f"{name}.training"
    return any(folder.glob("*.pt"))


def unfinished() -> list[Path]:
    """List the folders of runs that were set up and have given no model yet, the latest first."""
    folders = [path.parent for path in training_recipes()]
    waiting = [folder for folder in folders if not (user_models() / f"{folder.name}.json").exists()]
    return sorted(waiting, key=lambda folder: (folder / RECIPE).stat().st_mtime, reverse=True)
