"""``vitascope plate``: one task on a whole plate."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.cli.run import check_axes_given, check_pixel_size, image_lines, kept_settings, parse_settings
from vitascope.core.errors import ParameterError
from vitascope.core.exit_codes import DRIFT, PARTIAL
from vitascope.io.atomic import check_writable
from vitascope.tasks.registry import find_task

if TYPE_CHECKING:
    from vitascope.batch.drift.watch import Drift
    from vitascope.batch.plate.job import PlateJob
    from vitascope.batch.plate.run import PlateReport
    from vitascope.io.plates.plate import Plate
    from vitascope.io.tables.plate_map import PlateMap


def plate(
    path: options.PlatePath,
    task: Annotated[str, typer.Option(help=options.TASK_HELP)],
    out: options.PlateOut,
    map: options.Map = None,
    map_column: options.MapColumns = None,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    model: options.Model = "auto",
    name: options.PlateName = None,
    pattern: options.Pattern = None,
    old_pattern: options.OldPattern = None,
    planes: options.Planes = None,
    pixel_size_um: options.PixelSize = None,
    axes: options.Axes = None,
    device: options.Device = "auto",
    redo: options.Redo = False,
    drift: options.Drift = None,
    stop_on_drift: options.StopOnDrift = False,
    export_profiles: options.Profiles = None,
    estimate: options.Estimate = False,
    price_per_hour: options.Price = None,
    settings: options.Settings = None,
    settings_file: options.SettingsFile = "",
) -> None:
    """Run a task on a whole plate; stopped at any moment and started again, it resumes where it stopped.

    Exit code: 0 when every image was judged (or refused for a stated reason), 3 when some failed, 4 when it was stopped
    by --stop-on-drift, 2 for wrong usage.
    """
    with plain_errors("Cancelled: what is done is kept, and the same command resumes from there."):
        from vitascope.batch.plate.job import PlateJob
        from vitascope.batch.plate.profiles import check_profiles_name
        from vitascope.batch.plate.profiles import export_profiles as write_profiles
        from vitascope.batch.plate.run import run_plate

        spec = find_task(task)
        check_pixel_size(pixel_size_um)
        check_axes_given(axes)
        if export_profiles is not None:
            check_profiles_name(export_profiles)
            check_writable(export_profiles.absolute().parent)
        kept = kept_settings(settings_file, spec.name)
        params = spec.make_params(**{"model": model, "device": device, **kept, **parse_settings(settings or [])})
        opened = _open(path, pattern or old_pattern, name, planes)
        plate_map = _read_map(map, map_column or [], opened)
        command = shlex.join(["vitascope", *sys.argv[1:]])
        watched = _read_drift(drift, stop_on_drift)
        job = PlateJob(
            spec=spec,
            plate=opened,
            params=params,
            out=out,
            plate_map=plate_map,
            scheduler=scheduler,
            workers=workers,
            pixel_size_um=pixel_size_um,
            axes=axes,
            pattern=pattern or old_pattern,
            redo=redo,
            command=command,
            planes=planes,
            drift=watched,
        )
        if estimate or price_per_hour is not None:
            _estimate(job, price_per_hour)
            return
        report = with_progress_bar(run_plate(job), partial(image_lines, spec))
        _tell(report, opened)
        if export_profiles is not None:
            typer.echo(f"Profiles: {write_profiles(out, export_profiles, plate_map)}")
    if report.stopped_by_drift:
        raise typer.Exit(DRIFT)
    if not report.complete:
        raise typer.Exit(PARTIAL)


def _estimate(job: PlateJob, price_per_hour: float | None) -> None:
    """Say what the plate will take, after a trial on some of its images."""
    from vitascope.batch.plate.estimate import estimate_plate

    found = with_progress_bar(estimate_plate(job))
    typer.echo(
        f"{found.images} images, {found.start_s:.3g} s for the first and {found.image_s:.3g} s for each other (mean of "
        f"{found.tried} tried), {found.workers} at a time: about {found.seconds / 60:.3g} min in all."
    )
    typer.echo(f"Memory: {found.memory_bytes / 2**30:.2g} GiB for each worker.")
    if price_per_hour is not None:
        typer.echo(f"Price: {found.price(price_per_hour):.3g}, at {price_per_hour:g} for an hour of one worker.")


def _read_drift(given: str | None, stop: bool) -> Drift | None:
    from vitascope.batch.drift.references import find_reference
    from vitascope.batch.drift.watch import Drift

    if given is None:
        if stop:
            raise ParameterError(
                "--stop-on-drift needs a reference to tell drift by.", "Give --drift with a name or a .drift file."
            )
        return None
    return Drift(find_reference(given), stop=stop, given=given)


def _open(path: str, pattern: str | None, name: str | None, planes: str | None) -> Plate:
    from vitascope.io.plates.read import open_plate

    opened = open_plate(path, pattern=pattern, plate=name, planes=planes)
    for warning in opened.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    return opened


def _read_map(path: Path | None, columns: list[str], plate: Plate) -> PlateMap | None:
    """Read a map, and say what was noticed about its wells."""
    from vitascope.io.tables.plate_map import read_plate_map
    from vitascope.io.tables.plate_map_validation import in_short

    told = parse_columns(columns)
    if path is None:
        return None
    plate_map = read_plate_map(path, columns=told, plate=plate.name)
    for sentence in in_short((*plate_map.problems, *plate_map.check(plate))):
        typer.echo(f"Warning: {sentence}", err=True)
    return plate_map


def parse_columns(columns: list[str]) -> dict[str, str]:
    """Turn ``dose=SBS_Doses`` into what each column holds.

    Raises
    ------
    ParameterError
        If a text has no ``=``.
    """
    pairs = [text.partition("=") for text in columns]
    if wrong := [text for text, (_, equals, _) in zip(columns, pairs, strict=True) if not equals]:
        raise ParameterError(f"'--map-column {wrong[0]}' cannot be read.", "Write --map-column dose=SBS_Doses.")
    return {what.strip(): column for what, _, column in pairs}


def _tell(report: PlateReport, plate: Plate) -> None:
    """Say what came out."""
    told = ", ".join(f"{count} {status or 'not done'}" for status, count in sorted(report.counts.items()))
    typer.echo(f"{plate.name}: {len(plate.wells)} wells, {len(plate)} images: {told}; {report.computed} computed now.")
    if report.drift_tested is not None:
        from vitascope.batch.drift.in_words import UNTIMED, too_few

        for words in (too_few(*report.drift_tested), "" if report.drift_timed else UNTIMED):
            if words:
                typer.echo(words)
    if report.drift_alarms:
        from vitascope.batch.drift.in_words import since

        typer.echo(f"{since(report.drift_alarms, report.drift_causes)}.")
    if report.stopped_by_drift:
        typer.echo("Stopped there. The same command goes on with the plate.")
    typer.echo(f"Results: {report.out}")
