"""Maps of what a well's number rests on, on the image's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.result import ImageOutput, LabelsOutput
from vitascope.engine.crop_to_object import back_on_image, cell_of_pixels
from vitascope.engine.select_planes import SelectedPlanes
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.networks.ins_atp import InsAtp
from vitascope.ops.wells.squares import Region
from vitascope.pipelines.output_grid import OutputGrid

HIGHEST_SHARE = 5.0
"""Maps are shown from 0 to this many times an even share, always: pictures of one model compare."""

WHOLE = (slice(None), slice(None))
Finer = Sequence[tuple[Region, NDArray[np.float64]]]


def shifted(region: Region, cells: int, refine: int) -> list[Region]:
    """Return the squares moved by fractions of a cell, evenly around the square itself; none for 1."""
    if refine == 1:
        return []
    steps = (np.arange(refine) - (refine - 1) / 2) / refine * region.side / cells
    return [Region(region.top + dy, region.left + dx, region.side) for dy in steps for dx in steps]


def percentiles(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each instance in its well, in percent: the highest is 100, equal ones share theirs.

    Examples
    --------
    >>> percentiles(np.array([[0.1, 0.4], [0.2, 0.3]])).tolist()
    [[25.0, 100.0], [50.0, 75.0]]
    """
    from scipy.stats import rankdata

    ranks = rankdata(weights, method="average")
    return np.asarray(ranks.reshape(weights.shape) / weights.size * 100)


class WellMaps:
    """The maps of all wells of a run.

    Parameters
    ----------
    grid : OutputGrid
    network : InsAtp
        With contributions, and attention or none.
    unit : str
        Of the number.
    """

    def __init__(self, grid: OutputGrid, network: InsAtp, unit: str) -> None:
        self._grid, self._network, self._unit, self._axes = grid, network, unit, grid.label_axes
        self._column = f"contribution_{unit.lower()}" if unit.isalnum() else "contribution"
        self.scratch = TemporaryStore()
        shape = grid.shape(self._axes)
        self._weights = self.scratch.zeros("weights", shape, np.float32)
        self._attention = self.scratch.zeros("attention", shape, np.float32) if network.has_attention else None
        self._organoids = self.scratch.zeros("organoids", shape, np.float32) if network.has_attention else None
        self._ranks = self.scratch.zeros("ranks", shape, np.float32)
        self._labels = self.scratch.zeros("labels", shape, np.uint32)
        self._tables: list[pd.DataFrame] = []
        self._most_px = 1.0

    @property
    def filled(self) -> bool:
        """Whether any well was added."""
        return bool(self._tables)

    def add(
        self,
        picture: SelectedPlanes,
        region: Region,
        weights: NDArray[np.float64],
        attention: NDArray[np.float64],
        finer: Finer,
        organoids: NDArray[np.bool_] | None = None,
    ) -> None:
        """Lay one well's contributions and attention (g, g) on the image; ``finer`` are those of shifted squares.

        Beside attention lies where ``organoids`` (n, n) are seen, which is what it is held against.
        """
        index, image_yx = self._grid.index(picture, 0, self._axes), self._grid.image.shape_yx
        numbers = np.arange(1, weights.size + 1).reshape(weights.shape) + sum(len(t) for t in self._tables)
        laid = self._laid(region, weights)
        if finer:
            laid = np.mean([self._laid(r, w) for r, w in finer], axis=0, dtype=np.float64)
            if laid.sum() > 0:
                laid *= weights.sum() / laid.sum()
        plane_of(self._weights, index)[WHOLE] = laid.astype(np.float32)
        if self._attention is not None:
            plane_of(self._attention, index)[WHOLE] = back_on_image(attention, region, image_yx, 0.0)
        if self._organoids is not None and organoids is not None:
            seen = back_on_image(organoids.astype(np.float32), region, image_yx, 0.0)
            plane_of(self._organoids, index)[WHOLE] = seen
        plane_of(self._ranks, index)[WHOLE] = back_on_image(percentiles(weights), region, image_yx, 0.0)
        plane_of(self._labels, index)[WHOLE] = _lay_numbers(numbers, region, image_yx)
        g = len(weights)
        table = pd.DataFrame(
            {
                "label": numbers.ravel(),
                **self._grid.where(picture),
                "row": np.repeat(np.arange(g), g),
                "column": np.tile(np.arange(g), g),
                self._column: weights.ravel(),
                **({"attention": attention.ravel()} if self._attention is not None else {}),
                "percentile": percentiles(weights).ravel(),
            }
        )
        self._tables.append(table)

    def _laid(self, region: Region, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lay contributions on the image, each spread over the pixels of its cell."""
        image_yx = self._grid.image.shape_yx
        counts = [
            np.bincount(c[c >= 0], minlength=len(weights))
            for start, n in zip((region.top, region.left), image_yx, strict=True)
            for c in [cell_of_pixels(start, region.side, len(weights), n)]
        ]
        pixels = np.outer(*counts)
        self._most_px = max(self._most_px, float(pixels.max()))
        density = np.divide(weights, pixels, out=np.zeros_like(weights), where=pixels > 0)
        return back_on_image(density, region, image_yx, 0.0).astype(np.float64)

    def outputs(self) -> tuple[ImageOutput | LabelsOutput, ...]:
        """Return the maps, then the instances with their table."""
        even = 1 / self._network.grid**2
        most = HIGHEST_SHARE * even
        maps = [
            self._map(
                "contribution", self._weights, f"{self._unit}/px", most * self._network.top / self._most_px, "magma"
            )
        ]
        if self._attention is not None:
            maps.append(self._map("attention", self._attention, "share of 1", most, "magma"))
        if self._organoids is not None:
            maps.append(self._map("organoids", self._organoids, "1 where organoids are seen", 1.0, "gray"))
        maps.append(self._map("percentile", self._ranks, "%", 100.0, "viridis"))
        axes = self._axes + "YX"
        return (
            *maps,
            LabelsOutput(kind="instances", title="instances", array=self._labels, axes=axes, table=self.table()),
        )

    def _map(self, title: str, array: Any, unit: str, highest: float, colormap: str) -> ImageOutput:
        return ImageOutput(
            kind="maps",
            title=title,
            array=array,
            axes=self._axes + "YX",
            channel_names=("map",),
            unit=unit,
            limits=(0.0, highest),
            colormap=colormap,
        )

    def table(self) -> pd.DataFrame:
        """Return all instances of all wells."""
        return pd.concat(self._tables, ignore_index=True)

    def highest(self, count: int) -> pd.DataFrame:
        """Return the places of each well that count most, the first first."""
        kept = [t.nlargest(count, self._column).assign(rank=np.arange(1, min(count, len(t)) + 1)) for t in self._tables]
        return pd.concat(kept, ignore_index=True)


def _lay_numbers(numbers: NDArray[Any], region: Region, image_yx: tuple[int, int]) -> NDArray[np.uint32]:
    rows, columns = (
        cell_of_pixels(start, region.side, len(numbers), n)
        for start, n in zip((region.top, region.left), image_yx, strict=True)
    )
    laid = numbers[np.maximum(rows, 0)][:, np.maximum(columns, 0)]
    return np.where((rows >= 0)[:, None] & (columns >= 0)[None], laid, 0).astype(np.uint32)
