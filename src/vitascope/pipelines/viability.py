"""Run the task ``viability``: bright-field image of a spheroid in, its viability with an interval and a map out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from vitascope.core.errors import InputError, MemoryShortageError, ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import ImageOutput, Result, Trust
from vitascope.engine.attribution import CELLS, integrated_gradients, occlusion
from vitascope.engine.crop_to_object import CroppedObject, back_on_image, crop_to_object
from vitascope.engine.domain import KNOWN_KIND, assess_domain, image_statistics, seen_in_training, worst_trust
from vitascope.engine.foreign import judge_kind
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.native_look import look_at
from vitascope.engine.open_backends import SquareBackend
from vitascope.engine.openvino_backend import is_memory_error
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.resolve_plan import fixed_plan
from vitascope.engine.select_planes import SelectedPlanes, select_pictures
from vitascope.io.models.cards import find_cards, read_card
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.networks.resnet import Nvir
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.wells.flaws import SIDES_PX
from vitascope.pipelines.output_grid import OutputGrid
from vitascope.pipelines.result_rows import PictureRows
from vitascope.pipelines.run_context import RunContext
from vitascope.stats.conformal import interval
from vitascope.tasks.viability import ViabilityParams

SHOWN = 0.2
"""Maps are shown from minus to plus this change of viability, always: pictures compare."""


def run(inputs: Mapping[str, Micrograph], params: ViabilityParams) -> ProgressGenerator[Result]:
    """Estimate the viability in an image, or in each image of a series.

    Parameters
    ----------
    inputs : mapping
        ``image``: bright-field, 2-D to 5-D; each plane and time point is judged on its own. ``control`` (optional): an
        untreated one of the same plate and day, for models that see both; one for all, or one for each time point.
    params : ViabilityParams
        ``auto`` values are resolved before the run and recorded.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        Rows with ``viability``, ``viability_low`` and ``viability_high``; ``maps`` (float32) on the grid of the input:
        how much each place raises (above 0) or lowers the number.

    Raises
    ------
    InputError
        If the image cannot be judged by this model, or the control is missing or not wanted.
    ParameterError, ModelError, MemoryShortageError
        See their messages.

    References
    ----------
    NViR (seed 001).
    """
    context = RunContext("viability", inputs, params)
    model = load_model(choose_model(params), "viability")
    work = ViabilityRun(context, model)
    for number, picture in enumerate(work.grid.pictures):
        yield Progress(number, len(work.grid.pictures), "Estimating viability")
        yield from work.do(picture)
    yield Progress(len(work.grid.pictures), len(work.grid.pictures), "Estimating viability")
    return work.result()


def choose_model(params: ViabilityParams) -> str:
    """Return the model to run: the one named, or for ``auto`` the only one there is.

    No image tells reliably whether it shows a spheroid or single cells as the models know them, so nothing is guessed.

    Raises
    ------
    ParameterError
        If several are at hand.
    """
    if params.model != "auto":
        return params.model
    cards = [read_card(path) for path in find_cards("viability").values()]
    if len(cards) == 1:
        return cards[0].id
    raise ParameterError(
        "Which model judges viability depends on what is in the image, and none was chosen.",
        f"Choose one: {'; '.join(f'{card.id} ({card.title})' for card in cards) or 'none is at hand'}.",
    )


T = TypeVar("T")

SHARE = "living share"
"""Unit of models whose number is a share: no interval reaches beyond 1."""


class ViabilityRun:
    """What one run holds: the map it fills and what it learned on the way."""

    def __init__(self, context: RunContext[ViabilityParams], model: LoadedModel) -> None:
        self.context, self.image, self.card = context, context.image, model.card
        params = self.params = context.params
        assert isinstance(model.network, Nvir)
        self.network, spec = model.network, self.card.input
        if spec.crop_to == "none" or spec.side_px is None:
            raise ModelError(f"The card of {self.card.id} does not say which square of an image the network sees.")
        # A model that sees the control too names it as its second channel; each image is selected by the first.
        self.spec = spec.model_copy(update={"channels": spec.channels[:1]}) if self.network.pair else spec
        pictures, flags = select_pictures(self.image, self.spec, params.channel, params.planes)
        self.grid = OutputGrid(self.image, pictures, 1)
        names = ("viability", "viability_low", "viability_high")
        self.rows = PictureRows(self.grid, names, (*self.image.flags, *flags))
        self.controls = self._controls(context.inputs.get("control"))
        self.plan = fixed_plan(params, spec.side_px)
        self.backend = SquareBackend(model, self.plan)
        self.scratch = TemporaryStore()
        self.map: Any = None
        self.mapped = False
        if params.maps:
            self.map = self.scratch.zeros("map", self.grid.shape(self.grid.label_axes), np.float32)
        self.trust = Trust()

    def _controls(self, control: Micrograph | None) -> list[SelectedPlanes]:
        if not self.network.pair:
            if control is not None:
                raise InputError(f"The model {self.card.id} does not look at a control.", "Leave the control out.")
            return []
        if control is None:
            raise InputError(
                f"The model {self.card.id} looks at the image beside its control.",
                "Give an untreated spheroid of the same plate and day as the control.",
            )
        pictures, _ = select_pictures(control, self.spec, self.params.channel, None)
        if len(pictures) not in (1, len(self.grid.pictures)):
            raise InputError(
                f"There are {len(pictures)} controls for {len(self.grid.pictures)} images.",
                "Give one control, or one for each time point.",
            )
        return pictures * (1 if len(pictures) > 1 else len(self.grid.pictures))

    def do(self, picture: SelectedPlanes) -> ProgressGenerator[None]:
        """Judge one image; one of several that cannot be judged keeps its row."""
        try:
            framed = crop_to_object(picture.planes, self.spec, sides_px=SIDES_PX)
            look = look_at(self.card, picture.planes, framed.square, flat_field=self.params.flat_field)
            seen = framed.flags
            if look.evened:
                framed = crop_to_object(look.planes, self.spec, framed.region)
            x = yield from self._prepared(framed)
            if self.controls:
                control = yield from self._prepared(crop_to_object(self.controls[len(self.rows)].planes, self.spec))
                x = np.concatenate([x, control])
        except InputError as error:
            self.rows.refuse(picture, error)
            return
        value, encoding = self._predict(x)
        side = x.shape[-1]
        statistics = image_statistics(array_reader(x[:1]), (side, side), side)
        features = encoding.astype(np.float64).mean((1, 2))[None]
        trust, flags = assess_domain(
            self.card.domain, statistics, features, KNOWN_KIND if self.card.picture_kind else 0.0
        )
        trust, flags = judge_kind(self.card, picture.planes, trust, flags)
        self.context.keep_features(features, picture.planes)
        self.trust = worst_trust(self.trust, trust)
        nothing = self.network.counts and not self._holds_cells(encoding)
        known = not nothing and not (self.params.abstain and trust.level == "outside")
        numbers = (value, *self._interval(value)) if known else (np.nan, np.nan, np.nan)
        empty = ("no_objects",) if nothing else ()
        told = (*seen, *framed.flags, *look.flags, *flags, *empty, *seen_in_training(self.card, picture.planes))
        self.rows.add(picture, numbers, (*told, *(self.card.interval_flags if known else ())), trust)
        if self.map is not None and known:  # what explains a number that is held back would be taken for one
            shares = yield from self._explained(x, value)
            plane = plane_of(self.map, self.grid.index(picture, 0, self.grid.label_axes))
            plane[slice(None), slice(None)] = back_on_image(shares, framed.region, self.image.shape_yx, 0.0)
            self.mapped = True

    def _prepared(self, framed: CroppedObject) -> ProgressGenerator[NDArray[np.float32]]:
        """Return a square as the network takes it, (C, side, side)."""
        prepared = yield from prepare_picture(list(framed.planes), self.spec, 1.0)
        return prepared.read((slice(0, prepared.shape_yx[0]), slice(0, prepared.shape_yx[1])))

    def _predict(self, x: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        value, encoding = self._asked(lambda: self.backend.infer_concurrently(x))
        return self._number(value), encoding

    def _values(self, squares: Sequence[NDArray[np.float32]]) -> list[float]:
        return [self._number(answer[0]) for answer in self._asked(lambda: self.backend.infer_many(squares))]

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            answer = ask()
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
            raise MemoryShortageError("Memory ran out on one image.", "Close other programs.") from error
        self.plan = self.backend.plan
        return answer

    def _holds_cells(self, encoding: NDArray[np.float32]) -> bool:
        """Tell whether a network that counts found any cell, from its features (F, h, w)."""
        own = next(self.network.parameters())
        with torch.inference_mode():
            return bool(self.network.cells(torch.from_numpy(encoding)[None].to(own)).any())

    def _number(self, value: NDArray[np.float32]) -> float:
        if not np.isfinite(value).all():
            raise ModelError(f"The model {self.card.id} gives numbers that are not finite.")
        return max(0.0, float(value.ravel()[0]))

    def _explained(self, x: NDArray[np.float32], value: float) -> ProgressGenerator[NDArray[np.float64]]:
        if self.params.explain == "integrated_gradients":
            found = yield from integrated_gradients(self.network, x)
            starts = np.linspace(0, x.shape[-1], CELLS + 1).round().astype(int)[:-1]
            return np.asarray(np.add.reduceat(np.add.reduceat(found, starts, 0), starts, 1))
        hide = slice(0, len(x) // 2 if self.network.pair else len(x))
        return (yield from occlusion(self._values, x, value, hide, CELLS))

    def _interval(self, value: float) -> tuple[float, float]:
        if self.card.intervals is None:
            return np.nan, np.nan
        low, high = interval(np.array([value]), self.card.intervals)
        most = 1.0 if self.card.targets[0].unit == SHARE else np.inf
        return max(0.0, float(low[0])), max(value, min(most, float(high[0])))

    def result(self) -> Result:
        """Put everything together."""
        card, axes, outputs = self.card, self.grid.label_axes + "YX", []
        if self.mapped:
            limits = (-SHOWN, SHOWN)
            outputs = [
                ImageOutput(
                    kind="maps",
                    title="map",
                    array=self.map,
                    axes=axes,
                    channel_names=("",),
                    unit=card.targets[0].unit,
                    limits=limits,
                    colormap="PiYG",
                )
            ]
        return self.context.result(
            card,
            self.plan,
            outputs=outputs,
            rows=self.rows.finished(self.plan.flags),
            unit=card.targets[0].unit,
            flags=self.rows.flags(),
            trust=self.trust,
            params=self.context.resolved_square(card, self.plan),
            message=self.rows.message(self.trust),
            rejected=self.rows.refused,
            interval_level=card.intervals.level if card.intervals else None,
            scratch=self.scratch,
        )
