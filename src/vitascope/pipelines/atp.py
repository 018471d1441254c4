"""Run the task ``atp``: bright-field image of a well in, its ATP with an interval and maps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import InputError, MemoryShortageError, ModelError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.readout import NUMBER, Readout
from vitascope.core.result import ImageOutput, LabelsOutput, Result, Trust
from vitascope.engine.crop_to_object import CroppedObject, crop_to_object
from vitascope.engine.domain import assess_domain, image_statistics, seen_in_training, worst_trust
from vitascope.engine.eight_views import averaged
from vitascope.engine.foreign import judge_kind
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.native_look import look_at
from vitascope.engine.open_backends import SquareBackend
from vitascope.engine.openvino_backend import is_memory_error
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.resolve_plan import fixed_plan
from vitascope.engine.select_planes import SelectedPlanes, select_pictures
from vitascope.engine.well_number import organoid_features, seen_instances, well_number
from vitascope.networks.ins_atp import InsAtp
from vitascope.ops.intensity.rank import median
from vitascope.ops.wells.flaws import SIDES_PX
from vitascope.ops.wells.organoids import SQUARE_PX, area_per_place, organoid_mask, share_on_ground
from vitascope.ops.wells.squares import Region, Squares, well_mask
from vitascope.pipelines.output_grid import OutputGrid
from vitascope.pipelines.result_rows import PictureRows
from vitascope.pipelines.run_context import RunContext
from vitascope.pipelines.well_maps import WellMaps, shifted
from vitascope.stats.calibration.readouts import read_out
from vitascope.stats.conformal import interval
from vitascope.tasks.atp import DEFAULT_MODEL, AtpParams

MOST_ON_GROUND = 0.5
"""Share of what the number rests on, on empty ground, above which a well is flagged."""


def run(inputs: Mapping[str, Micrograph], params: AtpParams) -> ProgressGenerator[Result]:
    """Estimate the ATP of a well, or of each well of a stack.

    Parameters
    ----------
    inputs : mapping
        ``image``: bright-field, 2-D to 5-D; each plane and time point is a well of its own.
    params : AtpParams
        ``auto`` values are resolved before the run and recorded.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        Rows with ``atp``, ``atp_low`` and ``atp_high`` in the unit of the model, and ``attention_on_background``, 0 to
        1: the share of attention, or of contributions where there is none, on places without organoids; ``maps``
        (float32) and ``instances`` (uint32, with a table) on the grid of the input. Contributions over all pixels sum
        to ``atp``.

    Raises
    ------
    InputError
        If the image cannot be judged by this model.
    ParameterError, ModelError, MemoryShortageError
        See their messages.

    References
    ----------
    Ins-ATP (seed 000).
    """
    context = RunContext("atp", inputs, params)
    model = load_model(DEFAULT_MODEL if params.model == "auto" else params.model, "atp")
    work = AtpRun(context, model)
    for number, picture in enumerate(work.grid.pictures):
        yield Progress(number, len(work.grid.pictures), "Estimating ATP")
        yield from work.do(picture)
    yield Progress(len(work.grid.pictures), len(work.grid.pictures), "Estimating ATP")
    return work.result()


class AtpRun:
    """What one run holds: the maps it fills and what it learned on the way."""

    def __init__(self, context: RunContext[AtpParams], model: LoadedModel) -> None:
        self.context, self.image, self.card = context, context.image, model.card
        params = self.params = context.params
        assert isinstance(model.network, InsAtp)
        self.network, spec = model.network, self.card.input
        if spec.crop_to == "none" or spec.side_px is None:
            raise ModelError(f"The card of {self.card.id} does not say which square of a well the network sees.")
        pictures, flags = select_pictures(self.image, spec, params.channel, params.planes)
        self.grid = OutputGrid(self.image, pictures, 1)
        columns = ("atp", "atp_low", "atp_high", "attention_on_background")
        self.rows = PictureRows(self.grid, columns, (*self.image.flags, *flags))
        self.plan = fixed_plan(params, spec.side_px)
        self.backend = SquareBackend(model, self.plan)
        mapped = params.maps and self.network.has_contribution
        self.maps = WellMaps(self.grid, self.network, self.card.targets[0].unit) if mapped else None
        self.trust = Trust()

    def do(self, picture: SelectedPlanes) -> ProgressGenerator[None]:
        """Estimate one well; one of several that cannot be judged keeps its row."""
        given = picture.planes
        try:
            framed = crop_to_object(picture.planes, self.card.input, sides_px=SIDES_PX)
            look = look_at(self.card, picture.planes, framed.square, flat_field=self.params.flat_field)
            told = framed.flags
            if look.evened:
                picture = replace(picture, planes=look.planes)
                framed = crop_to_object(look.planes, self.card.input, framed.region, (SQUARE_PX,))
            outputs, trust, flags = yield from self._predict(framed, given)
        except InputError as error:
            self.rows.refuse(picture, error)
            return
        atp, weights = well_number(self.network, outputs, framed)
        attention = np.asarray(outputs[2], np.float64)
        if not np.isfinite(atp):
            raise ModelError(f"The model {self.card.id} gives numbers that are not finite.")
        if self.card.readout is not None:
            atp, weights = self._read_out(self.card.readout, picture, framed, atp, weights)
        known = not (self.params.abstain and trust.level == "outside")
        organoids = self._organoids(framed.square)
        ground = self._on_ground(organoids, attention[0] if self.network.has_attention else weights)
        numbers = (atp, *self._interval(atp), ground) if known else (np.nan,) * 4
        told = (*told, *framed.flags, *look.flags, *flags, *seen_in_training(self.card, given))
        told += ("attention_on_background",) if known and ground > MOST_ON_GROUND else ()
        self.rows.add(picture, numbers, (*told, *(self.card.interval_flags if known else ())), trust)
        if self.maps is not None and known:  # what explains a number that is held back would be taken for one
            finer = yield from self._refined(picture, framed.region)
            self.maps.add(picture, framed.region, weights, attention[0], finer, organoids)

    def _predict(
        self, framed: CroppedObject, planes: Sequence[Any]
    ) -> ProgressGenerator[tuple[tuple[NDArray[np.float32], ...], Trust, tuple[str, ...]]]:
        """Run the network on a square; its outputs, and whether the well looks like those it knows, with flags."""
        spec = self.card.input
        prepared = yield from prepare_picture(list(framed.planes), spec, 1.0)
        x = prepared.read((slice(0, prepared.shape_yx[0]), slice(0, prepared.shape_yx[1])))
        try:
            outputs = averaged(self.backend.infer_many, x, self.params.views)
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
            raise MemoryShortageError("Memory ran out on one well.", "Close other programs.") from error
        self.plan = self.backend.plan
        statistics = image_statistics(prepared.read, prepared.shape_yx, prepared.shape_yx[0])
        features = outputs[1].astype(np.float64).mean((1, 2))[None]
        trust, flags = assess_domain(self.card.domain, statistics, features)
        self.context.keep_features(features, planes)
        trust, flags = judge_kind(self.card, planes, trust, flags)
        self.trust = worst_trust(self.trust, trust)
        return outputs, trust, flags

    def _read_out(
        self,
        readout: Readout,
        picture: SelectedPlanes,
        framed: CroppedObject,
        number: float,
        weights: NDArray[np.float64],
    ) -> tuple[float, NDArray[np.float64]]:
        """Read the calibrated number; contributions are scaled to sum to it."""
        values = {NUMBER: [number]}
        if readout.wants_features:
            measured = organoid_features(picture.planes, self.card.input, framed.region)
            values |= {name: [value] for name, value in measured.items()}
        atp = float(read_out(readout, values)[0])
        total = float(weights.sum())
        return atp, weights * (atp / total) if total > 0 else weights

    def _organoids(self, well: Squares) -> NDArray[np.bool_] | None:
        """Return where organoids are seen in the square; None where nothing of it is known, or nothing is mapped."""
        if not self.network.has_contribution:
            return None
        square = well.at(SQUARE_PX)
        inside = np.isfinite(square) & well_mask(SQUARE_PX)
        if not inside.any():
            return None
        return organoid_mask(np.where(np.isfinite(square), square, median(square[inside])))

    def _on_ground(self, organoids: NDArray[np.bool_] | None, weights: NDArray[np.float64]) -> float:
        """Return the share of what the number rests on that lies where no organoid is seen; NaN where it has no map."""
        if organoids is None:
            return float("nan")
        return share_on_ground(weights, area_per_place(organoids, self.network.grid))

    def _interval(self, atp: float) -> tuple[float, float]:
        if self.card.intervals is None:
            return np.nan, np.nan
        low, high = interval(np.array([atp]), self.card.intervals)
        return max(0.0, float(low[0])), float(high[0])

    def _refined(
        self, picture: SelectedPlanes, region: Region
    ) -> ProgressGenerator[list[tuple[Region, NDArray[np.float64]]]]:
        """Run the network on shifted squares, for maps finer than the grid."""
        found = []
        for moved in shifted(region, self.network.grid, self.params.refine):
            framed = crop_to_object(picture.planes, self.card.input, moved)
            prepared = yield from prepare_picture(list(framed.planes), self.card.input, 1.0)
            x = prepared.read((slice(0, prepared.shape_yx[0]), slice(0, prepared.shape_yx[1])))
            outputs = averaged(self.backend.infer_many, x, self.params.views)
            found.append((moved, np.array(outputs[3][0], np.float64) * seen_instances(framed, self.network.grid)))
        return found

    def result(self) -> Result:
        """Put everything together."""
        card = self.card
        mapped = self.maps if self.maps is not None and self.maps.filled else None
        outputs: tuple[ImageOutput | LabelsOutput, ...] = mapped.outputs() if mapped is not None else ()
        listed: dict[str, pd.DataFrame] = {}
        if mapped is not None and self.params.listed:
            listed["top_instances"] = mapped.highest(self.params.listed)
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
            tables=listed,
            scratch=self.maps,
        )
