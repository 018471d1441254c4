"""Run the task ``stain``: label-free image in, predicted fluorescence, masks and measurements out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.errors import InputError, ParameterError, ReaderError, describe
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.result import ImageOutput, LabelsOutput, Result, Trust
from vitascope.core.stain_names import stain_of
from vitascope.engine.domain import seen_in_training, worst_trust
from vitascope.engine.execution_plan import Plan
from vitascope.engine.expected import Expected, grade
from vitascope.engine.flip_doubt import open_doubting
from vitascope.engine.foreign import is_foreign, judge_kind
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.open_backends import open_backend
from vitascope.engine.preprocess import PreparedImage, prepare_picture
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.select_planes import SelectedPlanes, select_pictures
from vitascope.engine.tiled_prediction import Stitching
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.ops.objects.golgi import LEVEL_BINS, level_of_counts
from vitascope.ops.objects.measure import empty_table, summarise_objects
from vitascope.ops.objects.segment import SegmentParams, segment_blocks
from vitascope.ops.tiling.chunks import chunk_slices
from vitascope.pipelines.object_intervals import LEVEL, no_intervals, object_intervals
from vitascope.pipelines.output_grid import OutputGrid, judge_picture, make_pool, predict_onto
from vitascope.pipelines.run_context import RunContext
from vitascope.pipelines.stain_agreement import compare_with_stain, find_stain, find_stains
from vitascope.pipelines.stain_cells import CellOutputs, HowCells, check_stains
from vitascope.pipelines.stain_committee import Shown, expected_of
from vitascope.pipelines.stain_graph import run_graph
from vitascope.pipelines.stain_look import Look, choose_model
from vitascope.pipelines.stain_pictures import (
    chosen_targets,
    correct_planes,
    cuts_of,
    draw_overlay,
    mean_signal,
    overlay_names,
    read_corrections,
)
from vitascope.pipelines.stain_tiers import compare_tiers
from vitascope.tasks.stain import StainParams

logger = logging.getLogger(__name__)

LOOKS_OFF = {"low_contrast", "out_of_focus", "inverted_contrast"}
"""Flags that say what is wrong with an image of which too little is expected."""

DOUBT_SHOWN = 0.2
"""Doubt that is shown brightest: at a standard deviation of a fifth of the scale there is no answer to speak of."""


def run(inputs: Mapping[str, Micrograph], params: StainParams) -> ProgressGenerator[Result]:
    """Predict a stain, find the objects in it and measure them.

    Parameters
    ----------
    inputs : mapping
        ``image``: the label-free image, 2-D to 5-D; ``reference`` (optional): the real stain of the same field.
    params : StainParams
        ``auto`` values are resolved before the run and recorded.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        ``prediction`` (float32, 0 to 1, one channel per target that was asked for, in the order of the card),
        ``labels`` (uint32) with a table where a target has masks, one row of numbers per picture, on the grid of the
        input. On request ``overlay`` (red, green, blue) and ``doubt`` (as ``prediction``).

    Raises
    ------
    InputError
        If the image cannot be judged by this model.
    ParameterError, ModelError, MemoryShortageError
        See their messages.

    References
    ----------
    Pankova 2022 (seed 004), chapter 3.
    """
    context = RunContext("stain", inputs, params)
    if params.model != "auto" and (named := load_model(params.model, "stain")).graph is not None:
        return (yield from run_graph(context, named, named.graph))
    model, look = yield from choose_model(context.image, params)
    work = StainRun(context, model, look)
    if params.to_settle and len(work.pictures) > 1:  # a movie is a set of its own
        params = yield from settle([lambda: context.image], params)
        context.params = params
        work = StainRun(context, model, look)
    for number, picture in enumerate(work.pictures):
        yield from work.do(number, picture)
    return work.result()


MOST_SETTLING = 24
"""Images that a level of brightness is learnt from, spread evenly over the run: some hundred cells and more."""


def settle(images: Sequence[Callable[[], Micrograph]], params: StainParams) -> ProgressGenerator[StainParams]:
    """Learn the level of the bright perinuclear part from the cells of a whole run.

    Parameters
    ----------
    images : sequence of callable
        Each opens one; at most :data:`MOST_SETTLING` of them are looked at, those that cannot be read are passed over.
    params : StainParams

    Yields
    ------
    Progress

    Returns
    -------
    StainParams
        With ``golgi_level`` as a number; "image" where there are no cells to learn from.

    References
    ----------
    Pankova 2022 (seed 004), section 3.4.1.1: one percentile; there of each whole picture, here of pixels inside cells.
    """
    count = min(MOST_SETTLING, len(images))
    looked = params.changed(golgi_level="image", overlay=False, doubt=False, steps=False)
    counts = np.zeros(LEVEL_BINS, np.int64)
    for number in range(count):
        at = Progress(number, count, f"Looking at cells ({number + 1} of {count})")
        try:
            image = images[number * len(images) // count]()
            counts += yield from map_progress(_cells_of(image, looked), partial(_only, at))
        except (InputError, ReaderError, OSError) as error:
            logger.info("An image was left out of the level of brightness: %s", describe(error))
    level = level_of_counts(counts)
    settled: StainParams = params.changed(golgi_level=round(level, 4) if math.isfinite(level) else "image")
    return settled


def _only(shown: Progress, _: Progress) -> Progress:
    """Show one step whatever a run within says."""
    return shown


def _cells_of(image: Micrograph, params: StainParams) -> ProgressGenerator[NDArray[np.int64]]:
    """Count the pixels inside the cells of an image by their brightness."""
    context = RunContext("stain", {"image": image}, params)
    model, look = yield from choose_model(image, params)
    work = StainRun(context, model, look)
    for number, picture in enumerate(work.pictures):
        yield from work.do(number, picture)
    assert work.cells is not None
    return work.cells.counts


class StainRun:
    """What one run holds: the arrays it fills and what it learned on the way."""

    def __init__(self, context: RunContext[StainParams], model: LoadedModel, look: Look) -> None:
        self.context, self.model, self.look, self.scale = context, model, look, look.scale
        self.image, params = context.image, context.params
        self.params = params
        card = model.card
        self.pictures, flags = select_pictures(self.image, card.input, params.channel, params.planes)
        self.lines = read_corrections(params.correction)
        self.flags: list[str] = [*self.image.flags, *flags, *look.flags]
        self.scratch = TemporaryStore()
        self.chosen = chosen_targets(card.targets, params.targets)
        self.names = tuple(card.targets[k].name for k in self.chosen)
        self.stain = find_stain(context.inputs.get("reference"), self.image, card, self.chosen)
        self.grid = OutputGrid(self.image, self.pictures, len(self.chosen))
        self.axes, self.label_axes = self.grid.axes, self.grid.label_axes
        self.prediction = self.scratch.zeros("prediction", self.grid.shape(self.axes), np.float32)
        self.doubt = self.scratch.zeros("doubt", self.grid.shape(self.axes), np.float32) if params.doubt else None
        self.rgb_names = overlay_names(self.names) if params.overlay else ()
        self.rgb_grid = OutputGrid(self.image, self.pictures, 3)
        self.rgb = (
            self.scratch.zeros("overlay", self.rgb_grid.shape(self.rgb_grid.axes), np.float32)
            if self.rgb_names
            else None
        )
        self.masked = next((k for k in self.chosen if card.targets[k].masks), None) if params.masks else None
        self.cuts = cuts_of(card, params.cut)
        shown = "" if self.masked is None else card.targets[self.masked].name
        cut = self.cuts.get(shown)
        self.objects = "cells" if cut is not None and stain_of(shown) == "cell" else "nuclei"
        self.segment_params = make_segment_params(card, params, self.scale, cut)
        self.labels = (
            self.scratch.zeros("labels", self.grid.shape(self.label_axes), np.uint32)
            if self.masked is not None
            else None
        )
        self.table = self.listed = empty_table(self.names)
        self.cells = self._prepare_cells() if params.cells else None
        self.found: pd.DataFrame | None = None
        self.rows: list[dict[str, Any]] = []
        self.trust = Trust()
        self.compared: list[tuple[pd.DataFrame, pd.DataFrame]] = []
        self.tiers: list[pd.DataFrame] = []
        self.plan: Plan | None = None
        self.expected: Expected | None = None
        self.foreign = False
        self.withheld: list[bool] = []

    def _prepare_cells(self) -> CellOutputs:
        check_stains(self.names)
        if self.labels is None:
            raise ParameterError("Whole cells are grown from nuclei.", "Find objects, and predict nuclei.")
        level = self.params.golgi_level
        how = HowCells(
            nucleus_px=self.segment_params.nucleus_px,
            er_method=self.params.er_method,
            steps=self.params.steps,
            golgi_level=None if isinstance(level, str) else level,
            cuts=self.cuts,
        )
        return CellOutputs(self.grid, self.names, how, self.scratch)

    def do(self, number: int, picture: SelectedPlanes) -> ProgressGenerator[None]:
        """Predict one picture, then find and measure its objects."""
        of = f" ({number + 1} of {len(self.pictures)})" if len(self.pictures) > 1 else ""
        prepared = yield from prepare_picture(
            picture.planes, self.model.card.input, self.scale, inverted=self.look.inverted
        )
        self.flags += [*prepared.flags, *seen_in_training(self.model.card, picture.planes)]
        planes, doubts = self._planes(picture, self.prediction), self._planes(picture, self.doubt)
        self.expected, self.foreign = None, False
        if "constant" not in prepared.flags:
            yield from self._predict(prepared, picture.planes, [*planes, *doubts], f"Predicting{of}")
            correct_planes(self.lines, self.names, [planes[k] for k in self.chosen])
        numbers: dict[str, Any]
        if self.masked is not None:
            numbers = yield from self._find_objects(picture, planes)
        else:
            numbers = {f"mean_{n}": v for n, v in mean_signal(self.names, [planes[k] for k in self.chosen]).items()}
        held_back = self._held_back()
        self.withheld.append(held_back)
        if self.doubt is not None:
            doubt = mean_signal(self.names, [doubts[k] for k in self.chosen])
            numbers |= {f"doubt_{n}": v for n, v in doubt.items()}
        row: dict[str, Any] = {name: None if held_back else value for name, value in numbers.items()}
        row |= self._told()
        if self.rgb is not None:
            colours = [plane_of(self.rgb, self.rgb_grid.index(picture, k, self.rgb_grid.axes)) for k in range(3)]
            draw_overlay(self.names, [planes[k] for k in self.chosen], colours)
        if self.stain is not None:
            found = self.found if self.masked == self.stain.k else None
            agreed, agreement, crops = yield from compare_with_stain(
                self.stain, picture, planes, found, self.segment_params, self.image.pixel_size_um
            )
            row |= agreed
            self.compared.append((agreement, crops))
            yield from self._compare_tiers(picture, planes)
        self.rows.append({**self.grid.where(picture), **row})

    def _compare_tiers(self, picture: SelectedPlanes, planes: list[Any]) -> ProgressGenerator[None]:
        """Compare every stain that the real picture shows, by pixels, masks and single cells."""
        assert self.stain is not None
        chosen = {k: self.model.card.targets[k].name for k in self.chosen}
        stains = find_stains(self.stain.image, chosen) or [self.stain]
        tiers = yield from compare_tiers(
            {stain.target: stain.plane(picture) for stain in stains},
            {stain.target: planes[stain.k] for stain in stains},
            self.segment_params.nucleus_px,
            self.image.pixel_size_um,
        )
        table = tiers.table()
        for column, value in reversed(self.grid.where(picture).items()):
            table.insert(0, column, value)
        self.tiers.append(table)

    def _planes(self, picture: SelectedPlanes, array: Any) -> list[Any]:
        """Return where each target of the model is written, those that nobody asked for to a plane that is let go."""
        if array is None:
            return []
        let_go = len(self.chosen) < len(self.model.card.targets)
        spare = self.scratch.zeros(f"spare-{len(self.rows)}", self.image.shape_yx, np.float32) if let_go else None
        return [
            plane_of(array, self.grid.index(picture, self.chosen.index(k), self.axes)) if k in self.chosen else spare
            for k in range(len(self.model.card.targets))
        ]

    def _predict(
        self, prepared: PreparedImage, given: list[Any], planes: list[Any], stage: str
    ) -> ProgressGenerator[None]:
        if self.plan is None:
            self.plan = resolve_plan(self.model, self.params, prepared.shape_yx)
        pool = make_pool(self.model, prepared)
        self.plan = yield from predict_onto(
            self.model,
            prepared,
            planes,
            self.plan,
            self.scratch,
            name=f"network-{len(self.rows)}",
            pool=pool,
            stitching=Stitching(self.params.blend, self.params.border_px),
            flip=self.params.flips,
            stage=stage,
            open_with=open_backend if self.doubt is None else open_doubting,
        )
        trust, flags = judge_picture(self.model.card, prepared, pool)
        if pool is not None:
            self.context.keep_features(pool.features(), given)
        shown = Shown(planes=list(given), prepared=prepared, scale=self.scale, inverted=self.look.inverted)
        self.expected = yield from expected_of(self.model, self.plan, shown, self.params)
        if self.expected is not None and self.model.card.expected is not None:
            seen = sorted(set(flags) & LOOKS_OFF)
            trust, graded = grade(self.model.card.expected, self.expected, seen)
            flags = (*graded, *seen)
        self.foreign = is_foreign(self.model.card.picture_kind, given[len(given) // 2])
        if self.foreign:
            trust, flags = judge_kind(self.model.card, given, trust, flags)
        self.trust = worst_trust(self.trust, trust)
        self.flags += flags

    def _held_back(self) -> bool:
        """Tell whether the numbers of the picture are left empty: it is of another kind, or too little is expected."""
        little = self.expected is not None and self.expected.low < self.params.least_expected
        return self.params.abstain and (little or self.foreign)

    def _told(self) -> dict[str, Any]:
        """Say how the picture was shown to the model, and what is expected of it."""
        row: dict[str, Any] = {
            "input_scale": round(self.scale, 4),
            "input_inverted": int(self.look.inverted),
        }
        if self.model.card.expected is None:
            return row
        found = self.expected
        ends = (found.value, found.low, found.high) if found is not None else (None, None, None)
        names = ("expected_pcc", "expected_pcc_low", "expected_pcc_high")
        return row | {name: None if end is None else round(end, 4) for name, end in zip(names, ends, strict=True)}

    def _find_objects(self, picture: SelectedPlanes, planes: list[Any]) -> ProgressGenerator[dict[str, Any]]:
        pictures = {self.model.card.targets[k].name: planes[k] for k in self.chosen}
        labels = plane_of(self.labels, self.grid.index(picture, 0, self.label_axes))
        assert self.masked is not None
        found = yield from segment_blocks(
            planes[self.masked],
            self.segment_params,
            pictures=pictures,
            labels=labels,
            pixel_size_um=self.image.pixel_size_um,
        )
        self.flags += found.flags
        self.found = found.table
        summary = summarise_objects(found.table, self.image.shape_yx, pixel_size_um=self.image.pixel_size_um)
        cells: dict[str, float] = {}
        if self.cells is not None:
            cells = self.cells.add(picture, np.asarray(labels[:, :]), pictures, not self._held_back())
        table, first = found.table, len(self.table)
        if first and len(table):
            _raise_labels(labels, first)
            table = table.assign(label=table["label"] + first)
        for column, value in reversed(self.grid.where(picture).items()):
            table.insert(1, column, value)
        self.table = table if not first else pd.concat([self.table, table], ignore_index=True)
        if not self._held_back():
            self.listed = table if not len(self.listed) else pd.concat([self.listed, table], ignore_index=True)
        return {"objects": summary.pop("count"), **self._object_intervals(found.table), **summary, **cells}

    def _object_intervals(self, table: pd.DataFrame) -> dict[str, Any]:
        """Return the ends of intervals where the card tells the model's errors; empty ones outside what it knows."""
        how = self.model.card.expected
        if how is None or how.errors is None:
            return {}
        size, diameter = self.image.pixel_size_um, self.segment_params.diameter_px
        known = self.expected is not None and self.expected.low >= how.unsure and diameter is not None
        if not known or diameter is None:
            self.flags.append("interval_unknown")
            return no_intervals()
        return object_intervals(table, self.image.shape_yx, diameter, how.errors, size)

    def result(self) -> Result:
        """Put everything together."""
        card = self.model.card
        outputs: list[ImageOutput | LabelsOutput] = [
            ImageOutput(
                kind="prediction",
                title="predicted",
                array=self.prediction,
                axes=self.axes + "YX",
                channel_names=self.names,
                unit=card.targets[self.chosen[0]].unit,
                limits=(0.0, 1.0),
            )
        ]
        outputs += self._helper_pictures()
        if self.masked is not None:
            outputs.append(
                LabelsOutput(
                    kind="labels",
                    title=self.objects,
                    array=self.labels,
                    axes=self.label_axes + "YX",
                    table=self.table,
                    listed=self.listed,
                )
            )
        if self.cells is not None:
            outputs += self.cells.outputs()
        tables = {
            name: pd.concat(tables, ignore_index=True)
            for name, tables in zip(("agreement", "crops"), zip(*self.compared, strict=True), strict=False)
        }
        if self.tiers:
            tables["tiers"] = pd.concat(self.tiers, ignore_index=True)
        if self.lines:
            lines = [{"target": n, **self.lines[n].model_dump()} for n in self.names if n in self.lines]
            tables["correction"] = pd.DataFrame(lines, columns=["target", "slope", "intercept"])
        flags = [*self.flags, *(["withheld"] if any(self.withheld) else [])]
        if any(self.withheld) and not all(self.withheld):
            self.rows = [
                {**row, "flags": [f for f in flags if held or f != "withheld"]}
                for row, held in zip(self.rows, self.withheld, strict=True)
            ]
        trust = replace(self.trust, reasons=tuple(filter(None, (*self.trust.reasons, self.look.told))))
        result = self.context.result(
            card,
            self.plan,
            params=self.resolved(),
            interval_level=LEVEL if any(row.get("objects_low") is not None for row in self.rows) else None,
            outputs=outputs,
            rows=self.rows,
            unit=self.objects if self.masked is not None else card.targets[self.chosen[0]].unit,
            flags=flags,
            trust=trust,
            tables=tables,
            scratch=self.scratch,
        )
        shown = {"input_scale": round(self.scale, 4), "input_inverted": self.look.inverted}
        assert result.provenance is not None
        return replace(result, provenance=result.provenance.model_copy(update=shown))

    def resolved(self) -> dict[str, Any]:
        """Return the parameters with what was found for ``auto``, so that a run can be repeated."""
        found = {**self.context.resolved(self.model.card, self.plan), "invert": "yes" if self.look.inverted else "no"}
        diameter = self.model.card.input.object_diameter_px
        looked_for = self.model.card.expected is not None and self.params.rescale
        if self.params.object_diameter_px == "auto" and diameter is not None and looked_for:
            found["object_diameter_px"] = diameter / self.scale
        return found

    def _helper_pictures(self) -> list[ImageOutput]:
        """Return what was asked for besides the prediction."""
        made = []
        unit = self.model.card.targets[self.chosen[0]].unit
        if self.rgb is not None:
            axes = self.rgb_grid.axes + "YX"
            made.append(
                ImageOutput(
                    kind="overlay",
                    title="overlay",
                    array=self.rgb,
                    axes=axes,
                    channel_names=self.rgb_names,
                    unit=unit,
                )
            )
        if self.doubt is not None:
            made.append(
                ImageOutput(
                    kind="doubt",
                    title="doubt",
                    array=self.doubt,
                    axes=self.axes + "YX",
                    channel_names=self.names,
                    unit=unit,
                    limits=(0.0, DOUBT_SHOWN),
                    colormap="magma",
                )
            )
        return made


def make_segment_params(card: ModelCard, params: StainParams, scale: float, cut: float | None = None) -> SegmentParams:
    """Translate the task's parameters; the typical diameter comes from the user, else from the card."""
    diameter = None if params.object_diameter_px == "auto" else params.object_diameter_px
    if diameter is None and card.input.object_diameter_px is not None:
        diameter = card.input.object_diameter_px / scale
    return SegmentParams(
        threshold=params.threshold,
        cut=cut,
        diameter_px=diameter,
        block_diameters=params.block_diameters,
        min_contrast=params.min_contrast,
        split=params.split_touching,
        min_area=params.min_area,
        max_area=params.max_area,
        min_solidity=params.min_solidity,
    )


def _raise_labels(labels: Any, by: int) -> None:
    """Add a constant to all labels of a plane, so that numbers run on from plane to plane."""
    for window in chunk_slices(labels):
        block = np.asarray(labels[window])
        labels[window] = np.where(block > 0, block + np.uint32(by), block)
