"""Curves as figures: a grid of small ones, one large with its residuals, a waterfall, ROC curves."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitascope.batch.response.views import CurveView, amount_text
from vitascope.core.formatting import plain_digits, quantity_text
from vitascope.io.atomic import atomic_write

CURVE, BAND, POINT, LEFT_OUT = "#0072B2", "#56B4E9", "#404040", "#B0B0B0"
INJURES, HARMLESS, UNKNOWN = "#D55E00", "#009E73", "#999999"
"""Okabe and Ito's colours, which the colour-blind tell apart."""
COLUMNS, ROWS_A_PAGE = 4, 6
WIDTH_IN, ROW_IN = 11.0, 2.4
LARGE_TICKS, SMALL_TICKS = 6, 4
"""Numbers along a dose axis at most; those of a small curve stand on less than 2 inches."""
STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "vitascope", "text.usetex": False, "text.parse_math": False,
    "font.family": "sans-serif",
}  # fmt: skip
"""Text in an SVG stays text, names with a dollar are no formulas, and the same curves give the same file."""
NO_DATE = {"svg": {"Date": None}, "png": {}}


def draw_grid(figure: Any, views: Sequence[CurveView], columns: int = COLUMNS, colour: str = POINT) -> list[Any]:
    """Draw small curves side by side.

    Parameters
    ----------
    figure : matplotlib figure
        Empty; axes are put in.
    views : sequence of CurveView
    columns : int
    colour : str
        Of points.

    Returns
    -------
    list of matplotlib axes
        One for each curve, in their order.
    """
    rows = -(-len(views) // columns)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one in axes[len(views) :]:
        one.set_visible(False)
    for one, view in zip(axes, views, strict=False):
        draw_curve(one, view, colour=colour)
        one.set_title(f"{shorten(view.title, 34)}\n{view.answer}", fontsize=7, loc="left", color=colour)
        one.tick_params(labelsize=6)
        spread_ticks(one.xaxis, SMALL_TICKS)
        one.set_xlabel(one.get_xlabel(), fontsize=7)
        one.set_ylabel(one.get_ylabel(), fontsize=7)
    return list(axes[: len(views)])


def draw_curve(axes: Any, view: CurveView, *, colour: str = POINT) -> None:
    """Draw one curve: points, fit with its band over the doses tested, and the IC50 with its interval.

    Filled points were fitted, hollow ones lie outside the model (fitted or not), crosses were left out. Wells of dose
    zero stand left of a gap.
    """
    points = view.points[np.isfinite(view.points["normalised"].to_numpy(float))]
    x, zero = places(points["dose"].to_numpy(float))
    y, out = points["normalised"].to_numpy(float), points["excluded"].to_numpy(bool)
    hollow = points["outside_model"].to_numpy(bool)
    shown = np.isfinite(x)
    kinds = (
        (shown & ~out & ~hollow, {"marker": "o", "facecolors": colour, "edgecolors": colour}),
        (shown & hollow, {"marker": "o", "facecolors": "none", "edgecolors": colour}),
        (shown & out & ~hollow, {"marker": "x", "c": LEFT_OUT}),
    )
    if zero > 0 or shown.any():
        log_axis(axes.xaxis)
    for mask, how in kinds:
        if mask.any():
            dots = axes.scatter(x[mask], y[mask], s=14, linewidths=1, zorder=3, picker=4, **how)
            dots.point_rows = points.index.to_numpy()[mask]
    if view.fit is not None and view.row["quality"] != "no fit":
        _draw_fit(axes, view)
    unit = str(view.row.get("ic50_unit") or "")
    axes.set_xlabel(f"dose ({unit})" if unit else "dose (no unit told)")
    axes.set_ylabel(shorten(value_label(view), 40))
    if str(view.row.get("unit") or "").startswith("%"):
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if zero > 0 and (x == zero).any():
        axes.axvline(zero * 1.7, color=LEFT_OUT, linewidth=0.6, linestyle=":")


def log_axis(axis: Any) -> None:
    """Make an axis logarithmic, with numbers as people write them and no formulas."""
    from matplotlib.ticker import NullFormatter

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    spread_ticks(axis, LARGE_TICKS)
    axis.set_major_formatter(lambda value, _: plain_digits(value, 3))
    axis.set_minor_formatter(NullFormatter())


def spread_ticks(axis: Any, most: int) -> None:
    """Number a logarithmic axis at whole powers of ten, at no more than ``most`` places."""
    from matplotlib.ticker import LogLocator

    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(numticks=most))


def _draw_fit(axes: Any, view: CurveView) -> None:
    assert view.fit is not None
    low, high = view.fit.doses
    at = np.geomspace(low, high, 120) if high > low else np.array([low])
    band = view.fit.band(at)
    if view.row["quality"] == "flat":
        axes.axhline(float(view.row["top"]), color=CURVE, linewidth=1, linestyle="--")
        return
    if np.isfinite(band["low"]).all():
        axes.fill_between(at, band["low"], band["high"], color=BAND, alpha=0.25, linewidth=0)
    axes.plot(at, band["fitted"], color=CURVE, linewidth=1.4)
    ic50, relation = view.row["ic50"], view.row["relation"]
    if relation == "=" and math.isfinite(ic50):
        ends = [float(view.row[name]) for name in ("ic50_low", "ic50_high")]
        left, right = (max(ends[0], low) if ends[0] > 0 else low), min(ends[1], high) if ends[1] > 0 else high
        if all(math.isfinite(end) for end in ends) or math.inf in ends:
            axes.axvspan(left, right, color=CURVE, alpha=0.08, linewidth=0)
        axes.axvline(ic50, color=CURVE, linewidth=0.8, linestyle="--")


def draw_residuals(axes: Any, view: CurveView, *, colour: str = POINT) -> None:
    """Draw how far each fitted point lies off its curve, in the unit of the response."""
    used = view.points[~view.points["excluded"].to_numpy(bool)]
    axes.axhline(0, color=LEFT_OUT, linewidth=0.8)
    if view.fit is None or not len(used):
        return
    doses = used["dose"].to_numpy(float)
    x, zero = places(doses)
    if zero > 0:
        log_axis(axes.xaxis)
    left = used["normalised"].to_numpy(float) - view.fit.predict(doses)
    hollow = used["outside_model"].to_numpy(bool)
    for mask, face in ((~hollow, colour), (hollow, "none")):
        axes.scatter(x[mask], left[mask], s=14, facecolors=face, edgecolors=colour)
    axes.set_ylabel("point - curve")


def places(doses: np.ndarray) -> tuple[np.ndarray, float]:
    """Where doses stand on a log axis: those of zero at a third of the lowest, which is returned too."""
    positive = doses[doses > 0]
    zero = float(positive.min()) / 3 if len(positive) else 0.0
    return np.where(doses > 0, doses, np.where(doses == 0, zero if zero else np.nan, np.nan)), zero


def value_label(view: CurveView) -> str:
    """Quantity and unit of the response."""
    words, unit = quantity_text(str(view.row["quantity"])), str(view.row.get("unit") or "")
    return f"{words}, {unit}" if unit.startswith("%") else f"{words} ({unit})" if unit and "(" not in words else words


def shorten(text: str, most: int) -> str:
    """Cut a text in its middle, so that both ends are read.

    Examples
    --------
    >>> shorten("a very long name of a compound", 16)
    'a very …compound'
    """
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"


def draw_waterfall(figure: Any, table: pd.DataFrame) -> int:
    """Draw margins of safety, most dangerous first, with their intervals; bounds as triangles.

    Returns
    -------
    int
        Rows of axes; 0 where no compound has a margin.
    """
    known = table[table["mos"].notna()].reset_index(drop=True)
    if not len(known):
        return 0
    axes = figure.subplots()
    colours = [INJURES if label == 1 else HARMLESS if label == 0 else UNKNOWN for label in known["label"]]
    for at, (row, colour) in enumerate(zip(known.to_dict("records"), colours, strict=True)):
        low, high = (float(row[name]) for name in ("mos_low", "mos_high"))
        if low > 0 and math.isfinite(high):
            axes.plot([at, at], [low, high], color=colour, linewidth=1.5, alpha=0.6)
        marker = {">": "^", "<": "v"}.get(str(row["relation"]), "o")
        axes.plot(at, row["mos"], marker, color=colour, markersize=4)
    log_axis(axes.yaxis)
    axes.axhline(1, color=LEFT_OUT, linewidth=0.8, linestyle="--")
    axes.set_ylabel("margin of safety, IC50 / Cmax")
    axes.set_xticks(range(len(known)), [shorten(str(n), 24) for n in known["compound"]], rotation=90, fontsize=6)
    for colour, words in ((INJURES, "injures the liver"), (HARMLESS, "does not"), (UNKNOWN, "not told")):
        if colour in colours:
            axes.plot([], [], "o", color=colour, label=words)
    axes.legend(fontsize="small", frameon=False)
    return 1


def draw_roc(figure: Any, curves: dict[str, pd.DataFrame], areas: dict[str, str]) -> int:
    """Draw ROC curves of margins of safety, one for each day or reading.

    Parameters
    ----------
    figure : matplotlib figure
    curves : dict of str to DataFrame
        From :func:`vitascope.stats.response.roc.roc_curve`.
    areas : dict of str to str
        What the legend says of each.
    """
    if not curves:
        return 0
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=LEFT_OUT, linewidth=0.8, linestyle="--")
    for name, table in curves.items():
        axes.step(table["false_positive_rate"], table["true_positive_rate"], where="post", label=areas.get(name, name))
    axes.set_xlabel("harmless compounds called injurious")
    axes.set_ylabel("injurious compounds found")
    axes.set_aspect("equal")
    axes.legend(fontsize="small", frameon=False, loc="lower right")
    return 1


@contextmanager
def quiet_letters() -> Iterator[None]:
    """Draw letters that the font lacks as boxes, without a word: the tables hold the names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def save_figure(path: Path, draw: Any, size_in: tuple[float, float]) -> list[Path]:
    """Draw into a figure and save it as SVG and PNG, each whole; nothing where there was nothing to draw.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE), quiet_letters():
        figure = Figure(figsize=size_in, layout="constrained")
        if not draw(figure):
            return []
        saved = []
        for kind in ("svg", "png"):
            with atomic_write(path.with_suffix(f".{kind}")) as file:
                figure.savefig(file, format=kind, dpi=150, metadata=NO_DATE[kind])
            saved.append(path.with_suffix(f".{kind}"))
    return saved


def svg_text(draw: Any, size_in: tuple[float, float]) -> str:
    """Draw into a figure and return it as an SVG element that can stand in a page; empty where nothing was drawn."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE), quiet_letters():
        figure = Figure(figsize=size_in, layout="constrained")
        if not draw(figure):
            return ""
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=NO_DATE["svg"])
    text = file.getvalue()
    return text[text.index("<svg") :]


def save_curves(folder: Path, views: Sequence[CurveView]) -> list[Path]:
    """Save all curves, 24 on a page.

    Returns
    -------
    list of Path
    """
    saved = []
    for page, first in enumerate(range(0, len(views), COLUMNS * ROWS_A_PAGE), start=1):
        some = views[first : first + COLUMNS * ROWS_A_PAGE]
        rows = -(-len(some) // COLUMNS)
        size = (WIDTH_IN, ROW_IN * rows)
        draw = partial(draw_grid, views=some)
        saved += save_figure(folder / f"curves_{page:02d}", draw, size)
    return saved


def dose_text(dose: float, unit: str) -> str:
    """Write a dose with its unit."""
    return f"{amount_text(dose)} {unit}".strip()
