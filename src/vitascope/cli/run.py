"""``vitascope run``: one task on images."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitascope.cli import options
from vitascope.cli.console import group_images, plain_errors, with_progress_bar
from vitascope.core.axes import check_axes
from vitascope.core.errors import ParameterError, ReaderError
from vitascope.core.exit_codes import PARTIAL
from vitascope.core.flags import without_notes
from vitascope.core.formatting import interval_texts, is_number, number_text
from vitascope.core.progress import Progress
from vitascope.core.status import JUDGED, Status
from vitascope.tasks.registry import find_task
from vitascope.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from vitascope.batch.run_images import Report

SAID_ELSEWHERE = ("unsure", "outside_model")
"""Flags that the message explains."""

TRUST = {"outside_model": "Outside what the model knows: do not rely on it. ", "unsure": "Unsure: "}
"""What stands before the reasons."""


def show_parameters(context: typer.Context, wanted: bool) -> None:
    """List the parameters of the task that was named and stop, whatever else is missing on the command line."""
    if wanted:
        with plain_errors():
            typer.echo(describe_parameters(find_task(context.params["task"])))
        raise typer.Exit


def run(
    task: Annotated[str, typer.Argument(help=options.TASK_HELP, is_eager=True)],
    images: options.Images,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, or an address such as s3://bucket/results.")
    ],
    model: options.Model = "auto",
    reference: options.Reference = None,
    map: options.ImageMap = None,
    pattern: options.Pattern = None,
    old_pattern: options.OldPattern = None,
    planes: options.Planes = None,
    pixel_size_um: options.PixelSize = None,
    axes: options.Axes = None,
    device: options.Device = "auto",
    format: Annotated[str, typer.Option(help="Pictures as tif or zarr; auto takes zarr above 2 GiB.")] = "auto",
    settings: options.Settings = None,
    settings_file: options.SettingsFile = "",
    help_parameters: Annotated[
        bool, typer.Option("--help-parameters", help="List the task's parameters and stop.", callback=show_parameters)
    ] = False,
) -> None:
    """Run a task on images and write pictures, tables and provenance to a folder.

    Exit code: 0 when every image was judged (or refused for a stated reason), 3 when some failed, 2 for wrong usage.
    """
    with plain_errors():
        spec = find_task(task)
        if format not in ("auto", "tif", "zarr"):
            raise ParameterError(f"'{format}' is no format.", "Choose auto, tif or zarr.")
        check_pixel_size(pixel_size_um)
        check_axes_given(axes)
        kept = kept_settings(settings_file, spec.name)
        values = {**kept, **parse_settings(settings or [])}
        params = spec.make_params(**{"model": model, "device": device, **values})
        from vitascope.batch.run_images import Job, run_images
        from vitascope.io.images.read import find_groups
        from vitascope.io.results.folder import RESULTS
        from vitascope.io.stores.upload import folder_for, told
        from vitascope.io.tables.plate_map import read_plate_map

        plate_map = read_plate_map(map) if map is not None else None
        groups = group_images(images, pattern or old_pattern, planes)
        with folder_for(out, RESULTS) as folder:
            job = Job(
                spec=spec,
                groups=groups,
                params=params,
                out=folder,
                references=find_groups(reference, pattern or old_pattern) if reference else (),
                pixel_size_um=pixel_size_um,
                axes=axes,
                format=format,  # type: ignore[arg-type]
                command=shlex.join(["vitascope", *sys.argv[1:]]),
                plate_map=plate_map,
            )
            report = with_progress_bar(run_images(job), partial(image_lines, spec))
        for sentence in (*(p.sentence for p in plate_map.problems), *report.notes) if plate_map is not None else ():
            typer.echo(f"Warning: {sentence}", err=True)
        print_report(report, spec, told(out))
    if not report.complete:
        raise typer.Exit(PARTIAL)


def check_axes_given(axes: str | None) -> None:
    """Refuse what names no axes.

    Raises
    ------
    InputError
    """
    if axes is not None:
        letters = axes.upper().replace("S", "", 1)  # the samples of a colour picture
        check_axes(letters, (1,) * len(letters))


def image_lines(spec: TaskSpec, at: Progress) -> Iterator[str]:
    """Write a line for each image that ended with a step: its number among all, status, figures and time taken."""
    from vitascope.io.results.folder import RESULTS

    for done in getattr(at, "ended", ()):
        unit = done.tables[RESULTS][0].get("unit", "") if done.tables.get(RESULTS) else ""
        figures = [_number_in_words(spec, {"unit": unit, **row}).strip() for row in done.rows]
        told = "; ".join(filter(None, [*figures, *done.flags, done.message]))
        number, count = getattr(at, "image", at.done - 1) + 1, getattr(at, "images", at.total)
        yield f"{number} of {count}  {done.name}  {done.status}  {f'{told}  ' if told else ''}{done.seconds:.1f} s"


def check_pixel_size(pixel_size_um: float | None) -> None:
    """Refuse what is no length.

    Raises
    ------
    ParameterError
    """
    if pixel_size_um is not None and not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise ParameterError(f"A pixel size of {pixel_size_um} µm is not possible.", "Give a positive number.")


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Turn ``name=value`` into parameters; values are read as YAML (numbers, true, lists, text).

    Raises
    ------
    ParameterError
        If a setting has no ``=``, or its value cannot be read.

    Examples
    --------
    >>> parse_settings(["min_area=0.2", "planes=[0, 2]", "channel=phase", "masks=false"])
    {'min_area': 0.2, 'planes': [0, 2], 'channel': 'phase', 'masks': False}
    """
    from vitascope.io.models.yaml import read_yaml

    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise ParameterError(f"'--set {setting}' cannot be read.", "Write --set name=value.")
        try:
            value = read_yaml(text)
        except ReaderError as error:
            raise ParameterError(
                f"The value of '{name}' cannot be read.", "Write numbers plainly, lists as [1, 2]."
            ) from error
        if name.strip() == "channel" and value is not None and not isinstance(value, str):
            value = text.strip()  # a number as it is written: 01 stays 01
        values[name.strip()] = value
    return values


def kept_settings(file_or_name: str, task: str) -> dict[str, Any]:
    """Return the parameters of a settings file, or of settings kept under a name; none for an empty text."""
    from vitascope.io.results.settings_file import find_settings, read_settings

    return read_settings(find_settings(file_or_name, task), task) if file_or_name else {}


def describe_parameters(spec: TaskSpec) -> str:
    """List a task's parameters: name, default and meaning."""
    lines = [f"{spec.title}: {spec.summary}", ""]
    for name, field in spec.params.model_fields.items():
        lines.append(f"  {name} (default {field.default})\n      {field.description}")
    return "\n".join(lines)


def print_report(report: Report, spec: TaskSpec, place: str = "") -> None:
    """Say what came out, one line for each image, and where it lies."""
    from vitascope.batch.run_images import result_table
    from vitascope.batch.tables import percent_name

    table = result_table(report)
    for row in table.to_dict("records"):
        main = _number_in_words(spec, row)
        percent = row.get(percent_name(spec.headline, spec.headline))
        if isinstance(percent, float) and math.isfinite(percent):
            main = f"{main.rstrip()}, {percent:.0f} % of the map's controls  "
        if spec.headline_text and row.get(spec.headline_text):
            main = f"{row[spec.headline_text]}, {main[:1].lower()}{main[1:]}"
        where = [f"{word} {row[key]:g}" for key, word in (("time", "t"), ("z", "z")) if _known(row.get(key))]
        noticed = without_notes(row["flags"]) if row["status"] in JUDGED else ()  # else the message says it all
        kept = [flag for flag in noticed if flag not in SAID_ELSEWHERE]
        if row["status"] == Status.WARN and not kept and not row["message"]:
            kept = list(noticed)  # no warning without its reason
        told = ", ".join(flag.replace("_", " ") for flag in kept)
        flags = f"[{told}]  " if told else ""
        trust = next((words for flag, words in TRUST.items() if flag in noticed), "")
        line = f"{row['status']:10} {' '.join([str(row['image']), *where])}  {main}{flags}{trust}{row['message']}"
        typer.echo(line.rstrip())
    typer.echo(f"Results: {place or report.out}")


def _number_in_words(spec: TaskSpec, row: Mapping[Any, Any]) -> str:
    """Write the main number with its unit and interval, rounded as the interval allows; nothing where there is none."""
    number, low, high = (row.get(name) for name in (spec.headline, *spec.interval))
    if not is_number(number):
        return ""
    value, interval = f"{round(number, 4):g}", ""
    if is_number(low) and is_number(high):
        value, least, most = interval_texts(number, low, high)
        interval = f" ({least} to {most})"
    elif spec.headline.endswith("_percent"):
        value = number_text(number)
    unit = str(row["unit"]) if interval or spec.headline.endswith("_percent") else ""
    return f"{spec.headline_title}: {value} {unit}".rstrip() + f"{interval}  "


def _known(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
