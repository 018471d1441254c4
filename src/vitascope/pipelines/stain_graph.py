"""Run a network of another program as it is: a label-free image in, what the network answers out, unscaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec, ModelCard
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import ImageOutput, Result, Trust
from vitascope.engine.device import core_count
from vitascope.engine.domain import assess_domain, crop_windows, image_statistics, seen_in_training, worst_trust
from vitascope.engine.execution_plan import Plan
from vitascope.engine.expected import Expected, grade
from vitascope.engine.graphs.device import pick_graph_device
from vitascope.engine.graphs.prediction import output_planes, predict_graph
from vitascope.engine.graphs.source import GraphSource
from vitascope.engine.load_model import LoadedModel
from vitascope.engine.plate_levels import levels_of_run
from vitascope.engine.preprocess import PreparedImage, prepare_picture, rescale_factor
from vitascope.engine.select_planes import SelectedPlanes, choose_planes, graph_channels
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.ops.geometry.resample import Reader, read_reflected
from vitascope.ops.intensity.quality import crop_statistics
from vitascope.ops.tiling.chunks import chunk_slices, read_piece
from vitascope.pipelines.output_grid import OutputGrid, write_back
from vitascope.pipelines.run_context import RunContext
from vitascope.pipelines.stain_agreement import find_stain
from vitascope.pipelines.stain_pictures import chosen_targets, mean_signal
from vitascope.stats.agreement import pcc
from vitascope.tasks.stain import StainParams

NOT_KNOWN = Trust(
    "unknown",
    (
        "Nothing is known of the images that this network was trained on: compare it with a real stain before you rely "
        "on it.",
    ),
)


CROP_PX = 192
"""Side of the crops that input and answer are described by: a dozen nuclei find room."""


@dataclass(frozen=True)
class Seen:
    """What the crops of one picture look like.

    Parameters
    ----------
    statistics : list of dict
        Of the prepared image, see :func:`vitascope.engine.domain.image_statistics`.
    features : array, shape (crops, 4 K), float64
        Brightness, contrast, sharpness and skewness of the answer, of each target after another.
    agreement : tuple of float
        PCC of each crop with the real stain, where it is known.
    """

    statistics: list[dict[str, float]]
    features: NDArray[np.float64]
    agreement: tuple[float, ...] = ()


@dataclass(frozen=True)
class Stack:
    """What a network is given of one time point.

    Parameters
    ----------
    channels : list of list of array, (Y, X)
        Planes of each channel.
    t : int
    z : list of int or None
        Where each plane of the answer lies; None where the image has no depth, or the network answers with one plane.
    """

    channels: list[list[Any]]
    t: int
    z: list[int | None]


def run_graph(context: RunContext[StainParams], model: LoadedModel, source: GraphSource) -> ProgressGenerator[Result]:
    """Run a graph over an image.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        ``prediction`` (float32, as the graph gives it, a channel for each picture), its means in the rows; no objects.
        With the real stain also ``pcc``, which no scale matters to.

    Raises
    ------
    InputError
        If the image has not the channels that the graph takes.
    ParameterError
        If the graph is normalised by plate, and the plate's grey levels are not given.
    ModelError, MemoryShortageError
        See their messages.
    """
    work = GraphRun(context, model, source)
    for number, stack in enumerate(work.stacks):
        yield from work.do(number, stack)
    return work.result()


SAMPLED_PX = 5
"""Steps of the pixels that contrast limits are found by."""

SHOWN_PERCENTILES = (0.5, 99.8)


def _limits(sampled: NDArray[np.float32]) -> tuple[float, float]:
    """Return limits to show a picture by: a few bright pixels do not darken the rest."""
    low, high = (float(v) for v in np.percentile(sampled, SHOWN_PERCENTILES))
    if high <= low:
        low, high = float(sampled.min()), float(sampled.max())
    return low, high if high > low else low + 1


class GraphRun:
    """What one run holds: the arrays it fills and what it learned on the way."""

    def __init__(self, context: RunContext[StainParams], model: LoadedModel, source: GraphSource) -> None:
        self.context, self.card, self.source = context, model.card, source
        image, params = context.image, context.params
        given = None if params.object_diameter_px == "auto" else params.object_diameter_px
        self.scale, scale_flags = rescale_factor(
            image, self.card.input, rescale=params.rescale, object_diameter_px=given
        )
        self.levels = levels_of_run(self.card, params.plate_levels, image.name)
        self.stacks, flags = self._select()
        self.flags: list[str] = [*image.flags, *flags, *scale_flags]
        self.scratch = TemporaryStore()
        pictures = [SelectedPlanes([], stack.t, z) for stack in self.stacks for z in stack.z]
        self.chosen = chosen_targets(self.card.targets, params.targets)
        self.names = [self.card.targets[k].name for k in self.chosen]
        self.grid = OutputGrid(image, pictures, len(self.chosen))
        self.prediction = self.scratch.zeros("prediction", self.grid.shape(self.grid.axes), np.float32)
        self.stain = find_stain(context.inputs.get("reference"), image, self.card)
        self.rows: list[dict[str, Any]] = []
        self.trust = Trust() if self.card.domain is not None else NOT_KNOWN
        self.sampled: list[list[NDArray[np.float32]]] = [[] for _ in self.chosen]
        self.seen: list[Seen] = []
        device, fallback = pick_graph_device(params.device)
        lost = ("device_fallback",) if fallback else ()
        self.plan = Plan(device=device, precision="f32", tile_px=0, threads=params.threads or core_count(), flags=lost)

    def _select(self) -> tuple[list[Stack], list[str]]:
        image, spec, params = self.context.image, self.card.input, self.context.params
        channels, fewer = graph_channels(image, spec, params.channel)
        flags = [*fewer]
        count = image.sizes["Z"]
        chosen = tuple(range(count)) if params.planes is None else chosen_planes(count, params.planes)
        depth = self.source.spec.sides[0]
        if self.source.spec.has_depth and depth is not None and len(chosen) < depth:
            flags.append("planes_missing")
        given = output_planes(self.source.spec, len(chosen))
        z: list[int | None] = list(chosen) if count > 1 and given == len(chosen) else [None]
        stacks = [
            Stack([[image.plane(t, c, n) for n in chosen] for c in channels], t, z) for t in range(image.sizes["T"])
        ]
        return stacks, flags

    def do(self, number: int, stack: Stack) -> ProgressGenerator[None]:
        """Prepare the stack of one time point, run the network over it, and take means."""
        of = f" ({number + 1} of {len(self.stacks)})" if len(self.stacks) > 1 else ""
        prepared = []
        for n, planes in enumerate(stack.channels):
            spec = channel_spec(self.card, n, len(planes))
            every = [p for s in self.stacks for p in s.channels[n]] if spec.normalisation.per == "field" else None
            level = self.levels[n] if self.levels is not None else None
            fit = partial(level.mapped, how=spec.normalisation) if level is not None else None
            prepared.append((yield from prepare_picture(planes, spec, self.scale, fitted_on=every, fit=fit)))
        self.flags += [flag for one in prepared for flag in one.flags]
        for planes in stack.channels:
            self.flags += seen_in_training(self.card, planes)
        pictures = [SelectedPlanes([], stack.t, z) for z in stack.z]
        targets = self._planes(pictures, number)
        yield from self._predict(stack, prepared, targets, f"Predicting{of}", number)
        told = self._judge(self._look(prepared, pictures, targets, stack.channels[0]))
        apart = pictures if not self.source.spec.has_depth else pictures[:1]
        for n, picture in enumerate(apart):
            planes = [[t[n]] if len(apart) > 1 else t for t in targets]
            chosen = [planes[k] for k in self.chosen]
            means = [mean_signal(self.names, list(at)) for at in zip(*chosen, strict=True)]
            where = self.grid.where(picture if len(apart) > 1 else replace(picture, z=None))
            row = {f"mean_{k}": float(np.mean([m[k] for m in means])) for k in means[0]}
            if self.stain is not None:
                shown = [picture] if len(apart) > 1 else pictures
                found = planes[self.stain.k]
                row["pcc"] = float(np.mean([pcc(self.stain.plane(p), q) for p, q in zip(shown, found, strict=True)]))
            self.rows.append({**where, **row, **told})

    def _planes(self, pictures: list[SelectedPlanes], number: int) -> list[list[Any]]:
        """Return where each picture of the network is written, those that nobody asked for to planes that are let go.

        They are kept until the image is described: what is expected of it must not depend on what was asked for.
        """
        found = []
        for k in range(len(self.card.targets)):
            if k in self.chosen:
                at = self.chosen.index(k)
                found.append([plane_of(self.prediction, self.grid.index(p, at, self.grid.axes)) for p in pictures])
            else:
                shape = (len(pictures), *self.context.image.shape_yx)
                spare = self.scratch.zeros(f"spare-{number}-{k}", shape, np.float32)
                found.append([plane_of(spare, (z,)) for z in range(len(pictures))])
        return found

    def _look(
        self,
        prepared: list[PreparedImage],
        pictures: list[SelectedPlanes],
        targets: list[list[Any]],
        given: list[Any],
    ) -> Seen:
        """Describe image and answer by crops of the middle plane, and the answer beside the real stain."""
        middle = len(pictures) // 2
        features, agreement = [], []
        for window in crop_windows(self.context.image.shape_yx, CROP_PX):
            crops = [np.asarray(target[middle][window]) for target in targets]
            features.append([v for crop in crops for v in crop_statistics(crop).values()])
            if self.stain is not None:
                real = np.asarray(self.stain.plane(pictures[middle])[window])
                agreement.append(float(pcc(real, crops[self.stain.k])))
        statistics = image_statistics(prepared[0].read, prepared[0].shape_yx, CROP_PX)
        found = Seen(statistics, np.nan_to_num(np.array(features)), tuple(agreement))
        self.seen.append(found)
        self.context.keep_features(found.features, given)
        return found

    def _predict(
        self, stack: Stack, prepared: list[PreparedImage], targets: list[list[Any]], stage: str, number: int
    ) -> ProgressGenerator[None]:
        first, planes = prepared[0], len(stack.channels[0])
        onto = targets
        if first.shape_yx != first.source_yx:
            room = self.scratch.zeros(f"network-{number}", (len(targets), len(targets[0]), *first.shape_yx), np.float32)
            onto = [[plane_of(room, (k, z)) for z in range(len(targets[0]))] for k in range(len(targets))]
        answer = yield from predict_graph(
            self.source,
            [one.read for one in prepared],
            (planes, *first.shape_yx),
            onto,
            threads=self.plan.threads,
            device=self.plan.device,
            tile_px=self.context.params.tile_px,
            stage=stage,
        )
        self.plan = replace(
            self.plan,
            device=answer.device,
            tile_px=answer.tile_px or 0,
            flags=tuple(dict.fromkeys((*self.plan.flags, *answer.flags))),
        )
        if onto is not targets:
            plain = replace(first, finite=None)
            for k, target in enumerate(targets):
                for z, plane in enumerate(target):
                    write_back(plane_reader(onto[k][z]), plain, [plane])
        masked = any(one.finite is not None for one in prepared)
        for z in range(len(targets[0])):
            own = (
                [c[z] for c in stack.channels] if len(targets[0]) == planes else [p for c in stack.channels for p in c]
            )
            self._finish([targets[k][z] for k in self.chosen], own if masked else [])

    def _finish(self, planes: list[Any], inputs: list[Any]) -> None:
        """Set what was no number in the image to 0, and take note of some of the answer, to show it by."""
        for k, plane in enumerate(planes):
            for window in chunk_slices(plane):
                piece = np.asarray(plane[window])
                if inputs:
                    finite = np.all([np.isfinite(np.asarray(read_piece(i, window))) for i in inputs], axis=0)
                    plane[window] = piece = piece * finite
                self.sampled[k].append(piece[::SAMPLED_PX, ::SAMPLED_PX].ravel())

    def _judge(self, seen: Seen) -> dict[str, float | None]:
        """Compare the image with those that a domain was fitted on; without one nothing can be said.

        Returns
        -------
        dict
            The agreement that is expected, where the card tells it: empty unless the image fits.
        """
        domain, how = self.card.domain, self.card.expected
        if domain is None:
            self.flags.append("domain_unknown")
            return {}
        trust, flags = assess_domain(domain, seen.statistics, seen.features)
        told: dict[str, float | None] = {}
        if how is not None:
            middle = how.intercept
            ends = [np.tanh(middle) + by for by in (0, how.low_by, how.high_by)]
            fits = trust.level == "fits"
            names = ("expected_pcc", "expected_pcc_low", "expected_pcc_high")
            told = {n: round(float(e), 4) if fits else None for n, e in zip(names, ends, strict=True)}
            if fits:
                trust, flags = grade(how, Expected(*(float(e) for e in ends)))
        self.trust = worst_trust(self.trust, of_its_domain(trust))
        self.flags += flags
        return told

    def result(self) -> Result:
        """Put everything together."""
        limits = tuple(_limits(np.concatenate(sampled)) for sampled in self.sampled)
        output = ImageOutput(
            kind="prediction",
            title="predicted",
            array=self.prediction,
            axes=self.grid.axes + "YX",
            channel_names=tuple(self.names),
            unit=self.card.targets[0].unit,
            limits=(min(low for low, _ in limits), max(high for _, high in limits)),
            channel_limits=limits,
        )
        params = self.context.resolved(self.card, self.plan)
        return self.context.result(
            self.card,
            self.plan,
            outputs=[output],
            rows=self.rows,
            unit=self.card.targets[0].unit,
            flags=self.flags,
            trust=self.trust,
            params={**params, "tile_px": self.plan.tile_px or self.context.params.tile_px},
            scratch=self.scratch,
        )


def of_its_domain(trust: Trust) -> Trust:
    """Say what a picture was compared with: not training images, which nobody told, but those of the fitted domain."""
    reasons = trust.reasons or (("The image looks like the training images.",) if trust.level == "fits" else ())
    told = (r.replace("the training images", "training images") for r in reasons)
    return Trust(trust.level, tuple(r.replace("training images", "images of its domain") for r in told))


def plane_reader(plane: Any) -> Reader:
    """Read windows of a (Y, X) plane as (1, h, w), continued by reflection."""

    def fetch(window: tuple[slice, ...]) -> NDArray[np.float32]:
        return np.asarray(plane[window])[None]

    return lambda window: read_reflected(fetch, plane.shape, window)


def chosen_planes(count: int, planes: Sequence[int]) -> tuple[int, ...]:
    """Return the planes that are named, each once.

    Raises
    ------
    InputError
        If one is not there.
    """
    return choose_planes(count, 1, planes)[0]


def channel_spec(card: ModelCard, channel: int, planes: int) -> InputSpec:
    """Return how the planes of one channel are prepared: together, as one image, unless the card says otherwise."""
    how = card.input.normalisation
    if how.method == "dataset":
        means, stds = (values[channel : channel + 1] * planes for values in (how.means, how.stds))
        how = how.model_copy(update={"means": means, "stds": stds})
    return card.input.model_copy(update={"normalisation": how})
