"""Regions of a map: threshold, de-noise in a Markov random field, label and measure; pictures of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.ops.objects.measure import column_names
from vitascope.ops.objects.mrf import ROUNDS, denoise_by_cut, denoise_by_messages

BLOCK_PX = 768
MARGIN_PX = 2 * ROUNDS
"""What a block sees of its neighbours while it is de-noised: messages come from 20 px at most."""

Window = tuple[slice, slice]


@dataclass(frozen=True)
class RegionParams:
    """How regions are found.

    Parameters
    ----------
    threshold : float
        In units of the map; above it is foreground.
    smoothing : float, >= 0
        Weight of neighbours in the random field; 0 leaves the thresholded map as it is.
    method : {"cut", "messages"}
        Exact minimum cut, or loopy belief propagation as in the paper.
    min_area_px : float, >= 0
        Regions smaller than this are left out.
    """

    threshold: float
    smoothing: float = 0.8
    method: Literal["cut", "messages"] = "cut"
    min_area_px: float = 0.0


def map_scales(settings: Mapping[str, float], classes: Sequence[str]) -> list[float]:
    """Return what the map of each class is divided by: the card's ``map_scale_<class>``, else 1 (equation 5 as it is).

    Instances of one class may light up several times as strongly as those of another; a single threshold over the sum
    of the maps would then outline the one and miss the other.
    """
    return [settings.get(f"map_scale_{column}", 1.0) for column in column_names(list(classes))]


def foreground(picture: NDArray[Any], params: RegionParams) -> NDArray[np.bool_]:
    """Threshold and de-noise one picture, shape (Y, X)."""
    mask = np.asarray(picture > params.threshold)
    if params.smoothing <= 0:
        return mask
    denoise = denoise_by_cut if params.method == "cut" else denoise_by_messages
    return denoise(mask, params.smoothing)


def find_regions(
    maps: list[Any],
    labels: Any,
    params: RegionParams,
    *,
    pictures: Mapping[str, Any] | None = None,
    pixel_size_um: float | None = None,
    stage: str = "Finding regions",
) -> ProgressGenerator[pd.DataFrame]:
    """Find the regions of the sum of maps, label them and measure them.

    Blocks lie on a fixed grid and see 40 px of their neighbours; regions across borders are whole (4 neighbours).

    Parameters
    ----------
    maps : list of array, each (Y, X)
        One per class; read by slices, summed.
    labels : array, shape (Y, X), uint32
        Written: 0 is background, regions are 1…N in the order of their first pixels.
    params : RegionParams
    pictures : mapping of name to array (Y, X), optional
        Whose means over each region are measured, as ``mean_<name>``.
    pixel_size_um : float or None, > 0, micrometre
        None leaves the columns in µm empty.
    stage : str
        What progress calls this.

    Yields
    ------
    Progress
        One for each block, twice.

    Returns
    -------
    DataFrame, one row per region
        ``label``, ``centroid_y_px``, ``centroid_x_px``, ``centroid_y_um``, ``centroid_x_um``, ``area_px``,
        ``area_um2``, ``mean_<name>`` of each picture.
    """
    shape = (int(labels.shape[0]), int(labels.shape[1]))
    blocks = _blocks(shape)
    joints: list[NDArray[np.int64]] = []
    count = 0
    for number, block in enumerate(blocks):
        yield Progress(number, 2 * len(blocks), stage)
        count = _label_block(maps, labels, block, shape, params, count, joints)
    owner = _merge(count, joints)
    table = _Table(len(np.unique(owner[1:])), list(pictures or {}))
    for number, block in enumerate(blocks):
        yield Progress(len(blocks) + number, 2 * len(blocks), stage)
        table.add(block, owner[np.asarray(labels[block])], pictures or {})
    kept = table.renumber(params.min_area_px)
    for block in blocks:
        labels[block] = kept[owner[np.asarray(labels[block])]].astype(np.uint32)
    yield Progress(2 * len(blocks), 2 * len(blocks), stage)
    return table.frame(kept, pixel_size_um)


def add_regions(
    tables: list[pd.DataFrame],
    where: Mapping[str, int],
    maps: list[Any],
    labels: Any,
    params: RegionParams,
    pictures: Mapping[str, Any],
    pixel_size_um: float | None,
) -> ProgressGenerator[pd.DataFrame]:
    """Find the regions of one of several pictures, their labels going on from those of the pictures before.

    Parameters
    ----------
    tables : list of DataFrame
        Of the pictures before; this one's is added.
    where : mapping
        Columns that tell the picture, such as ``time``; empty for a single one.
    maps, labels, params, pictures, pixel_size_um
        Of :func:`find_regions`; ``pictures`` hold each class's probability.

    Returns
    -------
    DataFrame
        Of this picture, with ``predicted``: the class of the highest mean.
    """
    table = yield from find_regions(maps, labels, params, pictures=pictures, pixel_size_um=pixel_size_um)
    names = list(pictures)
    means = table[[f"mean_{c}" for c in column_names(names)]].to_numpy(float)
    table["predicted"] = [names[k] for k in means.argmax(1)] if len(table) else []
    first = sum(map(len, tables))
    if first and len(table):
        for block in _blocks((int(labels.shape[0]), int(labels.shape[1]))):
            own = np.asarray(labels[block])
            labels[block] = np.where(own > 0, own + np.uint32(first), own)
        table["label"] += first
    for column, value in reversed(list(where.items())):
        table.insert(1, column, value)
    tables.append(table)
    return table


def _blocks(shape: tuple[int, int]) -> list[Window]:
    starts = [range(0, n, BLOCK_PX) for n in shape]
    return [
        (slice(y, min(y + BLOCK_PX, shape[0])), slice(x, min(x + BLOCK_PX, shape[1])))
        for y in starts[0]
        for x in starts[1]
    ]


def _label_block(
    maps: list[Any],
    labels: Any,
    block: Window,
    shape: tuple[int, int],
    params: RegionParams,
    count: int,
    joints: list[NDArray[np.int64]],
) -> int:
    """Label one block with numbers from ``count + 1`` on; note which touch those of blocks above and to the left."""
    wide = tuple(
        slice(max(0, s.start - MARGIN_PX), min(n, s.stop + MARGIN_PX)) for s, n in zip(block, shape, strict=True)
    )
    total = np.sum([np.asarray(m[wide]) for m in maps], axis=0)
    inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(block, wide, strict=True))
    own, found = ndimage.label(foreground(total, params)[inner])
    own = np.where(own > 0, own + count, 0).astype(np.uint32)
    labels[block] = own
    for axis, edge in enumerate((own[0], own[:, 0])):
        if block[axis].start == 0:
            continue
        beside = list(block)
        beside[axis] = slice(block[axis].start - 1, block[axis].start)
        before = np.asarray(labels[tuple(beside)]).ravel()
        touching = (edge > 0) & (before > 0)
        joints.append(np.unique(np.stack([before[touching], edge[touching]], 1).astype(np.int64), axis=0))
    return count + int(found)


def _merge(count: int, joints: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the region that each block's label belongs to, 1…N by its lowest label; 0 stays 0."""
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *joints])
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count + 1, count + 1))
    _, group = connected_components(graph, directed=False)
    # label 0 is alone in its group, and groups are counted in the order of their first members
    return np.asarray(group, np.int64)


class _Table:
    """Sums over regions, gathered block by block."""

    def __init__(self, regions: int, names: list[str]) -> None:
        self._size = regions + 1
        self._names = names
        self._area = np.zeros(self._size, np.int64)
        self._sums = {name: np.zeros(self._size) for name in ("y", "x", *names)}
        self._first = np.full(self._size, np.iinfo(np.int64).max)

    def add(self, block: Window, regions: NDArray[np.int64], pictures: Mapping[str, Any]) -> None:
        y, x = np.nonzero(regions)
        owner = regions[y, x]
        self._area += np.bincount(owner, minlength=self._size)
        values: dict[str, NDArray[Any]] = {"y": y + block[0].start, "x": x + block[1].start}
        np.minimum.at(self._first, owner, (values["y"] << 32) + values["x"])
        values |= {name: np.asarray(picture[block])[y, x] for name, picture in pictures.items()}
        for name, value in values.items():
            self._sums[name] += np.bincount(owner, value.astype(np.float64), minlength=self._size)

    def renumber(self, min_area_px: float) -> NDArray[np.int64]:
        """Return the final label of each region, in the order of first pixels; 0 for those left out."""
        keep = (self._area > 0) & (self._area >= min_area_px)
        keep[0] = False
        order = np.argsort(np.where(keep, self._first, np.iinfo(np.int64).max), kind="stable")[: keep.sum()]
        final = np.zeros(self._size, np.int64)
        final[order] = np.arange(1, len(order) + 1)
        return final

    def frame(self, final: NDArray[np.int64], pixel_size_um: float | None) -> pd.DataFrame:
        rows = np.argsort(final, kind="stable")[np.count_nonzero(final == 0) :]
        um = np.nan if pixel_size_um is None else pixel_size_um
        area = self._area[rows]
        y, x = self._sums["y"][rows] / area, self._sums["x"][rows] / area
        columns: dict[str, Any] = {"label": final[rows], "centroid_y_px": y, "centroid_x_px": x}
        columns |= {"centroid_y_um": y * um, "centroid_x_um": x * um, "area_px": area, "area_um2": area * um**2}
        for name, column in zip(self._names, column_names(self._names), strict=True):
            columns[f"mean_{column}"] = self._sums[name][rows] / area
        return pd.DataFrame(columns)
