"""The expected agreement of a picture, with a second opinion of other bundled models where it is not like home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import ExpectedAgreement, ModelCard
from vitascope.core.errors import VitascopeError
from vitascope.core.progress import ProgressGenerator
from vitascope.engine.committee import agreement, corners, predict_crops, side_for
from vitascope.engine.execution_plan import Plan
from vitascope.engine.expected import (
    AGREES,
    Expected,
    choose_crops,
    describe_crops,
    expect,
    is_home,
    turned_over,
)
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.preprocess import PreparedImage, prepare_picture
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.tiled_prediction import answer_window
from vitascope.io.models.cards import find_cards
from vitascope.tasks.stain import StainParams

Floats = NDArray[np.float32]
Answer = Callable[[Floats], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Shown:
    """A picture as it is shown to a model.

    Parameters
    ----------
    planes : list of array, each (Y, X)
        As they came.
    prepared : PreparedImage
        Made ready for the model.
    scale : float
        Network pixels per image pixel.
    inverted : bool
    """

    planes: list[Any]
    prepared: PreparedImage
    scale: float
    inverted: bool


def answer_with(model: LoadedModel, plan: Plan) -> Answer:
    """Return what asks a network about one crop."""

    def answer(crop: Floats) -> tuple[Floats, Floats]:
        picture, encoding, *_ = answer_window(model, plan, np.ascontiguousarray(crop, np.float32))
        return picture, encoding

    return answer


def expected_of(
    model: LoadedModel, plan: Plan, shown: Shown, params: StainParams
) -> ProgressGenerator[Expected | None]:
    """Return the expected agreement of a prepared picture; None where the card does not tell.

    Other models are loaded only where the card names them and the picture is not like the training images.
    """
    how, prepared = model.card.expected, shown.prepared
    if how is None or "constant" in prepared.flags:
        return None
    crops = choose_crops(prepared.read, prepared.shape_yx)
    statistics = describe_crops(answer_with(model, plan), crops, model.card.domain)
    if how.home is None or not is_home(how.home, statistics):
        statistics |= yield from _second_opinions(model, plan, how, shown, params)
    return expect(how, statistics)


def _second_opinions(
    model: LoadedModel, plan: Plan, how: ExpectedAgreement, shown: Shown, params: StainParams
) -> ProgressGenerator[dict[str, float]]:
    """Return how far each other model that is at hand agrees; nothing of those that cannot be asked."""
    own_px, known = model.card.input.object_diameter_px, find_cards("stain")
    named = [member.model for member in how.committee if member.model in known]
    if own_px is None or not named or model.card.input.planes != 1:
        return {}
    places = corners(shown.prepared.shape_yx)
    own = predict_crops(_ask(model, plan), shown.prepared.read, places, side_for(1, 1))
    found = {}
    for name in named:
        try:
            other = load_model(name, "stain")
        except VitascopeError:
            continue
        spec = other.card.input
        if spec.planes != 1 or spec.object_diameter_px is None:
            continue
        side = side_for(spec.object_diameter_px, own_px)
        scale = shown.scale * side / side_for(1, 1)
        prepared = yield from prepare_picture(shown.planes, spec, scale, inverted=shown.inverted)
        rounds = params.precision != "int8" or other.card.int8 is not None  # what one's own model does, others may not
        asked = params if rounds else params.changed(precision="f32")
        ask = _ask(other, resolve_plan(other, asked, prepared.shape_yx))
        straight = predict_crops(ask, prepared.read, places, side)
        turned = predict_crops(_turned(ask), prepared.read, places, side)
        found[AGREES + name] = agreement(own, straight, turned)
    return found


def _ask(model: LoadedModel, plan: Plan) -> Callable[[Floats], Floats]:
    """Return what asks a network for the stain that its card has masks of, the first where it has none."""
    answer, target = answer_with(model, plan), masked_target(model.card)
    return lambda crop: answer(crop)[0][target]


def _turned(ask: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    return lambda crop: ask(turned_over(crop))


def masked_target(card: ModelCard) -> int:
    """Return the number of the target that objects are found in; 0 where there is none."""
    return next((k for k, target in enumerate(card.targets) if target.masks), 0)
