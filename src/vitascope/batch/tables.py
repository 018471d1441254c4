"""What is known only when all images are run: numbers against the controls of a plate map, and curves over days."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.core.errors import InputError
from vitascope.core.well import WellPosition
from vitascope.io.atomic import output_error
from vitascope.io.filenames.parse import natural
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, RESULTS
from vitascope.io.tables.csv_append import write_csv
from vitascope.io.tables.plate_map import PlateMap
from vitascope.stats.plate_normalise import percent_of_control

CURVES = "curves.csv"
PERCENT = "percent_of_control"
SHOWN = 8
"""So many wells at most are named in a sentence."""

Row = dict[str, Any]


def check_map(places: Sequence[WellPosition], plate_map: PlateMap) -> tuple[str, ...]:
    """Compare images with a plate map before they are run.

    Parameters
    ----------
    places : sequence of WellPosition
        Of the images.
    plate_map : PlateMap

    Returns
    -------
    tuple of str
        Sentences on what does not stand in the way.

    Raises
    ------
    InputError
        If the map says nothing of any image.
    """
    found = [_mapped(plate_map, place.plate, place.well) for place in places]
    if not any(found):
        wells = ", ".join(sorted({place.well for place in places if place.well})[:SHOWN]) or "none"
        raise InputError(
            f"The plate map says nothing of any of the images; their names tell these wells: {wells}.",
            "Check the map's columns 'plate' and 'well', or tell the parts of the names by --pattern.",
        )
    said = []
    left = [place.well or "an image without a well" for place, row in zip(places, found, strict=True) if not row]
    if left:
        names = list(dict.fromkeys(left))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        said.append(f"The plate map says nothing of {', '.join(names[:SHOWN])}{more}.")
    if not any(row.get("role") == "negative" for row in found):
        said.append(
            "The plate map names none of the images as a control: numbers are not normalised. Give the controls the "
            "role 'negative', or the treatment 'DMSO' or 'medium'."
        )
    return tuple(said)


def _mapped(plate_map: PlateMap, plate: str, well: str) -> dict[str, Any]:
    """Return what a map says of a well; images whose names tell no plate are of the only one the map has."""
    if not well:
        return {}
    plates = set(plate_map.table["plate"]) - {""}
    return plate_map.row(next(iter(plates)) if not plate and len(plates) == 1 else plate, well)


def with_map(rows: Sequence[Row], plate_map: PlateMap, *numbers: str) -> list[Row]:
    """Join rows with a plate map, and put their numbers against the controls of the same plate and time.

    Parameters
    ----------
    rows : sequence of dict
        As ``results.csv`` holds them.
    plate_map : PlateMap
    *numbers : str
        Columns; their intervals stand under ``_low`` and ``_high``.

    Returns
    -------
    list of dict
        With the map's columns, and ``<column>_percent_of_control`` with its ends: 100 x / median of the controls. The
        spread of the controls is not in the interval. Empty where plate and time have no control.

    References
    ----------
    NViR (seed 001): viability is ATP over the median ATP of the untreated wells of the same plate and day.
    """
    columns = [str(name) for name in plate_map.table if name not in FIRST_COLUMNS]
    joined: list[Row] = []
    for row in rows:
        mapped = _mapped(plate_map, str(row["plate"] or ""), str(row["well"] or ""))
        joined.append({**row, **{name: mapped.get(name) for name in columns}})
    batches: dict[tuple[str, str], list[Row]] = {}
    for row in joined:
        batches.setdefault((str(row["plate"]), str(row["time"])), []).append(row)
    for batch in batches.values():
        for column in numbers:
            _against_controls(batch, column)
    return joined


def _against_controls(batch: Sequence[Row], column: str) -> None:
    """Add a number and the ends of its interval in percent of the controls to the rows of one plate and time."""
    controls = [_number(row.get(column)) for row in batch if row.get("role") == "negative"]
    known = [value for value in controls if math.isfinite(value)]
    for name in (f"{column}{end}" for end in ("", "_low", "_high")):
        if any(name in row for row in batch):
            values = percent_of_control([_number(row.get(name)) for row in batch], known)
            for row, value in zip(batch, values, strict=True):
                row[percent_name(name, column)] = None if math.isnan(value) else float(value)


def percent_name(name: str, column: str) -> str:
    """Return the column of a number, or of an end of its interval, in percent of control.

    Examples
    --------
    >>> percent_name("atp_low", "atp")
    'atp_percent_of_control_low'
    """
    return f"{column}_{PERCENT}{name.removeprefix(column)}"


def curves(rows: Iterable[Mapping[str, Any]], column: str) -> list[Row]:
    """Lay a number out as curves: a line for each well that was seen more than once, a column for each time.

    Parameters
    ----------
    rows : iterable of mapping
        As ``results.csv`` holds them.
    column : str

    Returns
    -------
    list of dict
        ``plate, well, field``, or ``image`` where names tell no well, then ``<column>_<time>`` in the order of time;
        several images of one time are averaged. Empty where there is nothing to follow.
    """
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in rows:
        if column in row and row.get("time") not in (None, ""):
            well = str(row.get("well") or "")
            key = (str(row.get("plate") or ""), well, str(row.get("field") or ""), "" if well else str(row["image"]))
            found.setdefault(key, {}).setdefault(str(row["time"]), []).append(_number(row[column]))
    followed = {key: by_time for key, by_time in found.items() if len(by_time) > 1}
    times = sorted({time for by_time in followed.values() for time in by_time}, key=natural)
    return [
        {
            **dict(zip(("plate", "well", "field", "image"), key, strict=True)),
            **{f"{column}_{time}": _mean(by_time.get(time, [])) for time in times},
        }
        for key, by_time in followed.items()
    ]


def write_run_tables(
    folder: Path, rows: Sequence[Row], plate_map: PlateMap | None, column: str, further: Sequence[str] = ()
) -> list[Row]:
    """Write ``results.csv`` anew with what the map adds, and ``curves.csv`` where wells were followed over time.

    Returns
    -------
    list of dict
        The rows as they now stand.

    Raises
    ------
    OutputError
        If one cannot be written; the tables of the run stay as they were.
    """
    rows = list(rows)
    if plate_map is not None:
        rows = with_map(rows, plate_map, column, *further)
        mapped = [str(name) for name in plate_map.table if name not in FIRST_COLUMNS]
        write_csv(folder / RESULTS, [rows], (*FIRST_COLUMNS, *mapped), LAST_COLUMNS)
    percent = percent_name(column, column)
    followed = percent if any(row.get(percent) is not None for row in rows) else column
    found = curves(rows, followed)
    try:
        (folder / CURVES).unlink(missing_ok=True)  # of an earlier run
    except OSError as error:
        raise output_error(folder / CURVES, error) from error
    if found:
        write_csv(folder / CURVES, [found])
    return rows


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else None
