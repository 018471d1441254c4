"""Cells as objects: one row for each, with its nucleus, its organelles and how they overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.ops.objects.measure import measure_objects
from vitascope.ops.objects.mitochondria import network_length_px
from vitascope.ops.objects.whole_cells import at_border, parents


@dataclass(frozen=True, eq=False)
class CellParts:
    """The masks of one picture, all (Y, X); None for what no stain shows.

    Parameters
    ----------
    nuclei, cells : array of integers
        The cell of a nucleus has its number.
    er, mito : array of bool, optional
    golgi : array of integers, optional
        Spots.
    pictures : mapping of name to array
        Stains that intensities are measured in.
    """

    nuclei: NDArray[Any]
    cells: NDArray[Any]
    er: NDArray[np.bool_] | None = None
    mito: NDArray[np.bool_] | None = None
    golgi: NDArray[Any] | None = None
    pictures: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def cell_table(parts: CellParts, pixel_size_um: float | None = None) -> pd.DataFrame:
    """Measure every cell and what lies in it.

    Parameters
    ----------
    parts : CellParts
    pixel_size_um : float or None, > 0, micrometre
        None leaves the columns in µm empty.

    Returns
    -------
    DataFrame, one row per cell, by increasing label
        The columns of :func:`~vitascope.ops.objects.measure.measure_objects`; ``parent``, the nucleus it grew from;
        ``at_border`` (1 where it goes on beyond the picture); ``nucleus_area_px``, ``nucleus_to_cell_ratio`` (areas,
        0 to 1). With an ER ``er_area_px``, ``er_fraction`` of the cell, ``nucleus_on_er_fraction`` of the nucleus;
        with mitochondria ``mito_area_px``, ``mito_length_px``; with Golgi spots: ``golgi_spots``, ``golgi_area_px``,
        ``golgi_distance_px``, the mean distance of their centroids from the edge of the nucleus (0 inside).
    """
    table = measure_objects(parts.cells, parts.pictures, pixel_size_um=pixel_size_um)
    numbers = table["label"].to_numpy(np.int64)
    top = int(numbers.max(initial=0))
    nuclei = np.asarray(parts.nuclei).astype(np.int64)
    cells = np.asarray(parts.cells).astype(np.int64)

    def area(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Count the pixels of a mask in each cell."""
        return np.asarray(np.bincount(cells[mask], minlength=top + 1)[numbers], np.float64)

    nucleus = (nuclei == cells) & (nuclei > 0)
    nucleus_area = area(nucleus)
    table["parent"] = np.where(nucleus_area > 0, numbers, 0)
    table["at_border"] = np.isin(numbers, at_border(cells)).astype(np.int64)
    table["nucleus_area_px"] = nucleus_area
    table["nucleus_to_cell_ratio"] = _share(nucleus_area, table["area_px"])
    if parts.er is not None:
        table["er_area_px"] = area(parts.er)
        table["er_fraction"] = _share(table["er_area_px"], table["area_px"])
        table["nucleus_on_er_fraction"] = _share(area(parts.er & nucleus), nucleus_area)
    if parts.mito is not None:
        table["mito_area_px"] = area(parts.mito)
        table["mito_length_px"] = network_length_px(parts.mito & (cells > 0), cells, top)[numbers - 1]
    if parts.golgi is not None:
        table = table.assign(**_golgi_columns(parts.golgi, cells, nuclei, numbers))
    size = math.nan if pixel_size_um is None else pixel_size_um
    for name in (name for name in EXTRA if f"{name}_px" in table):
        unit, factor = ("um2", size**2) if name.endswith("area") else ("um", size)
        table[f"{name}_{unit}"] = table[f"{name}_px"] * factor
    return table


EXTRA = ("nucleus_area", "er_area", "mito_area", "mito_length", "golgi_area", "golgi_distance")
"""Measures in px that are given in µm too."""


def _golgi_columns(
    spots: NDArray[Any], cells: NDArray[np.int64], nuclei: NDArray[np.int64], numbers: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    top = int(numbers.max(initial=0))
    labels = np.unique(spots)
    labels = labels[labels > 0]
    home = parents(spots, cells)
    area = ndimage.sum_labels(np.ones(spots.shape), spots, labels) if len(labels) else np.zeros(0)
    distance = np.full(len(labels), np.nan)
    if len(labels):
        centres = np.round(np.array(ndimage.center_of_mass(spots > 0, spots, labels))).astype(int).reshape(-1, 2)
        for cell in np.unique(home[home > 0]):
            own = np.flatnonzero(home == cell)
            distance[own] = _distance_from(nuclei == cell, centres[own])
    count = np.bincount(home, minlength=top + 1)
    far = np.bincount(home, np.nan_to_num(distance), minlength=top + 1)
    return {
        "golgi_spots": np.asarray(count[numbers], np.float64),
        "golgi_area_px": np.asarray(np.bincount(home, area, minlength=top + 1)[numbers], np.float64),
        "golgi_distance_px": _share(far, count)[numbers],
    }


def _distance_from(nucleus: NDArray[np.bool_], places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the distance of places (N, 2) from the nearest pixel of a nucleus, px; NaN without one."""
    y, x = np.nonzero(nucleus)
    if not len(y):
        return np.full(len(places), np.nan)
    return np.asarray(np.sqrt(((places[:, :1] - y) ** 2 + (places[:, 1:] - x) ** 2).min(axis=1)))


def _share(part: Any, whole: Any) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def summarise_cells(table: pd.DataFrame) -> dict[str, float]:
    """Summarise a cell table for one image: medians over whole cells, those at the border left out.

    Returns
    -------
    dict
        ``cells`` (all), ``whole_cells``, and ``median_<measure>`` of ratios, areas and organelles.
    """
    whole = table[table["at_border"] == 0]
    found: dict[str, float] = {"cells": len(table), "whole_cells": len(whole)}
    for column in ("area_px", "nucleus_to_cell_ratio", *(f"{name}_px" for name in EXTRA[1:5]), "er_fraction"):
        if column in whole:
            name = "cell_area_px" if column == "area_px" else column
            found[f"median_{name}"] = float(whole[column].median()) if len(whole) else math.nan
    return found
