"""``vitascope compare-stain``: predicted stains against real ones."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.cli.run import check_pixel_size
from vitascope.core.errors import ParameterError

TOLD = ("pcc", "pcc_inside_cells", "iou", "nuclei_f1_iou50", "cells_f1_iou50", "mean_pearson")
"""Figures that are written to the terminal; the table holds all."""


def compare_stain(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The label-free image.")],
    predicted: Annotated[
        Path, typer.Option(help="Predicted stains, a channel each, such as prediction/IMAGE.ome.tif of a run.")
    ],
    real: Annotated[
        list[str],
        typer.Option(
            help="Real stains of the same field, one file with all channels or the option once for each file; what one "
            "shows is told by its channels' names or its own, or say er=FILE."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for agreement.csv and the figure.")],
    object_diameter_px: Annotated[
        float | None, typer.Option(help="Typical diameter of a nucleus; without it measured in the real stain.")
    ] = None,
    pixel_size_um: options.PixelSize = None,
    fit_correction: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Fit a line that brings predicted intensities to real ones, on every other crop, and say how well it "
            "does on the rest; 'run stain --set correction=FILE.json' uses it.",
        ),
    ] = None,
) -> None:
    """Tell how well predicted stains agree with real ones: pixels, masks and single cells."""
    with plain_errors():
        check_pixel_size(pixel_size_um)
        if object_diameter_px is not None and not 2 < object_diameter_px <= 2000:
            raise ParameterError(
                f"A nucleus of {object_diameter_px} px cannot be found.", "Give a diameter above 2 px, up to 2000."
            )
        from vitascope.batch.compare_stain import compare_stain as compare

        done = with_progress_bar(
            compare(
                image,
                predicted,
                real,
                out,
                object_diameter_px=object_diameter_px,
                pixel_size_um=pixel_size_um,
                fit_correction=fit_correction,
                command=shlex.join(["vitascope", *sys.argv[1:]]),
            )
        )
        for name in done.left_out:
            typer.echo(f"Warning: no real stain shows '{name}': it is left out.", err=True)
        for name in done.rescaled:
            typer.echo(
                f"Warning: '{name}' is predicted in grey values, no shares of full scale: it was brought to 0 to 1 by "
                "its own percentiles, so means and totals tell nothing of amounts.",
                err=True,
            )
        for row in done.table[done.table["quantity"].isin(TOLD)].to_dict("records"):
            interval = f" ({row['low']:.3f} to {row['high']:.3f})" if math.isfinite(row["low"]) else ""
            typer.echo(f"{row['target']}: {row['quantity'].replace('_', ' ')} {row['value']:.3f}{interval}")
        for row in done.correction.to_dict("records"):
            line = f"corrected = {row['slope']:.3f} x predicted + {row['intercept']:.3f}"
            gain = f"{row['concordance_before']:.3f}, then {row['concordance_after']:.3f}"
            typer.echo(f"{row['target']}: {line}; concordance of cells not fitted on {gain}")
        typer.echo(f"Table and figure: {out}")
