"""Whether an image fits a model: what can be told from numbers before a run, and how trust is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitascope.core.card import SIMULATED, InputSpec, ModelCard
from vitascope.core.formatting import is_number
from vitascope.core.pixel_size import MAX_RESCALE, SAME_SIZE_FRACTION
from vitascope.core.result import Trust, TrustLevel

NOTABLE = 2.0
EDGE = "at the edge of what the model knows"


@dataclass(frozen=True)
class TrustLook:
    """How a level of trust is shown: by sign, word and colour, so that no one has to tell colours apart.

    Parameters
    ----------
    sign, words : str
    colour : str
        Of the palette of Okabe and Ito.
    """

    sign: str
    words: str
    colour: str


LOOKS: dict[TrustLevel, TrustLook] = {
    "fits": TrustLook("✓", "Fits the model", "#0072B2"),
    "unsure": TrustLook("!", "Unsure", "#B26A00"),
    "outside": TrustLook("✕", "Outside the model", "#C04A00"),
    "unknown": TrustLook("?", "Fit not known", "#6A6A6A"),
}


def check_before(
    spec: InputSpec,
    *,
    planes: int,
    pixel_size_um: float | None,
    object_diameter_px: float | None = None,
    rescale: bool = True,
) -> Trust:
    """Compare an image with a model's card by planes and pixel size, before any pixel is looked at.

    Parameters
    ----------
    spec : InputSpec
        Of the card.
    planes : int, >= 1
        Planes that are to be used.
    pixel_size_um : float or None, > 0, micrometre
    object_diameter_px : float or None, > 0, px
        Typical object, where the user gave it.
    rescale : bool
        Whether the image will be brought to the model's pixel size.

    Returns
    -------
    Trust
        ``fits`` where nothing speaks against it; reasons name the numbers.
    """
    levels: list[TrustLevel] = ["fits"]
    reasons: list[str] = []
    if spec.planes > planes:
        levels.append("outside")
        reasons.append(f"The model takes {spec.planes} planes, the image has {planes}.")
    elif spec.planes > 1:
        reasons.append(f"{spec.planes} planes, as the model takes.")
    level, reason = _compare_sizes(spec, pixel_size_um, object_diameter_px, rescale)
    levels.append(level)
    reasons.append(reason)
    order: tuple[TrustLevel, ...] = ("fits", "unknown", "unsure", "outside")
    return Trust(max(levels, key=order.index), tuple(reasons))


def _compare_sizes(
    spec: InputSpec, pixel_size_um: float | None, object_diameter_px: float | None, rescale: bool
) -> tuple[TrustLevel, str]:
    if pixel_size_um is not None and spec.pixel_size_um is not None:
        factor = pixel_size_um / spec.pixel_size_um
        numbers = f"{pixel_size_um:.4g} µm per pixel, the model's {spec.pixel_size_um:.4g}"
    elif object_diameter_px is not None and spec.object_diameter_px is not None:
        factor = spec.object_diameter_px / object_diameter_px
        numbers = f"Objects of {object_diameter_px:.4g} px, the model's of {spec.object_diameter_px:.4g} px"
    else:
        return "unknown", _size_hint(spec)
    ratio = max(factor, 1 / factor)
    if abs(factor - 1) <= SAME_SIZE_FRACTION:
        return "fits", f"{numbers}."
    if not rescale:
        return "unsure", f"{numbers}, and 'Match pixel size' is off."
    if ratio > MAX_RESCALE:
        return "outside", f"{numbers}: too far apart."
    if ratio > NOTABLE:
        return "unsure", f"{numbers}: {ratio:.1f} times apart. The image is rescaled, which changes its sharpness."
    return "fits", f"{numbers}: the image is rescaled."


def _size_hint(spec: InputSpec) -> str:
    like = f" Objects should be about {spec.object_diameter_px:.0f} px wide." if spec.object_diameter_px else ""
    if spec.pixel_size_um is None:
        return f"The model's pixel size is not known.{like}"
    return f"The pixel size is not known; the model has {spec.pixel_size_um:.4g} µm.{like}"


def as_far_as_known(trust: Trust, card: ModelCard, *, pixel_size_um: float | None, scaled: bool) -> Trust:
    """Let no image be told to fit where that cannot be known.

    Parameters
    ----------
    trust : Trust
    card : ModelCard
    pixel_size_um : float or None, > 0, micrometre
        Of the image.
    scaled : bool
        Whether the size of things in the image was found, or given, in another way.

    Returns
    -------
    Trust
        ``unknown`` instead of ``fits``, and the reason first, where the pixel size is unknown and the card has one, or
        where the model has seen simulated images only.
    """
    reasons = []
    if card.input.pixel_size_um is not None and pixel_size_um is None and not scaled:
        reasons.append(_size_hint(card.input))
    if card.data_is_simulated:
        reasons.append(SIMULATED)
    told = tuple(dict.fromkeys([*reasons, *trust.reasons]))
    return Trust("unknown" if reasons and trust.level == "fits" else trust.level, told)


def scale_is_told(card: ModelCard, params: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Tell whether the size of things was given as their diameter, or found by the run."""
    given = is_number(params.get("object_diameter_px")) and card.input.object_diameter_px is not None
    looked_for = card.expected is not None or not any("input_inverted" in row for row in rows)
    return given or (looked_for and any(is_number(row.get("input_scale")) for row in rows))


def in_full(trust: Trust) -> Trust:
    """Give a judgement without reasons a sentence."""
    if trust.level == "fits" and not trust.reasons:
        return Trust("fits", ("The image looks like the training images.",))
    return trust


def of_many(levels: Sequence[TrustLevel]) -> Trust:
    """Put the judgements of several images into one: the worst, and how many there are of each.

    Examples
    --------
    >>> of_many(["fits", "unsure", "outside", "unsure"]).reasons
    ('Of 4 images 1 lies outside what the model knows, 2 lie at its edge; their flags say which.',)
    """
    known = [level for level in levels if level != "unknown"]
    if not known:
        return Trust()
    counts = {level: known.count(level) for level in ("outside", "unsure")}
    places = {"outside": "outside what the model knows", "unsure": "at its edge" if counts["outside"] else EDGE}
    told = [f"{n} {'lies' if n == 1 else 'lie'} {places[level]}" for level, n in counts.items() if n]
    if not told:
        return Trust("fits", (f"All {len(known)} images look like the training images.",))
    worst: TrustLevel = "outside" if counts["outside"] else "unsure"
    return Trust(worst, (f"Of {len(known)} images {', '.join(told)}; their flags say which.",))
