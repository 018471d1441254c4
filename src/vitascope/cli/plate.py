"""``vitascope plate``: one task on a whole plate."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli.run import check_pixel_size, parse_settings
from vitascope.cli.say import PARTIAL, plain_errors, watch
from vitascope.core.errors import ParameterError
from vitascope.tasks.registry import TASKS, find_task


def plate(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PLATE", help="Folder of images, OME-Zarr plate, Index.idx.xml (Operetta) or .HTD (MetaXpress)."
        ),
    ],
    task: Annotated[str, typer.Option(help=f"What to do: {', '.join(f'{s.name} ({s.title})' for s in TASKS)}.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results; a run that was stopped there is gone on with.")
    ],
    map: Annotated[
        Path | None, typer.Option(help="Plate map: treatment, dose, controls; CSV, XLSX or a reader's export.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, such as tcp://node17:8786.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=512, help="Worker processes on this machine; without it, threads of one.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model by id (see 'vitascope models list') or path of its card.")] = "auto",
    name: Annotated[
        str | None, typer.Option("--plate", help="Name of the plate, where the folder holds several.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Pattern for file names, such as '{well}_f{field}_{channel}.tif'; overrides known ones."),
    ] = None,
    pixel_size_um: Annotated[
        float | None, typer.Option(help="Micrometres per pixel, where the files do not tell or tell wrong.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    redo: Annotated[bool, typer.Option("--redo", help="Run again what failed or was incomplete.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any parameter of the task; see run --help-parameters."),
    ] = None,
) -> None:
    """Run a task on a whole plate; stopped at any moment and started again, it goes on where it was.

    Exit code: 0 when every image was judged (or refused for a stated reason), 3 when some failed, 2 for wrong usage.
    """
    with plain_errors():
        from vitascope.batch.plate import run_plate
        from vitascope.batch.plate_job import PlateJob
        from vitascope.io.open_plate import open_plate
        from vitascope.io.plate_map import read_plate_map

        spec = find_task(task)
        check_pixel_size(pixel_size_um)
        if scheduler is not None and workers is not None:
            raise ParameterError(
                "Workers and a scheduler were given.", "A scheduler has its own workers: leave one out."
            )
        params = spec.make_params(**{"model": model, "device": device, **parse_settings(settings or [])})
        opened = open_plate(path, group=group, plate=name)
        for warning in opened.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        plate_map = None
        if map is not None:
            plate_map = read_plate_map(map, plate=opened.name)
            for problem in (*plate_map.problems, *plate_map.check(opened)):
                typer.echo(f"Warning: {problem.sentence}", err=True)
        job = PlateJob(
            spec,
            opened,
            params,
            out,
            plate_map,
            scheduler,
            workers,
            pixel_size_um,
            group=group,
            redo=redo,
            command=shlex.join(["vitascope", *sys.argv[1:]]),
        )
        report = watch(run_plate(job))
        told = ", ".join(f"{count} {status or 'not done'}" for status, count in sorted(report.counts.items()))
        typer.echo(
            f"{opened.name}: {len(opened.wells)} wells, {len(opened)} images: {told}; {report.computed} computed now."
        )
        typer.echo(f"Results: {report.out}")
    if not report.complete:
        raise typer.Exit(PARTIAL)
