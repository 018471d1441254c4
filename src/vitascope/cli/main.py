"""The command ``vitascope``: one verb for each thing a user wants done."""

from __future__ import annotations

import io
import sys

import typer

from vitascope import __version__
from vitascope.cli import (
    calibrate,
    calibrate_counts,
    compare_stain,
    demo,
    denoise,
    drift,
    models,
    plate,
    report,
    response,
    run,
    serve,
    stability,
    train,
    train_stack,
)

app = typer.Typer(
    name="vitascope",
    help="Numbers from living cultures without staining or killing them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("plate")(plate.plate)
app.command("response")(response.response)
app.command("dili")(response.dili)
app.command("report")(report.report)
app.command("train")(train.train)
app.command("train-stack")(train_stack.train_stack)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(train.evaluate)
app.command("denoise")(denoise.denoise)
app.command("calibrate-counts")(calibrate_counts.calibrate_counts)
app.command("compare-stain")(compare_stain.compare_stain)
app.command("stability")(stability.stability)
app.command("serve")(serve.serve)
app.add_typer(models.app, name="models")
app.add_typer(drift.app, name="drift")


@app.callback(invoke_without_command=True)
def main(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Numbers from living cultures without staining or killing them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names of files may hold what a terminal cannot show
    if version:
        typer.echo(__version__)
        raise typer.Exit
