"""Does an image look like those a model was trained on? Reference for the card, and the judgement at run time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import Domain, ModelCard
from vitascope.core.errors import ModelError, TrainingError
from vitascope.core.formatting import number_text
from vitascope.core.result import Trust
from vitascope.ops.geometry.resample import Reader
from vitascope.ops.intensity.fingerprint import fingerprints, raw_sha256
from vitascope.ops.intensity.likeness import LEAST_LIKENESS, crops_of, likeness, read_look
from vitascope.ops.intensity.quality import crop_statistics

MAX_CROPS = 64
SIGNIFICANT = 4
FAR, FAR_OF_ONE, MANY_CROPS = 0.5, 0.9, 4
"""So far from the middle of the training crops a picture's skewness is worth a comparison with its negative."""
MOST_HASHED_PX = 2**26
"""Larger planes are known by their fingerprint and by crops."""

LIKENESS = 2.0
"""The negative must lie within twice the training range to say that it is the likelier: beyond, neither is alike."""

KNOWN_KIND = 0.5
"""For viability, where the kind of picture is judged besides (:mod:`vitascope.engine.foreign`), ranges are this much
wider on either side, and the distance as much longer: four ranges of 98 % alone would call every tenth picture of the
own kind unsure. Not for wells, whose kinds are less alike: with it, more pictures of other kinds passed."""

WORDS = {
    "mean": "brightness",
    "contrast": "contrast",
    "focus": "sharpness",
    "skewness": "balance of bright and dark",
}


def crop_windows(shape_yx: tuple[int, int], crop_px: int, most: int = MAX_CROPS) -> list[tuple[slice, slice]]:
    """Spread up to ``most`` square windows evenly over a picture; one that reaches beyond it if it is smaller."""
    counts = [max(1, n // crop_px) for n in shape_yx]
    while counts[0] * counts[1] > most:
        counts[int(np.argmax(counts))] -= 1
    starts = [
        np.linspace(0, max(0, n - crop_px), c).astype(int) if c > 1 else [max(0, (n - crop_px) // 2)]
        for n, c in zip(shape_yx, counts, strict=True)
    ]
    sides = [min(n, crop_px) for n in shape_yx]
    return [(slice(y, y + sides[0]), slice(x, x + sides[1])) for y in starts[0] for x in starts[1]]


def image_statistics(read: Reader, shape_yx: tuple[int, int], crop_px: int) -> list[dict[str, float]]:
    """Measure brightness, contrast, sharpness and skewness of crops of a prepared image (its middle plane)."""
    found = []
    for window in crop_windows(shape_yx, crop_px):
        planes = read(window)
        found.append(crop_statistics(planes[len(planes) // 2]))
    return found


def feature_distances(
    features: NDArray[np.float64], mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Root mean square of standardised features, shape (crops,)."""
    return np.asarray(np.sqrt((((features - mean) / spread) ** 2).mean(axis=1)))


def make_domain(
    crop_px: int, statistics: Sequence[Mapping[str, float]], features: NDArray[np.float64], groups: Sequence[object]
) -> Domain:
    """Describe the training images for the card.

    Parameters
    ----------
    crop_px : int
    statistics : sequence of mapping
        One per crop.
    features : array, shape (crops, F)
        Pooled deepest features.
    groups : sequence
        Image or region of each crop; distances are taken from groups left out of the reference, each in turn. With one
        group there is nothing to take them from: the card then has no distance.

    Returns
    -------
    Domain

    Raises
    ------
    TrainingError
        If a feature is no number: training has diverged.
    """
    if not np.isfinite(features).all():
        raise TrainingError(
            "The trained network answers with what is no number: training has diverged.",
            "Train under another name with a lower learning_rate.",
        )
    quantiles = {}
    for name in statistics[0]:
        if known := _finite(statistics, name):
            low, middle, high = _rounded(np.quantile(known, (0.01, 0.5, 0.99)))
            quantiles[name] = (low, middle, high)
    mean, spread = _reference(features)
    held_out = []
    ids = np.array([groups.index(g) for g in groups])
    for group in np.unique(ids):
        rest = features[ids != group]
        if len(rest) >= 2:
            held_out.append(feature_distances(features[ids == group], *_reference(rest)))
    return Domain(
        crop_px=crop_px,
        crops=len(features),
        statistics=quantiles,
        feature_mean=_rounded(mean),
        feature_std=_rounded(spread),
        distance_99=_rounded(np.quantile(np.concatenate(held_out), [0.99]))[0] if held_out else None,
    )


def _finite(statistics: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """Return one statistic of the crops that have it: a constant crop has no sharpness."""
    return [s[name] for s in statistics if math.isfinite(s[name])]


def _reference(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spread = features.std(axis=0)
    # Features that hardly vary would turn rounding into distance.
    return features.mean(axis=0), np.maximum(spread, 0.1 * np.median(spread) + 1e-6)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{v:.{SIGNIFICANT}g}") for v in np.asarray(values))


def assess_domain(
    domain: Domain | None,
    statistics: Sequence[Mapping[str, float]],
    features: NDArray[np.float64],
    wider: float = 0.0,
) -> tuple[Trust, tuple[str, ...]]:
    """Judge an image against the card.

    The image counts by the median over its crops: outside the 1-99 % range of a statistic it is "unsure", beyond the
    distance it is "outside".

    Parameters
    ----------
    domain : Domain or None
    statistics : sequence of mapping
        One per crop.
    features : array, shape (crops, F)
    wider : float, >= 0
        Share of a range that it is widened by on either side, and of the distance.

    Returns
    -------
    tuple of Trust and flags

    Raises
    ------
    ModelError
        If the card describes other features than its network has.
    """
    if domain is None:
        return Trust("unknown", ("The model's card says nothing of the images it was trained on.",)), ()
    reasons: list[str] = []
    flags: list[str] = []
    level = "fits"
    for name, (low, middle, high) in domain.statistics.items():
        known = _finite(statistics, name) if name in WORDS else []
        if not known:
            continue
        value = float(np.median(known))
        edge = wider * (high - low)
        low, high = low - edge, high + edge
        swapped = name == "skewness" and looks_inverted(value, (low, middle, high), len(known))
        if not low <= value <= high or swapped:
            level = "unsure"
            told = (number_text(one) for one in (value, low, high))
            reasons.append("The {} is {}; training images lie between {} and {}.".format(WORDS[name], *told))
            flags += ["inverted_contrast"] if swapped else []
            flags.extend(_named_flag(name, value, low, high))
    if domain.distance_99 is not None and features.size:
        if features.shape[1] != len(domain.feature_mean):
            raise ModelError("The model's card describes other features than its network has.", "Ask for both again.")
        distance = float(
            np.median(feature_distances(features, np.array(domain.feature_mean), np.array(domain.feature_std)))
        )
        most = (1 + wider) * domain.distance_99
        if distance > most:
            level = "outside"
            reasons.insert(
                0,
                f"The image looks unlike the training images: distance {distance:.2f}, of which 99 % of held-out "
                f"training crops stay below {domain.distance_99:.2f}"
                + (f" (bound here {most:.2f})." if wider else "."),
            )
    if level != "fits":
        flags.insert(0, "outside_model" if level == "outside" else "unsure")
    return Trust(level, tuple(reasons)), tuple(flags)  # type: ignore[arg-type]


def _named_flag(name: str, value: float, low: float, high: float) -> tuple[str, ...]:
    if name == "contrast" and value < low:
        return ("low_contrast",)
    if name == "focus" and value < low:
        return ("out_of_focus",)
    return ()


def looks_inverted(value: float, known: tuple[float, float, float], crops: int) -> bool:
    """Tell whether a picture would look much more like the training images were bright dark and dark bright.

    Ranges of training images may hold both signs of the skewness. What tells is how far a picture lies from their
    middle, in units of the way to the 1 or 99 % quantile on its side, against the picture turned over.

    Parameters
    ----------
    value : float
        Skewness of the picture, the median over its crops.
    known : tuple of float
        1, 50 and 99 % quantile over training crops.
    crops : int, >= 1
        That the median is over: of many it scatters far less than single crops do.
    """
    own, turned = (_steps_away(one, known) for one in (value, -value))
    least = FAR if crops >= MANY_CROPS else FAR_OF_ONE
    return own > least and turned <= LIKENESS and (turned <= own / 2 or own > 1 >= turned)


def _steps_away(value: float, known: tuple[float, float, float]) -> float:
    low, middle, high = known
    side = high - middle if value > middle else middle - low
    return abs(value - middle) / side if side > 0 else math.inf


def seen_in_training(card: ModelCard, planes: Iterable[Any]) -> tuple[str, ...]:
    """Flag planes, as their files hold them, that the model was trained on, and crops of these.

    Planes are known by their fingerprint or by the hash of their raw pixels; crops of 256 px or more by where they lie
    on a small version of a training image. Planes are read only where the card tells of any.
    """
    hashes, looks = (card.training.get(name) or () for name in ("image_sha256", "looks"))
    if not (card.trained_on or hashes or looks):
        return ()
    whole = list(planes)
    if set(fingerprints(whole)) & set(card.trained_on) or any(
        plane.size <= MOST_HASHED_PX and raw_sha256(np.asarray(plane)) in hashes for plane in whole if hashes
    ):
        return ("trained_on_this",)
    if not looks:
        return ()
    known = [read_look(text) for text in looks]
    alike = any(likeness(crop, known) >= LEAST_LIKENESS for plane in whole for crop in crops_of(plane))
    return ("trained_on_this",) if alike else ()


def worst_trust(first: Trust, second: Trust) -> Trust:
    """Return the less trusting of two judgements, of a series of pictures."""
    order = ("unknown", "fits", "unsure", "outside")
    return second if order.index(second.level) > order.index(first.level) else first
