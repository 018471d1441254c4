"""Run the task ``phenotype``: image in, probabilities of classes, maps of what they rest on, and regions out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import ImageOutput, LabelsOutput, Result, Trust
from vitascope.engine.domain import seen_in_training, worst_trust
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.mil_instances import InstanceGrid, Pooled, probability_reader, with_maps
from vitascope.engine.preprocess import PreparedImage, prepare_picture, rescale_factor
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.select_planes import SelectedPlanes, select_pictures
from vitascope.io.models.cards import find_cards, read_card
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.networks.mil_cnn import MilCnn
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.intensity.histogram import count_values
from vitascope.ops.objects.map_regions import RegionParams, add_regions, map_scales
from vitascope.ops.objects.measure import column_names
from vitascope.ops.tiling.chunks import chunk_slices, read_piece
from vitascope.ops.wells.cell_views import PHASES, cell_centre, phases_sheet
from vitascope.ops.wells.instances import central, is_single_cell
from vitascope.pipelines.output_grid import OutputGrid, judge_picture, make_pool, predict_onto, write_back
from vitascope.pipelines.run_context import RunContext
from vitascope.tasks.phenotype import PhenotypeParams

THRESHOLD, SMOOTHING = 0.1, 0.8
"""Of models whose card names none."""

SMALLEST_REGION = 0.05
"""Share of a typical cell's area that a region has at least."""

SURE = 0.5
"""A class of a multi-label model is there when its probability exceeds this."""


def run(inputs: Mapping[str, Micrograph], params: PhenotypeParams) -> ProgressGenerator[Result]:
    """Classify an image, and show where in it each class is seen.

    Parameters
    ----------
    inputs : mapping
        ``image``: 2-D to 5-D, with the model's channels; ``region`` (optional): above 0 where the image counts.
    params : PhenotypeParams
        ``auto`` values are resolved before the run and recorded.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        Rows with ``predicted``, ``probability``, and ``prob_<class>`` and ``logit_<class>`` of each class: the last
        layer's for images, the MIL layer's for crops of one cell. ``maps`` (float32, one channel per class),
        ``instances`` (probability of each class at each place) and ``labels`` (regions, with a table), on the grid of
        the input.

    Raises
    ------
    InputError
        If the image cannot be judged by this model.
    ParameterError, ModelError, MemoryShortageError
        See their messages.

    References
    ----------
    Kraus 2016 (seed 002), sections 3 and 4.4.
    """
    context = RunContext("phenotype", inputs, params)
    model = load_model(choose_model(context.image, params), "phenotype")
    work = PhenotypeRun(context, model)
    for number, picture in enumerate(work.grid.pictures):
        yield from work.do(number, picture)
    return work.result()


def choose_model(image: Micrograph, params: PhenotypeParams) -> str:
    """Return the model to run: the one named, or for ``auto`` the bundled one whose channels the image has.

    Raises
    ------
    ParameterError
        If none or several fit.
    """
    if params.model != "auto":
        return params.model
    named = len(params.channels) if params.channels is not None else image.sizes["C"]
    cards = [read_card(path) for path in find_cards("phenotype").values()]
    fitting = [card.id for card in cards if len(card.input.channels) == named]
    if len(fitting) == 1:
        return fitting[0]
    raise ParameterError(
        f"{len(fitting) or 'No'} models for phenotypes take {named} channel(s).",
        f"Choose one: {', '.join(card.id for card in cards) or 'none is at hand'}.",
    )


@dataclass
class _Pictures:
    """Planes that one picture's outputs are written to; empty without maps."""

    maps: list[Any]
    instances: list[Any]
    labels: Any


class PhenotypeRun:
    """What one run holds: the arrays it fills and what it learned on the way."""

    def __init__(self, context: RunContext[PhenotypeParams], model: LoadedModel) -> None:
        self.context, self.image, params = context, context.image, context.params
        self.params = params
        card = self.card = model.card
        self.model_itself, self.model, self.network = model, with_maps(model, params.maps), model.network
        pictures, flags = select_pictures(self.image, card.input, None, params.planes, params.channels)
        self.scale, scale_flags = rescale_factor(
            self.image, card.input, rescale=params.rescale, object_diameter_px=params.object_diameter_px
        )
        self.names = [t.name for t in card.targets]
        self.columns = column_names(self.names)
        self.grid = OutputGrid(self.image, pictures, len(self.names))
        self.flags: list[str] = [*self.image.flags, *flags, *scale_flags]
        self.region = region_plane(context.inputs.get("region"), self.image)
        self.regions = make_region_params(card, params, self.scale)
        self.scratch = TemporaryStore()
        self.arrays: dict[str, Any] = {}
        if params.maps:
            axes, label_axes = self.grid.axes, self.grid.label_axes
            for kind in ("maps", "instances"):
                self.arrays[kind] = self.scratch.zeros(kind, self.grid.shape(axes), np.float32)
            self.arrays["labels"] = self.scratch.zeros("labels", self.grid.shape(label_axes), np.uint32)
        self.tables: list[pd.DataFrame] = []
        self.rows: list[dict[str, Any]] = []
        self.trust = Trust()
        self.highest = 0.0
        self.plan: Plan | None = None

    def do(self, number: int, picture: SelectedPlanes) -> ProgressGenerator[None]:
        """Classify one picture."""
        of = f" ({number + 1} of {len(self.grid.pictures)})" if len(self.grid.pictures) > 1 else ""
        prepared = yield from prepare_picture(picture.planes, self.card.input, self.scale)
        self.flags += [*prepared.flags, *seen_in_training(self.card, picture.planes)]
        planes = self._planes(picture)
        row: dict[str, Any] = self.grid.where(picture)
        if "constant" in prepared.flags:
            self.rows.append({**row, **self._numbers(None, False)})
            return
        grid = yield from self._predict(prepared, picture.planes, planes, f"Classifying{of}")
        counts, single = self.counts(prepared)
        if single and self.region is None:
            pooled = yield from self._alone(prepared, f"Looking at the cell{of}")
        else:
            pooled = Pooled(self.network, grid.logits, counts)
        row |= self._numbers(pooled, single)
        if planes.maps:
            scales = map_scales(self.card.default_params, self.names)
            for plane, share, scale in zip(planes.maps, pooled.pooled, scales, strict=True):
                scale_plane(plane, float(share) / scale)
            write_back(probability_reader(grid.logits, self.model.family.multiple_px), prepared, planes.instances)
            row |= yield from self._find_regions(picture, planes)
        self.rows.append(row)

    def _planes(self, picture: SelectedPlanes) -> _Pictures:
        if not self.arrays:
            return _Pictures([], [], None)
        axes, classes = self.grid.axes, range(len(self.names))
        maps, instances = (
            [plane_of(self.arrays[kind], self.grid.index(picture, k, axes)) for k in classes]
            for kind in ("maps", "instances")
        )
        return _Pictures(
            maps, instances, plane_of(self.arrays["labels"], self.grid.index(picture, 0, self.grid.label_axes))
        )

    def _predict(
        self, prepared: PreparedImage, given: list[Any], planes: _Pictures, stage: str
    ) -> ProgressGenerator[InstanceGrid]:
        if self.plan is None:
            self.plan = resolve_plan(self.model, self.params, prepared.shape_yx)
        pool = make_pool(self.model, prepared)
        grid = InstanceGrid(prepared.shape_yx, len(self.names), self.model.family.multiple_px, pool)
        nowhere = [_Nowhere(prepared.source_yx) for _ in self.names]
        self.plan = yield from predict_onto(
            self.model,
            prepared,
            planes.maps or nowhere,
            self.plan,
            self.scratch,
            name=f"network-{len(self.rows)}",
            pool=grid,
            stage=stage,
        )
        trust, flags = judge_picture(self.card, prepared, pool)
        if pool is not None:
            self.context.keep_features(pool.features(), given)
        self.trust = worst_trust(self.trust, trust)
        self.flags += flags
        return grid

    def _alone(self, prepared: PreparedImage, stage: str) -> ProgressGenerator[Pooled]:
        """Find the cell of a crop, and judge it by the instances within it at all phases of their grid."""
        height, width = prepared.shape_yx
        picture = prepared.read((slice(0, height), slice(0, width)))
        cell, step = self.card.input.object_diameter_px or min(height, width) / 2, self.model.family.multiple_px
        sheet, counts = phases_sheet(picture, cell_centre(picture, cell), step, cell, PHASES)
        sides = (sheet.shape[1], sheet.shape[2])
        laid_out = replace(prepared, read=array_reader(sheet), shape_yx=sides, source_yx=sides, finite=None)
        numbers_alone = with_maps(self.model_itself, False)
        grid = InstanceGrid(sides, len(self.names), step)
        yield from predict_onto(
            numbers_alone,
            laid_out,
            [_Nowhere(sides) for _ in self.names],
            resolve_plan(numbers_alone, self.params, sides),
            self.scratch,
            name=f"cell-{len(self.rows)}",
            pool=grid,
            stage=stage,
        )
        return Pooled(self.network, grid.logits, counts)

    def counts(self, prepared: PreparedImage) -> tuple[NDArray[np.float32], bool]:
        """Return which instances count (h, w), and whether the picture is a crop of one cell.

        Raises
        ------
        InputError
            If none counts.
        """
        step, cell = self.model.family.multiple_px, self.card.input.object_diameter_px
        wanted = self.params.instances
        single = wanted == "centre" or (wanted == "auto" and is_single_cell(prepared.shape_yx, cell))
        if cell is not None and min(prepared.shape_yx) < cell:
            self.flags.append("smaller_than_cell")
        if single:
            counts = central(prepared.shape_yx, cell or min(prepared.shape_yx) / 2, step)
        else:
            counts = np.ones([-(-n // step) for n in prepared.shape_yx], np.float32)
        rows, columns = (
            np.minimum((np.arange(n) * step + 0.5) * source / own, source - 1).astype(int)
            for n, own, source in zip(counts.shape, prepared.shape_yx, prepared.source_yx, strict=True)
        )
        across = slice(0, prepared.source_yx[1])
        for read in (self.region.__getitem__ if self.region is not None else None, prepared.finite):
            if read is not None:
                lines = [np.asarray(read((slice(y, y + 1), across)))[0, columns] for y in rows]
                counts = counts * (np.stack(lines) > 0)
        if not counts.any():
            raise InputError("No place of the image counts.", "Check the region: it is above 0 where the image counts.")
        return counts.astype(np.float32), single

    def _numbers(self, pooled: Pooled | None, single: bool) -> dict[str, Any]:
        if pooled is None:
            probabilities = log_odds = np.full(len(self.names), np.nan)
        elif single:
            probabilities, log_odds = pooled.pooled, pooled.pooled_log_odds
        else:
            probabilities, log_odds = pooled.last, pooled.last_log_odds
        predicted, probability = "", np.nan
        if pooled is not None:
            assert isinstance(self.network, MilCnn)
            several = self.network.last == "sigmoid" and not single
            predicted, probability = decide(probabilities, self.names, several=several)
        row: dict[str, Any] = {"predicted": predicted, "probability": float(probability)}
        row |= {f"prob_{c}": float(p) for c, p in zip(self.columns, probabilities, strict=True)}
        return row | {f"logit_{c}": float(v) for c, v in zip(self.columns, log_odds, strict=True)}

    def _find_regions(self, picture: SelectedPlanes, planes: _Pictures) -> ProgressGenerator[dict[str, Any]]:
        table = yield from add_regions(
            self.tables,
            self.grid.where(picture),
            planes.maps,
            planes.labels,
            self.regions,
            dict(zip(self.names, planes.instances, strict=True)),
            self.image.pixel_size_um,
        )
        for plane in planes.maps:
            self.highest = max(self.highest, (yield from count_values(plane)).percentiles(99.5)[0])
        area = float(table["area_px"].sum())
        pixels = self.image.shape_yx[0] * self.image.shape_yx[1]
        if not len(table):
            self.flags.append("no_objects")
        return {"regions": len(table), "foreground_fraction": area / pixels}

    def result(self) -> Result:
        """Put everything together."""
        params = self.context.resolved(self.card, self.plan)
        if self.params.maps:
            found = self.regions
            params |= {"threshold": found.threshold, "smoothing": found.smoothing, "min_region_px": found.min_area_px}
        return self.context.result(
            self.card,
            self.plan,
            outputs=self._outputs(),
            rows=self.rows,
            unit="probability",
            flags=self.flags,
            trust=self.trust,
            params=params,
            scratch=self.scratch,
        )

    def _outputs(self) -> tuple[ImageOutput | LabelsOutput, ...]:
        if not self.arrays:
            return ()
        axes, names = self.grid.axes + "YX", tuple(self.names)
        table = pd.concat(self.tables, ignore_index=True) if self.tables else self._no_regions()
        return (
            ImageOutput(
                kind="instances",
                title="probability",
                array=self.arrays["instances"],
                axes=axes,
                channel_names=names,
                unit="probability",
                limits=(0.0, 1.0),
            ),
            ImageOutput(
                kind="maps",
                title="map",
                array=self.arrays["maps"],
                axes=axes,
                channel_names=names,
                unit="",
                limits=(0.0, self.highest or 1.0),
                colormap="magma",
            ),
            LabelsOutput(
                kind="labels",
                title="regions",
                array=self.arrays["labels"],
                axes=self.grid.label_axes + "YX",
                table=table,
            ),
        )

    def _no_regions(self) -> pd.DataFrame:
        """Return the table of a run in which no picture could be classified."""
        table = pd.DataFrame({"label": np.zeros(0, np.int64), "area_px": np.zeros(0, np.int64)})
        return table.assign(**{f"mean_{c}": np.zeros(0) for c in self.columns}, predicted=[])


class _Nowhere:
    """Takes a picture that nobody wants."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def __setitem__(self, key: tuple[slice, slice], value: Any) -> None:
        """Forget what is written."""


def decide(probabilities: NDArray[np.float64], names: list[str], *, several: bool) -> tuple[str, float]:
    """Return the predicted class and its probability.

    Parameters
    ----------
    probabilities : array, shape (K,)
    names : list of str
    several : bool
        Whether an image may have several classes or none: those above one half then, joined by ``;``, with the
        probability of the most probable one; ``none`` where there is none, with the probability that the most probable
        one is not there.

    Examples
    --------
    >>> decide(np.array([0.9, 0.2, 0.7]), ["a", "b", "c"], several=True)
    ('a;c', 0.9)
    >>> decide(np.array([0.4, 0.3, 0.3]), ["a", "b", "c"], several=False)
    ('a', 0.4)
    """
    best = int(probabilities.argmax())
    if not several:
        return names[best], float(probabilities[best])
    found = [name for name, p in zip(names, probabilities, strict=True) if p > SURE]
    if not found:
        return "none", float(1 - probabilities[best])
    return ";".join(found), float(probabilities[best])


def region_plane(region: Micrograph | None, image: Micrograph) -> Any:
    """Return the plane that says where the image counts; None for everywhere.

    Raises
    ------
    InputError
        If it has another shape than the image.
    """
    if region is None:
        return None
    if region.shape_yx != image.shape_yx:
        raise InputError(
            f"The region is {region.shape_yx[0]} x {region.shape_yx[1]} px, the image {image.shape_yx[0]} x "
            f"{image.shape_yx[1]} px.",
            "Both must lie on the same pixels.",
        )
    return region.plane()


def scale_plane(plane: Any, factor: float) -> None:
    """Multiply a plane in place, piece by piece."""
    for window in chunk_slices(plane):
        plane[window] = read_piece(plane, window) * np.float32(factor)


def make_region_params(card: ModelCard, params: PhenotypeParams, scale: float) -> RegionParams:
    """Translate the task's parameters; what is left empty comes from the card, else from this module."""
    cell = params.object_diameter_px
    if cell is None and card.input.object_diameter_px is not None:
        cell = card.input.object_diameter_px / scale
    smallest = params.min_region_px
    if smallest is None:
        smallest = 0.0 if cell is None else float(round(SMALLEST_REGION * np.pi * cell**2 / 4))
    return RegionParams(
        threshold=card.default_params.get("threshold", THRESHOLD) if params.threshold is None else params.threshold,
        smoothing=card.default_params.get("smoothing", SMOOTHING) if params.smoothing is None else params.smoothing,
        method=params.denoise,
        min_area_px=smallest,
    )
