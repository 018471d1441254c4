"""``vitascope response``: dose-response curves of a run, a plate, a reader's sheet or a table; ``vitascope dili``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.cli.plate import parse_columns
from vitascope.cli.run import parse_settings
from vitascope.core.errors import ParameterError


def show_parameters(wanted: bool) -> None:
    """List the settings of an analysis and stop."""
    if wanted:
        from vitascope.stats.response.params import ResponseParams

        for name, field in ResponseParams.model_fields.items():
            typer.echo(f"  {name} (default {field.default})\n      {field.description}")
        raise typer.Exit


def response(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS_OR_TABLE",
            help="Folder of a run or plate run, or a table: results.csv, treatment, dose and value in columns, a plate "
            "reader's export, or a cellHTS2 Platelist.txt.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for curves.csv, points.csv and figures.")],
    value: Annotated[
        list[str] | None,
        typer.Option(help="Column to fit, more than once for several; by default the main number of the run."),
    ] = None,
    map: options.Map = None,
    map_column: options.MapColumns = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Column that tells curves apart; by default plate, day, time and treatment, where there."),
    ] = None,
    direction: Annotated[str, typer.Option(help="either, falls or rises: others are no fit.")] = "either",
    normalise: Annotated[str, typer.Option(help="auto, none, negative, controls or plate.")] = "auto",
    correct: Annotated[
        str, typer.Option(help="Free values of their place: none, edge, rows, columns, rows_columns or all.")
    ] = "none",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting; see --help-parameters."),
    ] = None,
    help_parameters: Annotated[
        bool,
        typer.Option("--help-parameters", help="List all settings and stop.", is_eager=True, callback=show_parameters),
    ] = False,
) -> None:
    """Fit dose-response curves: IC50 with interval, or the reason why there is none.

    Exit code: 0 also where curves could not be fitted (quality "no fit"), 2 for wrong usage or an unreadable table.
    """
    with plain_errors():
        from vitascope.batch.response.inputs import read_response_table
        from vitascope.batch.response.outputs import ResponseJob, run_response
        from vitascope.io.tables.plate_map import read_plate_map
        from vitascope.stats.response.params import ResponseParams

        columns = parse_columns(map_column or [])
        given: dict[str, Any] = {"direction": direction, "normalise": normalise, "correct": correct}
        params = ResponseParams.make(**given, **_without(parse_settings(settings or []), given))
        plate_map = read_plate_map(map, columns=columns) if map is not None else None
        wells = read_response_table(source, plate_map, columns if map is None else None)
        for sentence in wells.notes:
            typer.echo(f"Warning: {sentence}", err=True)
        job = ResponseJob(
            wells=wells,
            values=tuple(wells.choose(one) for one in value) if value else (wells.choose(None),),
            out=out,
            by=tuple(by) if by else None,
            params=params,
            command=shlex.join(["vitascope", *sys.argv[1:]]),
        )
        result = with_progress_bar(run_response(job))
        for line in in_words(result):
            typer.echo(line)
        typer.echo(f"Curves: {out}")


def _without(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    twice = [name for name in settings if name in given]
    if twice:
        raise ParameterError(f"'{twice[0]}' has an option of its own.", f"Write --{twice[0]} {settings[twice[0]]}.")
    return settings


def in_words(result: Any) -> list[str]:
    """Say of each curve what came out, in a line."""
    from vitascope.batch.response.views import curve_views
    from vitascope.stats.response.wells import NO_NAME

    lines = []
    for view in curve_views(result):
        told = f"  {view.row['reason']}" if view.row["reason"] else ""
        left = view.points[view.points["excluded"].astype(bool)]
        if len(left) and view.row["quality"] != "no fit":
            why = list(dict.fromkeys(left["reason"]))
            told += f"  {len(left)} of {len(view.points)} left out: {why[0]}{', and others' if len(why) > 1 else ''}."
        lines.append(f"{view.row['quality']:8} {view.title}  {view.row['quantity']}  {view.answer}{told}")
    nameless = int((result.points["reason"] == NO_NAME).sum()) if len(result.points) else 0
    lines += [f"In no curve: {nameless} rows that name no treatment; points.csv has them."] if nameless else []
    return lines or ["There is no treated well: no curve."]


def dili(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that 'vitascope response' wrote.")],
    cmax: Annotated[
        Path,
        typer.Option(
            help="Compounds with Cmax and, for the ROC curve, label: compound, cmax, cmax_unit, label; or DILIrank's "
            "columns."
        ),
    ],
    value: Annotated[str | None, typer.Option(help="Quantity, where curves of several were fitted.")] = None,
    assay: Annotated[
        str | None, typer.Option(help="A second quantity, such as an assay's, whose ROC area is compared.")
    ] = None,
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="Largest loss of ROC area that counts as not worse than the assay.")
    ] = 0.05,
) -> None:
    """Rank compounds by their margin of safety, IC50 / Cmax, and measure how well that tells liver injury."""
    with plain_errors():
        from vitascope.batch.response.dili import run_dili

        found = run_dili(out, cmax, value=value, assay=assay, margin=margin)
        known = int(found.margins["mos"].notna().sum())
        typer.echo(f"{known} of {len(found.margins)} compounds have a margin of safety.")
        for row in found.roc.to_dict("records"):
            day = f"day {row['day']}: " if row["day"] else ""
            told = row["reason"] or f"area {row['auc']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
            typer.echo(f"ROC {day}{told} ({row['positives']} injure, {row['negatives']} do not)")
        if found.comparison is not None:
            one = found.comparison
            verdict = "not worse" if one.not_worse else "not shown to be no worse"
            typer.echo(
                one.reason
                or f"Against {assay}: difference {one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}); "
                f"{verdict} by a margin of {one.margin:g}."
            )
        typer.echo(f"Margins: {out / 'dili.csv'}")
