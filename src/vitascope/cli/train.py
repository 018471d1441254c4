"""``vitascope train`` and ``vitascope evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.core.errors import ParameterError
from vitascope.core.formatting import number_text
from vitascope.core.progress import Progress, ProgressGenerator, StopEarly
from vitascope.core.training_params import EpochProgress
from vitascope.tasks.late_modules import load_finetuning
from vitascope.tasks.registry import find_task

if TYPE_CHECKING:
    from vitascope.core.card import Metric
    from vitascope.recipes.recipe import Recipe

LARGE = 100
"""From here on figures are written without four decimals."""


def train(
    task: Annotated[str, typer.Argument(help="Task the model is for, such as stain.")],
    recipe: Annotated[Path, typer.Option(help="Recipe in YAML: data, network, losses, split.")],
    out: Annotated[
        str,
        typer.Option("-o", "--out", help="Name of the new model, or a path that ends in it; never an existing one."),
    ],
    start_from: Annotated[
        str | None, typer.Option("--from", help="Model to start from; empty starts from scratch.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    finish_now: Annotated[
        bool, typer.Option("--finish-now", help="Make a model of the best so far of a run that was interrupted.")
    ] = False,
    folds: Annotated[
        int, typer.Option(help="Cross-validate: so many models, each tested on other groups, and a table of figures.")
    ] = 0,
    search: Annotated[
        int, typer.Option(help="Try the weights of the losses so many times first, and take the best (extra search).")
    ] = 0,
    estimate: options.EstimateTraining = False,
    price_per_hour: options.MachinePrice = None,
) -> None:
    """Train a model from a recipe; an interrupted run resumes where it stopped."""
    with plain_errors():
        from vitascope.io.models.cards import new_model, read_card
        from vitascope.recipes.cross_validation import fold_recipes
        from vitascope.recipes.recipe import read_recipe

        spec = find_task(task)
        read = read_recipe(recipe)
        if find_task(read.task) is not spec:
            raise ParameterError(f"The recipe is for the task '{read.task}', not '{task}'.")
        folder, name = new_model(out)
        if start_from or read.start_from:
            read = load_finetuning().with_start_defaults(read, start_from or read.start_from)
        read = read.changed({"id": name})
        if estimate or price_per_hour is not None:
            if search:
                raise ParameterError("An estimate is of trainings, not of a search.", "Leave --search out.")
            tell_estimate(read.changed({"start_from": start_from or read.start_from}), recipe.parent, device,
                          max(1, folds), price_per_hour)  # fmt: skip
            return
        if search:
            study = folder / f"{name}.search.db"
            read = with_progress_bar(spec.load_search().search(read, recipe.parent, study, search, device))
            typer.echo(f"Best: loss {read.loss}, gamma {read.volumes.gamma if read.volumes else ''}")
        training = spec.load_training()

        def make(one: Recipe) -> Path:
            steps = training.run_training(one, recipe.parent, folder, start_from, device)
            return with_progress_bar(stopped_at_once(steps) if finish_now else steps, epoch_lines)

        if folds:
            cross_validate(fold_recipes(read, folds), make, folder, name)
        else:
            path = make(read)
            typer.echo(f"Model: {path}")
            for note in read_card(path).training.get("notes", []):
                typer.echo(f"Note: {note}", err=True)


def tell_estimate(recipe: Recipe, folder: Path, device: str, models: int, price_per_hour: float | None) -> None:
    """Say what a training will take, after a trial of a few steps of which nothing is kept."""
    found, training = with_progress_bar(load_finetuning().estimate(recipe, folder, device)), recipe.training
    steps = training.steps_per_epoch
    epoch_s, seconds = steps * found.step_s + found.round_s, models * (found.start_s + found.total_s)
    each = "" if models == 1 else f" for {models} models"
    twice = ", and once more on more of the images" if recipe.refit else ""
    typer.echo(
        f"{found.step_s:.3g} s a step (median of {found.tried} tried, batches of {training.batch_size}) and "
        f"{found.round_s:.3g} s to measure: {epoch_s / 60:.3g} min an epoch of {steps} steps, "
        f"{steps * training.batch_size} crops."
    )
    typer.echo(
        f"At most {training.epochs} epochs{twice}: about {seconds / 60:.3g} min{each}, {found.start_s:.3g} s of them "
        "to read the data; measuring the model at the end comes on top."
    )
    card = f", and {found.card_bytes / 2**30:.2g} GiB of the card's" if found.card_bytes else ""
    typer.echo(f"Memory: {found.process_bytes / 2**30:.2g} GiB{card}.")
    if price_per_hour is not None:
        typer.echo(
            f"Price: {epoch_s / 3600 * price_per_hour:.3g} an epoch, {seconds / 3600 * price_per_hour:.3g} in all, at "
            f"{price_per_hour:g} for an hour."
        )


def epoch_lines(at: Progress) -> Iterator[str]:
    """Write a line for an epoch that ended with a step: its loss, and what the validation part says."""
    if isinstance(at, EpochProgress) and at.preview:
        figures = {name: value for name, value in at.metrics.items() if name != "epoch"}
        told = ", ".join(f"{name.replace('_', ' ')} {number_text(value)}" for name, value in figures.items())
        yield f"{at.stage}: {told}"


def cross_validate(recipes: list[Recipe], make: Callable[[Recipe], Path], folder: Path, name: str) -> None:
    """Make the model of every fold that is not there yet, and write ``<name>-folds.csv`` with their test figures."""
    from vitascope.io.atomic import write_bytes
    from vitascope.io.models.cards import read_card
    from vitascope.recipes.cross_validation import fold_table

    cards = []
    for recipe in recipes:
        path = folder / f"{recipe.id}.json"
        cards.append(read_card(path if path.is_file() else make(recipe)))
        typer.echo(f"Model: {path}")
    table = fold_table(recipes, cards)
    write_bytes(folder / f"{name}-folds.csv", table.to_csv(index=False).encode())
    for row in table[table["fold"] == "mean"].itertuples():
        typer.echo(f"{row.name}: {row.value:.4f}, {row.on}, mean of the folds")
    typer.echo(f"Table: {folder / f'{name}-folds.csv'}")


def evaluate(
    model: Annotated[str, typer.Argument(help="Model by id or path of its card.")],
    recipe: Annotated[Path, typer.Option(help="Recipe whose test part is measured on.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Measure a model on the test part of a recipe's data."""
    with plain_errors():
        from vitascope.recipes.recipe import read_recipe

        read = read_recipe(recipe)
        training = find_task(read.task).load_training()
        for metric in with_progress_bar(training.run_evaluation(model, read, recipe.parent, device)):
            typer.echo(figure_text(metric))


def figure_text(metric: Metric) -> str:
    """Write a measured figure with its unit and interval, and what it was measured on.

    Examples
    --------
    >>> from vitascope.core.card import Metric
    >>> figure_text(Metric(name="MAE", value=13199.6, unit="RLU", on="test wells", n=6))
    'MAE: 13,200 RLU, test wells, n = 6'
    """
    value, low, high = (
        "" if v is None else f"{v:.4f}" if abs(v) < LARGE else number_text(v)
        for v in (metric.value, metric.low, metric.high)
    )
    interval = f" ({low} to {high})" if low and high else ""
    count = f", n = {metric.n}" if metric.n is not None else ""
    return f"{metric.name}: {' '.join([value, metric.unit]).rstrip()}{interval}, {metric.on}{count}"


def stopped_at_once(steps: ProgressGenerator[Path]) -> ProgressGenerator[Path]:
    """Drain a training run, and stop it as soon as it resumes."""
    try:
        progress = next(steps)
        while not isinstance(progress, EpochProgress):
            yield progress
            progress = next(steps)
        progress = steps.throw(StopEarly())
        while True:
            yield progress
            progress = next(steps)
    except StopIteration as end:
        path: Path = end.value
        return path
    finally:
        steps.close()
