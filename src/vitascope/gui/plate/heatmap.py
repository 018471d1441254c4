"""From numbers or kinds by well to colours, with limits and a legend; no Qt in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from vitascope.core.status import Status
from vitascope.core.well import Well

ROBUST_PERCENT = (1.0, 99.0)
FADED = 45
"""Opacity of wells that the filter leaves out."""

KINDS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008)."""

KNOWN_KINDS = {Status.OK: "#009E73", Status.WARN: "#E69F00", Status.REJECTED: "#999999", Status.FAILED: "#D55E00",
               Status.INCOMPLETE: "#CC79A7",
               "negative": "#0072B2", "positive": "#D55E00", "treated": "#009E73", "blank": "#999999"}  # fmt: skip


@dataclass(frozen=True)
class Legend:
    """What colours stand for.

    Parameters
    ----------
    low, high : float
        Limits of amounts.
    colormap : str
        Of amounts; empty for kinds.
    kinds : mapping of str to str
        Colour of each kind.
    """

    low: float = 0.0
    high: float = 1.0
    colormap: str = ""
    kinds: Mapping[str, str] | None = None


def limits(values: Sequence[NDArray[np.float64]], robust: bool) -> tuple[float, float]:
    """Return common limits of several plates: the least and the most, or with outliers left out.

    Parameters
    ----------
    values : sequence of array
    robust : bool
        Whether to take the 1st and 99th percentile of all wells.

    Returns
    -------
    tuple of float
        (0, 1) where there is no number; one apart where all are the same.

    Examples
    --------
    >>> limits([np.array([[1.0, np.nan]]), np.array([[5.0]])], robust=False)
    (1.0, 5.0)
    """
    finite = np.concatenate([one[np.isfinite(one)] for one in values]) if values else np.zeros(0)
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, ROBUST_PERCENT) if robust else (finite.min(), finite.max())
    return float(low), float(high) if high > low else float(low) + 1


def colour_amounts(
    values: NDArray[np.float64], between: tuple[float, float], colormap: str = "viridis"
) -> NDArray[np.uint8]:
    """Colour numbers.

    Parameters
    ----------
    values : array, shape (rows, columns), float
        NaN for none.
    between : tuple of float
        Numbers beyond are shown in the colour of the limit.
    colormap : str

    Returns
    -------
    array, shape (rows, columns, 4), uint8
        Alpha is 0 where there is no number.
    """
    low, high = between
    share = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    colours = ensure_colormap(colormap).map(share.ravel()).reshape(*values.shape, 4)
    rgba: NDArray[np.uint8] = (255 * colours).round().astype(np.uint8)
    rgba[..., 3] = np.where(np.isfinite(values), 255, 0)
    return rgba


def colour_kinds(kinds: Mapping[Well, str], shape: tuple[int, int], colours: Mapping[str, str]) -> NDArray[np.uint8]:
    """Colour texts; wells without one are empty."""
    rgba = np.zeros((*shape, 4), np.uint8)
    for well, kind in kinds.items():
        if kind:
            rgba[well.row, well.column] = (*bytes.fromhex(colours[kind][1:]), 255)
    return rgba


def kind_colours(kinds: Sequence[Mapping[Well, str]]) -> dict[str, str]:
    """Give each kind a colour, the same one on all plates."""
    names = sorted({kind for one in kinds for kind in one.values() if kind})
    free = [colour for colour in KINDS if colour not in {KNOWN_KINDS.get(name) for name in names}] or list(KINDS)
    unknown = [name for name in names if name not in KNOWN_KINDS]
    return {name: KNOWN_KINDS.get(name) or free[unknown.index(name) % len(free)] for name in names}


def fade(rgba: NDArray[np.uint8], kept: set[Well]) -> NDArray[np.uint8]:
    """Let wells that a filter leaves out fade; they stay visible, for their place matters."""
    faded = rgba.copy()
    keep = np.zeros(rgba.shape[:2], bool)
    for well in kept:
        keep[well.row, well.column] = True
    faded[..., 3] = np.where((rgba[..., 3] > 0) & ~keep, FADED, rgba[..., 3])
    return faded
