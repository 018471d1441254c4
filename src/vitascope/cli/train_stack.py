"""``vitascope train-stack``: a network of volumes from a label-free stack and its stain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.core.errors import ParameterError
from vitascope.tasks.late_modules import load_stack_model, load_stack_training

if TYPE_CHECKING:
    from vitascope.core.micrograph import Micrograph


def train_stack(
    image: Annotated[str, typer.Argument(help="Label-free stack: a file, or a quoted glob of its planes.")],
    stain: Annotated[str, typer.Argument(help="The stain of the same field: a stack, or one plane (a projection).")],
    name: Annotated[str, typer.Option(help="Name of the new model.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder that gets the weights (NAME.pt).")] = Path(),
    channel: Annotated[int, typer.Option(help="Channel of the stack, from 0.")] = 0,
    stain_channel: Annotated[int, typer.Option("--stain-channel", help="Channel of the stain, from 0.")] = 0,
    stain_name: Annotated[
        str, typer.Option("--stain-name", help="What the stain shows, such as DNA.")
    ] = "fluorescence",
    steps: Annotated[int, typer.Option(help="Batches to learn from.")] = 2000,
    filters: Annotated[int, typer.Option(help="Of the first level; 32 in the paper.")] = 32,
    batch: Annotated[int, typer.Option(help="Crops at once.")] = 4,
    seed: Annotated[int, typer.Option(help="Start of all random numbers.")] = 0,
    axes: options.Axes = None,
    device: options.Device = "auto",
) -> None:
    """Train the network of Ounkomol 2018 (fnet) for volumes; the last quarter of the rows is held out to measure it.

    The weights are written in the layout of the public fnet, and the network is added to your models, to be run as it
    is (needs the extra onnx).
    """
    with plain_errors():
        from vitascope.io.atomic import check_writable
        from vitascope.io.models.cards import check_model_id, find_cards
        from vitascope.recipes.stack_pair import StackPair, StackTrainParams

        check_model_id(name)
        if name in find_cards():
            raise ParameterError(f"There is a model '{name}' already.", "Give another name (--name NAME).")
        weights = out / f"{name}.pt"
        if weights.exists():
            raise ParameterError(f"'{weights}' exists already.", "Give another folder or name; nothing is replaced.")
        check_writable(out)
        params = StackTrainParams.make(steps=steps, filters=filters, batch=batch, seed=seed)
        given, real = open_one(image, axes), open_one(stain, axes)
        pair = StackPair(given.name, stack_of(given, channel), stack_of(real, stain_channel))
        out.mkdir(parents=True, exist_ok=True)
        figures = with_progress_bar(load_stack_training().train_on_stacks([pair], params, weights, device))
        typer.echo(f"Weights: {weights}")
        typer.echo(
            f"Held-out rows {figures.rows[0]} to {figures.rows[1]}: PCC {figures.pcc:.3f}, {figures.explained:.0%} of "
            f"the variance; loss {figures.first_loss:.3g} at first, {figures.last_loss:.3g} at last"
        )
        card = load_stack_model().keep_stack_model(
            weights, name, stain_name, figures, params, (given.name,), given.pixel_size_um
        )
        typer.echo(f"Model: {card.id}")


def open_one(path: str, axes: str | None) -> Micrograph:
    """Open the one image that a path or pattern names.

    Raises
    ------
    ParameterError
        If it names several.
    """
    from vitascope.io.images.read import group_paths, open_group

    groups, _ = group_paths([path], None)
    if len(groups) != 1:
        raise ParameterError(f"'{path}' names {len(groups)} images.", "Name one stack.")
    return open_group(groups[0], None, axes)


def stack_of(image: Micrograph, channel: int) -> Any:
    """Return a channel's planes, (Z, Y, X), or the plane (Y, X) of an image without depth.

    Raises
    ------
    ParameterError
        If it has not the channel.
    """
    import numpy as np

    if not 0 <= channel < image.sizes["C"]:
        raise ParameterError(f"'{image.name}' has {image.sizes['C']} channel(s), no number {channel}.")
    planes = [np.asarray(image.plane(0, channel, z)) for z in range(image.sizes["Z"])]
    return planes[0] if len(planes) == 1 else np.stack(planes)
