"""The condition table of Fractal: what is in each well, kept inside an OME-Zarr plate under ``tables/``.

A table of type ``condition_table`` (version 1, https://biovisioncenter.github.io/ngio), with columns ``row`` and
``column`` and one for each condition, stored as CSV, Parquet, JSON or AnnData. We write CSV.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ReaderError
from vitascope.core.well import Well
from vitascope.io.atomic import atomic_write
from vitascope.io.filenames.expand import unreadable
from vitascope.io.images.zarr_store import read_json
from vitascope.io.stores.mirror import fetch_folder
from vitascope.io.tables.vocabulary import read_column

TYPE, VERSION = "condition_table", "1"
NAME = "condition"
_HINT = "Write it again, with the backend csv, json, parquet or anndata."
_OF_IMAGE = "path_in_well"


def condition_rows(path: Path) -> list[dict[str, str]]:
    """Read a condition table into one row for each well.

    Parameters
    ----------
    path : Path
        The OME-Zarr plate, or the table's own folder in it where the plate has several.

    Returns
    -------
    list of dict
        The text of each well by the names of a plate map, others as the table calls them.

    Raises
    ------
    ReaderError
        If there is no such table, or it cannot be read.
    InputError
        If the plate has several, or the table names no wells.
    """
    folder = _find(path)
    try:
        table = _read(folder, str(attributes(folder).get("backend", "anndata")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(folder, error) from error
    names: dict[str, str] = {}
    units: dict[str, str] = {}
    for header in map(str, table.columns):
        column, unit = read_column(header)
        names[header] = column if column and column not in names.values() else header
        units |= {"dose_unit": unit} if unit and column == "dose" else {}
    if "well" not in names.values() and not {"row", "column"} <= set(names.values()):
        raise InputError(f"The condition table '{folder.name}' names no wells.", "It needs columns row and column.")
    rows: list[dict[str, str]] = []
    for record in table.to_dict("records"):
        row = {names[str(key)]: _text(value) for key, value in record.items() if key != _OF_IMAGE}
        row = {**row, **{name: row.get(name) or unit for name, unit in units.items()}}
        if row not in rows:  # the table of a well's images says the same for each
            rows.append(row)
    return rows


def write_conditions(table: pd.DataFrame, plate: Path, name: str = NAME) -> Path:
    """Write a plate map as a condition table into an OME-Zarr plate; one of the same name is replaced.

    Parameters
    ----------
    table : DataFrame
        One row for each well, with a column ``well`` and others; empty columns are left out.
    plate : Path
        OME-Zarr plate, version 0.4 or 0.5.
    name : str
        Of the table.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    ReaderError
        If there is no OME-Zarr plate.
    OutputError
        If it cannot be written.
    """
    import zarr

    about = attributes(plate)
    layout = about.get("ome", about).get("plate")
    if not isinstance(layout, Mapping):
        raise ReaderError(
            f"'{plate}' is no OME-Zarr plate.", "Write the map as CSV instead, or export the plate first."
        )
    wells = [Well.parse(well) for well in table["well"]]
    spelt = {well: tuple(path.split("/")) for well, path in _paths(layout).items()}
    places = [spelt.get(well, (str(well).rstrip("0123456789"), str(well.column + 1))) for well in wells]
    conditions = table.drop(columns=[one for one in table if one in ("well", "plate") or not _filled(table[one])])
    conditions.insert(0, "column", [column for _, column in places])
    conditions.insert(0, "row", [row for row, _ in places])
    root = zarr.open_group(plate, mode="r+")
    tables = root.require_group("tables")
    tables.attrs["tables"] = [*dict.fromkeys([*tables.attrs.get("tables", []), name])]
    tables.create_group(name, overwrite=True).attrs.update({"type": TYPE, "table_version": VERSION, "backend": "csv"})
    with atomic_write(plate / "tables" / name / "table.csv") as file:
        file.write(conditions.to_csv(index=False, lineterminator="\n").encode("utf-8"))
    return plate / "tables" / name


def attributes(folder: Path) -> dict[str, Any]:
    """Read the attributes of a zarr group of version 2 or 3; empty where there are none."""
    if (folder / ".zattrs").is_file():
        return read_json(folder / ".zattrs")
    if (folder / "zarr.json").is_file():
        found = read_json(folder / "zarr.json").get("attributes", {})
        return found if isinstance(found, dict) else {}
    return {}


def _find(path: Path) -> Path:
    if attributes(path).get("type") == TYPE:
        return path
    home = path / "tables"
    named = attributes(home).get("tables", [])
    names = (
        [str(one) for one in named if "/" not in str(one) and ".." not in str(one)] if isinstance(named, list) else []
    )
    found = [home / name for name in names if attributes(home / name).get("type") == TYPE]
    if not found:
        raise ReaderError(f"'{path}' holds no condition table.", "Give a table as CSV or XLSX.")
    if len(found) > 1:
        listed = ", ".join(f"'{one}'" for one in found[:5])
        raise InputError(f"'{path.name}' holds {len(found)} condition tables.", f"Give one of them: {listed}.")
    return found[0]


def _read(folder: Path, backend: str) -> pd.DataFrame:
    if backend == "csv":
        return pd.read_csv(folder / "table.csv", dtype=str, keep_default_na=False)
    if backend == "parquet":
        return pd.read_parquet(folder / "table.parquet").reset_index(drop=True)
    if backend == "json":
        return pd.DataFrame({str(k): _values(v) for k, v in attributes(folder / "table").items()})
    if backend.startswith("anndata"):
        return _read_anndata(folder)
    raise ReaderError(f"The condition table '{folder.name}' is stored as '{backend}'.", _HINT)


def _values(values: Any) -> list[Any]:
    return list(values.values()) if isinstance(values, Mapping) else list(values)


def _read_anndata(folder: Path) -> pd.DataFrame:
    """Read texts from ``obs`` and numbers from ``X``, as AnnData keeps them."""
    import zarr

    fetch_folder(folder)
    group = zarr.open_group(folder, mode="r")
    columns: dict[str, list[Any]] = {}
    for name in attributes(folder / "obs").get("column-order", []):
        part = group[f"obs/{name}"]
        if isinstance(part, zarr.Group):  # categories and their numbers
            words = _array(part["categories"])
            columns[name] = [words[code] if code >= 0 else "" for code in _array(part["codes"])]
        else:
            columns[name] = list(_array(part))
    index = attributes(folder / "var").get("_index", "_index")
    numbers = _array(group["X"])
    for k, name in enumerate(_array(group[f"var/{index}"])):
        columns[str(name)] = list(numbers[:, k])
    return pd.DataFrame(columns)


def _array(part: Any) -> NDArray[Any]:
    import zarr

    if not isinstance(part, zarr.Array):
        raise ValueError("a part of it is no array")
    return np.asarray(part[:])


def _paths(layout: Mapping[str, Any]) -> dict[Well, str]:
    """List how the plate spells its wells: ``B/2`` or ``B/02``."""
    found = {}
    for one in layout.get("wells", []):
        path = str(one.get("path", ""))
        if path.count("/") == 1:
            found[Well.parse(path.replace("/", ""))] = path
    return found


def _filled(values: Iterable[Any]) -> bool:
    return any(_text(value) for value in values)


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)
