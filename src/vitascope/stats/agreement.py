"""How well two pictures, or two tables of numbers, agree.

What cannot be said (a constant, too few numbers) is NaN with a reason, never an exception or a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import InputError

Over = Literal["images", "crops"]
CROP_PX = 256
LEAST_NUMBERS = 3
LEAST_IMAGES = 5
SSIM_WINDOW_PX = 7
STRIP_PIXELS = 1 << 22

Floats = NDArray[np.float64]


def pearson(truth: Sequence[float] | NDArray[Any], predicted: Sequence[float] | NDArray[Any]) -> float:
    """Pearson correlation, -1 to 1, over the pairs of finite numbers.

    Parameters
    ----------
    truth, predicted : sequence of float, same length

    Returns
    -------
    float
        NaN with fewer than three pairs, or where one side is constant.
    """
    x, y = _pairs(truth, predicted)
    if _undefined(x, y):
        return math.nan
    dx, dy = _scaled(x), _scaled(y)
    return float(np.clip(dx @ dy / math.sqrt(float(dx @ dx) * float(dy @ dy)), -1, 1))


def spearman(truth: Sequence[float] | NDArray[Any], predicted: Sequence[float] | NDArray[Any]) -> float:
    """Spearman's rank correlation, -1 to 1, ties sharing their mean rank; NaN as for :func:`pearson`."""
    from scipy.stats import rankdata

    x, y = _pairs(truth, predicted)
    return math.nan if _undefined(x, y) else pearson(rankdata(x), rankdata(y))


def concordance(truth: Sequence[float] | NDArray[Any], predicted: Sequence[float] | NDArray[Any]) -> float:
    """Lin's concordance, -1 to 1: 2 s_xy / (s_x² + s_y² + (mean x - mean y)²) with moments over n.

    Unlike a correlation it is 1 only where the numbers are equal. NaN with fewer than three pairs, or where both
    sides are constant.
    """
    x, y = _pairs(truth, predicted)
    if len(x) < LEAST_NUMBERS or (np.ptp(x) == 0 and np.ptp(y) == 0):
        return math.nan
    shared = ((x - x.mean()) * (y - y.mean())).mean()
    return float(2 * shared / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))


def _pairs(truth: Any, predicted: Any) -> tuple[Floats, Floats]:
    x, y = np.asarray(truth, np.float64).ravel(), np.asarray(predicted, np.float64).ravel()
    if len(x) != len(y):
        raise InputError(
            f"{len(x)} true and {len(y)} predicted numbers cannot be paired.", "Give one of each for every item."
        )
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _undefined(x: Floats, y: Floats) -> str:
    if len(x) < LEAST_NUMBERS:
        return f"Only {len(x)} pairs of numbers: at least {LEAST_NUMBERS} are needed."
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        side = "true" if np.ptp(x) == 0 else "predicted"
        return f"The {side} numbers are all equal."
    return ""


def _scaled(values: Floats) -> Floats:
    """Deviations from the mean over the largest of them, so that no square over- or underflows."""
    centred = values - values.mean()
    return np.asarray(centred / np.abs(centred).max())


def pcc(truth: Any, predicted: Any) -> float:
    """Pearson correlation of two pictures pixel by pixel (equation 6), -1 to 1.

    sum (y - m)(y' - m') / sqrt(sum (y - m)² · sum (y' - m')²); the thesis prints one sum under the root, over the
    product of the squares, which is a misprint.

    Parameters
    ----------
    truth, predicted : numpy, dask or zarr array, same shape, two dimensions or more
        Read in strips along the first axis, so that they need not fit into memory. Pixels that are not finite in both
        are left out.

    Returns
    -------
    float
        NaN with fewer than three pixels, or where one picture is constant.

    Raises
    ------
    InputError
        If the shapes differ.

    References
    ----------
    Pankova 2022 (seed 004), Definition 2.6.
    """
    moments = _picture_moments(truth, predicted)
    if moments["pixels"] < LEAST_NUMBERS or not moments["xx"] > 0 or not moments["yy"] > 0:
        return math.nan
    return float(np.clip(moments["xy"] / math.sqrt(moments["xx"]) / math.sqrt(moments["yy"]), -1, 1))


def nrmse(truth: Any, predicted: Any) -> float:
    """Root mean square error of two pictures over the range (maximum - minimum) of the truth.

    Parameters
    ----------
    truth, predicted : numpy, dask or zarr array, same shape
        As for :func:`pcc`.

    Returns
    -------
    float, >= 0
        NaN where the truth is constant or nothing is finite.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    moments = _picture_moments(truth, predicted)
    span = moments["high"] - moments["low"]
    return math.sqrt(moments["square"] / moments["pixels"]) / span if moments["pixels"] and span > 0 else math.nan


def ssim(truth: Any, predicted: Any, data_range: float = 1.0) -> float:
    """Structural similarity of two pictures, -1 to 1.

    ``skimage.metrics.structural_similarity`` with its defaults: windows of 7 x 7 px, equal weights, sample covariance,
    K1 = 0.01, K2 = 0.03, mean over all whole windows.

    Parameters
    ----------
    truth, predicted : numpy, dask or zarr array, shape (Y, X)
        Read in strips. Windows with a pixel that is not finite in both are left out.
    data_range : float, > 0
        Span of the scale, which sets the constants: 1 for normalised pictures.

    Returns
    -------
    float
        NaN for a picture smaller than 7 px, or without a finite window.

    Raises
    ------
    InputError
        If the shapes differ or are no planes.
    """
    _check_pictures(truth, predicted)
    if len(truth.shape) != 2:
        raise InputError(f"Pictures of shape {tuple(truth.shape)} are no planes.", flag="wrong_dimensions")
    if min(truth.shape) < SSIM_WINDOW_PX:
        return math.nan
    from scipy.ndimage import minimum_filter
    from skimage.metrics import structural_similarity

    edge = SSIM_WINDOW_PX // 2
    total = windows = 0.0
    height = int(truth.shape[0])
    rows = max(1, STRIP_PIXELS // int(truth.shape[1]))
    for top in range(edge, height - edge, rows):
        bottom = min(top + rows, height - edge)
        x, y = (np.asarray(p[top - edge : bottom + edge], np.float64) for p in (truth, predicted))
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(finite, x, 0), np.where(finite, y, 0)
        similar = structural_similarity(x, y, win_size=SSIM_WINDOW_PX, data_range=data_range, full=True)[1]
        whole = minimum_filter(finite, SSIM_WINDOW_PX)[edge:-edge, edge:-edge]
        total += float(similar[edge:-edge, edge:-edge][whole].sum())
        windows += int(whole.sum())
    return total / windows if windows else math.nan


def picture_agreement(truth: Any, predicted: Any, data_range: float = 1.0) -> dict[str, float | str]:
    """Compare two pictures: ``pcc``, ``ssim``, ``nrmse``, and ``reason`` where one of them is not defined.

    Parameters
    ----------
    truth, predicted : numpy, dask or zarr array, shape (Y, X)
    data_range : float, > 0
        See :func:`ssim`.

    Returns
    -------
    dict
    """
    row: dict[str, float | str] = {
        "pcc": pcc(truth, predicted),
        "ssim": ssim(truth, predicted, data_range),
        "nrmse": nrmse(truth, predicted),
    }
    missing = [name for name, value in row.items() if isinstance(value, float) and math.isnan(value)]
    row["reason"] = (
        f"{', '.join(missing)}: a picture is constant, too small, or has no finite pixels." if missing else ""
    )
    return row


def _check_pictures(truth: Any, predicted: Any) -> None:
    if tuple(truth.shape) != tuple(predicted.shape):
        raise InputError(
            f"The true picture has shape {tuple(truth.shape)}, the predicted one {tuple(predicted.shape)}.",
            "Compare pictures of the same field.",
            flag="wrong_dimensions",
        )


def _strips(truth: Any, predicted: Any) -> Iterator[tuple[Floats, Floats]]:
    """Pixels that are finite in both, strip by strip."""
    width = int(np.prod(truth.shape[1:], dtype=np.int64))
    rows = max(1, STRIP_PIXELS // max(1, width))
    for top in range(0, int(truth.shape[0]), rows):
        x, y = (np.asarray(p[top : top + rows], np.float64) for p in (truth, predicted))
        both = np.isfinite(x) & np.isfinite(y)
        yield x[both], y[both]


def _picture_moments(truth: Any, predicted: Any) -> dict[str, float]:
    """Sums over all pixels, the squares about the means (hence two passes)."""
    _check_pictures(truth, predicted)
    pixels, sum_x, sum_y, square, low, high = 0, 0.0, 0.0, 0.0, math.inf, -math.inf
    y_low, y_high = math.inf, -math.inf
    for x, y in _strips(truth, predicted):
        if len(x):
            pixels += len(x)
            sum_x, sum_y = sum_x + float(x.sum()), sum_y + float(y.sum())
            square += float(((x - y) ** 2).sum())
            low, high = min(low, float(x.min())), max(high, float(x.max()))
            y_low, y_high = min(y_low, float(y.min())), max(y_high, float(y.max()))
    mean_x, mean_y = (sum_x / pixels, sum_y / pixels) if pixels else (0.0, 0.0)
    xx = yy = xy = 0.0
    for x, y in _strips(truth, predicted):
        dx, dy = x - mean_x, y - mean_y
        xx, yy, xy = xx + float(dx @ dx), yy + float(dy @ dy), xy + float(dx @ dy)
    # rounding of the mean gives a constant picture a variance
    xx, yy = (xx if high > low else 0.0), (yy if y_high > y_low else 0.0)
    return {"pixels": pixels, "square": square, "low": low, "high": high, "xx": xx, "yy": yy, "xy": xy}


def crop_rows(
    table: pd.DataFrame, shape_yx: tuple[int, int], channel: str | None = None, crop_px: int = CROP_PX
) -> pd.DataFrame:
    """Add up an object table over square crops, for agreement within one image.

    Parameters
    ----------
    table : DataFrame
        Objects with ``centroid_y_px``, ``centroid_x_px``, ``area_px`` and ``total_<channel>``. An object counts
        where its centroid lies.
    shape_yx : tuple of int, px
        Shape of the image. Only whole crops count; what is left at the far edges does not.
    channel : str, optional
        Ending of the intensity columns; without it there are no intensities.
    crop_px : int, >= 1, px

    Returns
    -------
    DataFrame, one row per crop, row by row
        ``count``, ``total_area_px``, ``total_intensity``, ``mean_intensity`` (total over area; NaN without objects).
    """
    rows, columns = (n // crop_px for n in shape_yx)
    y, x = (
        np.floor(table[f"centroid_{axis}_px"].to_numpy(np.float64) + 0.5).astype(np.int64) // crop_px for axis in "yx"
    )
    inside = (y < rows) & (x < columns)
    place = (y * columns + x)[inside]

    def added(values: NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(place, values[inside], minlength=rows * columns), np.float64)

    area = added(table["area_px"].to_numpy(np.float64))
    result = {"count": added(np.ones(len(table))), "total_area_px": area}
    if channel is not None:
        total = added(table[f"total_{channel}"].to_numpy(np.float64))
        result["total_intensity"] = total
        result["mean_intensity"] = np.divide(total, area, out=np.full(len(area), np.nan), where=area > 0)
    return pd.DataFrame(result)


def agreement_table(
    truth_rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    predicted_rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    over: Over,
    quantities: Sequence[str] = ("count", "total_area_px", "total_intensity", "mean_intensity"),
) -> pd.DataFrame:
    """Compare true with predicted numbers of images, or of crops of one image, quantity by quantity.

    Parameters
    ----------
    truth_rows, predicted_rows : DataFrame or sequence of mappings, same length
        One row per image or crop, in the same order.
    over : {"images", "crops"}
        What a row stands for. Correlations over images want five or more, over crops three.
    quantities : sequence of str
        Columns to compare; those missing on one side are left out.

    Returns
    -------
    DataFrame, one row per quantity
        ``quantity``, ``over``, ``n`` (pairs of finite numbers), ``pearson``, ``spearman``, ``concordance``,
        ``truth_mean``, ``predicted_mean``, and ``reason`` where a number is not defined.

    Raises
    ------
    InputError
        If the numbers of rows differ.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6 and Table 5.
    """
    truth, predicted = pd.DataFrame(truth_rows), pd.DataFrame(predicted_rows)
    if len(truth) != len(predicted):
        raise InputError(
            f"{len(truth)} true and {len(predicted)} predicted rows cannot be compared.",
            "Give the same images, in the same order.",
        )
    rows = [
        _agreement_row(name, truth[name].to_numpy(np.float64), predicted[name].to_numpy(np.float64), over)
        for name in quantities
        if name in truth and name in predicted
    ]
    columns = ["quantity", "over", "n", "pearson", "spearman", "concordance", "truth_mean", "predicted_mean", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _agreement_row(name: str, truth: Floats, predicted: Floats, over: Over) -> dict[str, Any]:
    x, y = _pairs(truth, predicted)
    reason = _undefined(x, y)
    if over == "images" and len(x) < LEAST_IMAGES:
        reason = f"Only {len(x)} images: at least {LEAST_IMAGES} are needed."
    few = len(x) < (LEAST_IMAGES if over == "images" else LEAST_NUMBERS)
    return {
        "quantity": name,
        "over": over,
        "n": len(x),
        "pearson": math.nan if reason else pearson(x, y),
        "spearman": math.nan if reason else spearman(x, y),
        "concordance": math.nan if few else concordance(x, y),
        "truth_mean": float(x.mean()) if len(x) else math.nan,
        "predicted_mean": float(y.mean()) if len(y) else math.nan,
        "reason": reason,
    }
