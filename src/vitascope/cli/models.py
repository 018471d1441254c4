"""``vitascope models``: what models there are, and moving them between machines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.cli.model_text import comparison_text, describe, recipe_text
from vitascope.cli.models_bring import domain, fetch_models, import_file, quantise
from vitascope.core.paths import run_records
from vitascope.tasks.late_modules import load_comparison, load_exchange
from vitascope.tasks.registry import find_task

app = typer.Typer(help="List, show, export, import and delete models.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Model by id, or path of its card.")]


@app.command("list")
def list_models(task: Annotated[str | None, typer.Option(help="Only models of this task.")] = None) -> None:
    """List the models at hand, one line each: id, task, and what it is."""
    with plain_errors():
        from vitascope.io.models.cards import find_cards, read_card

        if task is not None:
            find_task(task)
        for path in find_cards(task).values():
            card = read_card(path)
            typer.echo(f"{card.id:24} {card.task:10} {card.summary}")


@app.command()
def show(
    model: Id,
    recipe: Annotated[bool, typer.Option("--recipe", help="Show the recipe that it was trained by instead.")] = False,
) -> None:
    """Show all that is known of a model: data, accuracy, licence, when not to trust it."""
    with plain_errors():
        from vitascope.io.models.cards import find_model

        card = find_model(model)[0]
        typer.echo(recipe_text(card) if recipe else describe(card))


class Format(StrEnum):
    """Files that a model can be written as."""

    vitascope = "vitascope"
    bioimageio = "bioimageio"
    onnx = "onnx"


BY_ENDING = {".zip": Format.bioimageio, ".onnx": Format.onnx}


@app.command()
def export(
    model: Id,
    out: Annotated[Path, typer.Option("-o", "--out", help="File or folder to write to.")] = Path(),
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="One file of ours, a bioimage.io model, or its network; by the ending (.zip, .onnx) if not told.",
        ),
    ] = None,
) -> None:
    """Write a model as one file (.vitascope, a bioimage.io package, or its network as ONNX)."""
    with plain_errors():
        from vitascope.io.models.archive import export_model

        form = form or BY_ENDING.get(out.suffix.lower(), Format.vitascope)
        if form is Format.bioimageio:
            typer.echo(load_exchange().export_bioimageio(model, out))
        elif form is Format.onnx:
            typer.echo(load_exchange().export_onnx(model, out))
        else:
            typer.echo(export_model(model, out))


app.command("import")(import_file)
app.command("domain")(domain)
app.command("quantise")(quantise)
app.command("fetch")(fetch_models)


@app.command()
def rename(model: Id, name: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Give one of your own models another name."""
    with plain_errors():
        from vitascope.io.models.archive import rename_model

        typer.echo(f"Renamed to {rename_model(model, name).id}")


@app.command()
def runs(
    csv: Annotated[Path | None, typer.Option(help="Write them as a table instead.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Write their curves as event files to a folder.")] = None,
) -> None:
    """List training runs, the latest first."""
    with plain_errors():
        from vitascope.io.models.training_log import list_records, write_records_csv

        if csv is not None:
            write_records_csv(run_records(), csv)
            typer.echo(csv)
            return
        if tensorboard is not None:
            for folder in load_exchange().write_events(run_records(), tensorboard):
                typer.echo(folder)
            return
        for record in list_records(run_records()):
            parent = record.parent.split()[0] if record.parent else "scratch"
            typer.echo(f"{record.updated}  {record.model:24} {record.task:10} from {parent:24} {record.status}")


@app.command()
def compare(
    first: Id,
    second: Annotated[str, typer.Argument(metavar="ID2", help="The other model.")],
    recipe: Annotated[Path, typer.Option(help="Recipe whose test part both are measured on.")],
) -> None:
    """Measure two models on the same test part."""
    with plain_errors():
        from vitascope.recipes.recipe import read_recipe

        read = read_recipe(recipe)
        found = with_progress_bar(load_comparison().compare(first, second, read, recipe.parent))
        for figure in found.table.to_dict("records"):
            typer.echo(f"{figure['figure']}: {comparison_text(figure, found.first, found.second)}")


@app.command()
def delete(model: Id) -> None:
    """Delete one of your own models."""
    with plain_errors():
        from vitascope.io.models.archive import delete_model

        typer.echo(f"Deleted {delete_model(model)}")
