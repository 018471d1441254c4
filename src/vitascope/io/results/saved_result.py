"""A result folder of one image as the :class:`Result` that a run in Python would have returned."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from vitascope.core.errors import ReaderError
from vitascope.core.result import LabelsOutput, Provenance, Result, Trust, TrustLevel
from vitascope.core.status import Status
from vitascope.core.well import WellPosition
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, OBJECTS, PROVENANCE, RESULTS
from vitascope.io.results.read import read_results

NOT_NUMBERS = {*FIRST_COLUMNS, *LAST_COLUMNS} - {"time"}
OF_THE_RUN = ("agreement_images.csv", "curves.csv")
"""Tables over all images of a run, which no image's result holds."""


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
    first = rows[0]
    told = json.loads((folder / PROVENANCE).read_text("utf-8")) if (folder / PROVENANCE).is_file() else {}
    known = [Provenance.model_validate(one) for one in told.get("images", ())]
    message = str(first.get("message") or "")
    levels: tuple[TrustLevel, ...] = get_args(TrustLevel)
    trust: TrustLevel = next((level for level in levels if known and known[0].trust == level), "unknown")
    tables = {
        path.stem: pd.read_csv(path).drop(columns=["image"], errors="ignore")
        for path in sorted(folder.glob("*.csv"))
        if path.name not in (RESULTS, OBJECTS, *OF_THE_RUN)
    }
    return Result(
        outputs=tuple(sorted((one.output for one in saved.pictures), key=lambda one: isinstance(one, LabelsOutput))),
        rows=tuple(_numbers(row) for row in rows),
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


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's own numbers of a row; a single image has no time."""
    return {
        name: value for name, value in row.items() if name not in NOT_NUMBERS and not (name == "time" and value is None)
    }


def _place(row: Mapping[str, Any]) -> WellPosition:
    return WellPosition(plate=row.get("plate") or "", well=row.get("well") or "", field=row.get("field") or "")
