"""What an analysis of curves leaves: ``curves.csv``, ``points.csv`` and more tables, figures, provenance."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitascope.batch.response.figures import save_curves
from vitascope.batch.response.inputs import WellTable
from vitascope.batch.response.views import curve_views
from vitascope.core.errors import InputError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.versions import versions
from vitascope.io.atomic import check_writable, output_error, write_json
from vitascope.io.results.folder import PROVENANCE, RESULTS
from vitascope.io.tables.csv_append import write_csv
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.params import ResponseParams
from vitascope.stats.response.result import ResponseResult

CURVES, POINTS, EFFECTIVE, PLATES = "curves.csv", "points.csv", "effective_doses.csv", "plates.csv"
WELLS, FIGURES = "wells.csv", "figures"
TASK = "response"


@dataclass(frozen=True, eq=False)
class ResponseJob:
    """Curves to fit and write.

    Parameters
    ----------
    wells : WellTable
    values : tuple of str
        Columns to fit.
    out : Path or None
        Folder for tables and figures; None only fits.
    dose : str
        Column of doses.
    by : tuple of str or None
        Columns that tell curves apart; see :func:`vitascope.fit_dose_response`.
    params : ResponseParams
    command : str
    """

    wells: WellTable
    values: tuple[str, ...]
    out: Path | None = None
    dose: str = "dose"
    by: tuple[str, ...] | None = None
    params: ResponseParams = field(default_factory=ResponseParams)
    command: str = ""


def run_response(job: ResponseJob) -> ProgressGenerator[ResponseResult]:
    """Fit curves and write what they give; closed before its end, it leaves nothing.

    Parameters
    ----------
    job : ResponseJob

    Returns
    -------
    generator
        Yields progress; its value is the result.

    Raises
    ------
    InputError
        If a column is missing, or the folder belongs to a run.
    OutputError
        If something cannot be written.
    """
    if job.out is not None:
        _check_folder(job.out)
    steps = 3 if job.out is not None else 1
    yield Progress(0, steps, "Fitting curves")
    settings = job.params.model_dump()
    if not settings["unit"] and job.wells.headline in job.values:
        settings["unit"] = job.wells.unit
    result = fit_dose_response(
        job.wells.table,
        dose=job.dose,
        response=list(job.values),
        by=None if job.by is None else list(job.by),
        **settings,
    )
    if job.out is None:
        yield Progress(1, 1, "Done")
        return result
    yield Progress(1, steps, "Drawing curves")
    staged = stage(job.out)
    try:
        save_curves(staged / FIGURES, curve_views(result))
        yield Progress(2, steps, "Writing tables")
        write_tables(staged, result)
        write_csv(staged / WELLS, [job.wells.table])
        write_json(staged / PROVENANCE, describe(job, result))
        publish(staged, job.out, clear=("curves_*.svg", "curves_*.png"))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    yield Progress(steps, steps, "Done")
    return result


def _check_folder(out: Path) -> None:
    if (out / RESULTS).exists():
        raise InputError(f"'{out.name}' holds the results of a run.", "Give another folder for the curves.")
    check_writable(out)


def stage(out: Path) -> Path:
    """Make a folder beside the one that is wanted, for what is not whole yet."""
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".vitascope-", dir=out.absolute().parent))
    except OSError as error:
        raise output_error(out, error) from error


def publish(staged: Path, out: Path, clear: Sequence[str] = ()) -> None:
    """Move all files of a folder to where they are wanted; older figures there that match ``clear`` go.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    try:
        files = [one.relative_to(staged) for one in sorted(staged.rglob("*")) if one.is_file()]
        for file in files:
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (staged / file).replace(out / file)
        old = {one.relative_to(out) for pattern in clear for one in (out / FIGURES).glob(pattern)} - set(files)
        for file in old:
            (out / file).unlink(missing_ok=True)
    except OSError as error:
        raise output_error(out, error) from error


def write_tables(folder: Path, result: ResponseResult) -> None:
    """Write the tables of a result as CSV; open ends of intervals are empty cells."""
    write_csv(folder / CURVES, [result.curves])
    write_csv(folder / POINTS, [result.points])
    write_csv(folder / EFFECTIVE, [result.effective_doses])
    write_csv(folder / PLATES, [result.plates])


def describe(job: ResponseJob, result: ResponseResult) -> dict[str, Any]:
    """Say how the curves were made."""
    sources = (job.wells.source, *job.wells.further)
    return {
        "task": TASK,
        "command": job.command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "values": list(job.values),
        "by": list(result.by),
        "params": job.params.model_dump(),
        "versions": versions(),
        "inputs": [{"name": one.name, "sha256": hashlib.sha256(one.read_bytes()).hexdigest()} for one in sources],
        "notes": list(job.wells.notes),
        "source": str(sources[0]),
    }
