"""A result folder of one image as the :class:`Result` that a run in Python would have returned."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from vitascope.core.errors import ReaderError
from vitascope.core.result import Provenance, Result, Trust, TrustLevel
from vitascope.core.status import Status
from vitascope.core.well import WellPosition
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, OBJECTS, PROVENANCE, RESULTS
from vitascope.io.results.read import read_results

NOT_NUMBERS = {*FIRST_COLUMNS, *LAST_COLUMNS} - {"time"}


def saved_result(folder: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], scratch: object = None) -> Result:
    """Make a result of the folder of a run on one image.

    Parameters
    ----------
    folder : path
    rows : sequence of mapping
        The rows of ``results.csv``, numbers as numbers, empty cells as None.
    scratch : object
        Keeps the folder as long as the result, where it is a temporary one.

    Returns
    -------
    Result

    Raises
    ------
    ReaderError
        If the folder holds no result of one image.
    """
    folder = Path(folder)
    saved = read_results(folder)
    if not rows or len({row["image"] for row in rows}) != 1:
        raise ReaderError(f"'{folder.name}' is not the result of one image.", "Read its results.csv instead.")
    first, own = rows[0], [dict(row) for row in rows]
    told = json.loads((folder / PROVENANCE).read_text("utf-8")) if (folder / PROVENANCE).is_file() else {}
    known = [Provenance.model_validate(one) for one in told.get("images", ())]
    message = str(first.get("message") or "")
    trust = next((level for level in get_args(TrustLevel) if known and known[0].trust == level), "unknown")
    tables = {
        path.stem: pd.read_csv(path).drop(columns=["image"], errors="ignore")
        for path in sorted(folder.glob("*.csv"))
        if path.name not in (RESULTS, OBJECTS)
    }
    return Result(
        outputs=tuple(picture.output for picture in saved.pictures),
        rows=tuple({name: value for name, value in row.items() if name not in NOT_NUMBERS} for row in own),
        unit=str(first.get("unit") or ""),
        place=_place(first),
        name=str(first["image"]),
        status=Status(str(first["status"])),
        flags=tuple(filter(None, str(first.get("flags") or "").split(";"))),
        message=message,
        trust=Trust(trust, (message,) if message else ()),
        interval_level=first.get("interval_level"),
        tables=tables,
        provenance=known[0] if known else None,
        scratch=scratch,
    )


def _place(row: Mapping[str, Any]) -> WellPosition:
    return WellPosition(plate=row.get("plate") or "", well=row.get("well") or "", field=row.get("field") or "")
