"""``vitascope stability``: how a model suffers when images are made worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli.console import plain_errors, with_progress_bar


def stability(
    model: Annotated[str, typer.Argument(help="Model by id (see 'vitascope models list') or path of its card.")],
    recipe: Annotated[Path, typer.Option(help="Recipe whose images are used, with their truth; its test part if any.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for stability.csv and stability.png.")],
    corruption: Annotated[
        list[str] | None,
        typer.Option(help="defocus, contrast, brightness, noise, shading or exposure; once for each, all by default."),
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(help="-5 to 5, once for each; by default -4, -2, -1, 1, 2 and 4.")
    ] = None,
    images: Annotated[int, typer.Option(help="Images at most, spread evenly over those of the recipe.")] = 12,
) -> None:
    """Tell how a model suffers from blur, light, noise and focus: before normalisation, and after it."""
    with plain_errors():
        from vitascope.recipes.recipe import read_recipe
        from vitascope.tasks.late_modules import load_stability

        steps = load_stability().run_stability(
            model,
            read_recipe(recipe),
            recipe.absolute().parent,
            out,
            corruptions=corruption or (),
            severities=severity or (),
            most=images,
        )
        found = with_progress_bar(steps)
        for name in found.undone:
            typer.echo(f"{name}: normalisation takes it back whole; nothing is told of the model's stability.")
        if not found.on_test:
            typer.echo("The recipe keeps no test part: the images are those it trains on, among others.")
        typer.echo(f"Table and figure: {out}")
