"""The agreement of a prediction with the real stain of this very image, as far as it can be expected.

It is told without a stain: from what the network answers when the image is changed a little, and from how far its
features lie from those of the training images.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.card import CommitteeMember, Domain, ExpectedAgreement, HomeAgreement
from vitascope.core.result import Trust
from vitascope.engine.domain import feature_distances
from vitascope.ops.geometry.resample import Reader
from vitascope.ops.intensity.corruption import defocus
from vitascope.ops.intensity.quality import crop_statistics

Floats = NDArray[np.float32]
Answer = Callable[[Floats], tuple[Floats, Floats]]
"""Maps a crop (C, 192, 192) to its prediction (K, 192, 192) and deepest features (F, 12, 12)."""

CROP_PX = 192
"""Side of the crops: what lies 96 px from the edge sees nothing beyond it, and a dozen nuclei find room."""
MOST_CROPS = 4
LARGER = 1.25
"""The shift of scale: by as much as cells of one kind differ."""
BLUR_PX = 1.5
"""The shift of focus: severity 3 of Table 9 of Pankova 2022, which a reader still takes for sharp."""
BANDS = (0.02, 0.06, 0.15, 0.5)
"""Spatial frequencies, cycles per px: larger than nuclei, nuclei, organelles, grain."""


@dataclass(frozen=True)
class Expected:
    """What is expected of a prediction: PCC with the real stain, and the ends of its interval."""

    value: float
    low: float
    high: float


def choose_crops(read: Reader, shape_yx: tuple[int, int], most: int = MOST_CROPS) -> list[Floats]:
    """Return up to ``most`` crops (C, 192, 192) of a prepared image, spread evenly around its centre.

    A side shorter than a crop is reflected at its edges, so that a network is compiled for one shape only.
    """
    counts = [max(1, min(2, n // CROP_PX)) for n in shape_yx]
    if counts[0] * counts[1] > most:
        counts = [1, most]
    starts = [
        [round((n - CROP_PX) * (k + 1) / (c + 1)) if n > CROP_PX else 0 for k in range(c)]
        for n, c in zip(shape_yx, counts, strict=True)
    ]
    return [read((slice(y, y + CROP_PX), slice(x, x + CROP_PX))) for y in starts[0] for x in starts[1]]


def liveliest(crops: Sequence[Floats]) -> Floats:
    """Return the crop with the most texture, where there is most to tell by."""
    return max(crops, key=lambda c: float(np.std(c[len(c) // 2] - ndimage.uniform_filter(c[len(c) // 2], 25))))


def describe_crops(answer: Answer, crops: Sequence[Floats], domain: Domain | None) -> dict[str, float]:
    """Measure what tells of the agreement, as means over crops; no stain is needed.

    Parameters
    ----------
    answer : callable
        The network.
    crops : sequence of array, shape (C, h, w), float32
        In network units.
    domain : Domain or None
        Of the card.

    Returns
    -------
    dict
        By name, see :data:`STATISTICS`; every number is finite.
    """
    found = [_describe(answer, crop, domain) for crop in crops]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def remembering(answer: Answer) -> Answer:
    """Return a network that is asked about each crop once."""
    known: dict[bytes, tuple[Floats, Floats]] = {}

    def remembered(crop: Floats) -> tuple[Floats, Floats]:
        key = hashlib.sha256(np.ascontiguousarray(crop).tobytes()).digest()
        if key not in known:
            known[key] = answer(crop)
        return known[key]

    return remembered


def glance(answer: Answer, crop: Floats, turned: Floats) -> dict[str, float]:
    """Measure what two answers tell of a crop (C, h, w): to it, and to it with bright and dark swapped."""
    base, other = (answer(np.ascontiguousarray(one))[0].mean(axis=0) for one in (crop, turned))
    return {"polarity": _differ(base, other), **_of_prediction(base), **_of_image(crop[len(crop) // 2], base)}


def _describe(answer: Answer, crop: Floats, domain: Domain | None) -> dict[str, float]:
    picture, encoding = answer(crop)
    base = picture.mean(axis=0)
    flipped = answer(np.ascontiguousarray(crop[:, ::-1, ::-1]))[0].mean(axis=0)[::-1, ::-1]
    blurred = answer(defocus(crop, BLUR_PX))[0].mean(axis=0)
    turned = answer(np.ascontiguousarray(turned_over(crop)))[0].mean(axis=0)
    told = {
        "flip": _differ(base, flipped),
        "focus": _differ(base, blurred),
        "scale": _differ_enlarged(answer, crop, base),
        "distance": _distance(encoding, domain),
        "polarity": _differ(base, turned),
        "upright": math.log((float(base.std()) + 1e-6) / (float(turned.std()) + 1e-6)),
    }
    return {**told, **_of_prediction(base), **_of_image(crop[len(crop) // 2], base)}


def _differ(first: Floats, second: NDArray[np.floating]) -> float:
    """Return 1 - PCC of two predictions; 1 where one is flat."""
    a, b = first - first.mean(), second - second.mean()
    length = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return 1.0 - float((a * b).sum()) / length if length > 1e-9 else 1.0


def turned_over(crop: Floats) -> Floats:
    """Swap bright and dark about the median of each channel."""
    middle = np.median(crop, axis=(1, 2), keepdims=True)
    return np.asarray(2 * middle - crop, np.float32)


def _differ_enlarged(answer: Answer, crop: Floats, base: Floats) -> float:
    """Predict the middle of a crop enlarged by :data:`LARGER`, and compare it with the middle of its prediction."""
    side = crop.shape[-1]
    inner = round(side / LARGER)
    start = (side - inner) // 2
    window = (slice(start, start + inner), slice(start, start + inner))
    large = np.stack([_resized(c[window], side) for c in crop])
    there = answer(np.ascontiguousarray(large))[0].mean(axis=0)
    edge = side // 12  # what the enlarged crop sees less of
    return _differ(_resized(base[window], side)[edge:-edge, edge:-edge], there[edge:-edge, edge:-edge])


def _resized(picture: Floats, side: int) -> Floats:
    """Bring a square to another side by linear interpolation."""
    found = ndimage.zoom(picture, side / picture.shape[0], order=1, grid_mode=True, mode="nearest")
    return np.asarray(found[:side, :side], np.float32)


def _distance(encoding: Floats, domain: Domain | None) -> float:
    """Return the logarithm of the feature distance in units of that which 99 % of training crops stay below."""
    if domain is None or not domain.feature_mean:
        return 0.0
    pooled = encoding.astype(np.float64).mean(axis=(1, 2))[None]
    far = feature_distances(pooled, np.array(domain.feature_mean), np.array(domain.feature_std))[0]
    return math.log(max(float(far), 1e-3) / (domain.distance_99 or 1.0))


def _of_prediction(base: Floats) -> dict[str, float]:
    """Describe a prediction: how strong, how full, and how sharply objects stand out."""
    top = float(np.percentile(base, 99.5))
    foreground = base > 0.5 * max(top, 1e-6)
    rim = (base > 0.2 * max(top, 1e-6)) & ~foreground
    return {
        "peak": top,
        "strength": float(base.std()),
        "cover": math.log10(float(foreground.mean()) + 1e-3),
        "softness": math.log(float(rim.sum() + 1) / float(foreground.sum() + 1)),
    }


def balance_of(statistics: Mapping[str, float]) -> float:
    """Return the skewness among the statistics of a crop, cut off where a few pixels make it."""
    return float(np.clip(np.nan_to_num(statistics["skewness"]), -5, 5))


def _of_image(plane: Floats, base: Floats) -> dict[str, float]:
    """Describe an image: its spectrum, its balance, and how far the prediction follows its grey values and texture."""
    values = np.asarray(plane, np.float64)
    values = (values - values.mean()) / (values.std() + 1e-9)
    spectrum = np.abs(np.fft.rfft2(values * np.outer(*(np.hanning(n) for n in values.shape)))) ** 2
    radius = np.hypot(np.fft.fftfreq(values.shape[0])[:, None], np.fft.rfftfreq(values.shape[1])[None])
    rings = [(radius > low) & (radius <= high) for low, high in pairwise(BANDS)]
    shares = [float(spectrum[ring].sum()) for ring in rings]
    total = float(spectrum[radius > 0].sum()) + 1e-9
    texture = np.sqrt(ndimage.gaussian_filter((values - ndimage.gaussian_filter(values, 3)) ** 2, 4))
    smooth = ndimage.gaussian_filter(values, 3)
    own = crop_statistics(plane)
    return {
        **{f"band{k}": math.log10(share / total + 1e-6) for k, share in enumerate(shares, 1)},
        "skewness": balance_of(own),
        "follows_texture": 1 - _differ(base, texture),
        "follows_grey": abs(1 - _differ(base, smooth)),
    }


STATISTICS = {"flip": -1, "focus": -1, "scale": -1, "polarity": -1, "peak": 1, "softness": -1, "band2": 1}
"""What tells, and whether more of it speaks for (1) or against (-1) agreement: all that a cause can be named for."""
AT_HOME = (*STATISTICS, "distance", "strength", "band1", "band3", "skewness", "follows_texture", "follows_grey",
           "cover")  # fmt: skip
"""What tells an image like the training images."""
COMMITTEE = "committee"
"""The statistic of what other models predict: the mean of their agreements, each in steps of its usual spread."""
AGREES = "agrees_"
"""Before the name of a model: the correlation of its prediction with that of the model that is judged."""
TOLD_BY = {"polarity": -1, COMMITTEE: 1}
"""What the expected agreement is told by where other models are at hand."""
CUT_OFF = 3.0
LEAN, LEAN_TURNED = -0.15, 0.6
"""What must speak for the polarity of an image to look like the training images, as given and turned over. Of 51 views
of the field of ``nuclei-phase`` 50 reach the first, and turned over 6; none of them reaches the second turned over.
"""
LOGARITHMIC = ("flip", "focus", "scale", "polarity", "peak", "strength")
LEAST = 1e-3


def ready(statistics: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    """Return statistics in the order of ``names``, those that span decades as logarithms."""
    raw = ((name, float(statistics[name])) for name in names)
    return np.array([math.log(max(v, LEAST)) if name in LOGARITHMIC else v for name, v in raw])


def home_score(home: HomeAgreement, statistics: Mapping[str, float]) -> float:
    """Return how much an image looks like the training images: 1 like the typical one, 0 like one of others."""
    steps = (ready(statistics, home.statistics) - np.array(home.mean)) / np.array(home.spread)
    return float(np.clip(steps, -CUT_OFF, CUT_OFF) @ np.array(home.weights))


def right_way_up(home: HomeAgreement, skewness: float) -> bool:
    """Tell whether an image is bright on dark, or dark on bright, as the training images are."""
    return skewness <= home.skewness_limit if home.dark else skewness >= home.skewness_limit


def leaning(home: HomeAgreement, statistics: Mapping[str, float]) -> float:
    """Return what speaks for the polarity as it is: above 0 for it, below 0 for the other one.

    The logarithm of how much stronger the prediction is than with bright and dark swapped, and the skewness, on the
    side of the training images: both change their sign with the image. Skewness alone does not tell crops that are as
    dark as bright.
    """
    skewness = statistics["skewness"]
    return statistics["upright"] + (-skewness if home.dark else skewness)


def is_home(home: HomeAgreement, statistics: Mapping[str, float], lean: float = LEAN) -> bool:
    """Tell whether an image looks like the training images, see :class:`~vitascope.core.card.HomeAgreement`.

    ``lean`` is what must speak for its polarity, see :func:`leaning`; where ``upright`` is not known nothing must.
    """
    if not right_way_up(home, statistics["skewness"]) or home_score(home, statistics) < home.least:
        return False
    return "upright" not in statistics or leaning(home, statistics) >= lean


def expect(how: ExpectedAgreement, statistics: Mapping[str, float], *, as_given: bool = True) -> Expected:
    """Return the expected agreement and its interval, ends within -1 and 1.

    Parameters
    ----------
    how : ExpectedAgreement
    statistics : mapping of str to float
        Where those of a :func:`glance` are given, the others count as neither good nor bad.
    as_given : bool
        Whether the image may count as one like the training images; those that were scaled or turned over on trial do
        not, of which some come close by chance.
    """
    if as_given and how.home is not None and is_home(how.home, statistics):
        return Expected(how.home.value, how.home.low, how.home.high)
    statistics = {**statistics, COMMITTEE: opinion(how.committee, statistics)}
    known = [k for k, name in enumerate(how.statistics) if name in statistics]
    mean, spread, weights = (np.array(values)[known] for values in (how.mean, how.spread, how.weights))
    values = ready(statistics, [how.statistics[k] for k in known])
    steps = np.clip((values - mean) / spread, -how.limit, how.limit)
    value = math.tanh(how.intercept + float(steps @ weights))
    low, high = (min(1.0, max(-1.0, value + by)) for by in (how.low_by, how.high_by))
    return Expected(value, low, high)


def opinion(committee: Sequence[CommitteeMember], statistics: Mapping[str, float]) -> float:
    """Return how much more or less than usual other models agree, in steps of their spread; 0 where none was asked."""
    steps = [
        (fisher(statistics[AGREES + member.model]) - member.mean) / member.spread
        for member in committee
        if AGREES + member.model in statistics
    ]
    return float(np.mean(steps)) if steps else 0.0


def fisher(correlation: float) -> float:
    """Return the inverse hyperbolic tangent of a correlation, drawn in to 0.95."""
    return math.atanh(min(0.95, max(-0.95, correlation)))


def grade(how: ExpectedAgreement, expected: Expected, looks_off: Sequence[str] = ()) -> tuple[Trust, tuple[str, ...]]:
    """Judge an image by the lower end of its expected agreement; trust and flags.

    An image that is blurred, dim or turned over against the training images (flags ``looks_off``) does not fit,
    whatever is expected of it.
    """
    told = f"Expected agreement with a real stain {expected.low:.2f} to {expected.high:.2f} (PCC, {how.level:.0%})"
    if expected.low >= how.fits and not looks_off:
        return Trust("fits", (f"{told}.",)), ()
    if expected.low >= how.unsure:
        return Trust("unsure", (f"{told}: stain one field to know, or train on it.",)), ("unsure",)
    return Trust("outside", (f"{told}: too little to rely on. Stain one field and train on it.",)), ("outside_model",)
