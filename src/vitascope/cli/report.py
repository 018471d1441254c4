"""``vitascope report``: one HTML file of a plate or study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli.console import plain_errors, with_progress_bar


def report(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", help="Folder of a run, a plate run, or of 'vitascope response'."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="HTML file; opens without a network and prints to A4.")],
) -> None:
    """Write a report: what was run, how far it is trusted, plate map, heat maps, curves, IC50s, wells, methods."""
    with plain_errors():
        from vitascope.batch.report.write import run_report

        typer.echo(f"Report: {with_progress_bar(run_report(results, out))}")
