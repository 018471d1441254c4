"""``vitascope drift``: whether images still look like those one trusts."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitascope.cli import options
from vitascope.cli.console import group_images, plain_errors, with_progress_bar
from vitascope.cli.run import check_axes_given, check_pixel_size
from vitascope.core.errors import ParameterError
from vitascope.core.exit_codes import PARTIAL

if TYPE_CHECKING:
    from vitascope.io.filenames.grouping import ImageGroup

UNLIKE = 0.05
"""Adjusted p up to which a well is named as unlike the trusted ones."""

app = typer.Typer(help="Tell when the microscope, the cells or the day has changed.", no_args_is_help=True)

Window = Annotated[int, typer.Option(help="Images that are compared with the reference at a time.")]
Ert = Annotated[int, typer.Option(help="Expected run time: images, in the mean, until a false alarm.")]


@app.command()
def reference(
    images: options.Images,
    model: Annotated[str, typer.Option(help="Model by id (see 'vitascope models list') or path of its card.")],
    name: Annotated[str, typer.Option(help="What the reference is called; it is registered for you under this name.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File for the reference, ending in .drift.")],
    window: Window = 10,
    ert: Ert = 128,
    pattern: options.Pattern = None,
    planes: options.Planes = None,
    pixel_size_um: options.PixelSize = None,
    axes: options.Axes = None,
) -> None:
    """Make a reference of images that you trust: 20 at least, 500 are good."""
    with plain_errors():
        from vitascope.batch.drift.in_words import mostly_outside
        from vitascope.batch.drift.references import check_reference_name
        from vitascope.batch.drift.run import make_reference
        from vitascope.stats.drift.thresholds import check_settings

        check_reference_name(name)
        groups = _groups(images, pattern, planes, pixel_size_um, axes)
        check_settings(window, ert, len(groups))
        steps = make_reference(
            groups, model, name, out=out, window=window, ert=ert, pixel_size_um=pixel_size_um, axes=axes
        )
        made, failed, outside = with_progress_bar(steps)
        _tell_failed(failed)
        if told := mostly_outside(len(outside), len(groups) - len(failed)):
            typer.echo(f"Warning: {told}", err=True)
        typer.echo(f"{made.name}: {len(groups) - len(failed)} images of the model {made.model}; {out}")
        typer.echo(made.accuracy(window, ert))


@app.command("test")
def against_reference(
    images: options.Images,
    reference: Annotated[str, typer.Option(help="A .drift file, or the name of a registered reference.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for drift.csv.")],
    window: Window = 10,
    ert: Ert = 128,
    pattern: options.Pattern = None,
    planes: options.Planes = None,
    pixel_size_um: options.PixelSize = None,
    axes: options.Axes = None,
) -> None:
    """Test images, in the order given, against a reference, and write drift.csv.

    Exit code: 0 with or without an alarm, 3 when some images have no features, 2 for wrong usage.
    """
    with plain_errors():
        from vitascope.batch.drift.in_words import since
        from vitascope.batch.drift.references import find_reference
        from vitascope.batch.drift.run import run_drift_test

        trusted = find_reference(reference)
        groups = _groups(images, pattern, planes, pixel_size_um, axes)
        steps = run_drift_test(
            groups,
            trusted,
            out=out,
            source=images[0],
            window=window,
            ert=ert,
            pixel_size_um=pixel_size_um,
            axes=axes,
        )
        report = with_progress_bar(steps)
        _tell_failed(report.failed)
        p = report.table["drift_p"].dropna()
        whole = f"; all of them together: p {p.iloc[-1]:.3g}" if len(p) else ""
        if report.first_alarm:
            told = since([report.first_alarm], report.causes)
            alarms = "1 alarm" if report.alarms == 1 else f"{report.alarms} alarms"
            typer.echo(f"{told}. {alarms} in {len(report.table)} images{whole}.")
        else:
            typer.echo(f"No alarm in {len(report.table)} images{whole}.")
        typer.echo(trusted.accuracy(window, ert))
        typer.echo(f"Results: {out}")
    if report.failed:
        raise typer.Exit(PARTIAL)


@app.command()
def compare(
    trusted: Annotated[Path, typer.Argument(metavar="TRUSTED", help="Results of a plate run that you trust.")],
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="Results of another, or of the same, with one model.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for drift_wells.csv.")],
    trusted_wells: Annotated[str, typer.Option(metavar="A01,A02,…", help="Wells of the first; all by default.")] = "",
    other_wells: Annotated[str, typer.Option(metavar="D07,D08,…", help="Wells of the other; all by default.")] = "",
) -> None:
    """Is this plate like that one? Compare two plate runs, or two sets of wells, and say which wells differ."""
    with plain_errors():
        from vitascope.batch.plate.likeness import compare_runs

        sides = [[part.strip() for part in text.split(",") if part.strip()] for text in (trusted_wells, other_wells)]
        found = compare_runs(trusted, other, out, trusted_wells=sides[0], other_wells=sides[1])
        test = found.test
        typer.echo(
            f"{test.images[1]} images against {test.images[0]}: p {test.p:.3g}; one image of each is told apart in "
            f"{100 * test.effect:.0f} of 100 pairs (50 by chance)."
        )
        odd = found.wells[found.wells["p_adjusted"] <= UNLIKE]
        few = f" {len(found.wells)} wells were compared with too few trusted ones to name any." if (
            found.wells["p_adjusted"].min() > UNLIKE and test.p <= UNLIKE
        ) else ""  # fmt: skip
        typer.echo(f"Unlike the trusted wells: {', '.join(odd['well']) or 'no single well'}.{few}")
        typer.echo(f"Table: {out}")


@app.command()
def status(
    plot: Annotated[
        Path | None, typer.Option(help="Picture of all tests by day, of one reference (.png, .svg or .pdf).")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="List or plot this reference alone: a .drift file or a registered name.")
    ] = None,
) -> None:
    """List the references with the last test and alarm of each; draw the tests of one by day."""
    with plain_errors():
        if plot is not None:
            _plot_months(plot, reference)
            return
        from vitascope.batch.drift.references import find_reference, known_references, read_reference, record_of
        from vitascope.core.errors import VitascopeError

        listed = [(name, path) for name, path in known_references() if reference in (None, name, str(path))]
        if not listed and reference is not None:
            listed = [(find_reference(reference).name, Path(reference))]
        for name, path in listed:
            try:
                found = read_reference(path)
            except VitascopeError as error:
                typer.echo(f"{name}: {error.message}")
                continue
            tests = record_of(found.sha256)
            alarms = [one for one in tests if one.alarms]
            last = f"last tested {tests[-1].at} on {tests[-1].source}" if tests else "never tested"
            alarm = (
                f"last alarm {alarms[-1].at} on {alarms[-1].source}, since {alarms[-1].first_alarm}"
                f"{': ' + alarms[-1].cause if alarms[-1].cause else ''}"
                if alarms
                else "no alarm"
            )
            typer.echo(f"{name}: {len(found.points)} images, model {found.model}; {last}; {alarm}")


def _plot_months(path: Path, name: str | None) -> None:
    from vitascope.batch.drift.months import save_months
    from vitascope.batch.drift.references import find_reference, known_references, record_of

    tested = [known for known, file in known_references() if name is None and record_of(find_reference(file).sha256)]
    if name is None and len(tested) != 1:
        raise ParameterError(f"{len(tested)} references have tests; one is drawn.", "Say which with --reference NAME.")
    found = find_reference(name or tested[0])
    save_months(record_of(found.sha256), path, found.name)
    typer.echo(f"{found.name}: {path}")


def _groups(
    images: list[str], pattern: str | None, planes: str | None, pixel_size_um: float | None, axes: str | None
) -> list[ImageGroup]:
    check_pixel_size(pixel_size_um)
    check_axes_given(axes)
    return in_given_order(group_images(images, pattern, planes), images)


def in_given_order(groups: Sequence[ImageGroup], given: Sequence[str]) -> list[ImageGroup]:
    """Sort images by the argument that each came with; those of one folder or pattern stay in the order of names."""
    from vitascope.io.filenames.parse import natural

    absolute = [Path(text).absolute() for text in given]

    def came_with(group: ImageGroup) -> int:
        paths = [path.absolute() for path in group.paths]
        for number, wanted in enumerate(absolute):
            if any(path.is_relative_to(wanted) or fnmatch(str(path), str(wanted)) for path in paths):
                return number
        return len(absolute)

    # by the files' own names: an image is called otherwise where one of another folder has its name
    return sorted(groups, key=lambda group: (came_with(group), natural(group.paths[0].name if group.paths else "")))


def _tell_failed(failed: Sequence[tuple[str, str]]) -> None:
    for name, sentence in failed:
        typer.echo(f"Warning: {name} was left out: {sentence}", err=True)
