"""Predicted against real stains in three tiers: pixels, masks, and the numbers of single cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.stain_names import stain_of
from vitascope.ops.intensity.histogram import count_values
from vitascope.ops.objects.er import find_er
from vitascope.ops.objects.measure import measure_objects
from vitascope.ops.objects.mitochondria import find_mitochondria
from vitascope.ops.objects.segment import SegmentParams, segment_blocks
from vitascope.ops.objects.whole_cells import cell_foreground, grow_cells
from vitascope.ops.tiling.chunks import read_piece
from vitascope.pipelines.stain_agreement import SCALE_PERCENTILES
from vitascope.stats.agreement import concordance, nrmse, pcc, pearson, spearman, ssim
from vitascope.stats.bootstrap import CARD_RESAMPLES, pcc_interval, resample_interval
from vitascope.stats.object_match import Matched, match_objects
from vitascope.stats.stain_tiers import CELLS, MASKS, PIXELS, TYPICAL_PX, Tiers

BLOCK_DIAMETERS = 3.0
"""Side of the blocks that intervals draw, in nucleus diameters: about a cell, whose pixels know of each other."""

MOST_SHARE = 10.0
"""A predicted stain is a share of full scale; one that reaches beyond this is in grey values."""

Stains = dict[str, NDArray[np.float32]]
Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True, eq=False)
class _Objects:
    """Masks of one side: nuclei and cells as labels (None without their stain), and a mask for each target."""

    nuclei: NDArray[Any] | None
    cells: NDArray[Any] | None
    masks: Mapping[str, NDArray[np.bool_]]


def compare_tiers(
    real: Mapping[str, Any],
    predicted: Mapping[str, Any],
    nucleus_px: float | None = None,
    pixel_size_um: float | None = None,
) -> ProgressGenerator[Tiers]:
    """Compare predicted with real stains of one field.

    Parameters
    ----------
    real : mapping of target to array, shape (Y, X), grey values
        Brought to [0, 1] by their 1 and 99.9 % percentiles, as for training.
    predicted : mapping of target to array, shape (Y, X), [0, 1]
        The same targets. One in grey values, such as another program's, is brought to [0, 1] as the real ones are, and
        is told in ``rescaled``.
    nucleus_px : float or None, > 0, px
        Diameter of a typical nucleus; by default the median of those found in the real stain, where there is one of
        nuclei, else 30 px.
    pixel_size_um : float or None, > 0, micrometre

    Yields
    ------
    Progress

    Returns
    -------
    Tiers
        *pixels*: ``pcc``, ``pcc_inside_cells`` (cells of the real stains), ``ssim``, ``nrmse``. *masks*: ``iou``,
        ``dice``, ``area_bias`` (predicted over real area, less 1) of where each stain is; for ``nuclei_…`` and
        ``cells_…`` ``f1_iou50``, how many are ``real`` and ``predicted``, how many are predicted ``without_real_stain``
        (dead, or wrong), and ``f1_iou50_with_stain`` without those. *single-cell*: ``mean_…`` and ``total_…`` intensity
        over cells of the real stains (nuclei where no stain shows bodies), and ``nuclei_area_…``, ``cells_area_…`` over
        matched objects, each as ``pearson``, ``spearman`` and ``concordance``. Intervals are of 95 %: over blocks of
        about a cell, or over objects.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6 and Tables 5, 7, 8.
    """
    stages = len(real) + 3
    yield Progress(0, stages, "Reading the stains")
    truth: Stains = {}
    for name, plane in real.items():
        truth[name] = yield from _scaled(plane)
    seen: Stains = {name: np.asarray(predicted[name][:, :], np.float32) for name in real}
    grey = tuple(name for name, plane in seen.items() if np.nanmax(plane, initial=0) > MOST_SHARE)
    for name in grey:
        seen[name] = yield from _scaled(predicted[name])
    tiers = Tiers(pictures={name: (truth[name], seen[name]) for name in truth}, rescaled=grey)
    tiers.nucleus_px = nucleus_px or (yield from _typical_nucleus(truth))
    yield Progress(1, stages, "Finding objects")
    there = yield from _find(truth, tiers.nucleus_px)
    found = yield from _find(seen, tiers.nucleus_px)
    for number, name in enumerate(truth):
        yield Progress(2 + number, stages, "Comparing pixels and masks")
        _add_pixels(tiers, name, truth[name], seen[name], there)
        _add_masks(tiers, name, there.masks[name], found.masks[name])
        kind = stain_of(name)
        if kind == "nuclei" and there.nuclei is not None and found.nuclei is not None:
            _add_objects(tiers, name, "nuclei", (there.nuclei, found.nuclei), truth[name])
        if kind == "cell" and there.cells is not None and found.cells is not None:
            _add_objects(tiers, name, "cells", (there.cells, found.cells), truth[name])
    yield Progress(stages - 1, stages, "Comparing single cells")
    _add_cells(tiers, there, truth, seen, pixel_size_um)
    yield Progress(stages, stages, "Comparing single cells")
    return tiers


def _scaled(plane: Any) -> ProgressGenerator[NDArray[np.float32]]:
    counted = yield from count_values(plane, stage="Reading the stains")
    low, high = counted.percentiles(*SCALE_PERCENTILES)
    values = read_piece(plane, (slice(None), slice(None))).astype(np.float64)
    return np.clip((values - low) / max(high - low, 1e-30), 0, 1).astype(np.float32)


def _named(stains: Mapping[str, Any], kind: str) -> str | None:
    return next((name for name in stains if stain_of(name) == kind), None)


def _typical_nucleus(truth: Stains) -> ProgressGenerator[float]:
    name = _named(truth, "nuclei")
    if name is None:
        return TYPICAL_PX
    found = yield from segment_blocks(truth[name], SegmentParams(diameter_px=TYPICAL_PX))
    return float(found.table["equivalent_diameter_px"].median()) if len(found.table) else TYPICAL_PX


def _find(stains: Stains, nucleus_px: float) -> ProgressGenerator[_Objects]:
    nuclei = cells = None
    masks: dict[str, NDArray[np.bool_]] = {}
    name = _named(stains, "nuclei")
    if name is not None:
        segmented = yield from segment_blocks(stains[name], SegmentParams(diameter_px=nucleus_px))
        nuclei = np.asarray(segmented.labels)
        masks[name] = nuclei > 0
    bodies = _named(stains, "cell")
    inside = None
    if bodies is not None:
        inside = masks[bodies] = cell_foreground(stains[bodies], nucleus_px)
        cells = grow_cells(nuclei, stains[bodies], inside) if nuclei is not None else None
    for name, picture in stains.items():
        kind = stain_of(name)
        if name in masks:
            continue
        if kind == "er":
            masks[name] = find_er(picture, nucleus_px).mask
        elif kind == "mito" and inside is not None:
            masks[name] = find_mitochondria(picture, inside, nucleus_px)
        else:
            masks[name] = cell_foreground(picture, nucleus_px)
    return _Objects(nuclei, cells, masks)


def _block_px(nucleus_px: float) -> int:
    return max(8, round(BLOCK_DIAMETERS * nucleus_px))


def _add_pixels(
    tiers: Tiers, name: str, truth: NDArray[np.float32], seen: NDArray[np.float32], there: _Objects
) -> None:
    block = _block_px(tiers.nucleus_px)
    tiers.add(PIXELS, "pcc", name, pcc(truth, seen), pcc_interval(truth, seen, block_px=block))
    inside = there.cells if there.cells is not None else there.nuclei
    if inside is not None:
        cut = np.where(inside > 0, truth, np.float32(np.nan))
        tiers.add(PIXELS, "pcc_inside_cells", name, pcc(cut, seen), pcc_interval(cut, seen, block_px=block))
    tiers.add(PIXELS, "ssim", name, ssim(truth, seen))
    tiers.add(PIXELS, "nrmse", name, nrmse(truth, seen))


def _add_masks(tiers: Tiers, name: str, there: NDArray[np.bool_], found: NDArray[np.bool_]) -> None:
    block = _block_px(tiers.nucleus_px)
    rows, columns = (max(1, n // block) for n in there.shape)
    sums = np.stack(
        [_per_block(mask, rows, columns, block) for mask in (there & found, there | found, there, found)]
    )  # (4, blocks)
    whole = [float(np.count_nonzero(m)) for m in (there & found, there | found, there, found)]
    for quantity, formula in (("iou", _iou), ("dice", _dice), ("area_bias", _area_bias)):
        interval = resample_interval(sums.shape[1], _over_blocks(formula, sums))
        tiers.add(MASKS, quantity, name, formula(*whole), interval)


def _per_block(mask: NDArray[np.bool_], rows: int, columns: int, block: int) -> NDArray[np.float64]:
    cut = mask[: rows * block, : columns * block]
    y = np.minimum(np.arange(cut.shape[0]) // block, rows - 1)
    x = np.minimum(np.arange(cut.shape[1]) // block, columns - 1)
    place = y[:, None] * columns + x[None]
    return np.bincount(place[cut], minlength=rows * columns).astype(np.float64)


def _iou(both: float, either: float, there: float, found: float) -> float:
    return both / either if either else math.nan


def _dice(both: float, either: float, there: float, found: float) -> float:
    return 2 * both / (there + found) if there + found else math.nan


def _area_bias(both: float, either: float, there: float, found: float) -> float:
    return found / there - 1 if there else math.nan


def _add_objects(
    tiers: Tiers,
    name: str,
    what: str,
    labels: tuple[NDArray[Any], NDArray[Any]],
    truth: NDArray[np.float32],
) -> None:
    there, found = labels
    matched = match_objects(there, found)
    tiers.add(MASKS, f"{what}_f1_iou50", name, matched.f1, matched.f1_interval())
    tiers.add(MASKS, f"{what}_real", name, len(matched.truth) + len(matched.missed))
    tiers.add(MASKS, f"{what}_predicted", name, len(matched.found) + len(matched.invented))
    empty = without_stain(matched, found, there, truth)
    rest = Matched(matched.truth, matched.found, matched.missed, np.setdiff1d(matched.invented, empty))
    tiers.add(MASKS, f"{what}_without_real_stain", name, len(empty))
    tiers.set_apart(what, measure_objects(np.where(np.isin(found, empty), found, 0), {}))
    tiers.add(MASKS, f"{what}_f1_iou50_with_stain", name, rest.f1, rest.f1_interval())
    area = [np.bincount(side.ravel().astype(np.int64)).astype(np.float64) for side in labels]
    _add_numbers(tiers, f"{what}_area", name, area[0][matched.truth], area[1][matched.found])


def without_stain(
    matched: Matched, found: NDArray[Any], there: NDArray[Any], truth: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return predicted objects where the real stain is empty: dead cells that took no stain, or mistakes.

    An object without partner counts where its mean real intensity is nearer to the median of the ground than to that of
    the real objects.
    """
    if not len(matched.invented) or not (there > 0).any() or not (there == 0).any():
        return matched.invented[:0]
    ground, objects = float(np.median(truth[there == 0])), float(np.median(truth[there > 0]))
    index = found.ravel().astype(np.int64)
    area = np.bincount(index)
    mean = np.bincount(index, np.nan_to_num(truth).ravel()) / np.maximum(area, 1)
    return matched.invented[mean[matched.invented] < (ground + objects) / 2]


def _add_cells(tiers: Tiers, there: _Objects, truth: Stains, seen: Stains, pixel_size_um: float | None) -> None:
    labels = there.cells if there.cells is not None else there.nuclei
    if labels is None or not labels.any():
        return
    real, predicted = (measure_objects(labels, side, pixel_size_um=pixel_size_um) for side in (truth, seen))
    intensities = [c for c in real if str(c).startswith(("mean_", "total_"))]
    tiers.cells = pd.concat(
        [
            real[["label", "centroid_y_px", "centroid_x_px", "area_px", "area_um2"]],
            real[intensities].add_prefix("real_"),
            predicted[intensities].add_prefix("predicted_"),
        ],
        axis=1,
    )
    per_target = len(intensities) // len(truth)
    for number, name in enumerate(truth):
        for column in intensities[number * per_target : (number + 1) * per_target]:
            kind = str(column).partition("_")[0]
            _add_numbers(tiers, kind, name, real[column].to_numpy(float), predicted[column].to_numpy(float))


def _add_numbers(
    tiers: Tiers, quantity: str, name: str, real: NDArray[np.float64], predicted: NDArray[np.float64]
) -> None:
    """Put down how numbers of single objects agree; intervals over objects drawn again."""
    for word, statistic in (("pearson", pearson), ("spearman", spearman), ("concordance", concordance)):
        of_drawn = _over_objects(statistic, real, predicted)
        interval = resample_interval(len(real), of_drawn, resamples=CARD_RESAMPLES)
        tiers.add(CELLS, f"{quantity}_{word}", name, statistic(real, predicted), interval)


def _over_objects(
    statistic: Statistic, real: NDArray[np.float64], predicted: NDArray[np.float64]
) -> Callable[[NDArray[np.intp]], float]:
    return lambda drawn: statistic(real[drawn], predicted[drawn])


def _over_blocks(
    formula: Callable[[float, float, float, float], float], sums: NDArray[np.float64]
) -> Callable[[NDArray[np.intp]], float]:
    return lambda drawn: formula(*(float(v) for v in sums[:, drawn].sum(1)))
