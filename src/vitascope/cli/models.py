"""``vitascope models``: what models there are, and moving them between machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli.say import plain_errors
from vitascope.core.card import ModelCard
from vitascope.io.models import find_cards, find_model, read_card
from vitascope.io.packages import delete_model, export_model, import_model
from vitascope.tasks.registry import find_task

app = typer.Typer(help="List, show, export, import and delete models.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="Model by id, or path of its card.")]


@app.command("list")
def list_models(task: Annotated[str | None, typer.Option(help="Only models of this task.")] = None) -> None:
    """List the models at hand, one line each: id, task, and what it is."""
    with plain_errors():
        if task is not None:
            find_task(task)
        for path in find_cards(task).values():
            card = read_card(path)
            typer.echo(f"{card.id:24} {card.task:10} {card.summary}")


@app.command()
def show(model: Id) -> None:
    """Show all that is known of a model: data, accuracy, licence, when not to trust it."""
    with plain_errors():
        typer.echo(describe(find_model(model)[0]))


@app.command()
def export(
    model: Id, out: Annotated[Path, typer.Option("-o", "--out", help="File or folder to write to.")] = Path()
) -> None:
    """Write a model as one file (.vitascope)."""
    with plain_errors():
        typer.echo(export_model(model, out))


@app.command("import")
def import_file(file: Annotated[Path, typer.Argument(help="A .vitascope file.")]) -> None:
    """Add a model from one file to your own."""
    with plain_errors():
        card = import_model(file)
        typer.echo(f"Imported {card.id} ({card.licence}).")


@app.command()
def delete(model: Id) -> None:
    """Delete one of your own models."""
    with plain_errors():
        typer.echo(f"Deleted {delete_model(model)}")


def describe(card: ModelCard) -> str:
    """Return a card as text for people."""
    spec = card.input
    pixel = f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else f"unknown {spec.pixel_size_note}".strip()
    lines = [
        f"{card.id} (version {card.version}): {card.title}",
        card.summary,
        "",
        f"Task: {card.task}",
        f"Takes: {spec.modality}, {spec.planes} plane(s) of {', '.join(spec.channels)}; pixel size {pixel}",
        f"Gives: {', '.join(f'{t.name} ({t.unit})' for t in card.targets)}",
        f"Network: {card.architecture.name} {card.architecture.arguments}, {card.weights.parameters:,} weights",
        f"Split: {card.split}",
    ]
    for metric in card.metrics:
        interval = f" ({metric.low:g} to {metric.high:g})" if metric.low is not None else ""
        twin = " - measured on the twin trained without the test part" if metric.of_twin else ""
        lines.append(f"Accuracy: {metric.name} {metric.value:g}{interval} {metric.unit}, {metric.on}{twin}")
    lines += [f"Do not trust it: {card.distrust}"]
    for source in card.data:
        lines.append(f"Data: {source.name}, {source.licence}, {source.url}. {source.credit}")
    lines += [f"Licence: {card.licence}. {card.credit}", f"SHA-256: {card.weights.sha256}"]
    if card.parent:
        lines.append(f"Fine-tuned from: {card.parent}")
    return "\n".join(lines)
