"""The tables of a plate run, written from its journal: CSV and Parquet, quality and provenance, each whole."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vitascope.batch.drift.watch import drift_columns
from vitascope.batch.plate.cell_ranking import write_cell_ranking
from vitascope.batch.plate.journal import Journal
from vitascope.core.flags import join_flags
from vitascope.core.result import Provenance
from vitascope.core.status import JUDGED
from vitascope.core.versions import versions
from vitascope.core.well import PLATE_SHAPES
from vitascope.io.atomic import atomic_write
from vitascope.io.plates.plate import Plate
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, OBJECTS, PROVENANCE, RESULTS
from vitascope.io.results.plate_images import describe_pictures
from vitascope.io.results.provenance import SHARED
from vitascope.io.tables.csv_append import write_csv
from vitascope.io.tables.plate_map import MAP_COLUMNS, PlateMap
from vitascope.stats.plate_normalise import normalise
from vitascope.stats.plate_quality import plate_quality

PARQUET, WELLS, QUALITY, MAP = "results.parquet", "wells.csv", "plate_quality.csv", "plate_map.csv"
ROWS_AT_ONCE = 100_000
_INTERVAL_END = re.compile(r"_(?:low|high|lower|upper)(?=_|\Z)")
"""Columns such as ``atp_low``: they move with their number, and say nothing of their own about the controls."""


def write_plate_results(journal: Journal, plate: Plate, plate_map: PlateMap | None) -> None:
    """Write all tables of a plate run from its journal.

    Parameters
    ----------
    journal : Journal
    plate : Plate
    plate_map : PlateMap or None

    Raises
    ------
    OutputError
        If one cannot be written; the journal has everything still.
    """
    folder = journal.folder
    sites = {site.id: site for site in plate}
    pictures = [(sites[e.name], path) for e in journal.entries() for path in e.pictures if e.name in sites]
    describe_pictures(folder, plate, pictures)
    results = results_frame(journal, plate_map)
    map_columns = [str(name) for name in plate_map.table if name not in FIRST_COLUMNS] if plate_map is not None else []
    rows = batched(result_rows(journal, plate_map), ROWS_AT_ONCE)
    write_csv(folder / RESULTS, rows, (*FIRST_COLUMNS, *map_columns), LAST_COLUMNS)
    write_parquet(folder / PARQUET, [results])
    wells = wells_frame(results)
    write_csv(folder / WELLS, [wells])
    write_parquet((folder / WELLS).with_suffix(".parquet"), [wells])
    for name in journal.table_names():
        write_csv(folder / name, journal.pieces(name), ("image", "label") if name == OBJECTS else ("image",))
        write_parquet((folder / name).with_suffix(".parquet"), journal.pieces(name))
    write_cell_ranking(journal, results)
    if plate_map is not None:
        quality = quality_table(results, plate.rows, plate.columns)
        if len(quality):
            write_csv(folder / QUALITY, [quality])
    write_provenance(journal)


def results_frame(journal: Journal, plate_map: PlateMap | None = None) -> pd.DataFrame:
    """Return ``results.csv`` as a table: one row for each image and time point, in the order of the plate.

    Parameters
    ----------
    journal : Journal
    plate_map : PlateMap, optional
        Its columns come after the flags.

    Returns
    -------
    DataFrame
        Texts and names as text, everything else as numbers; NaN where there is none.
    """
    frame = pd.DataFrame(list(result_rows(journal, plate_map)))
    last = [name for name in LAST_COLUMNS if name in frame]
    return frame[[name for name in frame.columns if name not in last] + last]


def result_rows(journal: Journal, plate_map: PlateMap | None = None) -> Iterator[dict[str, Any]]:
    """Give the rows of ``results.csv`` one by one, in the order of the plate."""
    drift = drift_columns(journal.get("drift"))
    for entry in journal.entries():
        known = plate_map.row(entry.place.plate, entry.place.well) if plate_map is not None else {}
        known = {name: value for name, value in known.items() if name not in ("plate", "well")}
        for row in entry.rows:
            first = {name: row.get(name) for name in FIRST_COLUMNS}
            first["time"] = entry.place.time if row.get("time") is None else row["time"]
            found = {**row, **drift(entry.name)}
            yield {**first, **known, **{k: v for k, v in found.items() if k not in first and k not in known}}


def batched(rows: Iterator[dict[str, Any]], count: int) -> Iterator[list[dict[str, Any]]]:
    """Put rows together, so many at a time."""
    while some := list(islice(rows, count)):
        yield some


def number_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold numbers that were measured: neither places nor the map nor notes of the run."""
    left_out = {*FIRST_COLUMNS, *LAST_COLUMNS, *MAP_COLUMNS}
    return [
        str(name)
        for name in frame.columns
        if name not in left_out and pd.api.types.is_numeric_dtype(frame[name]) and frame[name].notna().any()
    ]


def judged_columns(frame: pd.DataFrame) -> list[str]:
    """Return the numbers that a plate is judged by: those measured, but for the ends of their intervals."""
    numbers = number_columns(frame)
    others = [name for name in numbers if not _INTERVAL_END.search(name)]

    def is_end(name: str) -> bool:
        stem = _INTERVAL_END.sub("", name)
        return name not in others and any(one == stem or one.startswith(f"{stem}_") for one in others)

    return [name for name in numbers if not is_end(name)]


def by_well(frame: pd.DataFrame, column: str, how: str = "mean") -> pd.DataFrame:
    """Put the fields of each well together.

    Parameters
    ----------
    frame : DataFrame
        See :func:`results_frame`.
    column : str
        Numbers.
    how : {"mean", "median", "cv_percent"}

    Returns
    -------
    DataFrame
        One row for each plate, well and time: these, what the map says, and the column.
    """
    known = [name for name in MAP_COLUMNS if name in frame and name not in ("plate", "well", column)]
    grouped = frame.groupby(["plate", "well", "time"], sort=False, dropna=False)
    if how == "cv_percent":
        values = 100 * grouped[column].std(ddof=1) / grouped[column].mean().abs()
    else:
        values = getattr(grouped[column], how)()
    return pd.concat([grouped[known].first(), values.rename(column)], axis=1).reset_index()


def wells_frame(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each well and time: number of fields judged, the mean of every number, and these normalised.

    Normalised columns (percent of control, percent inhibition, robust z, B-score) are there where the map names
    controls; the raw ones are kept. Wells in which nothing could be judged keep their row.

    Parameters
    ----------
    results : DataFrame
        See :func:`results_frame`.

    Returns
    -------
    DataFrame
    """
    if not len(results):
        return pd.DataFrame()
    keys = ["plate", "well", "time"]
    known = [name for name in results.columns if name in MAP_COLUMNS and name not in keys]
    grouped = results.groupby(keys, sort=False, dropna=False)
    judged = results["status"].isin(JUDGED).groupby([results[key] for key in keys], sort=False, dropna=False)
    numbers = number_columns(results)
    table = pd.concat([grouped[known].first(), judged.sum().rename("fields"), grouped[numbers].mean()], axis=1)
    table = table.reset_index()
    if has_controls(results):
        table["role"] = table["role"].fillna("").replace("", "other")
        for column in numbers:
            table = normalise(table, column, by=("plate", "time"))
    return table


def has_controls(results: pd.DataFrame) -> bool:
    """Tell whether the map names positive or negative controls."""
    return "role" in results and bool(results["role"].isin(["negative", "positive"]).any())


def quality_table(results: pd.DataFrame, rows: int, columns: int) -> pd.DataFrame:
    """Judge the plate by each number that was measured; empty where the map names no controls."""
    if not has_controls(results):
        return pd.DataFrame()
    size = rows * columns if PLATE_SHAPES.get(rows * columns) == (rows, columns) else None
    found = []
    for column in judged_columns(results):
        table = by_well(results, column)
        table["role"] = table["role"].fillna("other").replace("", "other")
        found.append(plate_quality(table, column, by=("plate", "time"), size=size))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def write_parquet(path: Path, pieces: Iterable[pd.DataFrame]) -> None:
    """Write a table as Parquet, whole; columns that some pieces lack are empty there.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    tables: list[pa.Table] = []
    rows = 0
    writer: pq.ParquetWriter | None = None
    with atomic_write(path) as file:
        for piece in pieces:
            tables.append(as_arrow(piece))
            rows += len(piece)
            if rows >= ROWS_AT_ONCE:
                writer = _flush(writer, tables, file)
                tables, rows = [], 0
        writer = _flush(writer, tables, file)
        if writer is not None:
            writer.close()
        else:
            pq.write_table(pa.table({}), file)


def _flush(writer: pq.ParquetWriter | None, tables: list[pa.Table], file: Any) -> pq.ParquetWriter | None:
    if not tables:
        return writer
    table = pa.concat_tables(tables, promote_options="permissive")
    if writer is None:
        writer = pq.ParquetWriter(file, table.schema, compression="zstd")
    empty = writer.schema.empty_table()
    writer.write_table(pa.concat_tables([empty, table], promote_options="permissive").select(writer.schema.names))
    return writer


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    """Turn a table into Arrow: columns of texts and others stay what they are, mixed ones become text."""
    plain = frame.copy()
    for name in plain.columns:
        if plain[name].dtype == object:
            values = [None if _is_nothing(value) else value for value in plain[name]]
            if any(isinstance(value, str) for value in values):
                values = [None if value is None else str(value) for value in values]
            plain[name] = pd.Series(values, index=plain.index, dtype=object)
    return pa.Table.from_pandas(plain, preserve_index=False).replace_schema_metadata(None)


def _is_nothing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def write_provenance(journal: Journal) -> None:
    """Write ``provenance.json``, once for the run: what all images share at the top, each image on a line of its own.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    about = journal.get("asked")
    shared: dict[str, Any] = {}
    seconds = 0.0
    for number, provenance in enumerate(journal.provenances()):
        one = _shared(provenance)
        shared = one if number == 0 else {name: value for name, value in shared.items() if one.get(name) == value}
        seconds += provenance.seconds
    top = {
        "task": about["task"],
        "plate": about["plate"],
        "command": journal.get("command"),
        "started": journal.get("started"),
        "starts": journal.get("starts"),
        "seconds": round(seconds, 3),
        "versions": versions(),
        **shared,
        "flags": join_flags(tuple({f for e in journal.entries() for f in e.reason.split(";") if f})).split(";"),
        "counts": {status or "not done": count for status, count in journal.counts().items()},
    }
    text = json.dumps(top, indent=2, ensure_ascii=False)
    with atomic_write(journal.folder / PROVENANCE) as file:
        file.write(text[:-2].encode("utf-8", "surrogateescape") + b',\n  "images": [')
        for number, provenance in enumerate(journal.provenances()):
            line = json.dumps(provenance.model_dump(mode="json", exclude=set(shared)), ensure_ascii=False)
            file.write((",\n    " if number else "\n    ").encode() + line.encode("utf-8", "surrogateescape"))
        file.write(b"\n  ]\n}\n")


def _shared(provenance: Provenance) -> dict[str, Any]:
    found = provenance.model_dump(mode="json")
    return {name: found[name] for name in SHARED}
