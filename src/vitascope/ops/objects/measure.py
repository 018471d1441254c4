"""Measurements of every object, and their summary for an image (section 3.1.6 of Pankova 2022, seed 004)."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.ops.objects.regions import Regions, perimeters_px

SHAPE_COLUMNS = (
    "label",
    "centroid_y_px",
    "centroid_x_px",
    "centroid_y_um",
    "centroid_x_um",
    "area_px",
    "area_um2",
    "equivalent_diameter_px",
    "equivalent_diameter_um",
    "perimeter_px",
    "perimeter_um",
    "major_axis_px",
    "major_axis_um",
    "minor_axis_px",
    "minor_axis_um",
    "eccentricity",
    "solidity",
    "circularity",
)
INTEGER_COLUMNS = ("label", "area_px")


def column_names(channels: Sequence[str]) -> list[str]:
    """Turn channel names into endings of column names: lower case, ASCII, words joined by ``_``, each once.

    Parameters
    ----------
    channels : sequence of str

    Returns
    -------
    list of str
        ``channel_1`` and so on where nothing is left of a name.

    Examples
    --------
    >>> column_names(["DAPI (max)", "Hoechst 33342", "板", "dapi-MAX"])
    ['dapi_max', 'hoechst_33342', 'channel_3', 'dapi_max_2']
    """
    names: list[str] = []
    for number, channel in enumerate(channels, 1):
        plain = unicodedata.normalize("NFKD", channel.replace("µ", "u")).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_") or f"channel_{number}"
        name, copy = stem, 2
        while name in names:
            name, copy = f"{stem}_{copy}", copy + 1
        names.append(name)
    return names


def empty_table(channels: Sequence[str] = ()) -> pd.DataFrame:
    """Return an object table without rows, with the columns and types that a full one has."""
    intensities = [f"{kind}_{name}" for name in column_names(channels) for kind in ("mean", "total")]
    columns = [*SHAPE_COLUMNS, *intensities]
    return pd.DataFrame({c: np.zeros(0, np.int64 if c in INTEGER_COLUMNS else np.float64) for c in columns})


def measure_objects(
    labels: NDArray[Any],
    pictures: Mapping[str, NDArray[Any]] | None = None,
    *,
    pixel_size_um: float | None = None,
    origin_yx_px: tuple[int, int] = (0, 0),
) -> pd.DataFrame:
    """Measure every object of a labelled picture.

    Parameters
    ----------
    labels : array, shape (Y, X), integer
        0 is background. Each label is one object, in one piece or not.
    pictures : mapping of channel name to array, shape (Y, X), optional
        Where intensities are measured, in the picture's own unit.
    pixel_size_um : float or None, > 0, micrometre
        None leaves the columns in µm empty (NaN).
    origin_yx_px : tuple of int, px
        Where the first pixel lies in the whole image; added to the centroids.

    Returns
    -------
    DataFrame, one row per object, by increasing label
        ``label``; ``centroid_y_px``, ``centroid_x_px`` (the centre of the first pixel is 0; the same in µm);
        ``area_px`` (pixels), ``area_um2``; ``equivalent_diameter`` of the circle of the same area;
        ``perimeter`` (Benkrid and Crookes, see :func:`vitascope.ops.objects.regions.perimeters_px`); ``major_axis``,
        ``minor_axis`` and ``eccentricity`` of the ellipse of the same second moments; ``solidity``, pixels of the
        object over those in its convex hull, 0 to 1; ``circularity``, 4 pi area / perimeter², at most 1, empty for
        a single pixel; and for each channel ``mean_<channel>`` and ``total_<channel>`` over its finite pixels (a mean
        of none is empty).

    Raises
    ------
    InputError
        If the labels are no (Y, X) integers, or a picture has another shape.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6: number, area, total and mean intensity.
    """
    pictures = pictures or {}
    _check(labels, pictures)
    regions = Regions.of(labels)
    shapes = shape_table(labels, regions, pixel_size_um=pixel_size_um, origin_yx_px=origin_yx_px)
    return pd.concat([shapes, intensity_table(regions, pictures)], axis=1)


def _check(labels: NDArray[Any], pictures: Mapping[str, NDArray[Any]]) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise InputError(
            f"Labels of shape {labels.shape} and type {labels.dtype} cannot be measured.",
            "Give one plane of whole numbers, 0 for background.",
            flag="wrong_dimensions",
        )
    for name, picture in pictures.items():
        if picture.shape != labels.shape:
            raise InputError(
                f"The picture '{name}' has shape {picture.shape}, the labels {labels.shape}.",
                "Measure in a picture of the same field.",
                flag="wrong_dimensions",
            )


def shape_table(
    labels: NDArray[Any],
    regions: Regions,
    *,
    pixel_size_um: float | None = None,
    origin_yx_px: tuple[int, int] = (0, 0),
) -> pd.DataFrame:
    """Measure place, size and shape of objects; columns as in :func:`measure_objects`.

    Parameters
    ----------
    labels : array, shape (Y, X), integer
    regions : Regions
        Of ``labels``, or some of its objects.
    pixel_size_um : float or None, > 0, micrometre
    origin_yx_px : tuple of int, px

    Returns
    -------
    DataFrame
    """
    size = math.nan if pixel_size_um is None else pixel_size_um
    # whole-image coordinates before the division, so that a block's corner never changes a digit
    moved = Regions(regions.labels, regions.starts, regions.y + origin_yx_px[0], regions.x + origin_yx_px[1])
    y, x = moved.centroid_yx_px
    area = regions.area_px
    major, minor = regions.axes_px()
    perimeter = perimeters_px(labels, regions)
    lengths = {
        "centroid_y": y,
        "centroid_x": x,
        "equivalent_diameter": np.sqrt(4 * area / np.pi),
        "perimeter": perimeter,
        "major_axis": major,
        "minor_axis": minor,
    }
    columns: dict[str, NDArray[Any]] = {"label": regions.labels, "area_px": area, "area_um2": area * size**2}
    for name, value in lengths.items():
        columns |= {f"{name}_px": value, f"{name}_um": value * size}
    round_ = np.full(len(area), np.nan)
    np.divide(4 * np.pi * area, perimeter**2, out=round_, where=perimeter > 0)
    columns["circularity"] = np.minimum(round_, 1)
    columns["eccentricity"] = np.sqrt(1 - np.divide(minor, major, out=np.ones(len(area)), where=major > 0) ** 2)
    columns["solidity"] = area / regions.hull_area_px()
    return pd.DataFrame(columns)[list(SHAPE_COLUMNS)]


def intensity_table(regions: Regions, pictures: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Measure mean and total intensity of objects in each picture, over its finite pixels.

    Parameters
    ----------
    regions : Regions
    pictures : mapping of channel name to array, shape (Y, X)

    Returns
    -------
    DataFrame
        Columns ``mean_<channel>`` and ``total_<channel>``, in the picture's unit.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for name, picture in zip(column_names(list(pictures)), pictures.values(), strict=True):
        values = picture[regions.y, regions.x].astype(np.float64)
        finite = np.isfinite(values)
        total = regions.total(np.where(finite, values, 0.0))
        count = regions.total(finite.astype(np.int64))
        mean = np.divide(total, count, out=np.full(len(regions), np.nan), where=count > 0)
        columns |= {f"mean_{name}": mean, f"total_{name}": total}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(regions)))


def summarise_objects(
    table: pd.DataFrame, shape_yx: tuple[int, int], *, pixel_size_um: float | None = None
) -> dict[str, float | int]:
    """Summarise an object table for one image.

    Parameters
    ----------
    table : DataFrame
        As of :func:`measure_objects`.
    shape_yx : tuple of int, px
        Shape of the image.
    pixel_size_um : float or None, > 0, micrometre
        None leaves what is in µm or mm empty (NaN).

    Returns
    -------
    dict
        ``count``; ``total_area_px``, ``mean_area_px``, ``median_area_px`` and the same in ``um2``;
        ``foreground_fraction`` (0 to 1) and ``density_per_mm2`` of the whole image; for each channel
        ``mean_<channel>`` (mean over objects, each counting by its area) and ``total_<channel>`` (sum over objects).
        Means and medians of no object are NaN.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6.
    """
    count = len(table)
    area = table["area_px"].to_numpy(np.float64)
    um2 = math.nan if pixel_size_um is None else pixel_size_um**2
    pixels = shape_yx[0] * shape_yx[1]
    sizes = {
        "total_area": float(area.sum()),
        "mean_area": float(area.mean()) if count else math.nan,
        "median_area": float(np.median(area)) if count else math.nan,
    }
    row: dict[str, float | int] = {"count": count}
    for name, value in sizes.items():
        row |= {f"{name}_px": value, f"{name}_um2": value * um2}
    row["foreground_fraction"] = sizes["total_area"] / pixels
    row["density_per_mm2"] = count / (pixels * um2 / 1e6)
    for name in (c.removeprefix("total_") for c in table.columns if c.startswith("total_")):
        mean = table[f"mean_{name}"].to_numpy(np.float64)
        known = np.isfinite(mean)
        row[f"mean_{name}"] = float(np.average(mean[known], weights=area[known])) if known.any() else math.nan
        row[f"total_{name}"] = float(table[f"total_{name}"].sum())
    return row
