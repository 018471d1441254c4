"""``vitascope models``: what models there are, and moving them between machines."""

from __future__ import annotations

import math
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.core.errors import ParameterError
from vitascope.core.formatting import is_number, number_text
from vitascope.core.paths import BUNDLED_MODELS, RECIPE, run_records, training_folder
from vitascope.tasks.late_modules import load_comparison, load_exchange, load_graph_domain, load_graph_import
from vitascope.tasks.registry import find_task

if TYPE_CHECKING:
    from vitascope.core.card import ModelCard

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


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="A .vitascope file, a bioimage.io package, a network as ONNX, or weights.")
    ],
    name: Annotated[str, typer.Option(help="Name of the new model, where it shall have another one.")] = "",
    like: Annotated[
        str,
        typer.Option(help="For weights, ONNX and packages of other programs: the model whose network they fit."),
    ] = "",
    task: Annotated[
        str, typer.Option(help="For ONNX and packages that hold it: run the network as it is, for this task.")
    ] = "",
    spec: Annotated[
        Path | None, typer.Option(help="With --task: YAML that describes the network, or a bioimage.io rdf.yaml.")
    ] = None,
    outputs: Annotated[
        str, typer.Option(help="With --task: names of the pictures it answers with, in its order (a,b).")
    ] = "",
    normalise: Annotated[
        str,
        typer.Option(
            help="With --task: how images are prepared, by image: percentile:LOW:HIGH, zscore, median_iqr, minmax, "
            "fixed:MEAN:SD or none."
        ),
    ] = "",
    pixel_size_um: Annotated[
        float | None, typer.Option("--pixel-size-um", help="With --task: of the images it was trained on.")
    ] = None,
    try_image: Annotated[
        Path | None, typer.Option("--try", help="With --task: an image it must run on, or it is not kept.")
    ] = None,
) -> None:
    """Add a model from one file to your own."""
    with plain_errors():
        from vitascope.io.models.archive import FOREIGN, import_model

        given = {"--spec": spec, "--outputs": outputs, "--normalise": normalise, "--pixel-size-um": pixel_size_um}
        used = [flag for flag, value in {**given, "--try": try_image}.items() if value not in (None, "")]
        if used and not task:
            raise ParameterError(f"{used[0]} is for networks that are run as they are.", "Name the task (--task TASK).")
        if task and like:
            raise ParameterError(
                "A network is read into one of ours (--like) or run as it is (--task), not both.", "Leave one out."
            )
        if task:
            card = bring(file, task, name, spec, outputs, normalise, pixel_size_um, try_image)
        elif file.suffix in FOREIGN:
            card = load_exchange().import_foreign(file, like, name)
        else:
            card = import_model(file, name)
        typer.echo(f"Imported {card.id} ({card.licence}).")
        for note in card.training.get("notes", []) if task or file.suffix in FOREIGN else ():
            typer.echo(f"Note: {note}")


def bring(
    file: Path,
    task: str,
    name: str,
    spec: Path | None,
    outputs: str,
    normalise: str,
    pixel_size_um: float | None,
    try_image: Path | None,
) -> ModelCard:
    """Add a network that is run as it is, and keep it only if it runs on the image it is tried on."""
    if file.suffix.lower() not in (".onnx", ".zip", ".pt", ".pth", ".p", ".ckpt"):
        raise ParameterError(
            f"{file.name} cannot be run as it is: networks are run as ONNX (.onnx, a package that holds it), or from a "
            "checkpoint of fnet (.pt, .p).",
            "Export it as ONNX (torch.onnx.export), or say whose network it has (--like MODEL).",
        )
    image = None
    if try_image is not None:
        from vitascope.io.images.read import read_image

        image = read_image(try_image)
    card = load_graph_import().import_graph(
        file,
        task,
        name,
        spec=spec,
        outputs=outputs,
        normalise=normalise,
        pixel_size_um=pixel_size_um,
        planes_for_channels=image is not None and image.sizes["C"] == 1 < image.sizes["Z"],
    )
    if image is not None:
        result = with_progress_bar(load_graph_import().try_on(card, image))
        for row in result.rows[:MOST_TOLD]:
            told = ", ".join(f"{k} {number_text(v)}" for k, v in row.items() if is_number(v))
            typer.echo(f"Tried on {try_image.name if try_image else ''}: {told}")
    return card


@app.command("domain")
def domain(
    model: Id,
    images: Annotated[list[str], typer.Argument(help="Images that it does well on: files, folders, patterns.")],
    stain: Annotated[
        Path | None, typer.Option(help="The real stain of the image, where one is given: tells the expected PCC.")
    ] = None,
    pattern: Annotated[str | None, typer.Option(help="How names are read; see the page on plates.")] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the images, where the files do not tell.")] = None,
    pixel_size_um: Annotated[
        float | None, typer.Option("--pixel-size-um", help="Of the images, where the files do not tell.")
    ] = None,
) -> None:
    """Fit the domain of a network that is run as it is on images it does well on, so that others can be judged."""
    with plain_errors():
        from vitascope.io.images.read import group_paths, open_group, read_image
        from vitascope.tasks.good_image import GoodImage

        groups, left_out = group_paths(images, pattern)
        for sentence in left_out:
            typer.echo(f"Warning: {sentence}", err=True)
        if stain is not None and len(groups) != 1:
            raise ParameterError(
                f"A stain belongs to one image; {len(groups)} are given.", "Give the image that it was taken of."
            )
        real = partial(read_image, str(stain)) if stain is not None else None
        good = [GoodImage(g.name, partial(open_group, g, pixel_size_um, axes), real) for g in groups]
        card = with_progress_bar(load_graph_domain().fit_domain(model, good))
        typer.echo(card.training["notes"][-1])
        typer.echo(domain_text(card))


def domain_text(card: ModelCard) -> str:
    """Say what a fitted domain tells."""
    assert card.domain is not None
    told = f"Images are judged by {card.domain.crops} crops of {card.domain.crop_px} px."
    if card.expected is None:
        return f"{told} Which agreement with a real stain to expect is not known (--stain)."
    how = card.expected
    value = math.tanh(how.intercept)
    return (
        f"{told} Of images that fit, a PCC of {value:.2f} ({value + how.low_by:.2f} to {value + how.high_by:.2f}) is "
        "expected."
    )


MOST_TOLD = 3
"""Rows of a trial that are printed."""


@app.command("fetch")
def fetch_models(
    listed: Annotated[
        Path, typer.Option("--list", help="CSV or YAML: name, source, licence, url and sha256 of each model.")
    ],
    only: Annotated[
        list[str] | None, typer.Option("--name", help="Only this one of the list; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path(),
    file: Annotated[
        Path | None, typer.Option(help="The file or folder brought in another way: the network is not asked.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to sources and licences without being asked.")] = False,
) -> None:
    """Fetch models by a list that your laboratory keeps, and check them; nothing is imported."""
    with plain_errors():
        from vitascope.io.models.fetch import fetch, read_list

        entries = read_list(listed)
        unknown = sorted(set(only or ()) - {e.name for e in entries})
        if unknown:
            raise ParameterError(
                f"{listed.name} has no '{unknown[0]}'.", f"It has {', '.join(e.name for e in entries)}."
            )
        for entry in entries:
            if only and entry.name not in only:
                continue
            typer.echo(f"{entry.name}: {entry.source}; licence {entry.licence}; {entry.url}")
            if not yes and not agreed():
                typer.echo(f"Left out {entry.name}.")
                continue
            typer.echo(with_progress_bar(fetch(entry, out, listed.parent, file)))


def agreed() -> bool:
    """Ask whether to fetch a model from there under that licence.

    Raises
    ------
    ParameterError
        If nobody is there to answer.
    """
    try:
        return typer.confirm("Fetch it from there, under this licence?", default=False)
    except typer.Abort as error:
        raise ParameterError("Nobody agreed to source and licence.", "Agree on the command line (--yes).") from error


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


def comparison_text(figure: dict[Any, Any], first: str, second: str) -> str:
    """Write a figure of two models with intervals, where there are, and their difference.

    Examples
    --------
    >>> ends = {"first_low": None, "first_high": None, "second_low": 0.9, "second_high": 0.98}
    >>> comparison_text({"first": 0.87, "second": 0.9626, "difference": 0.0926, "n": 6, **ends}, "old", "new")
    'old 0.87, new 0.963 (0.9 to 0.98), difference +0.0926, n = 6'
    """
    told = []
    for model, which in ((first, "first"), (second, "second")):
        low, high = figure[f"{which}_low"], figure[f"{which}_high"]
        interval = f" ({number_text(low)} to {number_text(high)})" if is_number(low) and is_number(high) else ""
        told.append(f"{model} {number_text(figure[which])}{interval}")
    sign = "+" if figure["difference"] > 0 else ""
    told.append(f"difference {sign}{number_text(figure['difference'])}")
    if is_number(figure["n"]):
        told.append(f"n = {figure['n']:.0f}")
    return ", ".join(told)


def recipe_text(card: ModelCard) -> str:
    """Return the recipe of a bundled model, or of one that was trained in the dock.

    Raises
    ------
    ParameterError
        If it is not at hand.
    """
    for path in (BUNDLED_MODELS / "recipes" / f"{card.id}.yaml", training_folder(card.id) / RECIPE):
        if path.is_file():
            return path.read_text("utf-8").rstrip()
    raise ParameterError(f"The recipe of '{card.id}' is not at hand.", "Those of the bundled models are.")


def network_text(card: ModelCard) -> str:
    """Say which network a model has."""
    size = f"{card.weights.parameters:,} weights"
    if card.graph is None:
        return f"Network: {card.architecture.name} {card.architecture.arguments}, {size}"
    sees = (
        f"{max(card.graph.reach)} px at most"
        if card.graph.reach is not None
        else "the whole window (not exact in tiles)"
    )
    return (
        f"Network: of another program, run as it is (ONNX {card.graph.opset}, {card.graph.axes}), {size}; sees {sees}"
    )


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
        network_text(card),
        f"Split: {card.split}",
    ]
    for metric in card.metrics:
        interval = f" ({metric.low:g} to {metric.high:g})" if metric.low is not None else ""
        twin = " - measured on the twin trained without the test part" if metric.from_holdout_model else ""
        lines.append(f"Accuracy: {metric.name} {metric.value:g}{interval} {metric.unit}, {metric.on}{twin}")
    lines += [f"Do not trust it: {card.limitations}"]
    for source in card.data:
        lines.append(f"Data: {source.name}, {source.licence}, {source.url}. {source.credit}")
    lines += [f"Licence: {card.licence}. {card.credit}", f"SHA-256: {card.weights.sha256}"]
    if card.parent:
        lines.append(f"Fine-tuned from: {card.parent}")
    lines += [f"Note: {note}" for note in card.training.get("notes", [])]
    return "\n".join(lines)
