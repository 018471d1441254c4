"""What a run leaves: pictures, tables and provenance under one folder (``results.csv``, ``objects.csv``, ``<kind>/…``).

The folder belongs to one run: its tables are written anew, so that rows of two runs never stand in one file. Pictures
are replaced one by one, each written whole; those of images that the new run does not hold stay where they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pydantic import BaseModel

from vitascope.core.errors import VitascopeError
from vitascope.core.flags import join_flags
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.io.growing_table import GrowingTable
from vitascope.io.ome_write import Picture, write_ome_tiff, write_ome_zarr
from vitascope.io.writing import check_writable, file_name, output_error, write_json

Format = Literal["auto", "tif", "zarr"]

RESULTS, OBJECTS, PROVENANCE = "results.csv", "objects.csv", "provenance.json"
FIRST_COLUMNS = ("image", "plate", "well", "field", "time", "status", "flags")
LAST_COLUMNS = ("unit", "interval_level", "model", "model_sha256", "message")
ZARR_BYTES = 2**31


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
        self._results = GrowingTable(self.folder / RESULTS, FIRST_COLUMNS, LAST_COLUMNS)
        self._objects = GrowingTable(self.folder / OBJECTS, ("image", "label"))
        self._further: dict[str, GrowingTable] = {}
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
        if not self._stems:
            self._clear_tables()
        stem = self._stem(result.name)
        written: list[Path] = []
        tables: list[GrowingTable] = []
        try:
            for output, name in zip(result.outputs, _names(result, stem), strict=True):
                written.append(self._write_picture(output, name, stem, (pixel_size_um, z_step_um)))
            for table, rows in self._tables(result, stem):
                table.append(rows)
                tables.append(table)
        except BaseException:
            for path in written:
                _remove(path)
            for table in tables:
                with suppress(OSError):
                    table.roll_back()
            self._drop_empty_folders(result)
            raise
        self._stems.add(stem.casefold())
        return tuple(written)

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

    def _drop_empty_folders(self, result: Result) -> None:
        for folder in (*(self.folder / file_name(output.kind) for output in result.outputs), self.folder):
            with suppress(OSError):
                folder.rmdir()

    def _clear_tables(self) -> None:
        for name in (RESULTS, OBJECTS, PROVENANCE):
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise output_error(self.folder / name, error) from error

    def _stem(self, name: str) -> str:
        stem, count = file_name(name), 1
        while (unique := stem if count == 1 else f"{stem}_{count}").casefold() in self._stems:
            count += 1
        return unique

    def _write_picture(
        self, output: ImageOutput | LabelsOutput, name: str, stem: str, sizes_um: tuple[float | None, float | None]
    ) -> Path:
        notes = {"task": self.task, "image": stem, "kind": output.kind, "title": output.title}
        channel_names: tuple[str, ...] = (output.title,)
        if isinstance(output, ImageOutput):
            channel_names = output.channel_names
            low, high = (float(limit) for limit in output.limits)
            notes |= {"unit": output.unit, "limits": f"{low!r} {high!r}", "colormap": output.colormap}
        dtype = "float32" if isinstance(output, ImageOutput) else "uint32"
        picture = Picture(output.array, output.axes, dtype, name, channel_names, *sizes_um, notes)
        as_zarr = self.format == "zarr" or (self.format == "auto" and picture.nbytes > ZARR_BYTES)
        base = self.folder / file_name(output.kind) / name
        path, other = (base.with_name(f"{name}.ome.{'zarr' if zarr else 'tif'}") for zarr in (as_zarr, not as_zarr))
        try:
            (write_ome_zarr if as_zarr else write_ome_tiff)(path, picture)
        except VitascopeError:
            raise
        except OSError as error:
            raise output_error(path, error) from error
        _remove(other)
        return path

    def _tables(self, result: Result, stem: str) -> list[tuple[GrowingTable, Any]]:
        found: list[tuple[GrowingTable, Any]] = []
        labels = [output for output in result.outputs if isinstance(output, LabelsOutput)]
        for output in labels:
            rows = output.table.copy()
            rows.insert(0, "image", stem)
            if len(labels) > 1:
                rows["objects"] = output.title
            found.append((self._objects, rows))
        for name, frame in result.tables.items():
            rows = frame.copy()
            rows.insert(0, "image", stem)
            table = self._further.setdefault(name, GrowingTable(self.folder / f"{file_name(name)}.csv", ("image",)))
            found.append((table, rows))
        found.append((self._results, results_rows(result, stem)))
        return found


def results_rows(result: Result, stem: str) -> list[dict[str, Any]]:
    """Turn a result into rows of ``results.csv``: one for each time point, empty numbers where it was refused.

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
    refused = result.status in ("REJECTED", "FAILED")
    rows = []
    for numbers in result.rows or ({},):
        first = {"image": stem, "plate": place.plate, "well": place.well, "field": place.field}
        first |= {"time": numbers.get("time", place.time), "status": result.status, "flags": join_flags(result.flags)}
        last = {
            "unit": result.unit,
            "interval_level": result.interval_level,
            "model": provenance.model if provenance else "",
            "model_sha256": provenance.model_sha256 if provenance else "",
            "message": result.message,
        }
        middle = {name: None if refused else value for name, value in numbers.items() if name not in {*first, *last}}
        rows.append({**first, **middle, **last})
    return rows


def _names(result: Result, stem: str) -> list[str]:
    """Name the files: the stem, with the title added to all but the first picture of one kind."""
    seen: set[str] = set()
    names = []
    for output in result.outputs:
        name = stem if output.kind not in seen else file_name(f"{stem}_{output.title}")
        seen.add(output.kind)
        names.append(name)
    return names


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
