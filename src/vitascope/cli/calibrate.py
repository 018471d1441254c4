"""``vitascope calibrate``: a model of wells, calibrated on one laboratory's plate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.core.formatting import number_text
from vitascope.tasks.late_modules import load_calibration

HELP_OF_NETWORK = "Fine-tune the network too, as a third way: six trainings, which take long on a processor."


def calibrate(
    task: Annotated[str, typer.Argument(help="Task of the model: atp.")],
    images: Annotated[Path, typer.Option(help="Folder of bright-field images, a well each.")],
    values: Annotated[Path, typer.Option(help="A reader's sheet (CSV or XLSX): grid, list or export.")],
    out: Annotated[
        str,
        typer.Option("-o", "--out", help="Name of the new model, or a path that ends in it; never an existing one."),
    ],
    start: Annotated[str, typer.Option("--from", help="Model whose number is calibrated.")] = "auto",
    method: Annotated[
        str,
        typer.Option(help="best (on wells left out), line, features, blend or network."),
    ] = "best",
    network: Annotated[bool, typer.Option("--network", help=HELP_OF_NETWORK)] = False,
    column: Annotated[str, typer.Option(help="Column of the sheet that holds the values.")] = "",
    group: Annotated[
        str,
        typer.Option(help="Column of the sheet, such as day, whose wells are kept together; else plates, or rows."),
    ] = "",
    unit: Annotated[str, typer.Option(help="Unit of the values; else the start model's.")] = "",
    pattern: options.Pattern = None,
    seed: Annotated[int, typer.Option(min=0, help="Start of all random numbers.")] = 0,
) -> None:
    """Calibrate on one plate: images and a reader's sheet in, a model and its errors on wells left out.

    Compared are a line on the start model's number, classical features of the organoids, both, and with --network
    fine-tuning. Tables lie in the folder <model>.calibration: errors, learning curve, and the wells to measure next.
    """
    with plain_errors():
        from vitascope.io.models.cards import new_model
        from vitascope.recipes.calibration import ERRORS, CalibrateParams
        from vitascope.tasks.calibration import check_calibrated

        check_calibrated(task)
        folder, name = new_model(out)
        params = CalibrateParams.make(
            start=start,
            method=method,
            network=network,
            column=column,
            group=group,
            unit=unit,
            pattern=pattern or "",
            seed=seed,
        )
        done = with_progress_bar(load_calibration().calibrate(images, values, folder, name, params))
        for problem in done.problems:
            typer.echo(f"Warning: {problem}", err=True)
        for row in done.errors.to_dict("records"):
            interval = f" ({number_text(row['low'])} to {number_text(row['high'])})" if row["low"] == row["low"] else ""
            typer.echo(f"{row['method']}: error {number_text(row['mae'])}{interval}{', kept' if row['chosen'] else ''}")
        for sentence in done.sentences:
            typer.echo(sentence)
        typer.echo(f"Model: {done.path}")
        typer.echo(f"Tables: {done.folder / ERRORS}")
