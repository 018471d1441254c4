"""``vitascope calibrate-counts``: settings that find the nuclei someone pointed at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.cli.run import check_pixel_size, parse_settings


def calibrate_counts(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The label-free image, one picture.")],
    points: Annotated[
        Path,
        typer.Option(
            help="CSV with a row for every nucleus in a part of the image, 10 to 30: a Points layer as napari saves "
            "it, or columns y and x in pixels from 0."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.json", help="Where the settings go.")],
    model: options.Model = "auto",
    pixel_size_um: options.PixelSize = None,
    device: options.Device = "auto",
    settings: options.Settings = None,
) -> None:
    """Choose threshold, smallest object and least signal by nuclei that were pointed at; no stain is needed.

    Point at every nucleus of a part of the image. 'vitascope run stain --settings FILE.json' uses what was chosen.
    """
    with plain_errors():
        check_pixel_size(pixel_size_um)
        values = parse_settings(settings or [])
        from vitascope.batch.calibrate_counts import calibrate_counts as calibrate
        from vitascope.io.tables.points import read_points

        found = read_points(points)
        steps = calibrate(image, found, out, pixel_size_um=pixel_size_um, model=model, device=device, **values)
        chosen = with_progress_bar(steps)
        typer.echo(
            f"threshold {chosen.threshold}, least signal {chosen.min_contrast:g}, smallest object {chosen.min_area:g}"
        )
        typer.echo(
            f"{chosen.found} of {chosen.points} nuclei found, {chosen.extra} more among them that nobody pointed at"
        )
        typer.echo(
            f"F1 of nuclei left out while choosing: {chosen.f1:.2f}; with the settings before: {chosen.f1_before:.2f}"
        )
        typer.echo(f"Settings: {out}")
