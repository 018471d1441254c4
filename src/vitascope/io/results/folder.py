"""What a run leaves: pictures, tables and provenance under one folder (``results.csv``, ``objects.csv``, ``<kind>/…``).

The folder belongs to one run: its tables are written anew, so that rows of two runs never stand in one file. Pictures
are replaced one by one, each written whole; those of images that the new run does not hold stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from pydantic import BaseModel

from vitascope.core.flags import join_flags
from vitascope.core.result import LabelsOutput, Result
from vitascope.core.status import Status
from vitascope.io.atomic import check_writable, file_name, output_error, write_json
from vitascope.io.results.images import Format, PictureFolder, Sizes, undone_on_error
from vitascope.io.tables.csv_append import CsvAppender

RESULTS, OBJECTS, PROVENANCE = "results.csv", "objects.csv", "provenance.json"
FIRST_COLUMNS = ("image", "plate", "well", "field", "time", "status", "flags")
LAST_COLUMNS = ("unit", "interval_level", "model", "model_sha256", "message")


class ResultsFolder:
    """The folder a run writes to.

    Parameters
    ----------
    folder : path
        Made when the first result comes; before that nothing is left behind.
    task : str
        Name of the task.
    format : {"auto", "tif", "zarr"}
        Of pictures; ``auto`` takes OME-TIFF up to 2 GiB and OME-Zarr above.
    expected_bytes : int
        What the results will take about, to check the free space.

    Raises
    ------
    OutputError
        If the folder cannot be written to.

    Examples
    --------
    >>> with ResultsFolder("out", "stain") as out:  # doctest: +SKIP
    ...     out.add(result, pixel_size_um=0.65)
    ...     out.close({"command": "vitascope run stain a.tif -o out"})
    """

    def __init__(self, folder: str | Path, task: str, format: Format = "auto", expected_bytes: int = 0) -> None:
        self.folder, self.task, self.format = Path(folder), task, format
        check_writable(self.folder, expected_bytes)
        self._results = CsvAppender(self.folder / RESULTS, FIRST_COLUMNS, LAST_COLUMNS)
        self._others: dict[str, CsvAppender] = {}
        self._stems: set[str] = set()

    def __enter__(self) -> ResultsFolder:
        """Return the folder."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: every table is whole after every result."""

    def add(
        self, result: Result, *, pixel_size_um: float | None = None, z_step_um: float | None = None
    ) -> tuple[Path, ...]:
        """Write one result: its pictures first, its rows last.

        Parameters
        ----------
        result : Result
        pixel_size_um, z_step_um : float or None, > 0, micrometre
            Of the image the result was made from.

        Returns
        -------
        tuple of Path
            The pictures written.

        Raises
        ------
        OutputError
            If something cannot be written; nothing of this result is left then.
        """
        stem = self.new_stem(result.name)
        written = self.write(result, stem, (pixel_size_um, z_step_um))
        self.add_rows(stem, result_tables(result, stem), written)
        return written

    def write(self, result: Result, stem: str, sizes_um: Sizes = (None, None)) -> tuple[Path, ...]:
        """Write the pictures of one result, see :meth:`PictureFolder.write`; before the first, old tables go."""
        try:
            if not self._stems:
                self._clear_tables()
            return PictureFolder(self.folder, self.task, self.format).write(result, stem, sizes_um)
        except BaseException:
            self._drop_empty_folders(())
            raise

    def add_rows(self, stem: str, tables: Mapping[str, Any], pictures: Sequence[Path] = ()) -> None:
        """Write the rows of one image whose pictures are there already.

        Parameters
        ----------
        stem : str
            What the image is called in the tables.
        tables : mapping of str to DataFrame or list of dict
            See :func:`result_tables`.
        pictures : sequence of Path
            Taken away again where the rows cannot be written.

        Raises
        ------
        OutputError
            If something cannot be written; nothing of this result is left then.
        """
        grown: list[CsvAppender] = []
        try:
            with undone_on_error(pictures):
                for name, rows in tables.items():
                    table = self._results if name == RESULTS else self._table(name)
                    table.append(rows)
                    grown.append(table)
        except BaseException:
            for table in grown:
                with suppress(OSError):
                    table.roll_back()
            self._drop_empty_folders(pictures)
            raise
        self._stems.add(stem.casefold())

    def close(self, provenance: BaseModel | Mapping[str, Any]) -> Path:
        """Write ``provenance.json``.

        Parameters
        ----------
        provenance : Provenance or mapping
            Command, resolved parameters, device, model, versions, inputs and times.

        Returns
        -------
        Path

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        value = provenance.model_dump(mode="json") if isinstance(provenance, BaseModel) else provenance
        path = self.folder / PROVENANCE
        write_json(path, {"task": self.task, **value})
        return path

    def _drop_empty_folders(self, pictures: Sequence[Path]) -> None:
        for folder in (*{path.parent for path in pictures}, self.folder):
            with suppress(OSError):
                folder.rmdir()

    def _clear_tables(self) -> None:
        for name in (RESULTS, OBJECTS, PROVENANCE):
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise output_error(self.folder / name, error) from error

    def new_stem(self, name: str) -> str:
        """Return what an image is called here: a name that every disk takes, and that no other image has yet."""
        stem, count = file_name(name), 1
        while (unique := stem if count == 1 else f"{stem}_{count}").casefold() in self._stems:
            count += 1
        return unique

    def reserve_stem(self, name: str) -> str:
        """Return what an image will be called whose rows come later, and keep that name for it."""
        stem = self.new_stem(name)
        self._stems.add(stem.casefold())
        return stem

    def _table(self, name: str) -> CsvAppender:
        first = ("image", "label") if name == OBJECTS else ("image",)
        return self._others.setdefault(name, CsvAppender(self.folder / name, first))


def result_tables(result: Result, stem: str) -> dict[str, Any]:
    """Turn a result into rows of its tables, by file name; ``results.csv`` comes last.

    Parameters
    ----------
    result : Result
    stem : str
        What the image is called in the tables.

    Returns
    -------
    dict of str to DataFrame or list of dict
    """
    found: dict[str, Any] = {}
    labels = [output for output in result.outputs if isinstance(output, LabelsOutput)]
    objects = []
    for output in labels:
        rows = (output.table if output.listed is None else output.listed).copy()
        rows.insert(0, "image", stem)
        if len(labels) > 1:
            rows["objects"] = output.title
        objects.append(rows)
    if objects:
        found[OBJECTS] = objects[0] if len(objects) == 1 else pd.concat(objects, ignore_index=True)
    for name, frame in result.tables.items():
        rows = frame.copy()
        rows.insert(0, "image", stem)
        found[f"{file_name(name)}.csv"] = rows
    found[RESULTS] = results_rows(result, stem)
    return found


def results_rows(result: Result, stem: str) -> list[dict[str, Any]]:
    """Turn a result into rows of ``results.csv``: one for each time point, empty numbers where it was refused.

    Rows that say how their own picture ended (``status``, ``flags``, ``message``) count for themselves.

    Parameters
    ----------
    result : Result
    stem : str
        What the image is called in the tables.

    Returns
    -------
    list of dict
        Columns in their order.
    """
    place, provenance = result.place, result.provenance
    rows = []
    for numbers in result.rows or ({},):
        first = {"image": stem, "plate": place.plate, "well": place.well, "field": place.field}
        status, flags = numbers.get("status", result.status), tuple(numbers.get("flags", result.flags))
        first |= {"time": numbers.get("time", place.time), "status": str(status), "flags": join_flags(flags)}
        refused = status in (Status.REJECTED, Status.FAILED)
        last = {
            "unit": result.unit,
            "interval_level": result.interval_level,
            "model": provenance.model if provenance else "",
            "model_sha256": provenance.model_sha256 if provenance else "",
            "message": numbers.get("message", result.message),
        }
        middle = {name: None if refused else value for name, value in numbers.items() if name not in {*first, *last}}
        rows.append({**first, **middle, **last})
    return rows
