"""``vitascope models import``, ``domain`` and ``fetch``: models that come from elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli.console import group_images, plain_errors, with_progress_bar
from vitascope.cli.model_text import domain_text
from vitascope.core.errors import ParameterError
from vitascope.core.formatting import is_number, number_text
from vitascope.tasks.late_modules import load_exchange, load_graph_domain, load_graph_import, load_quantise

if TYPE_CHECKING:
    from vitascope.core.card import ModelCard

MOST_TOLD = 3
"""Rows of a trial that are printed."""


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
            help="With --task: how images are prepared: percentile:LOW:HIGH, zscore, median_iqr, minmax, "
            "fixed:MEAN:SD or none."
        ),
    ] = "",
    per: Annotated[
        str,
        typer.Option(help="With --task: what shares a normalisation: image (as usual), plane, field or plate."),
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

        given = {
            "--spec": spec,
            "--outputs": outputs,
            "--normalise": normalise,
            "--per": per,
            "--pixel-size-um": pixel_size_um,
        }
        used = [flag for flag, value in {**given, "--try": try_image}.items() if value not in (None, "")]
        if used and not task:
            raise ParameterError(f"{used[0]} is for networks that are run as they are.", "Name the task (--task TASK).")
        if task and like:
            raise ParameterError(
                "A network is read into one of ours (--like) or run as it is (--task), not both.", "Leave one out."
            )
        if task:
            card = bring(file, task, name, spec, outputs, normalise, per, pixel_size_um, try_image)
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
    per: str,
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
        answers={"per": per} if per else None,
        planes_for_channels=image is not None and image.sizes["C"] == 1 < image.sizes["Z"],
    )
    if image is not None:
        result = with_progress_bar(load_graph_import().try_on(card, image))
        for row in result.rows[:MOST_TOLD]:
            told = ", ".join(f"{k} {number_text(v)}" for k, v in row.items() if is_number(v))
            typer.echo(f"Tried on {try_image.name if try_image else ''}: {told}")
    return card


def domain(
    model: Annotated[str, typer.Argument(metavar="ID", help="Model by id, or path of its card.")],
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
        from vitascope.io.images.read import open_group, read_image
        from vitascope.tasks.good_image import GoodImage

        groups = group_images(images, pattern)
        if stain is not None and len(groups) != 1:
            raise ParameterError(
                f"A stain belongs to one image; {len(groups)} are given.", "Give the image that it was taken of."
            )
        real = partial(read_image, str(stain)) if stain is not None else None
        good = [GoodImage(g.name, partial(open_group, g, pixel_size_um, axes), real) for g in groups]
        card = with_progress_bar(load_graph_domain().fit_domain(model, good))
        typer.echo(card.training["notes"][-1])
        typer.echo(domain_text(card))


def quantise(
    model: Annotated[str, typer.Argument(metavar="ID", help="One of your own models, by id.")],
    images: Annotated[list[str], typer.Argument(help="Two images or more that it is for: files, folders, patterns.")],
    pattern: Annotated[str | None, typer.Option(help="How names are read; see the page on plates.")] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the images, where the files do not tell.")] = None,
    pixel_size_um: Annotated[
        float | None, typer.Option("--pixel-size-um", help="Of the images, where the files do not tell.")
    ] = None,
) -> None:
    """Let a model compute in 8 bit on processors, which is faster, and say in its card how near to 32 bit it stays."""
    with plain_errors():
        from vitascope.io.images.read import open_group
        from vitascope.tasks.good_image import GoodImage

        groups = group_images(images, pattern)
        given = [GoodImage(g.name, partial(open_group, g, pixel_size_um, axes)) for g in groups]
        card = with_progress_bar(load_quantise().quantise(model, given))
        assert card.int8 is not None  # it was just found
        typer.echo(card.int8.text)


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
