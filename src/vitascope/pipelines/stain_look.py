"""How an image is shown to a model: which model, at which scale, bright and dark as they are or swapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.domain import assess_domain, crop_windows
from vitascope.engine.expected import (
    LEAN_TURNED,
    Expected,
    balance_of,
    choose_crops,
    describe_crops,
    expect,
    glance,
    is_home,
    liveliest,
    remembering,
    right_way_up,
)
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.preprocess import PreparedImage, at_scale, prepare_picture, rescale_factor
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.select_planes import select_pictures
from vitascope.io.models.cards import find_cards, read_card
from vitascope.ops.intensity.quality import crop_statistics
from vitascope.pipelines.stain_committee import Answer, Shown, answer_with, expected_of
from vitascope.tasks.stain import StainParams

STACK, SINGLE, ANY = "nuclei-phase-stack", "nuclei-phase", "nuclei-any"
"""What ``auto`` takes: the first for stacks with planes enough; of the others the one that more is expected of."""
SPECIALIST = "dna-brightfield"
"""What ``auto`` takes before any that the image does not fit: where it looks like this model's training images."""
LOOKED_AT = 9
"""Crops by which that is told."""

SCALES = (0.55, 1.45, 2.1)
"""Scales that are tried beside the one given: with what the models tolerate around each, nuclei of 10 to 60 px."""
MARGIN = 0.4
"""By how much more agreement must be expected of another look, or of ``nuclei-any``, to be taken. What is expected is
off by 0.14 to 0.21 on laboratories left out (bench ``gate``): twice that, so that the worse one is rarely taken.
"""
TRIED = 2
"""Looks, beside the one given, that are tried in full: the best by a glance."""
STAGE = "Finding scale and polarity"


@dataclass(frozen=True)
class Look:
    """How an image is shown to a model.

    Parameters
    ----------
    scale : float
        Network pixels per image pixel.
    inverted : bool
    flags : tuple of str
    told : str
        In words what was found; empty where the image stays as it was given.
    """

    scale: float = 1.0
    inverted: bool = False
    flags: tuple[str, ...] = ()
    told: str = ""


def choose_model(image: Micrograph, params: StainParams) -> ProgressGenerator[tuple[LoadedModel, Look]]:
    """Return the model to run and how the image is shown to it.

    ``auto`` takes the bundled model for stacks where there are planes enough. For one plane it takes the model of
    phase contrast where the image fits that, then that of Jurkat cells in bright-field where the image looks like its
    training images, else the one that more agreement is expected of.
    """
    if params.model != "auto":
        model = load_model(params.model, "stain")
        return model, (yield from find_look(model, image, params))
    known = find_cards("stain")
    wanted = len(params.planes) if params.planes is not None else image.sizes["Z"]
    if STACK in known and wanted >= read_card(known[STACK]).input.planes:
        model = load_model(STACK, "stain")
        return model, (yield from find_look(model, image, params))
    first = load_model(SINGLE, "stain")
    if ANY not in known or first.card.expected is None:
        return first, (yield from find_look(first, image, params))
    return (yield from choose_between(first, partial(load_model, ANY, "stain"), image, params, SPECIALIST in known))


def choose_between(
    first: LoadedModel,
    load_second: Callable[[], LoadedModel],
    image: Micrograph,
    params: StainParams,
    specialist: bool = False,
) -> ProgressGenerator[tuple[LoadedModel, Look]]:
    """Return the first model where the image fits it or nearly as much is expected of it, else the second.

    Parameters
    ----------
    first : LoadedModel
        Its card tells what is expected.
    load_second : callable
        Loads the other one, whose card does too: only where the image does not fit the first.
    image : Micrograph
    params : StainParams
    specialist : bool
        Whether :data:`SPECIALIST` is taken where the image looks like its training images.
    """
    assert first.card.expected is not None
    as_given = yield from _Trial(first, image, params).as_given()
    if as_given is None or as_given.low >= first.card.expected.fits:
        return first, (yield from find_look(first, image, params, as_given))
    if specialist:
        special = load_model(SPECIALIST, "stain")
        if (yield from _Trial(special, image, params).looks_alike()):
            return special, (yield from find_look(special, image, params))
    second = load_second()
    other_look, other_value = yield from _Trial(second, image, params).best()
    look, value = yield from _Trial(first, image, params).best(as_given)
    return (second, other_look) if other_value > value + MARGIN else (first, look)


def find_look(
    model: LoadedModel, image: Micrograph, params: StainParams, as_given: Expected | None = None
) -> ProgressGenerator[Look]:
    """Return at which scale and polarity an image is shown to a model.

    Raises
    ------
    InputError
        If the sizes given are too far apart.
    """
    return (yield from _Trial(model, image, params).best(as_given))[0]


class _Trial:
    """Tries looks of an image's middle picture on one model."""

    def __init__(self, model: LoadedModel, image: Micrograph, params: StainParams) -> None:
        self._model, self._params = model, params
        card = model.card
        given = None if params.object_diameter_px == "auto" else params.object_diameter_px
        self.scale, self.flags = rescale_factor(image, card.input, rescale=params.rescale, object_diameter_px=given)
        known = image.pixel_size_um is not None and card.input.pixel_size_um is not None
        self.scale_given = known or given is not None or not params.rescale
        pictures, _ = select_pictures(image, card.input, params.channel, params.planes)
        self._planes = list(pictures[len(pictures) // 2].planes)

    def as_given(self) -> ProgressGenerator[Expected | None]:
        """Return what is expected of the image as it was given."""
        if self._model.card.expected is None:
            return None
        prepared = yield from prepare_picture(self._planes, self._model.card.input, self.scale, inverted=self._inverted)
        plan = resolve_plan(self._model, self._params, prepared.shape_yx)
        shown = Shown(planes=self._planes, prepared=prepared, scale=self.scale, inverted=self._inverted)
        return (yield from expected_of(self._model, plan, shown, self._params))

    def looks_alike(self) -> ProgressGenerator[bool]:
        """Tell whether the image looks like the training images, by statistics and features of some crops."""
        card, domain = self._model.card, self._model.card.domain
        if domain is None:
            return False
        prepared = yield from prepare_picture(self._planes, card.input, self.scale, inverted=self._inverted)
        answer = answer_with(self._model, resolve_plan(self._model, self._params, prepared.shape_yx))
        sides = [max(n, domain.crop_px) for n in prepared.shape_yx]
        crops = [prepared.read(w) for w in crop_windows((sides[0], sides[1]), domain.crop_px, LOOKED_AT)]
        features = np.array([answer(crop)[1].mean(axis=(1, 2)) for crop in crops], np.float64)
        statistics = [crop_statistics(crop[len(crop) // 2]) for crop in crops]
        return assess_domain(domain, statistics, features)[0].level == "fits"

    @property
    def _inverted(self) -> bool:
        return self._params.invert == "yes"

    def best(self, as_given: Expected | None = None) -> ProgressGenerator[tuple[Look, float]]:
        """Return the best look, and the agreement expected of it; nothing is tried where the image fits as given."""
        card, params = self._model.card, self._params
        stays = Look(self.scale, self._inverted, self.flags)
        if card.expected is None:
            return stays, 0.0
        as_given = as_given or (yield from self.as_given())
        if as_given is None or as_given.low >= card.expected.fits:
            return stays, as_given.value if as_given is not None else 0.0
        if params.invert == "auto" and (home := (yield from self._at_home_turned())) is not None:
            return Look(self.scale, True, self.flags, in_words(1, True)), home.value
        scales = (self.scale,) if self.scale_given else (1.0, *SCALES)
        turns = (False, True) if params.invert == "auto" else (self._inverted,)
        looks = [(scale, turned) for scale in scales for turned in turns]
        if len(looks) == 1:
            return stays, as_given.value
        prepared = yield from prepare_picture(self._planes, card.input, 1.0)
        answer = remembering(answer_with(self._model, resolve_plan(self._model, params, prepared.shape_yx)))
        crops: dict[tuple[float, bool], NDArray[np.float32]] = {}
        for scale in scales:
            crop = self._liveliest(prepared, scale)
            crops |= {(scale, False): crop, (scale, True): self._turned(crop, prepared)}
        own = (self.scale, stays.inverted)
        values = {}
        tried = yield from self._worth_trying(answer, crops, looks, own)
        for number, look in enumerate(tried):
            yield Progress(number, len(tried), STAGE)
            values[look] = self._value(describe_crops(answer, [crops[look]], card.domain))
        best = max(tried, key=lambda look: values[look])
        if values[best] < values[own] + MARGIN:
            return stays, as_given.value
        scale, turned = best
        told = in_words(scale / self.scale, turned and not stays.inverted)
        return Look(scale, turned, self.flags, told), as_given.value + values[best] - values[own]

    def _at_home_turned(self) -> ProgressGenerator[Expected | None]:
        """Return what is expected of the image turned over, where it then looks like the training images.

        No other look counts as theirs: of many that are tried, some come close by chance.
        """
        card = self._model.card
        home = card.expected.home if card.expected is not None else None
        if card.expected is None or home is None:
            return None
        prepared = yield from prepare_picture(self._planes, card.input, self.scale, inverted=True)
        crops = choose_crops(prepared.read, prepared.shape_yx)
        if not right_way_up(home, float(np.mean([balance_of(crop_statistics(c[len(c) // 2])) for c in crops]))):
            return None
        plan = resolve_plan(self._model, self._params, prepared.shape_yx)
        statistics = describe_crops(answer_with(self._model, plan), crops, card.domain)
        return expect(card.expected, statistics) if is_home(home, statistics, LEAN_TURNED) else None

    def _worth_trying(
        self,
        answer: Answer,
        crops: Mapping[tuple[float, bool], NDArray[np.float32]],
        looks: Sequence[tuple[float, bool]],
        own: tuple[float, bool],
    ) -> ProgressGenerator[list[tuple[float, bool]]]:
        """Return the look that was given and the others that are best by what two answers tell of each."""
        values = {}
        for number, (scale, turned) in enumerate(looks):
            yield Progress(number, len(looks), STAGE)
            values[scale, turned] = self._value(glance(answer, crops[scale, turned], crops[scale, not turned]))
        others = sorted((look for look in looks if look != own), key=lambda look: -values[look])
        return [own, *others[:TRIED]]

    def _liveliest(self, prepared: PreparedImage, scale: float) -> NDArray[np.float32]:
        """Return the liveliest crop at a scale, as it is."""
        shown = at_scale(prepared, self._planes, self._model.card.input, scale, inverted=False)
        return liveliest(choose_crops(shown.read, shown.shape_yx))

    def _turned(self, crop: NDArray[np.float32], prepared: PreparedImage) -> NDArray[np.float32]:
        """Return a crop as the network reads it where bright and dark are swapped."""
        maps = (m.turned(self._model.card.input.normalisation) for m in prepared.maps)
        about = np.array([m.turned_about for m in maps], np.float32)[:, None, None]
        return np.asarray(2 * about - crop, np.float32)

    def _value(self, statistics: Mapping[str, float]) -> float:
        """Return the agreement that looks are ranked by, from statistics of one crop."""
        how = self._model.card.expected
        assert how is not None
        return expect(how.search or how, statistics, as_given=False).value


def in_words(scale: float, turned: bool) -> str:
    """Say what was done to an image before it was shown to the model.

    Examples
    --------
    >>> in_words(1.45, True)
    'Bright and dark swapped; enlarged 1.4 times.'
    """
    parts: Sequence[Any] = [
        "bright and dark swapped" if turned else "",
        "" if scale == 1 else f"{'enlarged' if scale > 1 else 'shrunk'} {max(scale, 1 / scale):.1f} times",
    ]
    told = "; ".join(filter(None, parts))
    return f"{told[0].upper()}{told[1:]}." if told else ""
