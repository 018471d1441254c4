"""What a report says, gathered from a folder; the template only lays it out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.batch.plate.tables import QUALITY
from vitascope.batch.report.methods import methods_of_response, methods_of_run, references, software
from vitascope.batch.report.pictures import explained, image_url, picture_of
from vitascope.batch.report.plate_grid import Grid, heat_grid, map_grid
from vitascope.batch.response.dili import COMPARISON, DILI, ROC
from vitascope.batch.response.figures import dose_text, draw_grid, draw_waterfall, svg_text
from vitascope.batch.response.inputs import WellTable, read_response_table
from vitascope.batch.response.outputs import TASK, WELLS
from vitascope.batch.response.provenance import read_provenance
from vitascope.batch.response.views import CurveView, amount_text, curve_views
from vitascope.core.errors import InputError, ReaderError, VitascopeError
from vitascope.core.flags import FLAGS, without_notes
from vitascope.core.formatting import quantity_text
from vitascope.io.models.cards import find_model
from vitascope.io.results.folder import RESULTS
from vitascope.io.tables.csv_append import uncell
from vitascope.io.tables.read import read_table
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.normalise import BLOCKS
from vitascope.stats.response.params import ResponseParams
from vitascope.stats.response.result import ResponseResult

MOST_GRIDS, A_FIGURE, SHOWN_WELLS, MOST_ROWS = 12, 15, 3, 400
SIZE_IN = (8.0, 2.1)
"""Width of a figure, and height of a row of curves: what A4 holds."""


WORDS = {
    "n_negative": "negative controls", "n_positive": "positive controls", "n_missing": "wells without a number",
    "z_prime": "Z'", "robust_z_prime": "Z', robust", "ssmd": "SSMD", "robust_ssmd": "SSMD, robust",
    "cv_negative_percent": "CV of negative controls (%)", "cv_positive_percent": "CV of positive controls (%)",
    "position_role": "wells compared by place", "position_n": "their number", "edge_percent": "edge against inside (%)",
    "edge_p": "edge, p", "row_p": "rows, p", "column_p": "columns, p", "corrected": "corrected for", "cmax": "Cmax",
    "cmax_unit": "unit", "mos": "margin of safety", "mos_low": "from", "mos_high": "to", "label": "injures (1) or not",
}  # fmt: skip
"""Names of columns in words."""


@dataclass
class ReportContent:
    """Everything that stands in a report; empty parts are left out.

    Parameters
    ----------
    title, made : str
    run : list of (str, str)
        What was run: name and value.
    trust : list of str
        How far it is trusted, in sentences.
    flags : list of (str, str, int)
        Word, meaning, number of images.
    maps, heat : list of Grid
    quality, plates, curves, margins, roc : list of dict
    figures : list of str
        Curves as SVG, made by matplotlib, which escapes all text.
    wells : list of dict
        Best and worst wells with pictures as data URLs.
    troubles : list of dict
        Images without a number, and why.
    methods : list of str
    references : list of str
    """

    title: str
    made: str
    run: list[tuple[str, str]] = field(default_factory=list)
    trust: list[str] = field(default_factory=list)
    flags: list[tuple[str, str, int]] = field(default_factory=list)
    maps: list[Grid] = field(default_factory=list)
    heat: list[Grid] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    plates: list[dict[str, Any]] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    waterfall: str = ""
    margins: list[dict[str, Any]] = field(default_factory=list)
    roc: list[dict[str, Any]] = field(default_factory=list)
    comparison: list[dict[str, Any]] = field(default_factory=list)
    wells: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[dict[str, Any]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    level: float = 0.95


def gather(folder: Path) -> ReportContent:
    """Gather what a folder tells: of a run, of a plate run, of curves, of margins of safety.

    Raises
    ------
    ReaderError
        If it is no folder of results.
    """
    report = ReportContent(title=folder.resolve().name, made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    has_run, has_curves = (folder / RESULTS).is_file(), read_provenance(folder).get("task") == TASK
    if not has_run and not has_curves:
        raise ReaderError(
            f"'{folder.name}' holds no results.", "Give the folder of a run, a plate run or of 'vitascope response'."
        )
    params = _add_run(report, folder) if has_run else _add_curves(report, folder)
    if (folder / DILI).is_file():
        _add_liver(report, folder)
    report.methods.append(f"Software: {software()}.")
    report.references += references(params, bool(report.quality or report.plates), bool(report.margins))
    return report


# -- a run ------------------------------------------------------------------------------------------------------------


def _add_run(report: ReportContent, folder: Path) -> ResponseParams | None:
    from vitascope.tasks.registry import known_task

    provenance = read_provenance(folder)
    frame = read_table(folder / RESULTS).map(uncell)
    frame["serious"] = [", ".join(without_notes(cell.split(";"))).replace("_", " ") for cell in frame["flags"]]
    spec = known_task(str(provenance.get("task") or ""))
    title, headline = (spec.title, spec.headline) if spec else (str(provenance.get("task") or "unknown"), "")
    report.run += [("Task", title), ("Images", str(len(frame)))]
    for name in ("model", "device", "precision", "started", "command"):
        if provenance.get(name):
            report.run.append((name.capitalize(), str(provenance[name])))
    for name in ("plate", "well", "time"):
        if name in frame and len(known := set(frame[name]) - {""}):
            report.run.append(
                (f"{name.capitalize()}s", str(len(known)) if len(known) > 3 else ", ".join(sorted(known)))
            )
    _add_trust(report, frame)
    _add_troubles(report, frame)
    wells: WellTable | None = None
    with suppress(InputError):  # no doses: no curves
        wells = read_response_table(folder)
    if headline in frame:
        _add_grids(report, frame, headline)
        _add_wells(report, folder, frame, headline)
    if (folder / QUALITY).is_file():
        report.quality = _records(read_table(folder / QUALITY).map(uncell))
    report.methods.append(methods_of_run(provenance, title))
    if spec is not None and spec.source:
        report.references.append(spec.source)
    if wells is None or headline not in wells.table or not _has_doses(wells.table):
        return None
    params = ResponseParams(unit=wells.unit)
    _add_result(report, fit_dose_response(wells.table, response=headline, **params.model_dump()), params)
    return params


def _has_doses(table: pd.DataFrame) -> bool:
    return "treatment" in table and bool((table["dose"].astype(str).str.strip() != "").any())


def _add_trust(report: ReportContent, frame: pd.DataFrame) -> None:
    counts = Counter(frame["status"])
    report.trust.append("; ".join(f"{n} of {len(frame)} images {status}" for status, n in counts.most_common()) + ".")
    for name in dict.fromkeys(frame["model"]) if "model" in frame else ():
        try:
            card = find_model(str(name))[0]
        except VitascopeError:
            continue
        report.trust.append(f"{card.title}. {card.summary}.")
        report.trust.append(f"Limits: {card.limitations}")
        if card.data_is_simulated:
            report.trust.append(
                "The model saw no real image in training: its intervals were calibrated on simulated ones."
            )
        for metric in card.metrics[:3]:
            value, *ends = (amount_text(v) for v in (metric.value, metric.low, metric.high) if v is not None)
            told = f"{value} ({ends[0]} to {ends[1]})" if len(ends) == 2 else value
            report.trust.append(f"Measured: {metric.name} {told} {metric.unit} on {metric.on}.".replace("  ", " "))
        report.references += [f"{data.name}: {data.credit} {data.url}".strip() for data in card.data]
    flags = Counter(flag for cell in frame["flags"] for flag in cell.split(";") if flag)
    report.flags += [(flag, FLAGS[flag].text if flag in FLAGS else "", n) for flag, n in flags.most_common()]


def _add_troubles(report: ReportContent, frame: pd.DataFrame) -> None:
    bad = frame[~frame["status"].isin(["OK", "WARN"])]
    for row in bad.head(MOST_ROWS).to_dict("records"):
        report.troubles.append({name: row.get(name, "") for name in ("image", "well", "status", "flags", "message")})


def _add_grids(report: ReportContent, frame: pd.DataFrame, headline: str) -> None:
    numbers = frame.assign(**{headline: pd.to_numeric(frame[headline], errors="coerce")})
    known = numbers[headline].dropna()
    limits = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    unit = next((u for u in frame["unit"] if u), "") if "unit" in frame else ""
    for plate, part in numbers.groupby("plate", sort=False):
        first = part.drop_duplicates("well")
        name = str(plate) or "Plate"
        drawn = map_grid(first, f"{name}: what is in each well")
        report.maps += [drawn] if drawn else []
        for time, seen in part.groupby("time", sort=False):
            keys = seen.groupby("well", sort=False)
            by_well = pd.DataFrame(
                {headline: keys[headline].mean(), "serious": keys["serious"].agg(_joined)}
            ).reset_index()
            words = f"{quantity_text(headline)} ({unit})" if unit else quantity_text(headline)
            when = f", {time!s}" if time else ""
            title = f"{name}{when}: {words}"
            grid = heat_grid(by_well, headline, title, limits)
            report.heat += [grid] if grid and len(report.heat) < MOST_GRIDS else []


def _joined(cells: pd.Series) -> str:
    return ", ".join(dict.fromkeys(word for cell in cells for word in str(cell).split(", ") if word))


def _add_wells(report: ReportContent, folder: Path, frame: pd.DataFrame, headline: str) -> None:
    """Show the wells with the highest and the lowest number, with image and map where these are there."""
    numbers = pd.to_numeric(frame[headline], errors="coerce")
    ordered = frame.assign(_number=numbers)[numbers.notna()].sort_values("_number", kind="stable", ascending=False)
    some = min(SHOWN_WELLS, len(ordered) // 2) or min(1, len(ordered))
    parts = (("highest", ordered.head(some)), ("lowest", ordered.tail(some).iloc[::-1]))
    images, maps = _pictures_of(folder)
    for place, part in parts:
        for row in part.to_dict("records"):
            ends = [amount_text(_float(row.get(f"{headline}{end}"))) for end in ("_low", "_high")]
            interval = f" ({ends[0]} to {ends[1]})" if "–" not in ends else ""
            number = f"{amount_text(row['_number'])}{interval} {row.get('unit') or ''}".strip()
            told = maps(str(row["image"]))
            report.wells.append({
                "place": place, "name": row.get("well") or row["image"], "number": number,
                "treatment": _with_dose(row), "flags": row["serious"],
                "image": images(str(row["image"])), "map": told[1] if told else "",
                "map_title": told[0] if told else "",
            })  # fmt: skip


def _with_dose(row: Mapping[Any, Any]) -> str:
    """Name what is in a well, with its dose where one is known."""
    dose = _float(row.get("dose"))
    told = dose_text(dose, str(row.get("dose_unit") or "")) if dose > 0 else ""
    return f"{row.get('treatment') or ''} {told}".strip()


def _pictures_of(folder: Path) -> tuple[Callable[[str], str], Callable[[str], tuple[str, str] | None]]:
    """Return what gives an image as a data URL (empty where it is gone), and the picture that explains its number."""
    from vitascope.batch.plate.journal import has_journal
    from vitascope.batch.plate.results import open_plate_results

    if not has_journal(folder):
        return lambda name: "", partial(picture_of, folder)
    results = open_plate_results(folder)
    try:
        sites = {site.id: site for site in results.open_plate()}
    except VitascopeError:
        sites = {}

    def look(name: str) -> str:
        try:
            image = sites[name].open()
            return image_url(image.array, image.axes)
        except (VitascopeError, KeyError, OSError, ValueError):
            return ""

    def explain(name: str) -> tuple[str, str] | None:
        try:
            return explained(results.pictures(name))
        except (VitascopeError, OSError, ValueError):
            return None

    return look, explain


# -- curves -----------------------------------------------------------------------------------------------------------


def _add_curves(report: ReportContent, folder: Path) -> ResponseParams:
    provenance = read_provenance(folder)
    wells = read_response_table(folder / WELLS)
    params: ResponseParams = ResponseParams.make(**provenance.get("params", {}))
    source = ", ".join(str(one.get("name")) for one in provenance.get("inputs", []))
    report.run += [("Analysis", "Dose-response"), ("Table", source), ("Wells", str(len(wells.table)))]
    report.run += [(n.capitalize(), str(provenance[n])) for n in ("command", "finished") if provenance.get(n)]
    report.trust += [str(note) for note in provenance.get("notes", [])]
    by = provenance.get("by")
    result = fit_dose_response(wells.table, response=provenance["values"], by=by, **params.model_dump())
    _add_result(report, result, params)
    return params


def _add_result(report: ReportContent, result: ResponseResult, params: ResponseParams) -> None:
    views = curve_views(result)
    report.level = params.level
    report.plates = _records(result.plates)
    for first in range(0, min(len(views), MOST_ROWS), A_FIGURE):
        some = views[first : first + A_FIGURE]
        size = (SIZE_IN[0], SIZE_IN[1] * -(-len(some) // 3))
        report.figures.append(svg_text(partial(draw_grid, views=some, columns=3), size))
    report.curves = [_curve_row(view) for view in views]
    good = Counter(view.row["quality"] for view in views)
    if views:
        report.trust.append(f"{len(views)} curves: " + ", ".join(f"{n} {word}" for word, n in good.most_common()) + ".")
    report.methods.append(methods_of_response(params))


def _curve_row(view: CurveView) -> dict[str, Any]:
    row = view.row
    return {
        "title": view.title, "quantity": quantity_text(str(row["quantity"])),
        "answer": view.answer.removeprefix("IC50 "),
        "quality": row["quality"], "n": row["n"], "hill": amount_text(row["hill"]), "top": amount_text(row["top"]),
        "bottom": amount_text(row["bottom"]), "unit": row["unit"], "emax": amount_text(row["emax"]),
        "reason": row["reason"], "flags": str(row["flags"]).replace("_", " ").replace(";", ", "),
    }  # fmt: skip


def _add_liver(report: ReportContent, folder: Path) -> None:
    margins = read_table(folder / DILI).map(uncell)
    report.margins = _records(margins)
    report.roc = _records(read_table(folder / ROC).map(uncell)) if (folder / ROC).is_file() else []
    if (folder / COMPARISON).is_file():
        report.comparison = _records(read_table(folder / COMPARISON).map(uncell))
    numbers = margins.assign(
        **{n: pd.to_numeric(margins[n], errors="coerce") for n in ("mos", "mos_low", "mos_high", "label")}
    )
    report.waterfall = svg_text(partial(draw_waterfall, table=numbers), (SIZE_IN[0], 4.0))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with names and numbers as people read them."""
    nameless = [name for name in BLOCKS if name in table and not table[name].map(_shown).any()]
    rows: list[dict[Any, Any]] = table.drop(columns=nameless).head(MOST_ROWS).to_dict("records")
    return [{WORDS.get(str(k), str(k).replace("_", " ")): _shown(v) or "–" for k, v in row.items()} for row in rows]


def _shown(value: Any) -> str:
    number = _float(value)
    if math.isnan(number):
        return "" if str(value) in ("nan", "None", "<NA>") else str(value)
    return f"{number:.2g}" if 0 < abs(number) < 0.001 else amount_text(number)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
