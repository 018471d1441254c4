"""Run the task ``stain``: label-free image in, predicted fluorescence, masks and measurements out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.card import ModelCard
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import ImageOutput, LabelsOutput, Result, Trust
from vitascope.engine.domain import seen_in_training, worst_trust
from vitascope.engine.execution_plan import Plan, resolve_plan
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.preprocess import PreparedImage, prepare_picture, rescale_factor
from vitascope.engine.select_planes import SelectedPlanes, select_pictures
from vitascope.engine.tiled_prediction import Stitching
from vitascope.io.models.cards import find_cards, read_card
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.ops.objects.measure import empty_table, summarise_objects
from vitascope.ops.objects.segment import SegmentParams, segment_blocks
from vitascope.ops.tiling.chunks import chunk_slices
from vitascope.pipelines.output_grid import OutputGrid, judge_picture, make_pool, mean_signal, predict_onto
from vitascope.pipelines.run_context import RunContext
from vitascope.pipelines.stain_agreement import compare_with_stain, find_stain
from vitascope.pipelines.stain_graph import run_graph
from vitascope.tasks.stain import StainParams

DEFAULT_MODELS = ("nuclei-phase-stack", "nuclei-phase")
"""What ``auto`` takes: the first for stacks with planes enough, the second otherwise."""


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
        ``prediction`` (float32, 0 to 1, one channel per target of the card), ``labels`` (uint32) with a table where the
        model has a target with masks, one row of numbers per picture, on the grid of the input.

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
    model = load_model(choose_model(context.image, params), "stain")
    if model.graph is not None:
        return (yield from run_graph(context, model, model.graph))
    work = StainRun(context, model)
    for number, picture in enumerate(work.pictures):
        yield from work.do(number, picture)
    return work.result()


def choose_model(image: Micrograph, params: StainParams) -> str:
    """Return the model to run: the one named, or for ``auto`` the bundled one that fits the number of planes."""
    if params.model != "auto":
        return params.model
    known = find_cards("stain")
    stack, single = DEFAULT_MODELS
    wanted = len(params.planes) if params.planes is not None else image.sizes["Z"]
    if stack in known and wanted >= read_card(known[stack]).input.planes:
        return stack
    return single


class StainRun:
    """What one run holds: the arrays it fills and what it learned on the way."""

    def __init__(self, context: RunContext[StainParams], model: LoadedModel) -> None:
        self.context, self.model = context, model
        self.image, params = context.image, context.params
        self.params = params
        card = model.card
        self.pictures, flags = select_pictures(self.image, card.input, params.channel, params.planes)
        self.scale, scale_flags = rescale_factor(
            self.image, card.input, rescale=params.rescale, object_diameter_px=params.object_diameter_px
        )
        self.flags: list[str] = [*self.image.flags, *flags, *scale_flags]
        self.stain = find_stain(context.inputs.get("reference"), self.image, card)
        self.segment_params = make_segment_params(card, params, self.scale)
        self.scratch = TemporaryStore()
        self.grid = OutputGrid(self.image, self.pictures, len(card.targets))
        self.axes, self.label_axes = self.grid.axes, self.grid.label_axes
        self.prediction = self.scratch.zeros("prediction", self.grid.shape(self.axes), np.float32)
        self.masked = next((k for k, t in enumerate(card.targets) if t.masks), None) if params.masks else None
        self.labels = (
            self.scratch.zeros("labels", self.grid.shape(self.label_axes), np.uint32)
            if self.masked is not None
            else None
        )
        self.table = empty_table([t.name for t in self.model.card.targets])
        self.found: pd.DataFrame | None = None
        self.rows: list[dict[str, Any]] = []
        self.trust = Trust()
        self.compared: list[tuple[pd.DataFrame, pd.DataFrame]] = []
        self.plan: Plan | None = None

    def do(self, number: int, picture: SelectedPlanes) -> ProgressGenerator[None]:
        """Predict one picture, then find and measure its objects."""
        of = f" ({number + 1} of {len(self.pictures)})" if len(self.pictures) > 1 else ""
        prepared = yield from prepare_picture(picture.planes, self.model.card.input, self.scale)
        self.flags += [*prepared.flags, *seen_in_training(self.model.card, picture.planes)]
        planes = [
            plane_of(self.prediction, self.grid.index(picture, k, self.axes))
            for k in range(len(self.model.card.targets))
        ]
        if "constant" not in prepared.flags:
            yield from self._predict(prepared, planes, f"Predicting{of}")
        row: dict[str, Any] = {}
        if self.masked is not None:
            row |= yield from self._find_objects(picture, planes)
        else:
            row |= {f"mean_{n}": v for n, v in mean_signal(self.model.card, planes).items()}
        if self.stain is not None:
            found = self.found if self.masked == self.stain.k else None
            numbers, agreement, crops = yield from compare_with_stain(
                self.stain, picture, planes, found, self.segment_params, self.image.pixel_size_um
            )
            row |= numbers
            self.compared.append((agreement, crops))
        self.rows.append({**self.grid.where(picture), **row})

    def _predict(self, prepared: PreparedImage, planes: list[Any], stage: str) -> ProgressGenerator[None]:
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
        )
        trust, flags = judge_picture(self.model.card, prepared, pool)
        if pool is not None:
            self.context.keep_features(pool.features())
        self.trust = worst_trust(self.trust, trust)
        self.flags += flags

    def _find_objects(self, picture: SelectedPlanes, planes: list[Any]) -> ProgressGenerator[dict[str, Any]]:
        pictures = {t.name: plane for t, plane in zip(self.model.card.targets, planes, strict=True)}
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
        table, first = found.table, len(self.table)
        if first and len(table):
            _raise_labels(labels, first)
            table = table.assign(label=table["label"] + first)
        for column, value in reversed(self.grid.where(picture).items()):
            table.insert(1, column, value)
        self.table = table if not first else pd.concat([self.table, table], ignore_index=True)
        return {"objects": summary.pop("count"), **summary}

    def result(self) -> Result:
        """Put everything together."""
        card = self.model.card
        names = tuple(t.name for t in card.targets)
        outputs: list[ImageOutput | LabelsOutput] = [
            ImageOutput(
                kind="prediction",
                title="predicted",
                array=self.prediction,
                axes=self.axes + "YX",
                channel_names=names,
                unit=card.targets[0].unit,
                limits=(0.0, 1.0),
            )
        ]
        if self.masked is not None:
            outputs.append(LabelsOutput("labels", "nuclei", self.labels, self.label_axes + "YX", self.table))
        tables = {
            name: pd.concat(tables, ignore_index=True)
            for name, tables in zip(("agreement", "crops"), zip(*self.compared, strict=True), strict=False)
        }
        return self.context.result(
            card,
            self.plan,
            outputs=outputs,
            rows=self.rows,
            unit="nuclei" if self.masked is not None else card.targets[0].unit,
            flags=self.flags,
            trust=self.trust,
            tables=tables,
            scratch=self.scratch,
        )


def make_segment_params(card: ModelCard, params: StainParams, scale: float) -> SegmentParams:
    """Translate the task's parameters; the typical diameter comes from the user, else from the card."""
    diameter = params.object_diameter_px
    if diameter is None and card.input.object_diameter_px is not None:
        diameter = card.input.object_diameter_px / scale
    return SegmentParams(
        threshold=params.threshold,
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
