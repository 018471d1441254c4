"""Whole cells and organelles in the predicted stains of one picture, and every step that led to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ParameterError
from vitascope.core.result import ImageOutput, LabelsOutput
from vitascope.core.stain_names import stain_of
from vitascope.engine.select_planes import SelectedPlanes
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.ops.objects.cell_table import CellParts, cell_table, summarise_cells
from vitascope.ops.objects.er import ErMethod, find_er
from vitascope.ops.objects.golgi import LEVEL_BINS, clip_level, count_inside, find_golgi, take_off_background
from vitascope.ops.objects.measure import measure_objects
from vitascope.ops.objects.mitochondria import find_mitochondria
from vitascope.ops.objects.whole_cells import cell_foreground, grow_cells, parents
from vitascope.pipelines.output_grid import OutputGrid

MOST_PIXELS = 1 << 26
"""Cells are grown over a whole picture at once: 8192 x 8192 px take about 4 GiB."""

STEPS = (
    "cells 1 where cells are",
    "er 2 brighter than the mean",
    "er 4 local threshold",
    "er 5 holes filled",
    "er 6 opened",
    "er 7 mask",
    "golgi part 1 background off",
    "golgi part 2 mask",
    "mito mask",
)
"""Names of the pictures of the steps, by number of Algorithm 4 where it has one (Figure 27)."""


CELLS, GOLGI = "cells", "golgi part"


@dataclass(frozen=True)
class HowCells:
    """How cells are found.

    Parameters
    ----------
    nucleus_px : float, > 0, px
    er_method : {"mended", "thesis"}
    steps : bool
        Whether every step is kept.
    golgi_level : float or None
        Above which the stain of cell bodies is bright, its background taken off; None for a percentile of each picture.
    cuts : mapping of str to float
        Above which value a target is inside, of those that are masks and no stains.
    """

    nucleus_px: float
    er_method: ErMethod
    steps: bool
    golgi_level: float | None = None
    cuts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FoundCells:
    """What was found in one picture.

    Parameters
    ----------
    cells : array, shape (Y, X), uint32
        The cell of a nucleus has its number.
    table : DataFrame
        A row for each cell.
    spots : array, shape (Y, X), uint32
        Bright perinuclear part, spot by spot.
    spot_table : DataFrame
        A row for each spot; ``parent`` is its cell.
    summary : mapping of str to float
        Numbers for the image.
    steps : mapping of str to array, shape (Y, X)
        By name of :data:`STEPS`, those whose stain there is.
    counts : array, shape (16384,), int64
        Pixels inside cells by the brightness that the perinuclear part is told by.
    """

    cells: NDArray[np.uint32]
    table: pd.DataFrame
    spots: NDArray[np.uint32]
    spot_table: pd.DataFrame
    summary: Mapping[str, float]
    steps: Mapping[str, NDArray[Any]]
    counts: NDArray[np.int64]


def check_stains(names: Sequence[str]) -> None:
    """Refuse to look for cells without a stain of nuclei and one of cell bodies.

    Raises
    ------
    ParameterError
    """
    kinds = {stain_of(name) for name in names}
    if not {"nuclei", "cell"} <= kinds:
        raise ParameterError(
            f"Whole cells cannot be found in {', '.join(names)}.",
            "They are grown from nuclei over a stain of cell bodies (actin, membrane, AGP or GFP): predict both.",
        )


def find_cells(
    nuclei: NDArray[Any],
    stains: Mapping[str, Any],
    nucleus_px: float,
    *,
    er_method: ErMethod = "mended",
    golgi_level: float | None = None,
    cuts: Mapping[str, float] | None = None,
    pixel_size_um: float | None = None,
) -> FoundCells:
    """Find whole cells and what lies in them.

    Parameters
    ----------
    nuclei : array, shape (Y, X), integer
        Labels 1 to N.
    stains : mapping of name to array, shape (Y, X), full scale [0, 1]
        Predicted or real; what they show is told by their names.
    nucleus_px : float, > 0, px
        Diameter of a typical nucleus.
    er_method : {"mended", "thesis"}
    golgi_level : float or None, full scale [0, 1]
    cuts : mapping of str to float, optional
        See :class:`HowCells`. A mask of cells tells where they are, and has no bright part.
    pixel_size_um : float or None, > 0, micrometre

    Returns
    -------
    FoundCells

    Raises
    ------
    InputError
        If the picture has more than 2^26 pixels.
    """
    if nuclei.shape[0] * nuclei.shape[1] > MOST_PIXELS:
        raise InputError(
            f"Whole cells cannot be found in a picture of {nuclei.shape[0]} x {nuclei.shape[1]} px.",
            "Crop it, or run without whole cells.",
            flag="too_large",
        )
    pictures = {name: np.asarray(stain[:, :]) for name, stain in stains.items()}
    kinds = {stain_of(name): name for name in reversed(list(pictures))}
    bodies = pictures[kinds["cell"]]
    cut = (cuts or {}).get(kinds["cell"])
    inside = cell_foreground(bodies, nucleus_px) if cut is None else bodies > cut
    cells = grow_cells(np.asarray(nuclei), bodies, inside)
    found: dict[str, NDArray[Any]] = {STEPS[0]: inside}
    er = mito = None
    if "er" in kinds:
        steps = find_er(pictures[kinds["er"]], nucleus_px, er_method)
        er = steps.mask & (cells > 0)
        found |= dict(zip(STEPS[1:6], steps[1:], strict=True))
    flat = take_off_background(bodies, nucleus_px)
    counts = count_inside(flat, cells > 0)
    level = clip_level([(flat, cells > 0)]) if golgi_level is None else golgi_level
    if cut is not None:
        level = math.nan
    golgi = find_golgi(flat, cells > 0, level, nucleus_px)
    found |= {STEPS[6]: golgi.flat, STEPS[7]: golgi.mask}
    if "mito" in kinds:
        mito = find_mitochondria(pictures[kinds["mito"]], cells > 0, nucleus_px)
        found[STEPS[8]] = mito
    parts = CellParts(nuclei=np.asarray(nuclei), cells=cells, er=er, mito=mito, golgi=golgi.spots, pictures=pictures)
    table = cell_table(parts, pixel_size_um)
    spots = measure_objects(golgi.spots, {kinds["cell"]: bodies}, pixel_size_um=pixel_size_um)
    spots["parent"] = parents(golgi.spots, cells)
    return FoundCells(
        cells=cells,
        table=table,
        spots=golgi.spots,
        spot_table=spots,
        summary={**summarise_cells(table), "golgi_level": level},
        steps=found,
        counts=counts,
    )


class CellOutputs:
    """Labels and tables of the cells of a run, picture by picture; numbers run on as those of the nuclei do.

    Parameters
    ----------
    grid : OutputGrid
        Of the prediction.
    names : sequence of str
        Of the stains.
    how : HowCells
    scratch : TemporaryStore
        Of the run.
    """

    def __init__(self, grid: OutputGrid, names: Sequence[str], how: HowCells, scratch: TemporaryStore) -> None:
        self._grid, self._how = grid, how
        shape = grid.shape(grid.label_axes)
        self._arrays = {title: scratch.zeros(title, shape, np.uint32) for title in (CELLS, GOLGI)}
        self._tables: dict[str, list[pd.DataFrame]] = {CELLS: [], GOLGI: []}
        self._listed: dict[str, list[pd.DataFrame]] = {CELLS: [], GOLGI: []}
        self._step_names = step_names(names)
        self._step_grid = OutputGrid(grid.image, grid.pictures, len(self._step_names))
        step_shape = self._step_grid.shape(self._step_grid.axes)
        self._steps = scratch.zeros("steps", step_shape, np.float32) if how.steps else None
        self.counts = np.zeros(LEVEL_BINS, np.int64)

    def add(
        self, picture: SelectedPlanes, nuclei: NDArray[Any], stains: Mapping[str, Any], listed: bool = True
    ) -> dict[str, float]:
        """Find the cells of one picture; return its numbers. Those of a picture that is not listed get no rows."""
        found = find_cells(
            nuclei,
            stains,
            self._how.nucleus_px,
            er_method=self._how.er_method,
            golgi_level=self._how.golgi_level,
            cuts=self._how.cuts,
            pixel_size_um=self._grid.image.pixel_size_um,
        )
        if listed:
            self.counts += found.counts
        first = sum(map(len, self._tables[CELLS]))
        self._write(picture, CELLS, found.cells, found.table, first, listed)
        self._write(picture, GOLGI, found.spots, found.spot_table, first, listed)
        for k, name in enumerate(self._step_names if self._steps is not None else ()):
            where = self._step_grid.index(picture, k, self._step_grid.axes)
            plane_of(self._steps, where)[:, :] = np.asarray(found.steps[name], np.float32)
        return dict(found.summary)

    def _write(
        self,
        picture: SelectedPlanes,
        title: str,
        labels: NDArray[np.uint32],
        table: pd.DataFrame,
        first_cell: int,
        listed: bool,
    ) -> None:
        first = sum(map(len, self._tables[title]))
        plane = plane_of(self._arrays[title], self._grid.index(picture, 0, self._grid.label_axes))
        plane[:, :] = np.where(labels > 0, labels + np.uint32(first), 0)
        parent = table["parent"].where(table["parent"] == 0, table["parent"] + first_cell)
        table = table.assign(label=table["label"] + first, parent=parent)
        for column, value in reversed(self._grid.where(picture).items()):
            table.insert(1, column, value)
        self._tables[title].append(table)
        self._listed[title].append(table if listed else table.iloc[:0])

    def outputs(self) -> list[ImageOutput | LabelsOutput]:
        """Return cells and spots with their tables, and the steps where they were asked for."""
        axes = self._grid.label_axes + "YX"
        made: list[ImageOutput | LabelsOutput] = [
            LabelsOutput(
                kind="labels",
                title=title,
                array=array,
                axes=axes,
                table=pd.concat(self._tables[title], ignore_index=True),
                listed=pd.concat(self._listed[title], ignore_index=True),
            )
            for title, array in self._arrays.items()
        ]
        if self._steps is not None:
            step_axes = self._step_grid.axes + "YX"
            made.append(
                ImageOutput(
                    kind="steps", title="step", array=self._steps, axes=step_axes, channel_names=self._step_names
                )
            )
        return made


def step_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the steps that pictures of these stains have.

    Examples
    --------
    >>> step_names(["nuclei", "agp"])
    ('cells 1 where cells are', 'golgi part 1 background off', 'golgi part 2 mask')
    """
    kinds = {stain_of(name) for name in names}
    needs = {"er": "er", "mito": "mito", "cells": "cell", "golgi": "cell"}
    return tuple(step for step in STEPS if needs[step.split()[0]] in kinds)
