"""Margins of safety of a study: ``dili.csv``, its waterfall, and how well it tells compounds that injure the liver."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitascope.batch.response.figures import draw_roc, draw_waterfall, save_figure
from vitascope.batch.response.outputs import CURVES, FIGURES, POINTS, publish, stage
from vitascope.core.errors import InputError, ReaderError
from vitascope.io.atomic import check_writable
from vitascope.io.tables.csv_append import uncell, write_csv
from vitascope.io.tables.read import read_table, to_numbers
from vitascope.stats.response.liver import compare_with_assay, injury_roc, injury_score, margins_of_curves
from vitascope.stats.response.roc import RocComparison, roc_curve

DILI, ROC, COMPARISON = "dili.csv", "roc.csv", "roc_comparison.csv"
DAYS = ("day", "time")
NUMBERS = ("ic50", "ic50_low", "ic50_high")


@dataclass(frozen=True, eq=False)
class LiverResult:
    """Margins and how well they tell injurious compounds.

    Parameters
    ----------
    margins : DataFrame
        ``dili.csv``.
    roc : DataFrame
        ``roc.csv``, a row for each day.
    comparison : RocComparison or None
        Image against assay, where one was named.
    """

    margins: pd.DataFrame
    roc: pd.DataFrame
    comparison: RocComparison | None = None


def run_dili(
    folder: Path, cmax: Path, *, value: str | None = None, assay: str | None = None, margin: float = 0.05
) -> LiverResult:
    """Compute margins of safety from the curves in a folder, and write them there.

    Parameters
    ----------
    folder : Path
        What ``vitascope response`` wrote.
    cmax : Path
        Compounds with Cmax and label: CSV or XLSX, our columns or DILIrank's.
    value : str, optional
        Quantity, where the curves have several.
    assay : str, optional
        A second quantity of the same wells, whose ROC area is compared.
    margin : float, >= 0
        Largest loss of area at which the first counts as not worse than the assay.

    Raises
    ------
    ReaderError, InputError
        If the folder holds no curves, a column is missing, or no quantity is named where there are several.
    OutputError
        If something cannot be written.
    """
    curves = read_curves(folder)
    quantity = _quantity(curves, value, assay)
    check_writable(folder)
    known = read_table(cmax).map(uncell)
    margins = {name: _by_day(curves[curves["quantity"] == name], known) for name in filter(None, (quantity, assay))}
    own = margins[quantity]
    roc = injury_roc(own)
    compared = None
    if assay:
        compared = compare_with_assay(_pooled(own), _pooled(margins[assay]), margin=margin)
    table = _stacked(own)
    staged = stage(folder)
    try:
        write_csv(staged / DILI, [table])
        write_csv(staged / ROC, [roc])
        if compared is not None:
            write_csv(staged / COMPARISON, [pd.DataFrame([compared.__dict__])])
        _draw(staged / FIGURES, own, roc)
        publish(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return LiverResult(table, roc, compared)


def read_curves(folder: Path) -> pd.DataFrame:
    """Read ``curves.csv`` of a folder with the highest dose of each curve in ``_highest``.

    Raises
    ------
    ReaderError
        If the folder holds no curves.
    """
    missing = [name for name in (CURVES, POINTS) if not (folder / name).is_file()]
    if missing:
        raise ReaderError(f"'{folder.name}' holds no {missing[0]}.", "Run 'vitascope response' into it first.")
    curves, points = (read_table(folder / name).map(uncell) for name in (CURVES, POINTS))
    absent = [name for name in ("quantity", "quality", *NUMBERS) if name not in curves]
    if absent:
        raise InputError(f"'{CURVES}' has no column '{absent[0]}'.", "Run 'vitascope response' again.")
    for name in NUMBERS:
        curves[name] = to_numbers(curves, name)
    keys = [name for name in map(str, curves) if name in points and name != "reason"]
    keys = keys[: keys.index("quantity") + 1] if "quantity" in keys else keys
    used = points[points["excluded"].str.casefold() != "true"]
    tops = used.assign(_highest=to_numbers(used, "dose")).groupby(keys, sort=False)["_highest"].max().reset_index()
    return curves.merge(tops, on=keys, how="left")


def _quantity(curves: pd.DataFrame, value: str | None, assay: str | None) -> str:
    names = list(dict.fromkeys(curves["quantity"]))
    for one in filter(None, (value, assay)):
        if one not in names:
            raise InputError(f"There are no curves of '{one}'.", f"There are: {', '.join(names)}.")
    rest = [name for name in names if name != assay]
    if value is None and len(rest) != 1:
        raise InputError("There are curves of several quantities.", f"Name one with --value: {', '.join(names)}.")
    return value or rest[0]


def _by_day(curves: pd.DataFrame, cmax: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Margins by day where the curves tell days apart, else one table under an empty name."""
    day = next((name for name in DAYS if name in curves and curves[name].nunique() > 1), None)
    parts = {"": curves} if day is None else {str(key): part for key, part in curves.groupby(day, sort=False)}
    return {key: margins_of_curves(part, part["_highest"].tolist(), cmax) for key, part in parts.items()}


def _pooled(margins: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The last day: that on which most has happened."""
    return list(margins.values())[-1]


def _stacked(margins: dict[str, pd.DataFrame]) -> pd.DataFrame:
    if list(margins) == [""]:
        return margins[""]
    return pd.concat([table.assign(day=day) for day, table in margins.items()], ignore_index=True)


def _draw(folder: Path, margins: dict[str, pd.DataFrame], roc: pd.DataFrame) -> None:
    last = _pooled(margins)
    save_figure(folder / "waterfall", partial(draw_waterfall, table=last), (max(6.0, 0.14 * len(last) + 2), 4.5))
    areas, curves = {}, {}
    rows: list[dict[Any, Any]] = roc.to_dict("records")
    for row in rows:
        table = margins[row["day"]]
        if np.isfinite(row["auc"]):
            curves[row["day"]] = roc_curve(table["label"], injury_score(table))
            day = f"day {row['day']}: " if row["day"] else ""
            areas[row["day"]] = f"{day}area {row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    save_figure(folder / "roc", partial(draw_roc, curves=curves, areas=areas), (4.6, 4.6))
