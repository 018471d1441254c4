"""What images a network of another program does well on, from pictures that its user trusts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vitascope.core.card import ExpectedAgreement, ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.domain import make_domain
from vitascope.engine.load_model import load_model
from vitascope.engine.plate_levels import find_levels, is_by_plate
from vitascope.io.models.cards import check_own, find_model, own_models, write_card
from vitascope.pipelines.run_context import RunContext
from vitascope.pipelines.stain_graph import CROP_PX, GraphRun, Seen
from vitascope.tasks.good_image import GoodImage
from vitascope.tasks.stain import StainParams

LEVEL = 0.8
"""Share of crops that lies between the ends of the agreement that is expected."""

LEAST_CROPS = 4
"""Of a stained image, to tell how far its agreement scatters."""

MOST_PCC = 0.999


def fit_domain(model: str, images: Sequence[GoodImage]) -> ProgressGenerator[ModelCard]:
    """Describe images that a network of another program does well on in its card, so that others can be judged.

    Other images are then "unsure" where their brightness, contrast, sharpness or skewness lies outside the 1 to 99 %
    quantiles of these, and "outside the model" where what the network answers looks unlike its answers to these. With
    a real stain the card also tells which agreement (PCC) is expected of images that fit: median and 10 to 90 %
    quantiles over crops of 192 px.

    Parameters
    ----------
    model : str
        One of the user's own, run as it is.
    images : sequence of GoodImage
        Two at least, for a distance to be known; one gives quantiles only.

    Yields
    ------
    Progress

    Returns
    -------
    ModelCard
        As it was written anew.

    Raises
    ------
    ModelError
        If the model is one of our networks, whose domain is that of its training images, or is not the user's.
    ParameterError
        If no image is given, or a stained image is too small to tell how far agreement scatters.
    InputError
        If an image does not suit the network.
    """
    card, _ = find_model(model, "stain")
    if card.graph is None:
        raise ModelError(
            f"'{card.id}' is no network of another program: its domain is that of the images it was trained on.",
            "Compare images with others by a drift test (vitascope drift reference).",
        )
    check_own(model, "Import it first.")
    if not images:
        raise ParameterError("No image is given.", "Give images that the network does well on.")
    loaded = load_model(model, "stain")
    assert loaded.graph is not None  # its card says so
    plain = replace(loaded, card=card.model_copy(update={"domain": None, "expected": None}))
    params = StainParams(model=model)
    if is_by_plate(card):  # these images stand for the plate
        read = [(one.name, one.image) for one in images]
        params = params.changed(plate_levels=(yield from find_levels(card, read)))
    seen: list[Seen] = []
    names: list[str] = []
    for number, one in enumerate(images):
        yield Progress(number, len(images), "Looking at images")
        inputs = {"image": one.image(), **({"reference": one.stain()} if one.stain is not None else {})}
        work = GraphRun(RunContext("stain", inputs, params), plain, loaded.graph)
        for place, stack in enumerate(work.stacks):
            yield from work.do(place, stack)
        seen += work.seen
        names += [one.name] * len(work.seen)
    made = described(card, seen, names)
    write_card(made, own_models())
    yield Progress(len(images), len(images), "Looking at images")
    return made


def described(card: ModelCard, seen: Sequence[Seen], names: Sequence[str]) -> ModelCard:
    """Return a card with the domain of images that were looked at.

    Raises
    ------
    ParameterError
        If stained images are too small to tell how far agreement scatters.
    """
    domain = make_domain(
        CROP_PX,
        [s for one in seen for s in one.statistics],
        np.concatenate([one.features for one in seen]),
        [name for one, name in zip(seen, names, strict=True) for _ in one.features],
    )
    expected = expected_agreement([p for one in seen for p in one.agreement if math.isfinite(p)], seen)
    images = list(dict.fromkeys(names))
    told = f"Its domain was fitted on {len(images)} image(s) of its user: {', '.join(images[:5])}"
    told += ", …." if len(images) > 5 else "."
    if domain.distance_99 is None:
        told += " One image tells no distance: answers are not compared."
    kept = [n for n in card.training.get("notes", []) if not n.startswith("Its domain was fitted on")]
    return card.model_copy(
        update={"domain": domain, "expected": expected, "training": {**card.training, "notes": [*kept, told]}}
    )


def expected_agreement(values: Sequence[float], seen: Sequence[Seen]) -> ExpectedAgreement | None:
    """Return what agreement is expected of images that fit, from crops whose stain is known; None without any.

    Raises
    ------
    ParameterError
        If there are too few crops.
    """
    if not any(one.agreement for one in seen):
        return None
    if len(values) < LEAST_CROPS:
        raise ParameterError(
            f"The stained images hold {len(values)} crop(s) of {CROP_PX} px; {LEAST_CROPS} tell how far agreement "
            "scatters.",
            "Give a larger stained image, or more of them.",
        )
    low, middle, high = np.clip(np.quantile(values, ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)), -MOST_PCC, MOST_PCC)
    return ExpectedAgreement(
        statistics=("mean",),
        mean=(0.0,),
        spread=(1.0,),
        weights=(0.0,),
        intercept=round(float(np.arctanh(middle)), 6),
        low_by=min(0.0, round(float(low - middle), 4)),
        high_by=max(0.0, round(float(high - middle), 4)),
        level=LEVEL,
        views=len(values),
        laboratories=("of its user",),
    )
