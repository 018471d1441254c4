"""Settings that find the nuclei someone pointed at: threshold, smallest object and least signal, cross-validated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.ops.objects.pointed_settings import LEAST_POINTS, PointedSettings
from vitascope.ops.objects.segment import Method, SegmentParams, segment_blocks

FOLDS = 5
THRESHOLDS: tuple[Method, ...] = ("local", "minimum", "iterative")
CONTRASTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
LEAST_AREAS = (0.05, 0.15, 0.3, 0.5)
AROUND_DIAMETERS = 0.75
"""How far beyond the outermost points objects still count as found among them."""

WORTH = 0.02
"""What another setting must gain over the present one to be taken."""


@dataclass(frozen=True)
class _Tried:
    """One setting: which points have an object of their own (N,), and extra objects nearest to each (N,)."""

    params: SegmentParams
    hits: NDArray[np.bool_]
    extras: NDArray[np.int64]

    def f1(self, rows: NDArray[Any]) -> float:
        """Return F1 over some of the points."""
        hits, extras = int(self.hits[rows].sum()), int(self.extras[rows].sum())
        missed = len(self.hits[rows]) - hits
        return 2 * hits / (2 * hits + missed + extras)


def choose_by_points(
    picture: NDArray[np.floating], points_yx: NDArray[np.floating], start: SegmentParams, seed: int = 0
) -> ProgressGenerator[PointedSettings]:
    """Choose how nuclei are found in a predicted stain by the nuclei someone pointed at.

    All nuclei of a part of the picture are to be pointed at: objects among the points that have none count as wrong,
    objects elsewhere do not count. A nucleus is found where a point lies alone in an object. What is chosen has the
    highest F1 over all points; how well it does is told by points that were left out while choosing, five times.

    Parameters
    ----------
    picture : array, shape (Y, X)
        Predicted stain, 0 to 1.
    points_yx : array, shape (N, 2)
        Rows and columns of the points, px.
    start : SegmentParams
        What is kept unless something else is better.
    seed : int

    Yields
    ------
    Progress

    Raises
    ------
    InputError
        If there are fewer than ten points, or one lies outside the picture.
    """
    points = np.asarray(points_yx, float).reshape(-1, 2)
    if len(points) < LEAST_POINTS:
        raise InputError(f"{len(points)} points are too few to choose by.", f"Point at {LEAST_POINTS} nuclei or more.")
    cells = np.round(points).astype(int)
    outside = ~((cells >= 0) & (cells < np.array(picture.shape))).all(1)
    if outside.any():
        y, x = points[outside][0]
        raise InputError(
            f"The point at row {y:g}, column {x:g} lies outside the image of {picture.shape[0]} x {picture.shape[1]} "
            "px.",
            "Points are rows and columns in pixels of this image.",
        )
    tried = yield from _try_all(picture, cells, start)
    every = np.arange(len(points))
    best = _best(tried, every)
    order = np.random.default_rng(seed).permutation(len(points))
    folds = [order[i::FOLDS] for i in range(FOLDS)]
    chosen = [_best(tried, np.setdiff1d(every, fold)) for fold in folds]
    hits = sum(int(one.hits[fold].sum()) for one, fold in zip(chosen, folds, strict=True))
    extras = sum(int(one.extras[fold].sum()) for one, fold in zip(chosen, folds, strict=True))
    return PointedSettings(
        threshold=best.params.threshold,
        min_contrast=best.params.min_contrast,
        min_area=best.params.min_area,
        f1=2 * hits / (hits + len(points) + extras),
        f1_before=tried[0].f1(every),
        found=int(best.hits.sum()),
        extra=int(best.extras.sum()),
        points=len(points),
    )


def _best(tried: list[_Tried], rows: NDArray[Any]) -> _Tried:
    """Return the first setting, or the best of those that are clearly better."""
    best = max(tried, key=lambda one: one.f1(rows))
    return best if best.f1(rows) >= tried[0].f1(rows) + WORTH else tried[0]


def _try_all(picture: NDArray[Any], cells: NDArray[Any], start: SegmentParams) -> ProgressGenerator[list[_Tried]]:
    settings = [(start.threshold, start.min_contrast)]
    settings += [one for one in product(THRESHOLDS, CONTRASTS) if one not in settings]
    tried: list[_Tried] = []
    for number, (threshold, contrast) in enumerate(settings):
        yield Progress(number, len(settings), "trying settings")
        areas = [start.min_area, *(a for a in LEAST_AREAS if a != start.min_area)]
        least = replace(start, threshold=threshold, min_contrast=contrast, min_area=min(areas))
        found = yield from segment_blocks(picture, least)
        labels, table = np.asarray(found.labels), found.table
        typical = np.pi / 4 * start.nucleus_px**2
        for area in areas:
            kept = table[table["area_px"] >= area * typical]
            params = replace(least, min_area=area)
            tried.append(_Tried(params, *_matched(labels, kept, cells, AROUND_DIAMETERS * start.nucleus_px)))
    return tried


def _matched(
    labels: NDArray[Any], table: Any, cells: NDArray[Any], around_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which points have an object of their own, and for each the extra objects that lie nearest to it."""
    at = labels[cells[:, 0], cells[:, 1]]
    own = set(table["label"].tolist())
    counts = {int(label): int((at == label).sum()) for label in np.unique(at)}
    hits = np.array([int(label) in own and counts[int(label)] == 1 for label in at], bool)
    low, high = cells.min(0) - around_px, cells.max(0) + around_px
    extras = np.zeros(len(cells), np.int64)
    for row in table.itertuples():
        centre = np.array([row.centroid_y_px, row.centroid_x_px])
        if counts.get(int(row.label), 0) == 1 or not ((centre >= low) & (centre <= high)).all():
            continue
        extras[int(np.hypot(*(cells - centre).T).argmin())] += 1
    return hits, extras
