"""A laboratory's months: what was tested against a reference, day by day, from this user's record."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitascope.batch.drift.references import DriftRecord
from vitascope.core.errors import OutputError
from vitascope.io.atomic import atomic_write

QUIET, ALARM, LIMIT = "#4C9BE8", "#E8744C", "#8A8A8A"
"""Of images as trusted and drifted, and of what they are compared with; the same wherever drift is drawn."""

MARGIN = datetime.timedelta(days=2)
"""Beside the first and the last test, so that a single day has a scale."""

PICTURES = (".png", ".svg", ".pdf")


def draw_months(figure: Any, records: Sequence[DriftRecord]) -> int:
    """Draw one dot for each test, by day: its largest statistic in units of the threshold.

    Parameters
    ----------
    figure : matplotlib figure
        Empty.
    records : sequence of DriftRecord
        Those made before the threshold was noted are left out.

    Returns
    -------
    int
        Rows of axes; 0 where there is nothing to draw.
    """
    known = [record for record in records if record.excess is not None]
    if not known:
        return 0
    axes = figure.subplots()
    axes.axhline(1, color=LIMIT, linestyle="--", linewidth=1, label="alarm above")
    for rang, colour, word in ((False, QUIET, "no alarm"), (True, ALARM, "alarm")):
        some = [record for record in known if bool(record.alarms) == rang]
        if some:
            days = [datetime.datetime.fromisoformat(record.at) for record in some]
            axes.plot(days, [record.excess for record in some], "o", color=colour, markersize=5, label=word)
    told = ""
    for record in sorted(known, key=lambda one: one.at):
        if record.cause and record.cause != told:
            where = (datetime.datetime.fromisoformat(record.at), record.excess)
            axes.annotate(
                record.cause, where, xytext=(4, 4), textcoords="offset points", fontsize="x-small", color=ALARM
            )
        told = record.cause
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    days = [datetime.datetime.fromisoformat(record.at) for record in known]
    axes.set_xlim(min(days) - MARGIN, max(days) + MARGIN)
    axes.set_ylabel("distance / threshold", fontsize="small")
    axes.margins(y=0.15)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=max(1.5, axes.get_ylim()[1]))
    axes.legend(fontsize="x-small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return 1


def save_months(records: Sequence[DriftRecord], path: Path, title: str = "") -> None:
    """Save :func:`draw_months` as a picture, whole or not at all.

    Parameters
    ----------
    records : sequence of DriftRecord
    path : Path
        Ends in .png, .svg or .pdf.
    title : str

    Raises
    ------
    OutputError
        If there is nothing to draw, or the picture cannot be written.
    """
    if path.suffix.lower() not in PICTURES:
        raise OutputError(f"'{path.name}' is no name of a picture.", f"End it with {', '.join(PICTURES)}.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    if not draw_months(figure, records):
        raise OutputError("Nothing was tested against this reference yet.", "Run 'vitascope drift test' first.")
    figure.axes[0].set_title(title, fontsize="medium")
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150)
